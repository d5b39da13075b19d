// What the recurrences over matrix states have in common, and what is asked for beside them; see
// docs/decisions/0052-memory-beside-arithmetic.md.
#pragma once

#include "coming.hpp"
#include "simd.hpp"

namespace {

using rwkv::Coming;

constexpr int COLUMNS = LANES == 8 ? 2 : 4;  // vectors of a state's row that are scanned at once

// What is asked for beside scans: so many lines with each of them.
struct Ahead {
    Coming coming;
    int64_t lines = 0;

    // For scans of so many steps, at each of them.
    int at_each(int64_t steps) const { return int((lines + steps - 1) / steps); }
};

// scan(between), which calls `between` for every channel of every COLUMNS of an [n][n] state. A single
// token leaves memory idle.
template <class Scan>
inline void scan_beside(Ahead& ahead, int64_t n, int64_t tokens, Scan scan) {
    int lines = tokens == 1 ? ahead.at_each(n * n / (COLUMNS * LANES)) : 0;
    if (lines)
        scan([&] { ahead.coming.ask(lines); });
    else
        scan([] {});
}

}  // namespace
