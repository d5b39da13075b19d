// Integer weights by integer activations without VNNI: exact within a scale's inputs, then scaled.
#pragma once

namespace {

constexpr int INTEGER_BLOCKS = 1, FINE_TOKENS = 2, COARSE_TOKENS = 2, NIBBLE_TOKENS = 2;

// Activations of T tokens: the first at `in`, `stride` bytes apart. Of 16-bit ones in two planes, the
// second is `depth` bytes further on. offsets: of the first token, those of others further on.
struct Inputs {
    const int8_t* in;
    int64_t stride, depth;
    const int32_t* offsets;
    int64_t offset_stride;
};

// sums[t] of every row of a block, over the inputs that share a scale. `few`: which FEW of a GROUP.
#if defined(__ARM_FEATURE_DOTPROD)

inline int8x16_t four_inputs(const int8_t* in) {
    return vreinterpretq_s8_s32(vdupq_n_s32(load_as<int32_t>(in)));
}

template <class W, int PLANES, int T>
inline void sum_up(const uint8_t* w, const Inputs& x, int few, Int (*sums)[PARTS]) {
    (void)few;
    int32x4_t total[PLANES][T][4] = {};
    for (int k = 0; k < W::SCALED; k += 4 * W::PER_BYTE) {
        for (int i = 0; i < 4; ++i) {
            uint8x16_t stored = vld1q_u8(w + k * UNIT / W::PER_BYTE + 16 * i);
            int8x16_t row[2];
            if constexpr (W::PER_BYTE == 1) {
                row[0] = row[1] = vreinterpretq_s8_u8(veorq_u8(stored, vdupq_n_u8(128)));
            } else {
                uint8x16_t eight = vdupq_n_u8(8);
                row[0] = vreinterpretq_s8_u8(vsubq_u8(vandq_u8(stored, vdupq_n_u8(15)), eight));
                row[1] = vreinterpretq_s8_u8(vsubq_u8(vshrq_n_u8(stored, 4), eight));
            }
            for (int t = 0; t < T; ++t)
                for (int p = 0; p < PLANES; ++p)
                    for (int n = 0; n < W::PER_BYTE; ++n)
                        total[p][t][i] = vdotq_s32(
                            total[p][t][i], row[n],
                            four_inputs(x.in + t * x.stride + p * x.depth + k + 4 * n));
        }
    }
    for (int t = 0; t < T; ++t)
        for (int i = 0; i < 4; ++i) {
            int32x4_t whole = total[0][t][i];
            if (PLANES == 2) whole = vaddq_s32(vshlq_n_s32(whole, 8), total[PLANES - 1][t][i]);
            sums[t][i] = bits<Int>(whole);
        }
}

#else

template <class W, int PLANES, int T>
inline void sum_up(const uint8_t* w, const Inputs& x, int few, Int (*sums)[PARTS]) {
    for (int t = 0; t < T; ++t) {
        const int32_t* offsets = x.offsets + t * x.offset_stride;
        int32_t offset = offsets[1];
        if (PLANES == 1) offset = W::SCALED == FEW ? offsets[few] : offsets[0] + offsets[1];
        for (int i = 0; i < PARTS; ++i) sums[t][i] = Int{} + W::OFFSET * offset;
        for (int k = 0; k < W::SCALED; k += 4 * W::PER_BYTE) {
            int32_t values[4 * W::PER_BYTE];
            for (int n = 0; n < 4 * W::PER_BYTE; ++n) {
                const int8_t* in = x.in + t * x.stride;
                values[n] = PLANES == 2 ? load_as<int16_t>(in + 2 * (k + n)) : in[k + n];
            }
            for (int i = 0; i < PARTS; ++i) {
                Int row = load_as<Int>(w + k * UNIT / W::PER_BYTE + 4 * i * LANES);
                for (int n = 0; n < 4; ++n) {
                    Int four = row >> (8 * n);
                    sums[t][i] += (four & (W::PER_BYTE == 1 ? 255 : 15)) * values[n];
                    if (W::PER_BYTE == 2) sums[t][i] += (four >> 4 & 15) * values[n + 4 * (W::PER_BYTE - 1)];
                }
            }
        }
    }
}
#endif

template <class W, int PLANES, int B, int T>
void integer_tile(const Matrix& m, const Activations& x, int64_t block, int64_t token,
                  int64_t ahead, float (*out)[MOST_ROWS]) {
    static_assert(B == 1, "one block at a time");
    (void)ahead;
    const int8_t* planes = PLANES == 2 ? reinterpret_cast<const int8_t*>(x.fine) : x.coarse;
#if defined(RWKV_SPLIT)
    constexpr int SIZE = 1;
#else
    constexpr int SIZE = PLANES;
#endif
    Vec total[T][PARTS] = {};
    for (int64_t first = 0; first < m.depth; first += W::SCALED) {
        int64_t place = token * x.groups + first / GROUP;
        Inputs inputs = {planes + token * PLANES * x.depth + SIZE * first, PLANES * x.depth,
                         x.depth, x.offsets + 2 * place, 2 * x.groups};
        Int sums[T][PARTS];
        sum_up<W, PLANES, T>(m.block(block) + m.bytes(first), inputs, int(first % GROUP / FEW),
                             sums);
        const uint16_t* scales = m.block_scales(block, first / W::SCALED);
        for (int t = 0; t < T; ++t)
            add_scaled(total[t], sums[t], scales, x.scales[place + t * x.groups]);
    }
    for (int t = 0; t < T; ++t)
        for (int i = 0; i < PARTS; ++i) store(out[t] + i * LANES, total[t][i]);
}

}  // namespace
