// How likely tokens were. The calls and the order of their arguments are repeated in library.py.
#include "pool.hpp"
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
        if (int64_t(best.size()) == count) {
            i = loops().first(logits, i, vocab, std::nextafter(best.back().logit, INFINITY));
            if (i == vocab) return;
            best.pop_back();
        }
        auto lower = [](const Best& one, float logit) { return one.logit >= logit; };
        auto place = std::lower_bound(best.begin(), best.end(), logits[i], lower);
        best.insert(place, {logits[i], i});
    }
}

}  // namespace
}  // namespace rwkv

// Of count rows, each the logits [vocab] of one token, in which the ids in forbidden take no part.
// Gives the natural logarithm of the probability of each row's token, NaN where logits are not finite
// or all are forbidden; and ids and logarithms [count][most] of its likeliest ids: `most` must remain.
// On the threads of a team, or on the caller's alone where it is null. Returns 0 without memory.
API int rwkv_score(rwkv::Team* team, const float* const* rows, int64_t count, int64_t vocab,
                   const int64_t* forbidden, int64_t forbidden_count, const int64_t* tokens,
                   int64_t most, float* logprobs, int64_t* best_ids, float* best_logprobs) {
    using namespace rwkv;
    int64_t padded = (vocab + WIDE - 1) / WIDE * WIDE;
    return deal(team, count, [=](int64_t row) {
        thread_local std::vector<float> own;
        thread_local std::vector<Best> best;
        own.resize(size_t(padded));
        std::fill(own.begin() + vocab, own.end(), -INFINITY);
        loops().copy(rows[row], vocab, own.data());
        for (int64_t i = 0; i < forbidden_count; ++i) own[size_t(forbidden[i])] = -INFINITY;
        float top = loops().largest(own.data(), padded);
        logprobs[row] = NAN;
        if (!std::isfinite(top)) return;
        double all = double(top) + std::log(loops().exponentials(own.data(), padded, top));
        logprobs[row] = float(own[size_t(tokens[row])] - all);
        find_best(own.data(), vocab, most, best);
        for (int64_t i = 0; i < most; ++i) {
            best_ids[row * most + i] = best[size_t(i)].id;
            best_logprobs[row * most + i] = float(best[size_t(i)].logit - all);
        }
    });
}
