// Integer weights by integer activations in tiles of AMX: exact within a scale's inputs, then scaled, the
// same to the bit as with VNNI.
#pragma once

#include "shapes_amx.hpp"

namespace {

constexpr int PANEL = 256;  // inputs whose weights are kept near as signed bytes

// The weights of a block, from an input on, as signed bytes [inputs / 4][BLOCK][4].
template <class W>
inline void spread(const uint8_t* from, int64_t inputs, int8_t* to) {
    for (int64_t k = 0; k < inputs; k += 4 * W::PER_BYTE, to += W::PER_BYTE * ROW_BYTES) {
        __m512i stored = _mm512_load_si512(from + k * UNIT / W::PER_BYTE);
        if constexpr (W::PER_BYTE == 1) {
            _mm512_store_si512(to, _mm512_xor_si512(stored, _mm512_set1_epi8(-128)));
        } else {
            const __m512i lower = _mm512_set1_epi8(15), zero = _mm512_set1_epi8(W::OFFSET);
            __m512i upper = _mm512_and_si512(_mm512_srli_epi16(stored, 4), lower);
            stored = _mm512_and_si512(stored, lower);
            _mm512_store_si512(to, _mm512_sub_epi8(stored, zero));
            _mm512_store_si512(to + ROW_BYTES, _mm512_sub_epi8(upper, zero));
        }
    }
    asm volatile("" ::: "memory");  // tiles are loaded behind the compiler's back
}

typedef int32_t Sums[TILE][BLOCK];

// Begins the sums of one scale's inputs, in one of two sets of tiles; activations in two planes, `depth`
// bytes apart, have sums of their own.
template <int SET, int PLANES>
inline void begin_sums(const int8_t* w, const int8_t* in, int64_t stride, int64_t depth) {
    if constexpr (SET == 0) {
        _tile_loadd(6, w, ROW_BYTES);
        _tile_loadd(4, in, stride);
        _tile_zero(0);
        _tile_dpbssd(0, 4, 6);
        if (PLANES == 1) return;
        _tile_loadd(5, in + depth, stride);
        _tile_zero(1);
        _tile_dpbssd(1, 5, 6);
    } else {
        _tile_loadd(7, w, ROW_BYTES);
        _tile_loadd(4, in, stride);
        _tile_zero(2);
        _tile_dpbssd(2, 4, 7);
        if (PLANES == 1) return;
        _tile_loadd(5, in + depth, stride);
        _tile_zero(3);
        _tile_dpbssd(3, 5, 7);
    }
}

template <int SET, int PLANES>
inline void end_sums(Sums* sums) {
    if constexpr (SET == 0) {
        _tile_stored(0, sums[0], ROW_BYTES);
        if (PLANES == 2) _tile_stored(1, sums[PLANES - 1], ROW_BYTES);
    } else {
        _tile_stored(2, sums[0], ROW_BYTES);
        if (PLANES == 2) _tile_stored(3, sums[PLANES - 1], ROW_BYTES);
    }
}

// A block of a matrix by a panel of its inputs, from `first` on, whose weights were spread.
struct Panel {
    const int8_t* weights;
    const uint16_t* scales;  // of its first inputs
    int64_t first;
};

template <int64_t... I, class F>
inline void for_each(std::integer_sequence<int64_t, I...>, F f) {
    (f(std::integral_constant<int64_t, I>()), ...);
}

// Adds to the totals of T tokens. In a step the sums of one scale begin, those of the one before leave
// their tiles, and those before are turned to floats, so that nothing waits for what was just begun.
template <class W, int PLANES, int T, int64_t COUNT>
[[gnu::noinline]] void multiply_panel(const Panel& panel, const Activations& x, int64_t token,
                                      float (*totals)[MOST_ROWS], Coming& coming, int lines) {
    const int8_t* planes = PLANES == 2 ? reinterpret_cast<const int8_t*>(x.fine) : x.coarse;
    int64_t stride = PLANES * x.depth;
    const int8_t* in = planes + token * stride + panel.first;
    const float* scale = x.scales + token * x.groups + panel.first / GROUP;
    int64_t groups = x.groups;
    alignas(64) Sums sums[2][PLANES];
    Vec total[T];
    for (int t = 0; t < T; ++t) total[t] = load(totals[t]);
    auto add = [&](const Sums* of, int64_t i) {
        const uint16_t* scales = panel.scales + i * UNIT;
        const float* of_group = scale + i * W::SCALED / GROUP;
#pragma GCC unroll 16
        for (int t = 0; t < T; ++t) {
            Int whole = load_as<Int>(of[0][t]);
            if (PLANES == 2) whole = (whole << 8) + load_as<Int>(of[PLANES - 1][t]);
            add_scaled(&total[t], &whole, scales, of_group[t * groups]);
        }
        if (lines) coming.ask(lines);
    };
    auto step = [&](auto index) {
        constexpr int64_t I = decltype(index)::value;
        if constexpr (I < COUNT)
            begin_sums<I % 2, PLANES>(panel.weights + I * W::SCALED * BLOCK, in + I * W::SCALED,
                                      stride, x.depth);
        if constexpr (I > 0 && I <= COUNT) end_sums<1 - I % 2, PLANES>(sums[1 - I % 2]);
        if constexpr (I > 1) add(sums[I % 2], I - 2);
    };
    for_each(std::make_integer_sequence<int64_t, COUNT + 2>(), step);
    for (int t = 0; t < T; ++t) store(totals[t], total[t]);
}

// All tokens by a panel of up to two blocks.
template <class W, int PLANES, int64_t COUNT>
inline void multiply_panels(const Panel* panels, int64_t blocks, const Activations& x, int64_t start,
                            int64_t stop, float (*totals)[MOST_ROWS], Coming coming) {
    int64_t times = blocks * COUNT * ((stop - start + TILE - 1) / TILE);
    int lines = int((coming.lines() + times - 1) / times);
    for (int64_t token = start; token < stop; token += TILE) {
        float (*of)[MOST_ROWS] = totals + (token - start);
        auto multiply = stop - token > TILE / 2 ? multiply_panel<W, PLANES, TILE, COUNT>
                                                : multiply_panel<W, PLANES, TILE / 2, COUNT>;
        for (int64_t b = 0; b < blocks; ++b)
            multiply(panels[b], x, token, reinterpret_cast<float (*)[MOST_ROWS]>(of[0] + b * BLOCK),
                     coming, lines);
    }
}

// Blocks `first` to `last` by tokens `start` to `stop`; see multiply.
template <class W, int PLANES, class Put>
inline void multiply_integers(const Matrix& m, const Activations& x, int64_t first, int64_t last,
                              int64_t start, int64_t stop, Put put) {
    alignas(64) int8_t near[2][PANEL * BLOCK];
    alignas(64) float totals[rwkv::PASS][MOST_ROWS];
    set_shapes(W::SCALED);
    for (int64_t block = first, blocks; block < last; block += blocks) {
        blocks = block % 2 || last - block < 2 ? 1 : 2;
        memset(totals, 0, size_t((stop - start + TILE - 1) / TILE * TILE) * sizeof *totals);
        for (int64_t k = 0, inputs; k < m.depth; k += inputs) {
            inputs = m.depth - k < PANEL ? W::SCALED : PANEL;
            Panel panels[2];
            for (int64_t b = 0; b < blocks; ++b) {
                spread<W>(m.block(block + b) + m.bytes(k), inputs, near[b]);
                panels[b] = {near[b], m.block_scales(block + b, k / W::SCALED), k};
            }
            Coming next(m.block(block) + m.bytes(k + 2 * inputs), m.bytes(inputs));
            auto multiply = inputs == PANEL ? multiply_panels<W, PLANES, PANEL / W::SCALED>
                                            : multiply_panels<W, PLANES, 1>;
            multiply(panels, blocks, x, start, stop, totals, next);
        }
        for (int64_t b = 0; b < blocks; ++b)
            for (int64_t t = start; t < stop; ++t)
                put(t, (block + b) * BLOCK, totals[t - start] + b * BLOCK);
    }
}

}  // namespace
