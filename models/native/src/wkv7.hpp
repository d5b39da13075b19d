// The recurrence of RWKV-7 over the tokens of one head, in order.
//
// With the state S [value,key], kk a unit vector, a = -kk and b = kk∘rate:
//     u = S a;  S <- S diag(w) + u bᵀ + v kᵀ;  y = S r
// Here S is held turned, [key,value], so that every product is a broadcast, and the u of the next
// token is summed up while S is updated: each token passes over S once.
// Source: RWKV-7 "Goose" (arXiv 2503.14456).
#pragma once

#include "scan.hpp"

namespace {

// What the recurrence reads of a token, each [tokens][N].
struct Inputs7 {
    const float *r, *w, *k, *v, *a, *b;
};

// between: called with every channel.
template <int P, class Between>
inline void scan7_columns(float* state, int64_t n, const Inputs7& in, int64_t tokens, float* y,
                          Between between) {
    Vec u[P] = {};
    for (int64_t j = 0; j < n; ++j)
        for (int p = 0; p < P; ++p) u[p] += load(state + j * n + p * LANES) * in.a[j];
    for (int64_t t = 0; t < tokens; ++t) {
        const float *r = in.r + t * n, *w = in.w + t * n, *k = in.k + t * n, *b = in.b + t * n;
        const float* a = in.a + (t + 1 < tokens ? t + 1 : t) * n;  // unused after the last token
        Vec v[P], out[P] = {}, next[P] = {};
        for (int p = 0; p < P; ++p) v[p] = load(in.v + t * n + p * LANES);
        for (int64_t j = 0; j < n; ++j) {
            float* row = state + j * n;
            between();
            for (int p = 0; p < P; ++p) {
                Vec s = load(row + p * LANES) * w[j];
                s += u[p] * b[j];
                s += v[p] * k[j];
                store(row + p * LANES, s);
                out[p] += s * r[j];
                next[p] += s * a[j];
            }
        }
        for (int p = 0; p < P; ++p) {
            store(y + t * n + p * LANES, out[p]);
            u[p] = next[p];
        }
    }
}

template <class Between>
inline void scan7(float* state, int64_t n, Inputs7 in, int64_t tokens, float* y, Between between) {
    int64_t i = 0;
    for (; i + COLUMNS * LANES <= n; i += COLUMNS * LANES) {
        scan7_columns<COLUMNS>(state + i, n, in, tokens, y + i, between);
        in.v += COLUMNS * LANES;
    }
    for (; i < n; i += LANES) {
        scan7_columns<1>(state + i, n, in, tokens, y + i, between);
        in.v += LANES;
    }
}

// state [n][n] is updated; y [tokens][n] is written. n is a multiple of 16.
inline void scan7(float* state, int64_t n, const Inputs7& in, int64_t tokens, float* y,
                  Ahead& ahead) {
    scan_beside(ahead, n, tokens, [&](auto between) { scan7(state, n, in, tokens, y, between); });
}

}  // namespace
