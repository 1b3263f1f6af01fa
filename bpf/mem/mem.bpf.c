// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* Source mem: memory as it is asked for, of the kernel (mmap, brk, mremap, munmap), of Go's heap and of malloc, and
 * what happens when there is none left. */
#include "mem.h"

#include "kernel.h"
#include "settings.h"
#include "syscall.h"

HOTSPAN_EVENTS(mem)
HOTSPAN_SETTINGS(mem)
#define STACK_TABLE_EVENTS mem_events
#define STACK_TABLE_COUNT mem_count
#define STACK_TABLE_KIND MEM_STACK
#include "stack-table.h"
#include "turning-sums.h"

/* asm/unistd_64.h. */
#define NUMBER_MMAP 9
#define NUMBER_MUNMAP 11
#define NUMBER_MREMAP 25
/* linux/mman.h. */
#define MAP_SHARED_BIT 1
#define MAP_ANONYMOUS_BIT 0x20

#define PAGE_BYTES 4096ULL

TURNING_SUMS(mem_sums, struct mem_sum_key, struct mem_sum, 16384)

/* Ends of the heap at the entry of brk, by thread. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 4096);
    __type(key, pid_nr);
    __type(value, __u64);
} mem_breaks SEC(".maps");

/* Calls of malloc in the second that runs, by CPU. */
struct mem_rate {
    ktime_ns second;
    event_count calls;
};
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct mem_rate);
} mem_rates SEC(".maps");

#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wpadded"
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct mm_struct___break {
    unsigned long brk;
};
#pragma clang attribute pop
#pragma clang diagnostic pop

static __always_inline bool is_current_wanted(const struct mem_settings *settings) {
    return settings && is_wanted(settings, (pid_nr)(bpf_get_current_pid_tgid() >> 32));
}

/* Adds to the sum of the current thread's user stack. */
static __always_inline void add(void *ctx, const struct mem_settings *settings, enum mem_what what, __u64 bytes,
                                __u64 size_bytes) {
    struct mem_sum_key key = {
        .pid = (pid_nr)(bpf_get_current_pid_tgid() >> 32), .what = what, .size_bytes = size_bytes};
    struct mem_sum fresh = {}, *sum;
    struct user_regs regs;

    if (user_regs_now(&regs))
        key.stack = stack_of(ctx, settings->stacks_per_second, &regs, STACK_ROLE_USER);
    sum = mem_sums_find(settings->epoch, &key);
    if (!sum) {
        bpf_get_current_comm(fresh.comm, sizeof(fresh.comm));
        mem_sums_begin(settings->epoch, &key, &fresh);
        sum = mem_sums_find(settings->epoch, &key);
    }
    if (!sum) {
        mem_count(DROP_INFLIGHT_FULL);
        return;
    }
    __sync_fetch_and_add(&sum->bytes, bytes);
    __sync_fetch_and_add(&sum->calls, 1);
}

