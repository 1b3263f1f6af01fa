// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* Source func: calls of one probed function, from entry to return. The object is opened once for each target: what
 * differs between targets is constant in it, so each program is as small as its target allows and has its own cost in
 * the kernel's statistics. The maps are shared: those of the first object opened, which holds the programs that serve
 * all targets. */
#include "func.h"

#include "entry-stack.h"
#include "frame.h"
#include "func-regs.h"
#include "kernel.h"
#include "scratch.h"
#include "stack.h"
#include "syscall.h"

HOTSPAN_EVENTS(func)
/* One address more than the stacks: the function itself, as the leaf. */
HOTSPAN_SCRATCH(func, struct func_event, STACK_ROOM_BYTES + 8, 0)

#include "func-stack.h"

HOTSPAN_ENTRY_STACKS(func, struct func_call_key)

/* The agent's own process, which must not feed itself. */
const volatile pid_nr own_pid = 0;
/* The target: its id, not 0 and never used twice, and its place in func_sums. */
const volatile __u32 target_id = 0;
const volatile __u32 target_slot = 0;
/* A kernel function's address, for kernels that cannot tell it themselves, and whether they can. */
const volatile code_addr target_address = 0;
const volatile __u8 has_func_ip = 0;
/* Arguments of a kernel function by its prototype, and whether it returns something. */
const volatile __u32 arg_count = 0;
const volatile __u8 returns_value = 1;
/* Bits of the result in which a negative errno means that the call failed: 32, 64 or, where it means nothing, 0. */
const volatile __u8 errno_width = 0;
/* Arguments of the system calls that func_enter and its twins are attached to. */
const volatile __u32 enter_args = 0;
const volatile __u32 enter2_args = 0;
const volatile __u32 enter3_args = 0;
const volatile __u32 enter4_args = 0;

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct func_settings);
} func_settings SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, FUNC_TARGETS_MAX);
    __type(key, __u32);
    __type(value, struct latency_sums);
} func_sums SEC(".maps");

static __always_inline struct func_settings *settings_of(void) {
    __u32 key = 0;

    return bpf_map_lookup_elem(&func_settings, &key);
}

static __always_inline int is_wanted(__u64 pid_tgid) {
    struct func_settings *settings = settings_of();
    pid_nr pid = (pid_nr)(pid_tgid >> 32);

    return settings && pid != own_pid && (!settings->pid || settings->pid == pid);
}

/* Unique on this host and from one run of the agent to the next without a counter: no thread begins two calls in one
 * nanosecond. Multiplying by an odd number is one to one and spreads the bits. */
static __always_inline __u64 span_key_of(ktime_ns start_ns, __u64 pid_tgid) {
    __u64 key = (start_ns ^ (pid_tgid << 42)) * 0x9e3779b97f4a7c15ULL;

    return key ? key : 1;
}

/* ---- Entries. The caller has set frame, domain, address and args of `call`. */

static __always_inline void call_begin(struct func_call_key *key, struct func_call *call) {
    func_count(DROP_SEEN);
    call->self.target = target_id;
    call->start_ns = bpf_ktime_get_ns();
    call->self.span_key = span_key_of(call->start_ns, bpf_get_current_pid_tgid());
    func_push(key, call);
}

/* False where the call's process is not wanted. Leaves the call's key in `key`. */
static __always_inline int keyed_call_begin(struct func_call_key *key, struct func_call *call) {
    key->pid_tgid = bpf_get_current_pid_tgid();
    if (is_wanted(key->pid_tgid)) {
        call_begin(key, call);
        return 1;
    }
    func_count(DROP_SEEN);
    func_count(DROP_FILTERED);
    return 0;
}

static __always_inline void thread_call_begin(struct func_call *call) {
    struct func_call_key key = {};

    keyed_call_begin(&key, call);
}

/* ---- Returns. */

/* Whether a kernel function failed, by the kernel's convention. */
static __always_inline int is_errno(__u64 result, __u8 width) {
    if (width == 64)
        return result >= (__u64)-4095;
    return width == 32 && (__u32)result >= (__u32)-4095;
}

