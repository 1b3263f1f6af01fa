// State of the addon in one JS environment (the main thread or a worker). Nothing of it is shared between environments.
#pragma once

#include <napi.h>

#include <memory>
#include <unordered_set>

struct btf;

namespace hotspan {

class BpfObject;
struct LinkState;

struct Instance {
    // The instance of this environment; made when the addon was loaded there.
    static Instance *Of(Napi::Env env) { return env.GetInstanceData<Instance>(); }

    Instance() = default;
    Instance(const Instance &) = delete;
    Instance &operator=(const Instance &) = delete;
    ~Instance();

    // Closes all objects and links: a worker that is terminated leaves nothing attached.
    void CloseAll();

    Napi::FunctionReference error_factory;
    Napi::FunctionReference object_class;
    Napi::FunctionReference link_class;
    Napi::FunctionReference reader_class;

    std::unordered_set<BpfObject *> objects;
    // Links that belong to no object (program statistics).
    std::unordered_set<std::shared_ptr<LinkState>> links;
    // One of the links: the last that counts system calls.
    std::weak_ptr<LinkState> call_counter;
    // The state of the link that is being wrapped.
    std::shared_ptr<LinkState> new_link;
    // BTF of vmlinux, read at the first question about a kernel function.
    btf *vmlinux_btf = nullptr;
};

} // namespace hotspan
