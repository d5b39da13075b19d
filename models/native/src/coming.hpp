// Memory that is asked for beside other work.
#pragma once

#include <cstdint>

namespace rwkv {

// Memory that will be read soon.
struct Coming {
    const char *at = nullptr, *end = nullptr;

    Coming() = default;
    Coming(const void* from, int64_t bytes)
        : at(static_cast<const char*>(from)), end(at + bytes) {}

    int64_t lines() const { return (end - at) / LINE; }
    // Asks for the next ones, which other work does not wait for.
    void ask(int lines) {
        for (; lines > 0 && at < end; --lines, at += LINE) __builtin_prefetch(at, 0, 2);
    }

private:
    static constexpr int64_t LINE = 64;  // bytes
};

}  // namespace rwkv
