// What the kernel takes to call a program, beyond what the program itself takes, which is all that its own statistics
// count. Found out by timing system calls of the calling thread with tiny programs attached. No JS here.
#pragma once

namespace hotspan {

// Nanoseconds; 0 where a way is not to be had.
struct DispatchCost {
    double tracepoint_ns = 0; // of a program on the tracepoint of one system call, a run
    double raw_ns = 0;        // of a program on a raw or BTF tracepoint, a run
    double call_ns = 0;       // of every system call of the host, while any of them has a tracepoint in use
};

// Takes 10 ms of CPU, and 0.2 s because the kernel waits where a program is detached: not for JS's thread.
DispatchCost MeasureDispatch();

// A descriptor of a program that does nothing: attached to the entries of all system calls, its runs are their number.
// Negative errno where it cannot be loaded.
int LoadCallCounter();

} // namespace hotspan
