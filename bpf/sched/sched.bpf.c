// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* Source sched: where every thread's wall-clock goes. Each switch closes one interval of the thread that leaves and one
 * of the thread that comes, each wake-up turns blocked into runnable. The intervals are summed by (thread, stack,
 * system call, waker); all of it in two programs with a bounded amount of work, with interrupts off, where the
 * scheduler calls them. */
#include "sched.h"

#include "futex.h"
#include "kernel.h"
#include "settings.h"

HOTSPAN_EVENTS(sched)
HOTSPAN_SETTINGS(sched)
#define STACK_TABLE_EVENTS sched_events
#define STACK_TABLE_COUNT sched_count
#define STACK_TABLE_KIND SCHED_STACK
#include "stack-table.h"
#include "turning-sums.h"

/* Which argument of the tracepoint sched_switch is the state that prev leaves in. 5.18 added it; before it is read from
 * the task, where a wake-up that is under way can have changed it. 0: there is none. */
const volatile __u32 prev_state_argument = 0;

/* include/linux/sched.h. The low bits of a state are the same on every kernel since 4.14. */
#define TASK_STATE_MASK 0xff
#define TASK_UNINTERRUPTIBLE 0x2
#define TASK_DEAD 0x80

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 16384);
    __type(key, pid_nr);
    __type(value, struct sched_thread);
} sched_threads SEC(".maps");

TURNING_SUMS(sched_sums, struct sched_sum_key, struct sched_sum, 16384)

/* arch/x86/entry/syscalls/syscall_64.tbl */
#define SYSCALL_FUTEX 202

/* By number of a system call, below SCHED_CALLS: what threads that block in it wait for, an enum sched_wait. Written by
 * user space, which has the table. */
#define SCHED_CALLS 512
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, SCHED_CALLS);
    __type(key, __u32);
    __type(value, __u8);
} sched_causes SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, SCHED_WAIT_MAX);
    __type(key, __u32);
    __type(value, struct latency_sums);
} sched_latencies SEC(".maps");

/* Of the current thread. */
static __always_inline __u16 syscall_of(const struct user_regs *regs) {
    if (regs->syscall < 0 || regs->syscall >= SCHED_NO_SYSCALL)
        return SCHED_NO_SYSCALL;
    return (__u16)regs->syscall;
}

/* Of the current thread, which is in a call of futex. */
static __always_inline __u8 futex_flags(void) {
    const struct pt_regs *regs = unwind_user_registers();
    __u64 operation = 0, expected = 0;

    if (bpf_probe_read_kernel(&operation, sizeof(operation), &regs->rsi) ||
        bpf_probe_read_kernel(&expected, sizeof(expected), &regs->rdx))
        return 0;
    return futex_waits_for_lock((__u32)operation, (__u32)expected) ? SCHED_FLAG_LOCK : 0;
}

/* Adds an interval to the sum of its key. False where there is no room for another key. */
static __always_inline bool add_sum(const struct sched_settings *settings, struct sched_sum_key *key,
                                    duration_ns waited) {
    struct sched_sum fresh = {.total_ns = waited, .longest_ns = waited, .count = 1};
    struct sched_sum *sum = sched_sums_find(settings->epoch, key);

    /* One thread runs on one CPU at a time, so that nothing else adds to a key that has its id. */
    if (sum) {
        sum->total_ns += waited;
        sum->count += 1;
        if (waited > sum->longest_ns)
            sum->longest_ns = waited;
        return true;
    }
    return sched_sums_begin(settings->epoch, key, &fresh);
}

