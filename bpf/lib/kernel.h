/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* The few kernel structures that the programs read, each with the few fields that they use. CO-RE relocates every
 * access against the running kernel's BTF, so order and offsets here do not matter and no generated vmlinux.h is
 * needed: the objects build on any machine and load on every kernel of the matrix. */
#ifndef HOTSPAN_KERNEL_H
#define HOTSPAN_KERNEL_H

#include <linux/types.h>

/* Padding of a kernel structure is the kernel's own affair. */
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wpadded"
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
/* Add a structure with only the fields that a program reads. A field that a kernel renamed gets a flavour
 * (struct name___old) in compat.h, with the version that renamed it. */

typedef struct {
    int counter;
} atomic_t;

/* Files and paths. */

struct super_block {
    __u32 s_dev; /* major << 20 | minor */
};

struct inode {
    unsigned short i_mode;
    unsigned long i_ino;
    long long i_size;
    struct super_block *i_sb;
};

struct address_space {
    struct inode *host; /* for a block device the device's own inode, where f_inode is that of its node in /dev */
};

struct qstr {
    __u32 len;
    const unsigned char *name;
};

struct dentry {
    struct dentry *d_parent;
    struct qstr d_name;
    struct inode *d_inode;
};

struct vfsmount {
    struct dentry *mnt_root;
};

struct mount {
    struct mount *mnt_parent;
    struct dentry *mnt_mountpoint;
    struct vfsmount mnt;
};

struct path {
    struct vfsmount *mnt;
    struct dentry *dentry;
};

struct file {
    struct path f_path;
    struct inode *f_inode;
    struct address_space *f_mapping;
};

struct fdtable {
    unsigned int max_fds;
    struct file **fd;
};

struct files_struct {
    struct fdtable *fdt;
};

struct fs_struct {
    struct path root;
};

/* Processes. */

struct mm_struct {
    struct file *exe_file;
    unsigned long arg_start;
    unsigned long arg_end;
};

struct signal_struct {
    atomic_t live; /* threads that have not begun to exit */
    int group_exit_code;
    unsigned int flags;
};

typedef struct {
    __u32 val;
} kuid_t;

struct cred {
    kuid_t uid;
};

struct css_set;

struct task_struct {
    int pid;
    int tgid;
    int exit_code;
    __u64 start_time; /* CLOCK_MONOTONIC */
    char comm[16];
    void *stack; /* lowest address of the thread's kernel stack */
    unsigned int __state;
    unsigned in_iowait : 1;
    struct mm_struct *mm;
    struct fs_struct *fs;
    struct files_struct *files;
    struct task_struct *real_parent;
    struct task_struct *group_leader;
    struct signal_struct *signal;
    const struct cred *cred;
    struct css_set *cgroups;
    unsigned in_execve : 1;
};

/* Control groups. */

struct kernfs_node {
    struct kernfs_node *__parent;
    const char *name;
    __u64 id;
};

struct cgroup {
    struct kernfs_node *kn;
};

struct cgroup_subsys_state {
    struct cgroup *cgroup;
};

struct css_set {
    struct cgroup_subsys_state *subsys[1];
    struct cgroup *dfl_cgrp;
};

/* Records of tracepoints, as their programs get them. */

struct trace_event_raw_task_newtask {
    int pid;
    char comm[16];
    unsigned long clone_flags;
};

#pragma clang attribute pop
#pragma clang diagnostic pop

/* Values differ between kernels and configurations; CO-RE puts in the running kernel's. */
enum cgroup_subsys_id {
    memory_cgrp_id = 4,
};

#endif
