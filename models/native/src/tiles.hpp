// The innermost products: BLOCK or 2·BLOCK rows of a matrix by a few tokens. Those of integers are in
// integer_tiles_*.hpp.
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
using rwkv::Stored;
using rwkv::UNIT;

constexpr int MOST_TOKENS = 8;
constexpr int MOST_ROWS = 2 * BLOCK;
constexpr int PARTS = BLOCK / LANES;

// Asks for what lies `ahead` bytes further on.
inline void fetch(const void* now, int64_t ahead) {
    if (ahead) __builtin_prefetch(static_cast<const char*>(now) + ahead);
}

// total += sums · (scale of each row · scale of the token)
inline void add_scaled(Vec* total, const Int* sums, const uint16_t* scales, float scale) {
    for (int i = 0; i < PARTS; ++i)
        total[i] += __builtin_convertvector(sums[i], Vec) * (load_bf16(scales + i * LANES) * scale);
}

#if defined(__AVX512BF16__)
constexpr int HALF_BLOCKS = 2, HALF_TOKENS = 8;

template <int B, int T>
void half_tile(const Matrix& m, const Activations& x, int64_t block, int64_t token,
               int64_t ahead, float (*out)[MOST_ROWS]) {
    const uint16_t* w[B];
    const Half* in[T];
    __m512 total[B][T];
    for (int b = 0; b < B; ++b) w[b] = reinterpret_cast<const uint16_t*>(m.block(block + b));
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
// As many vectors of rows at once as have their sums in 16 registers; the next ones read from where
// the first ones' neighbours were read a moment ago.
constexpr int HALF_BLOCKS = LANES == 8 ? 2 : 1, HALF_TOKENS = LANES == 8 ? 6 : 2;
constexpr int PANEL = 64;  // inputs

template <int S, int T>
inline void half_strip(const uint16_t* w, const Half* in, int64_t stride, int64_t depth,
                       int64_t ahead, float (*out)[MOST_ROWS]) {
    Vec total[T][S];
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t)
#pragma GCC unroll 8
        for (int s = 0; s < S; ++s) total[t][s] = load(out[t] + s * LANES);
    for (int64_t k = 0; k < depth; k += 2, w += 2 * UNIT) {
#pragma GCC unroll 8
        for (int half = 0; half < 2; ++half) {
            Vec row[S];
#pragma GCC unroll 8
            for (int s = 0; s < S; ++s) {
                Uint both = load_as<Uint>(w + 2 * s * LANES);
                row[s] = bits<Vec>(half ? both & 0xffff0000u : both << 16);
            }
#pragma GCC unroll 8
            for (int t = 0; t < T; ++t) {
                float x = in[t * stride + k + half];
#pragma GCC unroll 8
                for (int s = 0; s < S; ++s) {
                    total[t][s] += row[s] * x;
                    keep(total[t][s]);
                }
            }
        }
#pragma GCC unroll 8
        for (int s = 0; s < S; s += 64 / (4 * LANES)) fetch(w + 2 * s * LANES, ahead);
    }
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t)
#pragma GCC unroll 8
        for (int s = 0; s < S; ++s) store(out[t] + s * LANES, total[t][s]);
}

template <int B, int T>
void half_tile(const Matrix& m, const Activations& x, int64_t block, int64_t token,
               int64_t ahead, float (*out)[MOST_ROWS]) {
    constexpr int S = T > 2 ? PARTS : B * PARTS;
    const uint16_t* w = reinterpret_cast<const uint16_t*>(m.block(block));
    for (int t = 0; t < T; ++t) memset(out[t], 0, B * BLOCK * sizeof(float));
    for (int64_t k = 0; k < m.depth; k += PANEL, w += PANEL * UNIT) {
        int64_t depth = m.depth - k < PANEL ? m.depth - k : PANEL;
        for (int row = 0; row < B * BLOCK; row += S * LANES)
            half_strip<S, T>(w + 2 * row, half_row(x, token) + k, x.depth, depth, ahead,
                             reinterpret_cast<float (*)[MOST_ROWS]>(out[0] + row));
    }
}
#endif

// Integers of BYTES have an int8 weight for each input, those of NIBBLES half as much.
struct ByteWeights {
    static constexpr int SCALED = GROUP, OFFSET = 128, PER_BYTE = 1;
};
struct NibbleWeights {
    static constexpr int SCALED = FEW, OFFSET = 8, PER_BYTE = 2;
};

}  // namespace

#if defined(__AVX512VNNI__)
#include "integer_tiles_avx512.hpp"
#elif defined(__AVX2__)
#include "integer_tiles_avx2.hpp"
#else
#include "integer_tiles.hpp"
#endif