static __always_inline int sum_up(duration_ns latency_ns, int is_error) {
    struct func_settings *settings = settings_of();
    __u32 key = target_slot;
    struct latency_sums *sums = bpf_map_lookup_elem(&func_sums, &key);

    if (sums)
        latency_sums_add(sums, latency_ns, 0, is_error);
    if (settings && latency_ns >= settings->min_latency_ns)
        return 1;
    func_count(DROP_BELOW_MIN);
    return 0;
}

/* Kernel stack from the function on. On some kernels a tracing program's stack still shows the function, through which
 * the trampoline returns; otherwise it is put in front. */
static __always_inline __u32 write_kernel_stack(void *ctx, const struct func_call_key *key, struct func_event *event,
                                                __u32 own_frames) {
    code_addr *addresses = (code_addr *)event->tail;
    __u32 bytes;

    if (!own_frames && keeps_entry_stacks) {
        bytes = func_kept_stack(key, addresses);
        if (bytes) {
            /* A kprobe tells the instruction after its own. */
            addresses[0] = event->address;
            return bytes;
        }
    }
    bytes = stack_kernel_below(ctx, &addresses[1], own_frames);
    if (own_frames && bytes >= 8 && addresses[1] - event->address < 16)
        return stack_kernel_below(ctx, addresses, own_frames);
    return 8 + bytes;
}

/* Writes the stack behind the event; the function itself is its leaf. Returns the bytes. */
static __always_inline __u32 write_stack(void *ctx, const struct func_call_key *key, struct func_event *event,
                                         const struct func_return *end) {
    struct stack_counts counts = {};
    __u32 kernel_bytes = 8, user_bytes;

    *(code_addr *)event->tail = event->address;
    if (end->domain == FUNC_KERNEL)
        kernel_bytes = write_kernel_stack(ctx, key, event, (__u32)end->own_frames);
    user_bytes = stack_user(ctx, event->tail + kernel_bytes, &counts);
    if (end->domain == FUNC_USER)
        counts.user_depth += 1;
    else
        counts.kernel_depth = (__u16)(kernel_bytes / 8);
    STACK_TELL(event, &counts);
    return kernel_bytes + user_bytes;
}

/* header.time_ns is in place. */
static __always_inline void tell(void *ctx, const struct func_call_key *key, struct func_event *event,
                                 const struct func_return *end) {
    struct func_settings *settings = settings_of();
    __u32 size_bytes = sizeof(*event);
    ktime_ns now_ns = event->header.time_ns;

    event->cgroup_id = bpf_get_current_cgroup_id();
    bpf_get_current_comm(event->comm, sizeof(event->comm));
    event->target = target_id;
    event->reserved = 0;
    event->reserved2 = 0;
    event->kernel_depth = 0;
    event->user_depth = 0;
    event->user_raw_bytes = 0;
    event->user_end = UNWIND_END_NONE;
    if (settings && settings->has_stacks)
        size_bytes += write_stack(ctx, key, event, end);
    event_header_fill(&event->header, 0, size_bytes);
    event->header.time_ns = now_ns;
    func_emit(ctx, event, size_bytes);
}

static __always_inline void call_end(void *ctx, struct func_call_key *key, const struct func_return *end) {
    ktime_ns now_ns = bpf_ktime_get_ns();
    int is_known = 0;
    struct func_call *stack = func_settle(key, end, target_id, &is_known);
    struct func_call *call = stack ? func_top_call(key, stack) : NULL;
    struct func_slot *slot;
    struct func_event *event;

    if (!call) {
        if (!is_known)
            func_count_no_entry(target_slot);
        return;
    }
    if (sum_up(now_ns - call->start_ns, is_errno(end->result, end->domain == FUNC_SYSCALL ? 64 : errno_width))) {
        slot = func_claim();
        if (slot) {
            event = (struct func_event *)slot->record;
            event->latency_ns = now_ns - call->start_ns;
            event->span_key = call->self.span_key;
            event->parent_key = call->parent_key;
            event->trace_key = call->self.trace_key;
            event->address = call->address;
            event->result = end->result;
            event->syscall = end->syscall;
            __builtin_memcpy(event->args, call->args, sizeof(event->args));
            event->header.time_ns = now_ns;
            tell(ctx, key, event, end);
            func_release(slot);
        } else {
            func_count(DROP_NESTED);
        }
    }
    func_pop(key, stack);
}

