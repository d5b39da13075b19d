// One step of a native model, for where no Python runs: step CHECKPOINT ISA THREADS STEP ANSWER.
//
// CHECKPOINT: a line of generation, format, six sizes and the number of tensors; for each a line of
// name, rows and columns, and its float32 values. STEP: a line of whether logits of every token are
// wanted, rows, tokens, and the floats of a row of each part of the state; then lengths, tokens
// (int64) and the state's parts, [layers][rows][floats]. ANSWER: logits, and the state afterwards.
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

struct Handle;
extern "C" {
Handle* rwkv_new(const char*, const int64_t*, const char*, const char*, int);
const char* rwkv_put(Handle*, const char*, const void*, int, int64_t, int64_t);
const char* rwkv_ready(Handle*);
const char* rwkv_available();
void rwkv_forward(Handle*, const int64_t*, const int64_t*, int64_t, float*, float*, float*,
                  const int64_t*, float*, int);
}

namespace {

void check(const char* said) {
    if (!said) return;
    std::cerr << said << "\n";
    std::exit(1);
}

template <class T>
std::vector<T> read(std::ifstream& from, int64_t count) {
    std::vector<T> values(static_cast<size_t>(count));
    from.read(reinterpret_cast<char*>(values.data()), std::streamsize(values.size() * sizeof(T)));
    if (!from) check("a file is too short");
    return values;
}

void write(std::ofstream& to, const std::vector<float>& values) {
    to.write(reinterpret_cast<const char*>(values.data()), std::streamsize(values.size() * 4));
}

}  // namespace

int main(int count, char** arguments) {
    if (count == 1) return std::cout << rwkv_available() << "\n", 0;
    std::ifstream checkpoint(arguments[1], std::ios::binary), step(arguments[4], std::ios::binary);
    std::string generation, format, name;
    int64_t sizes[6], tensors, rows, cols;
    checkpoint >> generation >> format;
    for (int64_t& size : sizes) checkpoint >> size;
    checkpoint >> tensors;
    Handle* model = rwkv_new(generation.c_str(), sizes, format.c_str(), arguments[2],
                             std::atoi(arguments[3]));
    if (!model) check("there is no such instruction set");
    for (int64_t i = 0; i < tensors; ++i) {
        checkpoint >> name >> rows >> cols;
        checkpoint.get();
        check(rwkv_put(model, name.c_str(), read<float>(checkpoint, rows * cols).data(), 0, rows,
                       cols));
    }
    check(rwkv_ready(model));

    int64_t every, batch, total, row[3], strides[6];
    step >> every >> batch >> total >> row[0] >> row[1] >> row[2];
    step.get();
    auto lengths = read<int64_t>(step, batch), tokens = read<int64_t>(step, total);
    std::vector<float> state[3];
    for (int i = 0; i < 3; ++i) {
        strides[2 * i] = batch * row[i];
        strides[2 * i + 1] = row[i];
        state[i] = read<float>(step, sizes[0] * batch * row[i]);
    }
    std::vector<float> logits(size_t((every ? total : batch) * sizes[5]));
    rwkv_forward(model, tokens.data(), lengths.data(), batch, state[0].data(), state[1].data(),
                 state[2].data(), strides, logits.data(), int(every));
    std::ofstream answer(arguments[5], std::ios::binary);
    write(answer, logits);
    for (const auto& part : state) write(answer, part);
    return answer ? 0 : 1;
}
