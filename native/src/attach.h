// The ways to attach a program. No JS here: bpf-object.cc turns the spec that JS gives into these.
#pragma once

#include <string>

struct bpf_program;

namespace hotspan {

struct LinkState;

// A JS AttachSpec. Fields that a type does not use keep their defaults.
struct AttachSpec {
    enum class Type { automatic, kprobe, uprobe, tracepoint, perf, page_faults };
    Type type = Type::automatic;
    std::string symbol;         // kprobe
    std::string path;           // uprobe
    std::string category, name; // tracepoint
    size_t offset = 0;
    bool is_return = false;
    bool is_hardware = false; // perf: cycles instead of cpu-clock
    bool is_major = false;    // page_faults
    unsigned frequency_hz = 0;
    int pid = -1; // all processes
};

// Puts the links of a new attachment into `state`. Returns 0 or a negative errno, with one sentence in `detail` where
// there is more to say; what was attached before the failure is for `state` to detach.
int Attach(bpf_program *program, const AttachSpec &spec, LinkState &state, std::string &detail);

// A sampling event of perf, not yet enabled; a descriptor or a negative errno. `pid` is a thread, or -1 for all on
// `cpu`.
int OpenSamplingEvent(bool is_hardware, unsigned frequency_hz, int pid, int cpu);

// Tracepoint event for all CPUs; a descriptor or a negative errno.
int OpenTracepointEvent(const std::string &category, const std::string &name);

} // namespace hotspan
