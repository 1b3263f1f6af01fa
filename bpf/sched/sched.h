/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Source sched: where every thread's wall-clock goes. Times are summed in the kernel, exactly; what is told one by one
 * is each new stack, once, and each thread's end. */
#ifndef HOTSPAN_SCHED_H
#define HOTSPAN_SCHED_H

#include "event.h"
#include "stack-record.h"
#include "sums.h"

enum sched_kind {
    SCHED_STACK = 0,
    SCHED_END,
};

/* What a thread does at a moment. */
enum sched_state {
    SCHED_STATE_UNKNOWN = 0, /* not seen since the start of the source */
    SCHED_STATE_ON_CPU,
    SCHED_STATE_PREEMPTED, /* runnable, and waits because another one was given its CPU */
    SCHED_STATE_WOKEN,     /* runnable, and waits since it was woken or made */
    SCHED_STATE_BLOCKED,
    SCHED_STATE_MAX,
};

/* Time of one thread by state. What is below the floor is in here and in no sum. */
struct sched_totals {
    duration_ns on_cpu_ns;
    duration_ns preempted_ns;
    duration_ns woken_ns;
    duration_ns blocked_ns;
    event_count preempted; /* how often */
    event_count woken;
    event_count blocked;
    /* Parts of the above that are in no sum: shorter than the floor, or the sums had no room. */
    duration_ns untold_preempted_ns;
    duration_ns untold_woken_ns;
    duration_ns untold_blocked_ns;
    /* From the last that was seen of it to a switch away from it: the kernel did not tell of the one that gave it the
     * CPU. */
    duration_ns unseen_ns;
};

/* A stack that sums refer to: told before the first of them, once. */
struct sched_stack_event {
    STACK_RECORD_FIELDS
};

/* A thread ended; its totals since its own start or that of the source. */
struct sched_end_event {
    struct event_header header;
    comm_text comm;
    struct sched_totals totals;
};

#define SCHED_FLAG_IO_WAIT 1         /* the kernel counts it as waiting for a block device */
#define SCHED_FLAG_UNINTERRUPTIBLE 2 /* state D */
/* Woken by a handler on an interrupt's stack: a device's, a timer's, or the network's on behalf of the thread that
 * sends. The waker's stack, of the kernel alone, tells which; where there is no waker the CPU was idle. */
#define SCHED_FLAG_WAKER_INTERRUPT 4
#define SCHED_FLAG_NO_STACK 8 /* the stack could not be told: out of room or budget */
#define SCHED_FLAG_LOCK 16    /* in a futex call that waits for a lock, as far as the value tells that it expects */

/* No system call: a page fault, or a thread of the kernel. */
#define SCHED_NO_SYSCALL 0xffff

/* Key of sched_sums_a and sched_sums_b. */
struct sched_sum_key {
    exact_u64 stack;       /* of the thread while it waited; 0: none */
    exact_u64 waker_stack; /* 0: none */
    pid_nr pid;
    pid_nr tid;
    pid_nr waker_pid;
    pid_nr waker_tid;
    __u16 syscall; /* its number, or SCHED_NO_SYSCALL */
    __u8 state;    /* enum sched_state */
    __u8 flags;    /* SCHED_FLAG_* */
    __u32 reserved;
};

struct sched_sum {
    duration_ns total_ns;
    duration_ns longest_ns;
    event_count count;
};

/* Value of sched_threads, by tid: what a thread is doing. */
struct sched_thread {
    ktime_ns since_ns;
    exact_u64 stack;
    exact_u64 waker_stack;
    pid_nr pid;
    pid_nr waker_pid;
    pid_nr waker_tid;
    __u16 syscall;
    __u8 state;
    __u8 flags;
    comm_text comm;
    struct sched_totals totals;
};

/* What a wait's length is counted under, as far as it can be told without a stack: by the kernel's own mark of block
 * I/O, by what a futex call expects, and by the system call (sched_causes). Key of sched_latencies. */
enum sched_wait {
    SCHED_WAIT_OTHER = 0, /* what sched_causes says of a system call that it does not know */
    SCHED_WAIT_WOKEN,
    SCHED_WAIT_PREEMPTED,
    SCHED_WAIT_DISK,
    SCHED_WAIT_LOCK,
    SCHED_WAIT_CONDITION, /* at a futex that is no lock, as far as the call tells */
    SCHED_WAIT_FILE_SYSTEM,
    SCHED_WAIT_NETWORK_RECEIVE,
    SCHED_WAIT_NETWORK_SEND,
    SCHED_WAIT_IDLE,
    SCHED_WAIT_SLEEP,
    SCHED_WAIT_CHILD,
    SCHED_WAIT_READ_WRITE, /* of what cannot be told without the stack: a socket, a pipe, a file */
    SCHED_WAIT_NO_SYSCALL, /* page faults, and threads of the kernel */
    SCHED_WAIT_MAX,
};

/* All waits of one kind on one CPU, those below the floor included. */
struct sched_latencies {
    LATENCY_SUMS_FIELDS
};

/* Value of sched_settings. */
struct sched_settings {
    duration_ns floor_ns;    /* waits shorter than this are summed without a stack */
    __u32 stacks_per_second; /* and CPU: walks beyond it are left out, and counted */
    __u32 epoch;             /* 0: sums go to sched_sums_a, 1: to sched_sums_b */
    pid_nr pid;              /* only this process; 0: all */
    __u32 reserved;
};

#endif
