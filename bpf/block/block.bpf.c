// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* Source block: every request to a block device. Who asked is noted where the request comes into the queues, in the
 * context of who asks; when the device answers, in whatever context that is, the request is summed up and, if it lasted
 * long enough, told. */
#include "block.h"

#include "block-kernel.h"
#include "settings.h"

HOTSPAN_EVENTS(block)
HOTSPAN_SETTINGS(block)
#define STACK_TABLE_EVENTS block_events
#define STACK_TABLE_COUNT block_count
#define STACK_TABLE_KIND BLOCK_STACK
#include "stack-table.h"
#include "turning-sums.h"

/* Which argument of a tracepoint is the request, and which the bio: up to 5.10 the queue comes first, though not in all
 * of its stable versions for both. */
const volatile __u32 request_argument = 0;
const volatile __u32 bio_argument = 0;

/* Who asked for a request. */
struct block_asker {
    exact_u64 stack;
    exact_u64 cgroup_id;
    pid_nr pid;
    pid_nr tid;
    comm_text comm;
    char work[24];
    __u32 flags;
    __u32 reserved;
};

/* A request on its way. */
struct block_request {
    ktime_ns made_ns; /* request->start_time_ns, which tells a request from the next one at its address; 0: not known */
    ktime_ns start_ns;
    ktime_ns sent_ns;     /* to the device; 0: not yet */
    ktime_ns answered_ns; /* of a request that is followed by a flush; 0: not yet */
    byte_count size;
    __u64 sector;
    struct block_asker asker;
};

/* By address of the request. One that was merged into another never comes back; its entry stays until its address is
 * used again. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 8192);
    __type(key, __u64);
    __type(value, struct block_request);
} block_requests SEC(".maps");

/* By address of the bio: who asked for a flush or a write through the cache. The request comes into the queues after
 * other requests have come back, by a worker or in an interrupt. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 2048);
    __type(key, __u64);
    __type(value, struct block_asker);
} block_flush_askers SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_HASH);
    __uint(max_entries, 256);
    __type(key, struct block_sums_key);
    __type(value, struct latency_sums);
} block_sums SEC(".maps");

TURNING_SUMS(block_profile, struct block_profile_key, struct block_profile, 8192)

/* What new entries hold. Not on the stack, where the walk needs the room. */
static const struct block_request no_request;
static const struct block_asker no_asker;
static const struct latency_sums no_sums;

/* The argument as a number: 5.10 does not take a typed pointer as a part of a key. */
static __always_inline __u64 address_of_argument(__u64 *ctx, __u32 argument) {
    __u64 address = 0;

    bpf_probe_read_kernel(&address, sizeof(address), ctx + argument);
    return address;
}

/* A worker that writes back says so in what it is at: "flush-254:0". */
static __always_inline bool is_writeback(const char *work) {
    return work[0] == 'f' && work[1] == 'l' && work[2] == 'u' && work[3] == 's' && work[4] == 'h' && work[5] == '-';
}

/* The current thread asks. */
static __always_inline void note_asker(void *ctx, const struct block_settings *settings, struct block_asker *asker) {
    struct task_struct *task = (void *)bpf_get_current_task();
    __u64 pid_tgid = bpf_get_current_pid_tgid();
    __u32 task_flags = flags_of_task(task);
    struct user_regs regs;
    bool has_regs;

    asker->pid = (pid_nr)(pid_tgid >> 32);
    asker->tid = (pid_nr)pid_tgid;
    asker->cgroup_id = bpf_get_current_cgroup_id();
    bpf_get_current_comm(asker->comm, sizeof(asker->comm));
    asker->flags = task_flags & PF_KTHREAD ? BLOCK_FLAG_KERNEL : 0;
    asker->work[0] = 0;
    if (task_flags & PF_WQ_WORKER) {
        read_work(task, asker->work);
        if (is_writeback(asker->work))
            asker->flags |= BLOCK_FLAG_WRITEBACK;
    }
    asker->stack = 0;
    if (is_wanted(settings, asker->pid)) {
        has_regs = user_regs_now(&regs);
        asker->stack = stack_of(ctx, settings->stacks_per_second, has_regs ? &regs : NULL, STACK_ROLE_WAKES);
    }
    if (!asker->stack)
        asker->flags |= BLOCK_FLAG_NO_STACK;
}

/* Who asked for the request that is seen for the first time: of a flush whoever made the bio, else the current thread.
 * An interrupt asks for nothing itself. */
static __always_inline void find_asker(void *ctx, const struct block_settings *settings, const struct request *rq,
                                       struct block_asker *asker) {
    __u64 bio = (__u64)BPF_CORE_READ(rq, bio);
    struct block_asker *noted = bio ? bpf_map_lookup_elem(&block_flush_askers, &bio) : NULL;

    if (noted) {
        *asker = *noted;
        asker->flags |= BLOCK_FLAG_FLUSHES;
        bpf_map_delete_elem(&block_flush_askers, &bio);
    } else if (is_on_thread_stack(ctx)) {
        note_asker(ctx, settings, asker);
    }
}

