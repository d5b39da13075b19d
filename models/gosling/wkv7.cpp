// The RWKV-7 recurrence over packed documents, forward and backward, for one thread.
//
// Legend: B rows, T tokens, H heads, N head size (HEAD below, a multiple of 16).
// r, w, k, v, a, b, y, sa and their gradients: [B,T,H,N] float, contiguous; keep: [B,T] float,
// 0 where the state is emptied before the token. States are [value,key]:
//   sa = S a;  S <- S diag(w) + sa b^T + v k^T;  y = S r
// The forward pass keeps the state before every SPAN-th token: spans [B,H,ceil(T/SPAN),N,N]
// ([value,key]); the backward pass recomputes the states of a span from it.
// Formulae: RWKV-7 "Goose" (arXiv 2503.14456), section on the evolution of the wkv state.
#include <cstddef>
#include <cstring>

namespace {

constexpr int N = HEAD;
constexpr int SPAN = 16;
constexpr int LANES = 16;
constexpr int V = N / LANES;
constexpr size_t CELLS = size_t(N) * N;
static_assert(N % LANES == 0, "the head size must be a multiple of 16");

typedef float Vec __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));

inline Vec load(const float* p) { return *reinterpret_cast<const Vec*>(p); }
inline void store(float* p, Vec x) { *reinterpret_cast<Vec*>(p) = x; }

inline float sum(Vec x) {
    float total = 0;
    for (int i = 0; i < LANES; ++i) total += x[i];
    return total;
}

// One token over a state kept as [key,value], so that every product is a broadcast.
inline void advance(float* state, const float* r, const float* w, const float* k, const float* v,
                    const float* a, const float* b, float* y, float* sa) {
    Vec vsa[V] = {}, vy[V] = {}, vv[V];
    for (int j = 0; j < N; ++j)
        for (int c = 0; c < V; ++c) vsa[c] += load(state + j * N + c * LANES) * a[j];
    for (int c = 0; c < V; ++c) vv[c] = load(v + c * LANES);
    for (int j = 0; j < N; ++j) {
        float* row = state + j * N;
        for (int c = 0; c < V; ++c) {
            Vec s = load(row + c * LANES) * w[j] + vsa[c] * b[j] + vv[c] * k[j];
            store(row + c * LANES, s);
            vy[c] += s * r[j];
        }
    }
    for (int c = 0; c < V; ++c) {
        store(sa + c * LANES, vsa[c]);
        store(y + c * LANES, vy[c]);
    }
}

void transpose(const float* from, float* to) {
    for (int i = 0; i < N; ++i)
        for (int j = 0; j < N; ++j) to[i * N + j] = from[j * N + i];
}

// The same token over a state kept as [value,key], with sa already known: `to` = next(`from`).
inline void replay(const float* from, float* to, const float* w, const float* k, const float* v,
                   const float* b, const float* sa) {
    for (int i = 0; i < N; ++i)
        for (int c = 0; c < V; ++c) {
            const size_t at = size_t(i) * N + c * LANES;
            store(to + at, load(from + at) * load(w + c * LANES) + load(b + c * LANES) * sa[i] +
                               load(k + c * LANES) * v[i]);
        }
}

struct Inputs {
    const float *r, *w, *k, *v, *a, *b, *sa, *dy;
};
struct Gradients {
    float *r, *w, *k, *v, *a, *b;
};

