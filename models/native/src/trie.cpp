// The longest entry of a vocabulary at each place of a text, by a trie over bytes.
//
// Nodes are numbered level by level, so that the children of a node follow one another, sorted by
// their byte, and those of the next node follow them: a first child, a byte and an id for each.
#include <algorithm>
#include <cstdint>
#include <new>
#include <vector>

#define API extern "C" __attribute__((visibility("default")))

namespace rwkv {
namespace {

constexpr int32_t NONE = -1;

// Entries [first, last) of the sorted vocabulary, which agree in their first `depth` bytes.
struct Range {
    int64_t first, last, depth;
};

struct Entries {
    const uint8_t* bytes;
    const int64_t* ends;  // one more than there are entries; the first is 0

    int64_t length(int64_t entry) const { return ends[entry + 1] - ends[entry]; }
    uint8_t at(int64_t entry, int64_t place) const { return bytes[ends[entry] + place]; }
};

struct Trie {
    std::vector<int32_t> children;  // [nodes + 1] where the children of a node start
    std::vector<uint8_t> label;     // [nodes] the byte that leads to a node
    std::vector<int32_t> id;        // [nodes] of the entry that ends there, or NONE
    int32_t starts[256];            // the root's children by their byte, or NONE

    Trie(const Entries& entries, const int32_t* ids, int64_t count) {
        std::vector<Range> nodes = {{0, count, 0}};
        label.push_back(0);
        for (size_t node = 0; node < nodes.size(); ++node) {
            Range range = nodes[node];
            bool ends = range.first < range.last && entries.length(range.first) == range.depth;
            id.push_back(ends ? ids[range.first] : NONE);
            children.push_back(int32_t(nodes.size()));
            range.first += ends;
            branch(entries, range, nodes);
        }
        children.push_back(int32_t(nodes.size()));
        std::fill(starts, starts + 256, NONE);
        for (int32_t child = children[0]; child < children[1]; ++child) starts[label[size_t(child)]] = child;
    }

    // Appends a node for each byte that follows in the entries of `range`.
    void branch(const Entries& entries, Range range, std::vector<Range>& nodes) {
        while (range.first < range.last) {
            uint8_t byte = entries.at(range.first, range.depth);
            int64_t end = range.first + 1;
            while (end < range.last && entries.at(end, range.depth) == byte) ++end;
            nodes.push_back({range.first, end, range.depth + 1});
            label.push_back(byte);
            range.first = end;
        }
    }

    int32_t child(int32_t node, uint8_t byte) const {
        const uint8_t* first = label.data() + children[size_t(node)];
        const uint8_t* last = label.data() + children[size_t(node) + 1];
        const uint8_t* found = std::lower_bound(first, last, byte);
        return found != last && *found == byte ? int32_t(found - label.data()) : NONE;
    }

    // The id of the longest entry that `text` starts with, and its bytes; NONE and 0 without one.
    int32_t longest(const uint8_t* text, int64_t size, int64_t& bytes) const {
        int32_t best = NONE;
        bytes = 0;
        int32_t node = starts[text[0]];
        for (int64_t at = 1; node != NONE; ++at) {
            if (id[size_t(node)] != NONE) {
                best = id[size_t(node)];
                bytes = at;
            }
            node = at < size ? child(node, text[at]) : NONE;
        }
        return best;
    }
};

}  // namespace
}  // namespace rwkv

// count entries, sorted and each once: their bytes one after another, where each ends [count + 1]
// with a 0 first, and their ids, at least 0. Null where memory is short.
API rwkv::Trie* rwkv_trie_new(const uint8_t* bytes, const int64_t* ends, const int32_t* ids,
                              int64_t count) {
    try {
        return new rwkv::Trie({bytes, ends}, ids, count);
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}

API void rwkv_trie_free(rwkv::Trie* trie) { delete trie; }

// The ids of text [size] into ids [size], and how many; *end is where no entry fits, else size.
// Several threads may call this at once.
API int64_t rwkv_trie_encode(const rwkv::Trie* trie, const uint8_t* text, int64_t size,
                             int32_t* ids, int64_t* end) {
    int64_t count = 0, at = 0, bytes = 0;
    for (; at < size; at += bytes) {
        int32_t id = trie->longest(text + at, size - at, bytes);
        if (!bytes) break;
        ids[count++] = id;
    }
    *end = at;
    return count;
}
