// Float32 matrices to the form that tiles read.
#pragma once

#include <memory>
#include <vector>

#include "model.hpp"

namespace rwkv {

// Memory that goes when nobody refers to it any more.
struct Piece {
    char* memory;
    size_t size, taken = 0;

    explicit Piece(size_t bytes);  // throws std::bad_alloc
    ~Piece();
    Piece(const Piece&) = delete;
    Piece& operator=(const Piece&) = delete;

    bool holds(const void* at) const { return at >= memory && at < memory + size; }
};

// Memory in large pieces, on huge pages where the system has them. What it gives is zero and
// aligned to 64 bytes.
class Arena {
public:
    void* take(size_t bytes);
    template <class T>
    T* array(int64_t count) { return static_cast<T*>(take(size_t(count) * sizeof(T))); }

    const std::vector<std::shared_ptr<Piece>>& pieces() const { return pieces_; }

    // Of something that was taken; null for anything else.
    std::shared_ptr<const Piece> piece_of(const void* at) const;

private:
    std::vector<std::shared_ptr<Piece>> pieces_;
};

// Values of a matrix: row r, column c is at data[r * row_stride + c * column_stride].
struct Source {
    const float* data;
    int64_t rows, cols, row_stride, column_stride;
};

uint16_t to_bf16(float x);  // to the nearest, ties to even
Matrix pack_half(const Source& from, Arena& arena);
Matrix pack_int8(const Source& from, Arena& arena);

inline int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

}  // namespace rwkv
