// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* Source lock: waits of the futex system calls. The entry of a wait is remembered by thread, whoever wakes the thread
 * meanwhile is noted, and the return adds the time to a sum. A thread that has waited for a lock holds it from then on,
 * until it wakes others at the same address. */
#include "lock.h"

#include "futex.h"
#include "kernel.h"
#include "settings.h"
#include "syscall.h"

HOTSPAN_EVENTS(lock)
HOTSPAN_SETTINGS(lock)
#define STACK_TABLE_EVENTS lock_events
#define STACK_TABLE_COUNT lock_count
#define STACK_TABLE_KIND LOCK_STACK
#include "stack-table.h"
#include "turning-sums.h"

/* include/uapi/linux/futex.h */
#define FUTEX_WAKE 1
#define FUTEX_REQUEUE 3
#define FUTEX_CMP_REQUEUE 4
#define FUTEX_WAKE_OP 5
#define FUTEX_UNLOCK_PI 7
#define FUTEX_WAKE_BITSET 10
#define FUTEX_WAIT_REQUEUE_PI 11
#define FUTEX_TID_MASK 0x3fffffff

#define LOCK_EAGAIN (-11)
#define LOCK_ETIMEDOUT (-110)

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 16384);
    __type(key, pid_nr);
    __type(value, struct lock_wait);
} lock_waits SEC(".maps");

TURNING_SUMS(lock_sums, struct lock_sum_key, struct lock_sum, 16384)
TURNING_SUMS(lock_holds, struct lock_hold_key, struct lock_sum, 8192)

/* Locks that threads got after they had waited, and since when. Those that never let go, or do so unseen, are pushed
 * out by others. */
struct lock_held_key {
    __u64 address;
    pid_nr tid;
    __u32 reserved;
};
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 16384);
    __type(key, struct lock_held_key);
    __type(value, ktime_ns);
} lock_held SEC(".maps");

/* Of the current thread, as far as user space: in the kernel it is in the call that it made. */
static __always_inline exact_u64 user_stack(void *ctx, const struct lock_settings *settings) {
    struct user_regs regs;

    if (!settings->stacks_per_second || !user_regs_now(&regs))
        return 0;
    return stack_of(ctx, settings->stacks_per_second, &regs, STACK_ROLE_USER);
}

/* A key has its thread in it, and a thread runs on one CPU at a time: nothing else adds to it. */
static __always_inline void add_to(struct lock_sum *sum, duration_ns lasted) {
    sum->total_ns += lasted;
    sum->count += 1;
    if (lasted > sum->longest_ns)
        sum->longest_ns = lasted;
}

/* A sum of the current thread's first interval. */
static __always_inline void begin_sum(struct lock_sum *fresh, duration_ns lasted) {
    fresh->total_ns = lasted;
    fresh->longest_ns = lasted;
    fresh->count = 1;
    bpf_get_current_comm(fresh->comm, sizeof(fresh->comm));
}

static __always_inline void add_hold(const struct lock_settings *settings, const struct lock_hold_key *key,
                                     duration_ns lasted) {
    struct lock_sum fresh = {}, *sum = lock_holds_find(settings->epoch, key);

    if (sum) {
        add_to(sum, lasted);
        return;
    }
    begin_sum(&fresh, lasted);
    if (!lock_holds_begin(settings->epoch, key, &fresh))
        lock_count(DROP_INFLIGHT_FULL);
}

static __always_inline void add_wait(const struct lock_settings *settings, const struct lock_sum_key *key,
                                     duration_ns lasted) {
    struct lock_sum fresh = {}, *sum = lock_sums_find(settings->epoch, key);

    if (sum) {
        add_to(sum, lasted);
        return;
    }
    begin_sum(&fresh, lasted);
    if (!lock_sums_begin(settings->epoch, key, &fresh))
        lock_count(DROP_INFLIGHT_FULL);
}

/* Who has the lock: a PI lock's word says it, and glibc's mutexes have it two words further. What lies there where the
 * word is of another lock is no thread of the process, which is for who reads it to find out. */
static __always_inline pid_nr owner_of(__u64 address, enum lock_object object) {
    __u32 word = 0;

    if (object == LOCK_OBJECT_CONDITION)
        return 0;
    if (bpf_probe_read_user(&word, sizeof(word), (void *)(object == LOCK_OBJECT_PI ? address : address + 8)))
        return 0;
    return word & FUTEX_TID_MASK;
}

