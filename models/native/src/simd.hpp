// Vectors of the width that the file is compiled for, and what is computed with them elementwise.
//
// Everything of a translation unit that is compiled for one instruction set has internal linkage:
// the linker must never take one set's code for another's.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define RWKV_LANES 16
#elif defined(__AVX2__)
#define RWKV_LANES 8
#else
#define RWKV_LANES 4
#endif

namespace {

constexpr int LANES = RWKV_LANES;

typedef float Vec __attribute__((vector_size(LANES * 4)));
typedef int32_t Int __attribute__((vector_size(LANES * 4)));
typedef uint32_t Uint __attribute__((vector_size(LANES * 4)));
typedef int8_t Bytes __attribute__((vector_size(LANES)));
typedef int16_t Shorts __attribute__((vector_size(LANES * 2)));
typedef uint16_t Halves __attribute__((vector_size(LANES * 2)));

template <class V, class T>
inline V load_as(const T* from) {
    V value;
    memcpy(&value, from, sizeof value);
    return value;
}
template <class V, class T>
inline void store_as(T* to, V value) { memcpy(to, &value, sizeof value); }

inline Vec load(const float* from) { return load_as<Vec>(from); }
inline void store(float* to, Vec value) { store_as(to, value); }
inline Vec all(float x) {
#if RWKV_LANES == 8
    return Vec(_mm256_set1_ps(x));  // GCC makes eight stores of the loop below
#else
    Vec value;
    for (int i = 0; i < LANES; ++i) value[i] = x;
    return value;
#endif
}
template <class To, class From>
inline To bits(From value) {
    static_assert(sizeof(To) == sizeof(From), "the same size");
    To result;
    memcpy(&result, &value, sizeof value);
    return result;
}

// A sum that is to stay in its register. Left alone, compilers may add products to one another before
// they add them to a sum, or put sums elsewhere, and then have too few registers for many.
template <class V>
inline void keep(V& sum) {
#if defined(__AVX2__)
    asm("" : "+x"(sum));
#else
    (void)sum;
#endif
}

// Memory that will be read soon.
inline void ask_for(const float* from, int64_t count) {
    for (int64_t i = 0; i < count; i += 16) __builtin_prefetch(from + i, 0, 2);
}

inline Vec absolute(Vec x) { return bits<Vec>(bits<Uint>(x) & 0x7fffffffu); }
inline Vec larger(Vec a, Vec b) { return a > b ? a : b; }
inline Vec smaller(Vec a, Vec b) { return a < b ? a : b; }

// Both halves are folded, and again: in registers, as a loop over the elements goes through memory.
#if RWKV_LANES == 16
inline float sum(Vec x) { return _mm512_reduce_add_ps(__m512(x)); }
inline int32_t sum(Int x) { return _mm512_reduce_add_epi32(__m512i(x)); }
inline float largest(Vec x) { return _mm512_reduce_max_ps(__m512(x)); }
#else
typedef float Four __attribute__((vector_size(16)));
typedef int32_t FourInt __attribute__((vector_size(16)));
inline float sum_four(Four x) { return (x[0] + x[2]) + (x[1] + x[3]); }
inline int32_t sum_four(FourInt x) { return (x[0] + x[2]) + (x[1] + x[3]); }
inline float largest_four(Four x) {
    float a = x[0] > x[2] ? x[0] : x[2], b = x[1] > x[3] ? x[1] : x[3];
    return a > b ? a : b;
}
#if RWKV_LANES == 8
inline Four low(Vec x) { return Four(_mm256_castps256_ps128(__m256(x))); }
inline Four high(Vec x) { return Four(_mm256_extractf128_ps(__m256(x), 1)); }
inline float sum(Vec x) { return sum_four(low(x) + high(x)); }
inline int32_t sum(Int x) {
    return sum_four(FourInt(_mm256_castsi256_si128(__m256i(x))) +
                    FourInt(_mm256_extracti128_si256(__m256i(x), 1)));
}
inline float largest(Vec x) {
    Four a = low(x), b = high(x);
    return largest_four(a > b ? a : b);
}
#else
inline float sum(Vec x) { return sum_four(x); }
inline int32_t sum(Int x) { return sum_four(x); }
inline float largest(Vec x) { return largest_four(x); }
#endif
#endif

// To the nearest integer, ties to even, for |x| below 2^22.
inline Vec rounded(Vec x) {
    Vec magic = all(12582912.0f);
    return (x + magic) - magic;
}

// Relative error below 2e-7 between -87 and 88; what lies outside counts as the bound.
inline Vec exponential(Vec x) {
    x = smaller(larger(x, all(-87.0f)), all(88.0f));
    Vec n = rounded(x * 1.44269504f);
    Vec f = x - n * 0.693359375f;
    f = f - n * -2.12194440e-4f;
    Vec p = all(1.9875691500e-4f);
    p = p * f + 1.3981999507e-3f;
    p = p * f + 8.3334519073e-3f;
    p = p * f + 4.1665795894e-2f;
    p = p * f + 1.6666665459e-1f;
    p = p * f + 5.0000001201e-1f;
    p = p * (f * f) + f + 1.0f;
    Int exponent = (__builtin_convertvector(n, Int) + 127) << 23;
    return p * bits<Vec>(exponent);
}
inline Vec sigmoid(Vec x) { return 1.0f / (1.0f + exponential(-x)); }
inline Vec hyperbolic(Vec x) { return 1.0f - 2.0f / (1.0f + exponential(x + x)); }

inline float from_bf16(uint16_t x) { return bits<float>(uint32_t(x) << 16); }
inline Vec load_bf16(const uint16_t* from) {
    // Which the compilers' own notation makes four instructions of.
#if RWKV_LANES == 16
    return bits<Vec>(_mm512_slli_epi32(_mm512_cvtepu16_epi32(load_as<__m256i>(from)), 16));
#elif RWKV_LANES == 8
    return bits<Vec>(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load_as<__m128i>(from)), 16));
#else
    return bits<Vec>(__builtin_convertvector(load_as<Halves>(from), Uint) << 16);
#endif
}

}  // namespace
