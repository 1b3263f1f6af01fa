/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Stacks at the end of a record: kernel frames, then user frames, leaf first, both of what they really had, and where
 * the user stack could not be walked to its end yet, what user space needs to go on. The only place that knows how a
 * stack is taken. Works in any context, NMI included: user memory is read without faulting. */
#ifndef HOTSPAN_STACK_H
#define HOTSPAN_STACK_H

#include "unwind.h"
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* kernel.perf_event_max_stack, which the helper does not go beyond; 127 is the kernel's default. */
#define STACK_MAX_FRAMES 127
#define STACK_MAX_BYTES (STACK_MAX_FRAMES * 8)

/* Power of two above STACK_MAX_BYTES: `bytes & STACK_MASK` is what the verifier of 5.10 takes as a bound. */
#define STACK_MASK 1023

/* Of the user frames that the walk by tables finds. */
#define STACK_USER_MAX_BYTES (UNWIND_MAX_FRAMES * 8)

/* What a record of both stacks needs after its fixed part: of the kernel stack more than STACK_MAX_BYTES, because the
 * verifier knows its size only as far as the mask tells. */
#define STACK_ROOM_BYTES (STACK_MASK + 1 + STACK_USER_MAX_BYTES + UNWIND_RAW_ROOM_BYTES)

/* What an event says of its stacks; its fields have the same names. */
struct stack_counts {
    __u16 kernel_depth;
    __u16 user_depth;
    __u16 user_raw_bytes;
    __u16 reserved;
    enum unwind_end user_end;
};

#define STACK_TELL(event, counts)                                                                                      \
    do {                                                                                                               \
        (event)->kernel_depth = (counts)->kernel_depth;                                                                \
        (event)->user_depth = (counts)->user_depth;                                                                    \
        (event)->user_raw_bytes = (counts)->user_raw_bytes;                                                            \
        (event)->user_end = (counts)->user_end;                                                                        \
    } while (0)

/* Frames of our own at the top of the kernel stack that a tracing program (fentry, fexit) sees: it and its trampoline.
 */
#define STACK_TRACING_FRAMES 2

/* Bytes written to `to`, at most STACK_MAX_BYTES, without the first `skipped` frames (a constant); 0 where there is no
 * kernel stack (a sample in user mode). */
static __always_inline __u32 stack_kernel_below(void *ctx, void *to, __u32 skipped) {
    long bytes = bpf_get_stack(ctx, to, STACK_MAX_BYTES, skipped & BPF_F_SKIP_FIELD_MASK);

    return bytes > 0 ? (__u32)bytes & STACK_MASK : 0;
}

static __always_inline __u32 stack_kernel(void *ctx, void *to) {
    return stack_kernel_below(ctx, to, 0);
}

/* The kernel's own walk of the user stack, by frame pointers; no frames for kernel threads. */
static __always_inline __u32 stack_user_by_frame_pointer(void *ctx, void *to, struct stack_counts *counts) {
    long bytes = bpf_get_stack(ctx, to, STACK_MAX_BYTES, BPF_F_USER_STACK);

    bytes = bytes > 0 ? (__u32)bytes & STACK_MASK : 0;
    counts->user_depth = (__u16)(bytes / 8);
    counts->user_end = bytes ? UNWIND_END_FRAME_POINTER : UNWIND_END_NONE;
    return (__u32)bytes;
}

/* `value`, of which the verifier is told here, whatever it has forgotten, that it is at most `most`. */
static __always_inline __u64 stack_at_most(__u64 value, __u64 most) {
    asm volatile("" : "+r"(value));
    return value > most ? 0 : value;
}

/* The current thread's user stack and the raw part. Returns the bytes of both, at most STACK_USER_MAX_BYTES +
 * UNWIND_RAW_ROOM_BYTES; kernel_depth of `counts` is left as it is. */
static __always_inline __u32 stack_user(void *ctx, __u8 *to, struct stack_counts *counts) {
    ktime_ns start_ns = unwind_is_timed ? bpf_ktime_get_ns() : 0;
    __u32 slot = unwind_is_on ? (__u32)unwind_walk() : SCRATCH_SLOTS;
    struct unwind_state *state;
    __u64 bytes, raw_bytes;

    counts->user_raw_bytes = 0;
    state = slot < SCRATCH_SLOTS ? unwind_state_of(slot) : NULL;
    if (!state)
        return stack_user_by_frame_pointer(ctx, to, counts);
    bytes = stack_at_most((__u64)state->depth * 8, STACK_USER_MAX_BYTES);
    bpf_probe_read_kernel(to, (__u32)bytes, state->addresses);
    raw_bytes = stack_at_most(unwind_write_raw(state, to + bytes), UNWIND_RAW_ROOM_BYTES);
    counts->user_depth = (__u16)(bytes / 8);
    counts->user_raw_bytes = (__u16)raw_bytes;
    counts->user_end = state->end;
    state->is_claimed = 0;
    if (unwind_is_timed && counts->user_end != UNWIND_END_NO_PROCESS && counts->user_end != UNWIND_END_NONE)
        unwind_count_time(bpf_ktime_get_ns() - start_ns);
    return (__u32)(bytes + raw_bytes);
}

/* Both, one after the other from `tail`, which has STACK_ROOM_BYTES. Returns the bytes used. */
static __always_inline __u32 stack_both(void *ctx, __u8 *tail, struct stack_counts *counts) {
    __u32 kernel_bytes = stack_kernel(ctx, tail);

    counts->kernel_depth = (__u16)(kernel_bytes / 8);
    return kernel_bytes + stack_user(ctx, tail + kernel_bytes, counts);
}

#endif
