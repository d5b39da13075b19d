// Threads that wait for work, share it out as they come, and wait for what is done, not for one another:
// one that is kept off its core holds up nothing but the part that it is at. Whoever waits spins for a
// moment, then sleeps. See docs/decisions/0061-no-thread-is-waited-for.md.
#pragma once

#include <atomic>
#include <cstdint>
#include <new>

#include "coming.hpp"

namespace rwkv {

class Team {
public:
    // The caller of run() is one of them. Throws what std::thread does.
    explicit Team(int count);
    ~Team();
    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;

    int count() const;
    // Has counters for so many works of a run. Throws std::bad_alloc.
    void reserve(int works);
    // Calls work(context, thread) on the caller, as thread 0, and on every other thread that comes before
    // that has returned; returns when all have. So all work has to be dealt out.
    void run(void (*work)(void*, int), void* context);
    // Within run: what the parts of a thread's share of the n-th work are counted with, from 0 on.
    std::atomic<int64_t>& counter(int n, int thread);
    // Within run: this thread has done `mine` of the `all` parts of a phase, which are numbered from 0 on;
    // returns when all are done. Whoever waits asks for what is coming.
    void meet(int phase, int64_t mine, int64_t all, Coming coming = {});

private:
    struct Shared;
    Shared* shared_;

    void serve(int thread);
    void wait_for_others();
    void end();
};

// Calls f(i) once for each i below `count`, each on the thread that asks first; on the caller's alone
// without a team. False where there was not enough memory.
template <class F>
bool deal(Team* team, int64_t count, F f) {
    struct Dealt {
        F& f;
        int64_t count;
        std::atomic<int64_t> taken{0};
        std::atomic<bool> failed{false};
    } all{f, count};
    auto work = [](void* context, int) {
        Dealt& dealt = *static_cast<Dealt*>(context);
        try {
            for (int64_t i; (i = dealt.taken.fetch_add(1, std::memory_order_relaxed)) < dealt.count;)
                dealt.f(i);
        } catch (const std::bad_alloc&) {
            dealt.failed = true;
        }
    };
    if (team && count > 1)
        team->run(work, &all);
    else
        work(&all, 0);
    return !all.failed;
}

}  // namespace rwkv
