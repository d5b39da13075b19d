// Products that threads share out, and where their results go.
#pragma once

#include <tuple>

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

// A matrix by activations, and where the result goes.
template <class Put>
struct Product {
    const Matrix& matrix;
    const Activations& from;
    Put put;

    Product(const Matrix& m, const Activations& x, Put to) : matrix(m), from(x), put(to) {}
};

// Of the units of several matrices one behind the other, those of `part` that are this one's, of
// which `before` are ahead.
template <class Put>
inline void multiply_part(const Product<Put>& product, Range part, int64_t tokens,
                          int64_t& before) {
    int64_t count = units(product.matrix);
    int64_t first = part.first < before ? 0 : part.first - before, last = part.last - before;
    if (last > count) last = count;
    if (first < last) multiply_units(product.matrix, product.from, {first, last}, tokens, product.put);
    before += count;
}

// Of the first `tokens` tokens, dealt out as if all matrices were one.
template <class... Puts>
inline void multiply_all(const Worker& w, int64_t tokens, const std::tuple<Product<Puts>...>& all) {
    std::apply([&](const auto&... product) {
        Dealt dealt(w, (units(product.matrix) + ...));
        for (Range part; dealt.next(part);) {
            int64_t before = 0;
            (multiply_part(product, part, tokens, before), ...);
        }
    }, all);
}
template <class Put>
inline void multiply_all(const Worker& w, int64_t tokens, const Product<Put>& product) {
    multiply_all(w, tokens, std::tuple<Product<Put>>(product));
}

constexpr int64_t NEAR = 128 << 10;  // bytes that are asked for, a part of the second cache

// What of these blocks is near.
inline Coming coming(const Matrix& m, int64_t first, int64_t last, int64_t near = NEAR) {
    if (first >= last) return {};
    int64_t bytes = (last - first) * m.bytes(m.depth) / 2;
    return {m.block(first), bytes < near ? bytes : near};
}

// The beginning of this thread's share in those products.
template <class... Puts>
inline Coming coming(const Worker& w, const std::tuple<Product<Puts>...>& all) {
    return std::apply([&](const auto&... product) {
        Range own = w.share((units(product.matrix) + ...));
        Coming found;
        auto look = [&](const Matrix& m) {
            int64_t count = units(m), last = own.last < count ? own.last : count;
            if (own.first >= 0 && own.first < count)
                found = coming(m, own.first * unit_blocks(m), last * unit_blocks(m));
            own = {own.first - count, own.last - count};
        };
        (look(product.matrix), ...);
        return found;
    }, all);
}
// Of one matrix.
inline Coming coming(const Worker& w, const Matrix& m, int64_t near = NEAR) {
    Range own = w.share(units(m));
    return coming(m, own.first * unit_blocks(m), own.last * unit_blocks(m), near);
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
    multiply_all(w, w.pass.count, Product(m, from, add));
}

}  // namespace
