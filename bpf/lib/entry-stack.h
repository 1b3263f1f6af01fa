/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Kernel stacks taken at a call's entry and kept until its return. Before 5.15 the kernel's unwinder gets no further
 * than the trampoline that a kretprobe returns through ("x86/unwind: Recover kretprobe trampoline entry"), so that a
 * stack taken there would lack every caller. It can go when our floor is 5.15. */
#ifndef HOTSPAN_ENTRY_STACK_H
#define HOTSPAN_ENTRY_STACK_H

#include "stack.h"

/* The agent makes it one entry on kernels that need none. The oldest are evicted: a call whose return never comes
 * leaves its stack behind, and one that lost its stack is told with what there is at the return. */
#define ENTRY_STACKS_MAX 1024

struct entry_stack {
    __u64 bytes;
    __u8 addresses[STACK_MAX_BYTES];
};

/* What an entry is made of before its stack is written to it. */
const struct entry_stack no_entry_stack = {};

/* Set by the agent where returns are probed by kretprobe and their stacks are cut short. */
const volatile __u8 keeps_entry_stacks = 0;

/* Makes <source>_entry_stacks, by the key of the source's calls, and the two functions that fill and empty it. */
#define HOTSPAN_ENTRY_STACKS(source, key_type)                                                                         \
    struct {                                                                                                           \
        __uint(type, BPF_MAP_TYPE_LRU_HASH);                                                                           \
        __uint(max_entries, ENTRY_STACKS_MAX);                                                                         \
        __type(key, key_type);                                                                                         \
        __type(value, struct entry_stack);                                                                             \
    } source##_entry_stacks SEC(".maps");                                                                              \
    static __always_inline void source##_keep_stack(void *ctx, const key_type *key) {                                  \
        struct entry_stack *entry;                                                                                     \
        if (bpf_map_update_elem(&source##_entry_stacks, key, &no_entry_stack, BPF_ANY))                                \
            return;                                                                                                    \
        entry = bpf_map_lookup_elem(&source##_entry_stacks, key);                                                      \
        if (entry)                                                                                                     \
            entry->bytes = stack_kernel(ctx, entry->addresses);                                                        \
    }                                                                                                                  \
    /* Bytes written to `to`, which has room for STACK_MASK; 0 where the stack has been evicted. */                    \
    static __always_inline __u32 source##_kept_stack(const key_type *key, void *to) {                                  \
        struct entry_stack *entry = bpf_map_lookup_elem(&source##_entry_stacks, key);                                  \
        __u64 bytes = entry ? entry->bytes : 0;                                                                        \
        asm volatile("" : "+r"(bytes));                                                                                \
        bytes &= STACK_MASK;                                                                                           \
        if (!entry || bpf_probe_read_kernel(to, (__u32)bytes, entry->addresses))                                       \
            return 0;                                                                                                  \
        bpf_map_delete_elem(&source##_entry_stacks, key);                                                              \
        return (__u32)bytes;                                                                                           \
    }

#endif
