// The loops, in vectors of eight by the compilers' own notation, compiled for each instruction set.
#include "vocabulary.hpp"

#define RWKV_INLINE inline __attribute__((always_inline))

namespace rwkv {
namespace {

constexpr int LANES = 8;
constexpr int CHAINS = WIDE / LANES;  // sums side by side, as one has to wait for its addition

typedef float Floats __attribute__((vector_size(4 * LANES)));
typedef int32_t Words __attribute__((vector_size(4 * LANES)));
typedef double Doubles __attribute__((vector_size(8 * LANES)));

constexpr float LEAST = -30.0f;                // exp of it is a weight of 0
constexpr float FINE = 1.0f / (1 << 11);       // below it float32 is finer than 2^-34
constexpr float WHOLE = 12582912.0f;           // 1.5 * 2^23: adding it leaves no fraction

RWKV_INLINE void load(const float* from, Floats& to) { memcpy(&to, from, sizeof to); }

RWKV_INLINE void add(Doubles& sums, const Floats& values) {
    sums += __builtin_convertvector(values, Doubles);
}

RWKV_INLINE double total(const Doubles* chains) {
    double sum = 0;
    for (int c = 0; c < CHAINS; ++c)
        for (int j = 0; j < LANES; ++j) sum += chains[c][j];
    return sum;
}

// exp(x) for LEAST <= x <= 0: a power of two times a series of seven terms, to 1e-7.
RWKV_INLINE void exponential(Floats& x) {
    Floats shifted = x * 1.44269504f + WHOLE;
    Floats k = shifted - WHOLE;
    Floats r = x - k * 0.693359375f;
    r = r - k * -2.12194440e-4f;
    Floats sum = r * (1.0f / 5040) + 1.0f / 720;
    sum = sum * r + 1.0f / 120;
    sum = sum * r + 1.0f / 24;
    sum = sum * r + 1.0f / 6;
    sum = sum * r + 0.5f;
    sum = sum * r + 1.0f;
    sum = sum * r + 1.0f;
    Words power;
    memcpy(&power, &shifted, sizeof power);
    power = (power + 127) << 23;
    Floats scale;
    memcpy(&scale, &power, sizeof scale);
    x = sum * scale;
}

RWKV_INLINE float largest_of(const float* values, int64_t count) {
    Floats best[CHAINS], next;
    Words bad = {};
    for (int c = 0; c < CHAINS; ++c) load(values + c * LANES, best[c]);
    for (int64_t i = 0; i < count; i += WIDE) {
        for (int c = 0; c < CHAINS; ++c) {
            load(values + i + c * LANES, next);
            bad |= next != next;
            best[c] = next > best[c] ? next : best[c];
        }
    }
    float found = best[0][0];
    for (int j = 0; j < WIDE; ++j) {
        if (bad[j % LANES]) return NAN;
        float other = best[j / LANES][j % LANES];
        found = other > found ? other : found;
    }
    return found;
}

RWKV_INLINE void weigh_all(const float* logits, int64_t count, float top, float inverse,
                           float* weights) {
    const Floats least = Floats{} + LEAST;
    for (int64_t i = 0; i < count; i += LANES) {
        Floats x;
        load(logits + i, x);
        x = (x - top) * inverse;
        x = x > least ? x : least;
        exponential(x);
        x = x < FINE ? (x + FINE) - FINE : x;
        memcpy(weights + i, &x, sizeof x);
    }
}

RWKV_INLINE double exponentials_of(const float* logits, int64_t count, float top) {
    const Floats least = Floats{} + LEAST;
    Doubles sums[CHAINS] = {};
    for (int64_t i = 0; i < count; i += WIDE) {
        for (int c = 0; c < CHAINS; ++c) {
            Floats x;
            load(logits + i + c * LANES, x);
            x = x - top;
            Words counts = x > least;
            x = counts ? x : least;
            exponential(x);
            add(sums[c], counts ? x : Floats{});
        }
    }
    return total(sums);
}

RWKV_INLINE double sum_of(const float* values, int64_t count, float least) {
    Doubles sums[CHAINS] = {};
    Floats next;
    for (int64_t i = 0; i < count; i += WIDE) {
        for (int c = 0; c < CHAINS; ++c) {
            load(values + i + c * LANES, next);
            add(sums[c], next >= least ? next : Floats{});
        }
    }
    return total(sums);
}

RWKV_INLINE double about_sum_of(const float* values, int64_t count, float least) {
    Floats sums[CHAINS] = {}, next;
    for (int64_t i = 0; i < count; i += WIDE) {
        for (int c = 0; c < CHAINS; ++c) {
            load(values + i + c * LANES, next);
            sums[c] += next >= least ? next : Floats{};
        }
    }
    double sum = 0;
    for (int j = 0; j < WIDE; ++j) sum += double(sums[j / LANES][j % LANES]);
    return sum;
}

RWKV_INLINE int64_t number_of(const float* values, int64_t count, float least) {
    Words found = {};
    Floats next;
    for (int64_t i = 0; i < count; i += LANES) {
        load(values + i, next);
        found -= next >= least;
    }
    int64_t number = 0;
    for (int j = 0; j < LANES; ++j) number += found[j];
    return number;
}

#define RWKV_LOOPS(name, attribute)                                                            \
    namespace name {                                                                           \
    attribute float largest(const float* v, int64_t n) { return largest_of(v, n); }            \
    attribute void weigh(const float* v, int64_t n, float top, float inverse, float* to) {     \
        weigh_all(v, n, top, inverse, to);                                                     \
    }                                                                                          \
    attribute double exponentials(const float* v, int64_t n, float top) {                      \
        return exponentials_of(v, n, top);                                                     \
    }                                                                                          \
    attribute double sum(const float* v, int64_t n, float least) { return sum_of(v, n, least); } \
    attribute double about_sum(const float* v, int64_t n, float least) {                       \
        return about_sum_of(v, n, least);                                                      \
    }                                                                                          \
    attribute int64_t number(const float* v, int64_t n, float least) {                         \
        return number_of(v, n, least);                                                         \
    }                                                                                          \
    const Loops all = {largest, weigh, exponentials, sum, about_sum, number};                             \
    }

RWKV_LOOPS(plain, )
#if defined(__x86_64__)
RWKV_LOOPS(avx2, __attribute__((target("avx2"))))
RWKV_LOOPS(avx512, __attribute__((target("avx512f,avx512vl,avx512dq"))))
#endif

const Loops& best() {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
        return avx512::all;
    if (__builtin_cpu_supports("avx2")) return avx2::all;
#endif
    return plain::all;
}

}  // namespace

const Loops& loops() {
    static const Loops& chosen = best();
    return chosen;
}

}  // namespace rwkv