/* How long waits were: every one, whatever its length. */
static __always_inline void count_latency(const struct sched_thread *thread, duration_ns waited) {
    struct latency_sums *sums;
    __u32 wait = SCHED_WAIT_OTHER, call = thread->syscall;
    __u8 *cause;

    if (thread->state == SCHED_STATE_WOKEN) {
        wait = SCHED_WAIT_WOKEN;
    } else if (thread->state == SCHED_STATE_PREEMPTED) {
        wait = SCHED_WAIT_PREEMPTED;
    } else if (thread->flags & SCHED_FLAG_IO_WAIT) {
        wait = SCHED_WAIT_DISK;
    } else if (thread->flags & SCHED_FLAG_LOCK) {
        wait = SCHED_WAIT_LOCK;
    } else if (call == SCHED_NO_SYSCALL) {
        wait = SCHED_WAIT_NO_SYSCALL;
    } else {
        cause = bpf_map_lookup_elem(&sched_causes, &call);
        if (cause)
            wait = *cause;
    }
    sums = bpf_map_lookup_elem(&sched_latencies, &wait);
    if (sums)
        latency_sums_add(sums, waited, 0, 0);
}

/* What the thread waited for until now goes into totals and, unless it was short, into a sum. */
static __always_inline void close_wait(const struct sched_settings *settings, struct sched_thread *thread, pid_nr tid,
                                       ktime_ns now) {
    duration_ns waited = now - thread->since_ns;
    struct sched_totals *totals = &thread->totals;
    struct sched_sum_key key = {};
    bool is_told = false;

    if (is_wanted(settings, thread->pid))
        count_latency(thread, waited);
    if (waited >= settings->floor_ns) {
        key.stack = thread->stack;
        key.waker_stack = thread->waker_stack;
        key.pid = thread->pid;
        key.tid = tid;
        key.waker_pid = thread->waker_pid;
        key.waker_tid = thread->waker_tid;
        key.syscall = thread->syscall;
        key.state = thread->state;
        key.flags = thread->flags;
        is_told = add_sum(settings, &key, waited);
        if (!is_told)
            sched_count(DROP_INFLIGHT_FULL);
    }
    if (thread->state == SCHED_STATE_BLOCKED) {
        totals->blocked_ns += waited;
        totals->blocked += 1;
        totals->untold_blocked_ns += is_told ? 0 : waited;
    } else if (thread->state == SCHED_STATE_WOKEN) {
        totals->woken_ns += waited;
        totals->woken += 1;
        totals->untold_woken_ns += is_told ? 0 : waited;
    } else {
        totals->preempted_ns += waited;
        totals->preempted += 1;
        totals->untold_preempted_ns += is_told ? 0 : waited;
    }
}

/* What a thread is before anything was seen of it. Not on the stack, where the walk needs the room. */
static struct sched_thread unseen_thread;

static __always_inline struct sched_thread *thread_of(struct task_struct *task, pid_nr tid, ktime_ns now) {
    struct sched_thread *thread = bpf_map_lookup_elem(&sched_threads, &tid);

    if (thread)
        return thread;
    if (bpf_map_update_elem(&sched_threads, &tid, &unseen_thread, BPF_NOEXIST)) {
        sched_count(DROP_INFLIGHT_FULL);
        return NULL;
    }
    thread = bpf_map_lookup_elem(&sched_threads, &tid);
    if (thread) {
        thread->since_ns = now;
        thread->pid = (pid_nr)task->tgid;
        __builtin_memcpy(thread->comm, task->comm, sizeof(thread->comm));
    }
    return thread;
}

/* The thread's last switch: it does not come back. */
static __always_inline void tell_end(void *ctx, struct sched_thread *thread, pid_nr tid, ktime_ns now) {
    /* Not on the stack, where the walk needs the room. */
    struct stack_slot *slot = stack_claim();
    struct sched_end_event *event;

    sched_count(DROP_SEEN);
    if (slot) {
        event = (struct sched_end_event *)slot->record;
        event_header_fill(&event->header, SCHED_END, sizeof(*event));
        event->header.time_ns = now;
        event->header.pid = thread->pid;
        event->header.tid = tid;
        __builtin_memcpy(event->comm, thread->comm, sizeof(event->comm));
        event->totals = thread->totals;
        sched_emit(ctx, event, sizeof(*event));
        stack_release(slot);
    } else {
        sched_count(DROP_NESTED);
    }
    bpf_map_delete_elem(&sched_threads, &tid);
}

