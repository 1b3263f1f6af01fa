/** The unwinder as JavaScript sees it: NativeUnwinder in agent/bpf/native.ts. */
#pragma once

#include <napi.h>

namespace hotspan {

void RegisterUnwinder(Napi::Env env, Napi::Object exports);

} // namespace hotspan
