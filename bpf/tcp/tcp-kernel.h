/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* The kernel's structures of sockets and TCP, with the fields that source tcp reads. */
#ifndef HOTSPAN_TCP_KERNEL_H
#define HOTSPAN_TCP_KERNEL_H

#include "kernel.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

/* Padding of a kernel structure is the kernel's own affair. */
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wpadded"
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct ns_common {
    unsigned int inum;
};

struct net {
    struct ns_common ns;
};

typedef struct {
    struct net *net;
} possible_net_t;

struct in6_addr___words {
    __u64 high;
    __u64 low;
};

struct in6_addr;

struct sock_common {
    __u32 skc_daddr;
    __u32 skc_rcv_saddr;
    __u16 skc_dport; /* network order */
    unsigned short skc_family;
    volatile unsigned char skc_state;
    unsigned long skc_flags;
    possible_net_t skc_net;
    struct in6_addr___words skc_v6_daddr;
    struct in6_addr___words skc_v6_rcv_saddr;
};

struct sock {
    struct sock_common __sk_common;
    __u16 sk_protocol;
    int sk_err;
    __u32 sk_max_ack_backlog;
};

struct inet_sock {
    __u16 inet_sport; /* network order; stays when the port is given back */
};

struct minmax_sample {
    __u32 t;
    __u32 v;
};

struct minmax {
    struct minmax_sample s[3];
};

struct tcp_sock {
    __u32 segs_in;
    __u32 segs_out;
    __u64 bytes_received;
    __u64 bytes_sent;
    __u64 bytes_retrans;
    __u32 total_retrans;
    __u32 srtt_us; /* eight times the smoothed round trip */
    struct minmax rtt_min;
};

struct sk_buff {
    char cb[48];
};

struct tcp_skb_cb {
    __u16 tcp_gso_segs;
};

struct socket {
    struct sock *sk;
};

struct super_block___of_socket {
    unsigned long s_magic;
};

struct inode___of_socket {
    struct super_block___of_socket *i_sb;
};

struct file___of_socket {
    struct inode___of_socket *f_inode;
    void *private_data;
};

struct task_struct___of_kthread {
    unsigned int flags;
};

#pragma clang attribute pop
#pragma clang diagnostic pop

/* Bits of skc_flags. */
enum sock_flags {
    SOCK_DONE = 1, /* the other side's end of its stream has come */
};

/* include/net/tcp_states.h */
#define TCP_ESTABLISHED 1
#define TCP_SYN_SENT 2
#define TCP_SYN_RECV 3
#define TCP_CLOSE 7
#define TCP_CLOSE_WAIT 8
#define TCP_LISTEN 10

#define IPPROTO_TCP 6
#define AF_INET 2
#define AF_INET6 10
#define SOCKFS_MAGIC 0x534F434B
#define ECONNREFUSED 111
#define ETIMEDOUT 110

/* include/linux/sched.h, the same since 3.9. */
#define PF_KTHREAD 0x00200000

#endif
