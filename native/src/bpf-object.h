// One ELF object of programs and maps, from open to close: JS class NativeObject.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "attach.h"
#include "error.h"
#include "map-access.h"

struct bpf_map;
struct bpf_object;
struct bpf_program;

namespace hotspan {

struct LinkState;

class BpfObject : public Napi::ObjectWrap<BpfObject> {
  public:
    static Napi::Function Define(Napi::Env env);
    explicit BpfObject(const Napi::CallbackInfo &info);
    ~BpfObject() override;

    // Detaches and unloads; safe to call again.
    void CloseNow();

    // A map of the loaded object, else nullptr and the error is thrown.
    bpf_map *LoadedMap(Napi::Env env, const char *operation, const std::string &name);
    // Called once, after the programs are detached and before the maps are closed: a perf reader removes its buffers
    // there.
    void OnClose(std::function<void()> action);

    // Before load: puts a map of others in place of the object's own of that name. True where it has one; throws where
    // that fails.
    bool TakeMap(Napi::Env env, const std::string &name, int map_fd);
    // Before load: sets a `const volatile`; throws where there is none.
    void SetNumber(Napi::Env env, const std::string &variable, uint64_t value);

    static BpfObject *From(Napi::Env env, Napi::Value value);

  private:
    void ReleaseKernelTypes();
    enum class State { opened, loaded, closed };

    Napi::Value Programs(const Napi::CallbackInfo &info);
    Napi::Value Maps(const Napi::CallbackInfo &info);
    Napi::Value SetAutoload(const Napi::CallbackInfo &info);
    Napi::Value SetAttachTarget(const Napi::CallbackInfo &info);
    Napi::Value SetMaxEntries(const Napi::CallbackInfo &info);
    Napi::Value SetConstant(const Napi::CallbackInfo &info);
    Napi::Value ReuseMap(const Napi::CallbackInfo &info);
    Napi::Value Load(const Napi::CallbackInfo &info);
    Napi::Value AttachProgram(const Napi::CallbackInfo &info);
    Napi::Value Iterate(const Napi::CallbackInfo &info);
    Napi::Value MapLookup(const Napi::CallbackInfo &info);
    Napi::Value MapUpdate(const Napi::CallbackInfo &info);
    Napi::Value MapDelete(const Napi::CallbackInfo &info);
    Napi::Value MapEntries(const Napi::CallbackInfo &info);
    Napi::Value Stats(const Napi::CallbackInfo &info);
    Napi::Value MapBytes(const Napi::CallbackInfo &info);
    Napi::Value Close(const Napi::CallbackInfo &info);

    // Each throws and returns false, or nullptr, when the object is not in the state or the name is unknown.
    bool Require(Napi::Env env, State state, const char *operation, const std::string &object);
    bpf_program *FindProgram(Napi::Env env, State state, const char *operation, const std::string &name);
    bpf_map *FindMap(Napi::Env env, State state, const char *operation, const std::string &name);
    // A map with its shape for reading, checked against the key (and value) that JS gave.
    bool MapForAccess(Napi::Env env, const char *operation, const std::string &name, MapShape &shape);

    std::string file_;
    bpf_object *object_ = nullptr;
    State state_ = State::closed;
    std::vector<std::shared_ptr<LinkState>> links_;
    std::vector<std::string> reused_maps_;
    std::vector<std::function<void()>> on_close_;
    bool has_attach_target_ = false;
    bool is_held_ = false; // JS cannot collect a loaded object
};

} // namespace hotspan
