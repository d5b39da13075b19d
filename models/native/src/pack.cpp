#include "pack.hpp"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>

#if defined(__unix__) || defined(__APPLE__)
#define RWKV_MAPS 1
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace rwkv {
namespace {

constexpr size_t PIECE = size_t(32) << 20, HUGE_PAGE = size_t(2) << 20;

float from_bits(uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

float widen(uint16_t bf16) { return from_bits(uint32_t(bf16) << 16); }

float widen_fp16(uint16_t half) {
    uint32_t sign = uint32_t(half & 0x8000) << 16, rest = half & 0x7fff;
    if (rest >= 0x7c00) return from_bits(sign | 0x7f800000 | (rest & 0x3ff) << 13);
    // Exponents are rebased by a product, which makes denormal numbers normal.
    return from_bits(sign | rest << 13) * from_bits(0x77800000);
}

template <class T, class F>
void read_as(const void* data, int64_t at, int64_t step, int64_t count, float* to, F value) {
    const T* from = static_cast<const T*>(data) + at;
    if (step == 1)
        for (int64_t i = 0; i < count; ++i) to[i] = value(from[i]);
    else
        for (int64_t i = 0; i < count; ++i) to[i] = value(from[i * step]);
}

// To the nearest, ties to even, for |x| below 2^22.
inline float rounded(float x) { return (x + 12582912.0f) - 12582912.0f; }

inline float clamped(float x, float low, float high) { return x < low ? low : x > high ? high : x; }

// Where input c of row r is in a unit, in weights; four neighbours of a row lie together.
inline int64_t offset_of(int64_t r, int64_t c) { return c / 4 * UNIT * 4 + r % UNIT * 4 + c % 4; }

void pack_half(uint16_t* to, int64_t r, const float* values, int64_t count) {
    for (int64_t c = 0; c < count; ++c)
        to[(c / 2 * UNIT + r % UNIT) * 2 + c % 2] = to_bf16(values[c]);
}

// Returns the scale.
uint16_t pack_bytes(uint8_t* to, int64_t r, const float* values) {
    float most = 0;
    for (int i = 0; i < GROUP; ++i) most = std::fmax(most, std::fabs(values[i]));
    // A little up, so that the rounded scale still reaches the largest value.
    uint16_t stored = to_bf16(most / 127.0f * 1.002f);
    float scale = widen(stored), inverse = scale > 0 ? 1.0f / scale : 0.0f;
    int32_t q[GROUP];
    for (int i = 0; i < GROUP; ++i)
        q[i] = int32_t(clamped(rounded(values[i] * inverse), -127.0f, 127.0f)) + 128;
    for (int i = 0; i < GROUP; ++i) to[offset_of(r, i)] = uint8_t(q[i]);
    return stored;
}

// The scale with the least squared error among those that round the largest value to -7.25 to -9.
float best_scale(const float* values) {
    float most = 0;
    for (int i = 0; i < FEW; ++i)
        if (std::fabs(values[i]) > std::fabs(most)) most = values[i];
    if (!(std::fabs(most) > 1e-30f)) return 0;
    float best = 0, least_left = -1;
    for (int step = 0; step < 8; ++step) {
        float inverse = -(7.25f + 0.25f * float(step)) / most;
        float products[8] = {}, squares[8] = {};  // eight sums each, side by side
        for (int i = 0; i < FEW; i += 8) {
            for (int n = 0; n < 8; ++n) {
                float q = clamped(rounded(values[i + n] * inverse), -8.0f, 7.0f);
                products[n] += q * values[i + n];
                squares[n] += q * q;
            }
        }
        float product = 0, square = 0;
        for (int n = 0; n < 8; ++n) product += products[n], square += squares[n];
        // The best scale for these integers is product / square; this is what it explains.
        if (product * product > least_left * square) {
            least_left = product * product / square;
            best = product / square;
        }
    }
    return best;
}

uint16_t pack_nibbles(uint8_t* to, int64_t r, const float* values) {
    uint16_t stored = to_bf16(best_scale(values));
    float scale = widen(stored), inverse = scale != 0 ? 1.0f / scale : 0.0f;
    int32_t q[FEW];
    for (int i = 0; i < FEW; ++i)
        q[i] = int32_t(clamped(rounded(values[i] * inverse), -8.0f, 7.0f)) + 8;
    for (int i = 0; i < FEW; i += 8)
        for (int n = 0; n < 4; ++n)
            to[i / 8 * UNIT * 4 + r % UNIT * 4 + n] = uint8_t(q[i + n] | q[i + n + 4] << 4);
    return stored;
}

// A row of a unit; past the last row everything is zero.
void pack_row(const Matrix& m, const Source& from, int64_t r) {
    uint8_t* unit = const_cast<uint8_t*>(m.weights) + r / UNIT * m.bytes(m.depth);
    uint16_t* scales = const_cast<uint16_t*>(m.scales);
    for (int64_t c = 0; c < m.depth; c += GROUP) {
        float values[GROUP] = {};
        if (r < m.rows) from.read(r, c, GROUP, values);
        uint8_t* to = unit + m.bytes(c);
        if (m.is_half())
            pack_half(reinterpret_cast<uint16_t*>(to), r, values,
                      m.depth - c < GROUP ? m.depth - c : GROUP);
        for (int64_t i = 0; !m.is_half() && i < GROUP; i += m.scaled_inputs()) {
            int64_t place = r / UNIT * (m.depth / m.scaled_inputs()) + (c + i) / m.scaled_inputs();
            scales[place * UNIT + r % UNIT] = m.stored == Stored::BYTES
                                                  ? pack_bytes(to, r, values)
                                                  : pack_nibbles(to + m.bytes(i), r, values + i);
        }
    }
}

int64_t weight_bytes(const Matrix& m) { return round_up(m.rows, UNIT) / UNIT * m.bytes(m.depth); }

void ask_for_huge_pages(void* memory, size_t size) {
#if defined(__linux__)
    madvise(memory, size, MADV_HUGEPAGE);  // a wish: it works without
#else
    (void)memory, (void)size;
#endif
}

// Where a file is mapped from a huge page's beginning on, as its huge pages must be; or null.
char* map_aligned(int file, size_t size) {
#if defined(RWKV_MAPS)
    size_t page = size_t(sysconf(_SC_PAGESIZE)), whole = (size + page - 1) / page * page;
    void* room = mmap(nullptr, whole + HUGE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANON, -1, 0);
    if (room == MAP_FAILED) return nullptr;
    char* begin = static_cast<char*>(room);
    size_t before = (HUGE_PAGE - reinterpret_cast<uintptr_t>(room) % HUGE_PAGE) % HUGE_PAGE;
    void* at = mmap(begin + before, size, PROT_READ, MAP_SHARED | MAP_FIXED, file, 0);
    if (at == MAP_FAILED) {
        munmap(room, whole + HUGE_PAGE);
        return nullptr;
    }
    if (before) munmap(room, before);
    if (before < HUGE_PAGE) munmap(begin + before + whole, HUGE_PAGE - before);
    return static_cast<char*>(at);
#else
    (void)file, (void)size;
    return nullptr;
#endif
}

}  // namespace

Piece::Piece(size_t bytes) : size(bytes) {
    memory = static_cast<char*>(std::aligned_alloc(HUGE_PAGE, size));
    if (!memory) throw std::bad_alloc();
    ask_for_huge_pages(memory, size);
}

Piece::Piece(int file, size_t bytes)
    : memory(map_aligned(file, bytes)), size(bytes), taken(bytes), is_mapped(true) {
    if (!memory) throw std::bad_alloc();
    ask_for_huge_pages(memory, size);
}

Piece::~Piece() {
#if defined(RWKV_MAPS)
    if (is_mapped) {
        munmap(memory, size);
        return;
    }
#endif
    std::free(memory);
}

char* Arena::take(size_t bytes) {
    bytes = (bytes + 63) / 64 * 64;
    if (pieces_.empty() || bytes > pieces_.back()->size - pieces_.back()->taken) {
        size_t size = bytes > PIECE ? (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE : PIECE;
        pieces_.push_back(std::make_shared<Piece>(size));
    }
    Piece& piece = *pieces_.back();
    char* taken = piece.memory + piece.taken;
    piece.taken += bytes;
    return taken;
}

std::shared_ptr<const Piece> Arena::piece_of(const void* at) const {
    for (const auto& piece : pieces_)
        if (piece->holds(at)) return piece;
    return nullptr;
}

uint16_t to_bf16(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return uint16_t(bits >> 16 | 0x40);  // not a number
    return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

void Source::read(int64_t r, int64_t c, int64_t count, float* to) const {
    int64_t left = cols - c < count ? cols - c : count, at = r * row_stride + c * column_stride;
    if (number == Number::FLOAT32)
        read_as<float>(data, at, column_stride, left, to, [](float x) { return x; });
    else if (number == Number::BF16)
        read_as<uint16_t>(data, at, column_stride, left, to, widen);
    else
        read_as<uint16_t>(data, at, column_stride, left, to, widen_fp16);
    for (int64_t i = left; i < count; ++i) to[i] = 0;
}

Source Source::rows_from(int64_t first, int64_t count) const {
    int64_t size = number == Number::FLOAT32 ? 4 : 2;
    const char* from = static_cast<const char*>(data) + first * row_stride * size;
    return {from, number, count, cols, row_stride, column_stride};
}

Source Source::cols_from(int64_t first, int64_t count) const {
    int64_t size = number == Number::FLOAT32 ? 4 : 2;
    const char* from = static_cast<const char*>(data) + first * column_stride * size;
    return {from, number, rows, count, row_stride, column_stride};
}

Matrix outline(int64_t rows, int64_t cols, Stored stored) {
    Matrix m;
    m.rows = rows;
    m.cols = cols;
    m.blocks = round_up(rows, BLOCK) / BLOCK;
    m.stored = stored;
    m.depth = round_up(cols, m.is_half() ? PAIRS : GROUP);
    return m;
}

int64_t packed_bytes(const Matrix& m) {
    int64_t scales = m.is_half() ? 0 : round_up(m.rows, UNIT) * (m.depth / m.scaled_inputs()) * 2;
    return weight_bytes(m) + scales;
}

void place(Matrix& m, const char* memory) {
    m.weights = reinterpret_cast<const uint8_t*>(memory);
    if (!m.is_half()) m.scales = reinterpret_cast<const uint16_t*>(memory + weight_bytes(m));
}

void pack(const Matrix& m, const Source& from, Team& team) {
    deal(&team, round_up(m.rows, UNIT) / UNIT, [&](int64_t unit) {
        for (int64_t r = unit * UNIT; r < (unit + 1) * UNIT; ++r) pack_row(m, from, r);
    });
}

}  // namespace rwkv
