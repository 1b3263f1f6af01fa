/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Walks the current thread's user stack by unwind tables, in any context, NMI included: nothing here takes a lock, and
 * user memory is read without faulting.
 *
 * How it fits the verifier of 5.10, which knows no bpf_loop and follows each turn of a loop by itself: a frame is one
 * *global* function, verified once and alone, and the loops around it only call it. From 5.6 on they exist; to 5.12
 * they take numbers and the context alone, so the state is in a per-CPU map where each of them looks it up. Two loops,
 * one in the other, cost the verifier the sum of their turns, not the product. __noinline matters: the compiler inlines
 * what is global as well, and what a claim may give or a copy may end with is then followed through all that comes
 * after. So done a program with the walk takes 5,000 instructions of verification on 6.18 and at most 25,000 of the
 * million on 5.10, where inlining took 107,000. */
#ifndef HOTSPAN_UNWIND_H
#define HOTSPAN_UNWIND_H

#include "kernel.h"
#include "scratch.h"
#include "unwind-table.h"
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

/* Off: no tables are kept, and stacks are the kernel's walk by frame pointers. */
const volatile __u8 unwind_is_on = 0;
/* How much of stacks whose tables are still to come each CPU may copy in a second. */
const volatile __u32 unwind_copy_bytes_per_second = 2 << 20;

/* Whether walks are timed, for the bench: in steps of UNWIND_TIME_STEP_NS, as many as unwind_times is given entries. */
const volatile __u8 unwind_is_timed = 0;
#define UNWIND_TIME_STEP_NS 50

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, event_count);
} unwind_times SEC(".maps");

/* The two maps that whoever keeps the tables puts in place of these before load, with as many entries as it wants. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct unwind_process);
} unwind_processes SEC(".maps");

struct unwind_block_map {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(key_size, sizeof(__u32));
    __uint(value_size, UNWIND_BLOCK_BYTES);
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    __uint(max_entries, UNWIND_MAX_BLOCKS);
    __type(key, __u32);
    __array(values, struct unwind_block_map);
} unwind_blocks SEC(".maps");

struct unwind_state;

static __always_inline const __u8 *unwind_block(struct unwind_state *state, __u32 number) {
    __u32 first = 0;
    void *block = bpf_map_lookup_elem(&unwind_blocks, &number);

    (void)state;
    return block ? bpf_map_lookup_elem(block, &first) : NULL;
}

static __always_inline long unwind_read(struct unwind_state *state, void *to, __u32 bytes, __u64 address) {
    (void)state;
    return bpf_probe_read_user(to, bytes, (const void *)address);
}

#include "unwind-step.h"

/* As many walks at once on a CPU as records can be built: a walk that is interrupted goes on afterwards. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, SCRATCH_SLOTS);
    __type(key, __u32);
    __type(value, struct unwind_state);
} unwind_states SEC(".maps");

/* Of this CPU, in the part of a second that began at part_ns. */
struct unwind_copies {
    ktime_ns part_ns;
    __u64 bytes;
};

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct unwind_copies);
} unwind_budget SEC(".maps");

/* In small parts, each of half a usual perf buffer at most: what is allowed in a second, copied at once, would leave no
 * room for other records. */
#define UNWIND_COPY_PARTS 16
#define UNWIND_COPY_PART_NS (1000000000ULL / UNWIND_COPY_PARTS)
/* Turns of the inner and of the outer loop. */
#define UNWIND_TURNS 32

static __always_inline struct unwind_state *unwind_state_of(__u32 slot) {
    return bpf_map_lookup_elem(&unwind_states, &slot);
}

/* The kernel has no name for it: TOP_OF_KERNEL_STACK_PADDING is 0 on the kernels without bpf_task_pt_regs (before
 * 5.15). */
#define UNWIND_THREAD_BYTES 16384

static __always_inline const struct pt_regs *unwind_user_registers(void) {
    struct task_struct *task = (struct task_struct *)bpf_get_current_task();

    if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs))
        return (const struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
    return BPF_CORE_READ(task, stack) + UNWIND_THREAD_BYTES - sizeof(struct pt_regs);
}

