// Matrices turned: what were rows are columns then.
#pragma once

#include "simd.hpp"

namespace {

#if RWKV_LANES > 4
// Four columns of every fourth row, side by side: what is put together while it is read needs no shuffle.
inline Vec four_columns(const float* from, int64_t stride) {
#if RWKV_LANES == 16
    __m512 x = _mm512_castps128_ps512(_mm_loadu_ps(from));
    x = _mm512_insertf32x4(x, _mm_loadu_ps(from + 4 * stride), 1);
    x = _mm512_insertf32x4(x, _mm_loadu_ps(from + 8 * stride), 2);
    return Vec(_mm512_insertf32x4(x, _mm_loadu_ps(from + 12 * stride), 3));
#else
    __m256 x = _mm256_castps128_ps256(_mm_loadu_ps(from));
    return Vec(_mm256_insertf128_ps(x, _mm_loadu_ps(from + 4 * stride), 1));
#endif
}

// Of every four values the first two, or the last two, of both in turn: one by one, or by twos.
#if RWKV_LANES == 16
inline Vec first_ones(Vec a, Vec b) { return Vec(_mm512_unpacklo_ps(__m512(a), __m512(b))); }
inline Vec last_ones(Vec a, Vec b) { return Vec(_mm512_unpackhi_ps(__m512(a), __m512(b))); }
inline Vec first_twos(Vec a, Vec b) { return Vec(_mm512_unpacklo_pd(__m512d(a), __m512d(b))); }
inline Vec last_twos(Vec a, Vec b) { return Vec(_mm512_unpackhi_pd(__m512d(a), __m512d(b))); }
#else
inline Vec first_ones(Vec a, Vec b) { return Vec(_mm256_unpacklo_ps(__m256(a), __m256(b))); }
inline Vec last_ones(Vec a, Vec b) { return Vec(_mm256_unpackhi_ps(__m256(a), __m256(b))); }
inline Vec first_twos(Vec a, Vec b) { return Vec(_mm256_unpacklo_pd(__m256d(a), __m256d(b))); }
inline Vec last_twos(Vec a, Vec b) { return Vec(_mm256_unpackhi_pd(__m256d(a), __m256d(b))); }
#endif
#elif defined(__clang__) || __GNUC__ >= 12
inline Vec four_columns(const float* from, int64_t) { return load(from); }
inline Vec first_ones(Vec a, Vec b) { return __builtin_shufflevector(a, b, 0, 4, 1, 5); }
inline Vec last_ones(Vec a, Vec b) { return __builtin_shufflevector(a, b, 2, 6, 3, 7); }
inline Vec first_twos(Vec a, Vec b) { return __builtin_shufflevector(a, b, 0, 1, 4, 5); }
inline Vec last_twos(Vec a, Vec b) { return __builtin_shufflevector(a, b, 2, 3, 6, 7); }
#else
#define RWKV_NO_SHUFFLES 1
#endif

// The square tile at `from` (rows `stride` apart) turned into `to` (rows `to_stride` apart).
inline void turn_tile(const float* from, int64_t stride, float* to, int64_t to_stride) {
#if defined(RWKV_NO_SHUFFLES)
    for (int i = 0; i < LANES; ++i)
        for (int j = 0; j < LANES; ++j) to[j * to_stride + i] = from[i * stride + j];
#else
    for (int j = 0; j < LANES; j += 4, from += 4) {
        Vec a[4];
        for (int i = 0; i < 4; ++i) a[i] = four_columns(from + i * stride, stride);
        Vec low = first_ones(a[0], a[1]), high = first_ones(a[2], a[3]);
        store(to + j * to_stride, first_twos(low, high));
        store(to + (j + 1) * to_stride, last_twos(low, high));
        low = last_ones(a[0], a[1]), high = last_ones(a[2], a[3]);
        store(to + (j + 2) * to_stride, first_twos(low, high));
        store(to + (j + 3) * to_stride, last_twos(low, high));
    }
#endif
}

// A square matrix of n·n, n a multiple of 16.
inline void turn(const float* from, float* to, int64_t n) {
    for (int64_t i = 0; i < n; i += LANES)
        for (int64_t j = 0; j < n; j += LANES) turn_tile(from + i * n + j, n, to + j * n + i, n);
}

}  // namespace
