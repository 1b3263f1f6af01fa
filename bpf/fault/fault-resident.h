/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Resident memory: what each address space has, and by whom and where it changes. Included by fault.bpf.c after its
 * events and settings. */
#ifndef HOTSPAN_FAULT_RESIDENT_H
#define HOTSPAN_FAULT_RESIDENT_H

#include "fault-rss.h"
#include "fault-sums.h"
#include "fault-thread.h"

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

#endif
