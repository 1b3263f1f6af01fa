/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Sums of an operation's calls, kept in the kernel for all calls, those too fast to be told one by one included. */
#ifndef HOTSPAN_SUMS_H
#define HOTSPAN_SUMS_H

#include "types.h"

/* Bucket i counts latencies in [2^i, 2^(i+1)) ns; 2^39 ns are nine minutes, and the last bucket takes what is longer.
 */
#define LATENCY_BUCKETS 40

/* What is summed. A source's header declares its struct <source>_sums by this, so that its reader is generated. */
#define LATENCY_SUMS_FIELDS                                                                                            \
    event_count calls;                                                                                                 \
    event_count errors;                                                                                                \
    byte_count bytes;                                                                                                  \
    duration_ns total_ns;                                                                                              \
    event_count buckets[LATENCY_BUCKETS];

/* One operation on one CPU: the value of every sums map. */
struct latency_sums {
    LATENCY_SUMS_FIELDS
};

#ifdef __bpf__
/* Position of the highest bit that is set; 0 for 0. BPF has no instruction for it. */
static __always_inline __u32 log2_of(__u64 value) {
    __u32 high = (__u32)(value >> 32);
    __u32 bits = high ? high : (__u32)value;
    __u32 result = high ? 32 : 0;
    __u32 step;

    step = (bits > 0xffff) << 4;
    bits >>= step;
    result |= step;
    step = (bits > 0xff) << 3;
    bits >>= step;
    result |= step;
    step = (bits > 0xf) << 2;
    bits >>= step;
    result |= step;
    step = (bits > 0x3) << 1;
    bits >>= step;
    result |= step;
    return result | (bits >> 1);
}

static __always_inline void latency_sums_add(struct latency_sums *sums, duration_ns latency, __u64 bytes,
                                             int is_error) {
    __u64 bucket = log2_of(latency);

    sums->calls += 1;
    sums->total_ns += latency;
    if (is_error)
        sums->errors += 1;
    else
        sums->bytes += bytes;
    /* Verifiers up to 6.1 must see the bound on the very register that becomes the index. */
    asm volatile("" : "+r"(bucket));
    if (bucket >= LATENCY_BUCKETS)
        bucket = LATENCY_BUCKETS - 1;
    sums->buckets[bucket] += 1;
}
#endif /* __bpf__ */

#endif
