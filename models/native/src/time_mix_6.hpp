// Time-mix of RWKV-6: decay and token shift depend on the token. Its slow twin is models/rwkv6.py.
#pragma once

#include "time_mix_5.hpp"

namespace {

using rwkv::SHARED;
using rwkv::SHARES;

struct Head6 : Head5 {
    Head6(const Worker& w, int64_t i) : Head5(w, i), w_(y_ + CHUNK * size) {}

    void prepare(int64_t head, int64_t start, int64_t stop) {
        multiply_head(layer_.decay.up, worker_.work.low_w, head, size, start, stop, w_);
        const float* bias = layer_.decay.bias + head * size;
        for (float* w = w_; w < w_ + (stop - start) * size; w += size)
            for (int64_t i = 0; i < size; i += LANES)
                store(w + i, exponential(-exponential(load(bias + i) + load(w + i))));
    }

    void scan(int64_t head, int64_t, const Segment& s, int64_t at, int64_t from, int64_t to) {
        scan_with(w_ + at * size, size, head, s, at, from, to);
    }

private:
    float* w_;  // [CHUNK][N]
};

// What the shares of the token before are computed from, for each of the five.
inline void reduce_shares(const Worker& w, const Layer& l) {
    const Matrix* down = l.mix_down;
    Products products(w, {down, down + 1, down + 2, down + 3, down + 4});
    for (int i = 0; i < SHARES; ++i)
        products.run(down[i], w.work.mixed[rwkv::FOR_X], to_inner<hyperbolic>(w.work.low_mix[i]));
}

// x + change·(base + up·inner) of tokens `start` to `stop`, for a GROUP of channels.
inline void mix_by_shares(const Worker& w, const Layer& l, const TokenShift& shift, int64_t group,
                          const Segment* s, int64_t start, int64_t stop) {
    int64_t first = group * GROUP, last = first + GROUP < w.width ? first + GROUP : w.width;
    float* values = w.scratch();  // [CHUNK][GROUP]
    if (last - first < GROUP) memset(values, 0, CHUNK * GROUP * sizeof(float));
    for (int i = 0; i < SHARES; ++i) {
        multiply(l.mix_up[i], w.work.low_mix[i], first / BLOCK, last / BLOCK, start, stop,
                 [&](int64_t t, int64_t row, const float* y) {
                     float* to = values + (t - start) * GROUP + row - first;
                     for (int n = 0; n < BLOCK; n += LANES) store(to + n, load(y + n));
                 });
        const Segment* of = s;
        const float* base = l.mix[SHARED[i]];
        for (int64_t t = start; t < stop; ++t) {
            while (t >= of->start + of->length) ++of;
            const float *now = w.work.normed + t * w.width, *before = shift.before(t, *of);
            float* to = values + (t - start) * GROUP;
            for (int64_t c = first; c < last; c += LANES) {
                Vec x = load(now + c), share = load(base + c) + load(to + c - first);
                store(to + c - first, x + (load(before + c) - x) * share);
            }
            put_group(w.work.mixed[SHARED[i]], t, group, to);
        }
    }
}

inline void mix_all_by_shares(const Worker& w, const Layer& l, const TokenShift& shift) {
    Dealt dealt(w, (w.width + GROUP - 1) / GROUP);
    for (Range mine; dealt.next(mine);) {
        for (int64_t group = mine.first; group < mine.last; ++group) {
            const Segment* s = w.pass.segments;
            for (int64_t start = 0; start < w.pass.count; start += CHUNK) {
                int64_t stop = start + CHUNK < w.pass.count ? start + CHUNK : w.pass.count;
                while (start >= s->start + s->length) ++s;
                mix_by_shares(w, l, shift, group, s, start, stop);
            }
        }
    }
}

inline void project6(const Worker& w, const Layer& l) {
    const Workspace& work = w.work;
    const Activations* mixed = work.mixed;
    Products products(w, {&l.receptance, &l.key, &l.value, &l.gate, &l.decay.down});
    products.run(l.receptance, mixed[rwkv::FOR_R], to_rows(work.r, w.width));
    products.run(l.key, mixed[rwkv::FOR_K], to_rows(work.k, w.width));
    products.run(l.value, mixed[rwkv::FOR_V], to_rows(work.v, w.width));
    products.run(l.gate, mixed[rwkv::FOR_G], to_rows<silu>(work.gate, w.width));
    products.run(l.decay.down, mixed[rwkv::FOR_W], to_inner<hyperbolic>(work.low_w));
}

inline void time_mix_6(const Worker& w, int64_t index, const TokenShift& shift) {
    const Layer& layer = w.model.layers[index];
    Mixture first = {layer.mix[rwkv::FOR_X], &w.work.mixed[rwkv::FOR_X]};
    shift.mix(&first, 1);
    w.meet();
    reduce_shares(w, layer);
    w.meet();
    mix_all_by_shares(w, layer, shift);
    w.meet();
    shift.keep_last();
    project6(w, layer);
    w.meet();
    Heads<Head6>(w, index).run();
}

}  // namespace
