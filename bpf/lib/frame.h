/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* The context of a tracing program (fentry, fexit) as a number: an address on the thread's kernel stack, the same at a
 * call's entry and return, and lower for a call inside it. */
#ifndef HOTSPAN_FRAME_H
#define HOTSPAN_FRAME_H

#include "types.h"
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* The verifier allows no arithmetic on a context's address; read back by a helper it is a number like any other. */
static __always_inline code_addr frame_of_context(void *ctx) {
    code_addr frame = 0;

    bpf_probe_read_kernel(&frame, sizeof(frame), &ctx);
    return frame;
}

#endif
