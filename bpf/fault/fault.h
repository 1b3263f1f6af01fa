/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Source fault: page faults and what they do to resident memory, summed by process, stack and class in the kernel. What
 * is told one by one is each new stack, once. */
#ifndef HOTSPAN_FAULT_H
#define HOTSPAN_FAULT_H

#include "event.h"
#include "stack-record.h"

enum fault_kind {
    FAULT_STACK = 0,
};

/* A stack that sums refer to: told before the first of them, once. */
struct fault_stack_event {
    STACK_RECORD_FIELDS
};

/* What a sum is of. */
enum fault_what {
    FAULT_WHAT_MINOR = 0, /* faults, served without a wait for a device */
    FAULT_WHAT_MAJOR,     /* faults */
    FAULT_WHAT_RESIDENT,  /* pages, of which those that went are negative */
    FAULT_WHAT_MAX,
};

/* Of faults. What page it brought is the kernel's own account of the fault; heap and stack are told by the address. */
enum fault_class {
    FAULT_CLASS_HEAP = 0,  /* between the process's start_brk and brk */
    FAULT_CLASS_STACK,     /* the main thread's stack, or within a page of the stack pointer */
    FAULT_CLASS_ANONYMOUS, /* another anonymous page */
    FAULT_CLASS_FILE,
    FAULT_CLASS_COPIED,  /* a file's page, copied because it was written to */
    FAULT_CLASS_SHARED,  /* shared memory */
    FAULT_CLASS_NO_PAGE, /* none: the first read of memory that is all zeros, or the first write to a page that was
                            there */
    FAULT_CLASS_KERNEL,  /* served for the kernel while it filled or pinned memory: there is no address and no stack */
    FAULT_CLASS_MAX,
};

/* Of resident memory: the kernel's counters, MM_FILEPAGES and so on of include/linux/mm_types_task.h. */
enum fault_member {
    FAULT_MEMBER_FILE = 0,
    FAULT_MEMBER_ANONYMOUS,
    FAULT_MEMBER_SWAP, /* not resident */
    FAULT_MEMBER_SHARED,
    FAULT_MEMBER_MAX,
};

/* Why resident memory came or went. */
enum fault_reason {
    FAULT_REASON_THREAD = 0, /* by the process itself, where its stack tells */
    FAULT_REASON_FORK,       /* the pages that it was given at its start */
    FAULT_REASON_EXEC,       /* the pages that its new image was given */
    FAULT_REASON_END,        /* it ended, or its old image did */
    FAULT_REASON_KERNEL,     /* taken or brought by somebody else: reclaim, migration, swapping */
    FAULT_REASON_MAX,
};

/* Key of fault_sums_a and fault_sums_b. */
struct fault_sum_key {
    exact_u64 stack; /* 0: none */
    pid_nr pid;
    __u8 what;   /* enum fault_what */
    __u8 detail; /* of faults enum fault_class, of pages enum fault_member */
    __u8 reason; /* of pages enum fault_reason */
    __u8 reserved;
};

struct fault_sum {
    kernel_result value; /* faults or pages */
    comm_text comm;      /* empty where another process did it */
};

/* Value of fault_mms, by the address of its mm_struct: an address space. */
struct fault_mm {
    pid_nr pid;
    __u32 is_whole; /* seen since its beginning */
    /* Of the counters: what is in the sums, or was there before. */
    kernel_result counted[4];
    kernel_result pages; /* that the sums have given it */
};

/* Value of fault_settings. */
struct fault_settings {
    __u32 stacks_per_second; /* and CPU: walks beyond it are left out */
    __u32 epoch;             /* 0: sums go to fault_sums_a, 1: to fault_sums_b */
    pid_nr pid;              /* only this process; 0: all */
    __u32 reserved;
};

#endif
