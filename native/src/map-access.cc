// Reads maps by batch; see map-access.h.
#include "map-access.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include <algorithm>
#include <cerrno>

namespace hotspan {

static bool IsPerCpu(unsigned type) {
    return type == BPF_MAP_TYPE_PERCPU_ARRAY || type == BPF_MAP_TYPE_PERCPU_HASH ||
           type == BPF_MAP_TYPE_LRU_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE;
}

static bool IsArray(unsigned type) {
    return type == BPF_MAP_TYPE_ARRAY || type == BPF_MAP_TYPE_PERCPU_ARRAY;
}

size_t LookupBytes(unsigned type, size_t value_bytes) {
    if (!IsPerCpu(type))
        return value_bytes;
    int cpus = libbpf_num_possible_cpus();
    return (value_bytes + 7) / 8 * 8 * static_cast<size_t>(cpus > 0 ? cpus : 1);
}

// Room for `count` more entries behind those that are there.
static void Grow(const MapShape &map, MapEntries &entries, size_t count) {
    entries.keys.resize((entries.count + count) * map.key_bytes);
    entries.values.resize((entries.count + count) * map.value_bytes);
}

// Returns -EOPNOTSUPP, with nothing read, where the kernel cannot do this kind of map by batch.
static int ReadByBatch(const MapShape &map, bool is_drained, MapEntries &entries) {
    // The kernel's place in the map: a bucket's number for hash maps, a key for arrays.
    std::vector<uint8_t> place(std::max<size_t>(map.key_bytes, 8));
    bool is_first = true;
    // A hash map wants room for all that is in one bucket, so a chunk too small is answered by ENOSPC and then doubled.
    size_t chunk = std::clamp<size_t>(map.max_entries, 1, 4096);
    while (true) {
        Grow(map, entries, chunk);
        uint8_t *keys = entries.keys.data() + entries.count * map.key_bytes;
        uint8_t *values = entries.values.data() + entries.count * map.value_bytes;
        __u32 count = static_cast<__u32>(chunk);
        void *in = is_first ? nullptr : place.data();
        int result = is_drained
                         ? bpf_map_lookup_and_delete_batch(map.fd, in, place.data(), keys, values, &count, nullptr)
                         : bpf_map_lookup_batch(map.fd, in, place.data(), keys, values, &count, nullptr);
        int error = result < 0 ? -result : 0;
        if (error == ENOSPC && chunk < map.max_entries) {
            chunk = std::min(chunk * 2, map.max_entries);
            continue;
        }
        // ENOTSUPP (524) is the kernel's own number, which leaks out of the map operations.
        if (error && error != ENOENT)
            return is_first && (error == EINVAL || error == EOPNOTSUPP || error == 524) ? -EOPNOTSUPP : -error;
        entries.count += count;
        is_first = false;
        if (error == ENOENT)
            return 0;
        // A batch that brings nothing and is not the last would go on for ever.
        if (count == 0)
            return 0;
    }
}

// Reads one entry into the place behind the last; 0, or a negative errno.
static int ReadOne(const MapShape &map, bool is_drained, const uint8_t *key, MapEntries &entries) {
    Grow(map, entries, 1);
    uint8_t *value = entries.values.data() + entries.count * map.value_bytes;
    int error = -EINVAL;
    // 5.14 and later for hash maps. Before, a value may be changed between the two calls, and that change is lost.
    if (is_drained)
        error = bpf_map_lookup_and_delete_elem(map.fd, key, value);
    if (!is_drained || error == -EINVAL || error == -EOPNOTSUPP || error == -524) {
        error = bpf_map_lookup_elem(map.fd, key, value);
        if (!error && is_drained)
            error = bpf_map_delete_elem(map.fd, key);
    }
    if (error)
        return error;
    std::copy(key, key + map.key_bytes, entries.keys.data() + entries.count * map.key_bytes);
    entries.count++;
    return 0;
}

static int ReadOneByOne(const MapShape &map, bool is_drained, MapEntries &entries) {
    std::vector<uint8_t> key(map.key_bytes), next(map.key_bytes);
    bool has_key = false;
    // Where a key is deleted under us the kernel starts again from the front: the bound keeps this from going on for
    // ever.
    for (size_t i = 0; i < 2 * map.max_entries; i++) {
        int error = bpf_map_get_next_key(map.fd, has_key ? key.data() : nullptr, next.data());
        if (error == -ENOENT)
            return 0;
        if (error)
            return error;
        error = ReadOne(map, is_drained, next.data(), entries);
        // ENOENT: deleted by a program since we were told of it.
        if (error && error != -ENOENT)
            return error;
        has_key = !is_drained;
        key.swap(next);
    }
    return 0;
}

int ReadEntries(const MapShape &map, bool is_drained, MapEntries &entries) {
    if (is_drained && IsArray(map.type))
        return -EOPNOTSUPP;
    int error = ReadByBatch(map, is_drained, entries);
    if (error == -EOPNOTSUPP)
        error = ReadOneByOne(map, is_drained, entries);
    entries.keys.resize(entries.count * map.key_bytes);
    entries.values.resize(entries.count * map.value_bytes);
    return error;
}

} // namespace hotspan
