// What holds a program attached, or program statistics on: JS class NativeLink.
#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "fd.h"

struct bpf_link;

namespace hotspan {

// Shared by the JS link and its owner (a BpfObject or the instance), so that either may end it. Used on the JS thread
// only.
struct LinkState {
    LinkState() = default;
    LinkState(const LinkState &) = delete;
    LinkState &operator=(const LinkState &) = delete;
    ~LinkState() { Detach(); }

    void Detach();

    // A perf attachment is one link per CPU or thread.
    std::vector<bpf_link *> links;
    // Second descriptors of events that take long to close; see event-closer.h.
    std::vector<Fd> slow_events;
    // Closed on a thread of its own, at once: a raw tracepoint that others use as well makes its closer wait.
    Fd slow_raw;
    Fd fd;
};

// Detaches many at once. Detaching one waits for a grace period of the kernel (from 6.13 on, 30 to 50 ms); those that
// wait at the same time share it, so each link gets a thread of its own.
void DetachTogether(const std::vector<std::shared_ptr<LinkState>> &states);

class Link : public Napi::ObjectWrap<Link> {
  public:
    static Napi::Function Define(Napi::Env env);
    static Napi::Value Wrap(Napi::Env env, std::shared_ptr<LinkState> state);
    explicit Link(const Napi::CallbackInfo &info);

    // JS: detachAll(links).
    static Napi::Value DetachAll(const Napi::CallbackInfo &info);

  private:
    Napi::Value Detach(const Napi::CallbackInfo &info);

    std::shared_ptr<LinkState> state_;
};

} // namespace hotspan
