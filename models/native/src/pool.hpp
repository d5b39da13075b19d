// Threads that wait for work and meet at barriers: they spin for a moment, then sleep.
#pragma once

#include <atomic>
#include <cstdint>

namespace rwkv {

// Memory that will be read soon.
struct Coming {
    const char *at = nullptr, *end = nullptr;

    Coming() = default;
    Coming(const void* from, int64_t bytes)
        : at(static_cast<const char*>(from)), end(at + bytes) {}

    int64_t lines() const { return (end - at) / LINE; }
    // Asks for the next ones, which other work does not wait for.
    void ask(int lines) {
        for (; lines > 0 && at < end; --lines, at += LINE) __builtin_prefetch(at, 0, 2);
    }

private:
    static constexpr int64_t LINE = 64;  // bytes
};

class Team {
public:
    explicit Team(int count);  // the caller of run() is one of them
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
};

}  // namespace rwkv
