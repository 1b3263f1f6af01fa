/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Source lock: who waits for which lock in user space, for how long, and who ended the wait. Waits are those of the
 * futex system calls, summed in the kernel; what is told one by one is each new stack, once. */
#ifndef HOTSPAN_LOCK_H
#define HOTSPAN_LOCK_H

#include "event.h"
#include "stack-record.h"

enum lock_kind {
    LOCK_STACK = 0,
};

/* What a thread waits for, as far as the call tells. */
enum lock_object {
    LOCK_OBJECT_MUTEX = 0, /* the word said "taken, and somebody waits": 2, or 3 for a reader-writer lock */
    LOCK_OBJECT_PI,        /* the kernel hands the lock over, and the word holds its owner */
    LOCK_OBJECT_CONDITION, /* any other value: a condition, semaphore, barrier, thread's end, or idle worker */
    LOCK_OBJECT_MAX,
};

enum lock_ending {
    LOCK_ENDING_WOKEN = 0,
    LOCK_ENDING_TIMED_OUT,
    LOCK_ENDING_INTERRUPTED, /* by a signal */
    LOCK_ENDING_MAX,
};

/* A stack that sums refer to: told before the first of them, once. */
struct lock_stack_event {
    STACK_RECORD_FIELDS
};

#define LOCK_FLAG_OWNER_WOKE 1      /* the lock's word, or the mutex that it is in, named who woke as its owner */
#define LOCK_FLAG_OTHER_OWNER 2     /* it named another thread: the lock went through several hands */
#define LOCK_FLAG_WAKER_INTERRUPT 4 /* woken by an interrupt's handler, most often a timer's */

/* Key of lock_sums_a and lock_sums_b. */
struct lock_sum_key {
    exact_u64 address; /* of the word that the wait is for */
    exact_u64 stack;   /* of the thread as it began to wait; 0: none */
    exact_u64 waker_stack;
    pid_nr pid;
    pid_nr tid;
    pid_nr waker_pid;
    pid_nr waker_tid;
    __u8 object; /* enum lock_object */
    __u8 ending; /* enum lock_ending */
    __u8 flags;  /* LOCK_FLAG_* */
    __u8 reserved;
    __u32 reserved2;
};

/* Key of lock_holds_a and lock_holds_b: a thread that had waited for the lock let others have it. */
struct lock_hold_key {
    exact_u64 address;
    exact_u64 stack; /* of the thread as it let go */
    pid_nr pid;
    pid_nr tid;
};

struct lock_sum {
    duration_ns total_ns;
    duration_ns longest_ns;
    event_count count;
    comm_text comm; /* of the thread */
};

/* Value of lock_waits, by tid: a wait that lasts. */
struct lock_wait {
    ktime_ns since_ns;
    exact_u64 address;
    exact_u64 stack;
    exact_u64 waker_stack;
    pid_nr pid;
    pid_nr owner_tid; /* as the lock's word or mutex named it; 0: not known */
    pid_nr waker_pid;
    pid_nr waker_tid;
    __u8 object;
    __u8 flags;
    __u16 reserved;
    __u32 reserved2;
};

/* Value of lock_settings. */
struct lock_settings {
    __u32 stacks_per_second; /* and CPU; 0: no stacks */
    __u32 epoch;             /* 0: sums go to the maps _a, 1: to the maps _b */
    pid_nr pid;              /* only this process; 0: all */
    __u32 has_conditions;    /* 1: waits of LOCK_OBJECT_CONDITION are told as well */
};

#endif
