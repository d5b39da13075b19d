// The recurrence of RWKV-4 over tokens, channel by channel, in order.
//
// A mean of all values so far, weighted by e^k and fading by e^w, w < 0, per token; the newest value
// has the bonus u instead. The sums are kept as aa·e^pp and bb·e^pp, so that no exponent above 0 is
// ever taken. Source: arXiv 2305.13048 and the `rwkv` package.
#pragma once

#include "simd.hpp"

namespace {

struct Sums4 {
    Vec aa, bb, pp;

    // With one more value v of weight e^k.
    Sums4 with(Vec k, Vec v) const {
        Vec most = larger(pp, k), old = exponential(pp - most), now = exponential(k - most);
        return {old * aa + now * v, old * bb + now, most};
    }
};

// state: aa, bb and pp of LANES channels, each `width` floats after the one before. k and v: rows
// `step` floats apart; y: rows `to_step` apart.
inline void scan4(float* state, int64_t width, const float* k, const float* v, int64_t step, Vec w,
                  Vec u, int64_t tokens, float* y, int64_t to_step) {
    Sums4 sums = {load(state), load(state + width), load(state + 2 * width)};
    for (int64_t t = 0; t < tokens; ++t) {
        Vec key = load(k + t * step), value = load(v + t * step);
        Sums4 now = sums.with(key + u, value);
        store(y + t * to_step, now.aa / now.bb);
        sums.pp += w;
        sums = sums.with(key, value);
    }
    store(state, sums.aa);
    store(state + width, sums.bb);
    store(state + 2 * width, sums.pp);
}

}  // namespace
