// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* Source tcp: every connection, by the changes of its state. Who it belongs to is noted in the context of a process:
 * where it connects or accepts, else where it closes; of those that were open before, it is who has them open. What a
 * connection did is read from the kernel's own account of it when it ends; the bytes of open ones are summed up while
 * they flow. A connection is one event, seen when it ends. */
#include "tcp.h"

#include "settings.h"
#include "syscall.h"
#include "tcp-kernel.h"

HOTSPAN_EVENTS(tcp)
HOTSPAN_SETTINGS(tcp)
#define STACK_TABLE_EVENTS tcp_events
#define STACK_TABLE_COUNT tcp_count
#define STACK_TABLE_KIND TCP_STACK
#include "stack-table.h"

/* Bytes of an open connection are summed up at most this often: 2^27 ns are an eighth of a second. */
#define FLOW_INTERVAL_NS (1 << 27)

struct tcp_connection {
    ktime_ns start_ns;
    ktime_ns established_ns; /* 0: not yet */
    ktime_ns summed_ns;      /* when its bytes were summed up last */
    byte_count sent;         /* as of then */
    byte_count received;
    exact_u64 stack;
    exact_u64 cgroup_id;
    pid_nr pid;
    pid_nr tid;
    __u32 segments_in;
    __u32 segments_out;
    __u32 flags;
    __u32 reserved;
    comm_text comm;
};

/* Open connections by the address of their sock. Where there are more, those that were idle the longest are forgotten,
 * and counted when they end. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 16384);
    __type(key, __u64);
    __type(value, struct tcp_connection);
} tcp_connections SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, TCP_OP_MAX);
    __type(key, __u32);
    __type(value, struct latency_sums);
} tcp_sums SEC(".maps");

/* What a new entry holds. Not on the stack, where the walk needs the room. */
static const struct tcp_connection no_connection;

/* An argument as a number: 5.10 does not take a typed pointer as a part of a key. */
static __always_inline __u64 address_of_argument(__u64 *ctx) {
    __u64 address = 0;

    bpf_probe_read_kernel(&address, sizeof(address), ctx);
    return address;
}

static __always_inline struct latency_sums *sums_of(enum tcp_operation operation) {
    __u32 key = operation;

    return bpf_map_lookup_elem(&tcp_sums, &key);
}

static __always_inline void sum_up(enum tcp_operation operation, duration_ns latency, int is_error) {
    struct latency_sums *sums = sums_of(operation);

    if (sums)
        latency_sums_add(sums, latency, 0, is_error);
}

static __always_inline __u32 netns_of(const struct sock *sk) {
    return BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
}

static __always_inline bool is_in_netns(const struct tcp_settings *settings, const struct sock *sk) {
    return !settings->netns || netns_of(sk) == settings->netns;
}

/* The current thread uses the connection: it is its own from now on. */
static __always_inline void own(void *ctx, const struct tcp_settings *settings, struct tcp_connection *connection) {
    __u64 pid_tgid = bpf_get_current_pid_tgid();
    struct user_regs regs;
    bool has_regs;

    connection->pid = (pid_nr)(pid_tgid >> 32);
    connection->tid = (pid_nr)pid_tgid;
    connection->cgroup_id = bpf_get_current_cgroup_id();
    bpf_get_current_comm(connection->comm, sizeof(connection->comm));
    connection->flags |= TCP_FLAG_OWNED;
    if (!is_wanted(settings, connection->pid))
        return;
    has_regs = user_regs_now(&regs);
    connection->stack = stack_of(ctx, settings->stacks_per_second, has_regs ? &regs : NULL, STACK_ROLE_WAKES);
    if (!connection->stack)
        connection->flags |= TCP_FLAG_NO_STACK;
}

/* Packets are handled on an interrupt's stack or by a thread of the kernel, on behalf of nobody. */
static __always_inline bool is_in_process(void *ctx) {
    struct task_struct___of_kthread *task = (void *)bpf_get_current_task();

    return is_on_thread_stack(ctx) && !(BPF_CORE_READ(task, flags) & PF_KTHREAD);
}

static __always_inline void begin(void *ctx, const struct tcp_settings *settings, __u64 address, __u32 flags) {
    struct tcp_connection *connection;

    bpf_map_update_elem(&tcp_connections, &address, &no_connection, BPF_ANY);
    connection = bpf_map_lookup_elem(&tcp_connections, &address);
    if (!connection)
        return;
    connection->start_ns = bpf_ktime_get_ns();
    connection->flags = flags;
    if (flags & TCP_FLAG_CLIENT && is_in_process(ctx))
        own(ctx, settings, connection);
}

