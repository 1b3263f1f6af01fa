/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Stacks that sums refer to: each is told once, by a record of its own, and known by a number from then on. A thread
 * that is where it was before is recognised by its registers and the top of its stack, which costs a tenth of a walk.
 *
 * Whoever includes it says first, for its <source>:
 *   STACK_TABLE_EVENTS   its perf buffer, <source>_events
 *   STACK_TABLE_COUNT    <source>_count
 *   STACK_TABLE_KIND     the kind of its struct <source>_stack_event, which is made of STACK_RECORD_FIELDS
 */
#ifndef HOTSPAN_STACK_TABLE_H
#define HOTSPAN_STACK_TABLE_H

#include "event.h"
#include "stack-record.h"

#include "compat.h"
#include "frame.h"
#include "scratch.h"
#include "stack.h"
#include <stdbool.h>

HOTSPAN_SCRATCH(stack, struct stack_record, STACK_ROOM_BYTES, 0)

/* Stacks that were told. The agent takes out what it has forgotten, so that it is told again. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 16384);
    __type(key, exact_u64);
    __type(value, __u32);
} known_stacks SEC(".maps");

/* The tops of a thread's user and kernel stack, where the return addresses of their first frames lie. */
#define WINDOW_WORDS 64
#define WINDOW_USER 0
#define WINDOW_KERNEL WINDOW_WORDS
#define WINDOW_BYTES (WINDOW_WORDS * 8)
struct stack_window {
    __u64 words[2 * WINDOW_WORDS];
    /* Of find_addresses: in memory, so that the turns of its loop look alike to the verifier. */
    __u32 next;
    __u32 is_claimed;
};
/* Working memory. One per CPU will do: few programs are interrupted by others that use it, or by themselves. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct stack_window);
} stack_windows SEC(".maps");

#define CACHE_SLOTS 1024
/* Of both stacks together: the frames next to the leaves, which tell one path from another. */
#define CACHED_ADDRESSES 20
/* Where the walk led of a thread that was at this place: it leads there again as long as the return addresses in the
 * window are the same, whatever lies between them. */
struct stack_cached {
    __u64 place;
    __u64 hash; /* of the return addresses in the window */
    exact_u64 stack;
    __u32 count;
    __u8 at[CACHED_ADDRESSES]; /* which words of the window they are */
};
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, CACHE_SLOTS);
    __type(key, __u32);
    __type(value, struct stack_cached);
} stack_cache SEC(".maps");

/* Walks in the second that runs, by CPU. */
struct stack_budget {
    ktime_ns second;
    __u32 walks;
    __u32 preempted_walks;
};
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct stack_budget);
} stack_budgets SEC(".maps");

enum stack_role {
    STACK_ROLE_WAITS = 1,
    STACK_ROLE_WAKES,
    STACK_ROLE_INTERRUPTS,
    STACK_ROLE_PREEMPTED,
    STACK_ROLE_CALLS,  /* in a system call */
    STACK_ROLE_FAULTS, /* a perf event's program: what the kernel did when it happened, without our own frames */
    STACK_ROLE_USER,   /* in the kernel by no will of its own, so that the user stack alone says where it is */
};

/* Of the stacks of interrupts and threads, without KASAN: IRQ_STACK_SIZE and THREAD_SIZE. */
#define KERNEL_STACK_BYTES 16384

/* How the current thread came into the kernel. */
struct user_regs {
    __u64 ip;
    __u64 sp;
    __s64 syscall; /* negative in exceptions and interrupts */
};

/* False for threads of the kernel. */
static __always_inline bool user_regs_now(struct user_regs *out) {
    struct task_struct *task = (void *)bpf_get_current_task();
    const struct pt_regs *regs = unwind_user_registers();

    out->syscall = -1;
    /* One by one: all of them would take a third of the stack that a program has with what it calls. */
    return BPF_CORE_READ(task, mm) && !bpf_probe_read_kernel(&out->ip, sizeof(out->ip), &regs->rip) &&
           !bpf_probe_read_kernel(&out->sp, sizeof(out->sp), &regs->rsp) &&
           !bpf_probe_read_kernel(&out->syscall, sizeof(out->syscall), &regs->orig_rax);
}

static __always_inline __u64 mix(__u64 hash, __u64 value) {
    return (hash ^ value) * 0x9e3779b97f4a7c15ULL;
}

/* The multiplication carries upwards alone: fold the upper half back before the lower bits are used. */
static __always_inline __u64 finish(__u64 hash) {
    return hash ^ hash >> 32;
}

/* Where the current thread is: how it came into the kernel, and how deep it is there where that is told by its stack;
 * within system calls the kernel moves its stack by a random offset. `regs` is NULL for a thread of the kernel. */
