/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* What a call of futex(address, operation, value, ...) waits for, told from its arguments (include/uapi/linux/futex.h).
 */
#ifndef HOTSPAN_FUTEX_H
#define HOTSPAN_FUTEX_H

#include "types.h"

#define FUTEX_CMD_MASK 0x7f /* without FUTEX_PRIVATE_FLAG and FUTEX_CLOCK_REALTIME */
#define FUTEX_WAIT 0
#define FUTEX_LOCK_PI 6
#define FUTEX_WAIT_BITSET 9
#define FUTEX_LOCK_PI2 13

/* What a lock that is taken and waited for holds: 2 in glibc, musl, Rust and Go, 3 in a reader-writer lock of glibc. */
#define FUTEX_WORD_CONTENDED 2
#define FUTEX_WORD_CONTENDED_WRITER 3

/* Else a condition variable, a semaphore, a barrier, the end of a thread, or a worker without work. */
static __always_inline int futex_waits_for_lock(__u32 operation, __u32 expected) {
    __u32 command = operation & FUTEX_CMD_MASK;

    if (command == FUTEX_LOCK_PI || command == FUTEX_LOCK_PI2)
        return 1;
    return (command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET) &&
           (expected == FUTEX_WORD_CONTENDED || expected == FUTEX_WORD_CONTENDED_WRITER);
}

#endif
