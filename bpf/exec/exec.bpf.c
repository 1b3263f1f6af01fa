// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* Source exec: forks, execs and exits of processes. Each hook has three ways of the same body: BTF tracepoint, raw
 * tracepoint (the same arguments) and tracepoint, where tasks are found otherwise. */
#include "exec.h"

#include "kernel.h"
#include "path.h"
#include "scratch.h"
#include <bpf/bpf_core_read.h>

HOTSPAN_EVENTS(exec)

/* Longest command line told; the rest is counted in args_size_bytes. */
#define ARGS_MAX_BYTES 512
/* Three texts of at most 512 bytes, for the verifier of at most TEXT_MASK each. */
#define TEXT_MASK 1023
HOTSPAN_SCRATCH(exec, struct exec_image_event, 3 * (TEXT_MASK + 1), sizeof(struct path_room))

/* include/linux/sched/signal.h: the process was ended as a whole, and group_exit_code says how. */
#define SIGNAL_GROUP_EXIT 4
/* include/uapi/linux/sched.h: the clone makes a thread, not a process. */
#define CLONE_THREAD 0x10000

/* The start of the command line of `mm`, which must be, or have been copied from, the current task's. */
static __always_inline __u32 command_line(struct mm_struct *mm, struct exec_image_event *event, void *to) {
    unsigned long start = BPF_CORE_READ(mm, arg_start);
    unsigned long length = BPF_CORE_READ(mm, arg_end) - start;

    if (!start || length > 1 << 30)
        return 0;
    event->args_size_bytes = (__u32)length;
    if (length > ARGS_MAX_BYTES)
        length = ARGS_MAX_BYTES;
    return bpf_probe_read_user(to, length, (void *)start) ? 0 : (__u32)length;
}

/* Tells what `task` is and runs. At a fork the new process is a copy of `task` in all that is read here, so that where
 * the child cannot be had, its parent does as well. */
static __always_inline int tell_image(void *ctx, struct task_struct *task, struct exec_image_event *base) {
    struct exec_slot *slot;
    struct exec_image_event *event;
    struct mm_struct *mm;
    struct file *executable;
    __u32 length, used = 0;

    exec_count(DROP_SEEN);
    slot = exec_claim();
    if (!slot) {
        exec_count(DROP_NESTED);
        return 0;
    }
    event = (struct exec_image_event *)slot->record;
    event_header_fill(&event->header, EXEC_IMAGE, 0);
    event->header.pid = base->header.pid;
    event->header.tid = base->header.pid;
    event->start_ns = base->start_ns;
    event->parent_pid = base->parent_pid;
    event->cause = base->cause;
    event->uid = BPF_CORE_READ(task, cred, uid.val);
    event->cgroup_id = BPF_CORE_READ(cgroup_node(task), id);
    BPF_CORE_READ_STR_INTO(&event->comm, task, comm);
    event->inode = 0;
    event->device = 0;
    event->args_size_bytes = 0;
    event->command_line_length = 0;
    event->executable_length = 0;
    __builtin_memset(event->reserved, 0, sizeof(event->reserved));
    mm = BPF_CORE_READ(task, mm);
    if (mm) {
        length = command_line(mm, event, event->text) & TEXT_MASK;
        event->command_line_length = (__u16)length;
        used += length;
        executable = BPF_CORE_READ(mm, exe_file);
        if (executable) {
            event->inode = BPF_CORE_READ(executable, f_inode, i_ino);
            event->device = BPF_CORE_READ(executable, f_inode, i_sb, s_dev);
            length = path_of_file((struct path_room *)slot->work, executable, task, event->text + used) & TEXT_MASK;
            event->executable_length = (__u16)length;
            used += length;
        }
    }
    length = path_of_cgroup((struct path_room *)slot->work, task, event->text + used) & TEXT_MASK;
    event->cgroup_path_length = (__u16)length;
    used += length;
    event->header.size_bytes = sizeof(*event) + used;
    exec_emit(ctx, event, sizeof(*event) + used);
    exec_release(slot);
    return 0;
}

