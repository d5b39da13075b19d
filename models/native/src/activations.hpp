// Float32 activations to the form that the matrices of a format are multiplied by.
#pragma once

#include "model.hpp"
#include "simd.hpp"

#if defined(__AVX2__)
#include <immintrin.h>
#endif
#if defined(__AVX512VNNI__) || defined(__ARM_FEATURE_DOTPROD)
#define RWKV_SPLIT 1  // 16-bit activations as two signed bytes, in planes of their own
#endif

namespace {

using rwkv::Activations;
using rwkv::BLOCK;
using rwkv::FEW;
using rwkv::GROUP;

#if defined(__AVX512BF16__)
typedef uint16_t Half;
inline void to_half(Half* to, Vec x) { store_as(to, _mm512_cvtneps_pbh(__m512(x))); }
#else
typedef float Half;
inline void to_half(Half* to, Vec x) { store(to, x); }
#endif

inline Half* half_row(const Activations& a, int64_t t) {
    return static_cast<Half*>(a.half) + t * a.depth;
}

// BLOCK values, from input `at` on.
inline void put_half(const Activations& to, int64_t t, int64_t at, const float* from) {
    Half* row = half_row(to, t) + at;
    for (int i = 0; i < BLOCK; i += LANES) to_half(row + i, load(from + i));
}

// AVX2 multiplies inputs 0 and 2 of four together, and 1 and 3.
inline Shorts in_order(Shorts x) {
#if defined(__AVX2__) && !defined(RWKV_SPLIT)
    return Shorts(_mm_shufflehi_epi16(_mm_shufflelo_epi16(__m128i(x), 0xd8), 0xd8));
#else
    return x;
#endif
}

// GROUP values to integers up to 127·256 in size.
inline void put_fine(const Activations& to, int64_t t, int64_t group, const float* from) {
    constexpr int COUNT = GROUP / LANES;
    Vec most = all(0.0f);
    for (int i = 0; i < COUNT; ++i) most = larger(most, absolute(load(from + i * LANES)));
    float size = largest(most), scale = size * (1.0f / 32512.0f);
    float inverse = size > 1e-30f ? 32512.0f / size : 0.0f;
    Int high_sum = {}, low_sum = {};
    for (int i = 0; i < COUNT; ++i) {
        Int q = __builtin_convertvector(rounded(load(from + i * LANES) * inverse), Int);
        int64_t at = group * GROUP + i * LANES;
#if defined(RWKV_SPLIT)
        int8_t* row = reinterpret_cast<int8_t*>(to.fine + t * to.depth);
        Int high = (q + 128) >> 8, low = q - (high << 8);
        store_as(row + at, __builtin_convertvector(high, Bytes));
        store_as(row + to.depth + at, __builtin_convertvector(low, Bytes));
        high_sum += high;
        low_sum += low;
#else
        store_as(to.fine + t * to.depth + at, in_order(__builtin_convertvector(q, Shorts)));
        low_sum += q;
#endif
    }
    int64_t place = t * to.groups + group;
    to.scales[place] = scale;
    to.offsets[2 * place] = -sum(high_sum);
    to.offsets[2 * place + 1] = -sum(low_sum);
}

// GROUP values to integers up to 127 in size.
inline void put_coarse(const Activations& to, int64_t t, int64_t group, const float* from) {
    constexpr int COUNT = GROUP / LANES, HALF_COUNT = FEW / LANES;
    Vec most = all(0.0f);
    for (int i = 0; i < COUNT; ++i) most = larger(most, absolute(load(from + i * LANES)));
    float size = largest(most);
    float inverse = size > 1e-30f ? 127.0f / size : 0.0f;
    int8_t* row = to.coarse + t * to.depth + group * GROUP;
    Int sums[2] = {};
    for (int i = 0; i < COUNT; ++i) {
        Int q = __builtin_convertvector(rounded(load(from + i * LANES) * inverse), Int);
        store_as(row + i * LANES, __builtin_convertvector(q, Bytes));
        sums[i / HALF_COUNT] += q;
    }
    int64_t place = t * to.groups + group;
    to.scales[place] = size * (1.0f / 127.0f);
    for (int i = 0; i < 2; ++i) to.offsets[2 * place + i] = -sum(sums[i]);
}

// GROUP values in every form that `to` has.
inline void put_group(const Activations& to, int64_t t, int64_t group, const float* from) {
    if (to.half)
        for (int i = 0; i < GROUP; i += BLOCK) put_half(to, t, group * GROUP + i, from + i);
    if (to.fine) put_fine(to, t, group, from);
    if (to.coarse) put_coarse(to, t, group, from);
}

}  // namespace
