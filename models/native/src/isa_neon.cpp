// ARMv8.2 with dot products.
#include "forward.hpp"

namespace rwkv {

const Kernels* neon_kernels() {
    static const Kernels kernels = {"neon", sizeof(Half), run_forward};
    return &kernels;
}

}  // namespace rwkv
