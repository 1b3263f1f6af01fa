/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Sums in two maps, so that one can be read in peace while the other one fills. Which one is written to, `epoch` of the
 * source's settings says; agent/sources/turning-sums.ts turns it. */
#ifndef HOTSPAN_TURNING_SUMS_H
#define HOTSPAN_TURNING_SUMS_H

#include "types.h"
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <stdbool.h>

/* Declares the maps NAME_a (epoch 0) and NAME_b (epoch 1) and two functions.
 * NAME_find: the sum of a key, NULL where there is none. NAME_begin: makes one; false where there is no room for
 * another key, or another CPU was first.
 * The maps are named in each call, and not chosen before it: else the verifier cannot put the look-up into the program
 * itself. */
#define TURNING_SUMS(NAME, KEY, VALUE, ENTRIES)                                                                        \
    struct NAME##_map {                                                                                                \
        __uint(type, BPF_MAP_TYPE_HASH);                                                                               \
        __uint(max_entries, ENTRIES);                                                                                  \
        __type(key, KEY);                                                                                              \
        __type(value, VALUE);                                                                                          \
    };                                                                                                                 \
    struct NAME##_map NAME##_a SEC(".maps");                                                                           \
    struct NAME##_map NAME##_b SEC(".maps");                                                                           \
                                                                                                                       \
    static __always_inline VALUE *NAME##_find(__u32 epoch, const KEY *key) {                                           \
        return epoch ? bpf_map_lookup_elem(&NAME##_b, key) : bpf_map_lookup_elem(&NAME##_a, key);                      \
    }                                                                                                                  \
                                                                                                                       \
    static __always_inline bool NAME##_begin(__u32 epoch, const KEY *key, const VALUE *fresh) {                        \
        if (epoch)                                                                                                     \
            return !bpf_map_update_elem(&NAME##_b, key, fresh, BPF_NOEXIST);                                           \
        return !bpf_map_update_elem(&NAME##_a, key, fresh, BPF_NOEXIST);                                               \
    }

#endif
