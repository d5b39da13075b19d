// Small random models of every generation through the native library's C interface, for sanitizers
// and emulators.
//
// Every instruction set that runs here is compared with the portable one, over shapes, formats,
// thread counts and ragged steps, and so is a model that shares tensors with another one, copies
// some as they are packed, and maps the rest from a file.
// Exits with 1 and a line where they differ too much.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include <unistd.h>

struct Handle;
extern "C" {
const char* rwkv_available();
Handle* rwkv_new(const char*, const int64_t*, const char*, const char*, int);
void rwkv_free(Handle*);
const char* rwkv_put(Handle*, const char*, const void*, int, int64_t, int64_t);
const char* rwkv_map(Handle*, int, int64_t);
const char* rwkv_place(Handle*, const char*, int64_t, int64_t, int64_t, int64_t, void**);
int64_t rwkv_packed(const Handle*, const char*, void**);
uint64_t rwkv_checksum(const void*, int64_t);
const char* rwkv_share(Handle*, const Handle*, const char*);
const char* rwkv_ready(Handle*);
void rwkv_forward(Handle*, const int64_t*, const int64_t*, int64_t, float*, float*, float*,
                  const int64_t*, float*, int);
}

namespace {

typedef std::vector<float> Floats;

struct Shape {
    int64_t layers, width, head_size, ffn, vocab, rank;
};

struct Tensor {
    std::string name;
    int64_t rows, cols;
    Floats values;
};

// The tensors of a model, by their official names.
struct Checkpoint {
    std::string generation;
    Shape s;
    std::vector<Tensor> tensors;
    std::mt19937 random{1};

    Checkpoint(const std::string& g, const Shape& shape) : generation(g), s(shape) {
        put("emb.weight", s.vocab, s.width, 1);
        put("head.weight", s.vocab, s.width, inverse_root(s.width));
        norm("blocks.0.ln0");
        norm("ln_out");
        for (int64_t i = 0; i < s.layers; ++i) {
            std::string block = "blocks." + std::to_string(i) + ".";
            norm(block + "ln1");
            norm(block + "ln2");
            squares(block + "att.", {"receptance", "key", "value", "output"});
            put(block + "ffn.key.weight", s.ffn, s.width, inverse_root(s.width));
            put(block + "ffn.value.weight", s.width, s.ffn, inverse_root(s.ffn));
            if (generation == "7") own_7(block + "att.", block + "ffn.");
            else if (generation == "6") own_6(block + "att.", block + "ffn.");
            else own_45(block + "att.", block + "ffn.");
        }
    }

    bool has_heads() const { return generation != "4"; }
    int64_t heads() const { return s.width / s.head_size; }
    static float inverse_root(int64_t n) { return 1 / std::sqrt(float(n)); }

