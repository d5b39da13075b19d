// The recurrence of RWKV-5 and RWKV-6 over the tokens of one head, in order.
//
// With the state S [key,value], decay w and bonus u per key channel:
//     y = (S + (u∘k) vᵀ)ᵀ r;  S <- diag(w) S + k vᵀ
// Source: "Eagle and Finch" (arXiv 2404.05892). w is constant in 5 and depends on the token in 6.
#pragma once

#include "scan.hpp"

namespace {

// What the recurrence reads: the rows of r, k and v are `step` floats apart, those of w `w_step`,
// which may be 0.
struct Inputs56 {
    const float *r, *w, *k, *v, *u;
    int64_t step, w_step;
};

// between: called with every channel.
template <int P, class Between>
inline void scan56_columns(float* state, int64_t n, const Inputs56& in, int64_t tokens, float* y,
                           Between between) {
    for (int64_t t = 0; t < tokens; ++t) {
        const float *r = in.r + t * in.step, *k = in.k + t * in.step, *w = in.w + t * in.w_step;
        Vec v[P], out[P] = {};
        for (int p = 0; p < P; ++p) v[p] = load(in.v + t * in.step + p * LANES);
        for (int64_t j = 0; j < n; ++j) {
            float* row = state + j * n;
            between();
            for (int p = 0; p < P; ++p) {
                Vec s = load(row + p * LANES);
                out[p] += s * r[j];
                s = s * w[j];
                s += v[p] * k[j];
                store(row + p * LANES, s);
            }
        }
        for (int p = 0; p < P; ++p) store(y + t * n + p * LANES, out[p]);
    }
}

// y += (Σ r∘u∘k)·v, the part of a token that the state does not have yet.
inline void add_bonus(int64_t n, const Inputs56& in, int64_t tokens, float* y) {
    for (int64_t t = 0; t < tokens; ++t, y += n) {
        const float *r = in.r + t * in.step, *k = in.k + t * in.step, *v = in.v + t * in.step;
        Vec bonus = {};
        for (int64_t i = 0; i < n; i += LANES) bonus += load(r + i) * load(in.u + i) * load(k + i);
        float strength = sum(bonus);
        for (int64_t i = 0; i < n; i += LANES) store(y + i, load(y + i) + load(v + i) * strength);
    }
}

template <class Between>
inline void scan56(float* state, int64_t n, Inputs56 in, int64_t tokens, float* y,
                   Between between) {
    int64_t i = 0;
    for (; i + COLUMNS * LANES <= n; i += COLUMNS * LANES, in.v += COLUMNS * LANES)
        scan56_columns<COLUMNS>(state + i, n, in, tokens, y + i, between);
    for (; i < n; i += LANES, in.v += LANES)
        scan56_columns<1>(state + i, n, in, tokens, y + i, between);
}

// state [n][n] is updated; y [tokens][n] is written. n is a multiple of 16.
inline void scan56(float* state, int64_t n, const Inputs56& in, int64_t tokens, float* y,
                   Ahead& ahead) {
    scan_beside(ahead, n, tokens, [&](auto between) { scan56(state, n, in, tokens, y, between); });
    add_bonus(n, in, tokens, y);
}

}  // namespace