static __always_inline __u64 whole_pages(__u64 bytes) {
    return (bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
}

/* mmap, munmap and mremap return. Their arguments are still in the registers with which the thread came. */
SEC("tracepoint/syscalls")
int mem_call_exit(struct syscall_exit *ctx) {
    const struct mem_settings *settings = settings_now();
    const struct pt_regs *regs = unwind_user_registers();
    __u64 length = 0, new_length = 0, flags = 0;

    /* Addresses of user space are not negative; errors are, down to -4095. */
    if (!is_current_wanted(settings) || ctx->result < 0)
        return 0;
    bpf_probe_read_kernel(&length, sizeof(length), &regs->rsi);
    length = whole_pages(length);
    if (ctx->number == NUMBER_MMAP) {
        bpf_probe_read_kernel(&flags, sizeof(flags), &regs->r10);
        if (!(flags & MAP_ANONYMOUS_BIT))
            add(ctx, settings, MEM_WHAT_MMAP_FILE, length, 0);
        else
            add(ctx, settings, flags & MAP_SHARED_BIT ? MEM_WHAT_MMAP_SHARED : MEM_WHAT_MMAP_ANONYMOUS, length, 0);
    } else if (ctx->number == NUMBER_MUNMAP) {
        add(ctx, settings, MEM_WHAT_MUNMAP, length, 0);
    } else if (ctx->number == NUMBER_MREMAP) {
        bpf_probe_read_kernel(&new_length, sizeof(new_length), &regs->rdx);
        new_length = whole_pages(new_length);
        if (new_length > length)
            add(ctx, settings, MEM_WHAT_MREMAP, new_length - length, 0);
        else if (new_length < length)
            add(ctx, settings, MEM_WHAT_MREMAP_LESS, length - new_length, 0);
    }
    return 0;
}

/* The heap ends at mm->brk. The kernel keeps pages: so do the sums. */
SEC("tracepoint/syscalls/sys_enter_brk")
int mem_brk_enter(struct syscall_enter *ctx) {
    const struct mem_settings *settings = settings_now();
    struct task_struct *task = (void *)bpf_get_current_task();
    struct mm_struct___break *mm = (void *)BPF_CORE_READ(task, mm);
    pid_nr tid = (pid_nr)bpf_get_current_pid_tgid();
    __u64 end;

    (void)ctx;
    if (!is_current_wanted(settings))
        return 0;
    end = BPF_CORE_READ(mm, brk);
    bpf_map_update_elem(&mem_breaks, &tid, &end, BPF_ANY);
    return 0;
}

SEC("tracepoint/syscalls/sys_exit_brk")
int mem_brk_exit(struct syscall_exit *ctx) {
    const struct mem_settings *settings = settings_now();
    pid_nr tid = (pid_nr)bpf_get_current_pid_tgid();
    __u64 *before = bpf_map_lookup_elem(&mem_breaks, &tid), from, to;

    if (!settings || !before)
        return 0;
    from = whole_pages(*before);
    to = whole_pages((__u64)ctx->result);
    bpf_map_delete_elem(&mem_breaks, &tid);
    if (to > from)
        add(ctx, settings, MEM_WHAT_BRK, to - from, 0);
    else if (to < from)
        add(ctx, settings, MEM_WHAT_BRK_LESS, from - to, 0);
    return 0;
}

/* runtime.profilealloc(mp, x, size), which Go calls for the allocations that it samples and for no other. */
SEC("uprobe")
int mem_go_alloc(struct pt_regs *ctx) {
    const struct mem_settings *settings = settings_now();

    /* The third argument, of Go's ABIInternal since 1.17. */
    if (is_current_wanted(settings))
        add(ctx, settings, MEM_WHAT_GO, ctx->rcx, ctx->rcx);
    return 0;
}

/* malloc(size). The hit costs microseconds, so that the program says itself when there are too many. */
SEC("uprobe")
int mem_malloc(struct pt_regs *ctx) {
    const struct mem_settings *settings = settings_now();
    __u32 key = 0;
    struct mem_rate *rate = bpf_map_lookup_elem(&mem_rates, &key);
    ktime_ns second = bpf_ktime_get_ns() >> 30;

    if (!rate || !is_current_wanted(settings))
        return 0;
    if (rate->second != second) {
        rate->second = second;
        rate->calls = 0;
    }
    rate->calls += 1;
    if (rate->calls > settings->mallocs_per_second) {
        struct mem_limit_event event = {};

        /* Once, and again where the first could not be told. */
        if ((rate->calls - settings->mallocs_per_second) % 1024 == 1) {
            mem_count(DROP_SEEN);
            event_header_fill(&event.header, MEM_LIMIT, sizeof(event));
            mem_emit(ctx, &event, sizeof(event));
        }
        return 0;
    }
    add(ctx, settings, MEM_WHAT_MALLOC, ctx->rdi, 0);
    return 0;
}

/* oom:mark_victim. Later kernels add fields after the victim's pid. */
struct mark_victim {
    __u64 common;
    __s32 pid;
    __u32 rest;
};

SEC("tracepoint/oom/mark_victim")
int mem_oom(struct mark_victim *ctx) {
    struct mem_oom_event event = {.victim_pid = (pid_nr)ctx->pid};

    mem_count(DROP_SEEN);
    event_header_fill(&event.header, MEM_OOM, sizeof(event));
    bpf_get_current_comm(event.comm, sizeof(event.comm));
    mem_emit(ctx, &event, sizeof(event));
    return 0;
}

SEC("tracepoint/sched/sched_process_exec")
int mem_exec(void *ctx) {
    const struct mem_settings *settings = settings_now();
    struct mem_exec_event event = {};

    if (!is_current_wanted(settings))
        return 0;
    mem_count(DROP_SEEN);
    event_header_fill(&event.header, MEM_EXEC, sizeof(event));
    mem_emit(ctx, &event, sizeof(event));
    return 0;
}
