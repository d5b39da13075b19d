// Integer weights by integer activations with AVX2: exact within a scale's inputs, then scaled.
//
// A tile has up to 32 rows, whose weights lie side by side, and takes the inputs of a scale for a few
// vectors of eight rows at a time (a strip): as many as have their sums in 16 registers for all
// tokens. So memory is read as one stream, and read again by the next strip where it is nearest.
#pragma once

namespace {

constexpr int INTEGER_BLOCKS = 2, FINE_TOKENS = 6, COARSE_TOKENS = 8, NIBBLE_TOKENS = 6;

inline __m256i load_weights(const uint8_t* from) {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(from));
}
inline __m256i four_bytes(const void* from) {
    return _mm256_set1_epi32(load_as<int32_t>(static_cast<const int8_t*>(from)));
}

inline void add_32(__m256i& sum, __m256i more) {
    sum = _mm256_add_epi32(sum, more);
    keep(sum);
}
inline void add_16(__m256i& sum, __m256i more) {
    sum = _mm256_add_epi16(sum, more);
    keep(sum);
}

// Where the inputs of a scale begin: weights of a strip, activations of the first token, and what its
// sums begin with; the next token's are `stride` and `offset_stride` further on.
struct Inputs {
    const uint8_t* weights;
    const int8_t* in;
    int64_t stride;
    const int32_t* offsets;
    int64_t offset_stride;
};

// 16-bit activations: bytes of weights as the halves of 16 bits, inputs 0 and 2 of four, then 1 and 3.
template <int S, int T>
inline void sum_fine(const Inputs& x, int64_t ahead, Int (*sums)[S]) {
    const __m256i lower = _mm256_set1_epi16(255);
    __m256i total[T][S];
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t)
#pragma GCC unroll 8
        for (int s = 0; s < S; ++s)
            total[t][s] = _mm256_slli_epi32(four_bytes(x.offsets + t * x.offset_stride), 7);
    for (int k = 0; k < GROUP; k += 4) {
        const uint8_t* w = x.weights + k * UNIT;
#pragma GCC unroll 8
        for (int half = 0; half < 2; ++half) {
            __m256i row[S];
#pragma GCC unroll 8
            for (int s = 0; s < S; ++s) {
                row[s] = load_weights(w + 32 * s);
                row[s] = half ? _mm256_srli_epi16(row[s], 8) : _mm256_and_si256(row[s], lower);
            }
#pragma GCC unroll 8
            for (int t = 0; t < T; ++t) {
                __m256i two = four_bytes(x.in + t * x.stride + 2 * k + 4 * half);
#pragma GCC unroll 8
                for (int s = 0; s < S; ++s)
                    add_32(total[t][s], _mm256_madd_epi16(row[s], two));
            }
        }
#pragma GCC unroll 8
        for (int s = 0; s < S; s += 2) fetch(w + 32 * s, ahead);
    }
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t)
#pragma GCC unroll 8
        for (int s = 0; s < S; ++s) sums[t][s] = Int(total[t][s]);
}

// 8-bit activations, which take over the signs of the weights: products of bytes are of an unsigned
// and a signed one, and two of up to 127·127 still fit into 16 bits.
template <int S, int T>
inline void sum_coarse(const Inputs& x, int64_t ahead, Int (*sums)[S]) {
    const __m256i ones = _mm256_set1_epi16(1), middle = _mm256_set1_epi8(char(128));
    __m256i total[T][S] = {};
    for (int k = 0; k < GROUP; k += 4) {
        const uint8_t* w = x.weights + k * UNIT;
        __m256i row[S], size[S];
#pragma GCC unroll 8
        for (int s = 0; s < S; ++s) {
            row[s] = _mm256_xor_si256(load_weights(w + 32 * s), middle);
            size[s] = _mm256_abs_epi8(row[s]);
        }
#pragma GCC unroll 8
        for (int t = 0; t < T; ++t) {
            __m256i four = four_bytes(x.in + t * x.stride + k);
#pragma GCC unroll 8
            for (int s = 0; s < S; ++s) {
                __m256i pairs = _mm256_maddubs_epi16(size[s], _mm256_sign_epi8(four, row[s]));
                add_32(total[t][s], _mm256_madd_epi16(pairs, ones));
            }
        }
#pragma GCC unroll 8
        for (int s = 0; s < S; s += 2) fetch(w + 32 * s, ahead);
    }
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t)
#pragma GCC unroll 8
        for (int s = 0; s < S; ++s) sums[t][s] = Int(total[t][s]);
}