static __always_inline __u64 place_of(void *ctx, const struct user_regs *regs, enum stack_role role) {
    struct task_struct *task = (void *)bpf_get_current_task();
    __u64 hash = mix(role, bpf_get_current_pid_tgid() >> 32);

    /* An interrupt's stack is not the thread's, but as large and aligned as well. */
    if (role == STACK_ROLE_INTERRUPTS)
        return finish(mix(role, frame_of_context(ctx) & (KERNEL_STACK_BYTES - 1))) | 1;
    if (role != STACK_ROLE_USER && (!regs || regs->syscall < 0))
        hash = mix(hash, frame_of_context(ctx) - (__u64)BPF_CORE_READ(task, stack));
    if (!regs)
        return finish(mix(hash, (__u32)bpf_get_current_pid_tgid())) | 1;
    return finish(mix(mix(mix(hash, regs->ip), regs->sp), (__u64)regs->syscall)) | 1;
}

/* Reads the tops of both stacks; what cannot be read is 0. */
static __always_inline void fill_window(void *ctx, struct stack_window *window, const struct user_regs *regs,
                                        enum stack_role role) {
    if (!regs || bpf_probe_read_user(window->words, WINDOW_BYTES, (void *)regs->sp))
        __builtin_memset(window->words, 0, WINDOW_BYTES);
    if (role == STACK_ROLE_USER)
        return;
    if (bpf_probe_read_kernel(window->words + WINDOW_KERNEL, WINDOW_BYTES, (void *)frame_of_context(ctx)))
        __builtin_memset(window->words + WINDOW_KERNEL, 0, WINDOW_BYTES);
}

/* Hash of the return addresses that the window has now. */
static __always_inline __u64 hash_window(const struct stack_window *window, const struct stack_cached *cached) {
    __u64 hash = 3;

    for (__u32 i = 0; i < CACHED_ADDRESSES; i++) {
        if (i >= cached->count)
            break;
        hash = mix(hash, window->words[cached->at[i] & (2 * WINDOW_WORDS - 1)]);
    }
    return finish(hash);
}

/* Finds the frames [first, end) of the event among the words from `base` on, each above that of the frame that it
 * called, until `limit` are known. */
static __always_inline void find_addresses(struct stack_window *window, __u32 base, struct stack_cached *cached,
                                           __u32 limit, const struct stack_record *event, __u32 first, __u32 end) {
    volatile __u32 *next = &window->next;
    volatile __u32 *count = &cached->count;

    *next = first;
    for (__u32 i = 0; i < WINDOW_WORDS; i++) {
        __u32 frame = *next, known = *count;

        if (frame >= STACK_MAX_FRAMES + UNWIND_MAX_FRAMES || frame >= end || known >= limit ||
            known >= CACHED_ADDRESSES)
            break;
        if (window->words[base + i] == ((const code_addr *)event->tail)[frame]) {
            cached->at[known] = (__u8)(base + i);
            *count = known + 1;
            *next = frame + 1;
        }
    }
}

/* A program runs on the stack of what it interrupts or is called by: the current thread's, or that of an interrupt. */
static __always_inline bool is_on_thread_stack(void *ctx) {
    struct task_struct *task = (void *)bpf_get_current_task();

    return frame_of_context(ctx) - (__u64)BPF_CORE_READ(task, stack) < KERNEL_STACK_BYTES;
}

/* A thread can be preempted anywhere, so that its stacks are ever new ones: an eighth of the walks is enough for them,
 * and the places where threads wait keep the rest. */
static __always_inline bool has_budget(__u32 per_second, enum stack_role role) {
    __u32 key = 0;
    struct stack_budget *budget = bpf_map_lookup_elem(&stack_budgets, &key);
    /* 2^30 ns are a second and a bit, without a division. */
    ktime_ns second = bpf_ktime_get_ns() >> 30;

    if (!budget)
        return false;
    if (budget->second != second) {
        budget->second = second;
        budget->walks = 0;
        budget->preempted_walks = 0;
    }
    if (role == STACK_ROLE_PREEMPTED)
        return budget->preempted_walks++ < per_second >> 3;
    return budget->walks++ < per_second;
}

/* Over the addresses of both parts, in the order in which they are told. */
static __always_inline exact_u64 hash_of(const struct stack_record *event, __u64 seed) {
    const code_addr *addresses = (const code_addr *)event->tail;
    __u64 hash = mix(2, seed);

    for (__u32 i = 0; i < STACK_MAX_FRAMES + UNWIND_MAX_FRAMES; i++) {
        if (i >= (__u32)event->kernel_depth + event->user_depth)
            break;
        hash = mix(hash, addresses[i]);
        hash ^= hash >> 29;
    }
    return finish(hash) | 1;
}

/* The walk did not end because of the stack, but because of what is not known of the process yet: user space goes on.
 */