/* `child` is new; nothing of it has run yet. */
static __always_inline int on_fork(void *ctx, struct task_struct *child) {
    struct exec_image_event base = {.cause = EXEC_CAUSE_FORK};

    base.header.pid = (pid_nr)BPF_CORE_READ(child, tgid);
    if ((pid_nr)BPF_CORE_READ(child, pid) != base.header.pid)
        return 0;
    base.start_ns = BPF_CORE_READ(child, start_time);
    base.parent_pid = (pid_nr)BPF_CORE_READ(child, real_parent, tgid);
    return tell_image(ctx, child, &base);
}

/* The current task has its new image; its arguments are on the new stack. */
static __always_inline int on_exec(void *ctx) {
    struct task_struct *task = (void *)bpf_get_current_task();
    struct exec_image_event base = {.cause = EXEC_CAUSE_EXEC};

    base.header.pid = (pid_nr)BPF_CORE_READ(task, tgid);
    base.start_ns = BPF_CORE_READ(task, group_leader, start_time);
    base.parent_pid = (pid_nr)BPF_CORE_READ(task, real_parent, tgid);
    return tell_image(ctx, task, &base);
}

/* A thread ends; its process with it where it is the last. Two last threads can both see that none is left: the second
 * record is of a process that has ended already, and the agent drops it. */
static __always_inline int on_exit(void *ctx) {
    struct task_struct *task = (void *)bpf_get_current_task();
    struct task_struct *leader = BPF_CORE_READ(task, group_leader);
    struct signal_struct *signal = BPF_CORE_READ(task, signal);
    struct exec_exit_event event = {};

    if (BPF_CORE_READ(signal, live.counter) > 0)
        return 0;
    exec_count(DROP_SEEN);
    event_header_fill(&event.header, EXEC_EXIT, sizeof(event));
    event.start_ns = BPF_CORE_READ(leader, start_time);
    event.parent_pid = (pid_nr)BPF_CORE_READ(leader, real_parent, tgid);
    if (BPF_CORE_READ(signal, flags) & SIGNAL_GROUP_EXIT)
        event.exit_status = (__u32)BPF_CORE_READ(signal, group_exit_code);
    else
        event.exit_status = (__u32)BPF_CORE_READ(leader, exit_code);
    BPF_CORE_READ_STR_INTO(&event.comm, leader, comm);
    exec_emit(ctx, &event, sizeof(event));
    return 0;
}

/* sched_process_fork(parent, child). */
SEC("tp_btf/sched_process_fork")
int exec_fork_btf(__u64 *ctx) {
    return on_fork(ctx, (struct task_struct *)ctx[1]);
}

SEC("raw_tp/sched_process_fork")
int exec_fork_raw(struct bpf_raw_tracepoint_args *ctx) {
    return on_fork(ctx, (struct task_struct *)ctx->args[1]);
}

/* task_newtask, because sched_process_fork's record does not say whether the child is a thread. The child itself cannot
 * be had from either: its start is now, to within microseconds, and the rest is as its parent has it. */
SEC("tracepoint/task/task_newtask")
int exec_fork_tp(struct trace_event_raw_task_newtask *ctx) {
    struct task_struct *parent = (void *)bpf_get_current_task();
    struct exec_image_event base = {.cause = EXEC_CAUSE_FORK};

    if (ctx->clone_flags & CLONE_THREAD)
        return 0;
    base.header.pid = (pid_nr)ctx->pid;
    base.start_ns = bpf_ktime_get_ns();
    base.parent_pid = (pid_nr)BPF_CORE_READ(parent, tgid);
    return tell_image(ctx, parent, &base);
}

SEC("tp_btf/sched_process_exec")
int exec_exec_btf(void *ctx) {
    return on_exec(ctx);
}

SEC("raw_tp/sched_process_exec")
int exec_exec_raw(void *ctx) {
    return on_exec(ctx);
}

SEC("tracepoint/sched/sched_process_exec")
int exec_exec_tp(void *ctx) {
    return on_exec(ctx);
}

SEC("tp_btf/sched_process_exit")
int exec_exit_btf(void *ctx) {
    return on_exit(ctx);
}

SEC("raw_tp/sched_process_exit")
int exec_exit_raw(void *ctx) {
    return on_exit(ctx);
}

SEC("tracepoint/sched/sched_process_exit")
int exec_exit_tp(void *ctx) {
    return on_exit(ctx);
}