// Half bytes: the sums of FEW inputs, 16 in each of two parts, stay below 2^15.
template <int S, int T>
inline void sum_nibbles(const Inputs& x, int64_t ahead, Int (*sums)[S]) {
    const __m256i lower = _mm256_set1_epi8(15);
    __m256i pairs[T][S] = {};
    for (int k = 0; k < FEW; k += 8) {
        const uint8_t* w = x.weights + k * UNIT / 2;
#pragma GCC unroll 8
        for (int half = 0; half < 2; ++half) {
            __m256i row[S];
#pragma GCC unroll 8
            for (int s = 0; s < S; ++s) {
                row[s] = load_weights(w + 32 * s);
                if (half) row[s] = _mm256_srli_epi16(row[s], 4);
                row[s] = _mm256_and_si256(row[s], lower);
            }
#pragma GCC unroll 8
            for (int t = 0; t < T; ++t) {
                __m256i four = four_bytes(x.in + t * x.stride + k + 4 * half);
#pragma GCC unroll 8
                for (int s = 0; s < S; ++s)
                    add_16(pairs[t][s], _mm256_maddubs_epi16(row[s], four));
            }
        }
#pragma GCC unroll 8
        for (int s = 0; s < S; s += 2) fetch(w + 32 * s, ahead);
    }
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t)
#pragma GCC unroll 8
        for (int s = 0; s < S; ++s)
            sums[t][s] = Int(_mm256_madd_epi16(pairs[t][s], _mm256_set1_epi16(1))) +
                         NibbleWeights::OFFSET * x.offsets[t * x.offset_stride];
}

template <class W, int PLANES, int S, int T>
inline void sum_strip(const Inputs& x, int64_t ahead, Int (*sums)[S]) {
    if constexpr (W::PER_BYTE == 2) sum_nibbles<S, T>(x, ahead, sums);
    else if constexpr (PLANES == 1) sum_coarse<S, T>(x, ahead, sums);
    else sum_fine<S, T>(x, ahead, sums);
}

// Vectors of a strip.
template <class W, int PLANES>
constexpr int strip_of(int blocks, int tokens) {
    if (W::PER_BYTE == 1 && PLANES == 1 && tokens > 4) return 1;
    bool most = tokens == 1 || (tokens == 2 && (W::PER_BYTE == 2 || PLANES == 2));
    return most ? 2 * blocks : 2;
}

template <class W, int PLANES, int B, int T>
void integer_tile(const Matrix& m, const Activations& x, int64_t block, int64_t token,
                  int64_t ahead, float (*out)[MOST_ROWS]) {
    constexpr int S = strip_of<W, PLANES>(B, T);
    const int8_t* in = PLANES == 2 ? reinterpret_cast<const int8_t*>(x.fine) : x.coarse;
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) memset(out[t], 0, B * BLOCK * sizeof(float));
    for (int64_t first = 0; first < m.depth; first += W::SCALED) {
        int64_t place = token * x.groups + first / GROUP, which = first % GROUP / FEW;
        Inputs from = {m.block(block) + m.bytes(first), in + PLANES * (token * x.depth + first),
                       PLANES * x.depth, x.offsets + 2 * place + (PLANES == 2 ? 1 : which),
                       2 * x.groups};
        const uint16_t* scales = m.block_scales(block, first / W::SCALED);
        float scale[T];
        for (int t = 0; t < T; ++t) scale[t] = x.scales[place + t * x.groups];
        for (int row = 0; row < B * BLOCK; row += S * LANES, from.weights += 32 * S) {
            Int sums[T][S];
            sum_strip<W, PLANES, S, T>(from, ahead, sums);
            Vec by[S];
#pragma GCC unroll 8
            for (int s = 0; s < S; ++s) by[s] = load_bf16(scales + row + s * LANES);
#pragma GCC unroll 8
            for (int t = 0; t < T; ++t) {
#pragma GCC unroll 8
                for (int s = 0; s < S; ++s) {
                    float* to = out[t] + row + s * LANES;
                    Vec whole = __builtin_convertvector(sums[t][s], Vec);
                    store(to, load(to) + whole * (by[s] * scale[t]));
                }
            }
        }
    }
}

}  // namespace
