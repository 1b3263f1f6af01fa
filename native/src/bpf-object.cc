// Opens, loads, attaches and closes objects; see bpf-object.h. The map methods are in bpf-object-maps.cc.
#include "bpf-object.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "arguments.h"
#include "fd.h"
#include "instance.h"
#include "libbpf-log.h"
#include "link.h"
#include "rodata.h"

namespace hotspan {

Napi::Function BpfObject::Define(Napi::Env env) {
    return DefineClass(env, "NativeObject",
                       {
                           InstanceAccessor<&BpfObject::Programs>("programs"),
                           InstanceAccessor<&BpfObject::Maps>("maps"),
                           InstanceMethod<&BpfObject::SetAutoload>("setAutoload"),
                           InstanceMethod<&BpfObject::SetAttachTarget>("setAttachTarget"),
                           InstanceMethod<&BpfObject::SetMaxEntries>("setMaxEntries"),
                           InstanceMethod<&BpfObject::SetConstant>("setConstant"),
                           InstanceMethod<&BpfObject::ReuseMap>("reuseMap"),
                           InstanceMethod<&BpfObject::Load>("load"),
                           InstanceMethod<&BpfObject::AttachProgram>("attach"),
                           InstanceMethod<&BpfObject::Iterate>("iterate"),
                           InstanceMethod<&BpfObject::MapLookup>("mapLookup"),
                           InstanceMethod<&BpfObject::MapUpdate>("mapUpdate"),
                           InstanceMethod<&BpfObject::MapDelete>("mapDelete"),
                           InstanceMethod<&BpfObject::MapEntries>("mapEntries"),
                           InstanceMethod<&BpfObject::Stats>("stats"),
                           InstanceMethod<&BpfObject::MapBytes>("mapBytes"),
                           InstanceMethod<&BpfObject::Close>("close"),
                       });
}

BpfObject::BpfObject(const Napi::CallbackInfo &info) : Napi::ObjectWrap<BpfObject>(info) {
    std::optional<std::string> path = StringArgument(info, 0, "path");
    if (!path)
        return;
    file_ = *path;
    LibbpfLog log;
    object_ = bpf_object__open_file(path->c_str(), nullptr);
    if (!object_) {
        int error = errno;
        Throw(info.Env(), {"open", file_, error, log.LastWarning(), ""});
        return;
    }
    state_ = State::opened;
    Instance::Of(info.Env())->objects.insert(this);
}

BpfObject::~BpfObject() {
    CloseNow();
}

BpfObject *BpfObject::From(Napi::Env env, Napi::Value value) {
    if (!value.IsObject() || !value.As<Napi::Object>().InstanceOf(Instance::Of(env)->object_class.Value())) {
        Throw(env, {"read argument", "object", EINVAL, "an object made by openObject is needed", ""});
        return nullptr;
    }
    return Unwrap(value.As<Napi::Object>());
}

bool BpfObject::Require(Napi::Env env, State state, const char *operation, const std::string &object) {
    if (state_ == state)
        return true;
    const char *detail = state_ == State::closed   ? "the object is closed"
                         : state_ == State::loaded ? "the object is loaded already"
                                                   : "the object is not loaded yet";
    Throw(env, {operation, object, EINVAL, detail, ""});
    return false;
}

bpf_program *BpfObject::FindProgram(Napi::Env env, State state, const char *operation, const std::string &name) {
    if (!Require(env, state, operation, name))
        return nullptr;
    bpf_program *program = bpf_object__find_program_by_name(object_, name.c_str());
    if (!program)
        Throw(env, {operation, name, ENOENT, "the object has no program of that name", ""});
    return program;
}

Napi::Value BpfObject::Programs(const Napi::CallbackInfo &info) {
    Napi::Array programs = Napi::Array::New(info.Env());
    bpf_program *program = nullptr;
    uint32_t count = 0;
    if (!object_)
        return programs;
    bpf_object__for_each_program(program, object_) {
        Napi::Object item = Napi::Object::New(info.Env());
        item.Set("name", bpf_program__name(program));
        item.Set("section", bpf_program__section_name(program));
        item.Set("type", static_cast<double>(bpf_program__type(program)));
        programs.Set(count++, item);
    }
    return programs;
}

Napi::Value BpfObject::SetAutoload(const Napi::CallbackInfo &info) {
    auto name = StringArgument(info, 0, "program");
    auto is_loaded = BoolArgument(info, 1, "isLoaded");
    if (!name || !is_loaded)
        return info.Env().Undefined();
    if (bpf_program *program = FindProgram(info.Env(), State::opened, "setAutoload", *name))
        bpf_program__set_autoload(program, *is_loaded);
    return info.Env().Undefined();
}

Napi::Value BpfObject::SetAttachTarget(const Napi::CallbackInfo &info) {
    auto name = StringArgument(info, 0, "program");
    auto function = StringArgument(info, 1, "kernelFunction");
    if (!name || !function)
        return info.Env().Undefined();
    bpf_program *program = FindProgram(info.Env(), State::opened, "setAttachTarget", *name);
    if (!program)
        return info.Env().Undefined();
    LibbpfLog log;
    has_attach_target_ = true;
    if (int error = bpf_program__set_attach_target(program, 0, function->c_str())) {
        std::string detail =
            error == -ESRCH || error == -ENOENT ? "the kernel's BTF has no function " + *function : log.LastWarning();
        Throw(info.Env(), {"setAttachTarget", *name, -error, detail, ""});
    }
    return info.Env().Undefined();
}

static std::optional<Integer> IntegerArgument(const Napi::CallbackInfo &info, size_t index) {
    if (info[index].IsBigInt()) {
        bool is_lossless_unsigned = false, is_lossless_signed = false;
        Napi::BigInt value = info[index].As<Napi::BigInt>();
        uint64_t bits = value.Uint64Value(&is_lossless_unsigned);
        int64_t number = value.Int64Value(&is_lossless_signed);
        if (is_lossless_unsigned || is_lossless_signed)
            return Integer{bits, is_lossless_signed && number < 0};
    } else if (info[index].IsNumber()) {
        double value = info[index].As<Napi::Number>().DoubleValue();
        // 2^53: beyond it a number is not exact, and a bigint is asked for.
        if (value >= -9007199254740991.0 && value <= 9007199254740991.0 &&
            value == static_cast<double>(static_cast<int64_t>(value)))
            return Integer{static_cast<uint64_t>(static_cast<int64_t>(value)), value < 0};
    }
    Throw(info.Env(), {"read argument", "value", EINVAL, "a whole number of at most 64 bits is needed", ""});
    return std::nullopt;
}

Napi::Value BpfObject::SetConstant(const Napi::CallbackInfo &info) {
    auto variable = StringArgument(info, 0, "variable");
    if (!variable)
        return info.Env().Undefined();
    auto value = IntegerArgument(info, 1);
    if (!value || !Require(info.Env(), State::opened, "setConstant", *variable))
        return info.Env().Undefined();
    std::string detail;
    if (int error = hotspan::SetConstant(object_, *variable, *value, detail))
        Throw(info.Env(), {"setConstant", *variable, -error, detail, ""});
    return info.Env().Undefined();
}

void BpfObject::SetNumber(Napi::Env env, const std::string &variable, uint64_t value) {
    std::string detail;
    if (!Require(env, State::opened, "setConstant", variable))
        return;
    if (int error = hotspan::SetConstant(object_, variable, Integer{value, false}, detail))
        Throw(env, {"setConstant", variable, -error, detail, ""});
}

// The verifier's log has room for the largest that the oldest kernel of our range takes. The pages cost nothing until
// the verifier writes to them, which it does only when a program is refused.
class VerifierLog {
  public:
    VerifierLog() {
        void *memory = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        text_ = memory == MAP_FAILED ? nullptr : static_cast<char *>(memory);
    }
    ~VerifierLog() {
        if (text_)
            munmap(text_, size_);
    }
    VerifierLog(const VerifierLog &) = delete;
    VerifierLog &operator=(const VerifierLog &) = delete;

