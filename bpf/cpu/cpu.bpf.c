// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* Source cpu: a sample of what runs, at each tick of a perf event's clock on each CPU. */
#include "cpu.h"

#include "scratch.h"
#include "stack.h"
#include <linux/bpf_perf_event.h>

HOTSPAN_EVENTS(cpu)
HOTSPAN_SCRATCH(cpu, struct cpu_event, STACK_ROOM_BYTES, 0)

SEC("perf_event")
int cpu_sample(struct bpf_perf_event_data *ctx) {
    struct cpu_slot *slot;
    struct cpu_event *event;
    struct stack_counts counts = {};
    __u32 size_bytes;

    /* The idle task is thread 0: the CPU had nothing to do, which is no sample of anything. */
    if ((__u32)bpf_get_current_pid_tgid() == 0)
        return 0;
    cpu_count(DROP_SEEN);
    slot = cpu_claim();
    if (!slot) {
        cpu_count(DROP_NESTED);
        return 0;
    }
    event = (struct cpu_event *)slot->record;
    event->period_ns = ctx->sample_period;
    event->cgroup_id = bpf_get_current_cgroup_id();
    bpf_get_current_comm(event->comm, sizeof(event->comm));
    event->reserved = 0;
    event->reserved2 = 0;
    size_bytes = sizeof(*event) + stack_both(ctx, event->tail, &counts);
    STACK_TELL(event, &counts);
    event_header_fill(&event->header, 0, size_bytes);
    cpu_emit(ctx, event, size_bytes);
    cpu_release(slot);
    return 0;
}
