// How likely each id of a vocabulary is beside the likeliest: which ids are left, and one drawn of them.
//
// Sums of weights are exact, so that they have no order. Ranks are by weight, ties by the lower id. An
// id is drawn by the cumulated weights of the remaining ids in the order of their numbers.
#pragma once

#include "vocabulary.hpp"

#include <vector>

namespace rwkv {

constexpr float QUANTUM = 1.0f / (1ll << 34);  // of weights

// What a thread computes in. Of logits that are weighed, the weights take the place.
class Weights {
public:
    // Where the logits of `vocab` ids are to be put; followed by others that are ruled out.
    float* logits(int64_t vocab);
    int64_t count() const { return int64_t(values_.size()); }

    // exp((logit - top) * inverse). ranks: the logits are needed after that, by keep_typical.
    void weigh(float top, float inverse, bool ranks);
    void keep_heaviest(double number);  // ids
    void keep_share(double share);      // of what all weigh, the heaviest first
    void keep_from(float least);
    void keep_typical(double share);  // those whose logarithm is nearest to the expected one
    int64_t pick(double random) const;

private:
    struct Item {
        int64_t id;
        double weight;
        double rank;  // the lower is the better
    };
    struct Cut {
        int64_t bucket;
        double before;  // the mass of all heavier ones
    };

    std::vector<float> values_, logits_, largest_;  // largest_: of each block
    std::vector<double> sums_;                      // of each block
    std::vector<double> buckets_;
    std::vector<int32_t> places_;
    std::vector<Item> items_;
    float top_ = 0, inverse_ = 1;

    int64_t blocks() const { return count() / BLOCK; }
    double total() const;
    bool find(double target, float least, bool by_number, Cut& cut);
    void keep(double target, float least, bool by_number);
    template <class F>
    void each(float least, float most, F f);
    void rule_out(int64_t id);
    void keep_best(double before, double target, bool by_number);

    static bool better(const Item& a, const Item& b) {
        return a.rank != b.rank ? a.rank < b.rank : a.id < b.id;
    }
};

}  // namespace rwkv
