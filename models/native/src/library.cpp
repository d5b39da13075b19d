// The C interface. Its calls and the order of their arguments are repeated in library.py.
//
// Functions that can fail return a sentence, or null; it stays valid until the thread's next call.
#include <cstring>
#include <exception>
#include <set>
#include <string>

#include "pack.hpp"
#include "pool.hpp"
#include "tensors.hpp"

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif
#if defined(RWKV_AMX)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#define API extern "C" __attribute__((visibility("default")))

namespace rwkv {
namespace {

#if defined(__aarch64__)
bool has_dot_products() {
#if defined(__aarch64__) && defined(__linux__)
    return getauxval(AT_HWCAP) & (1u << 20);  // HWCAP_ASIMDDP
#else
    return true;  // every arm64 processor that other systems run on has them
#endif
}
#endif

#if defined(RWKV_AMX)
// The system has to be asked before the first tile; it refuses where a signal's stack is too small.
bool may_use_tiles() {
    constexpr int REQUEST = 0x1023, TILES = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    constexpr unsigned NEEDED = 1u << 22 | 1u << 24 | 1u << 25;  // AMX-BF16, -TILE and -INT8
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & NEEDED) == NEEDED &&
           syscall(SYS_arch_prctl, REQUEST, TILES) == 0;
}
#endif

// The best first.
std::vector<const Kernels*> available() {
    std::vector<const Kernels*> found;
#if defined(__x86_64__)
    __builtin_cpu_init();
    bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bf16");
#if defined(RWKV_AMX)
    static const bool tiles = wide && may_use_tiles();
    if (tiles) found.push_back(amx_kernels());
#endif
    if (wide) found.push_back(avx512_kernels());
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        found.push_back(avx2_kernels());
#elif defined(__aarch64__)
    if (has_dot_products()) found.push_back(neon_kernels());
#endif
    found.push_back(portable_kernels());
    return found;
}

const char* const FORMATS[] = {"bf16", "int8", "w8a8", "int4"};  // in the order of Format

// A model and what belongs to it.
struct Handle {
    Model model;
    Team team;
    Builder builder;
    std::vector<Segment> segments;
    std::vector<int64_t> wanted, wanted_rows;

    Handle(const Generation& generation, const Sizes& sizes, Format format, const Kernels* kernels,
           int threads)
        : model{}, team(threads), builder(model, generation, sizes, format, kernels, team) {}
};

struct Job {
    const Model& model;
    const Pass& pass;
    Team& team;
};

void work(void* context, int thread) {
    Job& job = *static_cast<Job*>(context);
    job.model.kernels->forward(job.model, job.pass, thread, job.team);
}

// What a pass deals out, at most.
int works(int64_t layers) { return int(12 * layers + 3); }

// The part of a step that lies in the flat tokens from `first` on, up to `last`.
void cut(Handle& h, const int64_t* lengths, int64_t batch, int64_t first, int64_t last, bool every) {
    h.segments.clear();
    h.wanted.clear();
    h.wanted_rows.clear();
    int64_t start = 0;
    for (int64_t row = 0; row < batch; start += lengths[row++]) {
        int64_t stop = start + lengths[row];
        int64_t from = start > first ? start : first, to = stop < last ? stop : last;
        if (from >= to) continue;
        h.segments.push_back({row, from - first, to - from});
        for (int64_t t = every ? from : to - 1; t < to; ++t) {
            if (!every && to != stop) continue;
            h.wanted.push_back(t - first);
            h.wanted_rows.push_back(every ? t : row);
        }
    }
}

// Several sums side by side, so that memory is what limits it.
uint64_t checksum(const void* data, int64_t bytes) {
    constexpr int LANES = 8;
    constexpr uint64_t PRIME = 0x9e3779b185ebca87u;
    const char* from = static_cast<const char*>(data);
    uint64_t sums[LANES];
    for (int i = 0; i < LANES; ++i) sums[i] = uint64_t(i) + uint64_t(bytes);
    for (; bytes > 0; bytes -= 8 * LANES, from += 8 * LANES) {
        uint64_t words[LANES] = {};
        std::memcpy(words, from, size_t(bytes < 8 * LANES ? bytes : 8 * LANES));
        for (int i = 0; i < LANES; ++i) {
            uint64_t mixed = (sums[i] ^ words[i]) * PRIME;
            sums[i] = mixed ^ mixed >> 29;
        }
    }
    uint64_t total = 0;
    for (uint64_t sum : sums) total = (total ^ sum) * PRIME, total ^= total >> 32;
    return total;
}

thread_local std::string sentence;

template <class F>
const char* told(F f) {
    try {
        f();
        return nullptr;
    } catch (const std::bad_alloc&) {
        sentence = "there is not enough memory for the packed weights";
    } catch (const std::exception& error) {
        sentence = error.what();
    }
    return sentence.c_str();
}

}  // namespace
}  // namespace rwkv

// The names of the instruction sets that this processor runs, the best first, with spaces between.
API const char* rwkv_available() {
    static const std::string names = [] {
        std::string found;
        for (const rwkv::Kernels* kernels : rwkv::available())
            found += (found.empty() ? "" : " ") + std::string(kernels->name);
        return found;
    }();
    return names.c_str();
}

