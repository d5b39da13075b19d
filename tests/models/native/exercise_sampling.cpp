// The sampler and the likelihoods through the native library's C interface, for sanitizers.
//
// Every option over vocabularies of awkward sizes, with flat, peaked and forbidden logits. Prints the
// ids that are chosen, the same on every processor. Exits with 1 and a line where an id is chosen that
// may not be, or a likelihood is no number below 0.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <random>
#include <vector>

extern "C" {
void* rwkv_sampler_new(const double*, const int64_t*, const double*, int64_t, const int64_t*,
                       int64_t);
void rwkv_sampler_free(void*);
int64_t rwkv_sampler_choose(void*, const float*, int64_t, const int32_t*, const int64_t*, int64_t,
                            double);
int rwkv_score(const float*, int64_t, int64_t, const int64_t*, int64_t, const int64_t*, int64_t,
               float*, int64_t*, float*);
}

int main() {
    const double options[][9] = {
        {0, 1, 0, 0, 1, 0, 0, 1, 1},       {1, 1, 0, 0, 1, 0, 0, 1, 1},
        {0.7, 0.5, 0, 0, 1, 0, 0, 1, 1},   {1.5, 1, 3, 0, 1, 0.3, 0.2, 1.1, 0.9},
        {1, 0.9, 40, 0.05, 0.9, 0, 0, 1, 1}, {1e-300, 0, 7, 2, 0, -1, 1, 0.5, 0},
    };
    std::mt19937 random(1);
    for (int64_t vocab : {1, 2, 31, 33, 1000, 65536}) {
        for (const double* of : options) {
            int64_t last = vocab - 1;
            double bias = 3;
            bool forbids = vocab > 2;
            void* sampler = rwkv_sampler_new(of, &last, &bias, 1, &last, forbids);
            for (float spread : {0.0f, 1.0f, 30.0f}) {
                std::vector<float> logits(static_cast<size_t>(vocab));
                for (float& value : logits) value = (float(random() >> 8) * 0x1p-24f - 0.5f) * spread;
                std::vector<int32_t> mask(size_t((vocab + 31) / 32), 0x7fffffff);
                int64_t banned = 0, count = vocab > 2, token = vocab > 1;
                for (double drawn : {0.0, 0.5, 0.9999999999999999}) {
                    int64_t id = rwkv_sampler_choose(sampler, logits.data(), vocab, mask.data(),
                                                     &banned, count, drawn);
                    bool wrong = id < 0 || id >= vocab || id % 32 == 31 || (count && id == 0) ||
                                 (forbids && id == last);
                    if (wrong) return std::printf("%d of %d\n", int(id), int(vocab)), 1;
                    std::printf("%d ", int(id));
                }
                std::vector<int64_t> ids(20);
                std::vector<float> best(20);
                float logprob;
                int64_t most = vocab - forbids < 20 ? vocab - forbids : 20;
                int finite = rwkv_score(logits.data(), 1, vocab, &last, forbids, &token, most,
                                        &logprob, ids.data(), best.data());
                bool good = finite && logprob <= 1e-5f && best[0] >= logprob;
                if (!good) return std::printf("likelihood %g\n", double(logprob)), 1;
            }
            rwkv_sampler_free(sampler);
        }
    }
    std::printf("\n");
    return 0;
}
