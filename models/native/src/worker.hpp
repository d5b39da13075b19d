// A thread's part in a pass: threads take tokens, heads and rows as they come, and go on to the next phase
// when all of one is done. Who computes a value never changes it.
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

    float* scratch() const { return work.scratch[thread]; }

    // The end of a phase. coming: what this thread reads next.
    void meet(Coming coming = {}) const {
        if (!all_) return;
        team.meet(phase_++, done_, all_, coming);
        done_ = all_ = 0;
    }

private:
    friend class Dealt;
    mutable int works_ = 0, phase_ = 0;
    mutable int64_t done_ = 0, all_ = 0;  // in this phase: by this thread, and in all
};

// 0 to `count` in parts: those of a thread's own share, one behind the other, then what is left of the
// others'. So one that is slower, or is kept off its core for a while, computes fewer of them, and
// each reads memory as a single stream that can be asked for beforehand. All threads have the same works
// in one order, and whoever has a part computes it before it takes the next or meets the others.
class Dealt {
public:
    Dealt(const Worker& worker, int64_t count)
        : worker_(worker), work_(worker.works_++), count_(count), part_(count) {
        worker.all_ += count;
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
            worker_.done_ += part.last - part.first;
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

// f(i) for each i below `count`.
template <class F>
inline void each(const Worker& w, int64_t count, F f) {
    Dealt dealt(w, count);
    for (Range part; dealt.next(part);)
        for (int64_t i = part.first; i < part.last; ++i) f(i);
}

}  // namespace
