// AVX-512 as in isa_avx512.cpp, and matrices in tiles of AMX.
#include "forward.hpp"

namespace rwkv {
namespace {

void forward(const Model& model, const Pass& pass, int thread, Team& team) {
    run_forward(model, pass, thread, team);
    _tile_release();  // so that the system has no tiles to keep when it takes the core away
}

}  // namespace

const Kernels* amx_kernels() {
    static const Kernels kernels = {"amx", sizeof(Half), forward};
    return &kernels;
}

}  // namespace rwkv
