// From named tensors to a packed model.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "generations.hpp"
#include "pack.hpp"

namespace rwkv {

// Fills `model`, which must outlive it; what it fills it with is the builder's, or another's that
// it shares with.
class Builder {
public:
    Builder(Model& model, const Generation& generation, const Sizes& sizes, bool is_int8,
            const Kernels* kernels);

    // Throws std::runtime_error with a sentence when the tensor has other sizes than the model.
    void put(const std::string& name, const float* data, int64_t rows, int64_t cols);

    // What `base`, a builder of the same kind that is finished, has of that name. It is kept alive
    // as long as anyone shares it. Throws std::runtime_error when the two are of different kinds.
    void share(const Builder& base, const std::string& name);

    // Checks that nothing is missing or does not fit, and makes room for `threads` to compute in.
    void finish(int threads);

    // All memory that is held, in pieces that builders may have in common.
    std::set<const Piece*> pieces() const;

private:
    // Where a tensor goes: nowhere, or to one of three.
    struct Slot {
        const VectorPlace* vector_of = nullptr;  // null for vectors outside the blocks
        float** vector = nullptr;
        const MatrixPlace* matrix_of = nullptr;
        Matrix* matrix = nullptr;
        uint16_t** table = nullptr;
    };
    Slot find(const std::string& name) const;
    Slot find_in_layer(Layer& layer, const std::string& rest) const;

    void put_vector(const Slot& slot, const std::string& name, const Source& from);
    void put_matrices(const Slot& slot, const std::string& name, Source from);
    void put_table(const Slot& slot, const std::string& name, const Source& from);
    void keep(const Builder& base, const void* shared);
    void need(bool found, const std::string& name) const;
    void need_layer(Layer& layer, const std::string& prefix, bool is_first) const;
    void need_ranks(Layer& layer, const std::string& prefix) const;
    int64_t length(Side side, int64_t found) const;
    Activations room(int64_t depth, bool half, bool fine);
    void make_mixed_room();
    void make_inner_room();
    void make_room(int threads);

    Model& model_;
    const Generation& generation_;
    // Apart, so that what is shared keeps no more alive than it must: matrices, what is small, and
    // what is computed in.
    Arena matrices_, small_, room_;
    std::set<std::shared_ptr<const Piece>> shared_;
    mutable std::vector<Layer> layers_;  // found in a const builder too, and read only
    std::vector<float*> scratch_;
};

}  // namespace rwkv
