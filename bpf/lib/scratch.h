/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Room to build records that do not fit the 512-byte BPF stack: a few slots per CPU, because a program may be
 * interrupted by itself (another task where tracing programs are preemptible, an interrupt, an NMI) and the record that
 * was begun must not be written over. */
#ifndef HOTSPAN_SCRATCH_H
#define HOTSPAN_SCRATCH_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Task, soft interrupt, interrupt, NMI: deeper nesting is counted as lost. */
#define SCRATCH_SLOTS 4

/* Makes <source>_scratch and claims and releases its slots: a `record_type` followed by `room_bytes` for its flexible
 * array, and `work_bytes` of working memory (struct path_room). A claim is a plain flag: between its test and its
 * setting an interrupt may come and go (it releases before it returns). Only two preemptions inside those two
 * instructions could share a slot, and then the record's counts do not fit its size and the decoder drops it as
 * malformed; an atomic exchange would need 5.12. */
#define HOTSPAN_SCRATCH(source, record_type, room_bytes, work_bytes)                                                   \
    struct source##_slot {                                                                                             \
        __u64 is_claimed;                                                                                              \
        __u8 record[sizeof(record_type) + (room_bytes)] __attribute__((aligned(8)));                                   \
        __u8 work[work_bytes] __attribute__((aligned(8)));                                                             \
    } __attribute__((aligned(8)));                                                                                     \
    struct {                                                                                                           \
        __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);                                                                       \
        __uint(max_entries, SCRATCH_SLOTS);                                                                            \
        __type(key, __u32);                                                                                            \
        __type(value, struct source##_slot);                                                                           \
    } source##_scratch SEC(".maps");                                                                                   \
    /* NULL when all slots are taken: the caller counts DROP_NESTED. */                                                \
    static __always_inline struct source##_slot *source##_claim(void) {                                                \
        _Pragma("unroll") for (__u32 i = 0; i < SCRATCH_SLOTS; i++) {                                                  \
            __u32 key = i;                                                                                             \
            struct source##_slot *slot = bpf_map_lookup_elem(&source##_scratch, &key);                                 \
            if (slot && !slot->is_claimed) {                                                                           \
                slot->is_claimed = 1;                                                                                  \
                return slot;                                                                                           \
            }                                                                                                          \
        }                                                                                                              \
        return NULL;                                                                                                   \
    }                                                                                                                  \
    static __always_inline void source##_release(struct source##_slot *slot) {                                         \
        slot->is_claimed = 0;                                                                                          \
    }

#endif
