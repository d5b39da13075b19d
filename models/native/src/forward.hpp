// A pass through the whole model, run by every thread of a team at once.
//
// Threads share out tokens, heads or rows by their number and meet between phases. Who computes a
// value never changes it.
#pragma once

#include "heads.hpp"
#include "pool.hpp"

namespace {

using rwkv::Team;

struct Range {
    int64_t first, last;
};

class Forward {
public:
    Forward(const Model& model, const Pass& pass, int thread, Team& team)
        : model_(model), work_(model.work), pass_(pass), thread_(thread), team_(team),
          width_(model.sizes.width), tokens_(share(pass.count)) {}

    void run() {
        embed();
        team_.barrier();
        for (int64_t i = 0; i < model_.sizes.layers; ++i) {
            time_mix(i);
            channel_mix(i);
        }
        if (pass_.wanted_count) head();
    }

private:
    const Model& model_;
    const Workspace& work_;
    const Pass& pass_;
    int thread_;
    Team& team_;
    int64_t width_;
    Range tokens_;

    Range share(int64_t count) const {
        int64_t n = team_.count();
        return {count * thread_ / n, count * (thread_ + 1) / n};
    }

    void embed() {
        for (int64_t t = tokens_.first; t < tokens_.last; ++t) {
            const uint16_t* from = model_.embedding + pass_.tokens[t] * width_;
            float* to = work_.x + t * width_;
            for (int64_t i = 0; i < width_; i += LANES) store(to + i, load_bf16(from + i));
            layer_norm(to, width_, model_.ln0, to);
        }
    }

    // This thread's tokens: normalised, mixed with the token before, ready for the matrices.
    void shift_and_mix(const Norm& norm, const float* last, int64_t row_stride,
                       float* const* shares, int count) {
        int64_t s = 0;
        for (int64_t t = tokens_.first; t < tokens_.last; ++t) {
            while (t >= pass_.segments[s].start + pass_.segments[s].length) ++s;
            float* now = work_.normed + t * width_;
            layer_norm(work_.x + t * width_, width_, norm, now);
            const float* before = now - width_;
            if (t == pass_.segments[s].start) {
                before = last + pass_.segments[s].row * row_stride;
            } else if (t == tokens_.first) {  // that token is another thread's
                float* own = work_.scratch[thread_];
                layer_norm(work_.x + (t - 1) * width_, width_, norm, own);
                before = own;
            }
            mix(now, before, shares, count, width_, work_.mixed, t);
        }
    }

    void keep_last(float* last, int64_t row_stride) {
        Range mine = share(pass_.segment_count);
        for (int64_t s = mine.first; s < mine.last; ++s) {
            const Segment& segment = pass_.segments[s];
            const float* from = work_.normed + (segment.start + segment.length - 1) * width_;
            memcpy(last + segment.row * row_stride, from, size_t(width_) * sizeof(float));
        }
    }

    void time_mix(int64_t index) {
        const Layer& layer = model_.layers[index];
        float* last = pass_.state.att_shift + index * pass_.state.att_layer;
        shift_and_mix(layer.ln1, last, pass_.state.att_row, layer.mix, rwkv::MIXES);
        team_.barrier();
        keep_last(last, pass_.state.att_row);
        project(layer, index);
        team_.barrier();
        run_heads(index);
        team_.barrier();
        add_to_x(layer.output, work_.joined);
        team_.barrier();
    }

    // What the channels of a head, or of a low rank, are computed from.
    void project(const Layer& layer, int64_t index) {
        float* value = index == 0 ? work_.first_value : work_.v;
        const Activations *r = &work_.mixed[0], *w = r + 1, *k = r + 2, *v = r + 3, *a = r + 4;
        int64_t done = 0, total = 0;
        const Matrix* always[] = {&layer.receptance, &layer.key, &layer.value,
                                  &layer.w1,         &layer.a1,  &layer.g1};
        for (const Matrix* m : always) total += units(*m);
        if (index > 0) total += units(layer.v1);
        Range mine = share(total);
        auto run = [&](const Matrix& m, const Activations& x, auto put) {
            Range part = within(mine, done, units(m));
            done += units(m);
            multiply_units(m, x, part, pass_.count, put);
        };
        auto plain = [&](float* out) {
            return [this, out](int64_t t, int64_t row, const float* y) {
                for (int i = 0; i < BLOCK; i += LANES)
                    store(out + t * width_ + row + i, load(y + i));
            };
        };
        auto inner = [](const Activations& to, Vec (*f)(Vec)) {
            return [&to, f](int64_t t, int64_t row, const float* y) {
                alignas(64) float changed[BLOCK];
                for (int i = 0; i < BLOCK; i += LANES) store(changed + i, f(load(y + i)));
                put_half(to, t, row, changed);
            };
        };
        run(layer.receptance, *r, plain(work_.r));
        run(layer.key, *k, plain(work_.k));
        run(layer.value, *v, plain(value));
        run(layer.w1, *w, inner(work_.low_w, hyperbolic));
        run(layer.a1, *a, inner(work_.low_a, same));
        run(layer.g1, work_.mixed[5], inner(work_.low_g, sigmoid));
        if (index > 0) run(layer.v1, *v, inner(work_.low_v, same));
    }

