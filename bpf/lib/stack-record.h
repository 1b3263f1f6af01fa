/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* The record that tells of a stack by its number (stack-table.h). */
#ifndef HOTSPAN_STACK_RECORD_H
#define HOTSPAN_STACK_RECORD_H

#include "event.h"
#include "unwind-table.h"

/* A source's header declares its struct <source>_stack_event by this, so that its decoder is generated. */
#define STACK_RECORD_FIELDS                                                                                            \
    struct event_header header;                                                                                        \
    exact_u64 stack;                                                                                                   \
    __u16 kernel_depth;                                                                                                \
    __u16 user_depth;                                                                                                  \
    __u16 user_raw_bytes; /* struct unwind_resume and the copy of the stack; 0 where there is none */                  \
    __u16 reserved;                                                                                                    \
    enum unwind_end user_end;                                                                                          \
    __u32 reserved2;                                                                                                   \
    __u8 tail[];

struct stack_record {
    STACK_RECORD_FIELDS
};

#endif
