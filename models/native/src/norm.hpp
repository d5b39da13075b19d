// LayerNorm, and token shift with mixing, of single tokens.
#pragma once

#include "activations.hpp"

namespace {

using rwkv::Norm;

constexpr float LAYER_NORM_EPS = 1e-5f;
constexpr float GROUP_NORM_EPS = 64e-5f;

// `to` may be `from`. n is a multiple of 16.
inline void normalise(const float* from, int64_t n, const float* weight, const float* bias,
                      float eps, float* to) {
    Vec total = {};
    for (int64_t i = 0; i < n; i += LANES) total += load(from + i);
    float mean = sum(total) / float(n);
    Vec squares = {};
    for (int64_t i = 0; i < n; i += LANES) {
        Vec d = load(from + i) - mean;
        squares += d * d;
    }
    float scale = 1.0f / sqrtf(sum(squares) / float(n) + eps);
    for (int64_t i = 0; i < n; i += LANES)
        store(to + i, (load(from + i) - mean) * scale * load(weight + i) + load(bias + i));
}

inline void layer_norm(const float* from, int64_t n, const Norm& norm, float* to) {
    normalise(from, n, norm.weight, norm.bias, LAYER_NORM_EPS, to);
}

// x + (before - x)·share for each of `count` shares, made ready in `to` as token t.
inline void mix(const float* x, const float* before, float* const* shares, int count, int64_t n,
                const Activations* to, int64_t t) {
    for (int64_t group = 0; group * GROUP < n; ++group) {
        int64_t start = group * GROUP, stop = start + GROUP < n ? start + GROUP : n;
        alignas(64) float mixed[GROUP] = {};
        for (int s = 0; s < count; ++s) {
            for (int64_t i = start; i < stop; i += LANES) {
                Vec now = load(x + i);
                store(mixed + i - start, now + (load(before + i) - now) * load(shares[s] + i));
            }
            put_group(to[s], t, group, mixed);
        }
    }
}

}  // namespace
