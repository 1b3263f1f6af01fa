/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* The sums of faults and of resident memory. Included by fault.bpf.c after its events and settings. */
#ifndef HOTSPAN_FAULT_SUMS_H
#define HOTSPAN_FAULT_SUMS_H

#include "fault.h"

#include "turning-sums.h"

TURNING_SUMS(fault_sums, struct fault_sum_key, struct fault_sum, 16384)

/* The sum of a key, made where there is none; NULL where there is no room. */
static __noinline struct fault_sum *sum_of(const struct fault_settings *settings, struct fault_sum_key *key) {
    struct fault_sum fresh = {}, *sum = fault_sums_find(settings->epoch, key);

    if (sum)
        return sum;
    if ((pid_nr)(bpf_get_current_pid_tgid() >> 32) == key->pid)
        bpf_get_current_comm(fresh.comm, sizeof(fresh.comm));
    fault_sums_begin(settings->epoch, key, &fresh);
    return fault_sums_find(settings->epoch, key);
}

/* Adds to the sum of a key; where its stack has no room, to what has none. Several CPUs may do so at once. */
static __noinline int add_sum(const struct fault_settings *settings, struct fault_sum_key *key, __s64 value) {
    struct fault_sum *sum;

    if (!value)
        return 0;
    sum = sum_of(settings, key);
    if (!sum && key->stack) {
        key->stack = 0;
        sum = sum_of(settings, key);
    }
    if (!sum) {
        fault_count(DROP_INFLIGHT_FULL);
        return 0;
    }
    __sync_fetch_and_add(&sum->value, value);
    return 1;
}

#endif
