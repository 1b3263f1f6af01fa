/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* The kernel's structures of the block layer and of its workers, with the fields that source block reads, and where
 * kernels differ in them. */
#ifndef HOTSPAN_BLOCK_KERNEL_H
#define HOTSPAN_BLOCK_KERNEL_H

#include "kernel.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <stdbool.h>

/* Padding of a kernel structure is the kernel's own affair. */
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wpadded"
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct gendisk {
    int major;
    int first_minor;
    char disk_name[32];
};

struct request_queue {
    struct gendisk *disk;
};

struct bio {
    unsigned int bi_opf;
};

struct request {
    struct request_queue *q;
    unsigned int cmd_flags;
    unsigned int rq_flags;
    unsigned int __data_len;
    __u64 __sector;
    __u64 start_time_ns; /* ktime; 0 where nobody asked for times */
    struct bio *bio;
};

/* 5.17 took it out, for request_queue->disk. Drop it when our floor passes 5.17. */
struct request___before_5_17 {
    struct gendisk *rq_disk;
};

/* A worker of a workqueue: its thread's struct kthread has it as data. */
struct worker {
    char desc[24]; /* 32 from 6.9 on */
};

struct kthread {
    void *data;
};

struct task_struct___of_kthread {
    unsigned int flags;
    void *worker_private; /* struct kthread since 5.17 */
};

/* Until 5.17 a thread of the kernel had its struct kthread here. Drop it when our floor passes 5.17. */
struct task_struct___before_5_17 {
    int *set_child_tid;
};

#pragma clang attribute pop
#pragma clang diagnostic pop

/* Values differ between kernels; CO-RE puts in the running kernel's. */
enum req_flag_bits {
    __REQ_FUA = 17,
    __REQ_PREFLUSH = 18,
};

/* 6.12 numbered the flags by this enum; before, they were macros. */
enum rqf_flags {
    __RQF_FLUSH_SEQ = 1,
};
#define RQF_FLUSH_SEQ_BEFORE_6_12 (1 << 4)

/* The low bits of cmd_flags and bi_opf are the operation. */
#define REQ_OP_MASK 0xff
#define REQ_OP_READ 0
#define REQ_OP_FLUSH 2
#define REQ_OP_DISCARD 3
/* Drivers' commands begin here; below, an odd number moves data to the device. */
#define REQ_OP_DRIVERS 32

/* include/linux/sched.h, the same since 3.9. */
#define PF_WQ_WORKER 0x00000020
#define PF_KTHREAD 0x00200000

static __always_inline struct gendisk *disk_of(struct request *rq) {
    struct request___before_5_17 *old = (void *)rq;

    if (bpf_core_field_exists(old->rq_disk))
        return BPF_CORE_READ(old, rq_disk);
    return BPF_CORE_READ(rq, q, disk);
}

/* The request is a part of a sequence of flushes and data, which makes it come back more than once. */
static __always_inline bool is_in_flush_sequence(const struct request *rq) {
    if (bpf_core_enum_value_exists(enum rqf_flags, __RQF_FLUSH_SEQ))
        return rq->rq_flags >> bpf_core_enum_value(enum rqf_flags, __RQF_FLUSH_SEQ) & 1;
    return rq->rq_flags & RQF_FLUSH_SEQ_BEFORE_6_12;
}

static __always_inline bool asks_for_flush(unsigned int operation_and_flags) {
    return (operation_and_flags >> bpf_core_enum_value(enum req_flag_bits, __REQ_PREFLUSH) |
            operation_and_flags >> bpf_core_enum_value(enum req_flag_bits, __REQ_FUA)) &
           1;
}

static __always_inline __u32 flags_of_task(struct task_struct *task) {
    return BPF_CORE_READ((struct task_struct___of_kthread *)task, flags);
}

/* What a worker is at: the name of its workqueue, or what the work itself said. `to` has 24 bytes. */
static __always_inline void read_work(struct task_struct *task, char *to) {
    struct task_struct___of_kthread *now = (void *)task;
    struct task_struct___before_5_17 *old = (void *)task;
    struct kthread *kthread;
    struct worker *worker;

    if (bpf_core_field_exists(now->worker_private))
        kthread = BPF_CORE_READ(now, worker_private);
    else
        kthread = (void *)BPF_CORE_READ(old, set_child_tid);
    worker = BPF_CORE_READ(kthread, data);
    bpf_probe_read_kernel_str(to, 24, &worker->desc);
}

#endif
