// Channel-mix: value·relu(key·x)², in RWKV-4 to 6 times sigmoid(receptance·x).
// Its slow twins are in models/layers.py and models/rwkv7.py.
#pragma once

#include "heads.hpp"

namespace {

constexpr int64_t PER_GROUP = GROUP / BLOCK;
constexpr int64_t AT_ONCE = 4 * CHUNK;  // tokens
static_assert(AT_ONCE * GROUP <= 10 * CHUNK * 2 * BLOCK, "fits a thread's scratch");

// relu(key·x)² of a GROUP of channels.
inline void expand_group(const Worker& w, const Matrix& key, const Activations& x, int64_t g) {
    float* values = w.scratch();  // [AT_ONCE][GROUP]
    int64_t first = g * PER_GROUP, last = first + PER_GROUP;
    if (last > key.blocks) {
        last = key.blocks;
        memset(values, 0, AT_ONCE * GROUP * sizeof(float));
    }
    for (int64_t start = 0; start < w.pass.count; start += AT_ONCE) {
        int64_t stop = start + AT_ONCE < w.pass.count ? start + AT_ONCE : w.pass.count;
        multiply(key, x, first, last, start, stop, [&](int64_t t, int64_t row, const float* y) {
            float* to = values + (t - start) * GROUP + row - g * GROUP;
            for (int i = 0; i < BLOCK; i += LANES) {
                Vec positive = larger(load(y + i), all(0.0f));
                store(to + i, positive * positive);
            }
        });
        for (int64_t t = start; t < stop; ++t)
            put_group(w.work.inner, t, g, values + (t - start) * GROUP);
    }
}

inline int64_t groups_of(const Matrix& key) { return (key.blocks + PER_GROUP - 1) / PER_GROUP; }

// The beginning of this thread's share of them.
inline Coming coming_groups(const Worker& w, const Matrix& key) {
    Range own = w.share(groups_of(key));
    return coming(key, own.first * PER_GROUP, own.last * PER_GROUP);
}

inline void expand(const Worker& w, const Matrix& key, const Activations& x) {
    each(w, groups_of(key), [&](int64_t g) { expand_group(w, key, x, g); });
}

// x += gate∘(m·from)
inline void add_gated_to_x(const Worker& w, const Matrix& m, const Activations& from) {
    auto add = [&w](int64_t t, int64_t row, const float* y) {
        int64_t at = t * w.width + row;
        float* to = w.work.x + at;
        const float* gate = w.work.gate + at;
        for (int i = 0; i < BLOCK; i += LANES)
            store(to + i, load(to + i) + load(gate + i) * load(y + i));
    };
    multiply_all(w, w.pass.count, Product(m, from, add));
}

inline void channel_mix_7(const Worker& w, const Layer& layer, const TokenShift& shift) {
    const Activations& mixed = w.work.mixed[rwkv::FOR_K];
    Mixture mixture = {layer.channel_mix[0], &mixed};
    shift.mix(&mixture, 1);
    w.meet(coming_groups(w, layer.ffn_key));
    shift.keep_last();
    expand(w, layer.ffn_key, mixed);
    w.meet(coming(w, layer.ffn_value));
    add_to_x(w, layer.ffn_value, w.work.inner);
}

inline void gated_channel_mix(const Worker& w, const Layer& layer, const TokenShift& shift) {
    const Workspace& work = w.work;
    const Activations &for_key = work.mixed[rwkv::FOR_K], &for_gate = work.mixed[rwkv::FOR_R];
    Mixture mixtures[] = {{layer.channel_mix[0], &for_key}, {layer.channel_mix[1], &for_gate}};
    Product gate(layer.ffn_receptance, for_gate, to_rows<sigmoid>(work.gate, w.width));
    shift.mix(mixtures, 2);
    w.meet(coming(w, gate.matrix));
    shift.keep_last();
    multiply_all(w, w.pass.count, gate);
    expand(w, layer.ffn_key, for_key);
    w.meet(coming(w, layer.ffn_value));
    add_gated_to_x(w, layer.ffn_value, work.inner);
}

}  // namespace
