#include "tensors.hpp"

#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace rwkv {
namespace {

const MatrixPlace HEAD = {"head.weight", nullptr, WIDTH, WIDTH};

const char* const OUTSIDE[] = {"blocks.0.ln0.weight", "blocks.0.ln0.bias", "ln_out.weight",
                               "ln_out.bias"};

std::string numbers(int64_t rows, int64_t cols) {
    return std::to_string(rows) + " values from " + std::to_string(cols);
}

}  // namespace

Builder::Builder(Model& model, const Generation& generation, const Sizes& sizes, Format format,
                 const Kernels* kernels, Team& team)
    : model_(model), generation_(generation), team_(team), layers_(size_t(sizes.layers)) {
    model.family = generation.family;
    model.sizes = sizes;
    model.format = format;
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

void Builder::put(const std::string& name, const void* data, Number number, int64_t rows,
                  int64_t cols) {
    Plan made = plan(name, rows, cols);
    if (!take(made, name)) return;
    Source from = {data, number, rows, cols, cols, 1};
    if (made.slot.vector) fill_vector(made.slot, from);
    if (made.slot.matrix) fill_matrices(made.slot, from);
    if (made.slot.table) fill_table(made.slot, from);
}

void Builder::map(int file, int64_t bytes) { mapped_ = std::make_shared<Piece>(file, size_t(bytes)); }

char* Builder::place(const std::string& name, int64_t rows, int64_t cols, int64_t bytes,
                     int64_t at) {
    Plan made = plan(name, rows, cols);
    if (made.bytes != bytes)
        throw std::runtime_error(name + " takes " + std::to_string(made.bytes) + " bytes, not " +
                                 std::to_string(bytes));
    if (at < 0 || !bytes) return take(made, name);
    return refer_to(in_file(name, bytes, at), made, name);
}

char* Builder::in_file(const std::string& name, int64_t bytes, int64_t at) const {
    int64_t size = mapped_ ? int64_t(mapped_->size) : 0;
    if (at % 64 || at > size || bytes > size - at)
        throw std::runtime_error(name + " has no place in the file");
    return mapped_->memory + at;
}

Builder::Packed Builder::packed(const std::string& name) const {
    auto found = packed_.find(name);
    return found == packed_.end() ? Packed() : found->second;
}

Builder::Plan Builder::plan(const std::string& name, int64_t rows, int64_t cols) const {
    const Sizes& s = model_.sizes;
    Plan made;
    made.slot = find(name);
    if (made.slot.vector) {
        int64_t count = rows * cols;
        if (count != s.width && !(made.slot.vector_of && count == s.heads))
            throw std::runtime_error(name + " has " + std::to_string(count) +
                                     " values, expected " + std::to_string(s.width));
        made.bytes = s.width * int64_t(sizeof(float));
    }
    if (made.slot.table) {
        if (rows != s.vocab_size || cols != s.width)
            throw std::runtime_error(name + " has other sizes than the model");
        made.bytes = rows * cols * 2;
    }
    if (made.slot.matrix) plan_matrices(made, name, rows, cols);
    return made;
}

int64_t Builder::length(Side side, int64_t found) const {
    return side == WIDTH ? model_.sizes.width : side == FFN ? model_.sizes.ffn_width : found;
}

Stored Builder::stored_of(const MatrixPlace& place) const {
    if (place.turned || model_.format == Format::BF16) return Stored::HALVES;
    if (model_.format == Format::INT4 && &place != &HEAD) return Stored::NIBBLES;
    return Stored::BYTES;
}

void Builder::plan_matrices(Plan& made, const std::string& name, int64_t rows,
                            int64_t cols) const {
    const MatrixPlace& m = *made.slot.matrix_of;
    if (m.turned) std::swap(rows, cols);
    int64_t& rank = m.rows == RANK ? rows : cols;
    if (rank % m.parts)
        throw std::runtime_error(name + " cannot be divided into " + std::to_string(m.parts));
    rank /= m.parts;
    int64_t wanted_rows = &m == &HEAD ? model_.sizes.vocab_size : length(m.rows, rows);
    int64_t wanted_cols = length(m.cols, cols);
    if (rows != wanted_rows || cols != wanted_cols)
        throw std::runtime_error(name + " computes " + numbers(rows, cols) + ", expected " +
                                 numbers(wanted_rows, wanted_cols));
    made.matrices.assign(size_t(m.parts), outline(rows, cols, stored_of(m)));
    made.bytes = m.parts * packed_bytes(made.matrices[0]);
}

// Memory for what is planned; the model refers to it from now on.
char* Builder::take(const Plan& made, const std::string& name) {
    if (!made.bytes) return nullptr;
    const Slot& slot = made.slot;
    bool is_small = slot.vector || (slot.matrix && slot.matrix_of->turned);
    return refer_to((is_small ? small_ : matrices_).take(size_t(made.bytes)), made, name);
}

char* Builder::refer_to(char* memory, const Plan& made, const std::string& name) {
    const Slot& slot = made.slot;
    if (slot.vector) *slot.vector = reinterpret_cast<float*>(memory);
    if (slot.table) *slot.table = reinterpret_cast<uint16_t*>(memory);
    for (size_t part = 0; part < made.matrices.size(); ++part) {
        slot.matrix[part] = made.matrices[part];
        rwkv::place(slot.matrix[part], memory + int64_t(part) * packed_bytes(slot.matrix[part]));
    }
    packed_[name] = {memory, made.bytes};
    return memory;
}

void Builder::fill_vector(const Slot& slot, const Source& from) const {
    const Sizes& s = model_.sizes;
    int64_t count = from.rows * from.cols, repeats = slot.vector_of ? s.width / count : 1;
    float (*prepare)(float) = slot.vector_of ? slot.vector_of->prepare : nullptr;
    float* to = *slot.vector;
    Source flat = {from.data, from.number, 1, count, count, 1};
    for (int64_t i = 0; i < s.width; ++i) {
        flat.read(0, i / repeats, 1, to + i);
        if (prepare) to[i] = prepare(to[i]);
    }
}

void Builder::fill_matrices(const Slot& slot, const Source& given) const {
    const MatrixPlace& m = *slot.matrix_of;
    Source from = given;
    if (m.turned) from = {given.data, given.number, given.cols, given.rows, 1, given.cols};
    for (int part = 0; part < m.parts; ++part) {
        const Matrix& to = slot.matrix[part];
        pack(to, m.rows == RANK ? from.rows_from(part * to.rows, to.rows)
                                : from.cols_from(part * to.cols, to.cols), team_);
    }
}

void Builder::fill_table(const Slot& slot, const Source& from) const {
    std::vector<float> row(static_cast<size_t>(from.cols));
    uint16_t* to = *slot.table;
    for (int64_t r = 0; r < from.rows; ++r, to += from.cols) {
        from.read(r, 0, from.cols, row.data());
        for (int64_t i = 0; i < from.cols; ++i) to[i] = to_bf16(row[size_t(i)]);
    }
}

void Builder::share(const Builder& base, const std::string& name) {
    if (&generation_ != &base.generation_ || model_.format != base.model_.format ||
        std::memcmp(&model_.sizes, &base.model_.sizes, sizeof(Sizes)))
        throw std::runtime_error(name + " cannot be shared by models of different kinds");
    Slot slot = find(name), other = base.find(name);
    if (slot.vector) keep(base, *slot.vector = *other.vector);
    if (slot.table) keep(base, *slot.table = *other.table);
    if (!slot.matrix) return;
    for (int part = 0; part < slot.matrix_of->parts; ++part)
        keep(base, (slot.matrix[part] = other.matrix[part]).weights);
}

// `shared`: null where the base has nothing of that name.
void Builder::keep(const Builder& base, const void* shared) {
    if (!shared) return;
    for (const Arena* arena : {&base.matrices_, &base.small_})
        if (auto piece = arena->piece_of(shared)) shared_.insert(piece);
    if (base.mapped_ && base.mapped_->holds(shared)) shared_.insert(base.mapped_);
    for (const auto& piece : base.shared_)
        if (piece->holds(shared)) shared_.insert(piece);
}

std::set<const Piece*> Builder::pieces() const {
    std::set<const Piece*> found;
    for (const Arena* arena : {&matrices_, &small_, &room_})
        for (const auto& piece : arena->pieces()) found.insert(piece.get());
    for (const auto& piece : shared_) found.insert(piece.get());
    if (mapped_) found.insert(mapped_.get());
    return found;
}

void Builder::need(bool found, const std::string& name) const {
    if (!found) throw std::runtime_error("the tensor " + name + " is missing");
}

void Builder::need_layer(Layer& layer, const std::string& prefix, bool is_first) const {
    for (const VectorPlace& v : generation_.vectors)
        if (!is_first || !v.from_layer_1) need(v.of(layer), prefix + v.name);
    for (const MatrixPlace& m : generation_.matrices)
        if (!is_first || !m.from_layer_1) need(m.of(layer)->weights, prefix + m.name);
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
    need(model_.head.weights, "head.weight");
    for (const char* name : OUTSIDE) need(*find(name).vector, name);
    for (size_t i = 0; i < layers_.size(); ++i) {
        std::string prefix = "blocks." + std::to_string(i) + ".";
        need_layer(layers_[i], prefix, i == 0);
        need_ranks(layers_[i], prefix);
    }
    make_room(threads);
}

Activations Builder::room(int64_t depth, bool half, bool whole) {
    Activations a;
    a.depth = round_up(depth, GROUP);
    a.groups = a.depth / GROUP;
    constexpr int64_t TOKENS = PASS + BEYOND;
    if (half) a.half = room_.array<char>(TOKENS * a.depth * model_.kernels->half_size);
    if (whole) {
        if (model_.format == Format::INT8) a.fine = room_.array<int16_t>(TOKENS * a.depth);
        else a.coarse = room_.array<int8_t>(TOKENS * a.depth);
        a.scales = room_.array<float>(TOKENS * a.groups);
        a.offsets = room_.array<int32_t>(2 * TOKENS * a.groups);
    }
    return a;
}

// Mixtures in every form that a matrix reads them in.
void Builder::make_mixed_room() {
    for (int input = 0; input < INPUTS; ++input) {
        bool half = false, whole = false;
        for (const MatrixPlace& m : generation_.matrices)
            if (m.input == input) (stored_of(m) == Stored::HALVES ? half : whole) = true;
        if (half || whole) model_.work.mixed[input] = room(model_.sizes.width, half, whole);
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
    bool whole = model_.format != Format::BF16;
    w.joined = room(s.width, !whole, whole);
    w.inner = room(s.ffn_width, !whole, whole);
    w.last = room(s.width, !whole, whole);
    for (int i = 0; i < threads; ++i) scratch_.push_back(room_.array<float>(scratch_floats(s)));
    w.scratch = scratch_.data();
}

}  // namespace rwkv