    void GiveTo(bpf_object *object) {
        bpf_program *program = nullptr;
        bpf_object__for_each_program(program, object) {
            bpf_program__set_log_buf(program, text_, text_ ? size_ : 0);
        }
    }

    // The end of the log, where it says what was refused.
    std::string Tail() const {
        size_t length = text_ ? strnlen(text_, size_) : 0;
        size_t kept = std::min<size_t>(length, 64 * 1024);
        return std::string(text_ ? text_ + length - kept : "", kept);
    }

  private:
    // BPF_LOG maximum of kernels before 5.16 is UINT_MAX >> 8.
    static constexpr size_t size_ = UINT32_MAX >> 8;
    char *text_;
};

Napi::Value BpfObject::Load(const Napi::CallbackInfo &info) {
    if (!Require(info.Env(), State::opened, "load", file_))
        return info.Env().Undefined();
    LibbpfLog log;
    VerifierLog verifier_log;
    verifier_log.GiveTo(object_);
    int error = bpf_object__load(object_);
    if (error) {
        // A failed load cannot be tried again with libbpf: the object is of no more use.
        std::string program = log.LastProgram();
        Failure failure{"load", program.empty() ? file_ : program, -error, log.LastWarning(), verifier_log.Tail()};
        CloseNow();
        Throw(info.Env(), failure);
        return info.Env().Undefined();
    }
    // The log's memory ends here; the programs must not point there any more.
    bpf_program *program = nullptr;
    bpf_object__for_each_program(program, object_) {
        bpf_program__set_log_buf(program, nullptr, 0);
    }
    state_ = State::loaded;
    // What is attached must not be detached because JS happens to collect garbage: only close() ends a loaded object.
    is_held_ = true;
    Ref();
    return info.Env().Undefined();
}

static std::optional<AttachSpec> ReadSpec(const Napi::CallbackInfo &info, size_t index, const std::string &program) {
    AttachSpec spec;
    Napi::Object object = info[index].IsObject() ? info[index].As<Napi::Object>() : Napi::Object::New(info.Env());
    std::string type = StringField(object, "type");
    double offset = NumberField(object, "offset", 0);
    double frequency = NumberField(object, "frequencyHz", 0);
    double pid = NumberField(object, "pid", -1);
    spec.symbol = StringField(object, "symbol");
    spec.path = StringField(object, "path");
    spec.category = StringField(object, "category");
    spec.name = StringField(object, "name");
    spec.is_return = BoolField(object, "isReturn");
    spec.is_hardware = StringField(object, "event") == "cycles";
    spec.is_major = BoolField(object, "isMajor");
    bool is_valid = offset >= 0 && offset < 9e15 && pid >= -1 && pid < 4194305 && frequency >= 0 && frequency <= 1e6;
    if (type == "auto")
        spec.type = AttachSpec::Type::automatic;
    else if (type == "kprobe" && !spec.symbol.empty())
        spec.type = AttachSpec::Type::kprobe;
    else if (type == "uprobe" && !spec.path.empty())
        spec.type = AttachSpec::Type::uprobe;
    else if (type == "tracepoint")
        spec.type = AttachSpec::Type::tracepoint;
    else if (type == "perf" && frequency >= 1)
        spec.type = AttachSpec::Type::perf;
    else if (type == "page-faults")
        spec.type = AttachSpec::Type::page_faults;
    else
        is_valid = false;
    if (!is_valid) {
        Throw(info.Env(),
              {"attach", program, EINVAL, "the way to attach (an AttachSpec) is not complete or out of bounds", ""});
        return std::nullopt;
    }
    spec.offset = static_cast<size_t>(offset);
    spec.frequency_hz = static_cast<unsigned>(frequency);
    spec.pid = static_cast<int>(pid);
    return spec;
}

Napi::Value BpfObject::AttachProgram(const Napi::CallbackInfo &info) {
    auto name = StringArgument(info, 0, "program");
    if (!name)
        return info.Env().Undefined();
    bpf_program *program = FindProgram(info.Env(), State::loaded, "attach", *name);
    if (!program)
        return info.Env().Undefined();
    auto spec = ReadSpec(info, 1, *name);
    if (!spec)
        return info.Env().Undefined();
    if (bpf_program__fd(program) < 0) {
        Throw(info.Env(), {"attach", *name, EINVAL, "the program was left out when the object was loaded", ""});
        return info.Env().Undefined();
    }
    LibbpfLog log;
    auto state = std::make_shared<LinkState>();
    std::string detail;
    if (int error = Attach(program, *spec, *state, detail)) {
        Throw(info.Env(), {"attach", *name, -error, detail.empty() ? log.LastWarning() : detail, ""});
        return info.Env().Undefined();
    }
    // Links that JS has detached since leave the list here, so that it stays as long as what is attached.
    std::erase_if(links_, [](const auto &link) { return link->links.empty(); });
    links_.push_back(state);
    return Link::Wrap(info.Env(), state);
}

// The iterator runs while its file is read, and as these write nothing, to the first end of it.
static int RunIterator(bpf_program *program) {
    bpf_link *link = bpf_program__attach_iter(program, nullptr);
    if (!link)
        return -errno;
    Fd iterator(bpf_iter_create(bpf_link__fd(link)));
    int error = iterator ? 0 : -errno;
    char buffer[4096];
    for (ssize_t got = 1; !error && got > 0;) {
        got = read(iterator.get(), buffer, sizeof(buffer));
        // EAGAIN: it has rested after a million of entries, and goes on with the next read.
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            got = 1;
        else if (got < 0)
            error = -errno;
    }
    bpf_link__destroy(link);
    return error;
}

Napi::Value BpfObject::Iterate(const Napi::CallbackInfo &info) {
    auto name = StringArgument(info, 0, "program");
    if (!name)
        return info.Env().Undefined();
    bpf_program *program = FindProgram(info.Env(), State::loaded, "iterate", *name);
    if (!program)
        return info.Env().Undefined();
    LibbpfLog log;
    if (int error = RunIterator(program))
        Throw(info.Env(), {"iterate", *name, -error, log.LastWarning(), ""});
    return info.Env().Undefined();
}

Napi::Value BpfObject::Stats(const Napi::CallbackInfo &info) {
    Napi::Array stats = Napi::Array::New(info.Env());
    if (!Require(info.Env(), State::loaded, "stats", file_))
        return stats;
    bpf_program *program = nullptr;
    uint32_t count = 0;
    bpf_object__for_each_program(program, object_) {
        bpf_prog_info program_info{};
        __u32 size = sizeof(program_info);
        int fd = bpf_program__fd(program);
        if (fd < 0)
            continue;
        if (int error = bpf_obj_get_info_by_fd(fd, &program_info, &size)) {
            Throw(info.Env(), {"stats", bpf_program__name(program), -error, "", ""});
            return stats;
        }
        Napi::Object item = Napi::Object::New(info.Env());
        item.Set("name", bpf_program__name(program));
        item.Set("id", static_cast<double>(program_info.id));
        item.Set("type", static_cast<double>(program_info.type));
        item.Set("runCount", static_cast<double>(program_info.run_cnt));
        item.Set("runTimeNs", static_cast<double>(program_info.run_time_ns));
        item.Set("missedRuns", static_cast<double>(program_info.recursion_misses));
        item.Set("memoryBytes", static_cast<double>(program_info.jited_prog_len));
        stats.Set(count++, item);
    }
    return stats;
}

void BpfObject::OnClose(std::function<void()> action) {
    on_close_.push_back(std::move(action));
}

// Looking for an attach target reads the kernel's BTF, 6 MB. libbpf before 1.4 frees it only at the end of a load, so
// an object that is closed before that loads nothing first: no program and no map.
void BpfObject::ReleaseKernelTypes() {
    LibbpfLog log;
    bpf_program *program = nullptr;
    bpf_map *map = nullptr;
    bpf_object__for_each_program(program, object_) {
        bpf_program__set_autoload(program, false);
    }
    bpf_object__for_each_map(map, object_) {
        bpf_map__set_autocreate(map, false);
    }
    bpf_object__load(object_);
}

void BpfObject::CloseNow() {
    // Programs stop first, then their records are let go, then the maps.
    DetachTogether(links_);
    links_.clear();
    auto actions = std::move(on_close_);
    on_close_.clear();
    for (const auto &action : actions)
        action();
    if (state_ == State::opened && has_attach_target_)
        ReleaseKernelTypes();
    if (object_)
        bpf_object__close(object_);
    object_ = nullptr;
    state_ = State::closed;
    if (Instance *instance = Instance::Of(Env()))
        instance->objects.erase(this);
}

Napi::Value BpfObject::Close(const Napi::CallbackInfo &info) {
    CloseNow();
    if (is_held_)
        Unref();
    is_held_ = false;
    return info.Env().Undefined();
}

} // namespace hotspan
