// bf16 weights by bf16 activations in tiles of AMX. Sums have an order of their own, so that a single token
// is multiplied in tiles too.
#pragma once

#include "shapes_amx.hpp"

namespace {

// B blocks by T tiles of tokens, in bf16.
template <int B, int T>
inline void half_tiles(const Matrix& m, const Activations& x, int64_t block, int64_t token,
                       bool from_memory, float (*out)[MOST_ROWS]) {
    constexpr int64_t AT_ONCE = ROW_BYTES / 2;  // inputs
    constexpr int64_t UNIT_BYTES = AT_ONCE * UNIT * 2;
    const uint8_t* w = m.block(block);
    const Half* in = half_row(x, token);
    int64_t stride = x.depth * int64_t(sizeof(Half));
    Coming coming(w + 4 * UNIT_BYTES, from_memory ? m.bytes(m.depth) : 0);
    _tile_zero(0);
    if (B == 2) _tile_zero(1);
    if (T == 2) _tile_zero(2);
    if (B == 2 && T == 2) _tile_zero(3);
    for (int64_t k = 0; k < m.depth; k += AT_ONCE, w += UNIT_BYTES) {
        _tile_loadd(6, w, 2 * ROW_BYTES);
        if (B == 2) _tile_loadd(7, w + ROW_BYTES, 2 * ROW_BYTES);
        _tile_loadd(4, in + k, stride);
        _tile_dpbf16ps(0, 4, 6);
        if (B == 2) _tile_dpbf16ps(1, 4, 7);
        if (T == 2) {
            _tile_loadd(5, in + k + TILE * x.depth, stride);
            _tile_dpbf16ps(2, 5, 6);
            if (B == 2) _tile_dpbf16ps(3, 5, 7);
        }
        if (from_memory) coming.ask(UNIT_BYTES / 64);
    }
    constexpr int64_t OUT = MOST_ROWS * sizeof(float);
    _tile_stored(0, out[0], OUT);
    if (B == 2) _tile_stored(1, out[0] + BLOCK, OUT);
    if (T == 2) _tile_stored(2, out[TILE], OUT);
    if (B == 2 && T == 2) _tile_stored(3, out[TILE] + BLOCK, OUT);
}

template <class Put>
inline void multiply_halves(const Matrix& m, const Activations& x, int64_t first, int64_t last,
                            int64_t start, int64_t stop, Put put) {
    alignas(64) float out[2 * TILE][MOST_ROWS];
    set_shapes(ROW_BYTES);
    for (int64_t block = first, blocks; block < last; block += blocks) {
        blocks = block % 2 || last - block < 2 ? 1 : 2;
        for (int64_t token = start; token < stop; token += 2 * TILE) {
            int64_t count = stop - token < 2 * TILE ? stop - token : 2 * TILE;
            auto tiles = blocks == 2 ? count > TILE ? half_tiles<2, 2> : half_tiles<2, 1>
                                     : count > TILE ? half_tiles<1, 2> : half_tiles<1, 1>;
            tiles(m, x, block, token, token == start, out);
            for (int64_t b = 0; b < blocks; ++b)
                for (int64_t t = 0; t < count; ++t)
                    put(token + t, (block + b) * BLOCK, out[t] + b * BLOCK);
        }
    }
}

}  // namespace
