// AVX2 and FMA.
#include "forward.hpp"

namespace rwkv {

const Kernels* avx2_kernels() {
    static const Kernels kernels = {"avx2", sizeof(Half), run_forward};
    return &kernels;
}

}  // namespace rwkv