/* The entry of a request that comes into the queues or leaves them for the device, made where there is none. */
static __always_inline struct block_request *request_of(void *ctx, const struct request *rq, __u64 address,
                                                        ktime_ns now) {
    struct block_request *request = bpf_map_lookup_elem(&block_requests, &address);
    const struct block_settings *settings = settings_now();
    ktime_ns made = rq->start_time_ns;

    if (!settings || (request && request->made_ns == made))
        return request;
    bpf_map_update_elem(&block_requests, &address, &no_request, BPF_ANY);
    request = bpf_map_lookup_elem(&block_requests, &address);
    if (!request)
        return NULL;
    request->made_ns = made;
    request->start_ns = made && made < now ? made : now;
    find_asker(ctx, settings, rq, &request->asker);
    return request;
}

static __always_inline int on_insert(__u64 *ctx, const struct request *rq) {
    request_of(ctx, rq, address_of_argument(ctx, request_argument), bpf_ktime_get_ns());
    return 0;
}

/* block_rq_insert(rq): into an elevator or a list of what waits for the device. */
SEC("tp_btf/block_rq_insert")
int block_insert(__u64 *ctx) {
    if (request_argument == 1)
        return on_insert(ctx, (void *)ctx[1]);
    return on_insert(ctx, (void *)ctx[0]);
}

static __always_inline int on_issue(__u64 *ctx, const struct request *rq) {
    ktime_ns now = bpf_ktime_get_ns();
    struct block_request *request = request_of(ctx, rq, address_of_argument(ctx, request_argument), now);

    if (!request)
        return 0;
    /* What was merged into it since it was inserted is in here. A driver that was busy is given it again. */
    request->size = rq->__data_len;
    request->sector = rq->__sector;
    request->sent_ns = now;
    return 0;
}

/* block_rq_issue(rq): to the driver. */
SEC("tp_btf/block_rq_issue")
int block_issue(__u64 *ctx) {
    if (request_argument == 1)
        return on_issue(ctx, (void *)ctx[1]);
    return on_issue(ctx, (void *)ctx[0]);
}

static __always_inline int on_bio(__u64 *ctx, const struct bio *bio) {
    const struct block_settings *settings = settings_now();
    struct block_asker *asker;
    __u64 address;

    if (!settings || !asks_for_flush(bio->bi_opf))
        return 0;
    address = address_of_argument(ctx, bio_argument);
    bpf_map_update_elem(&block_flush_askers, &address, &no_asker, BPF_ANY);
    asker = bpf_map_lookup_elem(&block_flush_askers, &address);
    if (asker)
        note_asker(ctx, settings, asker);
    return 0;
}

/* block_bio_queue(bio): a file system or a program asks. */
SEC("tp_btf/block_bio_queue")
int block_bio(__u64 *ctx) {
    if (bio_argument == 1)
        return on_bio(ctx, (void *)ctx[1]);
    return on_bio(ctx, (void *)ctx[0]);
}

static __always_inline enum block_operation operation_of(const struct request *rq) {
    __u32 operation = rq->cmd_flags & REQ_OP_MASK;

    if (operation == REQ_OP_READ)
        return BLOCK_READ;
    if (operation == REQ_OP_FLUSH)
        return BLOCK_FLUSH;
    if (operation == REQ_OP_DISCARD)
        return BLOCK_DISCARD;
    return operation & 1 && operation < REQ_OP_DRIVERS ? BLOCK_WRITE : BLOCK_OTHER;
}

/* A request that is done, as it is told. */
struct done {
    enum block_operation operation;
    __u32 device;
    __s32 error;
    __u32 reserved;
    duration_ns latency;
    duration_ns device_ns;
    byte_count size;
};

static __always_inline void sum_up(const struct done *done) {
    struct block_sums_key key = {.device = done->device, .operation = done->operation};
    struct latency_sums *sums = bpf_map_lookup_elem(&block_sums, &key);

    if (!sums) {
        bpf_map_update_elem(&block_sums, &key, &no_sums, BPF_NOEXIST);
        sums = bpf_map_lookup_elem(&block_sums, &key);
    }
    if (sums)
        latency_sums_add(sums, done->latency, done->size, done->error != 0);
    else
        block_count(DROP_INFLIGHT_FULL);
}

static __always_inline void add_to_profile(const struct block_settings *settings, const struct block_asker *asker,
                                           const struct done *done) {
    struct block_profile_key key = {.stack = asker->stack, .pid = asker->pid, .tid = asker->tid};
    struct block_profile fresh = {
        .queue_ns = done->latency - done->device_ns, .device_ns = done->device_ns, .count = 1};
    struct block_profile *sum;

    key.operation = done->operation;
    key.flags = asker->flags & (BLOCK_FLAG_WRITEBACK | BLOCK_FLAG_FLUSHES);
    __builtin_memcpy(key.comm, asker->comm, sizeof(key.comm));
    sum = block_profile_find(settings->epoch, &key);
    if (!sum && !block_profile_begin(settings->epoch, &key, &fresh)) {
        /* Another CPU may have been first. */
        sum = block_profile_find(settings->epoch, &key);
        if (!sum)
            block_count(DROP_INFLIGHT_FULL);
    }
    if (!sum)
        return;
    /* The answers to one thread's requests come on any CPU. */
    __sync_fetch_and_add(&sum->queue_ns, fresh.queue_ns);
    __sync_fetch_and_add(&sum->device_ns, fresh.device_ns);
    __sync_fetch_and_add(&sum->count, 1);
}

