// Reading and draining BPF maps. No JS here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace hotspan {

// What is needed to talk to a map. `value_bytes` is what one lookup returns: for a per-CPU map one value per possible
// CPU, each rounded up to 8 bytes.
struct MapShape {
    int fd = -1;
    unsigned type = 0;
    size_t key_bytes = 0;
    size_t value_bytes = 0;
    size_t max_entries = 0;
};

struct MapEntries {
    std::vector<uint8_t> keys;
    std::vector<uint8_t> values;
    size_t count = 0;
};

// Bytes of one lookup in a map of this type and value size.
size_t LookupBytes(unsigned type, size_t value_bytes);

// All entries; with `is_drained` they are deleted as they are read. By batch where the kernel can, else one by one.
// Returns 0 or a negative errno; -EOPNOTSUPP for draining a map whose entries cannot be deleted (arrays).
int ReadEntries(const MapShape &map, bool is_drained, MapEntries &entries);

} // namespace hotspan
