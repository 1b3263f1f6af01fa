// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* Source file: open, read, write and fsync, from entry to return. The same calls are seen by fentry/fexit, by
 * kprobe/kretprobe or by the tracepoints of the system calls; what each way knows is brought into one form here. Each
 * program is small before the point where a call turns out to be wanted, and most calls are not. */
#include "file.h"

#include "entry-stack.h"
#include "frame.h"
#include "kernel.h"
#include "path.h"
#include "scratch.h"
#include "stack.h"
#include "syscall.h"
#include <linux/openat2.h>
#include <linux/ptrace.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

HOTSPAN_EVENTS(file)
HOTSPAN_SCRATCH(file, struct file_event, PATH_MAX_BYTES + STACK_ROOM_BYTES, sizeof(struct path_room))

#include "file-call.h"

HOTSPAN_ENTRY_STACKS(file, struct file_call_key)

/* The agent's own process, which must not feed itself. */
const volatile pid_nr own_pid = 0;

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct file_settings);
} file_settings SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, FILE_OPERATION_MAX);
    __type(key, __u32);
    __type(value, struct latency_sums);
} file_sums SEC(".maps");

#define MODE_TYPE 0170000
#define MODE_REGULAR 0100000
#define MODE_BLOCK 0060000

static __always_inline int is_storage(__u32 mode) {
    return (mode & MODE_TYPE) == MODE_REGULAR || (mode & MODE_TYPE) == MODE_BLOCK;
}

static __always_inline struct file_settings *settings_of(void) {
    __u32 key = 0;

    return bpf_map_lookup_elem(&file_settings, &key);
}

/* Counts the call and says whether its process is wanted. */
static __always_inline int is_wanted(__u64 pid_tgid) {
    struct file_settings *settings = settings_of();
    pid_nr pid = (pid_nr)(pid_tgid >> 32);

    file_count(DROP_SEEN);
    if (settings && pid != own_pid && (!settings->pid || settings->pid == pid))
        return 1;
    file_count(DROP_FILTERED);
    return 0;
}

/* The current thread's table of descriptors: their count and the array. By typed loads where the kernel has them
 * (5.11), which cost a tenth of the helper's. */
static __always_inline struct file **descriptors(__u32 *count) {
    struct fdtable *table;

    if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_current_task_btf)) {
        table = bpf_get_current_task_btf()->files->fdt;
        *count = table->max_fds;
        return table->fd;
    }
    table = BPF_CORE_READ((struct task_struct *)bpf_get_current_task(), files, fdt);
    *count = BPF_CORE_READ(table, max_fds);
    return BPF_CORE_READ(table, fd);
}

/* NULL where the descriptor is not open. */
static __always_inline struct file *file_of_fd(__u32 fd) {
    struct file *file = NULL;
    __u32 count = 0;
    struct file **files = descriptors(&count);

    if (fd >= count)
        return NULL;
    bpf_probe_read_kernel(&file, sizeof(file), files + fd);
    return file;
}

#include "file-return.h"

/* ---- Entries. What they return says where the call is remembered. */

/* A call that is not: filtered, or there was no room. */
#define NOT_KEPT (-1)

/* `nesting`: as the entry returned it. */
static __always_inline void keep_stack(void *ctx, enum file_operation operation, int nesting) {
    struct file_call_key key = {.pid_tgid = bpf_get_current_pid_tgid(), .operation = operation};

    if (!keeps_entry_stacks || nesting == NOT_KEPT)
        return;
    key.nesting = (__u32)nesting;
    file_keep_stack(ctx, &key);
}

static __always_inline int open_begin(code_addr frame, const char *name, const struct open_how *how, __u32 known) {
    struct file_call_key key = {.pid_tgid = bpf_get_current_pid_tgid(), .operation = FILE_OPEN};
    struct file_open_call *call;
    long length;

    if (!is_wanted(key.pid_tgid))
        return NOT_KEPT;
    call = file_call_begin(&file_open_calls, &key, frame);
    if (!call)
        return NOT_KEPT;
    call->name = (__u64)name;
    call->flags = (__u32)how->flags;
    call->mode = (__u32)how->mode;
    call->known = known;
    length = bpf_probe_read_user_str(call->text, sizeof(call->text), name);
    call->name_bytes = length > 0 ? (__u32)length : 0;
    call->head.start_ns = bpf_ktime_get_ns();
    return (int)key.nesting;
}

/* What is known of a read, write or sync at its entry. */
struct transfer {
    __u64 file;
    __u64 requested;
    __u32 vector_length;
    __s32 fd;
};

