// AVX-512 with VNNI and BF16.
#include "forward.hpp"

namespace rwkv {

const Kernels* avx512_kernels() {
    static const Kernels kernels = {"avx512", sizeof(Half), run_forward};
    return &kernels;
}

}  // namespace rwkv
