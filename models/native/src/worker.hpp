// A thread's part in a pass: threads share out tokens by their number, help one another with heads and
// rows, and meet between phases. Who computes a value never changes it.
#pragma once

#include "model.hpp"
#include "pool.hpp"

namespace {

using rwkv::Activations;
using rwkv::Coming;
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

    Range share(int64_t count) const { return share_of(thread, count); }
    Range share_of(int64_t whose, int64_t count) const {
        int64_t n = team.count();
        return {count * whose / n, count * (whose + 1) / n};
    }

    // The number of the next work that is dealt out; all threads have the same works in one order.
    int next_work() const {
        team.begin(works_, thread);
        return works_++;
    }

    float* scratch() const { return work.scratch[thread]; }

    // coming: what this thread reads next.
    void meet(Coming coming = {}) const { team.barrier(coming); }

private:
    mutable int works_ = 0;
};

// 0 to `count` in parts: those of a thread's own share, one behind the other, then what is left of the
// others'. So one that is slower, or is kept off its core for a while, computes fewer of them, and
// each reads memory as a single stream that can be asked for beforehand.
class Dealt {
public:
    Dealt(const Worker& worker, int64_t count)
        : worker_(worker), work_(worker.next_work()), count_(count), part_(count) {
        if (threads() > 1) part_ = count / (threads() * PARTS_EACH);
        if (part_ < 1) part_ = 1;
    }

    // False at the end.
    bool next(Range& part) {
        for (; done_ < threads(); ++done_) {
            int whose = (worker_.thread + done_) % threads();
            Range all = worker_.share_of(whose, count_);
            auto& taken = worker_.team.counter(work_, whose);
            int64_t first = all.first + taken.fetch_add(part_, std::memory_order_relaxed);
            if (first >= all.last) continue;
            part = {first, first + part_ < all.last ? first + part_ : all.last};
            return true;
        }
        return false;
    }

private:
    static constexpr int64_t PARTS_EACH = 6;
    const Worker& worker_;
    int work_, done_ = 0;  // shares
    int64_t count_, part_;

    int threads() const { return worker_.team.count(); }
};

}  // namespace
