// From named tensors to a packed model.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pack.hpp"

namespace rwkv {

// Fills `model`, which must outlive it; what it fills it with is the builder's.
class Builder {
public:
    Builder(Model& model, const Sizes& sizes, bool is_int8, const Kernels* kernels);

    // Throws std::runtime_error with a sentence when the tensor has other sizes than the model.
    void put(const std::string& name, const float* data, int64_t rows, int64_t cols);

    // Checks that nothing is missing and makes room for `threads` to compute in.
    void finish(int threads);

    size_t bytes() const { return arena_.bytes(); }

private:
    void put_layer(Layer& layer, const std::string& name, const std::string& rest,
                   const Source& from);
    void put_vector(float*& to, const std::string& name, const Source& from, int64_t expected);
    void put_matrix(Matrix& to, const std::string& name, Source from, bool turned, bool int8,
                    int64_t rows, int64_t cols);
    void put_embedding(const Source& from);
    void need(const void* found, const std::string& name) const;
    Activations room(int64_t depth, bool half, bool fine);
    void make_room(int threads);

    Model& model_;
    Arena arena_;
    std::vector<Layer> layers_;
    std::vector<float*> scratch_;
};

}  // namespace rwkv
