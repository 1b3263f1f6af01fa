// Starts threads; see thread.h.
#include "thread.h"

#include <signal.h>

#include <memory>
#include <utility>

namespace hotspan {

Thread::Thread(Thread &&other) noexcept
    : thread_(other.thread_), is_joinable_(std::exchange(other.is_joinable_, false)) {}

static void *RunBody(void *body) {
    std::unique_ptr<std::function<void()>> owned(static_cast<std::function<void()> *>(body));
    (*owned)();
    return nullptr;
}

int Thread::Start(const char *name, std::function<void()> body) {
    auto owned = std::make_unique<std::function<void()>>(std::move(body));
    // Signals are the main thread's. A new thread inherits the mask, so that there is no moment at which it could get
    // one.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&thread_, nullptr, RunBody, owned.get());
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (error)
        return error;
    owned.release();
    is_joinable_ = true;
    pthread_setname_np(thread_, name);
    return 0;
}

void Thread::Join() {
    if (std::exchange(is_joinable_, false))
        pthread_join(thread_, nullptr);
}

void Thread::Detach() {
    if (std::exchange(is_joinable_, false))
        pthread_detach(thread_);
}

} // namespace hotspan
