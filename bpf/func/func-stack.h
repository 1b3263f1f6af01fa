/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* The open calls of each thread (of each goroutine, for Go code), as a stack: a probed function called inside another
 * finds its parent on top.
 *
 * Returns go missing: a probe may be skipped, a program may jump out of a call or end inside it. So each call has a
 * frame, the address of its place on the machine's stack, lower for calls that are deeper. An open call whose frame is
 * below that of a call that begins or returns on the same machine stack is over; it is dropped and counted. */
#ifndef HOTSPAN_FUNC_STACK_H
#define HOTSPAN_FUNC_STACK_H

#include "func.h"
#include "kernel.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

/* Open calls of all threads at once. */
#define FUNC_CALLS_MAX 16384

/* Calls that are dropped at one entry or return; what is left over goes at the next. A recursion of which only the
 * outermost 64 returns can be probed (the kernel's limit for uretprobes) leaves many at once. More would cost the
 * verifier 10 us each, for every target. */
#define FUNC_DROPS_MAX 16
/* And at the end of a thread. */
#define FUNC_DROPS_AT_END_MAX 128
/* Calls of a program that are found open when it is replaced by exec; nobody calls that from deep inside. */
#define FUNC_IMAGE_CALLS_MAX 8

/* Kernel stacks are aligned to their size, 16 KiB; twice that with KASAN. */
#define KERNEL_STACK_BYTES 16384

/* Further apart than a usual thread's stack is large: another stack, of a coroutine or a signal handler. */
#define USER_STACK_BYTES (8ULL << 20)

/* Where a call's frame is. A thread in user mode has left all kernel functions, and at the entry of a system call too.
 */
enum func_domain {
    FUNC_USER = 1,
    FUNC_SYSCALL,
    FUNC_KERNEL,
};

/* What is needed to know of the innermost open call, kept with the outermost one so that one look-up finds both. */
struct func_top {
    __u64 span_key;
    __u64 trace_key;
    code_addr frame;
    __u32 target; /* 0: of a program that the process has replaced by exec */
    enum func_domain domain;
};

struct func_call {
    struct func_top self;
    __u64 parent_key;
    ktime_ns start_ns;
    code_addr address;
    __u64 args[FUNC_ARGS];
    /* Of the call at depth 0 only. */
    struct func_top top;
    __u64 depth; /* open calls; the innermost one's key has depth - 1 */
};

/* By slot, whether both sides of the target are attached: between the two, returns without entries mean nothing. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, FUNC_TARGETS_MAX);
    __type(key, __u32);
    __type(value, __u32);
} func_is_whole SEC(".maps");

/* A return, as its hook saw it. */
struct func_return {
    code_addr frame;
    __u64 result;
    enum func_domain domain;
    __u32 syscall;    /* number plus 1; 0 for none */
    __u64 own_frames; /* of the hook, at the top of the kernel stack */
};

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, FUNC_CALLS_MAX);
    __type(key, struct func_call_key);
    __type(value, struct func_call);
} func_calls SEC(".maps");

/* Calls that were counted as lost at their entry (no room in func_calls) and whose return is still to come: it must not
 * be counted a second time. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u64);
} func_unremembered SEC(".maps");

static __always_inline int is_on_task_stack(code_addr frame) {
    struct task_struct *task = (struct task_struct *)bpf_get_current_task();

    return frame - (code_addr)BPF_CORE_READ(task, stack) < 2 * KERNEL_STACK_BYTES;
}

static __always_inline int is_same_kernel_stack(code_addr a, code_addr b) {
    return (a ^ b) < KERNEL_STACK_BYTES;
}

static __always_inline int is_same_user_stack(code_addr a, code_addr b) {
    return a - b + USER_STACK_BYTES < 2 * USER_STACK_BYTES;
}

/* Whether the open call `top` must have ended when a call at `frame` begins or returns. `is_equal_over`: also where
 * both have one frame. A function that ends in a jump to another lends it its frame, and the other returns first. */
static __always_inline int is_over(const struct func_top *top, enum func_domain domain, code_addr frame,
                                   int is_equal_over) {
    if (domain == FUNC_USER) {
        if (top->domain != FUNC_USER || !top->target)
            return 1;
        return top->frame < frame ? is_same_user_stack(top->frame, frame) : is_equal_over && top->frame == frame;
    }
    if (top->domain == FUNC_USER)
        return 0;
    if (domain == FUNC_SYSCALL)
        return 1;
    if (top->domain == FUNC_SYSCALL)
        return 0;
    /* Code on the task's own stack runs when no interrupt is being served. */
    if (!is_same_kernel_stack(top->frame, frame))
        return is_on_task_stack(frame);
    return top->frame < frame || (is_equal_over && top->frame == frame);
}

/* Whether `top`, which is open, is what a call at `frame` was made in. An interrupt is not made by what it interrupts.
 * Where both have one frame, either `top` ended in a jump to the new function, or it was left without a return: that
 * cannot be told apart, and no parent is better than a wrong one. */
static __always_inline int is_parent(const struct func_top *top, enum func_domain domain, code_addr frame) {
    if (!top->target)
        return 0;
    if (top->domain != domain)
        return 1;
    if (top->frame <= frame)
        return 0;
    return domain == FUNC_USER ? is_same_user_stack(top->frame, frame) : is_same_kernel_stack(top->frame, frame);
}