/* The kernel counts the end of a stream like a byte. */
static __always_inline byte_count bytes_received_of(const struct sock *sk) {
    byte_count received = BPF_CORE_READ((struct tcp_sock *)sk, bytes_received);
    __u64 has_ended = BPF_CORE_READ(sk, __sk_common.skc_flags) >> bpf_core_enum_value(enum sock_flags, SOCK_DONE) & 1;

    return received ? received - has_ended : 0;
}

/* What has flowed up to now is summed up, or is none of ours. */
static __always_inline void note_flow(const struct sock *sk, struct tcp_connection *connection, ktime_ns now) {
    const struct tcp_sock *tcp = (void *)sk;

    connection->summed_ns = now;
    connection->sent = BPF_CORE_READ(tcp, bytes_sent) - BPF_CORE_READ(tcp, bytes_retrans);
    connection->received = bytes_received_of(sk);
    connection->segments_out = BPF_CORE_READ(tcp, segs_out);
    connection->segments_in = BPF_CORE_READ(tcp, segs_in);
}

/* Sums up what flowed since the last time. The caller holds the socket, so that nobody else does so meanwhile. */
static __always_inline void sum_flow(const struct sock *sk, struct tcp_connection *connection, ktime_ns now) {
    byte_count sent = connection->sent, received = connection->received;
    __u32 segments_out = connection->segments_out, segments_in = connection->segments_in;
    struct latency_sums *sends = sums_of(TCP_OP_SEND), *receives = sums_of(TCP_OP_RECEIVE);

    note_flow(sk, connection, now);
    if (sends) {
        sends->calls += connection->segments_out - segments_out;
        sends->bytes += connection->sent - sent;
    }
    if (receives) {
        receives->calls += connection->segments_in - segments_in;
        receives->bytes += connection->received - received;
    }
}

static __always_inline void read_addresses(const struct sock *sk, struct tcp_connection_event *event) {
    event->local_port = __builtin_bswap16(BPF_CORE_READ((struct inet_sock *)sk, inet_sport));
    event->peer_port = __builtin_bswap16(BPF_CORE_READ(sk, __sk_common.skc_dport));
    event->netns = netns_of(sk);
    if (BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET6) {
        event->flags |= TCP_FLAG_IPV6;
        bpf_probe_read_kernel(&event->local_high, 16,
                              __builtin_preserve_access_index(&sk->__sk_common.skc_v6_rcv_saddr));
        bpf_probe_read_kernel(&event->peer_high, 16, __builtin_preserve_access_index(&sk->__sk_common.skc_v6_daddr));
    } else {
        event->local_low = BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
        event->peer_low = BPF_CORE_READ(sk, __sk_common.skc_daddr);
    }
}

static __always_inline void tell(void *ctx, const struct sock *sk, const struct tcp_connection *connection,
                                 __u32 last_state) {
    const struct tcp_sock *tcp = (void *)sk;
    /* Not on the stack, where the walk needs the room. */
    struct stack_slot *slot = stack_claim();
    struct tcp_connection_event *event;

    if (!slot) {
        tcp_count(DROP_NESTED);
        return;
    }
    event = (struct tcp_connection_event *)slot->record;
    __builtin_memset(event, 0, sizeof(*event));
    event_header_fill(&event->header, TCP_CONNECTION, sizeof(*event));
    event->header.pid = connection->pid;
    event->header.tid = connection->tid;
    event->age_ns = event->header.time_ns - connection->start_ns;
    event->handshake_ns = connection->established_ns ? connection->established_ns - connection->start_ns : 0;
    event->sent = connection->sent;
    event->received = connection->received;
    event->resent = BPF_CORE_READ(tcp, bytes_retrans);
    event->stack = connection->stack;
    event->cgroup_id = connection->cgroup_id;
    event->retransmits = BPF_CORE_READ(tcp, total_retrans);
    event->rtt_us = BPF_CORE_READ(tcp, srtt_us) >> 3;
    event->rtt_min_us = BPF_CORE_READ(tcp, rtt_min.s[0].v);
    event->error = (__u32)BPF_CORE_READ(sk, sk_err);
    event->flags = connection->flags;
    event->last_state = (__u16)last_state;
    __builtin_memcpy(event->comm, connection->comm, sizeof(event->comm));
    read_addresses(sk, event);
    tcp_emit(ctx, event, sizeof(*event));
    stack_release(slot);
}

/* A try to connect came to an end without a connection. */
static __always_inline void sum_failure(const struct sock *sk, duration_ns age) {
    int error = BPF_CORE_READ(sk, sk_err);

    if (!BPF_CORE_READ((struct tcp_sock *)sk, segs_out)) {
        sum_up(TCP_OP_ABANDONED, age, 1);
        return;
    }
    sum_up(TCP_OP_CONNECT, age, 1);
    if (!error)
        sum_up(TCP_OP_ABANDONED, age, 1);
    else if (error == ECONNREFUSED)
        sum_up(TCP_OP_REFUSED, age, 1);
    else if (error == ETIMEDOUT)
        sum_up(TCP_OP_TIMED_OUT, age, 1);
    else
        sum_up(TCP_OP_FAILED, age, 1);
}

