// Which tensors each generation has, by their official names, and where they go.
#pragma once

#include <string>
#include <vector>

#include "model.hpp"

namespace rwkv {

// A vector of the width, or of one value for each head where those are as many.
struct VectorPlace {
    const char* name;  // after "blocks.i."
    float*& (*of)(Layer&);
    float (*prepare)(float) = nullptr;  // what is kept of a value
    bool from_layer_1 = false;          // layer 0 has no use for it
};

enum Side { WIDTH, FFN, RANK };  // RANK is whatever is found

// `parts` matrices that lie side by side along their rank.
struct MatrixPlace {
    const char* name;
    Matrix* (*of)(Layer&);
    Side rows, cols;
    int input = INPUTS;  // what it is multiplied by, where that is a mixture
    bool turned = false;  // stored as [inputs][outputs]; those stay bf16: small, and suffer most
    int parts = 1;
    bool from_layer_1 = false;
};

struct Generation {
    const char* name;  // 4, 5.0, 5.1, 5.2, 6 or 7
    Family family;
    std::vector<VectorPlace> vectors;
    std::vector<MatrixPlace> matrices;  // the first of a low rank is followed by the second
};

// Null for another name.
const Generation* find_generation(const std::string& name);

}  // namespace rwkv
