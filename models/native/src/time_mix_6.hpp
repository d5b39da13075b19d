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

    void scan(int64_t head, int64_t, const Segment& s, int64_t at, int64_t from, int64_t to,
              Ahead& ahead) {
        scan_with(w_ + at * size, size, head, s, at, from, to, ahead);
    }

private:
    float* w_;  // [CHUNK][N]
};

// What the shares of the token before are computed from, for each of the five.
inline auto products_of_shares(const Worker& w, const Layer& l) {
    static_assert(SHARES == 5, "one for each");
    auto product = [&](int i) {
        const Activations& x = w.work.mixed[rwkv::FOR_X];
        return Product(l.mix_down[i], x, to_inner<hyperbolic>(w.work.low_mix[i]));
    };
    return std::tuple(product(0), product(1), product(2), product(3), product(4));
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

inline auto products6(const Worker& w, const Layer& l) {
    const Activations& for_w = w.work.mixed[rwkv::FOR_W];
    Product decay(l.decay.down, for_w, to_inner<hyperbolic>(w.work.low_w));
    return std::tuple_cat(products5(w, l), std::tuple(decay));
}

inline void time_mix_6(const Worker& w, int64_t index, const TokenShift& shift) {
    const Layer& layer = w.model.layers[index];
    Mixture first = {layer.mix[rwkv::FOR_X], &w.work.mixed[rwkv::FOR_X]};
    auto of_shares = products_of_shares(w, layer);
    auto products = products6(w, layer);
    shift.mix(&first, 1);
    w.meet(coming(w, of_shares));
    multiply_all(w, w.pass.count, of_shares);
    w.meet();
    mix_all_by_shares(w, layer, shift);
    w.meet(coming(w, products));
    shift.keep_last();
    multiply_all(w, w.pass.count, products);
    Heads<Head6> heads(w, index);
    w.meet(heads.coming());
    heads.run(layer.output);
}

}  // namespace
