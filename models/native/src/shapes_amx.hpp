// Tiles of AMX: 16 rows of 64 bytes. Here a tile holds 16 tokens by 32 or 64 bytes of their inputs, as many
// inputs of 16 rows of a matrix, or their sums.
// Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, LDTILECFG.
#pragma once

#include "coming.hpp"
#include "tiles.hpp"

namespace {

using rwkv::Coming;

constexpr int TILE = 16;       // tokens, and rows of a matrix
constexpr int ROW_BYTES = 64;  // of a tile's row
static_assert(BLOCK == TILE && rwkv::BEYOND >= TILE, "a block is a tile, and tiles may begin anywhere");

// What LDTILECFG reads. Tiles 0 to 3 are for sums, 4 and 5 for tokens, 6 and 7 for weights.
struct alignas(64) Shapes {
    uint8_t palette = 1, start = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {};
    uint8_t rows[16] = {};

    // inputs: bytes of a token that are multiplied at once.
    explicit Shapes(int inputs) {
        for (int i = 0; i < 8; ++i) {
            row_bytes[i] = uint16_t(i == 4 || i == 5 ? inputs : ROW_BYTES);
            rows[i] = uint8_t(i >= 6 ? inputs / 4 : TILE);
        }
    }
};

// Empties all tiles. Constants, as some compilers take no more than its first bytes for what is read.
inline void set_shapes(int inputs) {
    static const Shapes whole(64), half(32);
    _tile_loadconfig(inputs == 64 ? &whole : &half);
}

}  // namespace