/* `prev` gives its CPU away; it is still the current task, so that this is the moment for its stack. */
static __always_inline void leave(void *ctx, const struct sched_settings *settings, struct task_struct *prev,
                                  __u64 state, ktime_ns now) {
    pid_nr tid = (pid_nr)prev->pid;
    struct sched_thread *thread = thread_of(prev, tid, now);
    bool is_blocked = state & TASK_STATE_MASK, has_regs;
    struct user_regs regs;
    __u8 flags = 0;

    if (!thread)
        return;
    if (thread->state == SCHED_STATE_ON_CPU)
        thread->totals.on_cpu_ns += now - thread->since_ns;
    else if (thread->state != SCHED_STATE_UNKNOWN)
        thread->totals.unseen_ns += now - thread->since_ns;
    thread->since_ns = now;
    if (state & TASK_DEAD) {
        tell_end(ctx, thread, tid, now);
        return;
    }
    __builtin_memcpy(thread->comm, prev->comm, sizeof(thread->comm));
    /* Who wakes it may have come first, and is kept then. */
    flags |= thread->flags & SCHED_FLAG_WAKER_INTERRUPT;
    if (BPF_CORE_READ_BITFIELD(prev, in_iowait))
        flags |= SCHED_FLAG_IO_WAIT;
    if (state & TASK_UNINTERRUPTIBLE)
        flags |= SCHED_FLAG_UNINTERRUPTIBLE;
    has_regs = user_regs_now(&regs);
    thread->syscall = syscall_of(&regs);
    if (is_blocked && thread->syscall == SYSCALL_FUTEX)
        flags |= futex_flags();
    thread->stack = 0;
    if (is_wanted(settings, thread->pid) && settings->stacks_per_second)
        thread->stack = stack_of(ctx, settings->stacks_per_second, has_regs ? &regs : NULL,
                                 is_blocked ? STACK_ROLE_WAITS : STACK_ROLE_PREEMPTED);
    thread->flags = thread->stack ? flags : flags | SCHED_FLAG_NO_STACK;
    /* Last: whoever wakes it from another CPU meanwhile finds it still running, and leaves the rest to sched_wakeup. */
    thread->state = is_blocked ? SCHED_STATE_BLOCKED : SCHED_STATE_PREEMPTED;
}

static __always_inline void forget_waker(struct sched_thread *thread) {
    thread->waker_stack = 0;
    thread->waker_pid = 0;
    thread->waker_tid = 0;
    thread->flags = 0;
}

/* `next` gets the CPU. */
static __always_inline void arrive(const struct sched_settings *settings, struct task_struct *next, ktime_ns now) {
    pid_nr tid = (pid_nr)next->pid;
    struct sched_thread *thread = thread_of(next, tid, now);

    if (!thread)
        return;
    if (thread->state >= SCHED_STATE_PREEMPTED)
        close_wait(settings, thread, tid, now);
    thread->state = SCHED_STATE_ON_CPU;
    thread->since_ns = now;
    forget_waker(thread);
}

/* sched_switch(preempt, prev, next, prev_state). */
SEC("tp_btf/sched_switch")
int sched_switched(__u64 *ctx) {
    bool is_preempted = ctx[0];
    struct task_struct *prev = (void *)ctx[1], *next = (void *)ctx[2];
    const struct sched_settings *settings = settings_now();
    ktime_ns now = bpf_ktime_get_ns();
    __u64 state = 0;

    if (!settings)
        return 0;
    /* Preempted in the midst of going to sleep: it stays runnable, whatever its state says. */
    if (prev->pid) {
        if (prev_state_argument == 3)
            state = (__u32)ctx[3];
        else if (!is_preempted)
            state = task_state(prev);
        leave(ctx, settings, prev, is_preempted && !(state & TASK_DEAD) ? 0 : state, now);
    }
    if (next->pid)
        arrive(settings, next, now);
    return 0;
}

