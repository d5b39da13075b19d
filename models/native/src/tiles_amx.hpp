// Products in tiles of AMX, where they are faster; see docs/decisions/0053-tiles-of-amx.md.
#pragma once

#include "half_tiles_amx.hpp"
#include "integer_tiles_amx.hpp"

namespace {

constexpr int64_t LEAST_TOKENS = 8;  // that integers are multiplied in tiles for

// False where tiles are not made for so few tokens.
template <class Put>
inline bool multiply_in_tiles(const Matrix& m, const Activations& x, int64_t first, int64_t last,
                              int64_t start, int64_t stop, Put put) {
    if (m.is_half())
        multiply_halves(m, x, first, last, start, stop, put);
    else if (stop - start < LEAST_TOKENS)
        return false;
    else if (m.stored == Stored::NIBBLES)
        multiply_integers<NibbleWeights, 1>(m, x, first, last, start, stop, put);
    else if (x.coarse)
        multiply_integers<ByteWeights, 1>(m, x, first, last, start, stop, put);
    else
        multiply_integers<ByteWeights, 2>(m, x, first, last, start, stop, put);
    return true;
}

}  // namespace
