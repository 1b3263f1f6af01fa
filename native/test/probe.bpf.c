/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Programs and maps for the addon's own tests: one of each way to attach, a perf buffer whose records are numbered, and
 * one of each kind of map. Only one process, or one thread of it, is listened to, so that counts are exact on a busy
 * machine. */
#include "event.h"

#include <bpf/bpf_tracing.h>

HOTSPAN_EVENTS(probe)

/* A record: the header, and its number among those of its CPU. */
struct probe_event {
    struct event_header header;
    __u64 number;
};

const volatile __u32 target_pid = 0;
/* 0: all threads of target_pid. */
const volatile __u32 target_tid = 0;
/* Bytes of a record; more than the struct has, so that buffers fill up fast. Of 8 bytes, to test the sizes of
 * constants. */
const volatile __u64 record_bytes = sizeof(struct probe_event);
const volatile __u8 is_emitting = 1;

enum counter { COUNT_RAW, COUNT_BTF, COUNT_TRACEPOINT, COUNT_PERF, COUNT_UPROBE, COUNT_URETPROBE, COUNT_MAX };

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, COUNT_MAX);
    __type(key, __u32);
    __type(value, event_count);
} probe_counts SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 10000);
    __type(key, __u64);
    __type(value, __u64);
} probe_hash SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_HASH);
    __uint(max_entries, 1000);
    __type(key, __u32);
    __type(value, __u32);
} probe_percpu SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 100);
    __type(key, __u32);
    __type(value, __u64);
} probe_array SEC(".maps");

/* No batch operations, so that reading one by one is tested as well. */
struct {
    __uint(type, BPF_MAP_TYPE_STACK_TRACE);
    __uint(max_entries, 64);
    __uint(key_size, sizeof(__u32));
    __uint(value_size, 16 * sizeof(__u64));
} probe_stacks SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u8[4096]);
} probe_scratch SEC(".maps");

static __always_inline int is_target(void) {
    __u64 pid_tgid = bpf_get_current_pid_tgid();

    return pid_tgid >> 32 == target_pid && (!target_tid || (__u32)pid_tgid == target_tid);
}

static __always_inline void count(__u32 which) {
    event_count *value = bpf_map_lookup_elem(&probe_counts, &which);

    if (value)
        *value += 1;
}

static __always_inline void emit(void *ctx) {
    __u32 zero = 0;
    struct probe_event *event = bpf_map_lookup_elem(&probe_scratch, &zero);
    __u32 seen = DROP_SEEN;
    event_count *number = bpf_map_lookup_elem(&probe_drops, &seen);
    __u64 size = record_bytes;

    if (!is_emitting || !event || !number || size < sizeof(*event) || size > 4096)
        return;
    probe_count(DROP_SEEN);
    event_header_fill(&event->header, 1, (__u32)size);
    event->number = *number;
    probe_emit(ctx, event, (__u32)size);
}

/* A system call of the target: getppid is used by no one else, and costs nothing. */
#define SYS_GETPPID 110

SEC("raw_tracepoint/sys_enter")
int probe_raw(struct bpf_raw_tracepoint_args *ctx) {
    if (is_target() && ctx->args[1] == SYS_GETPPID) {
        count(COUNT_RAW);
        bpf_get_stackid(ctx, &probe_stacks, 0);
        emit(ctx);
    }
    return 0;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(probe_btf, void *regs, long id) {
    if (is_target() && id == SYS_GETPPID)
        count(COUNT_BTF);
    return 0;
}

SEC("tracepoint/syscalls/sys_enter_getppid")
int probe_tracepoint(void *ctx) {
    if (is_target())
        count(COUNT_TRACEPOINT);
    return 0;
}

SEC("perf_event")
int probe_perf(void *ctx) {
    if (is_target())
        count(COUNT_PERF);
    return 0;
}

SEC("uprobe")
int probe_uprobe(void *ctx) {
    /* By file and place, not by process: the programs that the tests start are new each time. */
    count(COUNT_UPROBE);
    return 0;
}

SEC("uretprobe")
int probe_uretprobe(void *ctx) {
    count(COUNT_URETPROBE);
    return 0;
}

SEC("kprobe")
int probe_kprobe(void *ctx) {
    return 0;
}

SEC("fentry/vfs_read")
int BPF_PROG(probe_fentry) {
    return 0;
}

/* Refused by the verifier: reads where it may not. */
SEC("raw_tracepoint/sys_exit")
int probe_refused(void *ctx) {
    return *(volatile int *)0x10;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