/* For a file whose type was found to be wanted, in a process that is wanted. */
static __always_inline int transfer_begin(enum file_operation operation, __u64 pid_tgid, code_addr frame,
                                          const struct transfer *transfer) {
    struct file_call_key key = {.pid_tgid = pid_tgid, .operation = operation};
    struct file_call *call = file_call_begin(&file_calls, &key, frame);

    if (!call)
        return NOT_KEPT;
    call->file = transfer->file;
    call->requested = transfer->requested;
    call->vector_length = transfer->vector_length;
    call->fd = transfer->fd;
    call->head.start_ns = bpf_ktime_get_ns();
    return (int)key.nesting;
}

static __always_inline int probe_begin(enum file_operation operation, code_addr frame, __u32 mode,
                                       struct transfer *transfer) {
    __u64 pid_tgid = bpf_get_current_pid_tgid();

    if (!is_wanted(pid_tgid))
        return NOT_KEPT;
    if (!is_storage(mode)) {
        file_count(DROP_FILTERED);
        return NOT_KEPT;
    }
    transfer->fd = -1;
    return transfer_begin(operation, pid_tgid, frame, transfer);
}

static __always_inline int syscall_begin(enum file_operation operation, code_addr frame, struct transfer *transfer) {
    __u64 pid_tgid = bpf_get_current_pid_tgid();
    struct file *file;

    if (!is_wanted(pid_tgid))
        return NOT_KEPT;
    file = file_of_fd((__u32)transfer->fd);
    if (!file || !is_storage(BPF_CORE_READ(file, f_inode, i_mode))) {
        file_count(DROP_FILTERED);
        return NOT_KEPT;
    }
    transfer->file = (__u64)file;
    return transfer_begin(operation, pid_tgid, frame, transfer);
}

/* ---- What the programs of each way know of a return. */

#define RETURN_BY_TRACING(ctx, value)                                                                                  \
    &((struct file_return){.frame = frame_of_context(ctx), .result = (value), .own_frames = STACK_TRACING_FRAMES})
#define RETURN_BY_PROBE(ctx, value) &((struct file_return){.frame = PT_REGS_SP(ctx), .result = (value), .is_probe = 1})
#define RETURN_BY_SYSCALL(value) &((struct file_return){.result = (value)})

/* ---- Programs: fentry/fexit. */

static __always_inline __u32 mode_of(struct file *file) {
    return file->f_inode->i_mode;
}

SEC("fentry/do_sys_openat2")
int open_fentry(__u64 *ctx) {
    struct open_how how = {};

    bpf_probe_read_kernel(&how, sizeof(how), (const void *)ctx[2]);
    open_begin(frame_of_context(ctx), (const char *)ctx[1], &how, FILE_HAS_FLAGS);
    return 0;
}

SEC("fexit/do_sys_openat2")
int open_fexit(__u64 *ctx) {
    return open_end(ctx, RETURN_BY_TRACING(ctx, (__s32)ctx[3]));
}

SEC("kprobe/do_sys_openat2")
int open_kprobe(struct pt_regs *ctx) {
    struct open_how how = {};

    bpf_probe_read_kernel(&how, sizeof(how), (const void *)PT_REGS_PARM3(ctx));
    keep_stack(ctx, FILE_OPEN, open_begin(PT_REGS_SP(ctx), (const char *)PT_REGS_PARM2(ctx), &how, FILE_HAS_FLAGS));
    return 0;
}

SEC("kretprobe/do_sys_openat2")
int open_kretprobe(struct pt_regs *ctx) {
    return open_end(ctx, RETURN_BY_PROBE(ctx, (__s32)PT_REGS_RC(ctx)));
}

/* The four functions of one kernel function that reads or writes. Both take the file first; the second and third are a
 * buffer and its size, or a vector and its length. */
#define TRANSFER_PROBES(name, function, operation, is_vector)                                                          \
    SEC("fentry/" #function)                                                                                           \
    int name##_fentry(__u64 *ctx) {                                                                                    \
        struct transfer transfer = {                                                                                   \
            .file = ctx[0], .requested = ctx[(is_vector) ? 1 : 2], .vector_length = (is_vector) ? (__u32)ctx[2] : 0};  \
        probe_begin(operation, frame_of_context(ctx), mode_of((struct file *)ctx[0]), &transfer);                      \
        return 0;                                                                                                      \
    }                                                                                                                  \
    SEC("fexit/" #function)                                                                                            \
    int name##_fexit(__u64 *ctx) {                                                                                     \
        if (!is_storage(mode_of((struct file *)ctx[0])))                                                               \
            return 0;                                                                                                  \
        return transfer_end(ctx, operation, RETURN_BY_TRACING(ctx, (__s64)ctx[(is_vector) ? 5 : 4]));                  \
    }                                                                                                                  \
    SEC("kprobe/" #function)                                                                                           \
    int name##_kprobe(struct pt_regs *ctx) {                                                                           \
        struct file *file = (struct file *)PT_REGS_PARM1(ctx);                                                         \
        struct transfer transfer = {.file = (__u64)file,                                                               \
                                    .requested = (is_vector) ? PT_REGS_PARM2(ctx) : PT_REGS_PARM3(ctx),                \
                                    .vector_length = (is_vector) ? (__u32)PT_REGS_PARM3(ctx) : 0};                     \
        __u32 mode = BPF_CORE_READ(file, f_inode, i_mode);                                                             \
        keep_stack(ctx, operation, probe_begin(operation, PT_REGS_SP(ctx), mode, &transfer));                          \
        return 0;                                                                                                      \
    }                                                                                                                  \
    SEC("kretprobe/" #function)                                                                                        \
    int name##_kretprobe(struct pt_regs *ctx) {                                                                        \
        return transfer_end(ctx, operation, RETURN_BY_PROBE(ctx, (__s64)PT_REGS_RC(ctx)));                             \
    }

