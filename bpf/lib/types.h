/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Typedefs with meaning. `npm run gen` reads their names from BTF and picks the TypeScript type by them, so a field is
 * declared with the typedef that says what it is, never with a bare __u64 where one of these fits. */
#ifndef HOTSPAN_TYPES_H
#define HOTSPAN_TYPES_H

#include <linux/types.h>

/* Nanoseconds of bpf_ktime_get_ns (CLOCK_MONOTONIC). TypeScript: number; exact below 2^53 ns (104 days of uptime),
 * within 4 ns for years after that. */
typedef __u64 ktime_ns;

/* A length of time in nanoseconds, measured in the kernel. TypeScript: number. */
typedef __u64 duration_ns;

/* Process (tgid) or thread id in the initial pid namespace. TypeScript: number. */
typedef __u32 pid_nr;

/* A count of bytes. TypeScript: number. */
typedef __u64 byte_count;

/* A count of things. TypeScript: number. */
typedef __u64 event_count;

/* task_struct.comm: at most 15 bytes and a NUL. TypeScript: string. */
typedef char comm_text[16];

/* An opaque 64-bit value that must stay exact: inode, cgroup id, argument, span id. TypeScript: bigint. */
typedef __u64 exact_u64;

/* A code address. TypeScript: bigint. */
typedef __u64 code_addr;

/* A signed kernel result: a byte count, a descriptor or a negative errno. TypeScript: number. */
typedef __s64 kernel_result;

#endif