    void put(const std::string& name, int64_t rows, int64_t cols, float scale, float mean = 0) {
        std::normal_distribution<float> normal(mean, scale);
        Floats values(size_t(rows * cols));
        for (float& value : values) value = normal(random);
        tensors.push_back({name, rows, cols, values});
    }
    void norm(const std::string& name) {
        put(name + ".weight", 1, s.width, 0.1f, 1);
        put(name + ".bias", 1, s.width, 0.1f);
    }
    void squares(const std::string& prefix, const std::vector<std::string>& names) {
        for (const std::string& name : names)
            put(prefix + name + ".weight", s.width, s.width, inverse_root(s.width));
    }
    void shares(const std::string& prefix, const std::string& letters) {
        for (char letter : letters) put(prefix + letter, 1, s.width, 0.3f, 0.5f);
    }
    void own_7(const std::string& att, const std::string& ffn) {
        norm(att + "ln_x");
        shares(att + "x_", "rwkvag");
        shares(ffn + "x_", "k");
        for (const char* letter : {"w", "a", "v", "g"}) {
            put(att + letter + "0", 1, s.width, 1);
            put(att + letter + "1", s.width, s.rank, inverse_root(s.width));
            put(att + letter + "2", s.rank, s.width, inverse_root(s.rank));
        }
        for (const char* name : {"k_k", "k_a"}) put(att + name, 1, s.width, 0.2f, 0.8f);
        put(att + "r_k", heads(), s.head_size, 0.1f);
    }
    void own_6(const std::string& att, const std::string& ffn) {
        norm(att + "ln_x");
        shares(att + "time_maa_", "xwkvrg");
        shares(ffn + "time_maa_", "kr");
        squares(att, {"gate"});
        squares(ffn, {"receptance"});
        put(att + "time_maa_w1", s.width, 5 * s.rank, inverse_root(s.width));
        put(att + "time_maa_w2", 5 * s.rank, s.width, inverse_root(s.rank));
        put(att + "time_decay", 1, s.width, 1, -1);
        put(att + "time_decay_w1", s.width, s.rank, inverse_root(s.width));
        put(att + "time_decay_w2", s.rank, s.width, inverse_root(s.rank));
        put(att + "time_faaaa", heads(), s.head_size, 1);
    }
    void own_45(const std::string& att, const std::string& ffn) {
        bool gated = generation == "5.1" || generation == "5.2";
        int64_t per_head = generation == "5.0" || generation == "5.1" ? heads() : s.width;
        shares(att + "time_mix_", gated ? "kvrg" : "kvr");
        shares(ffn + "time_mix_", "kr");
        squares(ffn, {"receptance"});
        put(att + "time_decay", 1, per_head, 1, -1);
        put(att + "time_first", 1, per_head, 1);
        if (gated) squares(att, {"gate"});
        if (has_heads()) norm(att + "ln_x");
    }
};

// Packed tensors in a file that has no name, each on a multiple of 64 bytes.
class File {
public:
    File() : file_(std::tmpfile()) {}
    ~File() { std::fclose(file_); }
    File(const File&) = delete;

    int number() const { return fileno(file_); }
    int64_t size() const { return size_; }

    // Returns where they begin.
    int64_t add(const void* bytes, int64_t count) {
        int64_t at = size_;
        size_ = (at + count + 63) / 64 * 64;
        bool whole = pwrite(number(), bytes, size_t(count), at) == count;
        if (!whole || ftruncate(number(), size_)) std::printf("THE FILE CANNOT BE WRITTEN\n");
        return at;
    }

private:
    std::FILE* file_;
    int64_t size_ = 0;
};

struct Model {
    const Checkpoint& c;
    Handle* handle;

    // base: a third of the tensors is shared, a third copied as it is packed, and a third mapped.
    Model(const Checkpoint& checkpoint, const std::string& format, const std::string& isa, int threads,
          const Model* base = nullptr)
        : c(checkpoint) {
        const Shape& s = c.s;
        int64_t size = c.has_heads() ? s.head_size : 1;
        int64_t sizes[] = {s.layers, s.width, s.width / size, size, s.ffn, s.vocab};
        handle = rwkv_new(c.generation.c_str(), sizes, format.c_str(), isa.c_str(),
                          threads);
        std::vector<int64_t> places;
        if (base) places = map(*base);
        for (size_t i = 0; i < c.tensors.size(); ++i) {
            const Tensor& t = c.tensors[i];
            if (!base) tell(rwkv_put(handle, t.name.c_str(), t.values.data(), 0, t.rows, t.cols));
            else if (i % 3 == 0) tell(rwkv_share(handle, base->handle, t.name.c_str()));
            else place(t, *base, i % 3 == 1 ? -1 : places[i]);
        }
        tell(rwkv_ready(handle));
    }
    ~Model() { rwkv_free(handle); }
    Model(const Model&) = delete;

    // Every third tensor; where each lies. The file is closed and gone before it is read.
    std::vector<int64_t> map(const Model& base) {
        File file;
        std::vector<int64_t> places(c.tensors.size());
        for (size_t i = 2; i < places.size(); i += 3) {
            void* from = nullptr;
            int64_t bytes = rwkv_packed(base.handle, c.tensors[i].name.c_str(), &from);
            if (from) places[i] = file.add(from, bytes);
        }
        tell(rwkv_map(handle, file.number(), file.size()));
        return places;
    }

