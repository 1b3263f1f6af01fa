// Detaching; see link.h.
#include "link.h"

#include <bpf/libbpf.h>

#include "error.h"
#include "instance.h"

namespace hotspan {

void LinkState::Detach() {
    for (bpf_link *link : links)
        bpf_link__destroy(link);
    links.clear();
    fd = Fd();
}

Napi::Function Link::Define(Napi::Env env) {
    return DefineClass(env, "NativeLink", {InstanceMethod<&Link::Detach>("detach")});
}

Napi::Value Link::Wrap(Napi::Env env, std::shared_ptr<LinkState> state) {
    Napi::Object object =
        Instance::Of(env)->link_class.New({Napi::External<std::shared_ptr<LinkState>>::New(env, &state)});
    return object;
}

Link::Link(const Napi::CallbackInfo &info) : Napi::ObjectWrap<Link>(info) {
    // The addon makes links; the constructor is reachable from JS through an instance, where it makes an empty one.
    if (info[0].IsExternal())
        state_ = *info[0].As<Napi::External<std::shared_ptr<LinkState>>>().Data();
}

Napi::Value Link::Detach(const Napi::CallbackInfo &info) {
    if (state_) {
        state_->Detach();
        Instance::Of(info.Env())->links.erase(state_);
        state_.reset();
    }
    return info.Env().Undefined();
}

} // namespace hotspan
