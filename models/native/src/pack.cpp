#include "pack.hpp"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace rwkv {
namespace {

constexpr size_t PIECE = size_t(32) << 20, HUGE_PAGE = size_t(2) << 20;

float widen(uint16_t x) {
    uint32_t bits = uint32_t(x) << 16;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

Matrix outline(const Source& from, int64_t depth_step) {
    Matrix m;
    m.rows = from.rows;
    m.cols = from.cols;
    m.blocks = round_up(from.rows, BLOCK) / BLOCK;
    m.depth = round_up(from.cols, depth_step);
    return m;
}

// GROUP values of row r, zero past the end; returns the largest size.
float gather(const Source& from, int64_t r, int64_t start, float* to) {
    float most = 0;
    for (int64_t i = 0; i < GROUP; ++i) {
        int64_t c = start + i;
        to[i] = c < from.cols ? from.data[r * from.row_stride + c * from.column_stride] : 0.0f;
        most = std::fmax(most, std::fabs(to[i]));
    }
    return most;
}

}  // namespace

Piece::Piece(size_t bytes) : size(bytes) {
    memory = static_cast<char*>(std::aligned_alloc(HUGE_PAGE, size));
    if (!memory) throw std::bad_alloc();
#if defined(__linux__)
    madvise(memory, size, MADV_HUGEPAGE);  // a wish: it works without
#endif
}

Piece::~Piece() { std::free(memory); }

void* Arena::take(size_t bytes) {
    bytes = (bytes + 63) / 64 * 64;
    if (pieces_.empty() || bytes > pieces_.back()->size - pieces_.back()->taken) {
        size_t size = bytes > PIECE ? (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE : PIECE;
        pieces_.push_back(std::make_shared<Piece>(size));
    }
    Piece& piece = *pieces_.back();
    void* taken = piece.memory + piece.taken;
    piece.taken += bytes;
    return std::memset(taken, 0, bytes);
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

Matrix pack_half(const Source& from, Arena& arena) {
    Matrix m = outline(from, PAIRS);
    m.half = arena.array<uint16_t>(round_up(m.rows, UNIT) * m.depth);
    for (int64_t r = 0; r < m.rows; ++r) {
        uint16_t* unit = m.half + r / UNIT * m.depth * UNIT;
        for (int64_t c = 0; c < m.cols; ++c) {
            float x = from.data[r * from.row_stride + c * from.column_stride];
            unit[(c / 2 * UNIT + r % UNIT) * 2 + c % 2] = to_bf16(x);
        }
    }
    return m;
}

Matrix pack_int8(const Source& from, Arena& arena) {
    Matrix m = outline(from, GROUP);
    m.is_int8 = true;
    int64_t groups = m.depth / GROUP, bytes = round_up(m.rows, UNIT) * m.depth;
    m.bytes = arena.array<uint8_t>(bytes);
    m.scales = arena.array<uint16_t>(round_up(m.rows, UNIT) * groups);
    std::memset(m.bytes, 128, size_t(bytes));
    for (int64_t r = 0; r < m.rows; ++r) {
        for (int64_t g = 0; g < groups; ++g) {
            float values[GROUP];
            float most = gather(from, r, g * GROUP, values);
            // A little up, so that the rounded scale still reaches the largest value.
            uint16_t stored = to_bf16(most / 127.0f * 1.002f);
            float scale = widen(stored), inverse = scale > 0 ? 1.0f / scale : 0.0f;
            m.scales[(r / UNIT * groups + g) * UNIT + r % UNIT] = stored;
            uint8_t* to = m.bytes + (r / UNIT * groups + g) * GROUP * UNIT + r % UNIT * 4;
            for (int i = 0; i < GROUP; ++i) {
                float q = std::nearbyintf(values[i] * inverse);
                q = q > 127.0f ? 127.0f : q < -127.0f ? -127.0f : q;
                to[i / 4 * UNIT * 4 + i % 4] = uint8_t(int(q) + 128);
            }
        }
    }
    return m;
}

}  // namespace rwkv
