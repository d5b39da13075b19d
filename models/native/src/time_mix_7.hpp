// Time-mix of RWKV-7. Its slow twin is models/rwkv7.py.
#pragma once

#include "heads.hpp"
#include "turn.hpp"
#include "wkv7.hpp"

namespace {

constexpr float LOG_DECAY_SCALE = -0.606531f;  // log w = -0.606531·sigmoid(…), as in the reference

struct Head7 {
    int64_t size, count, state_size;

    Head7(const Worker& w, int64_t i)
        : size(w.model.sizes.head_size), count(w.model.sizes.heads), state_size(size * size),
          worker_(w), layer_(w.model.layers[i]), index_(i) {
        float* from = scratch_of(w, *this);
        float** parts[] = {&w_, &rate_, &residual_, &gate_, &k_, &v_, &a_, &b_, &r_, &y_};
        for (float** part : parts) {
            *part = from;
            from += CHUNK * size;
        }
        states_ = from;
    }

    float* state(int64_t row, int64_t head) const {
        const rwkv::StateView& s = worker_.pass.state;
        return s.wkv + index_ * s.wkv_layer + row * s.wkv_row + head * state_size;
    }

    void prepare(int64_t head, int64_t start, int64_t stop) {
        const Workspace& work = worker_.work;
        multiply_head(layer_.decay.up, work.low_w, head, size, start, stop, w_);
        multiply_head(layer_.rate.up, work.low_a, head, size, start, stop, rate_);
        multiply_head(layer_.low_gate.up, work.low_g, head, size, start, stop, gate_);
        if (index_ > 0)
            multiply_head(layer_.residual.up, work.low_v, head, size, start, stop, residual_);
        for (int64_t t = start; t < stop; ++t) prepare_token(head, t, (t - start) * size);
    }

    void scan(int64_t head, int64_t place, const Segment& s, int64_t at, int64_t from, int64_t to,
              Ahead& ahead) {
        float* turned = states_ + place * state_size;
        if (from == s.start) turn(state(s.row, head), turned, size);
        at *= size;
        Inputs7 in = {r_ + at, w_ + at, k_ + at, v_ + at, a_ + at, b_ + at};
        scan7(turned, size, in, to - from, y_ + at, ahead);
        if (to == s.start + s.length) turn(turned, state(s.row, head), size);
    }

    void finish(int64_t head, int64_t start, int64_t stop, float* to, int64_t stride) {
        for (int64_t t = start; t < stop; ++t, to += stride)
            finish_token(head, (t - start) * size, to);
    }

private:
    const Worker& worker_;
    const Layer& layer_;
    int64_t index_;
    float *w_, *rate_, *residual_, *gate_;   // from the low ranks, [CHUNK][N] as the others
    float *k_, *v_, *a_, *b_, *r_, *y_;
    float* states_;                          // [heads of the unit][N][N], turned

    void prepare_token(int64_t head, int64_t t, int64_t at) {
        const Workspace& work = worker_.work;
        int64_t c = head * size, from = t * worker_.width + c;
        Vec squares = {};
        for (int64_t i = 0; i < size; i += LANES) {
            Vec k = load(work.k + from + i), first = load(work.first_value + from + i), v = first;
            Vec rate = sigmoid(load(layer_.rate.bias + c + i) + load(rate_ + at + i));
            Vec decay = sigmoid(load(layer_.decay.bias + c + i) + load(w_ + at + i));
            store(w_ + at + i, exponential(decay * LOG_DECAY_SCALE));
            if (index_ > 0) {
                Vec pull = load(layer_.residual.bias + c + i) + load(residual_ + at + i);
                v = load(work.v + from + i);
                v = v + (first - v) * sigmoid(pull);
            }
            Vec kk = k * load(layer_.k_k + c + i);
            squares += kk * kk;
            store(a_ + at + i, kk);
            store(rate_ + at + i, rate);
            store(v_ + at + i, v);
            store(k_ + at + i, k * (1.0f + (rate - 1.0f) * load(layer_.k_a + c + i)));
            store(r_ + at + i, load(work.r + from + i));
        }
        float length = sqrtf(sum(squares));
        float scale = 1.0f / (length > 1e-12f ? length : 1e-12f);
        for (int64_t i = at; i < at + size; i += LANES) {
            Vec kk = load(a_ + i) * scale;
            store(b_ + i, kk * load(rate_ + i));
            store(a_ + i, -kk);
        }
    }

    // y, normalised, with the bonus, gated.
    void finish_token(int64_t head, int64_t at, float* to) {
        int64_t c = head * size;
        Vec bonus = {};
        for (int64_t i = 0; i < size; i += LANES)
            bonus += load(r_ + at + i) * load(k_ + at + i) * load(layer_.bonus + c + i);
        float strength = sum(bonus);
        head_norm(y_ + at, size, layer_.ln_x, c);
        for (int64_t i = 0; i < size; i += LANES) {
            Vec y = load(y_ + at + i) + load(v_ + at + i) * strength;
            store(to + i, y * load(gate_ + at + i));
        }
    }
};

inline auto products7(const Worker& w, int64_t index) {
    const Layer& l = w.model.layers[index];
    const Workspace& work = w.work;
    const Activations* mixed = work.mixed;
    static const Matrix none;
    const Matrix& residual = index > 0 ? l.residual.down : none;
    float* value = index > 0 ? work.v : work.first_value;
    return std::tuple(
        Product(l.receptance, mixed[rwkv::FOR_R], to_rows(work.r, w.width)),
        Product(l.key, mixed[rwkv::FOR_K], to_rows(work.k, w.width)),
        Product(l.value, mixed[rwkv::FOR_V], to_rows(value, w.width)),
        Product(l.decay.down, mixed[rwkv::FOR_W], to_inner<hyperbolic>(work.low_w)),
        Product(l.rate.down, mixed[rwkv::FOR_A], to_inner(work.low_a)),
        Product(l.low_gate.down, mixed[rwkv::FOR_G], to_inner<sigmoid>(work.low_g)),
        Product(residual, mixed[rwkv::FOR_V], to_inner(work.low_v)));
}

inline void time_mix_7(const Worker& w, int64_t index, const TokenShift& shift) {
    const Layer& layer = w.model.layers[index];
    Mixtures mixtures(layer, w.work, 0, rwkv::INPUTS);
    auto products = products7(w, index);
    shift.mix(mixtures.list, mixtures.count);
    w.meet(coming(w, products));
    shift.keep_last();
    multiply_all(w, w.pass.count, products);
    Heads<Head7> heads(w, index);
    w.meet(heads.coming());
    heads.run(layer.output);
}

}  // namespace
