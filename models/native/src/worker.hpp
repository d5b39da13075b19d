// A thread's part in a pass: threads share out tokens by their number, and heads and rows to whoever
// is free, and meet between phases. Who computes a value never changes it.
#pragma once

#include "model.hpp"
#include "pool.hpp"

namespace {

using rwkv::Activations;
using rwkv::Layer;
using rwkv::Matrix;
using rwkv::Model;
using rwkv::Pass;
using rwkv::Segment;
using rwkv::Team;
using rwkv::Workspace;

struct Range {
    int64_t first, last;
};

struct Worker {
    const Model& model;
    const Workspace& work;
    const Pass& pass;
    int thread;
    Team& team;
    int64_t width;

    Worker(const Model& m, const Pass& p, int number, Team& t)
        : model(m), work(m.work), pass(p), thread(number), team(t), width(m.sizes.width) {}

    Range share(int64_t count) const {
        int64_t n = team.count();
        return {count * thread / n, count * (thread + 1) / n};
    }

    // For the next work that all threads deal out among themselves, in the same order.
    std::atomic<int64_t>& counter() const { return team.counter(dealt_++); }

    float* scratch() const { return work.scratch[thread]; }

    void meet() const { team.barrier(); }

private:
    mutable int dealt_ = 0;
};

// 0 to `count` in parts, each for the thread that asks first: one that is slower, or is kept off its
// core for a while, gets fewer of them. A thread's parts come in ascending order.
class Dealt {
public:
    Dealt(const Worker& worker, int64_t count)
        : taken_(worker.counter()), count_(count), part_(count) {
        int64_t threads = worker.team.count();
        if (threads > 1) part_ = count / (threads * PARTS_EACH);
        if (part_ < 1) part_ = 1;
    }

    // False at the end, with an empty range there.
    bool next(Range& part) {
        int64_t first = taken_.fetch_add(part_, std::memory_order_relaxed);
        if (first > count_) first = count_;
        part = {first, first + part_ < count_ ? first + part_ : count_};
        return part.first < part.last;
    }

private:
    static constexpr int64_t PARTS_EACH = 6;
    std::atomic<int64_t>& taken_;
    int64_t count_, part_;
};

}  // namespace
