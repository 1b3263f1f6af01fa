// Ids of the kernel's tracepoints, also where tracefs is not mounted.
#pragma once

#include <string>

namespace hotspan {

// The id that perf_event_open takes for a tracepoint, or a negative errno: -ENOENT where there is none of that name.
int TracepointId(const std::string &category, const std::string &name);

} // namespace hotspan
