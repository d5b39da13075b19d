// The encoder through the native library's C interface, for sanitizers.
//
// Vocabularies of random short entries, and texts that they fit wholly, partly or not at all. Prints
// how many ids were found. Exits with 1 and a line where the ids do not spell the text.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

extern "C" {
void* rwkv_trie_new(const uint8_t*, const int64_t*, const int32_t*, int64_t);
void rwkv_trie_free(void*);
int64_t rwkv_trie_encode(const void*, const uint8_t*, int64_t, int32_t*, int64_t*);
}

std::mt19937 source(1);

std::string random_text(size_t size, unsigned letters) {
    std::string text(size, 0);
    for (char& letter : text) letter = char(source() % letters);
    return text;
}

int main() {
    for (unsigned letters : {1u, 3u, 256u}) {
        for (size_t count : {0, 1, 7, 5000}) {
            std::vector<std::string> entries;
            for (size_t i = 0; i < count; ++i) entries.push_back(random_text(1 + source() % 9, letters));
            auto before = [](const std::string& a, const std::string& b) {
                return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end(),
                                                    [](char x, char y) { return uint8_t(x) < uint8_t(y); });
            };
            std::sort(entries.begin(), entries.end(), before);
            entries.erase(std::unique(entries.begin(), entries.end()), entries.end());
            std::string bytes;
            std::vector<int64_t> ends = {0};
            std::vector<int32_t> ids;
            for (const std::string& entry : entries) {
                bytes += entry;
                ends.push_back(int64_t(bytes.size()));
                ids.push_back(int32_t(ids.size()));
            }
            auto data = [](const std::string& text) {
                return reinterpret_cast<const uint8_t*>(text.data());
            };
            void* trie = rwkv_trie_new(data(bytes), ends.data(), ids.data(), int64_t(ids.size()));
            for (size_t size : {0, 1, 2, 1000}) {
                std::string text = random_text(size, letters), spelled;
                std::vector<int32_t> found(size);
                int64_t end = -1;
                int64_t number = rwkv_trie_encode(trie, data(text), int64_t(size), found.data(), &end);
                for (int64_t i = 0; i < number; ++i) spelled += entries[size_t(found[size_t(i)])];
                if (spelled != text.substr(0, size_t(end)))
                    return std::printf("%zu entries do not spell the text\n", entries.size()), 1;
                std::printf("%d ", int(number));
            }
            rwkv_trie_free(trie);
        }
    }
    std::printf("\n");
}