static __always_inline void end(void *ctx, const struct tcp_settings *settings, const struct sock *sk, __u64 address,
                                __u32 last_state) {
    struct tcp_connection *connection = bpf_map_lookup_elem(&tcp_connections, &address);
    ktime_ns now = bpf_ktime_get_ns();
    duration_ns age = connection ? now - connection->start_ns : 0;

    tcp_count(DROP_SEEN);
    if (last_state == TCP_SYN_SENT)
        sum_failure(sk, age);
    else if (last_state == TCP_SYN_RECV)
        sum_up(TCP_OP_FAILED, age, 1);
    else if (last_state == TCP_ESTABLISHED || last_state == TCP_CLOSE_WAIT)
        sum_up(TCP_OP_RESET, age, 1);
    if (!connection) {
        /* Forgotten, or open before the source was started and no process's. */
        tcp_count(DROP_NO_ENTRY);
        return;
    }
    sum_flow(sk, connection, now);
    sum_up(TCP_OP_CLOSE, age, 0);
    if (!(connection->flags & TCP_FLAG_OWNED) && is_in_process(ctx))
        own(ctx, settings, connection);
    if (!is_wanted(settings, connection->pid))
        tcp_count(DROP_FILTERED);
    else if (age < settings->min_age_ns)
        tcp_count(DROP_BELOW_MIN);
    else
        tell(ctx, sk, connection, last_state);
    bpf_map_delete_elem(&tcp_connections, &address);
}

static __always_inline void establish(__u64 address) {
    struct tcp_connection *connection = bpf_map_lookup_elem(&tcp_connections, &address);

    if (!connection || connection->established_ns)
        return;
    connection->established_ns = bpf_ktime_get_ns();
    if (connection->flags & TCP_FLAG_CLIENT)
        sum_up(TCP_OP_CONNECT, connection->established_ns - connection->start_ns, 0);
}

/* A process that closes a connection which nobody was seen to accept. */
static __always_inline void note_closer(void *ctx, const struct tcp_settings *settings, __u64 address) {
    struct tcp_connection *connection = bpf_map_lookup_elem(&tcp_connections, &address);

    if (connection && !(connection->flags & TCP_FLAG_OWNED) && is_in_process(ctx))
        own(ctx, settings, connection);
}

/* inet_sock_set_state(sk, old, new): before the state is changed. */
SEC("tp_btf/inet_sock_set_state")
int tcp_state(__u64 *ctx) {
    const struct sock *sk = (void *)ctx[0];
    __u32 old = (__u32)ctx[1], new = (__u32)ctx[2];
    const struct tcp_settings *settings = settings_now();
    __u64 address = address_of_argument(ctx);

    if (!settings || sk->sk_protocol != IPPROTO_TCP || !is_in_netns(settings, sk))
        return 0;
    if (new == TCP_SYN_SENT) {
        begin(ctx, settings, address, TCP_FLAG_CLIENT);
    } else if (new == TCP_SYN_RECV && old != TCP_SYN_SENT) {
        /* A listener's child: the handshake's last packet has come. */
        sum_up(TCP_OP_ACCEPT, 0, 0);
        begin(ctx, settings, address, 0);
    } else if (new == TCP_ESTABLISHED) {
        establish(address);
    } else if (new == TCP_CLOSE) {
        if (old != TCP_LISTEN && old != TCP_CLOSE)
            end(ctx, settings, sk, address, old);
    } else if (old == TCP_ESTABLISHED || old == TCP_CLOSE_WAIT) {
        note_closer(ctx, settings, address);
    }
    return 0;
}

/* tcp_destroy_sock(sk): after its end, so that nothing is left of it but what was missed. */
SEC("tp_btf/tcp_destroy_sock")
int tcp_destroy(__u64 *ctx) {
    __u64 address = address_of_argument(ctx);

    if (!bpf_map_delete_elem(&tcp_connections, &address)) {
        tcp_count(DROP_SEEN);
        tcp_count(DROP_NO_RETURN);
    }
    return 0;
}

/* tcp_probe(sk, skb): a segment comes in for an established connection. */
SEC("tp_btf/tcp_probe")
int tcp_flow(__u64 *ctx) {
    const struct sock *sk = (void *)ctx[0];
    __u64 address = address_of_argument(ctx);
    struct tcp_connection *connection = bpf_map_lookup_elem(&tcp_connections, &address);
    ktime_ns now;

    if (!connection)
        return 0;
    now = bpf_ktime_get_ns();
    if (now - connection->summed_ns >= FLOW_INTERVAL_NS)
        sum_flow(sk, connection, now);
    return 0;
}

