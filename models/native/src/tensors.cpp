#include "tensors.hpp"

#include <cstdlib>
#include <cstring>
#include <stdexcept>

namespace rwkv {
namespace {

struct VectorPlace {
    const char* name;
    float* Layer::* place;
    float* Norm::* part;  // of `norm`, where place is null
    Norm Layer::* norm;
};

const VectorPlace VECTORS[] = {
    {"ln1.weight", nullptr, &Norm::weight, &Layer::ln1},
    {"ln1.bias", nullptr, &Norm::bias, &Layer::ln1},
    {"ln2.weight", nullptr, &Norm::weight, &Layer::ln2},
    {"ln2.bias", nullptr, &Norm::bias, &Layer::ln2},
    {"att.ln_x.weight", nullptr, &Norm::weight, &Layer::ln_x},
    {"att.ln_x.bias", nullptr, &Norm::bias, &Layer::ln_x},
    {"att.w0", &Layer::w0, nullptr, nullptr},
    {"att.a0", &Layer::a0, nullptr, nullptr},
    {"att.v0", &Layer::v0, nullptr, nullptr},
    {"att.k_k", &Layer::k_k, nullptr, nullptr},
    {"att.k_a", &Layer::k_a, nullptr, nullptr},
    {"att.r_k", &Layer::r_k, nullptr, nullptr},
    {"ffn.x_k", &Layer::channel_mix, nullptr, nullptr},
};

const char* const MIX_NAMES[MIXES] = {"att.x_r", "att.x_w", "att.x_k",
                                      "att.x_v", "att.x_a", "att.x_g"};

enum Side { WIDTH, FFN, RANK };

struct MatrixPlace {
    const char* name;
    Matrix Layer::* place;
    bool turned;  // stored as [inputs][outputs]
    Side rows, cols;
};

const MatrixPlace MATRICES[] = {
    {"att.w1", &Layer::w1, true, RANK, WIDTH},
    {"att.w2", &Layer::w2, true, WIDTH, RANK},
    {"att.a1", &Layer::a1, true, RANK, WIDTH},
    {"att.a2", &Layer::a2, true, WIDTH, RANK},
    {"att.v1", &Layer::v1, true, RANK, WIDTH},
    {"att.v2", &Layer::v2, true, WIDTH, RANK},
    {"att.g1", &Layer::g1, true, RANK, WIDTH},
    {"att.g2", &Layer::g2, true, WIDTH, RANK},
    {"att.receptance.weight", &Layer::receptance, false, WIDTH, WIDTH},
    {"att.key.weight", &Layer::key, false, WIDTH, WIDTH},
    {"att.value.weight", &Layer::value, false, WIDTH, WIDTH},
    {"att.output.weight", &Layer::output, false, WIDTH, WIDTH},
    {"ffn.key.weight", &Layer::ffn_key, false, FFN, WIDTH},
    {"ffn.value.weight", &Layer::ffn_value, false, WIDTH, FFN},
};

bool only_later_layers(const std::string& name) {
    return name == "att.v0" || name == "att.v1" || name == "att.v2";
}

bool is_packed(const Matrix& m) { return m.half || m.bytes; }

float*& place_of(Layer& layer, const VectorPlace& v) {
    return v.norm ? (layer.*v.norm).*v.part : layer.*v.place;
}

}  // namespace

Builder::Builder(Model& model, const Sizes& sizes, bool is_int8, const Kernels* kernels)
    : model_(model), layers_(size_t(sizes.layers)) {
    model.sizes = sizes;
    model.is_int8 = is_int8;
    model.kernels = kernels;
    model.layers = layers_.data();
}

void Builder::put(const std::string& name, const float* data, int64_t rows, int64_t cols) {
    const Sizes& s = model_.sizes;
    Source from = {data, rows, cols, cols, 1};
    if (name == "emb.weight") return put_embedding(from);
    if (name == "head.weight")
        return put_matrix(model_.head, name, from, false, model_.is_int8, s.vocab_size, s.width);
    if (name == "ln_out.weight") return put_vector(model_.ln_out.weight, name, from, s.width);
    if (name == "ln_out.bias") return put_vector(model_.ln_out.bias, name, from, s.width);
    if (name == "blocks.0.ln0.weight") return put_vector(model_.ln0.weight, name, from, s.width);
    if (name == "blocks.0.ln0.bias") return put_vector(model_.ln0.bias, name, from, s.width);
    if (name.compare(0, 7, "blocks.") != 0) return;
    char* end = nullptr;
    long index = std::strtol(name.c_str() + 7, &end, 10);
    if (*end != '.' || index < 0 || index >= s.layers) return;
    put_layer(layers_[size_t(index)], name, end + 1, from);
}

void Builder::put_layer(Layer& layer, const std::string& name, const std::string& rest,
                        const Source& from) {
    const Sizes& s = model_.sizes;
    for (const VectorPlace& v : VECTORS)
        if (rest == v.name) return put_vector(place_of(layer, v), name, from, s.width);
    for (int i = 0; i < MIXES; ++i)
        if (rest == MIX_NAMES[i]) return put_vector(layer.mix[i], name, from, s.width);
    for (const MatrixPlace& m : MATRICES) {
        if (rest != m.name) continue;
        auto length = [&](Side side, int64_t found) {
            return side == WIDTH ? s.width : side == FFN ? s.ffn_width : found;
        };
        int64_t rows = m.turned ? from.cols : from.rows, cols = m.turned ? from.rows : from.cols;
        bool int8 = model_.is_int8 && !m.turned;  // low ranks are small and suffer most
        return put_matrix(layer.*m.place, name, from, m.turned, int8, length(m.rows, rows),
                          length(m.cols, cols));
    }
}

void Builder::put_vector(float*& to, const std::string& name, const Source& from,
                         int64_t expected) {
    if (from.rows * from.cols != expected)
        throw std::runtime_error(name + " has " + std::to_string(from.rows * from.cols) +
                                 " values, expected " + std::to_string(expected));
    to = arena_.array<float>(expected);
    std::memcpy(to, from.data, size_t(expected) * sizeof(float));
}

void Builder::put_matrix(Matrix& to, const std::string& name, Source from, bool turned, bool int8,
                         int64_t rows, int64_t cols) {
    if (turned) from = {from.data, from.cols, from.rows, 1, from.cols};
    if (from.rows != rows || from.cols != cols)
        throw std::runtime_error(name + " computes " + std::to_string(from.rows) + " values from " +
                                 std::to_string(from.cols) + ", expected " + std::to_string(rows) +
                                 " from " + std::to_string(cols));
    to = int8 ? pack_int8(from, arena_) : pack_half(from, arena_);
}

void Builder::put_embedding(const Source& from) {
    const Sizes& s = model_.sizes;
    if (from.rows != s.vocab_size || from.cols != s.width)
        throw std::runtime_error("emb.weight has other sizes than the model");
    model_.embedding = arena_.array<uint16_t>(from.rows * from.cols);
    for (int64_t i = 0; i < from.rows * from.cols; ++i) model_.embedding[i] = to_bf16(from.data[i]);
}

void Builder::need(const void* found, const std::string& name) const {
    if (!found) throw std::runtime_error("the tensor " + name + " is missing");
}

void Builder::finish(int threads) {
    need(model_.embedding, "emb.weight");
    need(is_packed(model_.head) ? &model_ : nullptr, "head.weight");
    const Norm ends[] = {model_.ln0, model_.ln_out};
    for (const Norm& norm : ends) need(norm.weight && norm.bias ? &norm : nullptr, "ln0 or ln_out");
    for (size_t i = 0; i < layers_.size(); ++i) {
        std::string prefix = "blocks." + std::to_string(i) + ".";
        for (const VectorPlace& v : VECTORS)
            if (i > 0 || !only_later_layers(v.name)) need(place_of(layers_[i], v), prefix + v.name);
        for (int m = 0; m < MIXES; ++m) need(layers_[i].mix[m], prefix + MIX_NAMES[m]);
        for (const MatrixPlace& m : MATRICES)
            if (i > 0 || !only_later_layers(m.name))
                need(is_packed(layers_[i].*m.place) ? &m : nullptr, prefix + m.name);
    }
    make_room(threads);
}

Activations Builder::room(int64_t depth, bool half, bool fine) {
    Activations a;
    a.depth = round_up(depth, GROUP);
    a.groups = a.depth / GROUP;
    if (half) a.half = arena_.take(size_t(PASS * a.depth * model_.kernels->half_size));
    if (fine) {
        a.fine = arena_.array<int16_t>(PASS * a.depth);
        a.scales = arena_.array<float>(PASS * a.groups);
        a.offsets = arena_.array<int32_t>(2 * PASS * a.groups);
    }
    return a;
}

void Builder::make_room(int threads) {
    const Sizes& s = model_.sizes;
    Workspace& w = model_.work;
    for (float** buffer : {&w.x, &w.normed, &w.first_value, &w.r, &w.k, &w.v})
        *buffer = arena_.array<float>(PASS * s.width);
    bool fine = model_.is_int8;
    for (int i = 0; i < MIXES; ++i) {
        bool big = i == 0 || i == 2 || i == 3, low = i != 0 && i != 2;  // which matrices read it
        w.mixed[i] = room(s.width, low || !fine, big && fine);
    }
    struct {
        Activations* to;
        Matrix Layer::* inner;
    } lows[] = {{&w.low_w, &Layer::w1}, {&w.low_a, &Layer::a1},
                {&w.low_v, &Layer::v1}, {&w.low_g, &Layer::g1}};
    for (auto& low : lows) {
        int64_t most = 0;  // ranks may differ from layer to layer
        for (Layer& layer : layers_)
            if ((layer.*low.inner).rows > most) most = (layer.*low.inner).rows;
        *low.to = room(most, true, false);
    }
    w.joined = room(s.width, !fine, fine);
    w.inner = room(s.ffn_width, !fine, fine);
    w.last = room(s.width, !fine, fine);
    for (int i = 0; i < threads; ++i) scratch_.push_back(arena_.array<float>(scratch_floats(s)));
    w.scratch = scratch_.data();
}

}  // namespace rwkv
