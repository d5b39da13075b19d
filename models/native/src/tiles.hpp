// The innermost products: BLOCK or 2·BLOCK rows of a matrix by a few tokens.
//
// Every output is one sum in order of depth, whatever the tile: a token's result depends neither on
// its neighbours nor on who computes it. Output: out[token][block * BLOCK + row]. `ahead`: how many
// bytes before they are needed weights are asked for, 0 where they are near already.
#pragma once

#include "activations.hpp"

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#elif defined(__ARM_FEATURE_DOTPROD)
#include <arm_neon.h>
#endif

namespace {

using rwkv::Matrix;
using rwkv::UNIT;

constexpr int MOST_TOKENS = 8;
constexpr int MOST_ROWS = 2 * BLOCK;
constexpr int PARTS = BLOCK / LANES;

// Asks for what lies `ahead` bytes further on.
inline void fetch(const void* now, int64_t ahead) {
    if (ahead) __builtin_prefetch(static_cast<const char*>(now) + ahead);
}

// ---- bf16

#if defined(__AVX512BF16__)
constexpr int HALF_BLOCKS = 2, HALF_TOKENS = 8;

template <int B, int T>
void half_tile(const Matrix& m, const Activations& x, int64_t block, int64_t token,
               int64_t ahead, float (*out)[MOST_ROWS]) {
    const uint16_t* w[B];
    const Half* in[T];
    __m512 total[B][T];
    for (int b = 0; b < B; ++b) w[b] = m.half_block(block + b);
    for (int t = 0; t < T; ++t) in[t] = half_row(x, token + t);
    for (int b = 0; b < B; ++b)
        for (int t = 0; t < T; ++t) total[b][t] = _mm512_setzero_ps();
    for (int64_t k = 0; k < m.depth; k += 2) {
        __m512bh row[B];
        for (int b = 0; b < B; ++b) row[b] = (__m512bh)_mm512_load_si512(w[b] + k * UNIT);
        for (int b = 0; b < B; ++b) fetch(w[b] + k * UNIT, ahead);
        for (int t = 0; t < T; ++t) {
            __m512bh pair = (__m512bh)_mm512_set1_epi32(load_as<int32_t>(in[t] + k));
            for (int b = 0; b < B; ++b) total[b][t] = _mm512_dpbf16_ps(total[b][t], row[b], pair);
        }
    }
    for (int b = 0; b < B; ++b)
        for (int t = 0; t < T; ++t) _mm512_storeu_ps(out[t] + b * BLOCK, total[b][t]);
}

#else
constexpr int HALF_BLOCKS = 1, HALF_TOKENS = LANES == 8 ? 4 : 2;

template <int B, int T>
void half_tile(const Matrix& m, const Activations& x, int64_t block, int64_t token,
               int64_t ahead, float (*out)[MOST_ROWS]) {
    static_assert(B == 1, "one block at a time");
    (void)ahead;
    const uint16_t* w = m.half_block(block);
    Vec total[T][PARTS] = {};
    for (int64_t k = 0; k < m.depth; k += 2) {
        for (int i = 0; i < PARTS; ++i) {
            Uint both = load_as<Uint>(w + k * UNIT + 2 * i * LANES);
            Vec even = bits<Vec>(both << 16), odd = bits<Vec>(both & 0xffff0000u);
            for (int t = 0; t < T; ++t) {
                const Half* in = half_row(x, token + t) + k;
                total[t][i] += even * in[0];
                total[t][i] += odd * in[1];
            }
        }
    }
    for (int t = 0; t < T; ++t)
        for (int i = 0; i < PARTS; ++i) store(out[t] + i * LANES, total[t][i]);
}
#endif

// ---- int8 by 16-bit integers: exact within a group, then scaled

// total += sums · (scale of each row · scale of the token)
inline void add_scaled(Vec* total, const Int* sums, const uint16_t* scales, float scale) {
    for (int i = 0; i < PARTS; ++i)
        total[i] += __builtin_convertvector(sums[i], Vec) * (load_bf16(scales + i * LANES) * scale);
}

#if defined(__AVX512VNNI__)
constexpr int FINE_BLOCKS = 2, FINE_TOKENS = 4;

template <int B, int T>
void fine_tile(const Matrix& m, const Activations& x, int64_t block, int64_t token,
               int64_t ahead, float (*out)[MOST_ROWS]) {
    const uint8_t* w[B];
    const int8_t* in[T];
    Vec total[B][T] = {};
    for (int b = 0; b < B; ++b) w[b] = m.byte_block(block + b);
    for (int t = 0; t < T; ++t)
        in[t] = reinterpret_cast<const int8_t*>(x.fine + (token + t) * x.depth);
    int64_t groups = m.depth / GROUP;
    for (int64_t g = 0; g < groups; ++g) {
        __m512i high[B][T], low[B][T];
        for (int t = 0; t < T; ++t) {
            const int32_t* offsets = x.offsets + 2 * ((token + t) * x.groups + g);
            for (int b = 0; b < B; ++b) {
                high[b][t] = _mm512_set1_epi32(offsets[0]);
                low[b][t] = _mm512_set1_epi32(offsets[1]);
            }
        }
#pragma GCC unroll 4
        for (int64_t k = g * GROUP; k < (g + 1) * GROUP; k += 4) {
            __m512i row[B];
            for (int b = 0; b < B; ++b) row[b] = _mm512_load_si512(w[b] + k * UNIT);
            for (int b = 0; b < B; ++b) fetch(w[b] + k * UNIT, ahead);
            for (int t = 0; t < T; ++t) {
                __m512i h = _mm512_set1_epi32(load_as<int32_t>(in[t] + k));
                __m512i l = _mm512_set1_epi32(load_as<int32_t>(in[t] + x.depth + k));
                for (int b = 0; b < B; ++b) {
                    high[b][t] = _mm512_dpbusd_epi32(high[b][t], row[b], h);
                    low[b][t] = _mm512_dpbusd_epi32(low[b][t], row[b], l);
                }
            }
        }
        for (int b = 0; b < B; ++b) {
            const uint16_t* scales = m.block_scales(block + b, g);
            for (int t = 0; t < T; ++t) {
                Int sums = (Int(high[b][t]) << 8) + Int(low[b][t]);
                add_scaled(&total[b][t], &sums, scales, x.scales[(token + t) * x.groups + g]);
            }
        }
    }
    for (int b = 0; b < B; ++b)
        for (int t = 0; t < T; ++t) store(out[t] + b * BLOCK, total[b][t]);
}

#else
constexpr int FINE_BLOCKS = 1, FINE_TOKENS = 2;

// One group of one block: sums[t] of every row, for T tokens from `in` on, `stride` bytes apart.
template <int T>
inline void group_sums(const uint8_t* w, const int8_t* in, int64_t stride, int64_t depth,
                       const int32_t* offsets, int64_t offset_stride, Int (*sums)[PARTS]) {
#if defined(__AVX2__)
    (void)depth;
    __m256i pairs[T][4] = {};  // four rows each, two sums a row
    for (int k = 0; k < GROUP; k += 4) {
        for (int i = 0; i < 4; ++i) {
            __m256i row = _mm256_cvtepu8_epi16(
                _mm_load_si128(reinterpret_cast<const __m128i*>(w + k * UNIT + 16 * i)));
            for (int t = 0; t < T; ++t) {
                __m256i x = _mm256_set1_epi64x(load_as<int64_t>(in + t * stride + 2 * k));
                pairs[t][i] = _mm256_add_epi32(pairs[t][i], _mm256_madd_epi16(row, x));
            }
        }
    }
    for (int t = 0; t < T; ++t) {
        __m256i offset = _mm256_set1_epi32(offsets[t * offset_stride + 1]);
        for (int i = 0; i < 2; ++i) {
            __m256i rows = _mm256_hadd_epi32(pairs[t][2 * i], pairs[t][2 * i + 1]);
            rows = _mm256_permute4x64_epi64(rows, 0xd8);
            sums[t][i] = Int(_mm256_add_epi32(rows, offset));
        }
    }
#elif defined(__ARM_FEATURE_DOTPROD)
    (void)offsets, (void)offset_stride;
    int32x4_t high[T][4], low[T][4];
    for (int t = 0; t < T; ++t)
        for (int i = 0; i < 4; ++i) high[t][i] = low[t][i] = vdupq_n_s32(0);
    for (int k = 0; k < GROUP; k += 4) {
        for (int i = 0; i < 4; ++i) {
            uint8x16_t stored = vld1q_u8(w + k * UNIT + 16 * i);
            int8x16_t row = vreinterpretq_s8_u8(veorq_u8(stored, vdupq_n_u8(128)));
            for (int t = 0; t < T; ++t) {
                const int8_t* at = in + t * stride + k;
                int8x16_t h = vreinterpretq_s8_s32(vdupq_n_s32(load_as<int32_t>(at)));
                int8x16_t l = vreinterpretq_s8_s32(vdupq_n_s32(load_as<int32_t>(at + depth)));
                high[t][i] = vdotq_s32(high[t][i], row, h);
                low[t][i] = vdotq_s32(low[t][i], row, l);
            }
        }
    }
    for (int t = 0; t < T; ++t)
        for (int i = 0; i < 4; ++i)
            sums[t][i] = bits<Int>(vaddq_s32(vshlq_n_s32(high[t][i], 8), low[t][i]));
#else
    (void)depth;
    for (int t = 0; t < T; ++t) {
        for (int i = 0; i < PARTS; ++i) sums[t][i] = Int{} + offsets[t * offset_stride + 1];
        for (int k = 0; k < GROUP; k += 4) {
            int16_t x[4];
            memcpy(x, in + t * stride + 2 * k, sizeof x);
            for (int i = 0; i < PARTS; ++i) {
                Int row = load_as<Int>(w + k * UNIT + 4 * i * LANES);
                for (int n = 0; n < 4; ++n) sums[t][i] += ((row >> (8 * n)) & 255) * int32_t(x[n]);
            }
        }
    }
#endif
}

template <int B, int T>
void fine_tile(const Matrix& m, const Activations& x, int64_t block, int64_t token,
               int64_t ahead, float (*out)[MOST_ROWS]) {
    static_assert(B == 1, "one block at a time");
    (void)ahead;
    const uint8_t* w = m.byte_block(block);
    int64_t groups = m.depth / GROUP;
    Vec total[T][PARTS] = {};
#if defined(RWKV_SPLIT)
    int64_t step = GROUP;
#else
    int64_t step = 2 * GROUP;
#endif
    for (int64_t g = 0; g < groups; ++g) {
        Int sums[T][PARTS];
        const int8_t* in = reinterpret_cast<const int8_t*>(x.fine + token * x.depth) + g * step;
        const int64_t place = token * x.groups + g;
        group_sums<T>(w + g * GROUP * UNIT, in, 2 * x.depth, x.depth, x.offsets + 2 * place,
                      2 * x.groups, sums);
        const uint16_t* scales = m.block_scales(block, g);
        for (int t = 0; t < T; ++t)
            add_scaled(total[t], sums[t], scales, x.scales[place + t * x.groups]);
    }
    for (int t = 0; t < T; ++t)
        for (int i = 0; i < PARTS; ++i) store(out[t] + i * LANES, total[t][i]);
}
#endif

}  // namespace
