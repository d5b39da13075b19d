// LayerNorm of single tokens.
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

// A head's part of the GroupNorm of all, in place; its channels begin at `first`.
inline void head_norm(float* y, int64_t n, const Norm& norm, int64_t first) {
    normalise(y, n, norm.weight + first, norm.bias + first, GROUP_NORM_EPS, y);
}

}  // namespace
