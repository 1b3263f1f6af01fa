/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Source mem: address space mapped and unmapped, Go's sampled allocations and, where asked for, calls of malloc, summed
 * by process and stack in the kernel. Told one by one are each new stack, once, and the victims of the out-of-memory
 * killer. */
#ifndef HOTSPAN_MEM_H
#define HOTSPAN_MEM_H

#include "event.h"
#include "stack-record.h"

enum mem_kind {
    MEM_STACK = 0,
    MEM_OOM,
    MEM_LIMIT,
    MEM_EXEC,
};

/* A stack that sums refer to: told before the first of them, once. */
struct mem_stack_event {
    STACK_RECORD_FIELDS
};

/* The header's process is the one whose wish for memory could not be met. */
struct mem_oom_event {
    struct event_header header;
    pid_nr victim_pid;
    __u32 reserved;
    comm_text comm; /* of the header's thread */
};

/* malloc is called more often than is allowed, and is no longer counted. */
struct mem_limit_event {
    struct event_header header;
};

/* The header's process runs another program from now on, which may be one of Go that is not probed yet. */
struct mem_exec_event {
    struct event_header header;
};

/* What a sum is of. */
enum mem_what {
    MEM_WHAT_MMAP_ANONYMOUS = 0, /* mapped */
    MEM_WHAT_MMAP_FILE,
    MEM_WHAT_MMAP_SHARED, /* anonymous, and shared with children */
    MEM_WHAT_BRK,
    MEM_WHAT_MREMAP,
    MEM_WHAT_MUNMAP, /* unmapped */
    MEM_WHAT_BRK_LESS,
    MEM_WHAT_MREMAP_LESS,
    MEM_WHAT_GO,     /* an allocation that Go's runtime has sampled */
    MEM_WHAT_MALLOC, /* a call */
    MEM_WHAT_MAX,
};

/* Key of mem_sums_a and mem_sums_b. */
struct mem_sum_key {
    exact_u64 stack;       /* 0: none */
    byte_count size_bytes; /* of Go's allocations, each of which stands for more the smaller it is; else 0 */
    pid_nr pid;
    __u32 what; /* enum mem_what */
};

struct mem_sum {
    byte_count bytes;
    event_count calls;
    comm_text comm;
};

/* Value of mem_settings. */
struct mem_settings {
    __u32 stacks_per_second;  /* and CPU: walks beyond it are left out */
    __u32 epoch;              /* 0: sums go to mem_sums_a, 1: to mem_sums_b */
    pid_nr pid;               /* only this process; 0: all */
    __u32 mallocs_per_second; /* and CPU */
};

#endif
