/** Running of describe jobs, and making JS objects of their results. */
#include "describer.h"

#include <cerrno>
#include <csignal>
#include <malloc.h>
#include <map>

#include "../error.h"

namespace hotspan::symbols {
namespace {

Napi::Object lineObject(Napi::Env env, const FrameLine &line) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("name", line.name);
    object.Set("file", line.file);
    object.Set("line", line.line);
    return object;
}

/** JS strings of a module, made once for all of its frames in a batch. */
struct ModuleStrings {
    Napi::Value path;
    Napi::Value buildId;
};

Napi::Array framesArray(Napi::Env env, const std::vector<Frame> &frames) {
    Napi::Array array = Napi::Array::New(env, frames.size());
    std::map<const ModuleText *, ModuleStrings> modules;
    for (size_t i = 0; i < frames.size(); i++) {
        const Frame &frame = frames[i];
        auto [module, isNew] = modules.try_emplace(frame.module.get());
        if (isNew) {
            module->second = {Napi::String::New(env, frame.module->path),
                              Napi::String::New(env, frame.module->buildId)};
        }
        // The values of one frame are let go with it; those of modules live as long as the batch.
        Napi::HandleScope scope(env);
        Napi::Object object = Napi::Object::New(env);
        object.Set("id", frame.id);
        object.Set("kind", frameKindName(frame.kind));
        object.Set("module", module->second.path);
        object.Set("buildId", module->second.buildId);
        object.Set("address", Napi::BigInt::New(env, frame.address));
        Napi::Array lines = Napi::Array::New(env, frame.lines.size());
        for (size_t l = 0; l < frame.lines.size(); l++) {
            lines.Set(static_cast<uint32_t>(l), lineObject(env, frame.lines[l]));
        }
        object.Set("lines", lines);
        object.Set("isGuess", frame.isGuess);
        array.Set(static_cast<uint32_t>(i), object);
    }
    return array;
}

Napi::Value closedError(Napi::Env env) {
    return MakeError(env, {"describe", "symbolizer", ECANCELED, "the symbolizer was closed", ""});
}

} // namespace

std::shared_ptr<Describer> Describer::create(Napi::Env env, size_t maxBytes) {
    std::shared_ptr<Describer> describer(new Describer(maxBytes));
    describer->env_ = env;
    describer->channel_ = Channel::New(env, "hotspan symbolizer", 0, 1);
    describer->channel_.Unref(env);
    // Added after the channel, so that it runs before the channel is torn down.
    napi_add_env_cleanup_hook(env, onEnvironmentEnd, describer.get());
    describer->thread_ = std::thread([raw = describer.get()] { raw->run(); });
    return describer;
}

Describer::~Describer() {
    if (!isClosed_) {
        // Collected as garbage without close(): there is nobody left to tell.
        napi_remove_env_cleanup_hook(env_, onEnvironmentEnd, this);
        stopThread();
        channel_.Release();
    }
}

void Describer::onEnvironmentEnd(void *self) {
    auto *describer = static_cast<Describer *>(self);
    describer->stopThread();
    describer->isClosed_ = true;
    // A job owns its describer: this may be the last owner, so nothing of it is touched after.
    std::deque<std::unique_ptr<Job>> jobs = std::move(describer->jobs_);
}

void Describer::locate(int pid, std::span<const uint64_t> addresses, bool isKernel, uint32_t *ids) {
    engine_->locate(pid, addresses, isKernel, ids);
    if (engine_->needsMaintenance()) {
        // With the lock, or the thread could miss it between its look and its sleep.
        std::lock_guard lock(mutex_);
        wake_.notify_one();
    }
}

void Describer::stopThread() {
    {
        std::lock_guard lock(mutex_);
        isStopping_ = true;
    }
    engine_->cancel();
    wake_.notify_all();
    if (thread_.joinable()) {
        thread_.join();
    }
}

/** A table is built from lists three times its size, and malloc keeps what was freed below something that was not. */
void Describer::releaseMemory() {
#ifdef __GLIBC__
    if (engine_->takeHasBuilt()) {
        malloc_trim(0);
    }
#endif
}

void Describer::run() {
    // Signals are the business of the threads that the runtime made for them.
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    pthread_setname_np(pthread_self(), "hs-symbols");
    engine_->warmUp();
    releaseMemory();
    for (;;) {
        std::unique_ptr<Job> job;
        {
            std::unique_lock lock(mutex_);
            wake_.wait(lock, [this] { return isStopping_ || !jobs_.empty() || engine_->needsMaintenance(); });
            if (isStopping_) {
                return;
            }
            if (!jobs_.empty()) {
                job = std::move(jobs_.front());
                jobs_.pop_front();
            }
        }
        if (engine_->needsMaintenance()) {
            engine_->maintain();
            releaseMemory();
        }
        if (!job) {
            continue;
        }
        job->frames = engine_->describe(job->ids);
        releaseMemory();
        Job *raw = job.release();
        if (channel_.NonBlockingCall(raw) != napi_ok) {
            // The environment is ending: its promises end with it. Kept for stopThread's caller to free with the rest.
            std::lock_guard lock(mutex_);
            jobs_.emplace_front(raw);
            return;
        }
    }
}

void Describer::deliver(Napi::Env env, Napi::Function, std::nullptr_t *, Job *raw) {
    std::unique_ptr<Job> job(raw);
    // Null while the environment is torn down.
    if (static_cast<napi_env>(env) == nullptr) {
        return;
    }
    Describer &self = *job->owner;
    if (--self.pending_ == 0 && !self.isClosed_) {
        self.channel_.Unref(env);
    }
    job->deferred.Resolve(framesArray(env, job->frames));
}

Napi::Promise Describer::describe(Napi::Env env, std::vector<uint32_t> ids) {
    Napi::Promise::Deferred deferred = Napi::Promise::Deferred::New(env);
    if (isClosed_) {
        deferred.Reject(closedError(env));
        return deferred.Promise();
    }
    if (pending_++ == 0) {
        channel_.Ref(env);
    }
    auto job = std::make_unique<Job>(Job{shared_from_this(), deferred, std::move(ids), {}});
    {
        std::lock_guard lock(mutex_);
        jobs_.push_back(std::move(job));
    }
    wake_.notify_one();
    return deferred.Promise();
}

void Describer::close(Napi::Env env) {
    if (isClosed_) {
        return;
    }
    stopThread();
    isClosed_ = true;
    napi_remove_env_cleanup_hook(env_, onEnvironmentEnd, this);
    std::deque<std::unique_ptr<Job>> jobs = std::move(jobs_);
    jobs_.clear();
    for (const std::unique_ptr<Job> &job : jobs) {
        job->deferred.Reject(closedError(env));
    }
    engine_.reset();
    // What the thread had finished is still delivered.
    channel_.Release();
}

} // namespace hotspan::symbols
