// Products that threads share out, and where their results go.
#pragma once

#include <initializer_list>

#include "matmul.hpp"
#include "worker.hpp"

namespace {

// A unit is as many blocks as a tile takes at once.
inline int64_t unit_blocks(const Matrix& m) { return m.is_half() ? HALF_BLOCKS : INTEGER_BLOCKS; }
inline int64_t units(const Matrix& m) { return (m.blocks + unit_blocks(m) - 1) / unit_blocks(m); }

template <class Put>
inline void multiply_units(const Matrix& m, const Activations& x, Range part, int64_t tokens,
                           Put put) {
    int64_t last = part.last * unit_blocks(m);
    if (last > m.blocks) last = m.blocks;
    multiply(m, x, part.first * unit_blocks(m), last, 0, tokens, put);
}

// Several matrices, dealt out as if they were one.
class Products {
public:
    Products(const Worker& worker, std::initializer_list<const Matrix*> all)
        : tokens_(worker.pass.count), dealt_(worker, total(all)) {
        dealt_.next(mine_);
    }

    // Called for each, in their order.
    template <class Put>
    void run(const Matrix& m, const Activations& x, Put put) {
        int64_t first = done_;
        done_ += units(m);
        while (mine_.first < mine_.last && mine_.first < done_) {
            int64_t last = mine_.last < done_ ? mine_.last : done_;
            multiply_units(m, x, {mine_.first - first, last - first}, tokens_, put);
            mine_.first = last;
            if (last == mine_.last) dealt_.next(mine_);
        }
    }

private:
    int64_t tokens_, done_ = 0;
    Dealt dealt_;
    Range mine_;

    static int64_t total(std::initializer_list<const Matrix*> all) {
        int64_t sum = 0;
        for (const Matrix* m : all) sum += units(*m);
        return sum;
    }
};

// One matrix by the first `tokens` tokens of x.
template <class Put>
inline void multiply_all(const Worker& w, const Matrix& m, const Activations& x, int64_t tokens,
                         Put put) {
    Dealt dealt(w, units(m));
    for (Range part; dealt.next(part);) multiply_units(m, x, part, tokens, put);
}

inline Vec same(Vec x) { return x; }

// f of the results, to rows of `width` floats.
template <Vec f(Vec) = same>
inline auto to_rows(float* rows, int64_t width) {
    return [rows, width](int64_t t, int64_t row, const float* y) {
        float* to = rows + t * width + row;
        for (int i = 0; i < BLOCK; i += LANES) store(to + i, f(load(y + i)));
    };
}

// f of the results, ready for the second matrix of a low rank.
template <Vec f(Vec) = same>
inline auto to_inner(const Activations& inner) {
    return [&inner](int64_t t, int64_t row, const float* y) {
        alignas(64) float changed[BLOCK];
        for (int i = 0; i < BLOCK; i += LANES) store(changed + i, f(load(y + i)));
        put_half(inner, t, row, changed);
    };
}

// x += m · from, at the end of a block's part.
inline void add_to_x(const Worker& w, const Matrix& m, const Activations& from) {
    auto add = [&w](int64_t t, int64_t row, const float* y) {
        float* to = w.work.x + t * w.width + row;
        for (int i = 0; i < BLOCK; i += LANES) store(to + i, load(to + i) + load(y + i));
    };
    multiply_all(w, m, from, w.pass.count, add);
}

}  // namespace