TRANSFER_PROBES(read, vfs_read, FILE_READ, 0)
TRANSFER_PROBES(readv, vfs_readv, FILE_READ, 1)
TRANSFER_PROBES(write, vfs_write, FILE_WRITE, 0)
TRANSFER_PROBES(writev, vfs_writev, FILE_WRITE, 1)

/* Syncs are seen twice over: as the system calls, because compilers inline vfs_fsync_range into one of them and not
 * into the other, and as that function, for what has no such call: msync, and writes of files opened with O_SYNC. A
 * call of it inside one of the system calls is no other sync. */
static __always_inline int is_in_sync_call(void) {
    struct file_call_key key = {.pid_tgid = bpf_get_current_pid_tgid(), .operation = FILE_FSYNC};
    struct file_call *call = file_entry_of(&file_calls, &key);

    return call && call->head.start_ns && call->fd >= 0;
}

SEC("fentry/vfs_fsync_range")
int fsync_fentry(__u64 *ctx) {
    struct transfer transfer = {.file = ctx[0]};

    if (!is_in_sync_call())
        probe_begin(FILE_FSYNC, frame_of_context(ctx), mode_of((struct file *)ctx[0]), &transfer);
    return 0;
}

SEC("fexit/vfs_fsync_range")
int fsync_fexit(__u64 *ctx) {
    if (!is_storage(mode_of((struct file *)ctx[0])))
        return 0;
    return transfer_end(ctx, FILE_FSYNC, RETURN_BY_TRACING(ctx, (__s32)ctx[4]));
}

SEC("kprobe/vfs_fsync_range")
int fsync_kprobe(struct pt_regs *ctx) {
    struct file *file = (struct file *)PT_REGS_PARM1(ctx);
    struct transfer transfer = {.file = (__u64)file};
    __u32 mode = BPF_CORE_READ(file, f_inode, i_mode);

    if (!is_in_sync_call())
        keep_stack(ctx, FILE_FSYNC, probe_begin(FILE_FSYNC, PT_REGS_SP(ctx), mode, &transfer));
    return 0;
}

SEC("kretprobe/vfs_fsync_range")
int fsync_kretprobe(struct pt_regs *ctx) {
    return transfer_end(ctx, FILE_FSYNC, RETURN_BY_PROBE(ctx, (__s32)PT_REGS_RC(ctx)));
}

/* The function of a system call has the program's registers as its only argument. */
static __always_inline int sync_call_begin(code_addr frame, struct pt_regs *registers) {
    struct transfer transfer = {};
    __u64 fd = 0;

    bpf_probe_read_kernel(&fd, sizeof(fd), &PT_REGS_PARM1(registers));
    transfer.fd = (__s32)fd;
    return syscall_begin(FILE_FSYNC, frame, &transfer);
}

#if defined(__TARGET_ARCH_arm64)
#define SYSCALL_FUNCTION "__arm64_sys_"
#else
#define SYSCALL_FUNCTION "__x64_sys_"
#endif

#define SYNC_CALL_PROBES(name, call)                                                                                   \
    SEC("fentry/" SYSCALL_FUNCTION #call)                                                                              \
    int name##_fentry(__u64 *ctx) {                                                                                    \
        sync_call_begin(frame_of_context(ctx), (struct pt_regs *)ctx[0]);                                              \
        return 0;                                                                                                      \
    }                                                                                                                  \
    SEC("fexit/" SYSCALL_FUNCTION #call)                                                                               \
    int name##_fexit(__u64 *ctx) {                                                                                     \
        return transfer_end(ctx, FILE_FSYNC, RETURN_BY_TRACING(ctx, (__s64)ctx[1]));                                   \
    }

SYNC_CALL_PROBES(fsyncs, fsync)
SYNC_CALL_PROBES(fdatasyncs, fdatasync)