static __always_inline void begin_wait(void *ctx, const struct lock_settings *settings, __u64 address,
                                       enum lock_object object) {
    __u64 pid_tgid = bpf_get_current_pid_tgid();
    pid_nr tid = (pid_nr)pid_tgid;
    struct lock_wait wait = {};

    if (object == LOCK_OBJECT_CONDITION && !settings->has_conditions)
        return;
    wait.address = address;
    wait.pid = (pid_nr)(pid_tgid >> 32);
    wait.object = (__u8)object;
    wait.owner_tid = owner_of(address, object);
    wait.stack = user_stack(ctx, settings);
    /* Last: the walk of the stack is no part of the wait. */
    wait.since_ns = bpf_ktime_get_ns();
    if (bpf_map_update_elem(&lock_waits, &tid, &wait, BPF_ANY))
        lock_count(DROP_INFLIGHT_FULL);
}

static __always_inline enum lock_object object_of_word(__u32 expected) {
    return futex_waits_for_lock(FUTEX_WAIT, expected) ? LOCK_OBJECT_MUTEX : LOCK_OBJECT_CONDITION;
}

/* The current thread lets others have what is at the address. */
static __always_inline void let_go(void *ctx, const struct lock_settings *settings, __u64 address) {
    __u64 pid_tgid = bpf_get_current_pid_tgid();
    struct lock_held_key held = {.address = address, .tid = (pid_nr)pid_tgid};
    ktime_ns *since_ns = bpf_map_lookup_elem(&lock_held, &held);
    struct lock_hold_key key = {};
    duration_ns lasted;

    if (!since_ns)
        return;
    lasted = bpf_ktime_get_ns() - *since_ns;
    bpf_map_delete_elem(&lock_held, &held);
    key.address = address;
    key.pid = (pid_nr)(pid_tgid >> 32);
    key.tid = (pid_nr)pid_tgid;
    key.stack = user_stack(ctx, settings);
    add_hold(settings, &key, lasted);
}

/* futex(address, operation, value, ...) */
SEC("tracepoint/syscalls/sys_enter_futex")
int lock_futex_enter(struct syscall_enter *ctx) {
    const struct lock_settings *settings = settings_now();
    __u64 address = ctx->args[0];
    __u32 command = (__u32)ctx->args[1] & FUTEX_CMD_MASK;

    if (!settings || !is_wanted(settings, (pid_nr)(bpf_get_current_pid_tgid() >> 32)))
        return 0;
    switch (command) {
    case FUTEX_WAIT:
    case FUTEX_WAIT_BITSET:
        begin_wait(ctx, settings, address, object_of_word((__u32)ctx->args[2]));
        break;
    case FUTEX_LOCK_PI:
    case FUTEX_LOCK_PI2:
        begin_wait(ctx, settings, address, LOCK_OBJECT_PI);
        break;
    case FUTEX_WAIT_REQUEUE_PI:
        begin_wait(ctx, settings, address, LOCK_OBJECT_CONDITION);
        break;
    case FUTEX_WAKE:
    case FUTEX_WAKE_BITSET:
    case FUTEX_WAKE_OP:
    case FUTEX_REQUEUE:
    case FUTEX_CMP_REQUEUE:
    case FUTEX_UNLOCK_PI:
        let_go(ctx, settings, address);
        break;
    }
    return 0;
}

/* include/uapi/linux/futex.h */
struct futex_waitv {
    __u64 val;
    __u64 uaddr;
    __u32 flags;
    __u32 reserved;
};

/* futex_waitv(waiters, count, ...), since 5.16: the first of them stands for all. */
SEC("tracepoint/syscalls/sys_enter_futex_waitv")
int lock_waitv_enter(struct syscall_enter *ctx) {
    const struct lock_settings *settings = settings_now();
    struct futex_waitv first = {};

    if (!settings || !is_wanted(settings, (pid_nr)(bpf_get_current_pid_tgid() >> 32)))
        return 0;
    if (bpf_probe_read_user(&first, sizeof(first), (void *)ctx->args[0])) {
        lock_count(DROP_READ_FAILED);
        return 0;
    }
    begin_wait(ctx, settings, first.uaddr, object_of_word((__u32)first.val));
    return 0;
}

