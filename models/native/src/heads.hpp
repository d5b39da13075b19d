// Time-mix between its matrices: what a unit of heads does with its sequences, token by token.
//
// A unit is one head, or as many as fill a GROUP of channels where heads are smaller, so that its
// output can be made ready for the next matrix at once.
#pragma once

#include "matmul.hpp"
#include "norm.hpp"
#include "wkv.hpp"

namespace {

using rwkv::CHUNK;
using rwkv::Layer;
using rwkv::Model;
using rwkv::Pass;
using rwkv::Segment;
using rwkv::Workspace;

constexpr float LOG_DECAY_SCALE = -0.606531f;  // log w = -0.606531·sigmoid(…), as in the reference

// A thread's intermediates of one head and up to CHUNK tokens: each [CHUNK][N] but the last two.
struct HeadScratch {
    float *w, *rate, *residual, *gate;  // from the low ranks
    float *k, *v, *a, *b, *r, *y;
    float* joined;  // [CHUNK][unit width]
    float* states;  // [heads of the unit][N][N], turned

    HeadScratch(float* from, int64_t size, int64_t unit_width) {
        float** parts[] = {&w, &rate, &residual, &gate, &k, &v, &a, &b, &r, &y};
        for (float** part : parts) {
            *part = from;
            from += CHUNK * size;
        }
        joined = from;
        states = from + CHUNK * unit_width;
    }
};

struct HeadWork {
    const Model& model;
    const Layer& layer;
    const Pass& pass;
    int64_t index;  // of the layer
    int64_t size, unit_heads, unit_width;
    HeadScratch scratch;

    HeadWork(const Model& m, const Pass& p, int64_t i, int thread)
        : model(m), layer(m.layers[i]), pass(p), index(i), size(m.sizes.head_size),
          unit_heads(size < GROUP ? GROUP / size : 1), unit_width(size * unit_heads),
          scratch(m.work.scratch[thread] + m.sizes.width, size, unit_width) {}

    float* stored_state(int64_t row, int64_t head) const {
        const rwkv::StateView& s = pass.state;
        return s.wkv + index * s.wkv_layer + row * s.wkv_row + head * size * size;
    }

    // out[token - start] = matrix · inner, for the channels of one head
    void low_rank(const rwkv::Matrix& m, const Activations& inner, int64_t head, int64_t start,
                  int64_t stop, float* out) const {
        int64_t first = head * size;
        multiply(m, inner, first / BLOCK, (first + size) / BLOCK, start, stop,
                 [&](int64_t t, int64_t row, const float* values) {
                     float* to = out + (t - start) * size + row - first;
                     for (int i = 0; i < BLOCK; i += LANES) store(to + i, load(values + i));
                 });
    }

    void expand_low_ranks(int64_t head, int64_t start, int64_t stop) {
        const Workspace& work = model.work;
        low_rank(layer.w2, work.low_w, head, start, stop, scratch.w);
        low_rank(layer.a2, work.low_a, head, start, stop, scratch.rate);
        low_rank(layer.g2, work.low_g, head, start, stop, scratch.gate);
        if (index > 0) low_rank(layer.v2, work.low_v, head, start, stop, scratch.residual);
    }

    // The recurrence's inputs of token t, as the `at`-th of the chunk.
    void prepare(int64_t head, int64_t t, int64_t at) {
        const Workspace& work = model.work;
        int64_t c = head * size, from = t * model.sizes.width + c;
        float *w = scratch.w + at * size, *rates = scratch.rate + at * size;
        float *a = scratch.a + at * size, *b = scratch.b + at * size;
        float *k_out = scratch.k + at * size, *v_out = scratch.v + at * size;
        const float* pull = scratch.residual + at * size;
        Vec squares = {};
        for (int64_t i = 0; i < size; i += LANES) {
            Vec k = load(work.k + from + i), first = load(work.first_value + from + i), v = first;
            Vec rate = sigmoid(load(layer.a0 + c + i) + load(rates + i));
            Vec decay = sigmoid(load(layer.w0 + c + i) + load(w + i));
            store(w + i, exponential(decay * LOG_DECAY_SCALE));
            if (index > 0) {
                Vec share = sigmoid(load(layer.v0 + c + i) + load(pull + i));
                v = load(work.v + from + i);
                v = v + (first - v) * share;
            }
            Vec kk = k * load(layer.k_k + c + i);
            squares += kk * kk;
            store(a + i, kk);
            store(rates + i, rate);
            store(v_out + i, v);
            store(k_out + i, k * (1.0f + (rate - 1.0f) * load(layer.k_a + c + i)));
            store(scratch.r + at * size + i, load(work.r + from + i));
        }
        float length = sqrtf(sum(squares));
        float scale = 1.0f / (length > 1e-12f ? length : 1e-12f);
        for (int64_t i = 0; i < size; i += LANES) {
            Vec kk = load(a + i) * scale;
            store(b + i, kk * load(rates + i));
            store(a + i, -kk);
        }
    }

