// Closes perf events whose program is gone, off the caller's thread.
//
// The last close of an event on a tracepoint or probe waits for a grace period of the kernel, 10 to 70 ms each and one
// after the other: a source with forty of them would take seconds to stop. Its programs are detached before, which is
// immediate where the kernel has perf links (5.15), so all that is left for later is an event that runs nothing.
#pragma once

#include "fd.h"

namespace hotspan {

// The event is closed within about half a second, by a thread that ends when there is nothing left to close.
void CloseEventLater(Fd event);

} // namespace hotspan