/* Selectors of user code: of 64-bit code, and of 32-bit code (asm/segment.h). */
#define UNWIND_CODE_RING 3
#define UNWIND_CODE_32 0x23

/* The registers with which the thread entered the kernel, by this sample's interrupt or before, and its process. */
__noinline int unwind_load(__u32 slot) {
    struct unwind_state *state = unwind_state_of(slot);
    struct task_struct *task = (struct task_struct *)bpf_get_current_task();
    __u32 pid = (__u32)(bpf_get_current_pid_tgid() >> 32);
    struct unwind_process *process;
    struct pt_regs regs = {};

    if (!state)
        return 0;
    state->depth = 0;
    state->end = UNWIND_END_NONE;
    if (!BPF_CORE_READ(task, mm) || bpf_probe_read_kernel(&regs, sizeof(regs), unwind_user_registers()))
        return 0;
    if ((regs.cs & UNWIND_CODE_RING) != UNWIND_CODE_RING)
        return 0;
    if ((regs.cs & 0xffff) == UNWIND_CODE_32)
        return unwind_stop(state, UNWIND_END_COMPAT);
    state->registers[0] = regs.rax;
    state->registers[1] = regs.rdx;
    state->registers[2] = regs.rcx;
    state->registers[3] = regs.rbx;
    state->registers[4] = regs.rsi;
    state->registers[5] = regs.rdi;
    state->registers[6] = regs.rbp;
    state->registers[7] = regs.rsp;
    state->registers[8] = regs.r8;
    state->registers[9] = regs.r9;
    state->registers[10] = regs.r10;
    state->registers[11] = regs.r11;
    state->registers[12] = regs.r12;
    state->registers[13] = regs.r13;
    state->registers[14] = regs.r14;
    state->registers[15] = regs.r15;
    state->ip = regs.rip;
    state->sp = regs.rsp;
    state->bp = regs.rbp;
    state->is_exact = 1;
    if (!unwind_begin(state))
        return 0;
    process = bpf_map_lookup_elem(&unwind_processes, &pid);
    if (!process)
        return unwind_stop(state, UNWIND_END_NO_PROCESS);
    state->list = process->list;
    return 1;
}

/* One frame. 0 where the walk ends. */
__noinline int unwind_frame(__u32 slot) {
    struct unwind_state *state = unwind_state_of(slot);

    return state ? unwind_step(state) : 0;
}

__noinline int unwind_frames(__u32 slot) {
    for (int i = 0; i < UNWIND_TURNS; i++)
        if (!unwind_frame(slot))
            return 0;
    return 1;
}

/* Whether the thread is in execve behind the point of no return: the image that its registers are of is gone, and the
 * new one has run nothing yet. Before that point its old stack is there. */
static __always_inline int unwind_image_is_gone(struct unwind_state *state) {
    struct task_struct *task = (struct task_struct *)bpf_get_current_task();

    if (!bpf_core_field_exists(task->in_execve) || !BPF_CORE_READ_BITFIELD_PROBED(task, in_execve))
        return 0;
    return bpf_probe_read_user(state->words, 8, (const void *)state->registers[UNWIND_REGISTER_SP]) != 0;
}

/* What was walked of an image that is gone is no stack. */
__noinline int unwind_settle(__u32 slot) {
    struct unwind_state *state = unwind_state_of(slot);

    if (!state || state->end == UNWIND_END_ROOT || !unwind_image_is_gone(state))
        return 0;
    state->depth = 0;
    return unwind_stop(state, UNWIND_END_NONE);
}

/* The slot that was claimed, SCRATCH_SLOTS where all are taken. */
__noinline int unwind_claim(void) {
#pragma unroll
    for (__u32 i = 0; i < SCRATCH_SLOTS; i++) {
        struct unwind_state *state = unwind_state_of(i);

        if (state && !state->is_claimed) {
            state->is_claimed = 1;
            return (int)i;
        }
    }
    return SCRATCH_SLOTS;
}