/* Takes the innermost call off. Returns the stack, or NULL when that was the last call. */
static __always_inline struct func_call *func_pop(struct func_call_key *key, struct func_call *stack) {
    struct func_call *below;
    __u64 depth = stack->depth;

    if (depth >= 2) {
        key->depth = (__u32)depth - 1;
        bpf_map_delete_elem(&func_calls, key);
        key->depth = (__u32)depth - 2;
        below = bpf_map_lookup_elem(&func_calls, key);
        if (below) {
            stack->top = below->self;
            stack->depth = depth - 1;
            return stack;
        }
    }
    key->depth = 0;
    bpf_map_delete_elem(&func_calls, key);
    return NULL;
}

/* Makes room for the call that begins: drops those that are over, links it to its parent and puts it on top. */
static __always_inline void func_push(struct func_call_key *key, struct func_call *call) {
    struct func_call *stack = bpf_map_lookup_elem(&func_calls, key);
    __u64 depth = 0;

    for (int i = 0; i < FUNC_DROPS_MAX; i++) {
        if (!stack ||
            !is_over(&stack->top, call->self.domain, call->self.frame, stack->top.target == call->self.target))
            break;
        if (stack->top.target)
            func_count(DROP_NO_RETURN);
        stack = func_pop(key, stack);
    }
    call->self.trace_key = call->self.span_key;
    call->parent_key = 0;
    if (stack) {
        depth = stack->depth;
        if (is_parent(&stack->top, call->self.domain, call->self.frame)) {
            call->parent_key = stack->top.span_key;
            call->self.trace_key = stack->top.trace_key;
        }
    }
    call->top = call->self;
    call->depth = 1;
    key->depth = (__u32)depth;
    if (bpf_map_update_elem(&func_calls, key, call, BPF_ANY)) {
        __u32 first = 0;
        __u64 *unremembered = bpf_map_lookup_elem(&func_unremembered, &first);

        if (unremembered)
            __sync_fetch_and_add(unremembered, 1);
        func_count(DROP_INFLIGHT_FULL);
        return;
    }
    if (stack) {
        stack->top = call->self;
        stack->depth = depth + 1;
    }
}

/* A return without an entry: the call began before the target was attached, or it was lost and counted at its entry. */
static __always_inline void func_count_no_entry(__u32 slot) {
    __u32 first = 0;
    __u32 *is_whole = bpf_map_lookup_elem(&func_is_whole, &slot);
    __u64 *unremembered = bpf_map_lookup_elem(&func_unremembered, &first);

    if (!is_whole || !*is_whole)
        return;
    if (unremembered && *unremembered > 0) {
        __sync_fetch_and_add(unremembered, -1);
        return;
    }
    func_count(DROP_SEEN);
    func_count(DROP_NO_ENTRY);
}

/* Bytes by which frames of one call may differ: return probes of some kernels see the stack without the return address.
 */
#define FUNC_FRAME_SLACK 8

/* Brings the returning call to the top, dropping what must be over. Returns the stack, or NULL where it is not on it.
 */
static __always_inline struct func_call *func_settle(struct func_call_key *key, const struct func_return *end,
                                                     __u32 target, int *is_known) {
    struct func_call *stack = bpf_map_lookup_elem(&func_calls, key);

    for (int i = 0; i < FUNC_DROPS_MAX; i++) {
        if (!stack)
            return NULL;
        if (stack->top.target == target && stack->top.frame - end->frame + FUNC_FRAME_SLACK <= 2 * FUNC_FRAME_SLACK)
            return stack;
        if (!is_over(&stack->top, end->domain, end->frame, 1))
            return NULL;
        if (stack->top.target)
            func_count(DROP_NO_RETURN);
        stack = func_pop(key, stack);
    }
    /* More are over than are dropped at once. The call's entry is still there and is dropped, and counted, later. */
    *is_known = 1;
    return NULL;
}

/* The innermost call itself. */
static __always_inline struct func_call *func_top_call(struct func_call_key *key, struct func_call *stack) {
    if (stack->depth <= 1)
        return stack;
    key->depth = (__u32)stack->depth - 1;
    return bpf_map_lookup_elem(&func_calls, key);
}

/* A thread that ends leaves no call behind. */
static __always_inline void func_forget_thread(void) {
    struct func_call_key key = {.pid_tgid = bpf_get_current_pid_tgid()};
    struct func_call *stack = bpf_map_lookup_elem(&func_calls, &key);

    for (int i = 0; i < FUNC_DROPS_AT_END_MAX; i++) {
        if (!stack)
            break;
        if (stack->top.target)
            func_count(DROP_NO_RETURN);
        stack = func_pop(&key, stack);
    }
}

/* A process that takes a new image has lost the stack of the old one; what its system call is in goes on. */
static __always_inline void func_forget_image(void) {
    struct func_call_key key = {.pid_tgid = bpf_get_current_pid_tgid()};
    struct func_call *stack = bpf_map_lookup_elem(&func_calls, &key);

    for (int i = 0; i < FUNC_IMAGE_CALLS_MAX; i++) {
        struct func_call *call;

        if (!stack || (__u64)i >= stack->depth)
            break;
        key.depth = i;
        call = bpf_map_lookup_elem(&func_calls, &key);
        if (!call || call->self.domain != FUNC_USER)
            break;
        if (call->self.target)
            func_count(DROP_NO_RETURN);
        call->self.target = 0;
        if ((__u64)i + 1 == stack->depth)
            stack->top.target = 0;
    }
}

#endif
