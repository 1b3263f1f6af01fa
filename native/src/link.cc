// Detaching; see link.h.
#include "link.h"

#include <bpf/libbpf.h>

#include <algorithm>
#include <atomic>

#include "error.h"
#include "event-closer.h"
#include "instance.h"
#include "thread.h"

namespace hotspan {

// Closing hundreds of links at once needs no more threads than this to share the kernel's grace periods.
static constexpr size_t max_threads = 64;

static void DestroyTogether(const std::vector<bpf_link *> &links) {
    std::atomic<size_t> next{0};
    auto destroy = [&] {
        for (size_t i = next++; i < links.size(); i = next++)
            bpf_link__destroy(links[i]);
    };
    std::vector<Thread> threads;
    for (size_t i = 1; i < std::min(links.size(), max_threads); i++) {
        // With fewer threads than wished for it takes longer, no more.
        if (threads.emplace_back().Start("hotspan-detach", destroy) != 0)
            break;
    }
    destroy();
    for (Thread &thread : threads)
        thread.Join();
}

void DetachTogether(const std::vector<std::shared_ptr<LinkState>> &states) {
    std::vector<bpf_link *> links;
    for (const auto &state : states) {
        links.insert(links.end(), state->links.begin(), state->links.end());
        state->links.clear();
    }
    DestroyTogether(links);
    for (const auto &state : states)
        state->Detach();
}

static void CloseNow(Fd slow) {
    Thread closer;
    int fd = slow.Release();
    if (closer.Start("hotspan-detach", [fd] { close(fd); }) == 0)
        closer.Detach();
    else
        close(fd);
}

void LinkState::Detach() {
    DestroyTogether(links);
    links.clear();
    for (Fd &event : slow_events)
        CloseEventLater(std::move(event));
    slow_events.clear();
    if (slow_raw)
        CloseNow(std::move(slow_raw));
    fd = Fd();
}

Napi::Function Link::Define(Napi::Env env) {
    return DefineClass(env, "NativeLink", {InstanceMethod<&Link::Detach>("detach")});
}

Napi::Value Link::Wrap(Napi::Env env, std::shared_ptr<LinkState> state) {
    // Through the instance and not as an argument: an External that is not collected before its thread ends is leaked
    // by Node.
    Instance *instance = Instance::Of(env);
    instance->new_link = std::move(state);
    return instance->link_class.New({});
}

Link::Link(const Napi::CallbackInfo &info) : Napi::ObjectWrap<Link>(info) {
    // The addon makes links; the constructor is reachable from JS through an instance, where it makes an empty one.
    state_ = std::move(Instance::Of(info.Env())->new_link);
}

Napi::Value Link::Detach(const Napi::CallbackInfo &info) {
    if (state_) {
        state_->Detach();
        Instance::Of(info.Env())->links.erase(state_);
        state_.reset();
    }
    return info.Env().Undefined();
}

Napi::Value Link::DetachAll(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    std::vector<std::shared_ptr<LinkState>> states;
    Napi::Array links = info[0].IsArray() ? info[0].As<Napi::Array>() : Napi::Array::New(env);
    for (uint32_t i = 0; i < links.Length(); i++) {
        Napi::Value value = links.Get(i);
        Instance *instance = Instance::Of(env);
        if (!value.IsObject() || !value.As<Napi::Object>().InstanceOf(instance->link_class.Value()))
            continue;
        Link *link = Link::Unwrap(value.As<Napi::Object>());
        if (!link->state_)
            continue;
        instance->links.erase(link->state_);
        states.push_back(std::move(link->state_));
        link->state_.reset();
    }
    DetachTogether(states);
    return env.Undefined();
}

} // namespace hotspan
