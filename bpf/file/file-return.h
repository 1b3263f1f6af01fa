/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* What becomes of a call when it returns: it is summed up, and told when it lasted long enough. Included by file.bpf.c
 * after its maps, which it writes to. */
#ifndef HOTSPAN_FILE_RETURN_H
#define HOTSPAN_FILE_RETURN_H

#include "file-call.h"
#include <linux/uio.h>

/* A vector of more elements than this is not added up. */
#define VECTOR_MAX 32

/* Adds the call to its operation's sums; true when it lasted long enough to be told. */
static __always_inline int sum_up(enum file_operation operation, duration_ns latency_ns, __s64 result) {
    struct file_settings *settings = settings_of();
    __u32 key = operation;
    struct latency_sums *sums = bpf_map_lookup_elem(&file_sums, &key);
    __u64 bytes = operation == FILE_READ || operation == FILE_WRITE ? (__u64)result : 0;

    if (sums)
        latency_sums_add(sums, latency_ns, bytes, result < 0);
    if (settings && latency_ns >= settings->min_latency_ns)
        return 1;
    file_count(DROP_BELOW_MIN);
    return 0;
}

static __always_inline void describe_inode(struct file_event *event, struct file *file) {
    struct inode *inode = BPF_CORE_READ(file, f_mapping, host);

    event->inode = BPF_CORE_READ(file, f_inode, i_ino);
    event->device = BPF_CORE_READ(file, f_inode, i_sb, s_dev);
    event->file_bytes = (byte_count)BPF_CORE_READ(inode, i_size);
    event->known |= FILE_HAS_INODE;
}

/* Fields that every operation has. */
static __always_inline void describe_call(struct file_event *event, enum file_operation operation) {
    event->requested_bytes = 0;
    event->file_bytes = 0;
    event->inode = 0;
    event->device = 0;
    event->open_flags = 0;
    event->open_mode = 0;
    event->known = 0;
    event->operation = operation;
    event->cgroup_id = bpf_get_current_cgroup_id();
    bpf_get_current_comm(event->comm, sizeof(event->comm));
}

/* A call that returned, and how. */
struct file_ended {
    const struct file_call_key *key;
    const struct file_return *end;
};

/* Kernel stack of the call: that of its entry, where it was kept. */
static __always_inline __u32 write_kernel_stack(void *ctx, void *to, const struct file_ended *ended) {
    __u32 bytes = ended->end->is_probe && keeps_entry_stacks ? file_kept_stack(ended->key, to) : 0;

    return bytes ? bytes : stack_kernel_below(ctx, to, (__u32)ended->end->own_frames);
}

/* The path and header.time_ns are in place: adds the stacks and hands the record over. */
static __always_inline void tell(void *ctx, struct file_event *event, __u64 path_bytes,
                                 const struct file_ended *ended) {
    struct stack_counts counts = {};
    __u32 kernel_bytes, user_bytes, size_bytes;
    ktime_ns now_ns;

    /* The verifier must see the bound on the very register that is added to the record's address. */
    asm volatile("" : "+r"(path_bytes));
    if (path_bytes > PATH_MAX_BYTES)
        path_bytes = 0;
    event->path_length = (__u16)path_bytes;
    kernel_bytes = write_kernel_stack(ctx, event->tail + path_bytes, ended);
    user_bytes = stack_user(ctx, event->tail + path_bytes + kernel_bytes, &counts);
    counts.kernel_depth = (__u16)(kernel_bytes / 8);
    STACK_TELL(event, &counts);
    event->reserved = 0;
    size_bytes = sizeof(*event) + (__u32)path_bytes + kernel_bytes + user_bytes;
    now_ns = event->header.time_ns;
    event_header_fill(&event->header, 0, size_bytes);
    event->header.time_ns = now_ns;
    file_emit(ctx, event, size_bytes);
}

/* The name as passed, into the record: what was read at the entry, unless that failed or was not all. The kernel has
 * read the name by now, so it is in memory. */
