/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Events of source cpu: where each CPU was when its sampling clock ticked. */
#ifndef HOTSPAN_CPU_H
#define HOTSPAN_CPU_H

#include "event.h"
#include "unwind-table.h"

/* One tick outside the idle task. */
struct cpu_event {
    struct event_header header;
    duration_ns period_ns; /* CPU time that this sample stands for: 1e9 / frequency, from the kernel's own period */
    exact_u64 cgroup_id;
    comm_text comm; /* of the thread */
    __u16 kernel_depth;
    __u16 user_depth;
    __u16 user_raw_bytes; /* struct unwind_resume and the copy of the stack; 0 where there is none */
    __u16 reserved;
    enum unwind_end user_end;
    __u32 reserved2;
    __u8 tail[];
};

#endif