    // y of the `at`-th token: normalised, with the bonus, gated, into its place among the heads.
    void finish(int64_t head, int64_t place, int64_t at) {
        int64_t c = head * size;
        float* y = scratch.y + at * size;
        const float *r = scratch.r + at * size, *k = scratch.k + at * size;
        const float *v = scratch.v + at * size, *gate = scratch.gate + at * size;
        Vec bonus = {};
        for (int64_t i = 0; i < size; i += LANES)
            bonus += load(r + i) * load(k + i) * load(layer.r_k + c + i);
        float strength = sum(bonus);
        normalise(y, size, layer.ln_x.weight + c, layer.ln_x.bias + c, GROUP_NORM_EPS, y);
        float* to = scratch.joined + at * unit_width + place * size;
        for (int64_t i = 0; i < size; i += LANES)
            store(to + i, (load(y + i) + load(v + i) * strength) * load(gate + i));
    }

    // The part of a sequence that lies in a chunk, which starts at token `origin`.
    void scan_part(int64_t head, float* state, const Segment& s, int64_t origin, int64_t start,
                   int64_t stop) {
        if (start == s.start) turn(stored_state(s.row, head), state, size);
        int64_t at = (start - origin) * size;
        Inputs in = {scratch.r + at, scratch.w + at, scratch.k + at,
                     scratch.v + at, scratch.a + at, scratch.b + at};
        scan(state, size, in, stop - start, scratch.y + at);
        if (stop == s.start + s.length) turn(state, stored_state(s.row, head), size);
    }

    // `s`: the sequence that token `start` belongs to; returns that of token `stop`.
    const Segment* chunk_of_head(int64_t head, int64_t place, const Segment* s, int64_t start,
                                 int64_t stop) {
        float* state = scratch.states + place * size * size;
        expand_low_ranks(head, start, stop);
        for (int64_t t = start; t < stop; ++t) prepare(head, t, t - start);
        for (int64_t from = start; from < stop;) {
            int64_t end = s->start + s->length, to = end < stop ? end : stop;
            if (to < stop) ask_for(stored_state(s[1].row, head), size * size);
            scan_part(head, state, *s, start, from, to);
            if (to == end) ++s;
            from = to;
        }
        for (int64_t t = start; t < stop; ++t) finish(head, place, t - start);
        return s;
    }

    // The tokens of sequences `s` to `end`, which lie side by side, through the heads of one unit.
    void run(int64_t unit, const Segment* s, const Segment* end) {
        if (s == end) return;
        int64_t first = unit * unit_heads, last = first + unit_heads;
        if (last > model.sizes.heads) last = model.sizes.heads;
        int64_t width = (last - first) * size, stop = end[-1].start + end[-1].length;
        for (int64_t from = s->start; from < stop; from += CHUNK) {
            int64_t to = from + CHUNK < stop ? from + CHUNK : stop;
            const Segment* next = s;
            for (int64_t h = first; h < last; ++h) next = chunk_of_head(h, h - first, s, from, to);
            s = next;
            for (int64_t t = from; t < to; ++t) put_unit(unit, t, t - from, width);
        }
    }

    void put_unit(int64_t unit, int64_t t, int64_t at, int64_t width) {
        float* row = scratch.joined + at * unit_width;
        for (int64_t i = width; i < unit_width; ++i) row[i] = 0;
        for (int64_t g = 0; g * GROUP < unit_width; ++g)
            put_group(model.work.joined, t, unit * unit_width / GROUP + g, row + g * GROUP);
    }
};

}  // namespace
