// Time-mix between its matrices: how units of heads are shared out, and what a unit does with its
// sequences, token by token.
//
// A unit is as many heads as fill whole GROUPs of channels, so that its output can be made ready for
// the next matrix at once. A generation brings its Head, which computes one head at a time:
//     Head(worker, layer)             size, count: channels of a head, and heads
//     prepare(head, start, stop)      the recurrence's inputs, for up to CHUNK tokens
//     scan(head, place, s, at, from, to, ahead)  the tokens of one sequence among them; at: of
//                                     `from`; ahead: what it asks for meanwhile
//     finish(head, start, stop, to, stride)  the output of those tokens, to rows of floats
//     state(row, head)                where the state of a sequence begins, state_size floats
#pragma once

#include "products.hpp"
#include "scan.hpp"
#include "token_shift.hpp"

namespace {

using rwkv::CHUNK;

// out[token - start] = matrix · inner, for the channels of one head.
inline void multiply_head(const Matrix& m, const Activations& inner, int64_t head, int64_t size,
                          int64_t start, int64_t stop, float* out) {
    int64_t first = head * size;
    multiply(m, inner, first / BLOCK, (first + size) / BLOCK, start, stop,
             [&](int64_t t, int64_t row, const float* values) {
                 float* to = out + (t - start) * size + row - first;
                 for (int i = 0; i < BLOCK; i += LANES) store(to + i, load(values + i));
             });
}

// A thread's scratch beyond what token shift needs.
inline float* head_scratch(const Worker& w) { return w.scratch() + w.width; }

template <class Head>
class Heads {
public:
    Heads(const Worker& worker, int64_t layer)
        : worker_(worker), head_(worker, layer), unit_heads_(rwkv::unit_heads(head_.size)),
          unit_width_(unit_heads_ * head_.size) {}

    // The states of this thread's share, as far as they are one sequence's.
    Coming coming() const {
        Range own = worker_.share(head_.count);
        int64_t size = head_.state_size * int64_t(sizeof(float));
        return {head_.state(worker_.pass.segments->row, own.first), (own.last - own.first) * size};
    }

    // What this thread gets of all units and sequences. Its arithmetic leaves memory idle, which
    // brings the next matrix meanwhile.
    void run(const Matrix& next) {
        const Pass& pass = worker_.pass;
        ahead_.coming = ::coming(worker_, next, MEANWHILE);
        int64_t scans = pass.segment_count * (head_.count / worker_.team.count() + 1);
        ahead_.lines = ahead_.coming.lines() / scans + 1;
        int64_t count = (head_.count + unit_heads_ - 1) / unit_heads_;
        // Units of few heads are too coarse for many threads: sequences are shared out too.
        int64_t parts = (2 * worker_.team.count() + count - 1) / count;
        if (parts > pass.segment_count) parts = pass.segment_count;
        Dealt dealt(worker_, count * parts);
        for (Range mine; dealt.next(mine);) {
            for (int64_t job = mine.first; job < mine.last; ++job) {
                int64_t unit = job / parts, part = job % parts;
                int64_t first = pass.segment_count * part / parts;
                int64_t last = pass.segment_count * (part + 1) / parts;
                run_unit(unit, pass.segments + first, pass.segments + last);
            }
        }
    }

private:
    static constexpr int64_t MEANWHILE = 256 << 10;  // bytes: half of a small second cache
    const Worker& worker_;
    Head head_;
    int64_t unit_heads_, unit_width_;
    Ahead ahead_;

    // The tokens of sequences `s` to `end`, which lie side by side.
    void run_unit(int64_t unit, const Segment* s, const Segment* end) {
        if (s == end) return;
        int64_t first = unit * unit_heads_, last = first + unit_heads_;
        if (last > head_.count) last = head_.count;
        int64_t stop = end[-1].start + end[-1].length;
        for (int64_t from = s->start; from < stop; from += CHUNK) {
            int64_t to = from + CHUNK < stop ? from + CHUNK : stop;
            const Segment* next = s;
            for (int64_t h = first; h < last; ++h) next = run_chunk(h, h - first, s, from, to);
            s = next;
            for (int64_t t = from; t < to; ++t) put_unit(unit, t, t - from);
        }
    }

    // `s`: the sequence that token `start` belongs to; returns that of token `stop`.
    const Segment* run_chunk(int64_t head, int64_t place, const Segment* s, int64_t start,
                             int64_t stop) {
        head_.prepare(head, start, stop);
        for (int64_t from = start; from < stop;) {
            int64_t end = s->start + s->length, to = end < stop ? end : stop;
            if (to < stop) ask_for(head_.state(s[1].row, head), head_.state_size);
            head_.scan(head, place, *s, from - start, from, to, ahead_);
            if (to == end) ++s;
            from = to;
        }
        head_.finish(head, start, stop, joined() + place * head_.size, unit_width_);
        return s;
    }

    void put_unit(int64_t unit, int64_t t, int64_t at) {
        float* row = joined() + at * unit_width_;
        int64_t left = worker_.width - unit * unit_width_;
        for (int64_t i = left; i < unit_width_; ++i) row[i] = 0;
        for (int64_t g = 0; g * GROUP < unit_width_ && g * GROUP < left; ++g)
            put_group(worker_.work.joined, t, unit * unit_width_ / GROUP + g, row + g * GROUP);
    }

    float* joined() const { return head_scratch(worker_); }  // [CHUNK][unit width]
};

// A thread's scratch beyond that of the unit.
template <class Head>
inline float* scratch_of(const Worker& w, const Head& head) {
    return head_scratch(w) + CHUNK * head.size * rwkv::unit_heads(head.size);
}

}  // namespace
