/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* What is known of each thread: the faults that the kernel has counted for it, and the one that is being served.
 * Included by fault.bpf.c after its events and settings. */
#ifndef HOTSPAN_FAULT_THREAD_H
#define HOTSPAN_FAULT_THREAD_H

#include "fault-rss.h"
#include "stack-table.h"

/* When the source started: what is younger has been seen since its beginning. */
const volatile __u64 started_ns = 0;

struct fault_thread {
    /* The kernel's own counts, as they were seen last. */
    event_count minor;
    event_count major;
    exact_u64 stack;    /* of the fault that is being served */
    event_count serves; /* its number, where `stack` and `brought` are of it */
    __s32 kept[4];      /* thread_part, as it was seen last */
    __u32 brought;      /* bit per member that the fault changed */
    __u32 has_stack;
};

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 16384);
    __type(key, pid_nr);
    __type(value, struct fault_thread);
} fault_threads SEC(".maps");

/* Counters of task_struct that only this source reads. */
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wpadded"
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct task_struct___faults {
    unsigned long min_flt;
    unsigned long maj_flt;
};
#pragma clang attribute pop
#pragma clang diagnostic pop

static __always_inline event_count minor_faults(struct task_struct *task) {
    return BPF_CORE_READ((struct task_struct___faults *)task, min_flt);
}

static __always_inline event_count major_faults(struct task_struct *task) {
    return BPF_CORE_READ((struct task_struct___faults *)task, maj_flt);
}

/* From here on functions are not inlined where they have no part in the walk of a stack: it needs, with what calls it,
 * nearly all of the stack that programs have before 6.12. */

static const struct fault_thread unseen_thread;

/* `unseen`: how many of the faults that the kernel has counted for an older thread are of now, and to be told. */
static __noinline struct fault_thread *thread_now(struct task_struct *task, __u32 unseen_minor, __u32 unseen_major) {
    pid_nr tid = (pid_nr)bpf_get_current_pid_tgid();
    struct fault_thread *thread = bpf_map_lookup_elem(&fault_threads, &tid);

    if (thread)
        return thread;
    if (bpf_map_update_elem(&fault_threads, &tid, &unseen_thread, BPF_NOEXIST)) {
        fault_count(DROP_INFLIGHT_FULL);
        return NULL;
    }
    thread = bpf_map_lookup_elem(&fault_threads, &tid);
    if (thread && BPF_CORE_READ(task, start_time) < started_ns) {
        thread->minor = minor_faults(task) - unseen_minor;
        thread->major = major_faults(task) - unseen_major;
        if (has_thread_counts()) {
#pragma unroll
            for (__u32 i = 0; i < FAULT_MEMBER_MAX; i++)
                thread->kept[i] = thread_part(task, i);
        }
    }
    return thread;
}

/* The stack of the fault or system call that the current thread is in. */
static __always_inline exact_u64 stack_now(void *ctx, const struct fault_settings *settings,
                                           struct fault_thread *thread, event_count number) {
    struct user_regs regs;
    bool has_regs = user_regs_now(&regs);
    exact_u64 stack;

    if (!has_regs)
        return 0;
    if (regs.syscall >= 0)
        return stack_of(ctx, settings->stacks_per_second, &regs, STACK_ROLE_CALLS);
    if (thread->has_stack && thread->serves == number)
        return thread->stack;
    stack = stack_of(ctx, settings->stacks_per_second, &regs, STACK_ROLE_USER);
    thread->stack = stack;
    thread->has_stack = 1;
    return stack;
}

/* A fault that is being served begins anew what is known of it. */
static __always_inline void begin_serving(struct fault_thread *thread, event_count number) {
    if (thread->serves == number)
        return;
    thread->serves = number;
    thread->brought = 0;
    thread->has_stack = 0;
}

#endif
