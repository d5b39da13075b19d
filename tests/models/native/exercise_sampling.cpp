// The sampler and the likelihoods through the native library's C interface, for sanitizers.
//
// Every option over vocabularies of awkward sizes, with flat, peaked and forbidden logits, all of them
// at once on the threads of two teams that work at the same time, and one by one. Prints the ids that
// are chosen, the same on every processor. Exits with 1 and a line where an id is chosen that may not
// be, where threads change it, or where a likelihood is no number below 0.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <thread>
#include <vector>

extern "C" {
struct Choice {
    void* sampler;
    const float* logits;
    int64_t vocab;
    const int32_t* mask;
    const int64_t* banned;
    int64_t banned_count;
    double random;
    int64_t token;
};

void* rwkv_team_new(int);
void rwkv_team_free(void*);
void* rwkv_sampler_new(const double*, const int64_t*, const double*, int64_t, const int64_t*,
                       int64_t);
void rwkv_sampler_free(void*);
int rwkv_choose(void*, Choice*, int64_t);
int rwkv_score(void*, const float* const*, int64_t, int64_t, const int64_t*, int64_t, const int64_t*,
               int64_t, float*, int64_t*, float*);
}

namespace {

const double OPTIONS[][9] = {
    {0, 1, 0, 0, 1, 0, 0, 1, 1},         {1, 1, 0, 0, 1, 0, 0, 1, 1},
    {0.7, 0.5, 0, 0, 1, 0, 0, 1, 1},     {1.5, 1, 3, 0, 1, 0.3, 0.2, 1.1, 0.9},
    {1, 0.9, 40, 0.05, 0.9, 0, 0, 1, 1}, {1e-300, 0, 7, 2, 0, -1, 1, 0.5, 0},
};
const double DRAWN[] = {0.0, 0.5, 0.9999999999999999};

[[noreturn]] void fail(const char* what, double value) {
    std::printf("%s: %g\n", what, value);
    std::exit(1);
}

std::vector<float> logits_of(int64_t vocab, float spread) {
    std::mt19937 random(static_cast<uint32_t>(vocab));
    std::vector<float> logits(static_cast<size_t>(vocab));
    for (float& value : logits) value = (float(random() >> 8) * 0x1p-24f - 0.5f) * spread;
    return logits;
}

// Of every option, by what is drawn; the last id is forbidden and the first banned, where there are
// others.
std::vector<int64_t> chosen(void* team, int64_t vocab) {
    int64_t last = vocab - 1, banned = 0, count = vocab > 2;
    double bias = 3;
    std::vector<int64_t> found;
    std::vector<void*> samplers;
    for (const double* of : OPTIONS)
        samplers.push_back(rwkv_sampler_new(of, &last, &bias, 1, &last, count));
    std::vector<int32_t> mask(size_t((vocab + 31) / 32), 0x7fffffff);
    for (float spread : {0.0f, 1.0f, 30.0f}) {
        std::vector<float> logits = logits_of(vocab, spread);
        for (double drawn : DRAWN) {
            std::vector<Choice> choices;
            for (void* sampler : samplers)
                choices.push_back({sampler, logits.data(), vocab, mask.data(), &banned, count, drawn, 0});
            int64_t at_once = team ? int64_t(choices.size()) : 1;
            for (size_t i = 0; i < choices.size(); i += size_t(at_once))
                if (!rwkv_choose(team, &choices[i], at_once)) fail("no memory", double(vocab));
            for (const Choice& one : choices) {
                int64_t id = one.token;
                if (id < 0 || id >= vocab || id % 32 == 31 || (count && (id == 0 || id == last)))
                    fail("chosen", double(id));
                found.push_back(id);
            }
        }
    }
    for (void* sampler : samplers) rwkv_sampler_free(sampler);
    return found;
}

void score(void* team, int64_t vocab) {
    int64_t last = vocab - 1, forbids = vocab > 2;
    int64_t most = vocab - forbids < 20 ? vocab - forbids : 20;
    std::vector<std::vector<float>> logits;
    for (float spread : {0.0f, 1.0f, 30.0f, 0.1f}) logits.push_back(logits_of(vocab, spread));
    std::vector<const float*> rows;
    for (const std::vector<float>& one : logits) rows.push_back(one.data());
    std::vector<int64_t> tokens(rows.size(), vocab > 1), ids(rows.size() * 20);
    std::vector<float> best(rows.size() * 20), logprobs(rows.size());
    rwkv_score(team, rows.data(), int64_t(rows.size()), vocab, &last, forbids, tokens.data(), most,
               logprobs.data(), ids.data(), best.data());
    for (size_t i = 0; i < rows.size(); ++i)
        if (!(logprobs[i] <= 1e-5f && best[i * size_t(most)] >= logprobs[i]))
            fail("likelihood", double(logprobs[i]));
}

void exercise(void* team, bool prints) {
    for (int64_t vocab : {1, 2, 31, 33, 1000, 65536}) {
        std::vector<int64_t> found = chosen(team, vocab);
        if (found != chosen(nullptr, vocab)) fail("threads change what is chosen of", double(vocab));
        for (int64_t id : found)
            if (prints) std::printf("%d ", int(id));
        score(team, vocab);
    }
}

}  // namespace

int main() {
    void* teams[] = {rwkv_team_new(3), rwkv_team_new(2)};
    std::thread other([&] { exercise(teams[1], false); });
    exercise(teams[0], true);
    other.join();
    for (void* team : teams) rwkv_team_free(team);
    std::printf("\n");
    return 0;
}
