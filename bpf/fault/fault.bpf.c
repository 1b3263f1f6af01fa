// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* Source fault: each page fault where the kernel counts it, and each change of the counters of resident memory, summed
 * by process, stack and class. */
#include "fault.h"

#include "fault-rss.h"
#include "kernel.h"
#include "settings.h"
#include <linux/bpf_perf_event.h>

HOTSPAN_EVENTS(fault)
HOTSPAN_SETTINGS(fault)
#define STACK_TABLE_EVENTS fault_events
#define STACK_TABLE_COUNT fault_count
#define STACK_TABLE_KIND FAULT_STACK
#include "stack-table.h"
#include "turning-sums.h"

/* When the source started: what is younger has been seen since its beginning. */
const volatile __u64 started_ns = 0;

#define CLONE_VM 0x100

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 8192);
    __type(key, exact_u64);
    __type(value, struct fault_mm);
} fault_mms SEC(".maps");

/* By the same key. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_HASH);
    __uint(max_entries, 8192);
    __type(key, exact_u64);
    __type(value, struct fault_parts);
} fault_parts SEC(".maps");

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

TURNING_SUMS(fault_sums, struct fault_sum_key, struct fault_sum, 16384)

/* Counters of task_struct that only this source reads. */
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wpadded"
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct task_struct___faults {
    unsigned long min_flt;
    unsigned long maj_flt;
};
struct mm_struct___areas {
    unsigned long start_brk;
    unsigned long brk;
    unsigned long start_stack;
};
#pragma clang attribute pop
#pragma clang diagnostic pop

/* The sum of a key, made where there is none; NULL where there is no room. */
static __noinline struct fault_sum *sum_of(const struct fault_settings *settings, struct fault_sum_key *key) {
    struct fault_sum fresh = {}, *sum = fault_sums_find(settings->epoch, key);

    if (sum)
        return sum;
    if ((pid_nr)(bpf_get_current_pid_tgid() >> 32) == key->pid)
        bpf_get_current_comm(fresh.comm, sizeof(fresh.comm));
    fault_sums_begin(settings->epoch, key, &fresh);
    return fault_sums_find(settings->epoch, key);
}

/* Adds to the sum of a key; where its stack has no room, to what has none. Several CPUs may do so at once. */
static __noinline int add_sum(const struct fault_settings *settings, struct fault_sum_key *key, __s64 value) {
    struct fault_sum *sum;

    if (!value)
        return 0;
    sum = sum_of(settings, key);
    if (!sum && key->stack) {
        key->stack = 0;
        sum = sum_of(settings, key);
    }
    if (!sum) {
        fault_count(DROP_INFLIGHT_FULL);
        return 0;
    }
    __sync_fetch_and_add(&sum->value, value);
    return 1;
}

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

/* An address space that was there before the source started: what it has is no growth. */
static __noinline struct fault_mm *meet_mm(struct mm_struct *mm, exact_u64 key) {
    struct fault_mm fresh = {.pid = (pid_nr)(bpf_get_current_pid_tgid() >> 32)};

#pragma unroll
    for (__u32 i = 0; i < FAULT_MEMBER_MAX; i++)
        fresh.counted[i] = shared_count(mm, i);
    if (bpf_map_update_elem(&fault_mms, &key, &fresh, BPF_NOEXIST))
        fault_count(DROP_INFLIGHT_FULL);
    return bpf_map_lookup_elem(&fault_mms, &key);
}

static const struct fault_parts unseen_parts;

/* Pages by which a counter has changed since it was last looked at. `thread` is NULL where the current thread is none
 * of the address space's. `is_told`: the kernel tells of a change. Before 6.2 that is most often a thread that hands
 * over what it kept: it has been added, and is about to be set to 0. Where it is not, the fault's own look puts it
 * right. */
