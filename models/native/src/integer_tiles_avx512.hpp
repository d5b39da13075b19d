// Integer weights by integer activations with VNNI: exact within a scale's inputs, then scaled.
#pragma once

namespace {

// Of activations in 16 bits, and in 8.
constexpr int INTEGER_BLOCKS = 2, FINE_TOKENS = 4, COARSE_TOKENS = 6, NIBBLE_TOKENS = 6;

// Four inputs of each row, or eight in two parts, as unsigned bytes.
template <class W>
struct Rows {
    __m512i part[W::PER_BYTE];

    explicit Rows(const uint8_t* from) {
        __m512i stored = _mm512_load_si512(from);
        if constexpr (W::PER_BYTE == 1) {
            part[0] = stored;
        } else {
            const __m512i lower = _mm512_set1_epi8(15);
            part[0] = _mm512_and_si512(stored, lower);
            part[1] = _mm512_and_si512(_mm512_srli_epi16(stored, 4), lower);
        }
    }
};

// The sums that a token begins a scale's inputs with, one for each plane of its activations.
template <class W, int PLANES>
inline void begin_sums(const Activations& x, int64_t token, int64_t first, int32_t* begin) {
    const int32_t* offsets = x.offsets + 2 * (token * x.groups + first / GROUP);
    if (PLANES == 2) {
        begin[0] = W::OFFSET * offsets[0];
        begin[1] = W::OFFSET * offsets[1];
    } else if (W::SCALED == GROUP) {
        begin[0] = W::OFFSET * (offsets[0] + offsets[1]);
    } else {
        begin[0] = W::OFFSET * offsets[first % GROUP / FEW];
    }
}

template <class W, int PLANES, int B, int T>
void integer_tile(const Matrix& m, const Activations& x, int64_t block, int64_t token,
                  int64_t ahead, float (*out)[MOST_ROWS]) {
    constexpr int STEP = 4 * W::PER_BYTE;
    const uint8_t* w[B];
    const int8_t* in[T];
    Vec total[B][T] = {};
    const int8_t* planes = PLANES == 2 ? reinterpret_cast<const int8_t*>(x.fine) : x.coarse;
    for (int b = 0; b < B; ++b) w[b] = m.block(block + b);
    for (int t = 0; t < T; ++t) in[t] = planes + (token + t) * PLANES * x.depth;
    for (int64_t first = 0; first < m.depth; first += W::SCALED) {
        __m512i sums[PLANES][B][T];
        for (int t = 0; t < T; ++t) {
            int32_t begin[PLANES];
            begin_sums<W, PLANES>(x, token + t, first, begin);
            for (int p = 0; p < PLANES; ++p)
                for (int b = 0; b < B; ++b) sums[p][b][t] = _mm512_set1_epi32(begin[p]);
        }
#pragma GCC unroll 4
        for (int64_t k = first; k < first + W::SCALED; k += STEP) {
            for (int b = 0; b < B; ++b) {
                const uint8_t* at = w[b] + k * UNIT / W::PER_BYTE;
                Rows<W> rows(at);
                fetch(at, ahead);
                for (int n = 0; n < W::PER_BYTE; ++n) {
                    for (int t = 0; t < T; ++t) {
                        for (int p = 0; p < PLANES; ++p) {
                            __m512i four = _mm512_set1_epi32(
                                load_as<int32_t>(in[t] + p * x.depth + k + 4 * n));
                            sums[p][b][t] = _mm512_dpbusd_epi32(sums[p][b][t], rows.part[n], four);
                        }
                    }
                }
            }
        }
        for (int b = 0; b < B; ++b) {
            const uint16_t* scales = m.block_scales(block + b, first / W::SCALED);
            for (int t = 0; t < T; ++t) {
                Int whole = Int(sums[0][b][t]);
                if (PLANES == 2) whole = (whole << 8) + Int(sums[PLANES - 1][b][t]);
                float scale = x.scales[(token + t) * x.groups + first / GROUP];
                add_scaled(&total[b][t], &whole, scales, scale);
            }
        }
    }
    for (int b = 0; b < B; ++b)
        for (int t = 0; t < T; ++t) store(out[t] + b * BLOCK, total[b][t]);
}

}  // namespace
