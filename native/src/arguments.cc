// Checks arguments; see arguments.h.
#include "arguments.h"

#include <cerrno>
#include <cmath>

#include "error.h"

namespace hotspan {

static std::nullopt_t Refuse(const Napi::CallbackInfo &info, const char *name, const std::string &wanted) {
    Throw(info.Env(), {"read argument", name, EINVAL, wanted + " is needed", ""});
    return std::nullopt;
}

std::optional<std::string> StringArgument(const Napi::CallbackInfo &info, size_t index, const char *name) {
    if (!info[index].IsString())
        return Refuse(info, name, "a string");
    return info[index].As<Napi::String>().Utf8Value();
}

std::optional<bool> BoolArgument(const Napi::CallbackInfo &info, size_t index, const char *name) {
    if (!info[index].IsBoolean())
        return Refuse(info, name, "true or false");
    return info[index].As<Napi::Boolean>().Value();
}

std::optional<uint64_t> CountArgument(const Napi::CallbackInfo &info, size_t index, const char *name, uint64_t max) {
    double value = info[index].IsNumber() ? info[index].As<Napi::Number>().DoubleValue() : -1;
    if (!(value >= 0) || value > static_cast<double>(max) || value != std::floor(value))
        return Refuse(info, name, "a whole number from 0 to " + std::to_string(max));
    return static_cast<uint64_t>(value);
}

std::optional<Bytes> BytesArgument(const Napi::CallbackInfo &info, size_t index, const char *name) {
    if (!info[index].IsTypedArray() || info[index].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array)
        return Refuse(info, name, "a Uint8Array");
    Napi::Uint8Array array = info[index].As<Napi::Uint8Array>();
    return Bytes{array.Data(), array.ByteLength()};
}

std::string StringField(const Napi::Object &object, const char *name) {
    Napi::Value value = object.Get(name);
    return value.IsString() ? value.As<Napi::String>().Utf8Value() : "";
}

double NumberField(const Napi::Object &object, const char *name, double fallback) {
    Napi::Value value = object.Get(name);
    return value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : fallback;
}

bool BoolField(const Napi::Object &object, const char *name) {
    Napi::Value value = object.Get(name);
    return value.IsBoolean() && value.As<Napi::Boolean>().Value();
}

} // namespace hotspan