// generation: 4, 5.0, 5.1, 5.2, 6 or 7. sizes: layers, width, heads, head size, channel-mix width,
// vocabulary; in RWKV-4 head size is 1. The width and, but for RWKV-4, the head size are multiples
// of 16. format: bf16, int8, w8a8 or int4. isa: a name that rwkv_available gave. Null when there is not enough memory or no thread can
// be started.
API rwkv::Handle* rwkv_new(const char* generation, const int64_t* sizes, const char* format,
                           const char* isa, int threads) {
    rwkv::Sizes s = {sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5]};
    const rwkv::Generation* found = rwkv::find_generation(generation);
    try {
        for (const rwkv::Kernels* kernels : rwkv::available())
            for (int i = 0; i < 4; ++i)
                if (found && !std::strcmp(kernels->name, isa) && !std::strcmp(rwkv::FORMATS[i], format))
                    return new rwkv::Handle(*found, s, rwkv::Format(i), kernels, threads);
    } catch (const std::exception&) {
    }
    return nullptr;
}

API void rwkv_free(rwkv::Handle* handle) { delete handle; }

// Threads beside the caller's for rwkv_choose, `threads` with it; they sleep in between. Null where
// they cannot be started. One call at a time may use them.
API rwkv::Team* rwkv_team_new(int threads) {
    try {
        return new rwkv::Team(threads);
    } catch (const std::exception&) {
        return nullptr;
    }
}

API void rwkv_team_free(rwkv::Team* team) { delete team; }

// Memory of `count` models for weights, and for what is computed with them; what they share counts
// once.
API int64_t rwkv_bytes(rwkv::Handle* const* handles, int64_t count) {
    std::set<const rwkv::Piece*> pieces;
    for (int64_t i = 0; i < count; ++i) pieces.merge(handles[i]->builder.pieces());
    int64_t bytes = 0;
    for (const rwkv::Piece* piece : pieces) bytes += int64_t(piece->taken);
    return bytes;
}

// A tensor by its official name, [rows][cols] values of float32 (number 0), bf16 (1) or fp16 (2); a
// vector has one row. Tensors that no formula reads are passed over.
API const char* rwkv_put(rwkv::Handle* h, const char* name, const void* data, int number,
                         int64_t rows, int64_t cols) {
    return rwkv::told([&] { h->builder.put(name, data, rwkv::Number(number), rows, cols); });
}

// Maps the first `bytes` of an open file, at most once, for tensors that rwkv_place finds in it. The
// file may be closed afterwards, and nobody may write to it or cut it as long as the model, or one
// that shares with it, is there. Fails where the file cannot be mapped.
API const char* rwkv_map(rwkv::Handle* h, int file, int64_t bytes) {
    return rwkv::told([&] { h->builder.map(file, bytes); });
}

// Instead of rwkv_put: `memory` is set to where the caller is to put `bytes`, what rwkv_packed gave
// for that tensor of a model of the same generation, sizes and format. Unless `at` is negative, they
// lie there in the mapped file, on a multiple of 64, and `memory` is not to be written to.
API const char* rwkv_place(rwkv::Handle* h, const char* name, int64_t rows, int64_t cols,
                           int64_t bytes, int64_t at, void** memory) {
    return rwkv::told([&] { *memory = h->builder.place(name, rows, cols, bytes, at); });
}

// The packed form of a tensor, the same on every instruction set; returns its bytes, 0 for a tensor
// that was passed over.
API int64_t rwkv_packed(const rwkv::Handle* h, const char* name, void** memory) {
    rwkv::Builder::Packed packed = h->builder.packed(name);
    *memory = packed.memory;
    return packed.bytes;
}

// A checksum against damage, not against forgery.
API uint64_t rwkv_checksum(const void* data, int64_t bytes) { return rwkv::checksum(data, bytes); }

// Instead of rwkv_put: the tensor is that of `base`, a ready model of the same generation, sizes and
// format. `base` may be computing meanwhile, and may be freed before the one that shares with it.
API const char* rwkv_share(rwkv::Handle* h, const rwkv::Handle* base, const char* name) {
    return rwkv::told([&] { h->builder.share(base->builder, name); });
}

// After the last tensor, before the first step.
API const char* rwkv_ready(rwkv::Handle* h) {
    return rwkv::told([&] {
        h->builder.finish(h->team.count());
        h->team.reserve(rwkv::works(h->model.sizes.layers));
    });
}

// One step: tokens [sum of lengths], lengths [batch]; strides are of the state's layers and rows in
// floats: att_shift, wkv, ffn_shift. logits: [batch][V], or [tokens][V] with every.
API void rwkv_forward(rwkv::Handle* h, const int64_t* tokens, const int64_t* lengths, int64_t batch,
                      float* att_shift, float* wkv, float* ffn_shift, const int64_t* strides,
                      float* logits, int every) {
    using namespace rwkv;
    int64_t total = 0;
    for (int64_t i = 0; i < batch; ++i) total += lengths[i];
    StateView state = {att_shift,  wkv,        ffn_shift,  strides[0], strides[1],
                       strides[2], strides[3], strides[4], strides[5]};
    for (int64_t first = 0; first < total; first += PASS) {
        int64_t last = first + PASS < total ? first + PASS : total;
        cut(*h, lengths, batch, first, last, every != 0);
        // Both ways the wanted rows of a pass follow one another.
        float* out = h->wanted.empty() ? logits
                                       : logits + h->wanted_rows[0] * h->model.sizes.vocab_size;
        Pass pass = {tokens + first,    last - first,
                     h->segments.data(), int64_t(h->segments.size()),
                     state,             h->wanted.data(),
                     int64_t(h->wanted.size()), out};
        Job job = {h->model, pass, h->team};
        h->team.run(work, &job);
    }
}
