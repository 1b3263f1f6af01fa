// The JS side of reading perf buffers; see perf-reader.h.
#include "perf-reader.h"

#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include <cerrno>

#include "arguments.h"
#include "bpf-object.h"
#include "error.h"
#include "instance.h"

namespace hotspan {

Napi::Function PerfReader::Define(Napi::Env env) {
    return DefineClass(env, "NativePerfReader",
                       {
                           InstanceMethod<&PerfReader::Add>("add"),
                           InstanceMethod<&PerfReader::Remove>("remove"),
                           InstanceMethod<&PerfReader::Flush>("flush"),
                           InstanceMethod<&PerfReader::Stats>("stats"),
                           InstanceMethod<&PerfReader::Close>("close"),
                       });
}

static std::optional<ReaderOptions> ReadOptions(const Napi::CallbackInfo &info) {
    Napi::Object object = info[0].IsObject() ? info[0].As<Napi::Object>() : Napi::Object::New(info.Env());
    double interval_ms = NumberField(object, "intervalMs", 0);
    double max_records = NumberField(object, "maxRecords", 0);
    double max_bytes = NumberField(object, "maxBytes", 0);
    // A perf record has at most 64 KiB: a batch must have room for one. The upper bounds keep absurd values from taking
    // the memory.
    bool is_valid = interval_ms >= 1 && interval_ms <= 10'000 && max_records >= 1 && max_records <= 1 << 20 &&
                    max_bytes >= 65'536 && max_bytes <= 1 << 28 && info[1].IsFunction();
    if (!is_valid) {
        Throw(info.Env(), {"create", "perf reader", EINVAL,
                           "needed: intervalMs 1..10000, maxRecords 1..2^20, maxBytes 65536..2^28 and a function", ""});
        return std::nullopt;
    }
    // Whole words, so that all records can be aligned.
    return ReaderOptions{static_cast<unsigned>(interval_ms), static_cast<size_t>(max_records),
                         static_cast<size_t>(max_bytes) / 8 * 8};
}

PerfReader::PerfReader(const Napi::CallbackInfo &info) : Napi::ObjectWrap<PerfReader>(info) {
    Napi::Env env = info.Env();
    auto options = ReadOptions(info);
    if (!options || !MakeChannel(env, info[1].As<Napi::Function>()))
        return;
    Channel *channel = channel_;
    core_ = std::make_shared<ReaderCore>(*options, [channel](std::unique_ptr<Delivery> delivery) {
        if (napi_call_threadsafe_function(channel->function, delivery.get(), napi_tsfn_nonblocking) != napi_ok)
            return false;
        delivery.release();
        return true;
    });
    if (int error = core_->Start()) {
        napi_release_threadsafe_function(channel_->function, napi_tsfn_abort);
        channel_->reader = nullptr;
        channel_ = nullptr;
        Throw(env, {"create", "perf reader", -error, "the system gives no further thread", ""});
        return;
    }
    is_open_ = true;
    // Hooks run in reverse order: this one, added after the thread-safe function's own, ends the thread while that
    // still stands.
    napi_add_env_cleanup_hook(env, OnEnvironmentEnd, this);
    // Until close() the reader lives, whether or not JS still holds it.
    Ref();
    MakeBatchObjects(env);
}

PerfReader::~PerfReader() {
    if (core_)
        core_->Stop();
    if (channel_)
        channel_->reader = nullptr;
}

bool PerfReader::MakeChannel(Napi::Env env, Napi::Function on_batch) {
    channel_ = new Channel{this, nullptr};
    auto finalize = [](napi_env, void *data, void *) {
        auto *channel = static_cast<Channel *>(data);
        if (channel->reader)
            channel->reader->channel_ = nullptr;
        delete channel;
    };
    napi_status status =
        napi_create_threadsafe_function(env, on_batch, nullptr, Napi::String::New(env, "hotspan-reader"), 0, 1,
                                        channel_, finalize, channel_, CallJs, &channel_->function);
    if (status == napi_ok)
        return true;
    delete channel_;
    channel_ = nullptr;
    Throw(env, {"create", "perf reader", ENOMEM, "Node gave no way to call back from a thread", ""});
    return false;
}

// JS sees the batches' memory itself. It is made once, and kept by the core until JS has let go of it too.
bool PerfReader::MakeBatchObjects(Napi::Env env) {
    for (int i = 0; i < 2; i++) {
        Batch &batch = core_->batch(i);
        auto keep = new std::shared_ptr<ReaderCore>(core_);
        auto data = Napi::Buffer<uint8_t>::New(env, batch.data.get(), core_->options().max_bytes,
                                               [keep](Napi::Env, uint8_t *) { delete keep; });
        auto keep_index = new std::shared_ptr<ReaderCore>(core_);
        auto index = Napi::ArrayBuffer::New(env, batch.index.get(), batch.index_bytes,
                                            [keep_index](Napi::Env, void *) { delete keep_index; });
        size_t count = core_->options().max_records;
        Napi::Object object = Napi::Object::New(env);
        object.Set("count", 0);
        object.Set("data", data);
        object.Set("offsets", Napi::Uint32Array::New(env, count, index, 0));
        object.Set("lengths", Napi::Uint32Array::New(env, count, index, count * sizeof(uint32_t)));
        object.Set("sources", Napi::Uint16Array::New(env, count, index, count * 2 * sizeof(uint32_t)));
        if (env.IsExceptionPending())
            return false;
        batches_[i] = Napi::Persistent(object);
    }
    return true;
}

void PerfReader::CallJs(napi_env raw_env, napi_value callback, void *context, void *data) {
    std::unique_ptr<Delivery> delivery(static_cast<Delivery *>(data));
    auto *channel = static_cast<Channel *>(context);
    // Without an environment Node only empties its queue.
    if (raw_env && channel->reader && channel->reader->is_open_)
        channel->reader->Deliver(raw_env, Napi::Function(raw_env, callback), *delivery);
}

void PerfReader::Deliver(Napi::Env env, Napi::Function on_batch, const Delivery &delivery) {
    // onBatch may close the reader, and let go of it.
    auto core = core_;
    if (delivery.batch >= 0) {
        Napi::Object batch = batches_[delivery.batch].Value();
        batch.Set("count", static_cast<double>(core->batch(delivery.batch).count));
        on_batch.Call({batch});
        core->BatchDone();
    }
    // An error of onBatch is an uncaught exception; Node would only warn of it.
    if (env.IsExceptionPending())
        napi_fatal_exception(env, env.GetAndClearPendingException().Value());
    for (uint32_t id : delivery.done) {
        auto found = requests_.find(id);
        if (found == requests_.end())
            continue;
        found->second.Resolve(env.Undefined());
        requests_.erase(found);
    }
}

void PerfReader::OnEnvironmentEnd(void *reader) {
    auto *self = static_cast<PerfReader *>(reader);
    self->is_open_ = false;
    self->core_->Stop();
}

Napi::Value PerfReader::Add(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    auto source = CountArgument(info, 0, "source", UINT16_MAX);
    BpfObject *object = source ? BpfObject::From(env, info[1]) : nullptr;
    auto name = object ? StringArgument(info, 2, "map") : std::nullopt;
    auto pages = name ? CountArgument(info, 3, "pagesPerCpu", 1 << 16) : std::nullopt;
    bpf_map *map = pages ? object->LoadedMap(env, "read", *name) : nullptr;
    if (!map)
        return env.Undefined();
    Failure failure{"read", *name, 0, "", ""};
    if (!is_open_)
        failure = {"read", *name, EBADF, "the reader is closed", ""};
    else if (bpf_map__type(map) != BPF_MAP_TYPE_PERF_EVENT_ARRAY)
        failure = {"read", *name, EINVAL, "the map is not a perf event array", ""};
    else if (*pages == 0 || (*pages & (*pages - 1)) != 0)
        failure = {"read", *name, EINVAL, "pagesPerCpu must be a power of two", ""};
    else if (auto known = core_->Find(static_cast<uint16_t>(*source)); known && known->map_fd)
        failure = {"read", *name, EEXIST, "source " + std::to_string(*source) + " has buffers already", ""};
    else
        failure.error = -core_->Add(static_cast<uint16_t>(*source), bpf_map__fd(map), *pages, failure.detail);
    if (failure.error) {
        Throw(env, failure);
        return env.Undefined();
    }
    // Closing the object removes its buffers; what is in them is still delivered.
    std::weak_ptr<ReaderCore> core = core_;
    std::weak_ptr<ReaderSource> added = core_->Find(static_cast<uint16_t>(*source));
    object->OnClose([core, added] {
        auto live_core = core.lock();
        auto live_source = added.lock();
        if (live_core && live_source)
            live_core->Remove(live_source, 0);
    });
    return env.Undefined();
}

Napi::Promise::Deferred &PerfReader::NewRequest(Napi::Env env, uint32_t &id) {
    id = next_request_++;
    return requests_.emplace(id, Napi::Promise::Deferred::New(env)).first->second;
}

Napi::Value PerfReader::Remove(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    auto source = CountArgument(info, 0, "source", UINT16_MAX);
    if (!source)
        return env.Undefined();
    uint32_t id = 0;
    Napi::Promise::Deferred &request = NewRequest(env, id);
    Napi::Promise promise = request.Promise();
    if (!is_open_ || !core_->Remove(core_->Find(static_cast<uint16_t>(*source)), id)) {
        request.Reject(MakeError(
            env, {"remove", "source " + std::to_string(*source), ENOENT, "it has no buffers in this reader", ""}));
        requests_.erase(id);
    }
    return promise;
}

Napi::Value PerfReader::Flush(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    uint32_t id = 0;
    Napi::Promise::Deferred &request = NewRequest(env, id);
    Napi::Promise promise = request.Promise();
    if (is_open_) {
        core_->Flush(id);
    } else {
        request.Reject(MakeError(env, {"flush", "perf reader", EBADF, "the reader is closed", ""}));
        requests_.erase(id);
    }
    return promise;
}

Napi::Value PerfReader::Stats(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    auto source = CountArgument(info, 0, "source", UINT16_MAX);
    SourceStats stats;
    if (!source)
        return env.Undefined();
    if (!core_ || !core_->Stats(static_cast<uint16_t>(*source), stats)) {
        Throw(env, {"stats", "source " + std::to_string(*source), ENOENT, "it never had buffers in this reader", ""});
        return env.Undefined();
    }
    Napi::Array lost = Napi::Array::New(env, stats.lost_by_cpu.size());
    for (size_t cpu = 0; cpu < stats.lost_by_cpu.size(); cpu++)
        lost.Set(static_cast<uint32_t>(cpu), static_cast<double>(stats.lost_by_cpu[cpu]));
    Napi::Object result = Napi::Object::New(env);
    result.Set("received", static_cast<double>(stats.received));
    result.Set("receivedBytes", static_cast<double>(stats.received_bytes));
    result.Set("lostByCpu", lost);
    result.Set("late", static_cast<double>(stats.late));
    result.Set("batches", static_cast<double>(stats.batches));
    result.Set("bufferBytes", static_cast<double>(stats.buffer_bytes));
    return result;
}

Napi::Value PerfReader::Close(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    if (!is_open_)
        return env.Undefined();
    is_open_ = false;
    core_->Stop();
    napi_remove_env_cleanup_hook(env, OnEnvironmentEnd, this);
    // The function takes the event loop's reference with it: the loop may end now.
    napi_release_threadsafe_function(channel_->function, napi_tsfn_release);
    channel_->reader = nullptr;
    channel_ = nullptr;
    for (auto &[id, request] : requests_)
        request.Reject(
            MakeError(env, {"flush", "perf reader", ECANCELED, "the reader was closed before all was delivered", ""}));
    requests_.clear();
    Unref();
    return env.Undefined();
}

} // namespace hotspan