static __noinline __s64 change_of(struct mm_struct *mm, struct fault_mm *known, struct fault_thread *thread,
                                  __u32 member, bool is_told) {
    exact_u64 key = (exact_u64)mm;
    __s64 *counted = &known->counted[member & 3];
    __s64 change = shared_count(mm, member) - *counted;
    struct fault_parts *parts;
    __s32 part, *seen;

    if (change)
        __sync_fetch_and_add(counted, change);
    if (has_thread_counts()) {
        if (!thread)
            return change;
        part = is_told ? 0 : thread_part((void *)bpf_get_current_task(), member);
        seen = &thread->kept[member & 3];
        change += part - *seen;
        *seen = part;
        return change;
    }
    parts = bpf_map_lookup_elem(&fault_parts, &key);
    if (!parts) {
        bpf_map_update_elem(&fault_parts, &key, &unseen_parts, BPF_NOEXIST);
        parts = bpf_map_lookup_elem(&fault_parts, &key);
        if (!parts)
            return change;
    }
    if (!parts->is_seen) {
        parts->is_seen = 1;
        if (!known->is_whole) {
#pragma unroll
            for (__u32 i = 0; i < FAULT_MEMBER_MAX; i++)
                parts->seen[i] = cpu_part(mm, i);
        }
    }
    part = cpu_part(mm, member);
    seen = &parts->seen[member & 3];
    change += part - *seen;
    *seen = part;
    return change;
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

static __always_inline void resident_changed(void *ctx, const struct fault_settings *settings, struct mm_struct *mm,
                                             __u32 member) {
    struct task_struct *task = (void *)bpf_get_current_task();
    bool is_own = BPF_CORE_READ(task, mm) == mm;
    exact_u64 mm_key = (exact_u64)mm;
    struct fault_mm *known = bpf_map_lookup_elem(&fault_mms, &mm_key);
    struct fault_sum_key key = {.what = FAULT_WHAT_RESIDENT, .detail = (__u8)member};
    struct fault_thread *thread = NULL;
    event_count number = 0;
    __s64 change;

    /* One that is being made, by fork or exec, is met when it is there. */
    if (!known && is_own && is_wanted(settings, (pid_nr)(bpf_get_current_pid_tgid() >> 32)))
        known = meet_mm(mm, mm_key);
    if (!known)
        return;
    if (is_own) {
        thread = thread_now(task, 0, 0);
        if (!thread)
            return;
        number = minor_faults(task) + major_faults(task);
        begin_serving(thread, number);
        thread->brought |= 1U << (member & 3);
    }
    key.pid = known->pid;
    if (!is_own)
        key.reason = known->pid == (pid_nr)(bpf_get_current_pid_tgid() >> 32) ? FAULT_REASON_END : FAULT_REASON_KERNEL;
    else
        key.stack = stack_now(ctx, settings, thread, number);
    change = change_of(mm, known, thread, member, true);
    add_sum(settings, &key, change);
    __sync_fetch_and_add(&known->pages, change);
    /* Nothing is left of it, and nobody will tell when another one is made at this address. */
    if (key.reason == FAULT_REASON_END && known->is_whole && known->pages <= 0) {
        bpf_map_delete_elem(&fault_mms, &mm_key);
        bpf_map_delete_elem(&fault_parts, &mm_key);
    }
}

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

/* A new address space, of the process `pid`, with all that it has. */
static __always_inline void begin_mm(const struct fault_settings *settings, struct mm_struct *mm, pid_nr pid,
                                     enum fault_reason reason) {
    struct fault_mm fresh = {.pid = pid, .is_whole = 1}, *known;
    exact_u64 mm_key = (exact_u64)mm;

    if (!mm || !is_wanted(settings, pid))
        return;
    /* What another one at this address has left behind. */
    bpf_map_delete_elem(&fault_parts, &mm_key);
    if (bpf_map_update_elem(&fault_mms, &mm_key, &fresh, BPF_ANY)) {
        fault_count(DROP_INFLIGHT_FULL);
        return;
    }
    known = bpf_map_lookup_elem(&fault_mms, &mm_key);
    if (!known)
        return;
    for (__u32 i = 0; i < FAULT_MEMBER_MAX; i++) {
        struct fault_sum_key key = {.pid = pid, .what = FAULT_WHAT_RESIDENT, .detail = (__u8)i, .reason = (__u8)reason};

        __s64 change;

        if (i == FAULT_MEMBER_SWAP)
            continue;
        change = change_of(mm, known, NULL, i, true);
        add_sum(settings, &key, change);
        known->pages += change;
    }
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

static __noinline enum fault_class class_of(struct mm_struct *mm, __u64 address, __u64 sp, __u32 brought) {
    struct mm_struct___areas *areas = (void *)mm;

    if (address >= BPF_CORE_READ(areas, start_brk) && address < BPF_CORE_READ(areas, brk))
        return FAULT_CLASS_HEAP;
    if (address >= sp - PAGE_BYTES && (address < sp + PAGE_BYTES || address < BPF_CORE_READ(areas, start_stack)) &&
        sp - PAGE_BYTES < BPF_CORE_READ(areas, start_stack))
        return FAULT_CLASS_STACK;
    if (brought & 1U << FAULT_MEMBER_ANONYMOUS)
        return brought & (1U << FAULT_MEMBER_FILE | 1U << FAULT_MEMBER_SHARED) ? FAULT_CLASS_COPIED
                                                                               : FAULT_CLASS_ANONYMOUS;
    if (brought & 1U << FAULT_MEMBER_FILE)
        return FAULT_CLASS_FILE;
    return brought & 1U << FAULT_MEMBER_SHARED ? FAULT_CLASS_SHARED : FAULT_CLASS_NO_PAGE;
}

/* Before 6.2 the tracepoint does not tell of each fault's pages, but the thread's own counts do. */
static __noinline void look_at_thread_counts(const struct fault_settings *settings, struct mm_struct *mm,
                                             struct fault_thread *thread) {
    exact_u64 mm_key = (exact_u64)mm;
    struct fault_mm *known = bpf_map_lookup_elem(&fault_mms, &mm_key);

    if (!known)
        known = meet_mm(mm, mm_key);
    if (!known)
        return;
    for (__u32 i = 0; i < FAULT_MEMBER_MAX; i++) {
        struct fault_sum_key key = {
            .pid = known->pid, .what = FAULT_WHAT_RESIDENT, .detail = (__u8)i, .stack = thread->stack};
        __s64 change;

        if (i == FAULT_MEMBER_SWAP)
            continue;
        change = change_of(mm, known, thread, i, false);
        if (change)
            thread->brought |= 1U << i;
        add_sum(settings, &key, change);
        __sync_fetch_and_add(&known->pages, change);
    }
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
