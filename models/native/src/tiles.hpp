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
constexpr int HALF_BLOCKS = 1, HALF_TOKENS = LANES == 8 ? 4 : 2;

template <int B, int T>
void half_tile(const Matrix& m, const Activations& x, int64_t block, int64_t token,
               int64_t ahead, float (*out)[MOST_ROWS]) {
    static_assert(B == 1, "one block at a time");
    (void)ahead;
    const uint16_t* w = reinterpret_cast<const uint16_t*>(m.block(block));
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
#else
#include "integer_tiles.hpp"
#endif
