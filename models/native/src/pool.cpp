#include "pool.hpp"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace rwkv {
namespace {

constexpr int SPINS = 3000, COUNTERS = 64, LINES = 4;

struct alignas(64) Counter {
    std::atomic<int64_t> value{0};
};

inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// A counter that is waited on until it leaves a value.
class Signal {
public:
    uint64_t value() const { return value_.load(std::memory_order_acquire); }

    void raise() {
        value_.fetch_add(1);
        if (sleepers_.load() == 0) return;
        { std::lock_guard<std::mutex> lock(mutex_); }
        changed_.notify_all();
    }

    void wait_past(uint64_t seen, Coming coming = {}) {
        for (int i = 0; i < SPINS; ++i) {
            if (value() != seen) return;
            if (coming.at < coming.end)
                coming.ask(LINES);
            else
                pause();
        }
        std::unique_lock<std::mutex> lock(mutex_);
        sleepers_.fetch_add(1);
        changed_.wait(lock, [&] { return value_.load() != seen; });
        sleepers_.fetch_sub(1);
    }

private:
    alignas(64) std::atomic<uint64_t> value_{0};
    alignas(64) std::atomic<int> sleepers_{0};
    std::mutex mutex_;
    std::condition_variable changed_;
};

}  // namespace

struct Team::Shared {
    int count;
    void (*work)(void*, int) = nullptr;
    void* context = nullptr;
    bool stop = false;
    Signal started;
    Signal passed;
    alignas(64) std::atomic<int> arrived{0};
    std::vector<Counter> counters;  // [COUNTERS][threads]
    std::vector<std::thread> threads;
};

Team::Team(int count) : shared_(new Shared) {
    shared_->count = count;
    shared_->counters = std::vector<Counter>(size_t(COUNTERS * count));
    try {
        for (int i = 1; i < count; ++i) shared_->threads.emplace_back([this, i] { serve(i); });
    } catch (...) {
        end();
        throw;
    }
}

Team::~Team() { end(); }

void Team::serve(int thread) {
    for (uint64_t seen = 0;; ++seen) {
        shared_->started.wait_past(seen);
        if (shared_->stop) return;
        shared_->work(shared_->context, thread);
        barrier();
    }
}

void Team::end() {
    shared_->stop = true;
    shared_->started.raise();
    for (std::thread& thread : shared_->threads) thread.join();
    delete shared_;
}

int Team::count() const { return shared_->count; }

void Team::run(void (*work)(void*, int), void* context) {
    shared_->work = work;
    shared_->context = context;
    for (Counter& counter : shared_->counters) counter.value.store(0, std::memory_order_relaxed);
    if (shared_->count > 1) shared_->started.raise();
    work(context, 0);
    barrier();
}

void Team::barrier(Coming coming) {
    if (shared_->count == 1) return;
    uint64_t seen = shared_->passed.value();
    if (shared_->arrived.fetch_add(1) + 1 == shared_->count) {
        shared_->arrived.store(0);
        shared_->passed.raise();
    } else {
        shared_->passed.wait_past(seen, coming);
    }
}

std::atomic<int64_t>& Team::counter(int n, int thread) {
    return shared_->counters[size_t(n % COUNTERS * shared_->count + thread)].value;
}

void Team::begin(int n, int thread) {
    // Nobody is at the one half a round ahead, nor will be before all have met again.
    counter(n + COUNTERS / 2, thread).store(0, std::memory_order_relaxed);
}

}  // namespace rwkv