/* Walks the current thread's user stack. Returns the slot whose state has what was found, and which is the caller's to
 * release; SCRATCH_SLOTS where all are taken. */
__noinline int unwind_walk(void) {
    __u32 slot = (__u32)unwind_claim();

    if (slot >= SCRATCH_SLOTS)
        return (int)slot;
    if (unwind_load(slot)) {
        /* One turn more than frames: the last one finds the root, or that there is more. */
        for (int i = 0; i <= UNWIND_MAX_FRAMES / UNWIND_TURNS; i++)
            if (!unwind_frames(slot))
                break;
    }
    unwind_settle(slot);
    return (int)slot;
}

static __always_inline void unwind_count_time(duration_ns time_ns) {
    __u32 step = (__u32)(time_ns / UNWIND_TIME_STEP_NS);
    event_count *count = bpf_map_lookup_elem(&unwind_times, &step);

    if (count)
        *count += 1;
}

/* What this CPU has copied in this part of a second; NULL where that is enough. */
static __always_inline struct unwind_copies *unwind_may_copy(void) {
    __u32 first = 0;
    struct unwind_copies *copies = bpf_map_lookup_elem(&unwind_budget, &first);
    ktime_ns now_ns = bpf_ktime_get_ns();

    if (!copies)
        return NULL;
    if (now_ns - copies->part_ns >= UNWIND_COPY_PART_NS) {
        copies->part_ns = now_ns;
        copies->bytes = 0;
    }
    return copies->bytes < unwind_copy_bytes_per_second / UNWIND_COPY_PARTS ? copies : NULL;
}

/* A stack ends where memory that cannot be read begins, at the end of a page. So page by page, of which the first is a
 * part. */
#define UNWIND_COPY_PAGE 4096
#define UNWIND_COPY_PAGES (UNWIND_STACK_COPY_BYTES / UNWIND_COPY_PAGE)

/* Copies the stack from sp on to `to`. Returns the bytes. */
static __always_inline __u32 unwind_copy_stack(code_addr sp, __u8 *to) {
    __u32 first = UNWIND_COPY_PAGE - unwind_bound((__u32)sp, UNWIND_COPY_PAGE - 1);

    if (bpf_probe_read_user(to, first, (const void *)sp))
        return 0;
#pragma unroll
    for (__u32 i = 0; i < UNWIND_COPY_PAGES - 1; i++) {
        __u32 at = first + i * UNWIND_COPY_PAGE;

        if (bpf_probe_read_user(to + at, UNWIND_COPY_PAGE, (const void *)(sp + at)))
            return at;
    }
    return first + (UNWIND_COPY_PAGES - 1) * UNWIND_COPY_PAGE;
}

/* Bytes that unwind_write_raw may write. */
#define UNWIND_RAW_ROOM_BYTES (sizeof(struct unwind_resume) + UNWIND_STACK_COPY_BYTES)

/* Where a walk ended for want of a mapping or a table: what user space needs to go on, to `to`. Returns the bytes, 0
 * where the walk ended otherwise or the CPU has copied enough. */
static __always_inline __u32 unwind_write_raw(const struct unwind_state *state, __u8 *to) {
    struct unwind_resume *resume = (struct unwind_resume *)to;
    struct unwind_copies *copies;
    __u32 end = state->end;

    if (end != UNWIND_END_NO_PROCESS && end != UNWIND_END_NO_MAPPING && end != UNWIND_END_NO_TABLE)
        return 0;
    copies = unwind_may_copy();
    if (!copies)
        return 0;
    resume->ip = state->ip;
    resume->sp = state->sp;
    resume->bp = state->bp;
    resume->is_leaf = state->is_exact;
    if (state->is_exact)
        __builtin_memcpy(resume->registers, state->registers, sizeof(resume->registers));
    else
        __builtin_memset(resume->registers, 0, sizeof(resume->registers));
    resume->stack_bytes = unwind_copy_stack(state->sp, to + sizeof(*resume));
    UNWIND_FORGET();
    copies->bytes += resume->stack_bytes;
    return sizeof(*resume) + resume->stack_bytes;
}

#endif
