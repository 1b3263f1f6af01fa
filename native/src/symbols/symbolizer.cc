/** Methods of the symbolizer: checks arguments, calls the engine, makes JS values. */
#include "symbolizer.h"

#include <cerrno>
#include <cstring>

#include "../error.h"
#include "describer.h"
#include "symbol-search.h"

namespace hotspan {
namespace {

using symbols::Describer;
using Handle = std::shared_ptr<Describer>;

// Stacks have at most 1,024 frames; the rest is room for callers that put many into one call.
constexpr size_t maxAddresses = 65536;

void throwInvalid(Napi::Env env, const char *operation, const char *detail) {
    Throw(env, {operation, "argument", EINVAL, detail, ""});
}

bool isBytes(const Napi::Value &value) {
    return value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array;
}

Napi::Value locate(const Handle &handle, const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    if (info.Length() < 3 || !info[0].IsNumber() || !isBytes(info[1]) || !info[2].IsBoolean()) {
        throwInvalid(env, "locate", "a pid, a Uint8Array of addresses and a boolean are needed");
        return env.Undefined();
    }
    auto bytes = info[1].As<Napi::Uint8Array>();
    size_t count = bytes.ByteLength() / sizeof(uint64_t);
    if (count > maxAddresses) {
        throwInvalid(env, "locate", "at most 65,536 addresses in one call");
        return env.Undefined();
    }
    // Views into a batch stand at any offset: copy them to where 64-bit numbers may be read.
    static thread_local std::vector<uint64_t> addresses;
    addresses.resize(count);
    if (count > 0) {
        memcpy(addresses.data(), bytes.Data(), count * sizeof(uint64_t));
    }
    Napi::Uint32Array ids = Napi::Uint32Array::New(env, count);
    handle->locate(info[0].As<Napi::Number>().Int32Value(), addresses, info[2].As<Napi::Boolean>().Value(), ids.Data());
    return ids;
}

Napi::Value describe(const Handle &handle, const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    if (info.Length() < 1 || !info[0].IsTypedArray() ||
        info[0].As<Napi::TypedArray>().TypedArrayType() != napi_uint32_array) {
        throwInvalid(env, "describe", "a Uint32Array of ids is needed");
        return env.Undefined();
    }
    auto ids = info[0].As<Napi::Uint32Array>();
    return handle->describe(env, std::vector<uint32_t>(ids.Data(), ids.Data() + ids.ElementLength()));
}

int pidArgument(const Napi::CallbackInfo &info) {
    return info.Length() > 0 && info[0].IsNumber() ? info[0].As<Napi::Number>().Int32Value() : 0;
}

/** Reads (path or pattern, limit) off the end of the arguments. */
bool takeLimit(const Napi::CallbackInfo &info, size_t index, size_t &limit) {
    if (info.Length() <= index || !info[index].IsNumber()) {
        return false;
    }
    double value = info[index].As<Napi::Number>().DoubleValue();
    limit = value < 0 ? 0 : static_cast<size_t>(std::min(value, 1e7));
    return true;
}

Napi::Value imageBuildId(const Handle &self, const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    if (info.Length() < 4 || !info[0].IsNumber() || !info[1].IsNumber() || !info[2].IsString() || !info[3].IsBigInt()) {
        throwInvalid(env, "read the build id", "a process, its parent, a path and an inode are needed");
        return env.Undefined();
    }
    bool isLossless = false;
    std::optional<std::string> buildId = self->engine().imageBuildId(
        {info[0].As<Napi::Number>().Int32Value(), info[1].As<Napi::Number>().Int32Value(),
         info[2].As<Napi::String>().Utf8Value(), info[3].As<Napi::BigInt>().Uint64Value(&isLossless)});
    return buildId ? Napi::Value(Napi::String::New(env, *buildId)) : env.Undefined();
}

Napi::Value findSymbols(const Handle &, const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    size_t limit = 0;
    if (info.Length() < 3 || !info[0].IsString() || !info[1].IsString() || !takeLimit(info, 2, limit)) {
        throwInvalid(env, "find symbols", "a path, a pattern and a limit are needed");
        return env.Undefined();
    }
    std::string path = info[0].As<Napi::String>().Utf8Value();
    symbols::ProbeTargets found = symbols::findProbeTargets(path, info[1].As<Napi::String>().Utf8Value(), limit);
    if (found.error != 0) {
        const char *detail = found.error == ENOEXEC ? "it is not an ELF file"
                             : found.error == EBADMSG
                                 ? "its headers tell of more than it holds: it was cut short, or is damaged"
                                 : "";
        Throw(env, {"find symbols", path, found.error, detail, ""});
        return env.Undefined();
    }
    Napi::Array array = Napi::Array::New(env, found.targets.size());
    for (size_t i = 0; i < found.targets.size(); i++) {
        Napi::HandleScope scope(env);
        const symbols::ProbeTarget &target = found.targets[i];
        Napi::Object object = Napi::Object::New(env);
        object.Set("name", target.name);
        object.Set("offset", Napi::Number::New(env, static_cast<double>(target.fileOffset)));
        object.Set("sizeBytes", Napi::Number::New(env, static_cast<double>(target.sizeBytes)));
        object.Set("isGo", target.isGo);
        Napi::Array returns = Napi::Array::New(env, target.returnOffsets.size());
        for (size_t r = 0; r < target.returnOffsets.size(); r++) {
            returns.Set(static_cast<uint32_t>(r), Napi::Number::New(env, static_cast<double>(target.returnOffsets[r])));
        }
        object.Set("returnOffsets", returns);
        array.Set(static_cast<uint32_t>(i), object);
    }
    return array;
}

Napi::Value findKernelFunctions(const Handle &handle, const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    size_t limit = 0;
    if (info.Length() < 2 || !info[0].IsString() || !takeLimit(info, 1, limit)) {
        throwInvalid(env, "find kernel functions", "a pattern and a limit are needed");
        return env.Undefined();
    }
    auto table = handle->engine().kernel().newestTable();
    auto functions = symbols::findKernelFunctions(*table, info[0].As<Napi::String>().Utf8Value(), limit);
    Napi::Array array = Napi::Array::New(env, functions.size());
    for (size_t i = 0; i < functions.size(); i++) {
        Napi::HandleScope scope(env);
        Napi::Object object = Napi::Object::New(env);
        object.Set("name", functions[i].name);
        object.Set("address", Napi::BigInt::New(env, functions[i].address));
        array.Set(static_cast<uint32_t>(i), object);
    }
    return array;
}

Napi::Value memory(const Handle &handle, const Napi::CallbackInfo &info) {
    symbols::MemoryUse use = handle->engine().memory();
    Napi::Object object = Napi::Object::New(info.Env());
    object.Set("processes", Napi::Number::New(info.Env(), static_cast<double>(use.processes)));
    object.Set("modules", Napi::Number::New(info.Env(), static_cast<double>(use.modules)));
    object.Set("locations", Napi::Number::New(info.Env(), static_cast<double>(use.locations)));
    object.Set("bytes", Napi::Number::New(info.Env(), static_cast<double>(use.bytes)));
    return object;
}

Napi::Value missingDebugFiles(const Handle &handle, const Napi::CallbackInfo &info) {
    std::vector<std::string> buildIds = handle->engine().takeMissingDebug();
    Napi::Array array = Napi::Array::New(info.Env(), buildIds.size());
    for (size_t i = 0; i < buildIds.size(); i++) {
        array.Set(static_cast<uint32_t>(i), buildIds[i]);
    }
    return array;
}

Napi::Value addDebugFile(const Handle &handle, const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    if (info.Length() < 2 || !info[0].IsString() || !info[1].IsString()) {
        throwInvalid(env, "add a debug file", "a build id and a path are needed");
        return env.Undefined();
    }
    handle->engine().addDebugFile(info[0].As<Napi::String>().Utf8Value(), info[1].As<Napi::String>().Utf8Value());
    return env.Undefined();
}

/** A method that throws once the symbolizer is closed. */
template <typename Method> void addMethod(Napi::Object &object, const char *name, const Handle &handle, Method method) {
    auto call = [handle, method, name](const Napi::CallbackInfo &info) -> Napi::Value {
        if (handle->isClosed()) {
            Throw(info.Env(), {name, "symbolizer", ECANCELED, "the symbolizer was closed", ""});
            return info.Env().Undefined();
        }
        return method(handle, info);
    };
    object.Set(name, Napi::Function::New(object.Env(), call, name));
}

Napi::Value createSymbolizer(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    Napi::Value maxBytes =
        info.Length() > 0 && info[0].IsObject() ? info[0].As<Napi::Object>().Get("maxBytes") : env.Undefined();
    if (!maxBytes.IsNumber() || !(maxBytes.As<Napi::Number>().DoubleValue() >= 1 << 20)) {
        throwInvalid(env, "create symbolizer", "maxBytes of at least 1 MiB is needed");
        return env.Undefined();
    }
    Handle handle =
        Describer::create(env, static_cast<size_t>(std::min(maxBytes.As<Napi::Number>().DoubleValue(), 1e12)));
    Napi::Object object = Napi::Object::New(env);
    addMethod(object, "locate", handle, locate);
    addMethod(object, "describe", handle, describe);
    addMethod(object, "findSymbols", handle, findSymbols);
    addMethod(object, "findKernelFunctions", handle, findKernelFunctions);
    addMethod(object, "memory", handle, memory);
    addMethod(object, "processChanged", handle, [](const Handle &self, const Napi::CallbackInfo &call) -> Napi::Value {
        self->engine().processChanged(pidArgument(call));
        return call.Env().Undefined();
    });
    addMethod(object, "processExited", handle, [](const Handle &self, const Napi::CallbackInfo &call) -> Napi::Value {
        self->engine().processExited(pidArgument(call));
        return call.Env().Undefined();
    });
    addMethod(object, "executableBuildId", handle,
              [](const Handle &self, const Napi::CallbackInfo &call) -> Napi::Value {
                  return Napi::String::New(call.Env(), self->engine().executableBuildId(pidArgument(call)));
              });
    addMethod(object, "imageBuildId", handle, imageBuildId);
    addMethod(object, "missingDebugFiles", handle, missingDebugFiles);
    addMethod(object, "addDebugFile", handle, addDebugFile);
    auto close = [handle](const Napi::CallbackInfo &call) { handle->close(call.Env()); };
    object.Set("close", Napi::Function::New(env, close, "close"));
    return object;
}

} // namespace

void RegisterSymbolizer(Napi::Env env, Napi::Object exports) {
    exports.Set("createSymbolizer", Napi::Function::New(env, createSymbolizer, "createSymbolizer"));
}

} // namespace hotspan
