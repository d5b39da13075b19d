// Time-mix of RWKV-5. Its slow twin is models/rwkv5.py.
#pragma once

#include "heads.hpp"
#include "wkv56.hpp"

namespace {

struct Head5 {
    int64_t size, count, state_size;

    Head5(const Worker& w, int64_t i)
        : size(w.model.sizes.head_size), count(w.model.sizes.heads), state_size(size * size),
          worker_(w), layer_(w.model.layers[i]), index_(i), y_(scratch_of(w, *this)) {}

    float* state(int64_t row, int64_t head) const {
        const rwkv::StateView& s = worker_.pass.state;
        return s.wkv + index_ * s.wkv_layer + row * s.wkv_row + head * state_size;
    }

    void prepare(int64_t, int64_t, int64_t) {}

    void scan(int64_t head, int64_t, const Segment& s, int64_t at, int64_t from, int64_t to,
              Ahead& ahead) {
        scan_with(layer_.decay.bias + head * size, 0, head, s, at, from, to, ahead);
    }

    // y, normalised, and gated where there is a gate.
    void finish(int64_t head, int64_t start, int64_t stop, float* to, int64_t stride) {
        int64_t first = head * size;
        for (int64_t t = start; t < stop; ++t, to += stride) {
            float* y = y_ + (t - start) * size;
            const float* gate = worker_.work.gate + t * worker_.width + first;
            head_norm(y, size, layer_.ln_x, first);
            for (int64_t i = 0; i < size; i += LANES)
                store(to + i, layer_.gate.blocks ? load(y + i) * load(gate + i) : load(y + i));
        }
    }

protected:
    const Worker& worker_;
    const Layer& layer_;
    int64_t index_;
    float* y_;  // [CHUNK][N]

    // w: decays of token `from`, those of the next `w_step` floats further on.
    void scan_with(const float* w, int64_t w_step, int64_t head, const Segment& s, int64_t at,
                   int64_t from, int64_t to, Ahead& ahead) {
        const Workspace& work = worker_.work;
        int64_t first = head * size, start = from * worker_.width + first;
        Inputs56 in = {work.r + start, w, work.k + start, work.v + start, layer_.bonus + first,
                       worker_.width, w_step};
        scan56(state(s.row, head), size, in, to - from, y_ + at * size, ahead);
    }
};

inline Vec silu(Vec x) { return x * sigmoid(x); }

inline auto products5(const Worker& w, const Layer& l) {
    const Workspace& work = w.work;
    return std::tuple(
        Product(l.receptance, work.mixed[rwkv::FOR_R], to_rows(work.r, w.width)),
        Product(l.key, work.mixed[rwkv::FOR_K], to_rows(work.k, w.width)),
        Product(l.value, work.mixed[rwkv::FOR_V], to_rows(work.v, w.width)),
        Product(l.gate, work.mixed[rwkv::FOR_G], to_rows<silu>(work.gate, w.width)));
}

inline void time_mix_5(const Worker& w, int64_t index, const TokenShift& shift) {
    const Layer& layer = w.model.layers[index];
    Mixtures mixtures(layer, w.work, 0, rwkv::INPUTS);
    auto products = products5(w, layer);
    shift.mix(mixtures.list, mixtures.count);
    w.meet(coming(w, products));
    shift.keep_last();
    multiply_all(w, w.pass.count, products);
    Heads<Head5> heads(w, index);
    w.meet(heads.coming());
    heads.run(layer.output);
}

}  // namespace
