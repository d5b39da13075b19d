#include "generations.hpp"

#include <cmath>

namespace rwkv {
namespace {

#define VECTOR(member) [](Layer& layer) -> float*& { return layer.member; }
#define MATRIX(member) [](Layer& layer) -> Matrix* { return &layer.member; }

// Files of RWKV-4 and 5 hold the share of the token itself.
float other_share(float x) { return 1 - x; }
float log_decay(float x) { return -std::exp(x); }
float decay(float x) { return std::exp(-std::exp(x)); }
float exponential(float x) { return std::exp(x); }

typedef std::vector<VectorPlace> Vectors;
typedef std::vector<MatrixPlace> Matrices;

template <class T>
std::vector<T> joined(std::initializer_list<std::vector<T>> all) {
    std::vector<T> found;
    for (const std::vector<T>& part : all) found.insert(found.end(), part.begin(), part.end());
    return found;
}

const Vectors NORMS = {
    {"ln1.weight", VECTOR(ln1.weight)},
    {"ln1.bias", VECTOR(ln1.bias)},
    {"ln2.weight", VECTOR(ln2.weight)},
    {"ln2.bias", VECTOR(ln2.bias)},
};
const Vectors HEAD_NORM = {
    {"att.ln_x.weight", VECTOR(ln_x.weight)},
    {"att.ln_x.bias", VECTOR(ln_x.bias)},
};
const Matrices SQUARES = {
    {"att.receptance.weight", MATRIX(receptance), WIDTH, WIDTH, FOR_R},
    {"att.key.weight", MATRIX(key), WIDTH, WIDTH, FOR_K},
    {"att.value.weight", MATRIX(value), WIDTH, WIDTH, FOR_V},
    {"att.output.weight", MATRIX(output), WIDTH, WIDTH},
};
const Matrices GATE = {{"att.gate.weight", MATRIX(gate), WIDTH, WIDTH, FOR_G}};
const Matrices CHANNEL_MIX = {
    {"ffn.key.weight", MATRIX(ffn_key), FFN, WIDTH, FOR_K},
    {"ffn.value.weight", MATRIX(ffn_value), WIDTH, FFN},
};
const Matrices CHANNEL_GATE = {
    {"ffn.receptance.weight", MATRIX(ffn_receptance), WIDTH, WIDTH, FOR_R}};

// Of 4 and 5.
const Vectors SHARES_OF_KVR = {
    {"att.time_mix_k", VECTOR(mix[FOR_K]), other_share},
    {"att.time_mix_v", VECTOR(mix[FOR_V]), other_share},
    {"att.time_mix_r", VECTOR(mix[FOR_R]), other_share},
    {"ffn.time_mix_k", VECTOR(channel_mix[0]), other_share},
    {"ffn.time_mix_r", VECTOR(channel_mix[1]), other_share},
};
const Vectors SHARE_OF_G = {{"att.time_mix_g", VECTOR(mix[FOR_G]), other_share}};

const Vectors OWN_4 = {
    {"att.time_decay", VECTOR(decay.bias), log_decay},
    {"att.time_first", VECTOR(bonus)},
};
// The bonus goes by either of two names; early files hold its logarithm.
const Vectors OWN_5 = {
    {"att.time_decay", VECTOR(decay.bias), decay},
    {"att.time_faaaa", VECTOR(bonus)},
    {"att.time_first", VECTOR(bonus), exponential},
};
const Vectors OWN_6 = {
    {"att.time_maa_x", VECTOR(mix[FOR_X])},
    {"att.time_maa_w", VECTOR(mix[FOR_W])},
    {"att.time_maa_k", VECTOR(mix[FOR_K])},
    {"att.time_maa_v", VECTOR(mix[FOR_V])},
    {"att.time_maa_r", VECTOR(mix[FOR_R])},
    {"att.time_maa_g", VECTOR(mix[FOR_G])},
    {"att.time_decay", VECTOR(decay.bias)},
    {"att.time_faaaa", VECTOR(bonus)},
    {"ffn.time_maa_k", VECTOR(channel_mix[0])},
    {"ffn.time_maa_r", VECTOR(channel_mix[1])},
};
const Matrices RANKS_6 = {
    {"att.time_maa_w1", MATRIX(mix_down[0]), RANK, WIDTH, FOR_X, true, SHARES},
    {"att.time_maa_w2", MATRIX(mix_up[0]), WIDTH, RANK, INPUTS, true, SHARES},
    {"att.time_decay_w1", MATRIX(decay.down), RANK, WIDTH, FOR_W, true},
    {"att.time_decay_w2", MATRIX(decay.up), WIDTH, RANK, INPUTS, true},
};
const Vectors OWN_7 = {
    {"att.x_r", VECTOR(mix[FOR_R])},
    {"att.x_w", VECTOR(mix[FOR_W])},
    {"att.x_k", VECTOR(mix[FOR_K])},
    {"att.x_v", VECTOR(mix[FOR_V])},
    {"att.x_a", VECTOR(mix[FOR_A])},
    {"att.x_g", VECTOR(mix[FOR_G])},
    {"att.w0", VECTOR(decay.bias)},
    {"att.a0", VECTOR(rate.bias)},
    {"att.v0", VECTOR(residual.bias), nullptr, true},
    {"att.k_k", VECTOR(k_k)},
    {"att.k_a", VECTOR(k_a)},
    {"att.r_k", VECTOR(bonus)},
    {"ffn.x_k", VECTOR(channel_mix[0])},
};
const Matrices RANKS_7 = {
    {"att.w1", MATRIX(decay.down), RANK, WIDTH, FOR_W, true},
    {"att.w2", MATRIX(decay.up), WIDTH, RANK, INPUTS, true},
    {"att.a1", MATRIX(rate.down), RANK, WIDTH, FOR_A, true},
    {"att.a2", MATRIX(rate.up), WIDTH, RANK, INPUTS, true},
    {"att.v1", MATRIX(residual.down), RANK, WIDTH, FOR_V, true, 1, true},
    {"att.v2", MATRIX(residual.up), WIDTH, RANK, INPUTS, true, 1, true},
    {"att.g1", MATRIX(low_gate.down), RANK, WIDTH, FOR_G, true},
    {"att.g2", MATRIX(low_gate.up), WIDTH, RANK, INPUTS, true},
};

const Matrices PLAIN = joined<MatrixPlace>({SQUARES, CHANNEL_MIX, CHANNEL_GATE});
const Matrices GATED = joined<MatrixPlace>({PLAIN, GATE});
const Vectors VECTORS_5 = joined<VectorPlace>({NORMS, HEAD_NORM, SHARES_OF_KVR, OWN_5});
const Vectors GATED_5 = joined<VectorPlace>({VECTORS_5, SHARE_OF_G});

const Generation GENERATIONS[] = {
    {"4", Family::RWKV4, joined<VectorPlace>({NORMS, SHARES_OF_KVR, OWN_4}), PLAIN},
    {"5.0", Family::RWKV5, VECTORS_5, PLAIN},
    {"5.1", Family::RWKV5, GATED_5, GATED},
    {"5.2", Family::RWKV5, GATED_5, GATED},
    {"6", Family::RWKV6, joined<VectorPlace>({NORMS, HEAD_NORM, OWN_6}),
     joined<MatrixPlace>({GATED, RANKS_6})},
    {"7", Family::RWKV7, joined<VectorPlace>({NORMS, HEAD_NORM, OWN_7}),
     joined<MatrixPlace>({SQUARES, CHANNEL_MIX, RANKS_7})},
};

}  // namespace

const Generation* find_generation(const std::string& name) {
    for (const Generation& generation : GENERATIONS)
        if (name == generation.name) return &generation;
    return nullptr;
}

}  // namespace rwkv
