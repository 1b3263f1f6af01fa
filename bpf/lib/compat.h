/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Where kernels differ: old names of renamed fields, and one accessor for each. The programs know nothing of it. */
#ifndef HOTSPAN_COMPAT_H
#define HOTSPAN_COMPAT_H

#include "kernel.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

/* 6.15 renamed kernfs_node->parent to __parent. Drop the old name when our floor passes 6.15. */
struct kernfs_node___before_6_15 {
    struct kernfs_node *parent;
} __attribute__((preserve_access_index));

static __always_inline struct kernfs_node *kernfs_parent(struct kernfs_node *node) {
    struct kernfs_node___before_6_15 *old = (void *)node;

    if (bpf_core_field_exists(node->__parent))
        return BPF_CORE_READ(node, __parent);
    return BPF_CORE_READ(old, parent);
}

/* 5.14 renamed task_struct->state to __state. Drop the old name when our floor passes 5.14. */
struct task_struct___before_5_14 {
    long state;
} __attribute__((preserve_access_index));

static __always_inline __u64 task_state(struct task_struct *task) {
    struct task_struct___before_5_14 *old = (void *)task;

    if (bpf_core_field_exists(task->__state))
        return BPF_CORE_READ(task, __state);
    return (__u64)BPF_CORE_READ(old, state);
}

#endif
