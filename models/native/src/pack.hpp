// Matrices as checkpoints have them to the form that tiles read.
#pragma once

#include <cstring>
#include <memory>
#include <vector>

#include "model.hpp"
#include "pool.hpp"

namespace rwkv {

// Memory that goes when nobody refers to it any more.
struct Piece {
    char* memory;
    size_t size, taken = 0;
    bool is_mapped = false;

    explicit Piece(size_t bytes);  // throws std::bad_alloc
    // The first `bytes` of an open file, to be read only; throws std::bad_alloc where it cannot be
    // mapped. Nobody may write to the file, or cut it, as long as this is there.
    Piece(int file, size_t bytes);
    ~Piece();
    Piece(const Piece&) = delete;
    Piece& operator=(const Piece&) = delete;

    bool holds(const void* at) const { return at >= memory && at < memory + size; }
};

// Memory in large pieces, on huge pages where the system has them; aligned to 64 bytes.
class Arena {
public:
    // Whatever it holds.
    char* take(size_t bytes);
    // Zeros.
    template <class T>
    T* array(int64_t count) {
        size_t bytes = size_t(count) * sizeof(T);
        return static_cast<T*>(std::memset(take(bytes), 0, bytes));
    }

    const std::vector<std::shared_ptr<Piece>>& pieces() const { return pieces_; }

    // Of something that was taken; null for anything else.
    std::shared_ptr<const Piece> piece_of(const void* at) const;

private:
    std::vector<std::shared_ptr<Piece>> pieces_;
};

enum class Number { FLOAT32, BF16, FP16 };

// Values of a matrix: row r, column c is at [r * row_stride + c * column_stride].
struct Source {
    const void* data;
    Number number;
    int64_t rows, cols, row_stride, column_stride;

    // `count` values of row r from column c on; those past the end are zero.
    void read(int64_t r, int64_t c, int64_t count, float* to) const;
    // The rows, or the columns, of one of several that lie side by side.
    Source rows_from(int64_t first, int64_t count) const;
    Source cols_from(int64_t first, int64_t count) const;
};

uint16_t to_bf16(float x);  // to the nearest, ties to even

// A matrix of these sizes without its values.
Matrix outline(int64_t rows, int64_t cols, Stored stored);
int64_t packed_bytes(const Matrix& m);
// Its values and scales are, or will be, at `memory`, packed_bytes long and aligned to 64.
void place(Matrix& m, const char* memory);
// To where m was placed; `team` shares the work.
void pack(const Matrix& m, const Source& from, Team& team);

inline int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

}  // namespace rwkv
