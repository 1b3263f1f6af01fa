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
    Fd fd;
};

class Link : public Napi::ObjectWrap<Link> {
  public:
    static Napi::Function Define(Napi::Env env);
    static Napi::Value Wrap(Napi::Env env, std::shared_ptr<LinkState> state);
    explicit Link(const Napi::CallbackInfo &info);

  private:
    Napi::Value Detach(const Napi::CallbackInfo &info);

    std::shared_ptr<LinkState> state_;
};

} // namespace hotspan
