// A range of a matrix's blocks by a range of tokens, cut into tiles.
#pragma once

#include "tiles.hpp"

namespace {

typedef void (*Tile)(const Matrix&, const Activations&, int64_t block, int64_t token,
                     int64_t ahead, float (*out)[MOST_ROWS]);

constexpr int64_t AHEAD = 4096;  // bytes

template <int B>
Tile half_tile_of(int tokens) {
    static const Tile tiles[] = {
        half_tile<B, 1>,
        half_tile<B, 2>,
#if defined(__AVX512BF16__)
        half_tile<B, 3>, half_tile<B, 4>, half_tile<B, 5>,
        half_tile<B, 6>, half_tile<B, 7>, half_tile<B, 8>,
#elif RWKV_LANES == 8
        half_tile<B, 3>, half_tile<B, 4>,
#endif
    };
    static_assert(sizeof tiles == HALF_TOKENS * sizeof(Tile), "a tile for every count");
    return tiles[tokens - 1];
}

template <int B>
Tile fine_tile_of(int tokens) {
    static const Tile tiles[] = {
        fine_tile<B, 1>,
        fine_tile<B, 2>,
#if defined(__AVX512VNNI__)
        fine_tile<B, 3>, fine_tile<B, 4>,
#endif
    };
    static_assert(sizeof tiles == FINE_TOKENS * sizeof(Tile), "a tile for every count");
    return tiles[tokens - 1];
}

inline Tile tile_of(bool is_int8, int blocks, int tokens) {
    if (is_int8) return blocks == 1 ? fine_tile_of<1>(tokens) : fine_tile_of<FINE_BLOCKS>(tokens);
    return blocks == 1 ? half_tile_of<1>(tokens) : half_tile_of<HALF_BLOCKS>(tokens);
}

// Blocks `first` to `last` by tokens `start` to `stop`: put(token, row, values of BLOCK rows).
template <class Put>
inline void multiply(const Matrix& m, const Activations& x, int64_t first, int64_t last,
                     int64_t start, int64_t stop, Put put) {
    int most_blocks = m.is_int8 ? FINE_BLOCKS : HALF_BLOCKS;
    int most_tokens = m.is_int8 ? FINE_TOKENS : HALF_TOKENS;
    int64_t size = m.depth * UNIT * (m.is_int8 ? 1 : 2);
    // Where the first tile is the last one, weights come straight from memory, a little ahead;
    // otherwise the last one has the time to ask for all that the next blocks' first one needs.
    int64_t ahead = stop - start <= most_tokens ? AHEAD : size;
    alignas(64) float out[MOST_TOKENS][MOST_ROWS];
    for (int64_t block = first, blocks; block < last; block += blocks) {
        blocks = last - block < most_blocks ? 1 : most_blocks;
        for (int64_t token = start, tokens; token < stop; token += tokens) {
            tokens = stop - token < most_tokens ? stop - token : most_tokens;
            tile_of(m.is_int8, int(blocks), int(tokens))(m, x, block, token,
                                                         token + tokens == stop ? ahead : 0, out);
            for (int64_t b = 0; b < blocks; ++b)
                for (int64_t t = 0; t < tokens; ++t)
                    put(token + t, (block + b) * BLOCK, out[t] + b * BLOCK);
        }
    }
}

}  // namespace