/* The blocked time ends and the wait for a CPU begins. */
static __always_inline void wake(const struct sched_settings *settings, struct sched_thread *thread, pid_nr tid,
                                 ktime_ns now) {
    close_wait(settings, thread, tid, now);
    thread->state = SCHED_STATE_WOKEN;
    thread->since_ns = now;
}

/* The current thread, or the interrupt that runs on its CPU, wakes `thread`. */
static __always_inline void note_waker(void *ctx, const struct sched_settings *settings, struct sched_thread *thread) {
    __u64 pid_tgid = bpf_get_current_pid_tgid();
    struct user_regs regs;

    thread->waker_tid = (pid_nr)pid_tgid;
    thread->waker_pid = (pid_nr)(pid_tgid >> 32);
    if (!is_on_thread_stack(ctx)) {
        thread->flags |= SCHED_FLAG_WAKER_INTERRUPT;
        thread->waker_stack = stack_of(ctx, settings->stacks_per_second, NULL, STACK_ROLE_INTERRUPTS);
        return;
    }
    if (user_regs_now(&regs))
        thread->waker_stack = stack_of(ctx, settings->stacks_per_second, &regs, STACK_ROLE_WAKES);
    else
        thread->waker_stack = stack_of(ctx, settings->stacks_per_second, NULL, STACK_ROLE_WAKES);
}

/* sched_waking(task): in the context of who wakes it, which may be an interrupt's. */
SEC("tp_btf/sched_waking")
int sched_waking(__u64 *ctx) {
    struct task_struct *task = (void *)ctx[0];
    const struct sched_settings *settings = settings_now();
    pid_nr tid = (pid_nr)task->pid;
    struct sched_thread *thread = bpf_map_lookup_elem(&sched_threads, &tid);
    ktime_ns now;
    bool is_short;

    if (!settings || !thread)
        return 0;
    /* A thread that is still on its way to sleep is not blocked yet as far as is known here: who wakes it is kept for
     * sched_wakeup, which comes when its switch is over. */
    if (thread->state != SCHED_STATE_BLOCKED && thread->state != SCHED_STATE_ON_CPU)
        return 0;
    now = bpf_ktime_get_ns();
    /* A wait below the floor is told without a stack, its own and its waker's. */
    is_short = thread->state == SCHED_STATE_BLOCKED && now - thread->since_ns < settings->floor_ns;
    if (!is_short && is_wanted(settings, thread->pid) && settings->stacks_per_second)
        note_waker(ctx, settings, thread);
    if (thread->state == SCHED_STATE_BLOCKED)
        wake(settings, thread, tid, now);
    return 0;
}

/* sched_wakeup(task): it is runnable now. Ends what sched_waking could not. */
SEC("tp_btf/sched_wakeup")
int sched_wakeup(__u64 *ctx) {
    struct task_struct *task = (void *)ctx[0];
    const struct sched_settings *settings = settings_now();
    pid_nr tid = (pid_nr)task->pid;
    struct sched_thread *thread = bpf_map_lookup_elem(&sched_threads, &tid);

    if (!settings || !thread)
        return 0;
    if (thread->state == SCHED_STATE_BLOCKED)
        wake(settings, thread, tid, bpf_ktime_get_ns());
    else if (thread->state == SCHED_STATE_ON_CPU)
        /* It was woken before it slept, and goes on. */
        forget_waker(thread);
    return 0;
}

/* sched_wakeup_new(task): the first time that a new thread waits for a CPU. */
SEC("tp_btf/sched_wakeup_new")
int sched_wakeup_new(__u64 *ctx) {
    struct task_struct *task = (void *)ctx[0];
    ktime_ns now = bpf_ktime_get_ns();
    struct sched_thread *thread = thread_of(task, (pid_nr)task->pid, now);

    if (!thread)
        return 0;
    thread->state = SCHED_STATE_WOKEN;
    thread->syscall = SCHED_NO_SYSCALL;
    thread->flags = SCHED_FLAG_NO_STACK;
    thread->since_ns = now;
    return 0;
}
