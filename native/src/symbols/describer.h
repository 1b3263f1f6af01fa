/** The thread that names locations, and its way back to JavaScript. One per symbolizer; nothing it does blocks
 * JavaScript. */
#pragma once

#include <napi.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "symbol-engine.h"

namespace hotspan::symbols {

class Describer : public std::enable_shared_from_this<Describer> {
  public:
    static std::shared_ptr<Describer> create(Napi::Env env, size_t maxBytes);
    ~Describer();
    Describer(const Describer &) = delete;
    Describer &operator=(const Describer &) = delete;

    /** Gone once closed. */
    SymbolEngine &engine() { return *engine_; }
    bool isClosed() const { return isClosed_; }

    /** As the engine's, and wakes the thread where code may have been replaced. JS thread. */
    void locate(int pid, std::span<const uint64_t> addresses, bool isKernel, uint32_t *ids);
    /** Resolves with FrameInfo[] in the order of the ids. JS thread. */
    Napi::Promise describe(Napi::Env env, std::vector<uint32_t> ids);
    /** Ends the thread; what is waiting is rejected. JS thread. Idempotent. */
    void close(Napi::Env env);

  private:
    struct Job {
        std::shared_ptr<Describer> owner;
        Napi::Promise::Deferred deferred;
        std::vector<uint32_t> ids;
        std::vector<Frame> frames;
    };
    static void deliver(Napi::Env env, Napi::Function callback, std::nullptr_t *context, Job *job);
    using Channel = Napi::TypedThreadSafeFunction<std::nullptr_t, Job, deliver>;

    explicit Describer(size_t maxBytes) : engine_(std::make_unique<SymbolEngine>(maxBytes)) {}
    void run();
    void releaseMemory();
    void stopThread();
    static void onEnvironmentEnd(void *self);

    std::unique_ptr<SymbolEngine> engine_;
    napi_env env_ = nullptr;
    Channel channel_;
    bool isClosed_ = false;
    /** Jobs handed in and not yet delivered: only while there are any does the thread keep the process running. */
    size_t pending_ = 0;

    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<std::unique_ptr<Job>> jobs_;
    bool isStopping_ = false;
    std::thread thread_;
};

} // namespace hotspan::symbols