static __always_inline void tell(void *ctx, const struct request *rq, const struct block_request *request,
                                 const struct done *done) {
    struct block_request_event event = {};

    event_header_fill(&event.header, BLOCK_REQUEST, sizeof(event));
    event.header.pid = request->asker.pid;
    event.header.tid = request->asker.tid;
    event.latency_ns = done->latency;
    event.device_ns = done->device_ns;
    event.size = done->size;
    event.sector = request->sector;
    event.stack = request->asker.stack;
    event.cgroup_id = request->asker.cgroup_id;
    event.operation = done->operation;
    event.error = done->error;
    event.device = done->device;
    event.flags = request->asker.flags | (request->sent_ns ? 0 : BLOCK_FLAG_NOT_SENT);
    __builtin_memcpy(event.comm, request->asker.comm, sizeof(event.comm));
    __builtin_memcpy(event.work, request->asker.work, sizeof(event.work));
    bpf_probe_read_kernel_str(event.device_name, sizeof(event.device_name), &disk_of((void *)rq)->disk_name);
    block_emit(ctx, &event, sizeof(event));
}

/* What is known of the request goes into sums and, where it was slow, to the agent. */
static __always_inline void on_done(void *ctx, const struct request *rq, struct block_request *request, __s32 error) {
    const struct block_settings *settings = settings_now();
    struct gendisk *disk = disk_of((void *)rq);
    ktime_ns now = bpf_ktime_get_ns();
    struct done done = {.operation = operation_of(rq), .error = error, .size = rq->__data_len};
    /* By a helper: a load that is of a map's value or of the kernel's memory, as it comes, is refused. */
    ktime_ns start = request ? request->start_ns : BPF_CORE_READ(rq, start_time_ns);

    done.device = (__u32)BPF_CORE_READ(disk, major) << 20 | (__u32)BPF_CORE_READ(disk, first_minor);
    done.latency = start && start < now ? now - start : 0;
    if (request && request->sent_ns) {
        done.size = request->size;
        done.device_ns = (request->answered_ns ? request->answered_ns : now) - request->sent_ns;
    }
    sum_up(&done);
    block_count(DROP_SEEN);
    if (!request || !settings) {
        block_count(DROP_NO_ENTRY);
        return;
    }
    if (!is_wanted(settings, request->asker.pid)) {
        block_count(DROP_FILTERED);
        return;
    }
    add_to_profile(settings, &request->asker, &done);
    if (done.latency < settings->min_latency_ns)
        block_count(DROP_BELOW_MIN);
    else
        tell(ctx, rq, request, &done);
}

/* A request for a flush and nothing else comes back without having been given to the device, which gets a flush for all
 * who wait. NULL for any other that is not known. */
static __always_inline struct block_request *flush_without_data(const struct request *rq, __u64 address) {
    __u64 bio = (__u64)BPF_CORE_READ(rq, bio);
    struct block_asker *asker = bio ? bpf_map_lookup_elem(&block_flush_askers, &bio) : NULL;
    struct block_request *request;

    if (!asker)
        return NULL;
    bpf_map_update_elem(&block_requests, &address, &no_request, BPF_ANY);
    request = bpf_map_lookup_elem(&block_requests, &address);
    if (!request)
        return NULL;
    request->made_ns = rq->start_time_ns;
    request->start_ns = request->made_ns;
    request->asker = *asker;
    request->asker.flags |= BLOCK_FLAG_FLUSHES;
    bpf_map_delete_elem(&block_flush_askers, &bio);
    return request;
}

/* block_rq_complete(rq, error, bytes): the device has done a part of it, or all. */
SEC("tp_btf/block_rq_complete")
int block_complete(__u64 *ctx) {
    const struct request *rq = (void *)ctx[0];
    __s32 error = (__s32)ctx[1];
    struct block_request *request;
    __u64 address = 0;

    bpf_probe_read_kernel(&address, sizeof(address), ctx);
    request = bpf_map_lookup_elem(&block_requests, &address);
    if (!request || request->made_ns != rq->start_time_ns)
        request = flush_without_data(rq, address);
    if (is_in_flush_sequence(rq) && (rq->cmd_flags & REQ_OP_MASK) != REQ_OP_FLUSH) {
        if (request)
            request->answered_ns = bpf_ktime_get_ns();
        return 0;
    }
    if ((__u32)ctx[2] < rq->__data_len)
        return 0;
    on_done(ctx, rq, request, error);
    bpf_map_delete_elem(&block_requests, &address);
    return 0;
}
