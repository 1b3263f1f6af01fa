// The map methods of NativeObject; see bpf-object.h.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "arguments.h"
#include "bpf-object.h"

namespace hotspan {

bpf_map *BpfObject::FindMap(Napi::Env env, State state, const char *operation, const std::string &name) {
    if (!Require(env, state, operation, name))
        return nullptr;
    bpf_map *map = bpf_object__find_map_by_name(object_, name.c_str());
    if (!map)
        Throw(env, {operation, name, ENOENT, "the object has no map of that name", ""});
    return map;
}

bpf_map *BpfObject::LoadedMap(Napi::Env env, const char *operation, const std::string &name) {
    return FindMap(env, State::loaded, operation, name);
}

Napi::Value BpfObject::Maps(const Napi::CallbackInfo &info) {
    Napi::Array maps = Napi::Array::New(info.Env());
    bpf_map *map = nullptr;
    uint32_t count = 0;
    if (!object_)
        return maps;
    bpf_object__for_each_map(map, object_) {
        Napi::Object item = Napi::Object::New(info.Env());
        item.Set("name", bpf_map__name(map));
        item.Set("type", static_cast<double>(bpf_map__type(map)));
        item.Set("keySizeBytes", static_cast<double>(bpf_map__key_size(map)));
        item.Set("valueSizeBytes", static_cast<double>(bpf_map__value_size(map)));
        item.Set("maxEntries", static_cast<double>(bpf_map__max_entries(map)));
        maps.Set(count++, item);
    }
    return maps;
}

Napi::Value BpfObject::SetMaxEntries(const Napi::CallbackInfo &info) {
    auto name = StringArgument(info, 0, "map");
    auto count = CountArgument(info, 1, "maxEntries", UINT32_MAX);
    if (!name || !count)
        return info.Env().Undefined();
    if (bpf_map *map = FindMap(info.Env(), State::opened, "setMaxEntries", *name)) {
        if (int error = bpf_map__set_max_entries(map, static_cast<__u32>(*count)))
            Throw(info.Env(), {"setMaxEntries", *name, -error, "", ""});
    }
    return info.Env().Undefined();
}

Napi::Value BpfObject::ReuseMap(const Napi::CallbackInfo &info) {
    auto name = StringArgument(info, 0, "map");
    auto from_name = StringArgument(info, 2, "fromMap");
    BpfObject *from = name && from_name ? From(info.Env(), info[1]) : nullptr;
    bpf_map *map = from ? FindMap(info.Env(), State::opened, "reuseMap", *name) : nullptr;
    bpf_map *from_map = map ? from->LoadedMap(info.Env(), "reuseMap", *from_name) : nullptr;
    if (!from_map)
        return info.Env().Undefined();
    if (int error = bpf_map__reuse_fd(map, bpf_map__fd(from_map)))
        Throw(info.Env(), {"reuseMap", *name, -error, "", ""});
    else
        reused_maps_.push_back(*name);
    return info.Env().Undefined();
}

bool BpfObject::TakeMap(Napi::Env env, const std::string &name, int map_fd) {
    bpf_map *map =
        Require(env, State::opened, "reuseMap", name) ? bpf_object__find_map_by_name(object_, name.c_str()) : nullptr;
    if (!map)
        return false;
    if (int error = bpf_map__reuse_fd(map, map_fd)) {
        Throw(env, {"reuseMap", name, -error, "", ""});
        return false;
    }
    reused_maps_.push_back(name);
    return true;
}

bool BpfObject::MapForAccess(Napi::Env env, const char *operation, const std::string &name, MapShape &shape) {
    bpf_map *map = FindMap(env, State::loaded, operation, name);
    if (!map)
        return false;
    shape.fd = bpf_map__fd(map);
    shape.type = bpf_map__type(map);
    shape.key_bytes = bpf_map__key_size(map);
    shape.value_bytes = LookupBytes(shape.type, bpf_map__value_size(map));
    shape.max_entries = bpf_map__max_entries(map);
    if (shape.fd >= 0)
        return true;
    Throw(env, {operation, name, EBADF, "the map was not created when the object was loaded", ""});
    return false;
}

static bool CheckSize(Napi::Env env, const char *operation, const std::string &map, const char *what, size_t given,
                      size_t wanted) {
    if (given == wanted)
        return true;
    Throw(env, {operation, map, EINVAL,
                "the " + std::string(what) + " has " + std::to_string(given) + " bytes, and " + std::to_string(wanted) +
                    " are needed",
                ""});
    return false;
}

Napi::Value BpfObject::MapLookup(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    auto name = StringArgument(info, 0, "map");
    auto key = name ? BytesArgument(info, 1, "key") : std::nullopt;
    MapShape map;
    if (!key || !MapForAccess(env, "lookup", *name, map) ||
        !CheckSize(env, "lookup", *name, "key", key->size, map.key_bytes))
        return env.Undefined();
    Napi::Buffer<uint8_t> value = Napi::Buffer<uint8_t>::New(env, map.value_bytes);
    int error = bpf_map_lookup_elem(map.fd, key->data, value.Data());
    if (error == -ENOENT)
        return env.Undefined();
    if (error) {
        Throw(env, {"lookup", *name, -error, "", ""});
        return env.Undefined();
    }
    return value;
}

Napi::Value BpfObject::MapUpdate(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    auto name = StringArgument(info, 0, "map");
    auto key = name ? BytesArgument(info, 1, "key") : std::nullopt;
    auto value = key ? BytesArgument(info, 2, "value") : std::nullopt;
    MapShape map;
    if (!value || !MapForAccess(env, "update", *name, map) ||
        !CheckSize(env, "update", *name, "key", key->size, map.key_bytes) ||
        !CheckSize(env, "update", *name, "value", value->size, map.value_bytes))
        return env.Undefined();
    if (int error = bpf_map_update_elem(map.fd, key->data, value->data, BPF_ANY))
        Throw(env, {"update", *name, -error, error == -E2BIG ? "the map is full" : "", ""});
    return env.Undefined();
}

Napi::Value BpfObject::MapDelete(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    auto name = StringArgument(info, 0, "map");
    auto key = name ? BytesArgument(info, 1, "key") : std::nullopt;
    MapShape map;
    if (!key || !MapForAccess(env, "delete", *name, map) ||
        !CheckSize(env, "delete", *name, "key", key->size, map.key_bytes))
        return env.Undefined();
    int error = bpf_map_delete_elem(map.fd, key->data);
    if (error && error != -ENOENT)
        Throw(env, {"delete", *name, -error, "", ""});
    return Napi::Boolean::New(env, error == 0);
}

Napi::Value BpfObject::MapEntries(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    auto name = StringArgument(info, 0, "map");
    auto is_drained = name ? BoolArgument(info, 1, "isDrained") : std::nullopt;
    MapShape map;
    if (!is_drained || !MapForAccess(env, "read entries of", *name, map))
        return env.Undefined();
    hotspan::MapEntries entries;
    if (int error = ReadEntries(map, *is_drained, entries)) {
        Throw(env, {"read entries of", *name, -error,
                    error == -EOPNOTSUPP ? "this type of map has no entries that can be deleted" : "", ""});
        return env.Undefined();
    }
    Napi::Object result = Napi::Object::New(env);
    result.Set("keys", Napi::Buffer<uint8_t>::Copy(env, entries.keys.data(), entries.keys.size()));
    result.Set("values", Napi::Buffer<uint8_t>::Copy(env, entries.values.data(), entries.values.size()));
    result.Set("count", static_cast<double>(entries.count));
    return result;
}

// What the kernel charges for a map: "memlock:" of its fdinfo, in bytes. 0 where it does not say.
static double ChargedBytes(int map_fd) {
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", map_fd);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    char line[256];
    unsigned long long bytes = 0;
    while (fgets(line, sizeof(line), file) && sscanf(line, "memlock: %llu", &bytes) != 1) {
    }
    fclose(file);
    return static_cast<double>(bytes);
}

Napi::Value BpfObject::MapBytes(const Napi::CallbackInfo &info) {
    double bytes = 0;
    bpf_map *map = nullptr;
    if (!Require(info.Env(), State::loaded, "mapBytes", file_))
        return info.Env().Undefined();
    bpf_object__for_each_map(map, object_) {
        bool is_reused = std::find(reused_maps_.begin(), reused_maps_.end(), bpf_map__name(map)) != reused_maps_.end();
        if (!is_reused && bpf_map__fd(map) >= 0)
            bytes += ChargedBytes(bpf_map__fd(map));
    }
    return Napi::Number::New(info.Env(), bytes);
}

} // namespace hotspan
