#include "pool.hpp"

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace rwkv {
namespace {

constexpr int SPINS = 3000, LINES = 4;

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

// A counter that is waited on.
class Signal {
public:
    uint64_t value() const { return value_.load(std::memory_order_acquire); }

    void raise() {
        value_.fetch_add(1);
        if (sleepers_.load() == 0) return;
        { std::lock_guard<std::mutex> lock(mutex_); }
        changed_.notify_all();
    }

    // Until it was raised so often in all.
    void wait_for(uint64_t raised, Coming coming = {}) {
        for (int i = 0; i < SPINS; ++i) {
            if (value() >= raised) return;
            if (coming.at < coming.end)
                coming.ask(LINES);
            else
                pause();
        }
        std::unique_lock<std::mutex> lock(mutex_);
        sleepers_.fetch_add(1);
        changed_.wait(lock, [&] { return value_.load() >= raised; });
        sleepers_.fetch_sub(1);
    }

private:
    alignas(64) std::atomic<uint64_t> value_{0};
    alignas(64) std::atomic<int> sleepers_{0};
    std::mutex mutex_;
    std::condition_variable changed_;
};

}  // namespace

enum Seat { OUT, INVITED, IN };

struct Team::Shared {
    int count;
    void (*work)(void*, int) = nullptr;
    void* context = nullptr;
    std::atomic<bool> stop{false};
    Signal started;
    Signal left;    // by threads, in all runs
    Signal passed;  // phases, in all runs
    uint64_t passed_before = 0;  // this run
    std::unique_ptr<std::atomic<Seat>[]> seats;
    std::vector<Counter> counters;  // [works][threads]
    std::vector<Counter> done;      // [works], as there are no more phases
    std::vector<std::thread> threads;
};

Team::Team(int count) : shared_(new Shared) {
    shared_->count = count;
    try {
        shared_->seats.reset(new std::atomic<Seat>[size_t(count)]());
        for (int i = 1; i < count; ++i) shared_->threads.emplace_back([this, i] { serve(i); });
    } catch (...) {
        end();
        throw;
    }
}

Team::~Team() { end(); }

void Team::serve(int thread) {
    std::atomic<Seat>& seat = shared_->seats[size_t(thread)];
    for (uint64_t seen = 0;;) {
        shared_->started.wait_for(seen + 1);
        seen = shared_->started.value();
        if (shared_->stop) return;
        Seat invited = INVITED;
        if (!seat.compare_exchange_strong(invited, IN)) continue;  // late
        shared_->work(shared_->context, thread);
        seat.store(OUT);
        shared_->left.raise();
    }
}

void Team::end() {
    shared_->stop = true;
    shared_->started.raise();
    for (std::thread& thread : shared_->threads) thread.join();
    delete shared_;
}

int Team::count() const { return shared_->count; }

void Team::reserve(int works) {
    shared_->counters = std::vector<Counter>(size_t(works * shared_->count));
    shared_->done = std::vector<Counter>(size_t(works));
}

void Team::run(void (*work)(void*, int), void* context) {
    for (Counter& counter : shared_->counters) counter.value.store(0, std::memory_order_relaxed);
    for (Counter& counter : shared_->done) counter.value.store(0, std::memory_order_relaxed);
    shared_->work = work;
    shared_->context = context;
    shared_->passed_before = shared_->passed.value();
    for (int i = 1; i < shared_->count; ++i) shared_->seats[size_t(i)].store(INVITED);
    if (shared_->count > 1) shared_->started.raise();
    work(context, 0);
    wait_for_others();
}

// Those that have not come by now need not come any more.
void Team::wait_for_others() {
    for (int i = 1; i < shared_->count; ++i) {
        std::atomic<Seat>& seat = shared_->seats[size_t(i)];
        Seat invited = INVITED;
        if (seat.compare_exchange_strong(invited, OUT)) continue;
        for (;;) {
            uint64_t left = shared_->left.value();
            if (seat.load() == OUT) break;
            shared_->left.wait_for(left + 1);
        }
    }
}

std::atomic<int64_t>& Team::counter(int n, int thread) {
    return shared_->counters[size_t(n * shared_->count + thread)].value;
}

void Team::meet(int phase, int64_t mine, int64_t all, Coming coming) {
    if (shared_->count == 1) return;
    // The one that completes a phase has passed all before it, as every other one that took part.
    if (mine && shared_->done[size_t(phase)].value.fetch_add(mine) + mine == all)
        shared_->passed.raise();
    shared_->passed.wait_for(shared_->passed_before + uint64_t(phase) + 1, coming);
}

}  // namespace rwkv
