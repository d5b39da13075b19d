// A pass through the whole model, run by every thread of a team at once: the embedding, each block's
// time-mix and channel-mix, and the head. What differs between generations is in time_mix_*.hpp and
// channel_mix.hpp.
#pragma once

#include "channel_mix.hpp"
#include "time_mix_4.hpp"
#include "time_mix_5.hpp"
#include "time_mix_6.hpp"
#include "time_mix_7.hpp"

namespace {

inline void embed(const Worker& w) {
    each(w, w.pass.count, [&w](int64_t t) {
        const uint16_t* from = w.model.embedding + w.pass.tokens[t] * w.width;
        float* to = w.work.x + t * w.width;
        for (int64_t i = 0; i < w.width; i += LANES) store(to + i, load_bf16(from + i));
        layer_norm(to, w.width, w.model.ln0, to);
    });
}

inline void put_row(const Activations& to, int64_t t, const float* from, int64_t width) {
    for (int64_t g = 0; g * GROUP < width; ++g) {
        alignas(64) float values[GROUP] = {};
        int64_t left = width - g * GROUP;
        memcpy(values, from + g * GROUP, size_t(left < GROUP ? left : GROUP) * sizeof(float));
        put_group(to, t, g, values);
    }
}

inline void head(const Worker& w) {
    const Pass& pass = w.pass;
    each(w, pass.wanted_count, [&](int64_t i) {
        layer_norm(w.work.x + pass.wanted[i] * w.width, w.width, w.model.ln_out, w.scratch());
        put_row(w.work.last, i, w.scratch(), w.width);
    });
    const Matrix& m = w.model.head;
    w.meet(coming(w, m));
    auto put = [&](int64_t i, int64_t row, const float* y) {
        int64_t left = m.rows - row;
        size_t count = size_t(left < BLOCK ? left : BLOCK);
        memcpy(pass.logits + i * m.rows + row, y, count * sizeof(float));
    };
    multiply_all(w, pass.wanted_count, Product(m, w.work.last, put));
}

// A time-mix ends in `joined`, a channel-mix in `x`; threads meet before anyone reads them.
typedef void (*TimeMix)(const Worker&, int64_t index, const TokenShift&);
typedef void (*ChannelMix)(const Worker&, const Layer&, const TokenShift&);

template <TimeMix time_mix, ChannelMix channel_mix>
void run_blocks(const Worker& w) {
    const rwkv::StateView& state = w.pass.state;
    for (int64_t i = 0; i < w.model.sizes.layers; ++i) {
        const Layer& layer = w.model.layers[i];
        float *att = state.att_shift + i * state.att_layer;
        float *ffn = state.ffn_shift + i * state.ffn_layer;
        time_mix(w, i, TokenShift(w, layer.ln1, att, state.att_row));
        w.meet(coming(w, layer.output));
        add_to_x(w, layer.output, w.work.joined);
        w.meet();
        channel_mix(w, layer, TokenShift(w, layer.ln2, ffn, state.ffn_row));
        w.meet();
    }
}

void run_forward(const Model& model, const Pass& pass, int thread, Team& team) {
    Worker worker(model, pass, thread, team);
    embed(worker);
    worker.meet();
    switch (model.family) {
        case rwkv::Family::RWKV4: run_blocks<time_mix_4, gated_channel_mix>(worker); break;
        case rwkv::Family::RWKV5: run_blocks<time_mix_5, gated_channel_mix>(worker); break;
        case rwkv::Family::RWKV6: run_blocks<time_mix_6, gated_channel_mix>(worker); break;
        case rwkv::Family::RWKV7: run_blocks<time_mix_7, channel_mix_7>(worker); break;
    }
    if (pass.wanted_count) head(worker);
}

}  // namespace
