// Threads that wait for work and meet at barriers: they spin for a moment, then sleep.
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
    // Calls work(context, thread) on every thread; returns when all have.
    void run(void (*work)(void*, int), void* context);
    // Within run: no thread passes before all have arrived. Whoever waits asks for what is coming.
    void barrier(Coming coming = {});
    // Within run: what the parts of a thread's share of the n-th work are counted with, from 0 on.
    // Threads have to meet at least once in every COUNTERS / 2 works.
    std::atomic<int64_t>& counter(int n, int thread);
    // A thread that begins with the n-th work says so.
    void begin(int n, int thread);

private:
    struct Shared;
    Shared* shared_;

    void serve(int thread);
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
