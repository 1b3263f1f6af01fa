/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Stacks at the end of a record: kernel frames, then user frames, leaf first, both of what they really had. The only
 * place that knows how a stack is taken. Works in any context, NMI included: the helper reads user memory without
 * faulting. */
#ifndef HOTSPAN_STACK_H
#define HOTSPAN_STACK_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* kernel.perf_event_max_stack, which the helper does not go beyond; 127 is the kernel's default. */
#define STACK_MAX_FRAMES 127
#define STACK_MAX_BYTES (STACK_MAX_FRAMES * 8)

/* Power of two above STACK_MAX_BYTES: `bytes & STACK_MASK` is what the verifier of 5.10 takes as a bound. */
#define STACK_MASK 1023

/* What a record of both stacks needs after its fixed part: more than STACK_MAX_BYTES each, because the verifier knows
 * the sizes only as far as the mask tells. */
#define STACK_ROOM_BYTES (2 * (STACK_MASK + 1))

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

/* The same for the current task's user stack, by frame pointers; 0 for kernel threads. */
static __always_inline __u32 stack_user(void *ctx, void *to) {
    long bytes = bpf_get_stack(ctx, to, STACK_MAX_BYTES, BPF_F_USER_STACK);

    return bytes > 0 ? (__u32)bytes & STACK_MASK : 0;
}

/* Both, one after the other from `tail`, which has STACK_ROOM_BYTES. Sets the counts of the event and returns the bytes
 * used, at most 2 * STACK_MASK. */
static __always_inline __u32 stack_both(void *ctx, __u8 *tail, __u16 *kernel_depth, __u16 *user_depth) {
    __u32 kernel_bytes = stack_kernel(ctx, tail);
    __u32 user_bytes = stack_user(ctx, tail + kernel_bytes);

    *kernel_depth = (__u16)(kernel_bytes / 8);
    *user_depth = (__u16)(user_bytes / 8);
    return kernel_bytes + user_bytes;
}

#endif
