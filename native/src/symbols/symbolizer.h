/** The symbolizer's face to JavaScript: NativeSymbolizer of agent/bpf/native.ts. */
#pragma once

#include <napi.h>

namespace hotspan {

/** Adds createSymbolizer({maxBytes}) to the addon's exports. */
void RegisterSymbolizer(Napi::Env env, Napi::Object exports);

} // namespace hotspan
