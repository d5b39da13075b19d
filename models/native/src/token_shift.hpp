// Token shift: each token normalised and mixed with the one before it.
#pragma once

#include "norm.hpp"
#include "worker.hpp"

namespace {

// x + (before - x)·share, made ready in `to`.
struct Mixture {
    const float* share;
    const Activations* to;
};

// The mixtures of a block's time-mix from one input on up to another, those that it has.
struct Mixtures {
    Mixture list[rwkv::INPUTS];
    int count = 0;

    Mixtures(const Layer& layer, const Workspace& work, int first, int last) {
        for (int i = first; i < last; ++i)
            if (layer.mix[i]) list[count++] = {layer.mix[i], &work.mixed[i]};
    }
};

class TokenShift {
public:
    // last: [rows of the state] by row_stride, each sequence's last normalised token.
    TokenShift(const Worker& worker, const Norm& norm, float* last, int64_t row_stride)
        : worker_(worker), norm_(norm), last_(last), row_stride_(row_stride) {}

    // Every token.
    void mix(const Mixture* list, int count) const {
        Dealt dealt(worker_, worker_.pass.count);
        const Segment* s = worker_.pass.segments;
        for (Range part; dealt.next(part);) {
            // Parts of others' shares may lie before those of one's own.
            if (part.first < s->start) s = worker_.pass.segments;
            for (int64_t t = part.first; t < part.last; ++t) {
                while (t >= s->start + s->length) ++s;
                mix_token(list, count, t, *s, t == part.first);
            }
        }
    }

    // The token before token t of sequence s, normalised.
    const float* before(int64_t t, const Segment& s) const {
        if (t == s.start) return last_ + s.row * row_stride_;
        return worker_.work.normed + (t - 1) * worker_.width;
    }

    // Of every sequence; after every token was mixed.
    void keep_last() const {
        each(worker_, worker_.pass.segment_count, [this](int64_t i) {
            const Segment& s = worker_.pass.segments[i];
            const float* from = worker_.work.normed + (s.start + s.length - 1) * worker_.width;
            memcpy(last_ + s.row * row_stride_, from, size_t(worker_.width) * sizeof(float));
        });
    }

private:
    const Worker& worker_;
    const Norm& norm_;
    float* last_;
    int64_t row_stride_;

    // first: of its part, so that the token before it may be another thread's.
    void mix_token(const Mixture* list, int count, int64_t t, const Segment& s, bool first) const {
        int64_t width = worker_.width;
        float* now = worker_.work.normed + t * width;
        layer_norm(worker_.work.x + t * width, width, norm_, now);
        const float* previous = before(t, s);
        if (first && t > s.start) {
            layer_norm(worker_.work.x + (t - 1) * width, width, norm_, worker_.scratch());
            previous = worker_.scratch();
        }
        for (int64_t g = 0; g * GROUP < width; ++g)
            for (int i = 0; i < count; ++i) mix_group(now, previous, list[i], t, g);
    }

    void mix_group(const float* now, const float* previous, const Mixture& mixture, int64_t t,
                   int64_t group) const {
        int64_t start = group * GROUP, left = worker_.width - start;
        alignas(64) float mixed[GROUP] = {};
        for (int64_t i = 0; i < GROUP && i < left; i += LANES) {
            Vec x = load(now + start + i), change = load(previous + start + i) - x;
            store(mixed + i, x + change * load(mixture.share + start + i));
        }
        put_group(*mixture.to, t, group, mixed);
    }
};

}  // namespace