/* futex_wait(address, value, ...), since 6.7. */
SEC("tracepoint/syscalls/sys_enter_futex_wait")
int lock_wait_enter(struct syscall_enter *ctx) {
    const struct lock_settings *settings = settings_now();

    if (settings && is_wanted(settings, (pid_nr)(bpf_get_current_pid_tgid() >> 32)))
        begin_wait(ctx, settings, ctx->args[0], object_of_word((__u32)ctx->args[1]));
    return 0;
}

/* futex_wake(address, ...), since 6.7. */
SEC("tracepoint/syscalls/sys_enter_futex_wake")
int lock_wake_enter(struct syscall_enter *ctx) {
    const struct lock_settings *settings = settings_now();

    if (settings && is_wanted(settings, (pid_nr)(bpf_get_current_pid_tgid() >> 32)))
        let_go(ctx, settings, ctx->args[0]);
    return 0;
}

/* What the owner that the lock named at the begin of the wait says of who ended it. */
static __always_inline __u8 owner_flags(const struct lock_wait *wait) {
    if (!wait->owner_tid || !wait->waker_tid || wait->flags & LOCK_FLAG_WAKER_INTERRUPT)
        return wait->flags;
    return wait->flags | (wait->owner_tid == wait->waker_tid ? LOCK_FLAG_OWNER_WOKE : LOCK_FLAG_OTHER_OWNER);
}

/* The time of a wait goes into a sum; woken, the thread has the lock. */
static __always_inline void end_wait(const struct lock_settings *settings, const struct lock_wait *wait, pid_nr tid,
                                     __s64 result) {
    ktime_ns now = bpf_ktime_get_ns();
    struct lock_held_key held = {.address = wait->address, .tid = tid};
    struct lock_sum_key key = {};

    key.address = wait->address;
    key.stack = wait->stack;
    key.waker_stack = wait->waker_stack;
    key.pid = wait->pid;
    key.tid = tid;
    key.waker_pid = wait->waker_pid;
    key.waker_tid = wait->waker_tid;
    key.object = wait->object;
    key.flags = owner_flags(wait);
    key.ending = result >= 0                ? LOCK_ENDING_WOKEN
                 : result == LOCK_ETIMEDOUT ? LOCK_ENDING_TIMED_OUT
                                            : LOCK_ENDING_INTERRUPTED;
    add_wait(settings, &key, now - wait->since_ns);
    if (key.ending == LOCK_ENDING_WOKEN && key.object != LOCK_OBJECT_CONDITION)
        bpf_map_update_elem(&lock_held, &held, &now, BPF_ANY);
}

/* The return of any of the calls. Where the word had changed, or the lock was free, nothing was waited for. */
SEC("tracepoint/syscalls/sys_exit_futex")
int lock_exit(struct syscall_exit *ctx) {
    const struct lock_settings *settings = settings_now();
    pid_nr tid = (pid_nr)bpf_get_current_pid_tgid();
    struct lock_wait *wait = bpf_map_lookup_elem(&lock_waits, &tid);

    if (!settings || !wait)
        return 0;
    if (ctx->result != LOCK_EAGAIN)
        end_wait(settings, wait, tid, ctx->result);
    bpf_map_delete_elem(&lock_waits, &tid);
    return 0;
}

/* sched_waking(task): in the context of who wakes it, which may be an interrupt's. The last that wakes a thread that
 * waits is who ended its wait. */
SEC("tp_btf/sched_waking")
int lock_waking(__u64 *ctx) {
    struct task_struct *task = (void *)ctx[0];
    pid_nr tid = (pid_nr)task->pid;
    struct lock_wait *wait = bpf_map_lookup_elem(&lock_waits, &tid);
    const struct lock_settings *settings = settings_now();
    __u64 pid_tgid;

    if (!wait || !settings)
        return 0;
    pid_tgid = bpf_get_current_pid_tgid();
    wait->waker_tid = (pid_nr)pid_tgid;
    wait->waker_pid = (pid_nr)(pid_tgid >> 32);
    wait->waker_stack = 0;
    if (!is_on_thread_stack(ctx))
        wait->flags |= LOCK_FLAG_WAKER_INTERRUPT;
    else
        wait->waker_stack = user_stack(ctx, settings);
    return 0;
}