static __always_inline bool is_open_connection(const struct sock *sk) {
    __u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);
    __u8 state = BPF_CORE_READ(sk, __sk_common.skc_state);

    if ((family != AF_INET && family != AF_INET6) || BPF_CORE_READ(sk, sk_protocol) != IPPROTO_TCP)
        return false;
    return state != TCP_SYN_SENT && state != TCP_CLOSE && state != TCP_LISTEN;
}

static __always_inline int on_retransmit(const struct sock *sk, __u32 segments) {
    const struct tcp_settings *settings = settings_now();
    struct latency_sums *sums = sums_of(TCP_OP_RETRANSMIT);

    if (sums && settings && is_in_netns(settings, sk))
        sums->calls += segments;
    return 0;
}

/* tcp_retransmit_skb(sk, skb): what is sent again may be several segments' worth. */
SEC("tp_btf/tcp_retransmit_skb")
int tcp_resend(__u64 *ctx) {
    const struct sock *sk = (void *)ctx[0];
    const struct sk_buff *skb = (void *)ctx[1];
    const struct tcp_skb_cb *cb = (const void *)&skb->cb;

    return on_retransmit(sk, BPF_CORE_READ(cb, tcp_gso_segs));
}

/* tcp_retransmit_synack(listener, request): an answer to a first packet that seems to be lost. */
SEC("tp_btf/tcp_retransmit_synack")
int tcp_resend_ack(__u64 *ctx) {
    const struct sock *sk = (void *)ctx[0];

    return on_retransmit(sk, 1);
}

/* The current thread's descriptor; NULL where it is no socket's. */
static __always_inline __u64 socket_of_fd(__u32 fd) {
    struct fdtable *table = BPF_CORE_READ((struct task_struct *)bpf_get_current_task(), files, fdt);
    struct file **files = BPF_CORE_READ(table, fd);
    struct file___of_socket *file = NULL;
    struct socket *socket;

    if (fd >= BPF_CORE_READ(table, max_fds))
        return 0;
    bpf_probe_read_kernel(&file, sizeof(file), files + fd);
    socket = BPF_CORE_READ(file, private_data);
    return (__u64)BPF_CORE_READ(socket, sk);
}

/* accept and accept4 return: the connection belongs to whoever took it. */
SEC("tracepoint/syscalls/sys_exit_accept4")
int accept_exit(struct syscall_exit *ctx) {
    const struct tcp_settings *settings = settings_now();
    struct tcp_connection *connection;
    __u64 address;

    if (!settings || ctx->result < 0)
        return 0;
    address = socket_of_fd((__u32)ctx->result);
    connection = bpf_map_lookup_elem(&tcp_connections, &address);
    if (connection)
        own(ctx, settings, connection);
    return 0;
}

/* A task's open file: arguments of bpf_iter_task_file. Both are 0 at the end. */
struct open_file {
    __u64 meta;
    const struct task_struct *task;
    __u64 fd;
    const struct file___of_socket *file;
};

/* Connections that are open when the source starts. Run once, after all else is attached. */
SEC("iter/task_file")
int tcp_seed(struct open_file *ctx) {
    const struct tcp_settings *settings = settings_now();
    const struct task_struct *task = ctx->task;
    const struct file___of_socket *file = ctx->file;
    struct tcp_connection *connection;
    struct socket *socket;
    const struct sock *sk;
    __u64 address;

    if (!settings || !task || !file || BPF_CORE_READ(file, f_inode, i_sb, s_magic) != SOCKFS_MAGIC)
        return 0;
    socket = BPF_CORE_READ(file, private_data);
    sk = BPF_CORE_READ(socket, sk);
    if (!is_open_connection(sk) || !is_in_netns(settings, sk))
        return 0;
    address = (__u64)sk;
    if (bpf_map_update_elem(&tcp_connections, &address, &no_connection, BPF_NOEXIST))
        return 0;
    connection = bpf_map_lookup_elem(&tcp_connections, &address);
    if (!connection)
        return 0;
    connection->start_ns = bpf_ktime_get_ns();
    note_flow(sk, connection, connection->start_ns);
    connection->pid = (pid_nr)BPF_CORE_READ(task, tgid);
    connection->tid = (pid_nr)BPF_CORE_READ(task, pid);
    connection->cgroup_id = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
    BPF_CORE_READ_STR_INTO(&connection->comm, task, comm);
    connection->flags = TCP_FLAG_OWNED | TCP_FLAG_OLDER;
    /* A listener's children take over the length of its queue; who connects has none. */
    if (!BPF_CORE_READ(sk, sk_max_ack_backlog))
        connection->flags |= TCP_FLAG_CLIENT;
    return 0;
}
