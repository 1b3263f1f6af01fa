/** Methods of the unwinder: checks arguments, calls the engine, makes JS values. */
#include "unwinder.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <unordered_map>

#include "../bpf-object.h"
#include "../error.h"
#include "unwind-engine.h"

namespace hotspan {
namespace {

using unwind::ResumedStack;
using unwind::StackCopy;
using unwind::UnwindEngine;

/** The engine with its way back to JavaScript, whose promises stay on the JavaScript thread. */
class Unwinder : public std::enable_shared_from_this<Unwinder> {
  public:
    Unwinder(Napi::Env env, const unwind::UnwinderOptions &options)
        : env_(env), engine_(std::make_unique<UnwindEngine>(options)) {
        channel_ = Channel::New(env, "hotspan unwinder", 0, 1);
        channel_.Unref(env);
        // Added after the channel, so that it runs before the channel is torn down.
        napi_add_env_cleanup_hook(env, onEnvironmentEnd, this);
    }
    ~Unwinder() {
        if (engine_) {
            napi_remove_env_cleanup_hook(env_, onEnvironmentEnd, this);
            engine_.reset();
            channel_.Release();
        }
    }
    Unwinder(const Unwinder &) = delete;
    Unwinder &operator=(const Unwinder &) = delete;

    bool isClosed() const { return engine_ == nullptr; }
    UnwindEngine &engine() { return *engine_; }
    Napi::Promise resume(Napi::Env env, StackCopy copy);
    void close(Napi::Env env);

  private:
    struct Answer {
        std::weak_ptr<Unwinder> owner;
        uint32_t id;
        ResumedStack stack;
    };
    static void deliver(Napi::Env env, Napi::Function callback, std::nullptr_t *context, Answer *answer);
    using Channel = Napi::TypedThreadSafeFunction<std::nullptr_t, Answer, deliver>;
    static void onEnvironmentEnd(void *self) { static_cast<Unwinder *>(self)->engine_.reset(); }

