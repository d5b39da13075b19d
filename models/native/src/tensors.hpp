// From named tensors to a packed model.
#pragma once

#include <cstdint>
#include <map>
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
    Builder(Model& model, const Generation& generation, const Sizes& sizes, Format format,
            const Kernels* kernels, Team& team);

    // A tensor of `rows` by `cols` values. Throws std::runtime_error with a sentence when it has
    // other sizes than the model.
    void put(const std::string& name, const void* data, Number number, int64_t rows, int64_t cols);

    // Maps the first `bytes` of an open file, for tensors that are placed in it. Throws
    // std::bad_alloc where it cannot be mapped.
    void map(int file, int64_t bytes);

    // Instead of put: memory for the same tensor in its packed form, to be filled by the caller,
    // or, unless `at` is negative, what lies there in the mapped file. Null for tensors that no
    // formula reads. Throws like put, when `bytes` is not what it takes, and when the file does not
    // hold them.
    char* place(const std::string& name, int64_t rows, int64_t cols, int64_t bytes, int64_t at);

    // The packed form of a tensor that was put or placed.
    struct Packed {
        char* memory = nullptr;
        int64_t bytes = 0;
    };
    Packed packed(const std::string& name) const;

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

    // What a tensor becomes: a vector, a table, or matrices, which are not placed yet.
    struct Plan {
        Slot slot;
        std::vector<Matrix> matrices;
        int64_t bytes = 0;
    };
    Plan plan(const std::string& name, int64_t rows, int64_t cols) const;
    void plan_matrices(Plan& made, const std::string& name, int64_t rows, int64_t cols) const;
    char* take(const Plan& made, const std::string& name);
    char* in_file(const std::string& name, int64_t bytes, int64_t at) const;
    char* refer_to(char* memory, const Plan& made, const std::string& name);
    void fill_vector(const Slot& slot, const Source& from) const;
    void fill_matrices(const Slot& slot, const Source& from) const;
    void fill_table(const Slot& slot, const Source& from) const;
    Stored stored_of(const MatrixPlace& place) const;
    void keep(const Builder& base, const void* shared);
    void need(bool found, const std::string& name) const;
    void need_layer(Layer& layer, const std::string& prefix, bool is_first) const;
    void need_ranks(Layer& layer, const std::string& prefix) const;
    int64_t length(Side side, int64_t found) const;
    Activations room(int64_t depth, bool half, bool whole);
    void make_mixed_room();
    void make_inner_room();
    void make_room(int threads);

    Model& model_;
    const Generation& generation_;
    Team& team_;
    std::map<std::string, Packed> packed_;
    // Apart, so that what is shared keeps no more alive than it must: matrices, what is small, and
    // what is computed in.
    Arena matrices_, small_, room_;
    std::shared_ptr<Piece> mapped_;  // null, or a file that holds tensors
    std::set<std::shared_ptr<const Piece>> shared_;
    mutable std::vector<Layer> layers_;  // found in a const builder too, and read only
    std::vector<float*> scratch_;
};

}  // namespace rwkv
