/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* What the tracepoints of single system calls (category syscalls) hand to their programs. Such a tracepoint costs
 * nothing for other calls, where raw_tp/sys_enter runs for all. */
#ifndef HOTSPAN_SYSCALL_H
#define HOTSPAN_SYSCALL_H

#include <linux/types.h>

struct syscall_enter {
    __u64 common; /* trace_entry, which programs may not read */
    __s64 number;
    __u64 args[6];
};

struct syscall_exit {
    __u64 common;
    __s64 number;
    __s64 result;
};

#endif
