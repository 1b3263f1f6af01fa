/** Functions to probe: those of a file, by name or glob, and those of the kernel. */
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernel-symbols.h"

namespace hotspan::symbols {

/** `*` any characters, `?` one, `[a-z]` one of a set, `[!a-z]` one outside of it. Linear in time whatever the pattern.
 */
bool matchesGlob(std::string_view pattern, std::string_view text);

struct ProbeTarget {
    std::string name;
    /** In the file: what a uprobe takes. */
    uint64_t fileOffset = 0;
    uint64_t sizeBytes = 0;
    bool isGo = false;
    /** File offsets of RET instructions; only of Go functions, and none where the code could not be decoded to its end.
     */
    std::vector<uint64_t> returnOffsets;
};

struct ProbeTargets {
    std::vector<ProbeTarget> targets;
    /** errno of opening; ENOEXEC where it is no ELF file, EBADMSG where nothing was found in one that is cut or lies.
     */
    int error = 0;
};

/** Matches the name in the file and, for patterns with "::", "<" or "(", the demangled one. Sorted by name. */
ProbeTargets findProbeTargets(const std::string &path, std::string_view pattern, size_t limit);

struct KernelFunction {
    std::string name;
    uint64_t address = 0;
};
std::vector<KernelFunction> findKernelFunctions(const KernelTable &table, std::string_view pattern, size_t limit);

} // namespace hotspan::symbols
