// Perf buffers for JS: class NativePerfReader. The work is done by ReaderCore; this turns its deliveries into calls and
// promises.
#pragma once

#include <napi.h>

#include <map>
#include <memory>

#include "reader-core.h"

namespace hotspan {

class PerfReader : public Napi::ObjectWrap<PerfReader> {
  public:
    static Napi::Function Define(Napi::Env env);
    explicit PerfReader(const Napi::CallbackInfo &info);
    ~PerfReader() override;

  private:
    // What the thread-safe function points to: it may outlive the JS object by a turn of the event loop.
    struct Channel {
        PerfReader *reader = nullptr;
        napi_threadsafe_function function = nullptr;
    };

    static void CallJs(napi_env env, napi_value callback, void *context, void *data);
    static void OnEnvironmentEnd(void *reader);

    Napi::Value Add(const Napi::CallbackInfo &info);
    Napi::Value Remove(const Napi::CallbackInfo &info);
    Napi::Value Flush(const Napi::CallbackInfo &info);
    Napi::Value Stats(const Napi::CallbackInfo &info);
    Napi::Value Close(const Napi::CallbackInfo &info);

    bool MakeBatchObjects(Napi::Env env);
    bool MakeChannel(Napi::Env env, Napi::Function on_batch);
    void Deliver(Napi::Env env, Napi::Function on_batch, const Delivery &delivery);
    Napi::Promise::Deferred &NewRequest(Napi::Env env, uint32_t &id);

    std::shared_ptr<ReaderCore> core_;
    Channel *channel_ = nullptr; // owned by the thread-safe function
    Napi::ObjectReference batches_[2];
    std::map<uint32_t, Napi::Promise::Deferred> requests_;
    uint32_t next_request_ = 1;
    bool is_open_ = false;
};

} // namespace hotspan