static __always_inline void thread_call_end(void *ctx, const struct func_return *end) {
    struct func_call_key key = {.pid_tgid = bpf_get_current_pid_tgid()};

    if (is_wanted(key.pid_tgid))
        call_end(ctx, &key, end);
}

/* ---- Kernel functions. */

static __always_inline code_addr kernel_address(void *ctx) {
    return has_func_ip ? bpf_get_func_ip(ctx) : target_address;
}

/* The function named here is only an example: the agent names the real one before it loads the object. */
SEC("fentry/vfs_read")
int func_fentry(void *ctx) {
    struct func_call call = {.self.domain = FUNC_KERNEL};

    call.self.frame = frame_of_context(ctx);
    call.address = kernel_address(ctx);
    args_of_tracing(call.self.frame, arg_count, call.args);
    thread_call_begin(&call);
    return 0;
}

SEC("fexit/vfs_read")
int func_fexit(void *ctx) {
    struct func_return end = {.domain = FUNC_KERNEL, .own_frames = STACK_TRACING_FRAMES};

    end.frame = frame_of_context(ctx);
    end.result = returns_value ? result_of_tracing(end.frame, arg_count) : 0;
    thread_call_end(ctx, &end);
    return 0;
}

SEC("kprobe")
int func_kprobe(struct pt_regs *ctx) {
    struct func_call call = {.self.domain = FUNC_KERNEL};
    struct func_call_key key = {};
    struct func_settings *settings = settings_of();

    call.self.frame = PT_REGS_SP(ctx);
    call.address = kernel_address(ctx);
    args_of_regs(ctx, call.args);
    if (keyed_call_begin(&key, &call) && keeps_entry_stacks && settings && settings->has_stacks)
        func_keep_stack(ctx, &key);
    return 0;
}

SEC("kretprobe")
int func_kretprobe(struct pt_regs *ctx) {
    struct func_return end = {.domain = FUNC_KERNEL, .frame = REGS_RETURN_FRAME(ctx), .result = PT_REGS_RC(ctx)};

    thread_call_end(ctx, &end);
    return 0;
}

/* Where there are no probes of kernel functions: a function that is a system call, or stands behind up to four of them,
 * by the system calls' tracepoints. The kernel refuses a program that could read beyond a call's arguments, so each
 * call has a program of its own. */
#define SYSCALL_ENTRY(name, count)                                                                                     \
    SEC("tracepoint")                                                                                                  \
    int name(struct syscall_enter *ctx) {                                                                              \
        struct func_call call = {.self.domain = FUNC_SYSCALL, .address = target_address};                              \
                                                                                                                       \
        args_of_syscall(ctx, count, call.args);                                                                        \
        thread_call_begin(&call);                                                                                      \
        return 0;                                                                                                      \
    }

SYSCALL_ENTRY(func_enter, enter_args)
SYSCALL_ENTRY(func_enter2, enter2_args)
SYSCALL_ENTRY(func_enter3, enter3_args)
SYSCALL_ENTRY(func_enter4, enter4_args)

SEC("tracepoint")
int func_exit(struct syscall_exit *ctx) {
    struct func_return end = {.domain = FUNC_SYSCALL, .result = (__u64)ctx->result, .syscall = (__u32)ctx->number + 1};

    thread_call_end(ctx, &end);
    return 0;
}

/* ---- Functions of programs. */

/* 6.13 to 7.2, at least, give programs of the type that uprobes have one stack per CPU, though those of uprobes may be
 * preempted in their midst by one another: what they keep there is then another thread's. A program that holds a tail
 * call gets no such stack. This call finds nothing to go to and costs 2 ns. It can go when our floor is a kernel that
 * has this mended. */
struct {
    __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u32);
} func_nowhere SEC(".maps");

