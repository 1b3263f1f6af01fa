// Makes JS errors out of failures; see error.h.
#include "error.h"

#include <cstring>

#include "instance.h"

namespace hotspan {

std::string ErrorCode(int error) {
    // libbpf's own numbers start at 4000 (libbpf_errno in bpf/libbpf_legacy.h); 524 is the kernel's ENOTSUPP, which
    // glibc does not name.
    if (error >= 4000)
        return "ELIBBPF";
    if (error == 524)
        return "ENOTSUPP";
    // glibc 2.32 and later.
    const char *name = error > 0 ? strerrorname_np(error) : nullptr;
    return name ? name : "";
}

static std::string Message(const Failure &failure) {
    std::string message = failure.operation + " " + failure.object + ": ";
    std::string code = ErrorCode(failure.error);
    message += code.empty() ? (failure.error ? std::to_string(failure.error) : "failed") : code;
    if (!failure.detail.empty())
        message += "; " + failure.detail;
    return message;
}

static Napi::Object Fields(Napi::Env env, const Failure &failure, Napi::Object target) {
    target.Set("operation", Napi::String::New(env, failure.operation));
    target.Set("object", Napi::String::New(env, failure.object));
    target.Set("errno", Napi::Number::New(env, failure.error));
    target.Set("code", Napi::String::New(env, ErrorCode(failure.error)));
    target.Set("detail", Napi::String::New(env, failure.detail));
    if (!failure.verifier_log.empty())
        target.Set("verifierLog", Napi::String::New(env, failure.verifier_log));
    return target;
}

Napi::Value MakeError(Napi::Env env, const Failure &failure) {
    Instance *instance = Instance::Of(env);
    if (!instance->error_factory.IsEmpty()) {
        Napi::Value error = instance->error_factory.Call({Fields(env, failure, Napi::Object::New(env))});
        if (!env.IsExceptionPending())
            return error;
        env.GetAndClearPendingException();
    }
    return Fields(env, failure, Napi::Error::New(env, Message(failure)).Value());
}

void Throw(Napi::Env env, const Failure &failure) {
    // The first failure is the cause; a second one, thrown while unwinding, would hide it.
    if (!env.IsExceptionPending())
        napi_throw(env, MakeError(env, failure));
}

} // namespace hotspan
