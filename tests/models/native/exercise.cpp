// A small random model through the native library's C interface, for sanitizers and emulators.
//
// Every instruction set that runs here is compared with the portable one, over shapes, formats,
// thread counts and ragged steps. Exits with 1 and a line where they differ too much.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <random>
#include <sstream>
#include <string>
#include <vector>

struct Handle;
extern "C" {
const char* rwkv_available();
Handle* rwkv7_new(const int64_t*, int, const char*, int);
void rwkv7_free(Handle*);
const char* rwkv7_put(Handle*, const char*, const float*, int64_t, int64_t);
const char* rwkv7_ready(Handle*);
void rwkv7_forward(Handle*, const int64_t*, const int64_t*, int64_t, float*, float*, float*,
                   const int64_t*, float*, int);
}

namespace {

typedef std::vector<float> Floats;

struct Shape {
    int64_t layers, width, head_size, ffn, vocab, rank;
};

struct Model {
    Shape s;
    Handle* handle;
    std::mt19937 random{1};

    Model(const Shape& shape, int is_int8, const std::string& isa, int threads) : s(shape) {
        int64_t sizes[] = {s.layers, s.width, s.width / s.head_size, s.head_size, s.ffn, s.vocab};
        handle = rwkv7_new(sizes, is_int8, isa.c_str(), threads);
        put("emb.weight", s.vocab, s.width, 1);
        put("head.weight", s.vocab, s.width, inverse_root(s.width));
        norm("blocks.0.ln0");
        norm("ln_out");
        for (int64_t i = 0; i < s.layers; ++i) layer("blocks." + std::to_string(i) + ".");
        if (const char* said = rwkv7_ready(handle)) std::printf("%s\n", said);
    }
    ~Model() { rwkv7_free(handle); }

    static float inverse_root(int64_t n) { return 1 / std::sqrt(float(n)); }

    void put(const std::string& name, int64_t rows, int64_t cols, float scale, float mean = 0) {
        std::normal_distribution<float> normal(mean, scale);
        Floats values(size_t(rows * cols));
        for (float& value : values) value = normal(random);
        rwkv7_put(handle, name.c_str(), values.data(), rows, cols);
    }
    void norm(const std::string& name) {
        put(name + ".weight", 1, s.width, 0.1f, 1);
        put(name + ".bias", 1, s.width, 0.1f);
    }
    void layer(const std::string& prefix) {
        float scale = inverse_root(s.width);
        for (const char* name : {"ln1", "ln2", "att.ln_x"}) norm(prefix + name);
        for (char letter : std::string("rwkvag"))
            put(prefix + "att.x_" + letter, 1, s.width, 0.3f, 0.5f);
        for (char letter : std::string("wavg")) {
            put(prefix + "att." + letter + "0", 1, s.width, 1);
            put(prefix + "att." + letter + "1", s.width, s.rank, scale);
            put(prefix + "att." + letter + "2", s.rank, s.width, inverse_root(s.rank));
        }
        for (const char* name : {"att.k_k", "att.k_a", "ffn.x_k"})
            put(prefix + name, 1, s.width, 0.2f, 0.8f);
        put(prefix + "att.r_k", s.width / s.head_size, s.head_size, 0.1f);
        for (const char* name : {"receptance", "key", "value", "output"})
            put(prefix + "att." + name + ".weight", s.width, s.width, scale);
        put(prefix + "ffn.key.weight", s.ffn, s.width, scale);
        put(prefix + "ffn.value.weight", s.width, s.ffn, inverse_root(s.ffn));
    }

    // Logits of two steps, the second from the state of the first.
    Floats run() {
        int64_t lengths[] = {1, 40, 300, 1, 7}, batch = 5, total = 349;
        int64_t ones[] = {1, 1, 1, 1, 1};
        std::vector<int64_t> tokens(size_t(total), 0);
        for (int64_t i = 0; i < total; ++i) tokens[size_t(i)] = i * 7 % s.vocab;
        int64_t shift = batch * s.width, wkv = shift * s.head_size;
        Floats att(size_t(s.layers * shift)), state(size_t(s.layers * wkv)), ffn(att.size());
        int64_t strides[] = {shift, s.width, wkv, s.width * s.head_size, shift, s.width};
        Floats logits(size_t((total + batch) * s.vocab));
        rwkv7_forward(handle, tokens.data(), lengths, batch, att.data(), state.data(), ffn.data(),
                      strides, logits.data(), 1);
        rwkv7_forward(handle, tokens.data(), ones, batch, att.data(), state.data(), ffn.data(),
                      strides, logits.data() + total * s.vocab, 0);
        return logits;
    }
};

bool close(const Floats& a, const Floats& b, float limit) {
    float most = 0;
    for (size_t i = 0; i < a.size(); ++i) {
        if (!(std::fabs(a[i] - b[i]) <= limit)) return false;
        most = std::fmax(most, std::fabs(a[i] - b[i]));
    }
    std::printf("  differs by %g\n", double(most));
    return true;
}

}  // namespace

int main() {
    const Shape shapes[] = {{2, 128, 64, 320, 100, 24}, {2, 96, 32, 72, 33, 5}};
    for (const Shape& shape : shapes) {
        for (int is_int8 : {0, 1}) {
            Floats exact = Model(shape, is_int8, "portable", 1).run();
            std::istringstream names(rwkv_available());
            for (std::string isa; names >> isa;) {
                Floats one = Model(shape, is_int8, isa, 1).run();
                bool same = one == Model(shape, is_int8, isa, 4).run();
                std::printf("%s, width %d, int8 %d: threads %s\n", isa.c_str(), int(shape.width),
                            is_int8, same ? "agree" : "differ");
                if (!same || !close(one, exact, 0.3f)) return 1;
            }
        }
    }
    return 0;
}
