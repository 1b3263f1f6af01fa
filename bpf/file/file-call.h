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

/* Calls in flight at once. Reads of sockets, pipes and terminals, which may last, are not among them. */
#define FILE_CALLS_MAX 16384
#define FILE_OPEN_CALLS_MAX 4096

/* Bytes of a name that are kept from an open's entry; a longer one is read again at the return. */
#define FILE_ENTRY_NAME_BYTES 256

/* Frames of one call may differ by the return address: a return probe sees the stack without it. */
#define FILE_FRAME_SLACK 16

#define FILE_ERROR_EXISTS 17

struct file_call_key {
    __u64 pid_tgid;
    __u32 operation;
    __u32 nesting;
};

/* First part of every remembered call. */
struct file_call_head {
    ktime_ns start_ns;
    code_addr frame; /* 0 by tracepoints: a thread is in one system call at a time */
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

/* Remembers a call; counts what of it or of an older one is lost. */
static __always_inline void file_call_begin(void *calls, struct file_call_key *key, const struct file_call_head *call) {
    FILE_EACH_NESTING(nesting) {
        struct file_call_head *older;
        long err;

        key->nesting = nesting;
        err = bpf_map_update_elem(calls, key, call, BPF_NOEXIST);
        if (!err)
            return;
        if (err != -FILE_ERROR_EXISTS)
            break;
        older = bpf_map_lookup_elem(calls, key);
        if (older && older->frame > call->frame)
            continue;
        file_count(DROP_NO_RETURN);
        if (!bpf_map_update_elem(calls, key, call, BPF_ANY))
            return;
        break;
    }
    file_count(DROP_INFLIGHT_FULL);
}

/* The call that returns, or NULL where it was not remembered. Leaves its key in `key`. */
static __always_inline void *file_call_of(void *calls, struct file_call_key *key, code_addr frame) {
    FILE_EACH_NESTING(nesting) {
        struct file_call_head *call;

        key->nesting = nesting;
        call = bpf_map_lookup_elem(calls, key);
        if (call && frame - call->frame + FILE_FRAME_SLACK <= 2 * FILE_FRAME_SLACK)
            return call;
        /* One system call at a time: nothing is nested, and most calls of a busy host end here, not remembered. */
        if (!frame)
            break;
    }
    return NULL;
}

/* A thread that ends leaves no call behind. */
static __always_inline void file_calls_forget(void *calls, __u32 operation) {
    struct file_call_key key = {.pid_tgid = bpf_get_current_pid_tgid(), .operation = operation};

    FILE_EACH_NESTING(nesting) {
        key.nesting = nesting;
        if (!bpf_map_delete_elem(calls, &key))
            file_count(DROP_NO_RETURN);
    }
}

#endif
