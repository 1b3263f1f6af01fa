/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Events of source tcp: connections, from the first packet to the end. */
#ifndef HOTSPAN_TCP_H
#define HOTSPAN_TCP_H

#include "event.h"
#include "stack-record.h"
#include "sums.h"

enum tcp_kind {
    TCP_STACK = 0,
    TCP_CONNECTION,
};

/* What is summed up, whoever did it. */
enum tcp_operation {
    TCP_OP_CONNECT = 0, /* tries that sent a packet, failed ones included: ActiveOpens of /proc/net/snmp */
    TCP_OP_ACCEPT,      /* connections that a listener took: PassiveOpens */
    TCP_OP_REFUSED,     /* refused, timed out and failed tries are its AttemptFails */
    TCP_OP_TIMED_OUT,
    TCP_OP_FAILED,
    TCP_OP_ABANDONED,  /* tries that the program gave up, or that came to nothing before a packet was sent */
    TCP_OP_RESET,      /* of open connections, by either side: EstabResets */
    TCP_OP_CLOSE,      /* connections that ended, however they did; their latency is their life */
    TCP_OP_SEND,       /* segments, and the bytes in them without those that were sent again */
    TCP_OP_RECEIVE,    /* segments, and bytes in order */
    TCP_OP_RETRANSMIT, /* segments: RetransSegs */
    TCP_OP_MAX,
};

#define TCP_FLAG_CLIENT 1 /* this side asked for the connection */
#define TCP_FLAG_IPV6 2
#define TCP_FLAG_NO_STACK 4 /* the stack could not be told: out of room or budget */
#define TCP_FLAG_OWNED 8    /* pid, tid, comm and cgroup are of a process that was seen using it */
#define TCP_FLAG_OLDER 16   /* it was open before the source was started, and its age is since then */

/* A stack that connections refer to: told before the first of them, once. */
struct tcp_stack_event {
    STACK_RECORD_FIELDS
};

/* A connection that ended. header.time_ns is that moment, header.pid and header.tid are of its owner. */
struct tcp_connection_event {
    struct event_header header;
    duration_ns age_ns;       /* since the first packet that this side knows of */
    duration_ns handshake_ns; /* 0: it was never established */
    byte_count sent;          /* without what was sent again */
    byte_count received;
    byte_count resent;
    exact_u64 stack; /* where it was connected or accepted */
    exact_u64 cgroup_id;
    exact_u64 local_high; /* addresses as in memory; an IPv4 address is the first four bytes of the low half */
    exact_u64 local_low;
    exact_u64 peer_high;
    exact_u64 peer_low;
    __u32 retransmits; /* segments */
    __u32 rtt_us;      /* smoothed; 0: none was measured */
    __u32 rtt_min_us;  /* of the last minutes */
    __u32 netns;       /* inode of the network namespace */
    __u32 error;       /* errno that a program would have got; 0: none */
    __u32 flags;       /* TCP_FLAG_* */
    __u16 local_port;
    __u16 peer_port;
    __u16 last_state; /* TCP_* of the kernel's tcp_states.h, before its end */
    __u16 reserved;
    comm_text comm;
};

/* All events of one operation on one CPU; the key is the operation. */
struct tcp_sums {
    LATENCY_SUMS_FIELDS
};

/* Value of tcp_settings. */
struct tcp_settings {
    duration_ns min_age_ns;
    __u32 stacks_per_second; /* and CPU: walks beyond it are left out */
    pid_nr pid;              /* only connections of this process; 0: all */
    __u32 netns;             /* only this network namespace; 0: all */
    __u32 reserved;
};

#endif
