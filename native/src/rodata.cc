// Sets constants through BTF; see rodata.h.
#include "rodata.h"

#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include <cerrno>
#include <cstring>

namespace hotspan {

// The map of a section: libbpf names it after the object and the section, "exec.bpf.rodata".
static bpf_map *SectionMap(bpf_object *object, const char *section) {
    bpf_map *map = nullptr;
    bpf_object__for_each_map(map, object) {
        std::string name = bpf_map__name(map);
        size_t length = strlen(section);
        if (name.size() >= length && name.compare(name.size() - length, length, section) == 0)
            return map;
    }
    return nullptr;
}

static bool DoesFit(Integer value, size_t size_bytes) {
    if (size_bytes == 8)
        return true;
    uint64_t limit = uint64_t{1} << (size_bytes * 8);
    if (value.is_negative)
        return static_cast<int64_t>(value.bits) >= -static_cast<int64_t>(limit / 2);
    return value.bits < limit;
}

static int Write(bpf_map *map, const btf_var_secinfo &place, Integer value, std::string &detail) {
    if (place.size != 1 && place.size != 2 && place.size != 4 && place.size != 8) {
        detail = "only whole numbers of 1, 2, 4 or 8 bytes can be set, and this one has " + std::to_string(place.size);
        return -EINVAL;
    }
    if (!DoesFit(value, place.size)) {
        detail = "the value does not fit into " + std::to_string(place.size) + " bytes";
        return -ERANGE;
    }
    size_t size = 0;
    auto *bytes = static_cast<uint8_t *>(const_cast<void *>(bpf_map__initial_value(map, &size)));
    if (!bytes || place.offset > size || place.size > size - place.offset)
        return -EINVAL;
    // Both are little endian: BPF objects are built for the machine that they run on, and big endian ones are not.
    memcpy(bytes + place.offset, &value.bits, place.size);
    return 0;
}

int SetConstant(bpf_object *object, const std::string &variable, Integer value, std::string &detail) {
    const btf *types = bpf_object__btf(object);
    bpf_map *map = SectionMap(object, ".rodata");
    int section = types ? btf__find_by_name_kind(types, ".rodata", BTF_KIND_DATASEC) : -1;
    if (map && section > 0) {
        const btf_type *type = btf__type_by_id(types, static_cast<__u32>(section));
        const btf_var_secinfo *places = btf_var_secinfos(type);
        for (int i = 0; i < btf_vlen(type); i++) {
            const btf_type *declared = btf__type_by_id(types, places[i].type);
            if (declared && variable == btf__name_by_offset(types, declared->name_off))
                return Write(map, places[i], value, detail);
        }
    }
    detail = "the object has no constant of that name";
    return -ENOENT;
}

} // namespace hotspan
