// Ids and fields of the kernel's tracepoints, also where tracefs is not mounted.
#pragma once

#include <string>
#include <vector>

namespace hotspan {

// The id that perf_event_open takes for a tracepoint, or a negative errno: -ENOENT where there is none of that name.
int TracepointId(const std::string &category, const std::string &name);

// Names of its fields in order, without those that all tracepoints have. 0 or a negative errno.
int TracepointFields(const std::string &category, const std::string &name, std::vector<std::string> &fields);

} // namespace hotspan
