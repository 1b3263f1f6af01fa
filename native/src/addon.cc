// Entry of the addon: registers classes and functions in a JS environment.
#include <napi.h>

#include <ctime>

#include "error.h"
#include "instance.h"

#if __has_include("symbols/symbolizer.h")
#include "symbols/symbolizer.h"
#define HOTSPAN_HAS_SYMBOLIZER 1
#endif

namespace hotspan {

// The two clocks at the same moment, as well as a program can: of eight tries the one that took least.
static Napi::Value ClockPair(const Napi::CallbackInfo &info) {
    auto nanoseconds = [](clockid_t clock) {
        timespec now{};
        clock_gettime(clock, &now);
        return static_cast<int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
    };
    int64_t best_width = INT64_MAX, monotonic = 0, unix_time = 0;
    for (int i = 0; i < 8; i++) {
        int64_t before = nanoseconds(CLOCK_MONOTONIC);
        int64_t real = nanoseconds(CLOCK_REALTIME);
        int64_t after = nanoseconds(CLOCK_MONOTONIC);
        if (after - before < best_width) {
            best_width = after - before;
            monotonic = before + best_width / 2;
            unix_time = real;
        }
    }
    Napi::Object pair = Napi::Object::New(info.Env());
    pair.Set("monotonicNs", Napi::BigInt::New(info.Env(), monotonic));
    pair.Set("unixNs", Napi::BigInt::New(info.Env(), unix_time));
    return pair;
}

// The class that errors are made of: called once by agent/bpf, so that all that is thrown is a BpfError.
static void SetErrorClass(const Napi::CallbackInfo &info) {
    if (!info[0].IsFunction())
        return Throw(info.Env(), {"setErrorClass", "argument", EINVAL, "a class is needed", ""});
    Instance::Of(info.Env())->error_class = Napi::Persistent(info[0].As<Napi::Function>());
}

static Napi::Object Init(Napi::Env env, Napi::Object exports) {
    env.SetInstanceData(new Instance());
    exports.Set("clockPair", Napi::Function::New(env, ClockPair, "clockPair"));
    exports.Set("setErrorClass", Napi::Function::New(env, SetErrorClass, "setErrorClass"));
#ifdef HOTSPAN_HAS_SYMBOLIZER
    RegisterSymbolizer(env, exports);
#endif
    return exports;
}

} // namespace hotspan

static Napi::Object InitModule(Napi::Env env, Napi::Object exports) {
    return hotspan::Init(env, exports);
}

NODE_API_MODULE(hotspan, InitModule)