// One token backwards. `ds` enters as the gradient of the state after the token and leaves as
// the gradient of the state before it.
inline void retreat(float* ds, const float* before, const float* after, const Inputs& in,
                    const Gradients& out) {
    Vec dr[V] = {}, dw[V] = {}, dk[V] = {}, da[V] = {}, db[V] = {};
    for (int i = 0; i < N; ++i) {
        float* row = ds + size_t(i) * N;
        const float* old = before + size_t(i) * N;
        const float* now = after + size_t(i) * N;
        const float dy = in.dy[i], v = in.v[i], sa = in.sa[i];
        Vec d[V], for_v = {}, for_sa = {};
        for (int c = 0; c < V; ++c) {
            const int at = c * LANES;
            d[c] = load(row + at) + load(in.r + at) * dy;
            dr[c] += load(now + at) * dy;
            dw[c] += load(old + at) * d[c];
            dk[c] += d[c] * v;
            db[c] += d[c] * sa;
            for_v += d[c] * load(in.k + at);
            for_sa += d[c] * load(in.b + at);
        }
        const float dsa = sum(for_sa);
        out.v[i] = sum(for_v);
        for (int c = 0; c < V; ++c) {
            const int at = c * LANES;
            da[c] += load(old + at) * dsa;
            store(row + at, d[c] * load(in.w + at) + load(in.a + at) * dsa);
        }
    }
    for (int c = 0; c < V; ++c) {
        const int at = c * LANES;
        store(out.r + at, dr[c]);
        store(out.w + at, dw[c]);
        store(out.k + at, dk[c]);
        store(out.a + at, da[c]);
        store(out.b + at, db[c]);
    }
}

}  // namespace

extern "C" {

void wkv7_forward(int B, int T, int H, const float* keep, const float* r, const float* w,
                  const float* k, const float* v, const float* a, const float* b, float* y,
                  float* sa, float* spans) {
    alignas(64) float state[CELLS];
    const int count = (T + SPAN - 1) / SPAN;
    for (int row = 0; row < B; ++row)
        for (int h = 0; h < H; ++h) {
            std::memset(state, 0, sizeof state);
            for (int t = 0; t < T; ++t) {
                if (keep[size_t(row) * T + t] == 0) std::memset(state, 0, sizeof state);
                if (t % SPAN == 0)
                    transpose(state, spans + ((size_t(row) * H + h) * count + t / SPAN) * CELLS);
                const size_t at = ((size_t(row) * T + t) * H + h) * N;
                advance(state, r + at, w + at, k + at, v + at, a + at, b + at, y + at, sa + at);
            }
        }
}

void wkv7_backward(int B, int T, int H, const float* keep, const float* r, const float* w,
                   const float* k, const float* v, const float* a, const float* b,
                   const float* sa, const float* spans, const float* dy, float* dr, float* dw,
                   float* dk, float* dv, float* da, float* db) {
    static thread_local float states[(SPAN + 1) * CELLS], ds[CELLS], empty[CELLS];
    const int count = (T + SPAN - 1) / SPAN;
    for (int row = 0; row < B; ++row)
        for (int h = 0; h < H; ++h) {
            std::memset(ds, 0, sizeof ds);
            for (int span = count - 1; span >= 0; --span) {
                const int first = span * SPAN;
                const int length = T - first < SPAN ? T - first : SPAN;
                const float* kept = keep + size_t(row) * T + first;
                std::memcpy(states, spans + ((size_t(row) * H + h) * count + span) * CELLS,
                            CELLS * sizeof(float));
                auto where = [&](int t) { return ((size_t(row) * T + first + t) * H + h) * N; };
                auto before = [&](int t) { return kept[t] == 0 ? empty : states + t * CELLS; };
                for (int t = 0; t < length; ++t) {
                    const size_t at = where(t);
                    replay(before(t), states + (t + 1) * CELLS, w + at, k + at, v + at, b + at,
                           sa + at);
                }
                for (int t = length - 1; t >= 0; --t) {
                    const size_t at = where(t);
                    const Inputs in{r + at, w + at, k + at,  v + at,
                                    a + at, b + at, sa + at, dy + at};
                    const Gradients out{dr + at, dw + at, dk + at, dv + at, da + at, db + at};
                    retreat(ds, before(t), states + (t + 1) * CELLS, in, out);
                    if (kept[t] == 0) std::memset(ds, 0, sizeof ds);
                }
            }
        }
}

}  // extern "C"