static __always_inline void keep_own_stack(void *ctx) {
    bpf_tail_call(ctx, &func_nowhere, 0);
}

SEC("uprobe")
int func_uprobe(struct pt_regs *ctx) {
    struct func_call call = {.self.domain = FUNC_USER};

    call.self.frame = PT_REGS_SP(ctx);
    call.address = PT_REGS_IP(ctx);
    args_of_regs(ctx, call.args);
    thread_call_begin(&call);
    keep_own_stack(ctx);
    return 0;
}

SEC("uretprobe")
int func_uretprobe(struct pt_regs *ctx) {
    struct func_return end = {.domain = FUNC_USER, .frame = REGS_RETURN_FRAME(ctx), .result = PT_REGS_RC(ctx)};

    thread_call_end(ctx, &end);
    keep_own_stack(ctx);
    return 0;
}

/* First words of Go's runtime.g: the bounds of the goroutine's stack. */
struct go_stack {
    __u64 low;
    __u64 high;
};

/* A goroutine moves between threads, and its stack moves as it grows; how far a frame is from the stack's end stays.
 * Returns the frame as a negative distance, so that deeper is lower, or 0 where the register holds no goroutine (code
 * in assembler). */
static __always_inline code_addr go_frame(struct pt_regs *ctx, struct func_call_key *key) {
    struct go_stack bounds = {};
    code_addr stack_pointer = PT_REGS_SP(ctx);

    key->goroutine = GO_GOROUTINE(ctx);
    key->pid_tgid = bpf_get_current_pid_tgid() & 0xffffffff00000000ULL;
    if (bpf_probe_read_user(&bounds, sizeof(bounds), (const void *)key->goroutine))
        return 0;
    if (stack_pointer <= bounds.low || stack_pointer >= bounds.high)
        return 0;
    return stack_pointer - bounds.high;
}

/* A function whose stack must grow, or that is asked to yield at its entry, begins anew after that: not another call.
 */
static __always_inline int is_go_restart(struct func_call_key *key, code_addr frame) {
    struct func_call *stack = bpf_map_lookup_elem(&func_calls, key);
    struct func_call *call;

    if (!stack || stack->top.target != target_id || stack->top.frame != frame)
        return 0;
    call = func_top_call(key, stack);
    if (call)
        call->start_ns = bpf_ktime_get_ns();
    key->depth = 0;
    return 1;
}

SEC("uprobe")
int func_go_entry(struct pt_regs *ctx) {
    struct func_call_key key = {};
    struct func_call call = {.self.domain = FUNC_USER};

    if (!is_wanted(bpf_get_current_pid_tgid())) {
        func_count(DROP_SEEN);
        func_count(DROP_FILTERED);
        return 0;
    }
    call.self.frame = go_frame(ctx, &key);
    if (!call.self.frame) {
        func_count(DROP_SEEN);
        func_count(DROP_READ_FAILED);
        return 0;
    }
    if (is_go_restart(&key, call.self.frame))
        return 0;
    call.address = PT_REGS_IP(ctx);
    args_of_go_regs(ctx, call.args);
    call_begin(&key, &call);
    keep_own_stack(ctx);
    return 0;
}

/* At each RET instruction, where the stack pointer is what it was at the entry. */
SEC("uprobe")
int func_go_return(struct pt_regs *ctx) {
    struct func_call_key key = {};
    struct func_return end = {.domain = FUNC_USER, .result = GO_ARG1(ctx)};

    if (!is_wanted(bpf_get_current_pid_tgid()))
        return 0;
    end.frame = go_frame(ctx, &key);
    if (end.frame)
        call_end(ctx, &key, &end);
    keep_own_stack(ctx);
    return 0;
}

/* ---- For all targets: attached once, from the object that owns the maps. */

SEC("raw_tp/sched_process_exit")
int func_thread_end(void *ctx) {
    (void)ctx;
    func_forget_thread();
    return 0;
}

SEC("raw_tp/sched_process_exec")
int func_new_image(void *ctx) {
    (void)ctx;
    func_forget_image();
    return 0;
}