    napi_env env_;
    std::unique_ptr<UnwindEngine> engine_;
    Channel channel_;
    std::unordered_map<uint32_t, Napi::Promise::Deferred> waiting_;
    uint32_t nextId_ = 0;
};

using Handle = std::shared_ptr<Unwinder>;

Napi::Value closedError(Napi::Env env) {
    return MakeError(env, {"resume", "unwinder", ECANCELED, "the unwinder was closed", ""});
}

void Unwinder::deliver(Napi::Env env, Napi::Function, std::nullptr_t *, Answer *raw) {
    std::unique_ptr<Answer> answer(raw);
    Handle self = answer->owner.lock();
    // Null while the environment is torn down.
    if (static_cast<napi_env>(env) == nullptr || !self) {
        return;
    }
    auto found = self->waiting_.find(answer->id);
    if (found == self->waiting_.end()) {
        return;
    }
    const std::vector<uint64_t> &addresses = answer->stack.addresses;
    Napi::Object result = Napi::Object::New(env);
    result.Set("addresses", Napi::Buffer<uint8_t>::Copy(env, reinterpret_cast<const uint8_t *>(addresses.data()),
                                                        addresses.size() * sizeof(uint64_t)));
    result.Set("end", Napi::Number::New(env, answer->stack.end));
    found->second.Resolve(result);
    self->waiting_.erase(found);
    if (self->waiting_.empty() && !self->isClosed()) {
        self->channel_.Unref(env);
    }
}

Napi::Promise Unwinder::resume(Napi::Env env, StackCopy copy) {
    uint32_t id = nextId_++;
    if (waiting_.empty()) {
        channel_.Ref(env);
    }
    Napi::Promise promise = waiting_.emplace(id, Napi::Promise::Deferred::New(env)).first->second.Promise();
    std::weak_ptr<Unwinder> owner = weak_from_this();
    engine_->resume(std::move(copy), [channel = channel_, owner, id](ResumedStack stack) mutable {
        auto answer = std::make_unique<Answer>(Answer{owner, id, std::move(stack)});
        if (channel.NonBlockingCall(answer.get()) == napi_ok) {
            answer.release();
        }
    });
    return promise;
}

void Unwinder::close(Napi::Env env) {
    if (isClosed()) {
        return;
    }
    napi_remove_env_cleanup_hook(env_, onEnvironmentEnd, this);
    engine_.reset();
    for (auto &[id, deferred] : waiting_) {
        deferred.Reject(closedError(env));
    }
    waiting_.clear();
    channel_.Release();
}

std::optional<uint64_t> numberAt(const Napi::CallbackInfo &info, size_t index) {
    double value = info[index].IsNumber() ? info[index].As<Napi::Number>().DoubleValue() : -1;
    return value >= 0 && value < 1.8e19 ? std::optional(static_cast<uint64_t>(value)) : std::nullopt;
}

void throwInvalid(Napi::Env env, const char *operation, const char *detail) {
    Throw(env, {operation, "argument", EINVAL, detail, ""});
}

/** unwind_resume and the stack, as a record has them. */
Napi::Value resume(const Handle &self, const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    auto pid = numberAt(info, 0), timeNs = numberAt(info, 1);
    bool isBytes = info[2].IsTypedArray() && info[2].As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array;
    size_t sizeBytes = isBytes ? info[2].As<Napi::Uint8Array>().ByteLength() : 0;
    StackCopy copy;
    if (!pid || !timeNs || sizeBytes < sizeof copy.registers) {
        throwInvalid(env, "resume", "a process, a time and the raw part of a stack are needed");
        return env.Undefined();
    }
    const uint8_t *bytes = info[2].As<Napi::Uint8Array>().Data();
    copy.pid = static_cast<int>(*pid);
    copy.timeNs = *timeNs;
    memcpy(&copy.registers, bytes, sizeof copy.registers);
    size_t stackBytes = std::min<size_t>(copy.registers.stack_bytes, sizeBytes - sizeof copy.registers);
    copy.registers.stack_bytes = static_cast<uint32_t>(stackBytes);
    copy.stack.assign(bytes + sizeof copy.registers, bytes + sizeof copy.registers + stackBytes);
    return self->resume(env, std::move(copy));
}

Napi::Value want(const Handle &self, const Napi::CallbackInfo &info) {
    auto pid = numberAt(info, 0), timeNs = numberAt(info, 1);
    bool isLossless = false;
    if (!pid || !timeNs || !info[2].IsBigInt()) {
        throwInvalid(info.Env(), "want", "a process, a time and an address are needed");
        return info.Env().Undefined();
    }
    self->engine().want(static_cast<int>(*pid), *timeNs, info[2].As<Napi::BigInt>().Uint64Value(&isLossless));
    return info.Env().Undefined();
}

Napi::Value share(const Handle &self, const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    BpfObject *object = BpfObject::From(env, info[0]);
    if (object == nullptr) {
        return env.Undefined();
    }
    const unwind::SharedMaps &maps = self->engine().maps();
    bool hasProcesses = object->TakeMap(env, "unwind_processes", maps.processes());
    bool hasBlocks = !env.IsExceptionPending() && object->TakeMap(env, "unwind_blocks", maps.blocks());
    if (hasProcesses && hasBlocks) {
        object->SetNumber(env, "unwind_is_on", 1);
    }
    return Napi::Boolean::New(env, hasProcesses && hasBlocks);
}

Napi::Value stats(const Handle &self, const Napi::CallbackInfo &info) {
    Napi::Object object = Napi::Object::New(info.Env());
    unwind::UnwinderStats s = self->engine().stats();
    const std::pair<const char *, double> fields[] = {
        {"processes", s.processes},
        {"mappings", s.mappings},
        {"files", s.files},
        {"tables", s.tables.tables},
        {"rows", s.tables.rows},
        {"tableBytes", s.tables.bytes},
        {"evictions", s.tables.evictions},
        {"refusals", s.tables.refusals},
        {"blockBytes", s.blockBytes},
        {"usedBytes", s.usedBytes},
        {"maxBytes", s.maxBytes},
        {"mapBytes", s.fixedMapBytes + s.blockBytes},
        {"eventBufferBytes", s.eventBufferBytes},
        {"builds", s.builds},
        {"buildMs", static_cast<double>(s.buildNs) / 1e6},
        {"cacheHits", s.cacheHits},
        {"unreadableFiles", s.unreadableFiles},
        {"waitingFiles", s.waitingFiles},
        {"events", s.events},
        {"lostEvents", s.lostEvents},
        {"scans", s.scans},
        {"scanMs", static_cast<double>(s.scanNs) / 1e6},
        {"readyMs", static_cast<double>(s.readyNs) / 1e6},
        {"rereads", s.rereads},
        {"unpublished", s.unpublished},
        {"resumed", s.resumes.resumed},
        {"completed", s.resumes.completed},
        {"refused", s.resumes.refused},
        {"waitingStacks", s.resumes.waiting},
        {"waitingBytes", s.resumes.waitingBytes},
    };
    for (const auto &[name, value] : fields) {
        object.Set(name, Napi::Number::New(info.Env(), value));
    }
    return object;
}

/** A method that throws once the unwinder is closed. */
template <typename Method> void addMethod(Napi::Object &object, const char *name, const Handle &handle, Method method) {
    auto call = [handle, method, name](const Napi::CallbackInfo &info) -> Napi::Value {
        if (handle->isClosed()) {
            Throw(info.Env(), {name, "unwinder", ECANCELED, "the unwinder was closed", ""});
            return info.Env().Undefined();
        }
        return method(handle, info);
    };
    object.Set(name, Napi::Function::New(object.Env(), call, name));
}

Napi::Value createUnwinder(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    Napi::Object given = info[0].IsObject() ? info[0].As<Napi::Object>() : Napi::Object::New(env);
    Napi::Value maxBytes = given.Get("maxBytes"), cacheDir = given.Get("cacheDir");
    double bytes = maxBytes.IsNumber() ? maxBytes.As<Napi::Number>().DoubleValue() : 0;
    if (!(bytes >= 1 << 20 && bytes <= 1 << 28) || !cacheDir.IsString()) {
        throwInvalid(env, "create unwinder", "needed: maxBytes of 2^20..2^28 and cacheDir, which may be empty");
        return env.Undefined();
    }
    auto handle = std::make_shared<Unwinder>(
        env, unwind::UnwinderOptions{static_cast<size_t>(bytes), cacheDir.As<Napi::String>().Utf8Value()});
    std::string failed;
    if (int error = handle->engine().start(failed)) {
        handle->close(env);
        Throw(env, {"create unwinder", failed, error, "", ""});
        return env.Undefined();
    }
    Napi::Object object = Napi::Object::New(env);
    addMethod(object, "share", handle, share);
    addMethod(object, "resume", handle, resume);
    addMethod(object, "want", handle, want);
    addMethod(object, "stats", handle, stats);
    object.Set("close", Napi::Function::New(
                            env, [handle](const Napi::CallbackInfo &call) { handle->close(call.Env()); }, "close"));
    return object;
}

} // namespace

void RegisterUnwinder(Napi::Env env, Napi::Object exports) {
    exports.Set("createUnwinder", Napi::Function::New(env, createUnwinder, "createUnwinder"));
}

} // namespace hotspan