SEC("kprobe")
int fsyncs_kprobe(struct pt_regs *ctx) {
    keep_stack(ctx, FILE_FSYNC, sync_call_begin(PT_REGS_SP(ctx), (struct pt_regs *)PT_REGS_PARM1(ctx)));
    return 0;
}

SEC("kretprobe")
int fsyncs_kretprobe(struct pt_regs *ctx) {
    return transfer_end(ctx, FILE_FSYNC, RETURN_BY_PROBE(ctx, (__s64)PT_REGS_RC(ctx)));
}

/* ---- Programs: tracepoints of system calls. */

SEC("tracepoint/syscalls/sys_enter_open")
int open_enter(struct syscall_enter *ctx) {
    struct open_how how = {.flags = ctx->args[1], .mode = ctx->args[2]};

    open_begin(0, (const char *)ctx->args[0], &how, FILE_HAS_FLAGS);
    return 0;
}

SEC("tracepoint/syscalls/sys_enter_openat")
int openat_enter(struct syscall_enter *ctx) {
    struct open_how how = {.flags = ctx->args[2], .mode = ctx->args[3]};

    open_begin(0, (const char *)ctx->args[1], &how, FILE_HAS_FLAGS);
    return 0;
}

SEC("tracepoint/syscalls/sys_enter_openat2")
int openat2_enter(struct syscall_enter *ctx) {
    struct open_how how = {};
    long err = bpf_probe_read_user(&how, sizeof(how), (const void *)ctx->args[2]);

    open_begin(0, (const char *)ctx->args[1], &how, err ? 0 : FILE_HAS_FLAGS);
    return 0;
}

/* creat() is open() with O_CREAT, O_WRONLY and O_TRUNC. */
SEC("tracepoint/syscalls/sys_enter_creat")
int creat_enter(struct syscall_enter *ctx) {
    struct open_how how = {.flags = 01000 | 0100 | 01, .mode = ctx->args[1]};

    open_begin(0, (const char *)ctx->args[0], &how, FILE_HAS_FLAGS);
    return 0;
}

SEC("tracepoint/syscalls/sys_exit_open")
int open_exit(struct syscall_exit *ctx) {
    return open_end(ctx, RETURN_BY_SYSCALL(ctx->result));
}

/* read, pread64, write and pwrite64 have (fd, buffer, size) in common, the vector calls (fd, vector, length). */
#define TRANSFER_TRACEPOINTS(name, operation)                                                                          \
    SEC("tracepoint/syscalls/sys_enter_" #name)                                                                        \
    int name##_enter(struct syscall_enter *ctx) {                                                                      \
        struct transfer transfer = {.fd = (__s32)ctx->args[0], .requested = ctx->args[2]};                             \
        syscall_begin(operation, 0, &transfer);                                                                        \
        return 0;                                                                                                      \
    }                                                                                                                  \
    SEC("tracepoint/syscalls/sys_enter_" #name "v")                                                                    \
    int name##v_enter(struct syscall_enter *ctx) {                                                                     \
        struct transfer transfer = {                                                                                   \
            .fd = (__s32)ctx->args[0], .requested = ctx->args[1], .vector_length = (__u32)ctx->args[2]};               \
        syscall_begin(operation, 0, &transfer);                                                                        \
        return 0;                                                                                                      \
    }                                                                                                                  \
    SEC("tracepoint/syscalls/sys_exit_" #name)                                                                         \
    int name##_exit(struct syscall_exit *ctx) {                                                                        \
        return transfer_end(ctx, operation, RETURN_BY_SYSCALL(ctx->result));                                           \
    }

TRANSFER_TRACEPOINTS(read, FILE_READ)
TRANSFER_TRACEPOINTS(write, FILE_WRITE)

SEC("tracepoint/syscalls/sys_enter_fsync")
int fsync_enter(struct syscall_enter *ctx) {
    struct transfer transfer = {.fd = (__s32)ctx->args[0]};

    syscall_begin(FILE_FSYNC, 0, &transfer);
    return 0;
}

SEC("tracepoint/syscalls/sys_exit_fsync")
int fsync_exit(struct syscall_exit *ctx) {
    return transfer_end(ctx, FILE_FSYNC, RETURN_BY_SYSCALL(ctx->result));
}

/* ---- A thread ends. */

SEC("raw_tp/sched_process_exit")
int file_thread_end(void *ctx) {
    (void)ctx;
    file_calls_forget(&file_open_calls, FILE_OPEN);
    file_calls_forget(&file_calls, FILE_READ);
    file_calls_forget(&file_calls, FILE_WRITE);
    file_calls_forget(&file_calls, FILE_FSYNC);
    return 0;
}
