// What this kernel gives, found out by trying: tiny programs are loaded and attached, and undone at once. No JS here.
#pragma once

#include <string>
#include <vector>

namespace hotspan {

struct Feature {
    const char *name;   // as in KernelFeatures of agent/bpf/native.ts
    std::string reason; // one sentence why not; empty where available
};

std::vector<Feature> ProbeFeatures();

} // namespace hotspan
