// Reads BTF; see kernel-btf.h.
#include "kernel-btf.h"

#include <bpf/btf.h>
#include <dirent.h>

#include <cerrno>
#include <memory>
#include <string>

#include "arguments.h"
#include "error.h"
#include "instance.h"
#include "libbpf-log.h"

namespace hotspan {

struct BtfDeleter {
    void operator()(btf *types) const { btf__free(types); }
};

// {bytes, isSigned}: a pointer is 8 bytes without a sign, a structure has its size.
static Napi::Object DescribeType(Napi::Env env, const btf *types, __u32 type_id) {
    int resolved = btf__resolve_type(types, type_id);
    const btf_type *type = resolved > 0 ? btf__type_by_id(types, static_cast<__u32>(resolved)) : nullptr;
    bool is_signed = type && btf_is_int(type) && (btf_int_encoding(type) & BTF_INT_SIGNED);
    // Enumerations are int unless they say otherwise; BTF has the sign in the kind's flag since 6.0.
    is_signed = is_signed || (type && btf_is_any_enum(type) && btf_kflag(type));
    __s64 bytes = btf__resolve_size(types, type_id);
    Napi::Object description = Napi::Object::New(env);
    description.Set("bytes", static_cast<double>(bytes > 0 ? bytes : 0));
    description.Set("isSigned", Napi::Boolean::New(env, is_signed));
    return description;
}

static Napi::Value Describe(Napi::Env env, const btf *types, int function_id) {
    const btf_type *function = btf__type_by_id(types, static_cast<__u32>(function_id));
    const btf_type *prototype = function ? btf__type_by_id(types, function->type) : nullptr;
    if (!prototype || btf_kind(prototype) != BTF_KIND_FUNC_PROTO)
        return env.Undefined();
    Napi::Array arguments = Napi::Array::New(env);
    Napi::Array argument_types = Napi::Array::New(env);
    const btf_param *parameters = btf_params(prototype);
    for (uint32_t i = 0; i < btf_vlen(prototype); i++) {
        const char *name = btf__name_by_offset(types, parameters[i].name_off);
        // The last one of a function with variable arguments has neither name nor type.
        bool is_variadic = parameters[i].type == 0;
        arguments.Set(i, is_variadic ? "..." : name && *name ? name : "arg" + std::to_string(i));
        argument_types.Set(i, DescribeType(env, types, parameters[i].type));
    }
    Napi::Object result = Napi::Object::New(env);
    result.Set("arguments", arguments);
    result.Set("argumentTypes", argument_types);
    result.Set("resultType", DescribeType(env, types, prototype->type));
    // Type 0 is void.
    result.Set("returnsValue", Napi::Boolean::New(env, prototype->type != 0));
    return result;
}

// Modules have BTF of their own, which builds on that of vmlinux. It is read anew for each question: they are few, and
// are asked for only when vmlinux has no such function.
static Napi::Value FindInModules(Napi::Env env, btf *vmlinux, const std::string &name) {
    DIR *directory = opendir("/sys/kernel/btf");
    Napi::Value result = env.Undefined();
    if (!directory)
        return result;
    while (dirent *entry = readdir(directory)) {
        std::string module = entry->d_name;
        if (module[0] == '.' || module == "vmlinux")
            continue;
        std::unique_ptr<btf, BtfDeleter> types(btf__load_module_btf(module.c_str(), vmlinux));
        if (!types)
            continue;
        int id = btf__find_by_name_kind(types.get(), name.c_str(), BTF_KIND_FUNC);
        if (id > 0) {
            result = Describe(env, types.get(), id);
            break;
        }
    }
    closedir(directory);
    return result;
}

Napi::Value KernelFunctionPrototype(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    auto name = StringArgument(info, 0, "name");
    if (!name)
        return env.Undefined();
    LibbpfLog log;
    btf *&vmlinux = Instance::Of(env)->vmlinux_btf;
    if (!vmlinux) {
        vmlinux = btf__load_vmlinux_btf();
        if (!vmlinux) {
            Throw(env,
                  {"read", "/sys/kernel/btf/vmlinux", errno, "the kernel was built without CONFIG_DEBUG_INFO_BTF", ""});
            return env.Undefined();
        }
    }
    int id = btf__find_by_name_kind(vmlinux, name->c_str(), BTF_KIND_FUNC);
    return id > 0 ? Describe(env, vmlinux, id) : FindInModules(env, vmlinux, *name);
}

} // namespace hotspan
