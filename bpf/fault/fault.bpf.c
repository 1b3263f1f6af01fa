// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* Source fault: each page fault where the kernel counts it, and each change of the counters of resident memory, summed
 * by process, stack and class. */
#include "fault.h"

#include "kernel.h"
#include "settings.h"
#include <linux/bpf_perf_event.h>

HOTSPAN_EVENTS(fault)
HOTSPAN_SETTINGS(fault)
#define STACK_TABLE_EVENTS fault_events
#define STACK_TABLE_COUNT fault_count
#define STACK_TABLE_KIND FAULT_STACK
#include "stack-table.h"

#include "fault-resident.h"
#include "fault-sums.h"
#include "fault-thread.h"

#define CLONE_VM 0x100

#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wpadded"
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct mm_struct___areas {
    unsigned long start_brk;
    unsigned long brk;
    unsigned long start_stack;
    unsigned long stack_vm; /* pages of the first thread's stack */
};
#pragma clang attribute pop
#pragma clang diagnostic pop

/* rss_stat(mm, member). */
SEC("tp_btf/rss_stat")
int fault_rss(__u64 *ctx) {
    struct mm_struct *mm = (void *)ctx[0];
    __u32 member = (__u32)ctx[1];
    const struct fault_settings *settings = settings_now();

    if (!settings || member >= FAULT_MEMBER_MAX || member == FAULT_MEMBER_SWAP)
        return 0;
    resident_changed(ctx, settings, mm, member);
    return 0;
}

/* task_newtask(task, clone_flags). */
SEC("tp_btf/task_newtask")
int fault_fork(__u64 *ctx) {
    struct task_struct *task = (void *)ctx[0];
    const struct fault_settings *settings = settings_now();

    if (settings && !(ctx[1] & CLONE_VM))
        begin_mm(settings, task->mm, (pid_nr)task->tgid, FAULT_REASON_FORK);
    return 0;
}

/* sched_process_exec(task, old_pid, bprm). */
SEC("tp_btf/sched_process_exec")
int fault_exec(__u64 *ctx) {
    struct task_struct *task = (void *)ctx[0];
    const struct fault_settings *settings = settings_now();

    if (settings)
        begin_mm(settings, task->mm, (pid_nr)task->tgid, FAULT_REASON_EXEC);
    return 0;
}

/* Faults that the kernel has counted and no program has seen: it served them itself, to fill memory (MAP_POPULATE,
 * mlock), to pin it for a device, or to write a new image's arguments. */
static __noinline void tell_unseen(const struct fault_settings *settings, struct task_struct *task,
                                   struct fault_thread *thread, event_count seen_minor, event_count seen_major) {
    struct fault_sum_key key = {.pid = (pid_nr)(bpf_get_current_pid_tgid() >> 32), .detail = FAULT_CLASS_KERNEL};
    event_count minor = minor_faults(task), major = major_faults(task);

    key.what = FAULT_WHAT_MINOR;
    add_sum(settings, &key, (__s64)(minor - thread->minor - seen_minor));
    key.what = FAULT_WHAT_MAJOR;
    add_sum(settings, &key, (__s64)(major - thread->major - seen_major));
    thread->minor = minor;
    thread->major = major;
}

/* sched_process_exit(task). */
SEC("tp_btf/sched_process_exit")
int fault_exit(__u64 *ctx) {
    struct task_struct *task = (void *)bpf_get_current_task();
    const struct fault_settings *settings = settings_now();
    struct fault_thread *thread;

    (void)ctx;
    if (!settings || !is_wanted(settings, (pid_nr)(bpf_get_current_pid_tgid() >> 32)))
        return 0;
    thread = thread_now(task, 0, 0);
    if (thread)
        tell_unseen(settings, task, thread, 0, 0);
    return 0;
}

/* sched_process_free(task): from 6.16 on a thread can fault after sched_process_exit. */
SEC("tp_btf/sched_process_free")
int fault_free(__u64 *ctx) {
    struct task_struct *task = (void *)ctx[0];
    pid_nr tid = (pid_nr)task->pid;

    bpf_map_delete_elem(&fault_threads, &tid);
    return 0;
}

#define PAGE_BYTES 4096

/* The first thread's stack, or the page of another's or a goroutine's that its end is in: around those there may be
 * anything else. */
static __always_inline bool is_stack(struct mm_struct___areas *areas, __u64 address, __u64 sp) {
    __u64 end = BPF_CORE_READ(areas, start_stack);

    if (address < end && address >= end - BPF_CORE_READ(areas, stack_vm) * PAGE_BYTES)
        return true;
    return address - (sp - PAGE_BYTES) < 2 * PAGE_BYTES;
}

static __noinline enum fault_class class_of(struct mm_struct *mm, __u64 address, __u64 sp, __u32 brought) {
    struct mm_struct___areas *areas = (void *)mm;

    if (address >= BPF_CORE_READ(areas, start_brk) && address < BPF_CORE_READ(areas, brk))
        return FAULT_CLASS_HEAP;
    if (is_stack(areas, address, sp))
        return FAULT_CLASS_STACK;
    if (brought & 1U << FAULT_MEMBER_ANONYMOUS)
        return brought & (1U << FAULT_MEMBER_FILE | 1U << FAULT_MEMBER_SHARED) ? FAULT_CLASS_COPIED
                                                                               : FAULT_CLASS_ANONYMOUS;
    if (brought & 1U << FAULT_MEMBER_FILE)
        return FAULT_CLASS_FILE;
    return brought & 1U << FAULT_MEMBER_SHARED ? FAULT_CLASS_SHARED : FAULT_CLASS_NO_PAGE;
}

/* The kernel has served a fault and counted it. */
static __always_inline int on_fault(struct bpf_perf_event_data *ctx, bool is_major) {
    struct task_struct *task = (void *)bpf_get_current_task();
    const struct fault_settings *settings = settings_now();
    struct fault_sum_key key = {.pid = (pid_nr)(bpf_get_current_pid_tgid() >> 32)};
    struct fault_thread *thread;
    struct mm_struct *mm;
    struct user_regs regs;
    event_count number;

    if (!settings || !is_wanted(settings, key.pid))
        return 0;
    thread = thread_now(task, !is_major, is_major);
    if (!thread)
        return 0;
    tell_unseen(settings, task, thread, !is_major, is_major);
    /* While it was being served it was not counted. */
    number = thread->minor + thread->major - 1;
    begin_serving(thread, number);
    mm = BPF_CORE_READ(task, mm);
    if (!user_regs_now(&regs))
        return 0;
    if (!thread->has_stack || regs.syscall >= 0)
        thread->stack =
            stack_of(ctx, settings->stacks_per_second, &regs, regs.syscall >= 0 ? STACK_ROLE_FAULTS : STACK_ROLE_USER);
    thread->has_stack = 1;
    if (has_thread_counts())
        look_at_thread_counts(settings, mm, thread);
    key.stack = thread->stack;
    key.what = is_major ? FAULT_WHAT_MAJOR : FAULT_WHAT_MINOR;
    key.detail = (__u8)class_of(mm, ctx->addr, regs.sp, thread->brought);
    add_sum(settings, &key, 1);
    return 0;
}

SEC("perf_event")
int fault_minor(struct bpf_perf_event_data *ctx) {
    return on_fault(ctx, false);
}

SEC("perf_event")
int fault_major(struct bpf_perf_event_data *ctx) {
    return on_fault(ctx, true);
}
