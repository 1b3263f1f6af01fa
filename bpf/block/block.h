/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Events of source block: requests to block devices, from their making to the device's answer. */
#ifndef HOTSPAN_BLOCK_H
#define HOTSPAN_BLOCK_H

#include "event.h"
#include "stack-record.h"
#include "sums.h"

enum block_kind {
    BLOCK_STACK = 0,
    BLOCK_REQUEST,
};

/* As /proc/diskstats groups them; what it does not count is other. */
enum block_operation {
    BLOCK_READ = 0,
    BLOCK_WRITE, /* writes of zeros, zone appends and secure erases included */
    BLOCK_FLUSH, /* of the device's own cache: one serves all who wait for it */
    BLOCK_DISCARD,
    BLOCK_OTHER, /* commands of drivers and of programs that speak to the device themselves */
    BLOCK_OPERATION_MAX,
};

#define BLOCK_FLAG_KERNEL 1    /* a thread of the kernel asked */
#define BLOCK_FLAG_WRITEBACK 2 /* it wrote back what others had left in the page cache */
#define BLOCK_FLAG_NOT_SENT 4  /* the device was not given it: it asked for a flush and nothing else */
#define BLOCK_FLAG_NO_STACK 8  /* the stack could not be told: out of room or budget */
#define BLOCK_FLAG_FLUSHES 16  /* it waits for flushes of the device's cache */

/* A stack that requests and sums refer to: told before the first of them, once. */
struct block_stack_event {
    STACK_RECORD_FIELDS
};

/* A request that is done. header.time_ns is that moment, header.pid and header.tid are of who asked. */
struct block_request_event {
    struct event_header header;
    duration_ns latency_ns; /* since the request was made; what is not the device's is time in queues */
    duration_ns device_ns;
    byte_count size;
    exact_u64 sector; /* of 512 bytes, from the begin of the disk */
    exact_u64 stack;
    exact_u64 cgroup_id;
    enum block_operation operation;
    __s32 error;  /* 0, a negative errno (up to 5.15) or a blk_status_t */
    __u32 device; /* major << 20 | minor */
    __u32 flags;  /* BLOCK_FLAG_* */
    comm_text comm;
    char device_name[32];
    char work[24]; /* what a worker of the kernel was at, such as flush-254:0 */
};

/* Key of block_sums: all requests of one device, whoever asked. */
struct block_sums_key {
    __u32 device;
    enum block_operation operation;
};

/* All requests of one key on one CPU. */
struct block_sums {
    LATENCY_SUMS_FIELDS
};

/* Key of block_profile_a and block_profile_b. */
struct block_profile_key {
    exact_u64 stack;
    pid_nr pid;
    pid_nr tid;
    enum block_operation operation;
    __u32 flags;
    comm_text comm;
};

struct block_profile {
    duration_ns queue_ns;
    duration_ns device_ns;
    event_count count;
};

/* Value of block_settings. */
struct block_settings {
    duration_ns min_latency_ns;
    __u32 stacks_per_second; /* and CPU: walks beyond it are left out */
    __u32 epoch;             /* 0: sums go to block_profile_a, 1: to block_profile_b */
    pid_nr pid;              /* only requests of this process; 0: all */
    __u32 reserved;
};

#endif
