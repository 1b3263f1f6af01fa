// Gives back what the process holds and does not use.
#ifndef HOTSPAN_OWN_MEMORY_H
#define HOTSPAN_OWN_MEMORY_H

#include <napi.h>

namespace hotspan {

// releaseMemory(): number. Returns free heap to the kernel, and drops from this process pages of programs and libraries
// that only its start needed; what is used again is mapped again from the page cache. Gives the bytes of such mappings.
Napi::Value ReleaseMemory(const Napi::CallbackInfo &info);

} // namespace hotspan

#endif
