// A packed model and what one pass through it reads and writes. Shared by all instruction sets.
//
// Legend: T tokens of a pass (flat over its sequences), C width, H heads, N head size, F channel-mix
// width, V vocabulary, D a low rank. Matrices compute y = W x; rows are outputs, depth is inputs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <numeric>

namespace rwkv {

constexpr int BLOCK = 16;   // rows of a matrix whose sums are kept in one register, or a few
constexpr int UNIT = 32;    // rows that lie interleaved: two blocks, so that one stream feeds both
constexpr int GROUP = 64;   // inputs that share a scale in int8, and of an activation
constexpr int FEW = 32;     // inputs that share a scale in int4
constexpr int PAIRS = 32;   // the depth of a bf16 matrix is padded to a multiple of this
constexpr int CHUNK = 32;   // tokens whose per-head intermediates are kept at once
constexpr int PASS = 256;   // most tokens of one pass
constexpr int BEYOND = 16;  // tokens that may be read, not used, behind those of a pass

// What differs between the generations; 5.0, 5.1 and 5.2 differ in what tensors they have.
enum class Family { RWKV4, RWKV5, RWKV6, RWKV7 };

// What a mixture of a token with the one before it is for. In RWKV-6, X is for the shares of others.
enum Input { FOR_R, FOR_W, FOR_K, FOR_V, FOR_A, FOR_G, FOR_X, INPUTS };
constexpr int SHARES = 5;  // that RWKV-6 computes, in the order of its tensors
constexpr Input SHARED[SHARES] = {FOR_W, FOR_K, FOR_V, FOR_R, FOR_G};

// What a model's large matrices are multiplied in. INT8 and INT4 are of the weights; the activations
// are rounded to 16 bits for INT8, to 8 for W8A8 (whose weights are those of INT8) and INT4.
enum class Format { BF16, INT8, W8A8, INT4 };

enum class Stored { HALVES, BYTES, NIBBLES };

// HALVES: bf16 [units][depth/2][UNIT][2].
// BYTES: [units][depth/4][UNIT][4] hold value + 128.
// NIBBLES: [units][depth/8][UNIT][4] hold value + 8; inputs 0 to 3 of eight are the lower halves.
// The latter two have bf16 scales [units][depth / inputs of a scale][UNIT].
// Padding is zero in value; `blocks` leaves out one that would be padding alone.
struct Matrix {
    int64_t rows = 0, cols = 0, blocks = 0, depth = 0;
    Stored stored = Stored::HALVES;
    const uint8_t* weights = nullptr;
    const uint16_t* scales = nullptr;

    bool is_half() const { return stored == Stored::HALVES; }
    int64_t scaled_inputs() const { return stored == Stored::NIBBLES ? FEW : GROUP; }

    // The bytes of a unit's inputs up to the k-th, a multiple of 2, 4 or 8.
    int64_t bytes(int64_t k) const {
        return is_half() ? 2 * k * UNIT : stored == Stored::BYTES ? k * UNIT : k * UNIT / 2;
    }
    // The first value of a block.
    const uint8_t* block(int64_t block) const {
        return weights + block / 2 * bytes(depth) + block % 2 * BLOCK * 4;
    }
    const uint16_t* block_scales(int64_t block, int64_t group) const {
        return scales + (block / 2 * (depth / scaled_inputs()) + group) * UNIT + block % 2 * BLOCK;
    }
};

struct Norm {
    float* weight = nullptr;
    float* bias = nullptr;
};

// bias + up·f(down·x)
struct LowRank {
    float* bias = nullptr;
    Matrix down, up;
};

// What a generation does not have is left empty.
struct Layer {
    Norm ln1, ln2, ln_x;
    float* mix[INPUTS] = {};    // shares of the token before
    Matrix receptance, key, value, gate, output;
    LowRank decay;              // in 4 and 5 the bias alone: log w in 4, w in 5
    float* bonus = nullptr;     // u; r_k in 7
    Matrix mix_down[SHARES], mix_up[SHARES];       // 6
    LowRank rate, residual, low_gate;              // 7
    float *k_k = nullptr, *k_a = nullptr;          // 7
    float* channel_mix[2] = {};                    // shares for the key; for the receptance
    Matrix ffn_key, ffn_value, ffn_receptance;
};

// Activations of a pass, ready to be multiplied: half for bf16 matrices, fine or coarse for integer
// ones. half holds bf16 or float32, whichever the instruction set multiplies by, [T][depth].
// fine holds 16-bit integers [T][depth] (or their two halves, [T][2][depth] bytes), coarse 8-bit ones
// [T][depth], with a scale per GROUP, [T][groups]. offsets [T][groups][2] make up for what integer
// weights are stored with: minus the sums of the two halves (fine) or of each FEW inputs (coarse).
struct Activations {
    int64_t depth = 0, groups = 0;
    void* half = nullptr;
    int16_t* fine = nullptr;
    int8_t* coarse = nullptr;
    float* scales = nullptr;
    int32_t* offsets = nullptr;
};

struct Sizes {
    int64_t layers, width, heads, head_size, ffn_width, vocab_size;
};

struct Workspace {
    float *x, *normed, *first_value, *r, *k, *v, *gate;  // [PASS][C]
    Activations mixed[INPUTS];                           // channel-mix uses those for K and R
    Activations low_w, low_a, low_v, low_g;              // inner activations of the low ranks
    Activations low_mix[SHARES];
    Activations joined, inner, last;                     // before output, ffn.value, head
    float** scratch;                                     // one for each thread
};

struct Segment {
    int64_t row;            // of the state
    int64_t start, length;  // in the tokens of the pass
};

struct StateView {
    float *att_shift, *wkv, *ffn_shift;
    int64_t att_layer, att_row, wkv_layer, wkv_row, ffn_layer, ffn_row;  // strides in floats
};

struct Pass {
    const int64_t* tokens;
    int64_t count;
    const Segment* segments;
    int64_t segment_count;
    StateView state;
    const int64_t* wanted;  // tokens of the pass whose logits are asked for
    int64_t wanted_count;
    float* logits;          // [wanted_count][V]
};

class Team;

struct Kernels;

struct Model {
    Family family;
    Sizes sizes;
    Format format;
    const Kernels* kernels;
    Layer* layers;
    Norm ln0, ln_out;
    uint16_t* embedding;  // [V][C] bf16
    Matrix head;
    Workspace work;
};

// What is compiled once for each instruction set.
struct Kernels {
    const char* name;
    int64_t half_size;  // bytes of one activation for a bf16 matrix
    void (*forward)(const Model&, const Pass&, int thread, Team&);
};

const Kernels* portable_kernels();
const Kernels* avx2_kernels();
const Kernels* avx512_kernels();
const Kernels* amx_kernels();
const Kernels* neon_kernels();

// Heads of N channels that fill whole GROUPs together.
inline int64_t unit_heads(int64_t size) { return GROUP / std::gcd(int64_t(GROUP), size); }

// Floats of scratch that a thread needs: a token, and what its heads are computed with.
inline int64_t scratch_floats(const Sizes& s) {
    int64_t head = s.head_size > BLOCK ? s.head_size : GROUP, unit = head * unit_heads(head);
    return s.width + CHUNK * (10 * head + unit) + unit * head + 256;
}

}  // namespace rwkv