static __always_inline __u32 open_name(struct file_event *event, const struct file_open_call *call) {
    long length = call->name_bytes;

    if (length > 0 && length < FILE_ENTRY_NAME_BYTES) {
        __builtin_memcpy(event->tail, call->text, FILE_ENTRY_NAME_BYTES);
        return (__u32)length - 1;
    }
    length = bpf_probe_read_user_str(event->tail, PATH_MAX_BYTES, (const void *)call->name);
    if (length == PATH_MAX_BYTES)
        event->known |= FILE_PATH_IS_CUT;
    return length > 0 ? (__u32)length - 1 : 0;
}

static __always_inline int open_end(void *ctx, const struct file_return *end) {
    struct file_call_key key = {.pid_tgid = bpf_get_current_pid_tgid(), .operation = FILE_OPEN};
    struct file_open_call *call = file_call_of(&file_open_calls, &key, end->frame);
    ktime_ns now_ns;
    struct file_slot *slot;
    struct file_event *event;
    struct file *file;

    if (!call)
        return 0;
    now_ns = bpf_ktime_get_ns();
    if (!sum_up(FILE_OPEN, now_ns - call->head.start_ns, end->result))
        goto forget;
    slot = file_claim();
    if (!slot) {
        file_count(DROP_NESTED);
        goto forget;
    }
    event = (struct file_event *)slot->record;
    describe_call(event, FILE_OPEN);
    event->latency_ns = now_ns - call->head.start_ns;
    event->result = end->result;
    event->header.time_ns = now_ns;
    event->open_flags = call->flags;
    event->open_mode = call->mode;
    event->known = (__u16)call->known;
    file = end->result >= 0 ? file_of_fd((__u32)end->result) : NULL;
    if (file)
        describe_inode(event, file);
    tell(ctx, event, open_name(event, call), &(struct file_ended){.key = &key, .end = end});
    file_release(slot);
forget:
    file_call_end(&call->head, &key);
    return 0;
}

/* Sum of the lengths of a vector, 0 where it is too long or cannot be read. */
static __always_inline byte_count vector_bytes(const struct iovec *vector, __u32 length) {
    byte_count bytes = 0;

    if (length > VECTOR_MAX)
        return 0;
    for (__u32 i = 0; i < VECTOR_MAX; i++) {
        struct iovec part;

        if (i >= length)
            break;
        if (bpf_probe_read_user(&part, sizeof(part), &vector[i]))
            return 0;
        bytes += part.iov_len;
    }
    return bytes;
}

/* Another thread may have closed the descriptor meanwhile; what its struct file holds then is another's. Probes are
 * called with a reference held. */
static __always_inline int is_same_file(const struct file_call *call, struct file *file) {
    return call->fd < 0 || file_of_fd((__u32)call->fd) == file;
}

static __always_inline int transfer_end(void *ctx, enum file_operation operation, const struct file_return *end) {
    struct file_call_key key = {.pid_tgid = bpf_get_current_pid_tgid(), .operation = operation};
    struct file_call *call = file_call_of(&file_calls, &key, end->frame);
    struct task_struct *task = (struct task_struct *)bpf_get_current_task();
    ktime_ns now_ns;
    struct file_slot *slot;
    struct file_event *event;
    struct file *file;
    __u32 path_bytes = 0;

    if (!call)
        return 0;
    now_ns = bpf_ktime_get_ns();
    if (!sum_up(operation, now_ns - call->head.start_ns, end->result))
        goto forget;
    slot = file_claim();
    if (!slot) {
        file_count(DROP_NESTED);
        goto forget;
    }
    event = (struct file_event *)slot->record;
    describe_call(event, operation);
    event->latency_ns = now_ns - call->head.start_ns;
    event->result = end->result;
    event->header.time_ns = now_ns;
    event->requested_bytes = call->vector_length
                                 ? vector_bytes((const struct iovec *)call->requested, call->vector_length)
                                 : call->requested;
    file = (struct file *)call->file;
    if (is_same_file(call, file)) {
        describe_inode(event, file);
        path_bytes = path_of_file((struct path_room *)slot->work, file, task, event->tail);
        /* The walk marks a cut front by dots, where a whole path begins with a slash. */
        if (path_bytes && event->tail[0] == '.')
            event->known |= FILE_PATH_IS_CUT;
    }
    tell(ctx, event, path_bytes, &(struct file_ended){.key = &key, .end = end});
    file_release(slot);
forget:
    file_call_end(&call->head, &key);
    return 0;
}

#endif
