/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Paths as text: of files, by walking dentries and mounts up to the process's root, and of control groups, by walking
 * kernfs nodes. bpf_d_path is allowed in a few hooks only, so the walk is our own. Bounded in parts and bytes; what is
 * cut loses its front and begins with "...". The walk takes no locks: a rename in its midst can give a mixed path. */
#ifndef HOTSPAN_PATH_H
#define HOTSPAN_PATH_H

#include "compat.h"
#include "kernel.h"
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

/* Longest path told, and a power of two, so that a mask proves each place in the room. */
#define PATH_MAX_BYTES 512
#define PATH_MASK (PATH_MAX_BYTES - 1)
/* What the target of a path needs: a length of up to PATH_MAX_BYTES is proved by a mask, so its bound is the next
 * power. */
#define PATH_ROOM_BYTES (2 * PATH_MAX_BYTES)
/* Linux's NAME_MAX, which is also the mask for a part's length. */
#define PATH_PART_MASK 255
/* Components and mounts passed. 5.10 verifies each turn of the loop by itself. */
#define PATH_MAX_PARTS 40
#define CGROUP_MAX_PARTS 16

/* Working memory of one walk, filled from the end to the front. A part is at most 255 bytes and begins below
 * PATH_MAX_BYTES. Where the text begins is kept here and not in a register: what comes from memory is unknown to the
 * verifier, so that the turns of a loop look alike to it and it need not follow every combination of them. */
struct path_room {
    __u32 start;
    __u32 reserved;
    char text[PATH_MAX_BYTES + PATH_PART_MASK + 1];
    char part[PATH_PART_MASK + 1];
};

/* `value & mask` where the compiler must not know better: it would drop the mask that the verifier needs to see. */
static __always_inline __u32 path_bound(__u32 value, __u32 mask) {
    asm volatile("" : "+r"(value));
    return value & mask;
}

/* Puts "/part" before the text. False when it does not fit. */
static __always_inline bool path_prepend(struct path_room *room, const void *part, __u32 length) {
    __u32 start = room->start;

    length = path_bound(length, PATH_PART_MASK);
    if (start > PATH_MAX_BYTES || length + 1 > start)
        return false;
    start -= length;
    bpf_probe_read_kernel(&room->text[path_bound(start, PATH_MASK)], length, part);
    start -= 1;
    room->text[path_bound(start, PATH_MASK)] = '/';
    room->start = start;
    return true;
}

/* Ends the walk: the root itself is "/", and a text whose front is missing says so over its first bytes. Copies the
 * text to `to`, which has PATH_ROOM_BYTES; returns its length, at most PATH_MAX_BYTES. */
static __always_inline __u32 path_finish(struct path_room *room, bool is_whole, void *to) {
    __u32 start = room->start, length;

    if (is_whole && start == PATH_MAX_BYTES) {
        start = PATH_MAX_BYTES - 1;
        room->text[PATH_MAX_BYTES - 1] = '/';
    }
    if (!is_whole && start < PATH_MAX_BYTES - 3) {
#pragma unroll
        for (int i = 0; i < 3; i++)
            room->text[path_bound(start + i, PATH_MASK)] = '.';
    }
    if (start >= PATH_MAX_BYTES)
        return 0;
    length = path_bound(PATH_MAX_BYTES - start, PATH_ROOM_BYTES - 1);
    return bpf_probe_read_kernel(to, length, &room->text[path_bound(start, PATH_MASK)]) ? 0 : length;
}

/* A dentry without a mount's tree around it (memfd, pipe, socket) is its own parent: its name is all there is. */
static __always_inline __u32 path_pseudo(struct dentry *dentry, void *to) {
    __u32 length = BPF_CORE_READ(dentry, d_name.len) & PATH_PART_MASK;

    if (bpf_probe_read_kernel(to, length, BPF_CORE_READ(dentry, d_name.name)))
        return 0;
    return length;
}

/* Path of (mount, dentry) as `task` sees it: up to the task's root. `to` has PATH_ROOM_BYTES; returns the length. */
static __always_inline __u32 path_text(struct path_room *room, struct vfsmount *vfsmount, struct dentry *dentry,
                                       struct task_struct *task, void *to) {
    struct dentry *root_dentry = BPF_CORE_READ(task, fs, root.dentry);
    struct vfsmount *root_vfsmount = BPF_CORE_READ(task, fs, root.mnt);
    bool is_whole = false;

    if (!dentry || !vfsmount)
        return 0;
    room->start = PATH_MAX_BYTES;
    for (int i = 0; i < PATH_MAX_PARTS; i++) {
        struct dentry *parent;

        if (dentry == root_dentry && vfsmount == root_vfsmount) {
            is_whole = true;
            break;
        }
        if (dentry == BPF_CORE_READ(vfsmount, mnt_root)) {
            struct mount *mount = (void *)vfsmount - bpf_core_field_offset(struct mount, mnt);
            struct mount *parent_mount = BPF_CORE_READ(mount, mnt_parent);

            if (parent_mount == mount) {
                is_whole = true;
                break;
            }
            dentry = BPF_CORE_READ(mount, mnt_mountpoint);
            vfsmount = (void *)parent_mount + bpf_core_field_offset(struct mount, mnt);
            continue;
        }
        parent = BPF_CORE_READ(dentry, d_parent);
        if (parent == dentry)
            return room->start == PATH_MAX_BYTES ? path_pseudo(dentry, to) : 0;
        if (!path_prepend(room, BPF_CORE_READ(dentry, d_name.name), BPF_CORE_READ(dentry, d_name.len)))
            break;
        dentry = parent;
    }
    return path_finish(room, is_whole, to);
}

/* Path of an open file. Deleted files keep the name that they had. */
static __always_inline __u32 path_of_file(struct path_room *room, struct file *file, struct task_struct *task,
                                          void *to) {
    return path_text(room, BPF_CORE_READ(file, f_path.mnt), BPF_CORE_READ(file, f_path.dentry), task, to);
}

/* The control group that says most about a task: of the unified hierarchy, or, where that is not in use and holds all
 * tasks in its root (version 1 hosts), of the memory controller. */
static __always_inline struct kernfs_node *cgroup_node(struct task_struct *task) {
    struct css_set *set = BPF_CORE_READ(task, cgroups);
    struct kernfs_node *node = BPF_CORE_READ(set, dfl_cgrp, kn);
    struct cgroup_subsys_state *state = NULL;

    if (kernfs_parent(node) || !bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id))
        return node;
    bpf_probe_read_kernel(&state, sizeof(state),
                          (void *)set + bpf_core_field_offset(struct css_set, subsys) +
                              sizeof(state) * bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id));
    return state ? BPF_CORE_READ(state, cgroup, kn) : node;
}

/* "/system.slice/ssh.service"; "/" for the root. `to` has PATH_ROOM_BYTES; returns the length. */
static __always_inline __u32 path_of_cgroup(struct path_room *room, struct task_struct *task, void *to) {
    struct kernfs_node *node = cgroup_node(task);
    bool is_whole = false;

    if (!node)
        return 0;
    room->start = PATH_MAX_BYTES;
    for (int i = 0; i < CGROUP_MAX_PARTS; i++) {
        struct kernfs_node *parent = kernfs_parent(node);
        long length;

        if (!parent) {
            is_whole = true;
            break;
        }
        length = bpf_probe_read_kernel_str(room->part, sizeof(room->part), BPF_CORE_READ(node, name));
        if (length <= 1)
            break;
        if (!path_prepend(room, room->part, (__u32)length - 1))
            break;
        node = parent;
    }
    return path_finish(room, is_whole, to);
}

#endif
