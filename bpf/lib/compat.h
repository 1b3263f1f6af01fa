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

#endif
