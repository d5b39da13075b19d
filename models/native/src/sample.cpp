// From logits to the next token. The calls and the order of their arguments are repeated in
// library.py; what each option means is written at server/engine/messages.py, Sampling.
//
// Sums of weights are exact, so that they have no order. Ranks are by weight, ties by the lower id. An
// id is drawn by the cumulated weights of the remaining ids in the order of their numbers.
#include "vocabulary.hpp"

#include <algorithm>
#include <new>
#include <vector>

#define API extern "C" __attribute__((visibility("default")))

namespace rwkv {
namespace {

constexpr float QUANTUM = 1.0f / (1ll << 34);  // of weights
constexpr int32_t CLOSE = 1 << 17;  // a 64th of a power of two, in steps of float32

struct Item {
    int64_t id;
    double weight;
    double rank;  // the lower is the better
};

bool better(const Item& a, const Item& b) {
    return a.rank != b.rank ? a.rank < b.rank : a.id < b.id;
}

// Brings the best items to the front: as many as have less than `target` before them, one at least.
// before: what the first has before it. mass: of an item.
template <class Mass>
int64_t keep_best(std::vector<Item>& items, double before, double target, Mass mass) {
    auto begin = items.begin();
    int64_t low = 0, high = int64_t(items.size());
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        std::nth_element(begin + low, begin + middle, begin + high, better);
        double left = 0;
        for (int64_t i = low; i < middle; ++i) left += mass(items[size_t(i)]);
        if (before + left < target) {
            before += left;
            low = middle;
        } else {
            high = middle;
        }
    }
    return low + 1;
}

// From `least` to below `most`.
struct Range {
    float least, most;
};

float from_bits(int32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

int32_t to_bits(float value) {
    int32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

// What a thread computes in; lengths are multiples of WIDE.
struct Work {
    std::vector<float> logits, weights;
    std::vector<Item> items;
};

Work& work() {
    thread_local Work own;
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
        adjust(logits, vocab, mask, banned, banned_count);
        float top = loops().largest(work().logits.data(), padded_);
        if (!std::isfinite(top)) return -1;
        bool greedy = options_.temperature == 0 || options_.top_k == 1;
        int64_t token = greedy ? first_of(top) : draw(top, random);
        if (options_.penalties.any()) count(token);
        return token;
    }

private:
    struct Value {
        int64_t id;
        double value;
    };

    Options options_;
    std::vector<Value> biases_, counts_, touched_;
    std::vector<int64_t> forbidden_;
    int64_t padded_ = 0;

    void adjust(const float* logits, int64_t vocab, const int32_t* mask, const int64_t* banned,
                int64_t banned_count) {
        padded_ = (vocab + WIDE - 1) / WIDE * WIDE;
        std::vector<float>& to = work().logits;
        to.resize(size_t(padded_));
        memcpy(to.data(), logits, size_t(vocab) * sizeof(float));
        std::fill(to.begin() + vocab, to.end(), -INFINITY);
        // Rounded to float32 once, behind both.
        touched_.clear();
        for (const Value& seen : counts_)
            if (seen.value > 0) touched_.push_back({seen.id, penalised(to[seen.id], seen.value)});
        for (const Value& seen : touched_) to[seen.id] = float(seen.value);
        for (const Value& bias : biases_) to[bias.id] = float(double(to[bias.id]) + bias.value);
        for (int64_t id : forbidden_) to[id] = -INFINITY;
        for (int64_t i = 0; i < banned_count; ++i) to[banned[i]] = -INFINITY;
        if (mask) restrict_to(mask, vocab);
    }

    // Bit i % 32 of word i / 32 stands for id i.
    static void restrict_to(const int32_t* mask, int64_t vocab) {
        float* to = work().logits.data();
        for (int64_t word = 0; word * 32 < vocab; ++word) {
            uint32_t bits = uint32_t(mask[word]);
            if (bits == 0xffffffffu) continue;
            int64_t first = word * 32, last = std::min(first + 32, vocab);
            for (int64_t i = first; i < last; ++i)
                if (!(bits >> (i - first) & 1)) to[i] = -INFINITY;
        }
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

    int64_t first_of(float value) const {
        const std::vector<float>& logits = work().logits;
        return std::find(logits.begin(), logits.end(), value) - logits.begin();
    }

    int64_t draw(float top, double random) {
        Work& at = work();
        at.weights.resize(size_t(padded_));
        float inverse = float(std::min(1.0 / options_.temperature, 1e38));
        loops().weigh(at.logits.data(), padded_, top, inverse, at.weights.data());
        const float* weights = at.weights.data();
        auto sum = [&](float least) { return loops().sum(weights, padded_, least); };
        auto about = [&](float least) { return loops().about_sum(weights, padded_, least); };
        auto number = [&](float least) { return double(loops().number(weights, padded_, least)); };
        if (options_.top_k > 0 && options_.top_k < padded_)
            cut(options_.top_k, number, number, [](const Item&) { return 1.0; });
        if (options_.top_p < 1)
            cut(options_.top_p * sum(0), about, sum, [](const Item& item) { return item.weight; });
        if (options_.min_p > 0) drop_below(float(std::min(options_.min_p, 1.0)));
        if (options_.typical_p < 1) keep_typical(top, inverse, sum(0));
        return pick(random, sum(0));
    }

    // Keeps the heaviest ids: those that have less than `target` before them, one at least.
    // above: the mass of all weights from one on; about: the same, up to rounding. mass: of one id.
    template <class About, class Above, class Mass>
    void cut(double target, About about, Above above, Mass mass) {
        if (above(QUANTUM) < target) return;
        Range range = narrowed(target, about);
        double before = above(range.most);
        if ((before > 0 && before >= target) || above(range.least) < target) {  // the rounding mattered
            range = narrowed(target, above);
            before = above(range.most);
        }
        drop_below(range.least);
        collect(range.least, range.most);
        std::vector<Item>& items = work().items;
        for (Item& item : items) item.rank = -item.weight;
        int64_t kept = keep_best(items, before, target, mass);
        for (size_t i = size_t(kept); i < items.size(); ++i)
            work().weights[size_t(items[i].id)] = 0;
    }

    // Close around the weight of the last id that is kept.
    template <class Above>
    static Range narrowed(double target, Above above) {
        int32_t low = to_bits(QUANTUM), high = to_bits(1.0f) + 1;
        while (high - low > CLOSE) {
            int32_t middle = low + (high - low) / 2;
            double found = above(from_bits(middle));
            (found >= target && found > 0 ? low : high) = middle;
        }
        return {from_bits(low), from_bits(high)};
    }

    void drop_below(float least) const {
        for (float& weight : work().weights) weight = weight >= least ? weight : 0.0f;
    }

    // The ids with weights from `least` to below `most`.
    static void collect(float least, float most) {
        Work& at = work();
        at.items.clear();
        constexpr size_t STRIDE = 2 * WIDE;
        for (size_t start = 0; start < at.weights.size(); start += STRIDE) {
            size_t stop = std::min(start + STRIDE, at.weights.size());
            int found = 0;
            for (size_t i = start; i < stop; ++i)
                found += (at.weights[i] >= least) & (at.weights[i] < most);
            for (size_t i = start; found && i < stop; ++i) {
                if (!(at.weights[i] >= least && at.weights[i] < most)) continue;
                at.items.push_back({int64_t(i), at.weights[i], 0});
                --found;
            }
        }
    }

    // The ids whose logarithm is nearest to the expected one, up to a share typical_p of `total`.
    void keep_typical(float top, float inverse, double total) const {
        Work& at = work();
        collect(QUANTUM, INFINITY);
        double expected = 0;
        for (Item& item : at.items) {
            item.rank = double((at.logits[size_t(item.id)] - top) * inverse);
            expected += item.weight * item.rank;
        }
        expected /= total;
        for (Item& item : at.items) item.rank = std::fabs(item.rank - expected);
        auto mass = [](const Item& item) { return item.weight; };
        int64_t kept = keep_best(at.items, 0, options_.typical_p * total, mass);
        for (size_t i = size_t(kept); i < at.items.size(); ++i)
            at.weights[size_t(at.items[i].id)] = 0;
    }

    int64_t pick(double random, double total) const {
        const std::vector<float>& weights = work().weights;
        double target = std::min(random * total, total - QUANTUM), passed = 0;
        int64_t i = 0;
        for (constexpr int64_t STRIDE = 16 * WIDE; i + STRIDE < padded_; i += STRIDE) {
            double next = passed + loops().sum(weights.data() + i, STRIDE, 0);
            if (next > target) break;
            passed = next;
        }
        while ((passed += weights[size_t(i)]) <= target) ++i;
        return i;
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

// logits [vocab]; mask: bits of the only ids to choose from, or null; banned: ids not to choose
// this time; random: in [0, 1). Returns the id, or -1 where nothing can be chosen.
API int64_t rwkv_sampler_choose(void* sampler, const float* logits, int64_t vocab,
                                const int32_t* mask, const int64_t* banned, int64_t banned_count,
                                double random) {
    return static_cast<rwkv::Sampler*>(sampler)->choose(logits, vocab, mask, banned, banned_count,
                                                        random);
}