    // at: in the mapped file, or negative where the bytes are to be copied.
    void place(const Tensor& t, const Model& base, int64_t at) {
        void *from = nullptr, *to = nullptr;
        int64_t bytes = rwkv_packed(base.handle, t.name.c_str(), &from);
        tell(rwkv_place(handle, t.name.c_str(), t.rows, t.cols, bytes, at, &to));
        if (!to) return;
        if (at < 0) std::memcpy(to, from, size_t(bytes));
        if (rwkv_checksum(to, bytes) != rwkv_checksum(from, bytes)) tell("COPIES DIFFER");
    }

    static void tell(const char* said) {
        if (said) std::printf("%s\n", said);
    }

    // Logits of two steps, the second from the state of the first.
    Floats run() {
        const Shape& s = c.s;
        int64_t lengths[] = {1, 40, 300, 1, 7}, batch = 5, total = 349;
        int64_t ones[] = {1, 1, 1, 1, 1};
        std::vector<int64_t> tokens(size_t(total), 0);
        for (int64_t i = 0; i < total; ++i) tokens[size_t(i)] = i * 7 % s.vocab;
        int64_t row = s.width * (c.has_heads() ? s.head_size : 3), shift = batch * s.width;
        Floats att(size_t(s.layers * shift)), wkv(size_t(s.layers * batch * row)), ffn(att.size());
        if (!c.has_heads())
            for (size_t i = 0; i < wkv.size(); ++i)
                if (int64_t(i) % row >= 2 * s.width) wkv[i] = -1e30f;
        int64_t strides[] = {shift, s.width, batch * row, row, shift, s.width};
        Floats logits(size_t((total + batch) * s.vocab));
        rwkv_forward(handle, tokens.data(), lengths, batch, att.data(), wkv.data(), ffn.data(),
                     strides, logits.data(), 1);
        rwkv_forward(handle, tokens.data(), ones, batch, att.data(), wkv.data(), ffn.data(),
                     strides, logits.data() + total * s.vocab, 0);
        return logits;
    }
};

float largest_difference(const Floats& a, const Floats& b) {
    float most = 0;
    for (size_t i = 0; i < a.size(); ++i) {
        float difference = std::fabs(a[i] - b[i]);
        if (!(difference <= most)) most = difference;  // also where it is not a number
    }
    return most;
}

bool check(const Checkpoint& checkpoint, const std::string& format, const std::string& isa,
           const Floats& exact) {
    auto base = std::make_unique<Model>(checkpoint, format, isa, 1);
    Floats one = base->run();
    Model sharing(checkpoint, format, isa, 4, base.get());
    base.reset();
    bool same = one == sharing.run();
    float difference = largest_difference(one, exact);
    std::printf("RWKV-%s, width %d, %s, %s: %s, differs from portable by %g\n",
                checkpoint.generation.c_str(), int(checkpoint.s.width), format.c_str(), isa.c_str(),
                same ? "threads agree" : "THREADS DIFFER", double(difference));
    return same && difference < 0.5f;
}

}  // namespace

int main() {
    const Shape shapes[] = {{2, 128, 64, 320, 100, 24}, {2, 96, 48, 72, 33, 5}};
    for (const char* generation : {"4", "5.0", "5.1", "5.2", "6", "7"}) {
        for (const Shape& shape : shapes) {
            Checkpoint checkpoint(generation, shape);
            for (const char* format : {"bf16", "int8", "w8a8", "int4"}) {
                Floats exact = Model(checkpoint, format, "portable", 1).run();
                std::istringstream names(rwkv_available());
                for (std::string isa; names >> isa;)
                    if (!check(checkpoint, format, isa, exact)) return 1;
            }
        }
    }
    return 0;
}
