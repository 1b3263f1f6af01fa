/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Events of source file: opens of files, and reads, writes and syncs of regular files and block devices. */
#ifndef HOTSPAN_FILE_H
#define HOTSPAN_FILE_H

#include "event.h"
#include "sums.h"
#include "unwind-table.h"

enum file_operation {
    FILE_OPEN = 0,
    FILE_READ,
    FILE_WRITE,
    FILE_FSYNC,
    FILE_OPERATION_MAX,
};

/* The path in the record is only a part of it: the name as passed lost its end, a path from the kernel its front. */
#define FILE_PATH_IS_CUT 1
/* flags and mode of an open are known. They are not where the program's memory could not be read. */
#define FILE_HAS_FLAGS 2
/* device, inode and size are of a file that was there: an open that failed has none. */
#define FILE_HAS_INODE 4

/* A call that returned. header.time_ns is the moment of the return. */
struct file_event {
    struct event_header header;
    duration_ns latency_ns;
    kernel_result result;
    byte_count requested_bytes; /* read and write; 0 where a vector was too long to add up */
    byte_count file_bytes;      /* size of the file after the call */
    exact_u64 inode;
    exact_u64 cgroup_id;
    enum file_operation operation;
    __u32 device;     /* as the kernel has it: major << 20 | minor */
    __u32 open_flags; /* O_*, as the program passed them */
    __u32 open_mode;  /* permissions asked for with O_CREAT */
    comm_text comm;
    __u16 path_length; /* open: the name as passed; else the path as the process sees it */
    __u16 kernel_depth;
    __u16 user_depth;
    __u16 user_raw_bytes; /* struct unwind_resume and the copy of the stack; 0 where there is none */
    enum unwind_end user_end;
    __u16 known; /* FILE_PATH_IS_CUT, FILE_HAS_* */
    __u16 reserved;
    __u8 tail[];
};

/* All calls of one operation on one CPU; the key is the operation. */
struct file_sums {
    LATENCY_SUMS_FIELDS
};

struct file_settings {
    duration_ns min_latency_ns;
    pid_nr pid; /* only this process; 0 for all */
    __u32 reserved;
};

#endif
