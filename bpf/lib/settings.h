/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* What people set of a source while it runs, and whom it tells of. */
#ifndef HOTSPAN_SETTINGS_H
#define HOTSPAN_SETTINGS_H

#include "types.h"
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <stdbool.h>

/* Declares the map <source>_settings, written by user space, and
 * own_pid: the agent's own process, which must not feed itself;
 * settings_now: the settings, NULL before they are there;
 * is_wanted: whether the process is to be told of. */
#define HOTSPAN_SETTINGS(source)                                                                                       \
    const volatile pid_nr own_pid = 0;                                                                                 \
    struct {                                                                                                           \
        __uint(type, BPF_MAP_TYPE_ARRAY);                                                                              \
        __uint(max_entries, 1);                                                                                        \
        __type(key, __u32);                                                                                            \
        __type(value, struct source##_settings);                                                                       \
    } source##_settings SEC(".maps");                                                                                  \
    static __always_inline const struct source##_settings *settings_now(void) {                                        \
        __u32 key = 0;                                                                                                 \
                                                                                                                       \
        return bpf_map_lookup_elem(&source##_settings, &key);                                                          \
    }                                                                                                                  \
    static __always_inline bool is_wanted(const struct source##_settings *settings, pid_nr pid) {                      \
        return pid != own_pid && (!settings->pid || pid == settings->pid);                                             \
    }

#endif
