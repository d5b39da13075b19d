// How likely tokens were. The calls and the order of their arguments are repeated in library.py.
#include "vocabulary.hpp"

#include <algorithm>
#include <vector>

#define API extern "C" __attribute__((visibility("default")))

namespace rwkv {
namespace {

struct Best {
    float logit;
    int64_t id;
};

// The `count` largest logits, the largest first, equals by their ids.
void find_best(const float* logits, int64_t vocab, int64_t count, std::vector<Best>& best) {
    best.clear();
    for (int64_t i = 0; i < vocab && count; ++i) {
        if (int64_t(best.size()) == count && !(logits[i] > best.back().logit)) continue;
        if (int64_t(best.size()) == count) best.pop_back();
        auto lower = [](const Best& one, float logit) { return one.logit >= logit; };
        auto place = std::lower_bound(best.begin(), best.end(), logits[i], lower);
        best.insert(place, {logits[i], i});
    }
}

}  // namespace
}  // namespace rwkv

// logits [rows][vocab], of which the ids in forbidden take no part. Gives the natural logarithm of
// the probability of each row's token, and ids and logarithms [rows][most] of its likeliest ids.
// Returns 0 where logits are not finite, or all are forbidden; `most` ids must remain.
API int rwkv_score(const float* logits, int64_t rows, int64_t vocab, const int64_t* forbidden,
                   int64_t forbidden_count, const int64_t* tokens, int64_t most, float* logprobs,
                   int64_t* best_ids, float* best_logprobs) {
    using namespace rwkv;
    int64_t padded = (vocab + WIDE - 1) / WIDE * WIDE;
    thread_local std::vector<float> own;
    thread_local std::vector<Best> best;
    own.assign(size_t(padded), -INFINITY);
    for (int64_t row = 0; row < rows; ++row) {
        memcpy(own.data(), logits + row * vocab, size_t(vocab) * sizeof(float));
        for (int64_t i = 0; i < forbidden_count; ++i) own[size_t(forbidden[i])] = -INFINITY;
        float top = loops().largest(own.data(), padded);
        if (!std::isfinite(top)) return 0;
        double all = double(top) + std::log(loops().exponentials(own.data(), padded, top));
        logprobs[row] = float(own[size_t(tokens[row])] - all);
        find_best(own.data(), vocab, most, best);
        for (int64_t i = 0; i < most; ++i) {
            best_ids[row * most + i] = best[size_t(i)].id;
            best_logprobs[row * most + i] = float(best[size_t(i)].logit - all);
        }
    }
    return 1;
}
