// The options that the running kernel was built with, where it tells.
#pragma once

#include <string>

namespace hotspan {

// 'y', 'm' or 'n' for an option ("CONFIG_KPROBES"); 0 where neither /proc/config.gz nor /boot/config-RELEASE can be
// read.
char KernelOption(const std::string &option);

// "6.18.44".
std::string KernelRelease();

} // namespace hotspan