static __always_inline bool is_to_be_resumed(const struct stack_record *event) {
    return event->user_end == UNWIND_END_NO_PROCESS || event->user_end == UNWIND_END_NO_MAPPING ||
           event->user_end == UNWIND_END_NO_TABLE;
}

/* Takes both stacks without our own frames on top; an interrupt's user stack is somebody else's. Returns the record's
 * size. */
static __always_inline __u32 take_stack(void *ctx, struct stack_record *event, enum stack_role role) {
    __u32 kernel_bytes = 0, user_bytes = 0;
    struct stack_counts counts = {.user_end = UNWIND_END_NONE};

    if (role != STACK_ROLE_USER)
        kernel_bytes = stack_kernel_below(ctx, event->tail, role == STACK_ROLE_FAULTS ? 0 : STACK_TRACING_FRAMES);
    if (role != STACK_ROLE_INTERRUPTS)
        user_bytes = stack_user(ctx, event->tail + kernel_bytes, &counts);
    counts.kernel_depth = (__u16)(kernel_bytes / 8);
    STACK_TELL(event, &counts);
    return sizeof(*event) + kernel_bytes + user_bytes;
}

/* Walks and tells the stack of the current thread into `cached`; 0 where it cannot be told. */
static __always_inline void tell_stack(void *ctx, enum stack_role role, struct stack_window *window,
                                       struct stack_cached *cached) {
    struct stack_slot *slot = stack_claim();
    struct stack_record *event;
    __u32 size_bytes, one = 1;
    exact_u64 stack;
    bool is_alone;

    cached->stack = 0;
    if (!slot) {
        STACK_TABLE_COUNT(DROP_NESTED);
        return;
    }
    event = (struct stack_record *)slot->record;
    event->reserved = 0;
    event->reserved2 = 0;
    size_bytes = take_stack(ctx, event, role);
    cached->count = 0;
    find_addresses(window, WINDOW_KERNEL, cached, CACHED_ADDRESSES / 2, event, 0, event->kernel_depth);
    find_addresses(window, WINDOW_USER, cached, CACHED_ADDRESSES, event, event->kernel_depth + 1U,
                   (__u32)event->kernel_depth + event->user_depth);
    /* Two stacks that are cut alike need not be alike: each that user space can go on with has a number of its own, and
     * none is remembered. The others are shown as they are cut, and are one. */
    is_alone = is_to_be_resumed(event) && event->user_raw_bytes;
    stack = hash_of(event, is_alone ? bpf_ktime_get_ns() : bpf_get_current_pid_tgid() >> 32);
    if (is_to_be_resumed(event))
        cached->place = 0;
    if (bpf_map_update_elem(&known_stacks, &stack, &one, BPF_NOEXIST) == 0) {
        event_header_fill(&event->header, STACK_TABLE_KIND, size_bytes);
        event->stack = stack;
        STACK_TABLE_COUNT(DROP_SEEN);
        if (bpf_perf_event_output(ctx, &STACK_TABLE_EVENTS, BPF_F_CURRENT_CPU, event, size_bytes)) {
            STACK_TABLE_COUNT(DROP_BUFFER_FULL);
            bpf_map_delete_elem(&known_stacks, &stack);
            stack = 0;
        } else {
            STACK_TABLE_COUNT(DROP_EMITTED);
        }
    } else if (!bpf_map_lookup_elem(&known_stacks, &stack)) {
        stack = 0;
    }
    cached->stack = stack;
    stack_release(slot);
}

static __always_inline exact_u64 stack_in(void *ctx, __u32 per_second, const struct user_regs *regs,
                                          enum stack_role role, struct stack_window *window) {
    __u64 place = place_of(ctx, regs, role);
    __u32 index = (__u32)place & (CACHE_SLOTS - 1);
    struct stack_cached *cached = bpf_map_lookup_elem(&stack_cache, &index);

    if (!cached)
        return 0;
    fill_window(ctx, window, regs, role);
    if (cached->place == place && cached->hash == hash_window(window, cached) &&
        bpf_map_lookup_elem(&known_stacks, &cached->stack))
        return cached->stack;
    if (!has_budget(per_second, role))
        return 0;
    cached->place = place;
    tell_stack(ctx, role, window, cached);
    cached->hash = hash_window(window, cached);
    return cached->stack;
}

/* The number of the current thread's stack, which is told if it is new; 0 where it cannot be. At most `per_second` are
 * walked on a CPU in a second. */
static __noinline exact_u64 stack_of(void *ctx, __u32 per_second, const struct user_regs *regs, enum stack_role role) {
    __u32 key = 0;
    struct stack_window *window = bpf_map_lookup_elem(&stack_windows, &key);
    exact_u64 stack;

    if (!window || window->is_claimed)
        return 0;
    window->is_claimed = 1;
    stack = stack_in(ctx, per_second, regs, role, window);
    window->is_claimed = 0;
    return stack;
}

#endif
