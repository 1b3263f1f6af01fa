/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Output of events, with every loss counted. One HOTSPAN_EVENTS(source) in a <source>.bpf.c makes the source's perf
 * buffer and its counters, so that a source cannot exist without them. */
#ifndef HOTSPAN_EVENT_H
#define HOTSPAN_EVENT_H

#include "types.h"

/* First field of every event. 24 bytes. */
struct event_header {
    ktime_ns time_ns; /* when the record was made: a call's return, a sample's moment */
    __u16 kind;       /* which struct follows: enum <source>_kind */
    __u16 cpu;
    __u32 size_bytes; /* of the whole record, header and trailing stack or text included */
    pid_nr pid;       /* tgid */
    pid_nr tid;
};

/* What became of what a source saw. The order is the index into <source>_drops, a per-CPU array of event_count.
 * seen = emitted + every other entry + what is still in flight. */
enum drop_reason {
    DROP_SEEN = 0,      /* not a loss: calls, samples or exits that the programs saw */
    DROP_EMITTED,       /* not a loss: records handed to the perf buffer */
    DROP_FILTERED,      /* wanted by no one: other process, own agent, other file type */
    DROP_BELOW_MIN,     /* faster than the minimum latency; still in counts and histogram */
    DROP_BUFFER_FULL,   /* bpf_perf_event_output said ENOSPC: lost */
    DROP_INFLIGHT_FULL, /* no room to remember the entry until its return: lost */
    DROP_NO_ENTRY,      /* a return whose entry was before the start, or lost */
    DROP_READ_FAILED,   /* kernel or user memory could not be read */
    DROP_NESTED,        /* a program interrupted others that used all room to build records: lost */
    DROP_NO_RETURN, /* an entry whose return never came: the thread ended inside or jumped out, or its hook was missed
                     */
    DROP_REASON_MAX,
};

#ifdef __bpf__
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* The license string lets programs call helpers that the kernel keeps for GPL-compatible ones; all of bpf/ is dual. */
#define HOTSPAN_EVENTS(source)                                                                                         \
    char source##_license[] SEC("license") = "GPL";                                                                    \
    struct {                                                                                                           \
        __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);                                                                   \
        __uint(key_size, sizeof(__u32));                                                                               \
        __uint(value_size, sizeof(__u32));                                                                             \
    } source##_events SEC(".maps");                                                                                    \
    struct {                                                                                                           \
        __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);                                                                       \
        __uint(max_entries, DROP_REASON_MAX);                                                                          \
        __type(key, __u32);                                                                                            \
        __type(value, event_count);                                                                                    \
    } source##_drops SEC(".maps");                                                                                     \
    static __always_inline void source##_count(__u32 reason) {                                                         \
        event_count *count = bpf_map_lookup_elem(&source##_drops, &reason);                                            \
        if (count)                                                                                                     \
            *count += 1;                                                                                               \
    }                                                                                                                  \
    /* Hands size bytes to the perf buffer of this CPU; counts it as emitted or as lost. */                            \
    static __always_inline __attribute__((unused)) void source##_emit(void *ctx, void *event, __u32 size) {            \
        long err = bpf_perf_event_output(ctx, &source##_events, BPF_F_CURRENT_CPU, event, size);                       \
        source##_count(err ? DROP_BUFFER_FULL : DROP_EMITTED);                                                         \
    }

static __always_inline void event_header_fill(struct event_header *header, __u16 kind, __u32 size_bytes) {
    __u64 pid_tgid = bpf_get_current_pid_tgid();

    header->time_ns = bpf_ktime_get_ns();
    header->kind = kind;
    header->cpu = (__u16)bpf_get_smp_processor_id();
    header->size_bytes = size_bytes;
    header->pid = (pid_nr)(pid_tgid >> 32);
    header->tid = (pid_nr)pid_tgid;
}
#endif /* __bpf__ */

#endif
