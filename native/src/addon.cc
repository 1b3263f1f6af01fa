// Entry of the addon: registers classes and functions in a JS environment.
#include <napi.h>

#include <ctime>

#include <bpf/bpf.h>

#include "bpf-object.h"
#include "error.h"
#include "kernel-features.h"
#include "instance.h"
#include "kernel-btf.h"
#include "kernel-config.h"
#include "libbpf-log.h"
#include "link.h"
#include "own-memory.h"
#include "perf-reader.h"
#include "tracefs.h"
#include "unwind/unwinder.h"

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

// The function that errors are made by: given once by agent/bpf, so that all that is thrown is a BpfError.
static void SetErrorFactory(const Napi::CallbackInfo &info) {
    if (!info[0].IsFunction())
        return Throw(info.Env(), {"setErrorFactory", "argument", EINVAL, "a function is needed", ""});
    Instance::Of(info.Env())->error_factory = Napi::Persistent(info[0].As<Napi::Function>());
}

static Napi::Value OpenObject(const Napi::CallbackInfo &info) {
    return Instance::Of(info.Env())->object_class.New({info[0]});
}

static Napi::Value CreatePerfReader(const Napi::CallbackInfo &info) {
    return Instance::Of(info.Env())->reader_class.New({info[0], info[1]});
}

static Napi::Value EnableProgramStats(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    auto state = std::make_shared<LinkState>();
    state->fd = Fd(bpf_enable_stats(BPF_STATS_RUN_TIME));
    if (!state->fd) {
        Throw(env, {"enable", "program statistics", errno, "", ""});
        return env.Undefined();
    }
    Instance::Of(env)->links.insert(state);
    return Link::Wrap(env, state);
}

static Napi::Value ProbeFeaturesForJs(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    Napi::Object features = Napi::Object::New(env);
    features.Set("release", KernelRelease());
    for (const Feature &feature : ProbeFeatures()) {
        Napi::Object item = Napi::Object::New(env);
        item.Set("isAvailable", Napi::Boolean::New(env, feature.reason.empty()));
        item.Set("reason", feature.reason);
        features.Set(feature.name, item);
    }
    return features;
}

// tracepointFields(category, name): string[], or undefined where there is no such tracepoint.
static Napi::Value TracepointFieldsForJs(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    std::vector<std::string> fields;
    if (!info[0].IsString() || !info[1].IsString()) {
        Throw(env, {"read", "tracepoint", EINVAL, "category and name are needed", ""});
        return env.Undefined();
    }
    std::string category = info[0].As<Napi::String>(), name = info[1].As<Napi::String>();
    int error = TracepointFields(category, name, fields);
    if (error == -ENOENT)
        return env.Undefined();
    if (error) {
        Throw(env, {"read", "tracepoint " + category + ":" + name, -error, "", ""});
        return env.Undefined();
    }
    Napi::Array names = Napi::Array::New(env, fields.size());
    for (uint32_t i = 0; i < fields.size(); i++)
        names.Set(i, fields[i]);
    return names;
}

static Napi::Object Init(Napi::Env env, Napi::Object exports) {
    CatchLibbpfLog();
    auto *instance = new Instance();
    env.SetInstanceData(instance);
    instance->object_class = Napi::Persistent(BpfObject::Define(env));
    instance->link_class = Napi::Persistent(Link::Define(env));
    instance->reader_class = Napi::Persistent(PerfReader::Define(env));
    // A worker that is terminated runs its hooks before JS objects are finalized: nothing it attached is left.
    env.AddCleanupHook([instance] { instance->CloseAll(); });
    exports.Set("openObject", Napi::Function::New(env, OpenObject, "openObject"));
    exports.Set("detachAll", Napi::Function::New(env, Link::DetachAll, "detachAll"));
    exports.Set("createPerfReader", Napi::Function::New(env, CreatePerfReader, "createPerfReader"));
    exports.Set("probeFeatures", Napi::Function::New(env, ProbeFeaturesForJs, "probeFeatures"));
    exports.Set("kernelFunctionPrototype",
                Napi::Function::New(env, KernelFunctionPrototype, "kernelFunctionPrototype"));
    exports.Set("tracepointFields", Napi::Function::New(env, TracepointFieldsForJs, "tracepointFields"));
    exports.Set("enableProgramStats", Napi::Function::New(env, EnableProgramStats, "enableProgramStats"));
    exports.Set("clockPair", Napi::Function::New(env, ClockPair, "clockPair"));
    exports.Set("releaseMemory", Napi::Function::New(env, ReleaseMemory, "releaseMemory"));
    exports.Set("setErrorFactory", Napi::Function::New(env, SetErrorFactory, "setErrorFactory"));
    RegisterUnwinder(env, exports);
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
