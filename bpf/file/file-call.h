/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* What is remembered of a call from its entry to its return, and how the two find each other.
 *
 * A thread may be inside two calls of one operation at once (a file system that reads a file of another), and a return
 * may never come (its hook was missed, the thread died inside). So each call has a frame, an address on the thread's
 * kernel stack: a call inside another has a lower one, and a remembered call whose frame is not above a new one's is
 * over. */
#ifndef HOTSPAN_FILE_CALL_H
#define HOTSPAN_FILE_CALL_H

#include "file.h"
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Calls of one operation that a thread can be in at once. */
#define FILE_NESTING_MAX 2

/* Unrolled: 5.10 does not follow a counter that is kept in memory, where map helpers want the key. */
#define FILE_EACH_NESTING(nesting) _Pragma("unroll") for (__u32 nesting = 0; nesting < FILE_NESTING_MAX; nesting++)

/* Threads that read or write files, times the operations, and threads that open files, which each keep an entry. Reads
 * of sockets, pipes and terminals are not among them. */
#define FILE_CALLS_MAX 16384
#define FILE_OPEN_CALLS_MAX 4096

/* Calls in flight of threads beyond those. */
#define FILE_SPARE_CALLS_MAX 2048

/* Bytes of a name that are kept from an open's entry; a longer one is read again at the return. */
#define FILE_ENTRY_NAME_BYTES 256

/* Frames of one call may differ by the return address: a return probe sees the stack without it. */
#define FILE_FRAME_SLACK 16

struct file_call_key {
    __u64 pid_tgid;
    __u32 operation;
    __u32 nesting;
};

/* First part of every remembered call. */
struct file_call_head {
    ktime_ns start_ns; /* 0: no call; the entry waits for the thread's next one */
    code_addr frame;   /* 0 by tracepoints: a thread is in one system call at a time */
    __u64 is_spare;    /* in file_spare_calls */
};

struct file_call {
    struct file_call_head head;
    __u64 file;      /* address of the struct file */
    __u64 requested; /* bytes, or where vector_length is not 0 the address of the program's struct iovec[] */
    __u32 vector_length;
    __s32 fd; /* of a system call; -1 for a function that is given the file */
};

struct file_open_call {
    struct file_call_head head;
    __u64 name; /* address in the program's memory */
    __u32 flags;
    __u32 mode;
    __u32 known;      /* FILE_HAS_FLAGS */
    __u32 name_bytes; /* read at the entry, NUL included; 0 where that failed */
    char text[FILE_ENTRY_NAME_BYTES];
};

/* A return, as its hook saw it. */
struct file_return {
    code_addr frame;
    __s64 result;
    __u64 own_frames; /* of the hook, at the top of the kernel stack */
    __u64 is_probe;   /* by a kretprobe, whose kernel stack may have been kept from the entry */
};

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, FILE_CALLS_MAX);
    __type(key, struct file_call_key);
    __type(value, struct file_call);
} file_calls SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, FILE_OPEN_CALLS_MAX);
    __type(key, struct file_call_key);
    __type(value, struct file_open_call);
} file_open_calls SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, FILE_SPARE_CALLS_MAX);
    __type(key, struct file_call_key);
    __type(value, struct file_open_call); /* of any operation: this is the largest */
} file_spare_calls SEC(".maps");

/* Set once file_spare_calls was needed; until then it need not be searched. */
__u32 has_spare_calls = 0;

/* What a new entry holds. */
const struct file_open_call file_no_call = {};
const struct file_open_call file_no_spare_call = {.head = {.is_spare = 1}};

/* Room for a call that begins, to be filled in, start_ns last; NULL where there is none, which is counted. A thread's
 * entry stays until the thread ends: finding it takes a fifth of the time of making and deleting one. */
static __always_inline void *file_call_begin(void *calls, struct file_call_key *key, code_addr frame) {
    FILE_EACH_NESTING(nesting) {
        struct file_call_head *call;

        key->nesting = nesting;
        call = bpf_map_lookup_elem(calls, key);
        if (!call && !bpf_map_update_elem(calls, key, &file_no_call, BPF_NOEXIST))
            call = bpf_map_lookup_elem(calls, key);
        if (!call) {
            has_spare_calls = 1;
            bpf_map_update_elem(&file_spare_calls, key, &file_no_spare_call, BPF_NOEXIST);
            call = bpf_map_lookup_elem(&file_spare_calls, key);
        }
        if (!call)
            break;
        if (call->start_ns) {
            if (call->frame > frame)
                continue;
            file_count(DROP_NO_RETURN);
        }
        call->frame = frame;
        return call;
    }
    file_count(DROP_INFLIGHT_FULL);
    return NULL;
}

/* The thread's entry, whether a call is in it or not; NULL where it has none. */
static __always_inline void *file_entry_of(void *calls, const struct file_call_key *key) {
    void *entry = bpf_map_lookup_elem(calls, key);

    return entry || !has_spare_calls ? entry : bpf_map_lookup_elem(&file_spare_calls, key);
}

/* The call that returns, or NULL where it was not remembered. Leaves its key in `key`. */
static __always_inline void *file_call_of(void *calls, struct file_call_key *key, code_addr frame) {
    FILE_EACH_NESTING(nesting) {
        struct file_call_head *call;

        key->nesting = nesting;
        call = file_entry_of(calls, key);
        /* Most calls of a busy host end here, not remembered: nothing is inside a call that is not there. */
        if (!call || !call->start_ns)
            break;
        if (frame - call->frame + FILE_FRAME_SLACK <= 2 * FILE_FRAME_SLACK)
            return call;
    }
    return NULL;
}

/* The call is over. */
static __always_inline void file_call_end(struct file_call_head *call, struct file_call_key *key) {
    call->start_ns = 0;
    if (call->is_spare)
        bpf_map_delete_elem(&file_spare_calls, key);
}

static __always_inline void file_entry_forget(void *calls, struct file_call_key *key) {
    struct file_call_head *call = bpf_map_lookup_elem(calls, key);

    if (!call)
        return;
    if (call->start_ns)
        file_count(DROP_NO_RETURN);
    bpf_map_delete_elem(calls, key);
}

/* A thread that ends leaves nothing behind. */
static __always_inline void file_calls_forget(void *calls, __u32 operation) {
    struct file_call_key key = {.pid_tgid = bpf_get_current_pid_tgid(), .operation = operation};

    FILE_EACH_NESTING(nesting) {
        key.nesting = nesting;
        file_entry_forget(calls, &key);
        if (has_spare_calls)
            file_entry_forget(&file_spare_calls, &key);
    }
}

#endif
