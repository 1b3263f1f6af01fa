// Questions about kernel functions, answered from the kernel's BTF.
#pragma once

#include <napi.h>

namespace hotspan {

// kernelFunctionPrototype(name): { arguments, argumentTypes, returnsValue, resultType }, or undefined where neither
// vmlinux nor a module has the function.
Napi::Value KernelFunctionPrototype(const Napi::CallbackInfo &info);

} // namespace hotspan
