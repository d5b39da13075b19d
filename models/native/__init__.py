"""RWKV on the CPU as one call a step into a C++ library, which is compiled with the package."""
