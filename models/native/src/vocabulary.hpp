// Loops over a whole vocabulary, for the sampler and the likelihoods.
//
// No operation is contracted or reordered where that would change a bit: every instruction set, and
// the slow twin in server/engine/chooser.py, gets the same weights.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace rwkv {

constexpr int WIDE = 32;  // what counts of values are padded to

struct Loops {
    // The largest value; NaN where any is.
    float (*largest)(const float* values, int64_t count);
    // Weights from 0 to 1, multiples of 2^-34, so that sums of 2^19 of them are exact:
    // exp((logit - top) * inverse).
    void (*weigh)(const float* logits, int64_t count, float top, float inverse, float* weights);
    // The sum of exp(logit - top).
    double (*exponentials)(const float* logits, int64_t count, float top);
    // Of the values that reach `least`; `about_sum` in a third of the time, up to rounding.
    double (*sum)(const float* values, int64_t count, float least);
    double (*about_sum)(const float* values, int64_t count, float least);
    int64_t (*number)(const float* values, int64_t count, float least);
};

// For the best instruction set that runs here.
const Loops& loops();

}  // namespace rwkv
