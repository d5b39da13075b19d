// The loops, compiled for each instruction set.
#include "vectors.hpp"

namespace rwkv {
namespace {

RWKV_INLINE float largest_of(const float* values, int64_t count) {
    Largest most(values[0]);
    Floats next;
    for (int64_t i = 0; i < count; i += WIDE) {
        for (int c = 0; c < CHAINS; ++c) {
            load(values + i + c * LANES, next);
            most.see(c, next);
        }
    }
    return most.found();
}

// Not by memcpy, which on some processors takes ten times as long where addresses lie badly.
RWKV_INLINE float copy_all(const float* values, int64_t count, float* to) {
    Largest most(values[0]);
    Floats next;
    int64_t i = 0;
    for (; i + WIDE <= count; i += WIDE) {
        for (int c = 0; c < CHAINS; ++c) {
            load(values + i + c * LANES, next);
            memcpy(to + i + c * LANES, &next, sizeof next);
            most.see(c, next);
        }
    }
    for (; i < count; ++i) {
        to[i] = values[i];
        most.see(0, Floats{} + values[i]);
    }
    return most.found();
}

RWKV_INLINE int64_t first_of(const float* values, int64_t from, int64_t count, float least) {
    Floats next;
    for (int64_t i = from / WIDE * WIDE; i < count; i += WIDE) {
        Words found = {};
        for (int c = 0; c < CHAINS; ++c) {
            load(values + i + c * LANES, next);
            found |= next >= least;
        }
        if (!any(found)) continue;
        for (int64_t j = i > from ? i : from; j < i + WIDE; ++j)
            if (values[j] >= least) return j;
    }
    return count;
}

RWKV_INLINE void restrict_all(float* values, int64_t count, const int32_t* mask) {
    const Words bits = {1, 2, 4, 8, 16, 32, 64, 128};
    const Floats out = Floats{} - INFINITY;
    Floats next;
    for (int64_t i = 0; i < count; i += LANES) {
        Words own = Words{} + int32_t(uint32_t(mask[i / 32]) >> (i % 32) & 0xff);
        load(values + i, next);
        next = (own & bits) != 0 ? next : out;
        memcpy(values + i, &next, sizeof next);
    }
}

RWKV_INLINE double weigh_block(float* values, float top, float inverse, float* largest) {
    const Floats least = Floats{} + LEAST;
    Doubles sum = {};  // one is enough beside exponentials
    Floats best = {}, x[ABREAST];
    for (int64_t i = 0; i < BLOCK; i += ABREAST * LANES) {
        for (int c = 0; c < ABREAST; ++c) {
            load(values + i + c * LANES, x[c]);
            x[c] = (x[c] - top) * inverse;
            x[c] = x[c] > least ? x[c] : least;
        }
        exponentials(x);
        for (int c = 0; c < ABREAST; ++c) {
            x[c] = x[c] < FINE ? (x[c] + FINE) - FINE : x[c];
            memcpy(values + i + c * LANES, &x[c], sizeof x[c]);
            best = x[c] > best ? x[c] : best;
            add(sum, x[c]);
        }
    }
    float found = best[0];
    for (int j = 1; j < LANES; ++j) found = best[j] > found ? best[j] : found;
    *largest = found;
    return exact_total(&sum, 1);
}

RWKV_INLINE double keep_in_block(float* weights, float least) {
    Doubles sums[CHAINS] = {};
    Floats next;
    for (int64_t i = 0; i < BLOCK; i += WIDE) {
        for (int c = 0; c < CHAINS; ++c) {
            load(weights + i + c * LANES, next);
            next = next >= least ? next : Floats{};
            memcpy(weights + i + c * LANES, &next, sizeof next);
            add(sums[c], next);
        }
    }
    return exact_total(sums, CHAINS);
}

// What is below `least` comes along where it lies beside others: there are no jumps to guess.
RWKV_INLINE void spread_block(const float* weights, float least, bool by_number, double* buckets) {
    Floats next;
    for (int64_t i = 0; i < BLOCK; i += LANES) {
        load(weights + i, next);
        if (!any(next >= least)) continue;
        for (int64_t j = i; j < i + LANES; ++j)
            buckets[bucket_of(weights[j])] += by_number ? 1 : weights[j];
    }
}

RWKV_INLINE int64_t places_in_block(const float* weights, float least, float most, int32_t* places) {
    Floats next;
    int64_t count = 0;
    for (int64_t i = 0; i < BLOCK; i += WIDE) {
        Words found = {};
        for (int c = 0; c < CHAINS; ++c) {
            load(weights + i + c * LANES, next);
            found |= (next >= least) & (next < most);
        }
        if (!any(found)) continue;
        for (int64_t j = i; j < i + WIDE; ++j)
            if (weights[j] >= least && weights[j] < most) places[count++] = int32_t(j);
    }
    return count;
}

RWKV_INLINE double exponentials_of(const float* logits, int64_t count, float top) {
    const Floats least = Floats{} + LEAST;
    Doubles sums[CHAINS] = {};
    for (int64_t i = 0; i < count; i += WIDE) {
#pragma GCC unroll 2
        for (int c = 0; c < CHAINS; c += ABREAST) {
            Floats x[ABREAST];
            Words counts[ABREAST];
            for (int d = 0; d < ABREAST; ++d) {
                load(logits + i + (c + d) * LANES, x[d]);
                x[d] = x[d] - top;
                counts[d] = x[d] > least;
                x[d] = counts[d] ? x[d] : least;
            }
            exponentials(x);
            for (int d = 0; d < ABREAST; ++d) add(sums[c + d], counts[d] ? x[d] : Floats{});
        }
    }
    return total(sums);
}

#define RWKV_LOOPS(name, attribute)                                                            \
    namespace name {                                                                           \
    attribute float largest(const float* v, int64_t n) { return largest_of(v, n); }            \
    attribute float copy(const float* v, int64_t n, float* to) { return copy_all(v, n, to); }  \
    attribute int64_t first(const float* v, int64_t from, int64_t n, float least) {            \
        return first_of(v, from, n, least);                                                    \
    }                                                                                          \
    attribute void restrict_to(float* v, int64_t n, const int32_t* mask) {                     \
        restrict_all(v, n, mask);                                                              \
    }                                                                                          \
    attribute double exponentials(const float* v, int64_t n, float top) {                      \
        return exponentials_of(v, n, top);                                                     \
    }                                                                                          \
    attribute double weigh(float* v, float top, float inverse, float* most) {                  \
        return weigh_block(v, top, inverse, most);                                             \
    }                                                                                          \
    attribute double keep(float* v, float least) { return keep_in_block(v, least); }           \
    attribute void spread(const float* v, float least, bool by_number, double* buckets) {      \
        by_number ? spread_block(v, least, true, buckets)                                      \
                  : spread_block(v, least, false, buckets);                                    \
    }                                                                                          \
    attribute int64_t places(const float* v, float least, float most, int32_t* to) {           \
        return places_in_block(v, least, most, to);                                            \
    }                                                                                          \
    const Loops all = {largest, copy, first, restrict_to, exponentials, weigh, keep, spread, places}; \
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
