// Loops over a whole vocabulary, for the sampler and the likelihoods.
//
// No operation is contracted or reordered where that would change a bit: every instruction set, and
// the slow twin in server/engine/chooser.py, gets the same weights.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace rwkv {

constexpr int WIDE = 32;    // what counts of values are padded to
constexpr int BLOCK = 256;  // ids that are weighed at once

// Weights of ids are from 0 to 1, multiples of 2^-34, so that sums of 2^19 of them are exact. Buckets
// of weights are each a 64th of a power of two; the first is for 0.
constexpr int BUCKETS = 34 * 64 + 2, BUCKET_SHIFT = 17, BEFORE_LEAST = 93 * 64 - 1;

inline int64_t bucket_of(float weight) {
    int32_t bits;
    memcpy(&bits, &weight, sizeof bits);
    int32_t bucket = (bits >> BUCKET_SHIFT) - BEFORE_LEAST;
    return bucket > 0 ? bucket : 0;
}

// The least weight in it.
inline float bucket_start(int64_t bucket) {
    int32_t bits = int32_t(bucket + BEFORE_LEAST) << BUCKET_SHIFT;
    float weight;
    memcpy(&weight, &bits, sizeof weight);
    return weight;
}

struct Loops {
    // The largest value; NaN where any is.
    float (*largest)(const float* values, int64_t count);
    // Copies values, and gives the largest as above.
    float (*copy)(const float* values, int64_t count, float* to);
    // Where, of `from` on, the first is that reaches `least`; `count` where none does.
    int64_t (*first)(const float* values, int64_t from, int64_t count, float least);
    // Rules out what a mask does: bit i % 32 of word i / 32 stands for value i.
    void (*restrict_to)(float* values, int64_t count, const int32_t* mask);
    // The sum of exp(logit - top).
    double (*exponentials)(const float* logits, int64_t count, float top);

    // Of one block: makes weights exp((logit - top) * inverse) of logits; gives their sum, and the
    // largest of them.
    double (*weigh)(float* values, float top, float inverse, float* largest);
    // Rules out what is below `least`; gives the sum of the rest.
    double (*keep)(float* weights, float least);
    // Adds the weights to their buckets, or counts them there: all from `least` on, and some below.
    void (*spread)(const float* weights, float least, bool by_number, double* buckets);
    // Gives where weights from `least` to below `most` are, and how many.
    int64_t (*places)(const float* weights, float least, float most, int32_t* places);
};

// For the best instruction set that runs here.
const Loops& loops();

}  // namespace rwkv
