// Threads that wait for work and meet at barriers: they spin for a moment, then sleep.
#pragma once

#include <atomic>
#include <cstdint>

namespace rwkv {

class Team {
public:
    explicit Team(int count);  // the caller of run() is one of them
    ~Team();
    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;

    int count() const;
    // Calls work(context, thread) on every thread; returns when all have.
    void run(void (*work)(void*, int), void* context);
    // Within run: no thread passes before all have arrived.
    void barrier();
    // Within run: what the threads count the parts of their n-th shared work with, from 0 on. They
    // have to meet at least once in every COUNTERS / 2 of them.
    std::atomic<int64_t>& counter(int n);

private:
    struct Shared;
    Shared* shared_;
};

}  // namespace rwkv
