#include "draw.hpp"

#include <algorithm>

namespace rwkv {

constexpr int BUCKETS_OF_DISTANCES = BUCKETS + 5 * 64;  // below 32, where weights are above 0

float* Weights::logits(int64_t vocab) {
    values_.resize(size_t((vocab + BLOCK - 1) / BLOCK * BLOCK));
    std::fill(values_.begin() + vocab, values_.end(), -INFINITY);
    return values_.data();
}

void Weights::weigh(float top, float inverse, bool ranks) {
    top_ = top, inverse_ = inverse;
    if (ranks) logits_ = values_;
    sums_.resize(size_t(blocks()));
    largest_.resize(size_t(blocks()));
    for (int64_t b = 0; b < blocks(); ++b)
        sums_[size_t(b)] = loops().weigh(&values_[size_t(b * BLOCK)], top, inverse, &largest_[size_t(b)]);
}

double Weights::total() const {
    double sum = 0;
    for (double one : sums_) sum += one;
    return sum;
}

void Weights::keep_heaviest(double number) {
    if (number >= double(count())) return;
    float least = QUANTUM;
    if (number < double(blocks())) {  // that many blocks have an id that is as heavy
        std::vector<float> sorted = largest_;
        auto last = sorted.begin() + std::max<int64_t>(int64_t(number) - 1, 0);
        std::nth_element(sorted.begin(), last, sorted.end(), std::greater<float>());
        least = *last;
    }
    keep(number, least, true);
}

void Weights::keep_share(double share) {
    double all = total(), target = share * all;
    // All lighter ids together weigh less than what may go.
    keep(target, float((all - target) / double(count())), false);
}

void Weights::keep_from(float least) {
    for (int64_t b = 0; b < blocks(); ++b)
        if (sums_[size_t(b)] > 0) sums_[size_t(b)] = loops().keep(&values_[size_t(b * BLOCK)], least);
}

// Keeps the heaviest ids: those that have less than `target` before them, one at least.
// least: a weight that is probably not above the last one's.
void Weights::keep(double target, float least, bool by_number) {
    Cut cut;
    if (!find(target, least, by_number, cut) && !find(target, 0, by_number, cut)) return;
    float from = bucket_start(cut.bucket);
    keep_from(from);
    items_.clear();
    each(from, bucket_start(cut.bucket + 1), [&](int64_t id) {
        double weight = values_[size_t(id)];
        items_.push_back({id, weight, -weight});
    });
    keep_best(cut.before, target, by_number);
}

// Where the ids before reach `target`, if those of at least `least` do.
bool Weights::find(double target, float least, bool by_number, Cut& cut) {
    int64_t lowest = std::max<int64_t>(bucket_of(least), 1);
    float from = bucket_start(lowest);
    buckets_.assign(BUCKETS, 0);
    for (int64_t b = 0; b < blocks(); ++b)
        if (sums_[size_t(b)] > 0 && largest_[size_t(b)] >= from)
            loops().spread(&values_[size_t(b * BLOCK)], from, by_number, buckets_.data());
    cut = {BUCKETS, 0};
    while (--cut.bucket >= lowest) {
        double passed = cut.before + buckets_[size_t(cut.bucket)];
        if (passed >= target && passed > 0) return true;
        cut.before = passed;
    }
    return false;
}

// Calls f with each id of a weight from `least` to below `most`, in ascending order.
template <class F>
void Weights::each(float least, float most, F f) {
    places_.resize(BLOCK);
    for (int64_t b = 0; b < blocks(); ++b) {
        if (sums_[size_t(b)] == 0 || largest_[size_t(b)] < least) continue;
        int64_t found = loops().places(&values_[size_t(b * BLOCK)], least, most, places_.data());
        for (int64_t i = 0; i < found; ++i) f(b * BLOCK + places_[size_t(i)]);
    }
}

// Rules out all but the best items: as many as have less than `target` before them, one at least.
// before: what the first has before it.
void Weights::keep_best(double before, double target, bool by_number) {
    auto begin = items_.begin();
    int64_t low = 0, high = int64_t(items_.size());
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        std::nth_element(begin + low, begin + middle, begin + high, better);
        double left = 0;
        for (int64_t i = low; i < middle; ++i) left += by_number ? 1 : items_[size_t(i)].weight;
        if (before + left < target) {
            before += left;
            low = middle;
        } else {
            high = middle;
        }
    }
    for (size_t i = size_t(low) + 1; i < items_.size(); ++i) rule_out(items_[i].id);
}

void Weights::rule_out(int64_t id) {
    sums_[size_t(id / BLOCK)] -= values_[size_t(id)];
    values_[size_t(id)] = 0;
}

void Weights::keep_typical(double share) {
    double all = total(), target = share * all, expected = 0;
    auto logarithm = [&](int64_t id) { return double((logits_[size_t(id)] - top_) * inverse_); };
    auto each_left = [&](auto f) { each(QUANTUM, INFINITY, f); };
    each_left([&](int64_t id) { expected += double(values_[size_t(id)]) * logarithm(id); });
    expected /= all;

    auto distance = [&](int64_t id) { return std::fabs(logarithm(id) - expected); };
    auto bucket = [&](int64_t id) { return bucket_of(float(distance(id))); };
    buckets_.assign(BUCKETS_OF_DISTANCES, 0);
    each_left([&](int64_t id) { buckets_[size_t(bucket(id))] += values_[size_t(id)]; });
    Cut cut = {0, 0};
    for (; cut.bucket + 1 < BUCKETS_OF_DISTANCES; ++cut.bucket) {
        double passed = cut.before + buckets_[size_t(cut.bucket)];
        if (passed >= target && passed > 0) break;
        cut.before = passed;
    }
    items_.clear();
    each_left([&](int64_t id) {
        int64_t own = bucket(id);
        if (own == cut.bucket) items_.push_back({id, values_[size_t(id)], distance(id)});
        if (own > cut.bucket) rule_out(id);
    });
    keep_best(cut.before, target, false);
}

int64_t Weights::pick(double random) const {
    double all = total(), target = std::min(random * all, all - QUANTUM), passed = 0;
    int64_t block = 0;
    while (block + 1 < blocks() && passed + sums_[size_t(block)] <= target)
        passed += sums_[size_t(block++)];
    int64_t i = block * BLOCK;
    while ((passed += values_[size_t(i)]) <= target) ++i;
    return i;
}

}  // namespace rwkv
