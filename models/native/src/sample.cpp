// From logits to the next token. The calls and the order of their arguments are repeated in
// library.py; what each option means is written at server/engine/messages.py, Sampling.
#include "draw.hpp"
#include "pool.hpp"

#include <algorithm>
#include <new>
#include <vector>

#define API extern "C" __attribute__((visibility("default")))

namespace rwkv {
namespace {

Weights& work() {
    thread_local Weights own;
    return own;
}

struct Penalties {
    double presence, frequency, repetition, decay;
    bool any() const { return presence != 0 || frequency != 0 || repetition != 1; }
};

struct Options {
    double temperature, top_p, top_k, min_p, typical_p;
    Penalties penalties;
};

class Sampler {
public:
    Sampler(const Options& options, const int64_t* bias_ids, const double* biases, int64_t count,
            const int64_t* forbidden, int64_t forbidden_count)
        : options_(options), forbidden_(forbidden, forbidden + forbidden_count) {
        for (int64_t i = 0; i < count; ++i) biases_.push_back({bias_ids[i], biases[i]});
    }

    int64_t choose(const float* logits, int64_t vocab, const int32_t* mask, const int64_t* banned,
                   int64_t banned_count, double random) {
        Weights& ids = work();
        float top = adjust(ids, logits, vocab, mask, banned, banned_count);
        if (!std::isfinite(top)) return -1;
        bool greedy = options_.temperature == 0 || options_.top_k == 1;
        int64_t token = greedy ? loops().first(ids.logits(vocab), 0, ids.count(), top) : draw(ids, top, random);
        if (options_.penalties.any()) count(token);
        return token;
    }

private:
    struct Value {
        int64_t id;
        double value;
    };

    Options options_;
    std::vector<Value> biases_, counts_;
    std::vector<int64_t> forbidden_;

    // Puts logits where they are weighed, with what options do to them. Gives the largest.
    float adjust(Weights& ids, const float* logits, int64_t vocab, const int32_t* mask,
                 const int64_t* banned, int64_t banned_count) const {
        float* to = ids.logits(vocab);
        float top = loops().copy(logits, vocab, to);
        bool lost = mask || !std::isfinite(top);
        auto put = [&](int64_t id, float value) {
            lost = lost || !(to[id] < top) || !(value < top);
            to[id] = value;
        };
        // Rounded to float32 once, behind both.
        for (const Value& seen : counts_)
            if (seen.value > 0) put(seen.id, float(penalised(to[seen.id], seen.value)));
        for (const Value& bias : biases_) put(bias.id, float(double(to[bias.id]) + bias.value));
        for (int64_t id : forbidden_) put(id, -INFINITY);
        for (int64_t i = 0; i < banned_count; ++i) put(banned[i], -INFINITY);
        if (mask) loops().restrict_to(to, vocab, mask);
        return lost ? loops().largest(to, ids.count()) : top;
    }

    double penalised(double logit, double count) const {
        const Penalties& by = options_.penalties;
        logit = logit > 0 ? logit / by.repetition : logit * by.repetition;
        logit = logit - by.presence;
        return logit - by.frequency * count;
    }

    void count(int64_t token) {
        bool found = false;
        for (Value& seen : counts_) {
            seen.value *= options_.penalties.decay;
            if (seen.id == token) {
                seen.value += 1;
                found = true;
            }
        }
        if (!found) counts_.push_back({token, 1.0});
    }

    int64_t draw(Weights& ids, float top, double random) const {
        ids.weigh(top, float(std::min(1.0 / options_.temperature, 1e38)), options_.typical_p < 1);
        if (options_.top_k > 0) ids.keep_heaviest(options_.top_k);
        if (options_.top_p < 1) ids.keep_share(options_.top_p);
        if (options_.min_p > 0) ids.keep_from(float(std::min(options_.min_p, 1.0)));
        if (options_.typical_p < 1) ids.keep_typical(options_.typical_p);
        return ids.pick(random);
    }
};

}  // namespace
}  // namespace rwkv

// options: temperature, top_p, top_k, min_p, typical_p, then the penalties for presence, frequency
// and repetition and their decay. Returns null without memory.
API void* rwkv_sampler_new(const double* options, const int64_t* bias_ids, const double* biases,
                           int64_t biases_count, const int64_t* forbidden, int64_t forbidden_count) {
    const double* o = options;
    rwkv::Options all = {o[0], o[1], o[2], o[3], o[4], {o[5], o[6], o[7], o[8]}};
    return new (std::nothrow)
        rwkv::Sampler(all, bias_ids, biases, biases_count, forbidden, forbidden_count);
}

API void rwkv_sampler_free(void* sampler) { delete static_cast<rwkv::Sampler*>(sampler); }

// What one sampler chooses from: logits [vocab]; mask: bits of the only ids, or null; banned: ids
// not to choose this time; random: in [0, 1).
struct Choice {
    void* sampler;
    const float* logits;
    int64_t vocab;
    const int32_t* mask;
    const int64_t* banned;
    int64_t banned_count;
    double random;
    int64_t token;  // set to the id, or to -1 where none can be chosen
};

// Choices of different samplers, on the threads of a team, or on the caller's alone where it is null.
// Returns 0 without memory.
API int rwkv_choose(rwkv::Team* team, Choice* choices, int64_t count) {
    return rwkv::deal(team, count, [&](int64_t i) {
        Choice& one = choices[i];
        one.token = static_cast<rwkv::Sampler*>(one.sampler)->choose(
            one.logits, one.vocab, one.mask, one.banned, one.banned_count, one.random);
    });
}
