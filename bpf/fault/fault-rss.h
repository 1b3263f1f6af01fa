/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* By how much a process's counters of resident memory have changed since they were last looked at. The tracepoint that
 * tells of a change does not tell how large it was. What is found is added to what is known as `counted`, so that the
 * sums together are what the counters say, whatever happened in between: where two CPUs find the same change both add
 * it, and the next look takes it back. */
#ifndef HOTSPAN_FAULT_RSS_H
#define HOTSPAN_FAULT_RSS_H

#include "fault.h"

#include "kernel.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <stdbool.h>

#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wpadded"
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/* From 6.2 on a counter is a number and a part for each CPU, which goes into it when it is large enough. */
struct percpu_counter {
    __s64 count;
    __s32 *counters;
};

struct mm_struct___since_6_2 {
    struct percpu_counter rss_stat[4];
};

/* Before 6.2 it is one number, and threads keep what their faults brought to themselves for up to 64 faults. Drop it
 * when our floor passes 6.2. */
struct mm_rss_stat {
    struct {
        __s64 counter;
    } count[4];
};

struct mm_struct___before_6_2 {
    struct mm_rss_stat rss_stat;
};

struct task_rss_stat {
    int count[4];
};

struct task_struct___before_6_2 {
    struct task_rss_stat rss_stat;
};

/* A map that is an array. */
struct bpf_array {
    __u32 elem_size;
    void *pptrs[];
};

#pragma clang attribute pop
#pragma clang diagnostic pop

/* What must be added to the address of what each CPU has, to get this CPU's; 0: not known yet. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u64);
} fault_cpu SEC(".maps");

/* The kernel does not tell programs the offset, and its variable is out of reach without CONFIG_KALLSYMS_ALL. But it is
 * what lies between the address of this map's value in the map and the one that a look-up gives. */
static __always_inline __u64 cpu_offset(void) {
    __u32 first = 0;
    __u64 *offset = bpf_map_lookup_elem(&fault_cpu, &first), found = 0, map_address = 0;
    void *map = &fault_cpu;

    if (!offset)
        return 0;
    if (*offset)
        return *offset;
    /* Read back by a helper a pointer is a number like any other. */
    bpf_probe_read_kernel(&found, sizeof(found), &offset);
    bpf_probe_read_kernel(&map_address, sizeof(map_address), &map);
    *offset = found - (__u64)BPF_CORE_READ((struct bpf_array *)map_address, pptrs[0]);
    return *offset;
}

/* This CPU's parts of the counters of an address space, as they were seen last. */
struct fault_parts {
    __s32 seen[4];
    __u32 is_seen;
};

/* Whether threads keep counts to themselves: a constant of the kernel. */
static __always_inline bool has_thread_counts(void) {
    return bpf_core_type_exists(struct mm_rss_stat);
}

/* The counter of the address space, without what CPUs or threads have for themselves. */
static __always_inline __s64 shared_count(struct mm_struct *mm, __u32 member) {
    __s64 count = 0;

    if (has_thread_counts()) {
        struct mm_struct___before_6_2 *old = (void *)mm;
        void *base = (void *)__builtin_preserve_access_index(&old->rss_stat.count[0].counter);

        bpf_probe_read_kernel(&count, sizeof(count), base + member * sizeof(count));
    } else {
        struct mm_struct___since_6_2 *new = (void *)mm;
        void *base = (void *)__builtin_preserve_access_index(&new->rss_stat[0]);
        struct percpu_counter *counter = base + member * bpf_core_type_size(struct percpu_counter);

        count = BPF_CORE_READ(counter, count);
    }
    return count;
}

/* What this CPU has for itself, from 6.2 on. */
static __always_inline __s32 cpu_part(struct mm_struct *mm, __u32 member) {
    struct mm_struct___since_6_2 *new = (void *)mm;
    void *base = (void *)__builtin_preserve_access_index(&new->rss_stat[0]);
    struct percpu_counter *counter = base + member * bpf_core_type_size(struct percpu_counter);
    __s32 part = 0;

    bpf_probe_read_kernel(&part, sizeof(part), (void *)BPF_CORE_READ(counter, counters) + cpu_offset());
    return part;
}

/* What the thread has for itself, before 6.2. */
static __always_inline __s32 thread_part(struct task_struct *task, __u32 member) {
    struct task_struct___before_6_2 *old = (void *)task;
    void *base = (void *)__builtin_preserve_access_index(&old->rss_stat.count[0]);
    __s32 part = 0;

    bpf_probe_read_kernel(&part, sizeof(part), base + member * sizeof(part));
    return part;
}

#endif
