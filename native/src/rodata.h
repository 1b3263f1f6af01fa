// Constants of a BPF object: `const volatile` variables, set before the programs are loaded.
#pragma once

#include <cstdint>
#include <string>

struct bpf_object;

namespace hotspan {

// An integer from JS: its 64 bits, and whether it was below zero.
struct Integer {
    uint64_t bits = 0;
    bool is_negative = false;
};

// Writes `value` into the variable, whose place and size come from BTF. Returns 0, -ENOENT (no such variable), -ERANGE
// (the value does not fit), or -EINVAL (the variable is not 1, 2, 4 or 8 bytes); says more in `detail`.
int SetConstant(bpf_object *object, const std::string &variable, Integer value, std::string &detail);

} // namespace hotspan
