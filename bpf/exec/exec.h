/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Events of source exec: the life of processes. Threads are not told of: a process is a thread group. */
#ifndef HOTSPAN_EXEC_H
#define HOTSPAN_EXEC_H

#include "event.h"

enum exec_kind {
    EXEC_IMAGE = 1,
    EXEC_EXIT,
};

enum exec_cause {
    EXEC_CAUSE_FORK = 0, /* a new process, running its parent's image */
    EXEC_CAUSE_EXEC,     /* a process took a new image */
};

/* What a process is and runs, told at its fork and at every exec. header.pid is the process, also at a fork. */
struct exec_image_event {
    struct event_header header;
    /* task->start_time: CLOCK_MONOTONIC like every ktime here, so that it maps to Unix time by the same clock; the
     * boot-time twin (start_boottime) differs by the time suspended. */
    ktime_ns start_ns;
    exact_u64 inode;     /* of the executable; 0 for a kernel thread */
    exact_u64 cgroup_id; /* in the unified hierarchy */
    pid_nr parent_pid;
    __u32 uid;
    __u32 device; /* as the kernel has it: major << 20 | minor */
    enum exec_cause cause;
    comm_text comm;
    __u32 args_size_bytes;     /* of the whole command line, of which command_line_length bytes follow */
    __u16 command_line_length; /* words end in a NUL each */
    __u16 executable_length;
    __u16 cgroup_path_length;
    __u16 reserved[3];
    char text[];
};

/* The last thread of a process ended. */
struct exec_exit_event {
    struct event_header header;
    ktime_ns start_ns;
    pid_nr parent_pid;
    __u32 exit_status; /* as wait() tells it: code in bits 8-15, signal in bits 0-6 */
    comm_text comm;    /* of the group's leader */
};

#endif