    static Vec same(Vec x) { return x; }

    void run_heads(int64_t index) {
        HeadWork heads(model_, pass_, index, thread_);
        int64_t count = (model_.sizes.heads + heads.unit_heads - 1) / heads.unit_heads;
        // Units of few heads are too coarse for many threads: sequences are shared out too.
        int64_t parts = (2 * team_.count() + count - 1) / count;
        if (parts > pass_.segment_count) parts = pass_.segment_count;
        Range mine = share(count * parts);
        for (int64_t job = mine.first; job < mine.last; ++job) {
            int64_t unit = job / parts, part = job % parts;
            int64_t first = pass_.segment_count * part / parts;
            int64_t last = pass_.segment_count * (part + 1) / parts;
            heads.run(unit, pass_.segments + first, pass_.segments + last);
        }
    }

    void channel_mix(int64_t index) {
        const Layer& layer = model_.layers[index];
        float* last = pass_.state.ffn_shift + index * pass_.state.ffn_layer;
        shift_and_mix(layer.ln2, last, pass_.state.ffn_row, &layer.channel_mix, 1);
        team_.barrier();
        keep_last(last, pass_.state.ffn_row);
        expand(layer.ffn_key);
        team_.barrier();
        add_to_x(layer.ffn_value, work_.inner);
        team_.barrier();
    }

    // relu(key·x)², a GROUP of channels at a time.
    void expand(const Matrix& key) {
        constexpr int64_t PER_GROUP = GROUP / BLOCK;
        Range mine = share((key.blocks + PER_GROUP - 1) / PER_GROUP);
        float* values = work_.scratch[thread_];  // [CHUNK][GROUP]
        for (int64_t g = mine.first; g < mine.last; ++g) {
            int64_t first = g * PER_GROUP, last = first + PER_GROUP;
            if (last > key.blocks) {
                last = key.blocks;
                memset(values, 0, CHUNK * GROUP * sizeof(float));
            }
            for (int64_t start = 0; start < pass_.count; start += CHUNK) {
                int64_t stop = start + CHUNK < pass_.count ? start + CHUNK : pass_.count;
                multiply(key, work_.mixed[0], first, last, start, stop,
                         [&](int64_t t, int64_t row, const float* y) {
                             float* to = values + (t - start) * GROUP + row - g * GROUP;
                             for (int i = 0; i < BLOCK; i += LANES) {
                                 Vec positive = larger(load(y + i), all(0.0f));
                                 store(to + i, positive * positive);
                             }
                         });
                for (int64_t t = start; t < stop; ++t)
                    put_group(work_.inner, t, g, values + (t - start) * GROUP);
            }
        }
    }

    void add_to_x(const Matrix& m, const Activations& from) {
        auto add = [this](int64_t t, int64_t row, const float* y) {
            float* to = work_.x + t * width_ + row;
            for (int i = 0; i < BLOCK; i += LANES) store(to + i, load(to + i) + load(y + i));
        };
        multiply_units(m, from, share(units(m)), pass_.count, add);
    }

    void head() {
        Range mine = share(pass_.wanted_count);
        float* normed = work_.scratch[thread_];
        for (int64_t i = mine.first; i < mine.last; ++i) {
            layer_norm(work_.x + pass_.wanted[i] * width_, width_, model_.ln_out, normed);
            put_row(work_.last, i, normed);
        }
        team_.barrier();
        const Matrix& m = model_.head;
        auto put = [&](int64_t i, int64_t row, const float* y) {
            int64_t left = m.rows - row;
            size_t count = size_t(left < BLOCK ? left : BLOCK);
            memcpy(pass_.logits + i * m.rows + row, y, count * sizeof(float));
        };
        multiply_units(m, work_.last, share(units(m)), pass_.wanted_count, put);
    }

    void put_row(const Activations& to, int64_t t, const float* from) {
        for (int64_t g = 0; g * GROUP < width_; ++g) {
            alignas(64) float values[GROUP] = {};
            int64_t left = width_ - g * GROUP;
            memcpy(values, from + g * GROUP, size_t(left < GROUP ? left : GROUP) * sizeof(float));
            put_group(to, t, g, values);
        }
    }

    // A unit is as many blocks as a tile takes at once.
    static int64_t unit_blocks(const Matrix& m) { return m.is_int8 ? FINE_BLOCKS : HALF_BLOCKS; }
    static int64_t units(const Matrix& m) {
        return (m.blocks + unit_blocks(m) - 1) / unit_blocks(m);
    }

    // The part of `mine` that lies in `count` units from `start` on, counted from there.
    static Range within(Range mine, int64_t start, int64_t count) {
        int64_t first = mine.first - start, last = mine.last - start;
        return {first < 0 ? 0 : first, last > count ? count : last};
    }

    template <class Put>
    static void multiply_units(const Matrix& m, const Activations& x, Range part, int64_t tokens,
                               Put put) {
        int64_t last = part.last * unit_blocks(m);
        if (last > m.blocks) last = m.blocks;
        multiply(m, x, part.first * unit_blocks(m), last, 0, tokens, put);
    }
};

void run_forward(const Model& model, const Pass& pass, int thread, Team& team) {
    Forward(model, pass, thread, team).run();
}

}  // namespace
