// Time-mix of RWKV-4. Its slow twin is models/rwkv4.py.
#pragma once

#include "heads.hpp"
#include "wkv4.hpp"

namespace {

// There are no heads: a GROUP of channels is treated as one, and the last one may be narrower.
struct Head4 {
    static constexpr int64_t size = GROUP, state_size = GROUP;
    int64_t count;

    Head4(const Worker& w, int64_t i)
        : count((w.width + GROUP - 1) / GROUP), worker_(w), layer_(w.model.layers[i]), index_(i),
          y_(scratch_of(w, *this)) {}

    float* state(int64_t row, int64_t head) const {
        const rwkv::StateView& s = worker_.pass.state;
        return s.wkv + index_ * s.wkv_layer + row * s.wkv_row + head * size;
    }

    void prepare(int64_t, int64_t, int64_t) {}

    void scan(int64_t head, int64_t, const Segment& s, int64_t at, int64_t from, int64_t to,
              Ahead& ahead) {
        const Workspace& work = worker_.work;
        ahead.coming.ask(ahead.at_each(1));
        int64_t width = worker_.width, first = head * size, start = from * width + first;
        for (int64_t i = 0; i < size && first + i < width; i += LANES) {
            Vec w = load(layer_.decay.bias + first + i), u = load(layer_.bonus + first + i);
            scan4(state(s.row, head) + i, width, work.k + start + i, work.v + start + i, width, w,
                  u, to - from, y_ + at * size + i, size);
        }
    }

    void finish(int64_t head, int64_t start, int64_t stop, float* to, int64_t stride) {
        int64_t first = head * size;
        for (int64_t t = start; t < stop; ++t, to += stride) {
            const float *y = y_ + (t - start) * size;
            const float* r = worker_.work.r + t * worker_.width + first;
            for (int64_t i = 0; i < size && first + i < worker_.width; i += LANES)
                store(to + i, load(y + i) * load(r + i));
        }
    }

private:
    const Worker& worker_;
    const Layer& layer_;
    int64_t index_;
    float* y_;  // [CHUNK][GROUP]
};

inline auto products4(const Worker& w, const Layer& l) {
    const Workspace& work = w.work;
    return std::tuple(
        Product(l.receptance, work.mixed[rwkv::FOR_R], to_rows<sigmoid>(work.r, w.width)),
        Product(l.key, work.mixed[rwkv::FOR_K], to_rows(work.k, w.width)),
        Product(l.value, work.mixed[rwkv::FOR_V], to_rows(work.v, w.width)));
}

inline void time_mix_4(const Worker& w, int64_t index, const TokenShift& shift) {
    const Layer& layer = w.model.layers[index];
    Mixtures mixtures(layer, w.work, 0, rwkv::INPUTS);
    auto products = products4(w, layer);
    shift.mix(mixtures.list, mixtures.count);
    w.meet(coming(w, products));
    shift.keep_last();
    multiply_all(w, w.pass.count, products);
    Heads<Head4> heads(w, index);
    w.meet(heads.coming());
    heads.run(layer.output);
}

}  // namespace
