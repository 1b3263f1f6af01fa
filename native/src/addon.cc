// Entry of the addon: registers classes and functions in a JS environment.
#include <napi.h>

#include <ctime>

#include <bpf/bpf.h>

#include "bpf-object.h"
#include "dispatch-cost.h"
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

// measureDispatch(): Promise of the three figures, on a thread of its own.
class DispatchMeasurement : public Napi::AsyncWorker {
  public:
    explicit DispatchMeasurement(Napi::Env env)
        : Napi::AsyncWorker(env, "hotspan dispatch"), deferred_(Napi::Promise::Deferred::New(env)) {}
    Napi::Promise Promise() const { return deferred_.Promise(); }

  private:
    void Execute() override { cost_ = MeasureDispatch(); }
    void OnOK() override {
        Napi::Object cost = Napi::Object::New(Env());
        cost.Set("tracepointNs", cost_.tracepoint_ns);
        cost.Set("rawNs", cost_.raw_ns);
        cost.Set("callNs", cost_.call_ns);
        deferred_.Resolve(cost);
    }

    Napi::Promise::Deferred deferred_;
    DispatchCost cost_;
};

static Napi::Value MeasureDispatchForJs(const Napi::CallbackInfo &info) {
    // Deletes itself when it is done.
    auto *measurement = new DispatchMeasurement(info.Env());
    Napi::Promise promise = measurement->Promise();
    measurement->Queue();
    return promise;
}

// countSystemCalls(): a link; while it lives every entry of a system call is a run of its program.
static Napi::Value CountSystemCalls(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    Instance *instance = Instance::Of(env);
    auto state = std::make_shared<LinkState>();
    int error = LoadCallCounter();
    if (error >= 0) {
        state->fd = Fd(error);
        state->slow_raw = Fd(bpf_raw_tracepoint_open("sys_enter", state->fd.get()));
        error = state->slow_raw ? 0 : -errno;
    }
    if (error < 0) {
        Throw(env, {"attach", "counter of system calls", -error, "", ""});
        return env.Undefined();
    }
    instance->links.insert(state);
    instance->call_counter = state;
    return Link::Wrap(env, state);
}

// systemCallsCounted(): runs of the last counter while statistics were on; 0 where it is detached.
static Napi::Value SystemCallsCounted(const Napi::CallbackInfo &info) {
    bpf_prog_info program{};
    __u32 size = sizeof(program);
    std::shared_ptr<LinkState> counter = Instance::Of(info.Env())->call_counter.lock();
    if (counter && counter->fd && bpf_obj_get_info_by_fd(counter->fd.get(), &program, &size) == 0)
        return Napi::Number::New(info.Env(), static_cast<double>(program.run_cnt));
    return Napi::Number::New(info.Env(), 0);
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
    exports.Set("measureDispatch", Napi::Function::New(env, MeasureDispatchForJs, "measureDispatch"));
    exports.Set("countSystemCalls", Napi::Function::New(env, CountSystemCalls, "countSystemCalls"));
    exports.Set("systemCallsCounted", Napi::Function::New(env, SystemCallsCounted, "systemCallsCounted"));
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
