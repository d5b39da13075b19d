// A range of a matrix's blocks by a range of tokens, cut into tiles.
#pragma once

#include <utility>

#if defined(__AMX_INT8__) && defined(__AMX_BF16__)
#include "tiles_amx.hpp"
#else
#include "tiles.hpp"
#endif

namespace {

typedef void (*Tile)(const Matrix&, const Activations&, int64_t block, int64_t token,
                     int64_t ahead, float (*out)[MOST_ROWS]);

constexpr int64_t AHEAD = 4096;  // bytes

// The tiles of one to COUNT tokens.
template <int B, int... N>
Tile half_tile_of(int tokens, std::integer_sequence<int, N...>) {
    static const Tile tiles[] = {half_tile<B, N + 1>...};
    return tiles[tokens - 1];
}
template <class W, int PLANES, int B, int... N>
Tile integer_tile_of(int tokens, std::integer_sequence<int, N...>) {
    static const Tile tiles[] = {integer_tile<W, PLANES, B, N + 1>...};
    return tiles[tokens - 1];
}
template <int COUNT>
using UpTo = std::make_integer_sequence<int, COUNT>;

// How much of a matrix a tile takes at most.
struct Reach {
    int blocks, tokens;

    Reach(const Matrix& m, const Activations& x)
        : blocks(m.is_half() ? HALF_BLOCKS : INTEGER_BLOCKS),
          tokens(m.is_half()                     ? HALF_TOKENS
                 : m.stored == Stored::NIBBLES ? NIBBLE_TOKENS
                 : x.coarse                    ? COARSE_TOKENS
                                               : FINE_TOKENS) {}
};

template <int HALVES, int INTEGERS>
Tile tile_for(const Matrix& m, const Activations& x, int tokens) {
    if (m.is_half()) return half_tile_of<HALVES>(tokens, UpTo<HALF_TOKENS>());
    if (m.stored == Stored::NIBBLES)
        return integer_tile_of<NibbleWeights, 1, INTEGERS>(tokens, UpTo<NIBBLE_TOKENS>());
    if (x.coarse) return integer_tile_of<ByteWeights, 1, INTEGERS>(tokens, UpTo<COARSE_TOKENS>());
    return integer_tile_of<ByteWeights, 2, INTEGERS>(tokens, UpTo<FINE_TOKENS>());
}

inline Tile tile_for(const Matrix& m, const Activations& x, int blocks, int tokens) {
    if (blocks == 1) return tile_for<1, 1>(m, x, tokens);
    return tile_for<HALF_BLOCKS, INTEGER_BLOCKS>(m, x, tokens);
}

// Blocks `first` to `last` by tokens `start` to `stop`: put(token, row, values of BLOCK rows).
template <class Put>
inline void multiply(const Matrix& m, const Activations& x, int64_t first, int64_t last,
                     int64_t start, int64_t stop, Put put) {
#if defined(__AMX_INT8__)
    if (multiply_in_tiles(m, x, first, last, start, stop, put)) return;
#endif
    Reach most(m, x);
    // Where the first tile is the last one, weights come straight from memory, a little ahead;
    // otherwise the last one has the time to ask for all that the next blocks' first one needs.
    int64_t ahead = stop - start <= most.tokens ? AHEAD : m.bytes(m.depth);
    alignas(64) float out[MOST_TOKENS][MOST_ROWS];
    for (int64_t block = first, blocks; block < last; block += blocks) {
        // Blocks of one tile lie side by side, in one unit.
        blocks = block % most.blocks || last - block < most.blocks ? 1 : most.blocks;
        for (int64_t token = start, tokens; token < stop; token += tokens) {
            int64_t left = stop - token, tiles = (left + most.tokens - 1) / most.tokens;
            tokens = (left + tiles - 1) / tiles;  // alike, as small tiles read weights as often
            Tile tile = tile_for(m, x, int(blocks), int(tokens));
            tile(m, x, block, token, token + tokens == stop ? ahead : 0, out);
            for (int64_t b = 0; b < blocks; ++b)
                for (int64_t t = 0; t < tokens; ++t)
                    put(token + t, (block + b) * BLOCK, out[t] + b * BLOCK);
        }
    }
}

}  // namespace
