// Float32 matrices to the form that tiles read.
#pragma once

#include <memory>
#include <vector>

#include "model.hpp"

namespace rwkv {

// Memory for weights in large pieces, on huge pages where the system has them; never given back
// before its end. What it gives is zero and aligned to 64 bytes.
class Arena {
public:
    void* take(size_t bytes);
    template <class T>
    T* array(int64_t count) { return static_cast<T*>(take(size_t(count) * sizeof(T))); }

    // All that was taken.
    size_t bytes() const { return bytes_; }

private:
    struct Free {
        void operator()(void* piece) const;
    };
    std::vector<std::unique_ptr<void, Free>> pieces_;
    char* next_ = nullptr;
    size_t left_ = 0, bytes_ = 0;
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
