/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Events of source func: calls of probed functions, kernel's and programs', from entry to return. */
#ifndef HOTSPAN_FUNC_H
#define HOTSPAN_FUNC_H

#include "event.h"
#include "sums.h"
#include "unwind-table.h"

#define FUNC_ARGS 6

/* Functions that can be probed at once: slots of func_sums. */
#define FUNC_TARGETS_MAX 512

/* A call that returned. header.time_ns is the moment of the return. */
struct func_event {
    struct event_header header;
    duration_ns latency_ns;
    exact_u64 span_key;   /* never 0 */
    exact_u64 parent_key; /* the probed call on the same thread that this one was made in; 0 for none */
    exact_u64 trace_key;  /* span_key of the outermost such call, of this one where there is none */
    code_addr address;    /* of the function; of a program's function as it is mapped in the process */
    exact_u64 result;     /* of a function that returns one */
    exact_u64 args[FUNC_ARGS];
    exact_u64 cgroup_id;
    __u32 target; /* id that the agent gave the target */
    __u32
        syscall; /* where a function is seen by a system call: its number plus 1, and args are its arguments; else 0 */
    comm_text comm;
    __u16 kernel_depth;
    __u16 user_depth;
    __u16 user_raw_bytes; /* struct unwind_resume and the copy of the stack; 0 where there is none */
    __u16 reserved;
    enum unwind_end user_end;
    __u32 reserved2;
    __u8 tail[];
};

/* All calls of one target on one CPU; the key is the target's slot. */
struct func_sums {
    LATENCY_SUMS_FIELDS
};

/* Key of an open call. */
struct func_call_key {
    exact_u64 pid_tgid;  /* of a goroutine: with thread 0 */
    exact_u64 goroutine; /* address of its g; 0 for a thread */
    __u32 depth;         /* how many open calls it was made in */
    __u32 reserved;
};

struct func_settings {
    duration_ns min_latency_ns;
    pid_nr pid;       /* only this process; 0 for all */
    __u32 has_stacks; /* whether events carry stacks */
};

#endif
