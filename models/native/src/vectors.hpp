// Vectors of eight by the compilers' own notation, for the loops of vocabulary.cpp, which are compiled
// for each instruction set: what is here is part of them.
#pragma once

#include "vocabulary.hpp"

#define RWKV_INLINE inline __attribute__((always_inline))

namespace rwkv {
namespace {

constexpr int LANES = 8;
constexpr int CHAINS = WIDE / LANES;  // sums side by side, as one has to wait for its addition
constexpr int ABREAST = 2;            // vectors whose exponentials are computed at once

typedef float Floats __attribute__((vector_size(4 * LANES)));
typedef int32_t Words __attribute__((vector_size(4 * LANES)));
typedef int64_t Longs __attribute__((vector_size(4 * LANES)));
typedef double WideDoubles __attribute__((vector_size(8 * LANES)));
typedef double HalfDoubles __attribute__((vector_size(8 * LANES / 2)));

// As wide as Floats each: compilers bring what is wider than a register through memory.
struct Doubles {
    HalfDoubles low, high;
    double operator[](int j) const { return j < LANES / 2 ? low[j] : high[j - LANES / 2]; }
};

constexpr float LEAST = -30.0f;           // exp of it is a weight of 0
constexpr float FINE = 1.0f / (1 << 11);  // below it float32 is finer than 2^-34
constexpr float WHOLE = 12582912.0f;      // 1.5 * 2^23: adding it leaves no fraction

RWKV_INLINE void load(const float* from, Floats& to) { memcpy(&to, from, sizeof to); }

RWKV_INLINE void add(Doubles& sums, const Floats& values) {
    WideDoubles wide = __builtin_convertvector(values, WideDoubles);
    HalfDoubles halves[2];
    memcpy(halves, &wide, sizeof halves);
    sums.low += halves[0];
    sums.high += halves[1];
}

RWKV_INLINE double total(const Doubles* chains) {
    double sum = 0;
    for (int c = 0; c < CHAINS; ++c)
        for (int j = 0; j < LANES; ++j) sum += chains[c][j];
    return sum;
}

// The same where sums are exact.
RWKV_INLINE double exact_total(const Doubles* chains, int count) {
    HalfDoubles all = chains[0].low + chains[0].high;
    for (int c = 1; c < count; ++c) all += chains[c].low + chains[c].high;
    return (all[0] + all[1]) + (all[2] + all[3]);
}

RWKV_INLINE bool any(const Words& found) {
    Longs halves = (Longs)found;
    return (halves[0] | halves[1] | halves[2] | halves[3]) != 0;
}

// exp(x) for LEAST <= x <= 0: a power of two times a series of seven terms, to 1e-7. Of ABREAST
// vectors, as every operation of one waits for the one before.
RWKV_INLINE void exponentials(Floats* x) {
    constexpr float TERMS[] = {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f};
    Floats shifted[ABREAST], r[ABREAST], sum[ABREAST];
    for (int c = 0; c < ABREAST; ++c) {
        shifted[c] = x[c] * 1.44269504f + WHOLE;
        Floats k = shifted[c] - WHOLE;
        r[c] = x[c] - k * 0.693359375f;
        r[c] = r[c] - k * -2.12194440e-4f;
        sum[c] = r[c] * (1.0f / 5040) + TERMS[0];
    }
#pragma GCC unroll 7
    for (int term = 1; term < 7; ++term)
#pragma GCC unroll 4
        for (int c = 0; c < ABREAST; ++c) sum[c] = sum[c] * r[c] + TERMS[term];
    for (int c = 0; c < ABREAST; ++c) {
        Words power;
        memcpy(&power, &shifted[c], sizeof power);
        power = (power + 127) << 23;
        Floats scale;
        memcpy(&scale, &power, sizeof scale);
        x[c] = sum[c] * scale;
    }
}

// The largest of what was seen; NaN where any was.
struct Largest {
    Floats best[CHAINS];
    Words bad = {};

    RWKV_INLINE explicit Largest(float first) {
        for (Floats& one : best) one = Floats{} + first;
    }

    RWKV_INLINE void see(int chain, const Floats& next) {
        bad |= next != next;
        best[chain] = next > best[chain] ? next : best[chain];
    }

    RWKV_INLINE float found() const {
        if (any(bad)) return NAN;
        float most = best[0][0];
        for (int j = 1; j < WIDE; ++j) {
            float other = best[j / LANES][j % LANES];
            most = other > most ? other : most;
        }
        return most;
    }
};

}  // namespace
}  // namespace rwkv
