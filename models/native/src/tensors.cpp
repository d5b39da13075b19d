#include "tensors.hpp"

#include <cstdlib>
#include <cstring>
#include <stdexcept>

namespace rwkv {
namespace {

const MatrixPlace HEAD = {"head.weight", nullptr, WIDTH, WIDTH};

const char* const OUTSIDE[] = {"blocks.0.ln0.weight", "blocks.0.ln0.bias", "ln_out.weight",
                               "ln_out.bias"};

bool is_packed(const Matrix& m) { return m.half || m.bytes; }

const void* memory_of(const Matrix& m) { return m.half ? static_cast<void*>(m.half) : m.bytes; }

std::string numbers(int64_t rows, int64_t cols) {
    return std::to_string(rows) + " values from " + std::to_string(cols);
}

}  // namespace

Builder::Builder(Model& model, const Generation& generation, const Sizes& sizes, bool is_int8,
                 const Kernels* kernels)
    : model_(model), generation_(generation), layers_(size_t(sizes.layers)) {
    model.family = generation.family;
    model.sizes = sizes;
    model.is_int8 = is_int8;
    model.kernels = kernels;
    model.layers = layers_.data();
}

Builder::Slot Builder::find(const std::string& name) const {
    Slot slot;
    if (name == "emb.weight") slot.table = &model_.embedding;
    if (name == "head.weight") slot.matrix_of = &HEAD, slot.matrix = &model_.head;
    if (name == "ln_out.weight") slot.vector = &model_.ln_out.weight;
    if (name == "ln_out.bias") slot.vector = &model_.ln_out.bias;
    if (name == "blocks.0.ln0.weight") slot.vector = &model_.ln0.weight;
    if (name == "blocks.0.ln0.bias") slot.vector = &model_.ln0.bias;
    if (name.compare(0, 7, "blocks.") != 0) return slot;
    char* end = nullptr;
    long index = std::strtol(name.c_str() + 7, &end, 10);
    if (slot.vector || *end != '.' || index < 0 || index >= model_.sizes.layers) return slot;
    return find_in_layer(layers_[size_t(index)], end + 1);
}

Builder::Slot Builder::find_in_layer(Layer& layer, const std::string& rest) const {
    Slot slot;
    for (const VectorPlace& v : generation_.vectors)
        if (rest == v.name) slot.vector_of = &v, slot.vector = &v.of(layer);
    for (const MatrixPlace& m : generation_.matrices)
        if (rest == m.name) slot.matrix_of = &m, slot.matrix = m.of(layer);
    return slot;
}

void Builder::put(const std::string& name, const float* data, int64_t rows, int64_t cols) {
    Slot slot = find(name);
    Source from = {data, rows, cols, cols, 1};
    if (slot.vector) put_vector(slot, name, from);
    if (slot.matrix) put_matrices(slot, name, from);
    if (slot.table) put_table(slot, name, from);
}

void Builder::put_vector(const Slot& slot, const std::string& name, const Source& from) {
    const Sizes& s = model_.sizes;
    int64_t count = from.rows * from.cols, repeats = slot.vector_of ? s.width / count : 1;
    if (count != s.width && !(slot.vector_of && count == s.heads))
        throw std::runtime_error(name + " has " + std::to_string(count) + " values, expected " +
                                 std::to_string(s.width));
    float (*prepare)(float) = slot.vector_of ? slot.vector_of->prepare : nullptr;
    float* to = small_.array<float>(s.width);
    for (int64_t i = 0; i < s.width; ++i) {
        float value = from.data[i / repeats];
        to[i] = prepare ? prepare(value) : value;
    }
    *slot.vector = to;
}

int64_t Builder::length(Side side, int64_t found) const {
    return side == WIDTH ? model_.sizes.width : side == FFN ? model_.sizes.ffn_width : found;
}

void Builder::put_matrices(const Slot& slot, const std::string& name, Source from) {
    const MatrixPlace& m = *slot.matrix_of;
    if (m.turned) from = {from.data, from.cols, from.rows, 1, from.cols};
    int64_t &rank = m.rows == RANK ? from.rows : from.cols;
    int64_t step = m.rows == RANK ? from.row_stride : from.column_stride;
    if (rank % m.parts)
        throw std::runtime_error(name + " cannot be divided into " + std::to_string(m.parts));
    rank /= m.parts;
    int64_t rows = &m == &HEAD ? model_.sizes.vocab_size : length(m.rows, from.rows);
    int64_t cols = length(m.cols, from.cols);
    if (from.rows != rows || from.cols != cols)
        throw std::runtime_error(name + " computes " + numbers(from.rows, from.cols) +
                                 ", expected " + numbers(rows, cols));
    Arena& arena = m.turned ? small_ : matrices_;
    for (int part = 0; part < m.parts; ++part, from.data += rank * step)
        slot.matrix[part] = model_.is_int8 && !m.turned ? pack_int8(from, arena)
                                                        : pack_half(from, arena);
}

void Builder::put_table(const Slot& slot, const std::string& name, const Source& from) {
    const Sizes& s = model_.sizes;
    if (from.rows != s.vocab_size || from.cols != s.width)
        throw std::runtime_error(name + " has other sizes than the model");
    uint16_t* to = matrices_.array<uint16_t>(from.rows * from.cols);
    for (int64_t i = 0; i < from.rows * from.cols; ++i) to[i] = to_bf16(from.data[i]);
    *slot.table = to;
}

void Builder::share(const Builder& base, const std::string& name) {
    if (&generation_ != &base.generation_ || model_.is_int8 != base.model_.is_int8 ||
        std::memcmp(&model_.sizes, &base.model_.sizes, sizeof(Sizes)))
        throw std::runtime_error(name + " cannot be shared by models of different kinds");
    Slot slot = find(name), other = base.find(name);
    if (slot.vector) keep(base, *slot.vector = *other.vector);
    if (slot.table) keep(base, *slot.table = *other.table);
    if (!slot.matrix) return;
    for (int part = 0; part < slot.matrix_of->parts; ++part)
        keep(base, memory_of(slot.matrix[part] = other.matrix[part]));
}

// `shared`: null where the base has nothing of that name.
void Builder::keep(const Builder& base, const void* shared) {
    if (!shared) return;
    for (const Arena* arena : {&base.matrices_, &base.small_})
        if (auto piece = arena->piece_of(shared)) shared_.insert(piece);
    for (const auto& piece : base.shared_)
        if (piece->holds(shared)) shared_.insert(piece);
}

std::set<const Piece*> Builder::pieces() const {
    std::set<const Piece*> found;
    for (const Arena* arena : {&matrices_, &small_, &room_})
        for (const auto& piece : arena->pieces()) found.insert(piece.get());
    for (const auto& piece : shared_) found.insert(piece.get());
    return found;
}

void Builder::need(bool found, const std::string& name) const {
    if (!found) throw std::runtime_error("the tensor " + name + " is missing");
}

void Builder::need_layer(Layer& layer, const std::string& prefix, bool is_first) const {
    for (const VectorPlace& v : generation_.vectors)
        if (!is_first || !v.from_layer_1) need(v.of(layer), prefix + v.name);
    for (const MatrixPlace& m : generation_.matrices)
        if (!is_first || !m.from_layer_1) need(is_packed(*m.of(layer)), prefix + m.name);
}

// The two matrices of a low rank follow one another.
void Builder::need_ranks(Layer& layer, const std::string& prefix) const {
    const std::vector<MatrixPlace>& all = generation_.matrices;
    for (size_t i = 0; i + 1 < all.size(); ++i)
        if (all[i].rows == RANK && all[i].of(layer)->rows != all[i + 1].of(layer)->cols)
            throw std::runtime_error(prefix + all[i].name + " and " + prefix + all[i + 1].name +
                                     " are of different ranks");
}

void Builder::finish(int threads) {
    need(model_.embedding, "emb.weight");
    need(is_packed(model_.head), "head.weight");
    for (const char* name : OUTSIDE) need(*find(name).vector, name);
    for (size_t i = 0; i < layers_.size(); ++i) {
        std::string prefix = "blocks." + std::to_string(i) + ".";
        need_layer(layers_[i], prefix, i == 0);
        need_ranks(layers_[i], prefix);
    }
    make_room(threads);
}

Activations Builder::room(int64_t depth, bool half, bool fine) {
    Activations a;
    a.depth = round_up(depth, GROUP);
    a.groups = a.depth / GROUP;
    if (half) a.half = room_.take(size_t(PASS * a.depth * model_.kernels->half_size));
    if (fine) {
        a.fine = room_.array<int16_t>(PASS * a.depth);
        a.scales = room_.array<float>(PASS * a.groups);
        a.offsets = room_.array<int32_t>(2 * PASS * a.groups);
    }
    return a;
}

// Mixtures in every form that a matrix reads them in.
void Builder::make_mixed_room() {
    for (int input = 0; input < INPUTS; ++input) {
        bool half = false, fine = false;
        for (const MatrixPlace& m : generation_.matrices)
            if (m.input == input) (model_.is_int8 && !m.turned ? fine : half) = true;
        if (half || fine) model_.work.mixed[input] = room(model_.sizes.width, half, fine);
    }
}

// What low ranks reduce their input to; ranks may differ from layer to layer.
void Builder::make_inner_room() {
    Workspace& w = model_.work;
    auto make = [&](Activations& to, auto down) {
        int64_t most = 0;
        for (Layer& layer : layers_)
            if (down(layer).rows > most) most = down(layer).rows;
        if (most) to = room(most, true, false);
    };
    make(w.low_w, [](Layer& layer) { return layer.decay.down; });
    make(w.low_a, [](Layer& layer) { return layer.rate.down; });
    make(w.low_v, [](Layer& layer) { return layer.residual.down; });
    make(w.low_g, [](Layer& layer) { return layer.low_gate.down; });
    for (Activations& low : w.low_mix) make(low, [](Layer& layer) { return layer.mix_down[0]; });
}

void Builder::make_room(int threads) {
    const Sizes& s = model_.sizes;
    Workspace& w = model_.work;
    for (float** buffer : {&w.x, &w.normed, &w.first_value, &w.r, &w.k, &w.v, &w.gate})
        *buffer = room_.array<float>(PASS * s.width);
    make_mixed_room();
    make_inner_room();
    bool fine = model_.is_int8;
    w.joined = room(s.width, !fine, fine);
    w.inner = room(s.ffn_width, !fine, fine);
    w.last = room(s.width, !fine, fine);
    for (int i = 0; i < threads; ++i) scratch_.push_back(room_.array<float>(scratch_floats(s)));
    w.scratch = scratch_.data();
}

}  // namespace rwkv
