// Threads of the addon: named, without signals, and without an abort where the system has none left to give.
// std::thread throws then, which ends the process in a build without exceptions.
#pragma once

#include <pthread.h>

#include <functional>

namespace hotspan {

class Thread {
  public:
    Thread() = default;
    Thread(Thread &&other) noexcept;
    Thread &operator=(Thread &&) = delete;
    Thread(const Thread &) = delete;
    ~Thread() { Join(); }

    // Runs `body`. Returns 0 or a positive errno (EAGAIN: the limit of threads is reached). `name` has at most 15
    // characters.
    int Start(const char *name, std::function<void()> body);
    // Waits for its end; nothing to wait for is fine.
    void Join();
    // It ends by itself, and nobody waits for it.
    void Detach();

  private:
    pthread_t thread_{};
    bool is_joinable_ = false;
};

} // namespace hotspan
