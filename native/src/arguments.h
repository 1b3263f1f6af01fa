// Arguments of JS calls, checked. Each reader throws a TypeError-like failure (EINVAL) and returns nullopt when the
// argument is not what is needed, so that wrong calls from JS can never reach libbpf.
#pragma once

#include <napi.h>

#include <optional>
#include <string>

namespace hotspan {

std::optional<std::string> StringArgument(const Napi::CallbackInfo &info, size_t index, const char *name);
std::optional<bool> BoolArgument(const Napi::CallbackInfo &info, size_t index, const char *name);
// A whole number from 0 to `max`.
std::optional<uint64_t> CountArgument(const Napi::CallbackInfo &info, size_t index, const char *name, uint64_t max);

struct Bytes {
    uint8_t *data;
    size_t size;
};
// A Uint8Array (or Buffer); its memory is JS's.
std::optional<Bytes> BytesArgument(const Napi::CallbackInfo &info, size_t index, const char *name);

// Fields of an object argument. A missing or wrong one gives the fallback.
std::string StringField(const Napi::Object &object, const char *name);
double NumberField(const Napi::Object &object, const char *name, double fallback);
bool BoolField(const Napi::Object &object, const char *name);

} // namespace hotspan
