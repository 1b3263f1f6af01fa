// Which CPUs are online, and how many there can be.
#pragma once

#include <vector>

namespace hotspan {

// Numbers of the CPUs that are online now; empty where /sys cannot be read.
std::vector<int> OnlineCpus();

} // namespace hotspan
