/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Unwind tables as the programs read them: made by native/src/unwind from .eh_frame, .debug_frame or Go's pclntab, read
 * by unwind.h in BPF, and by the same unwind.h in user space. The one home of the layout.
 *
 * All of it lies in blocks. A block is the value of a one-entry array map; the outer map unwind_blocks has them by
 * number. A place is (block << 16 | offset / UNWIND_UNIT) in a u32. What is published never changes until nothing
 * refers to it and a grace period has passed, so that readers need no lock, in an NMI either.
 *
 *   unwind_processes: pid -> struct unwind_process -> its unwind_mapping[], by start, in one block
 *   unwind_mapping -> the file's unwind_page[] (one per 64 KiB of ELF addresses), in one block
 *   unwind_page -> rules, lows and indexes of that page, in one block:
 *     __u32 rules[rule_count]; __u16 lows[row_count]; then per row the number of its rule: __u8, or __u16 (aligned to
 * 2) where the page has UNWIND_PAGE_WIDE. Row i holds for ELF addresses (page << 16) + [lows[i], lows[i + 1]). lows[0]
 * is 0 where row_count is not 0. */
#ifndef HOTSPAN_UNWIND_TABLE_H
#define HOTSPAN_UNWIND_TABLE_H

#include "types.h"

/* 256 KiB: more than the densest possible page needs, small enough that the cap is used in fine steps. */
#define UNWIND_BLOCK_BYTES (1 << 18)
/* Everything in a block begins at a multiple of 8 bytes. */
#define UNWIND_UNIT 8
#define UNWIND_MAX_BLOCKS 1024
#define UNWIND_PAGE_SHIFT 16
/* Of one process. More executable mappings than that are not unwound through, and said so. */
#define UNWIND_MAX_MAPPINGS 4096
#define UNWIND_MAX_FRAMES 1024

/* Value of unwind_processes. One word, so that a reader never sees half of a change: list is
 * block << 48 | offset / UNWIND_UNIT << 32 | count. */
struct unwind_process {
    __u64 list;
};

enum unwind_mapping_kind {
    UNWIND_MAPPING_TABLE = 0,     /* table and page_count hold */
    UNWIND_MAPPING_FRAME_POINTER, /* no table exists: frame pointers (Go without tables, files without call frame
                                     information) */
    UNWIND_MAPPING_JIT,           /* code in no file: frame pointers */
    UNWIND_MAPPING_PENDING,       /* its table is being made */
    UNWIND_MAPPING_NO_ROOM,       /* its table was evicted or found no room under the cap */
};

/* An executable mapping of a process. 32 bytes. */
struct unwind_mapping {
    code_addr start;
    code_addr end;
    code_addr bias;   /* ELF address = address - bias */
    __u32 pages;      /* place of the first unwind_page */
    __u16 page_count; /* of the file, from ELF address 0 on; 65,535 pages are 4 GiB. Pages without code have no rows */
    __u8 kind;        /* enum unwind_mapping_kind */
    __u8 reserved;
};

#define UNWIND_PAGE_WIDE 1

/* 64 KiB of code. 8 bytes. */
struct unwind_page {
    __u32 place;     /* of rules[0] */
    __u16 row_count; /* 0: no rules for this page */
    __u16 rules;     /* rule_count << 1 | UNWIND_PAGE_WIDE */
};

/* How the canonical frame address (CFA) is found: bits 0-3 of a rule. The caller's rsp is the CFA and the return
 * address is at CFA - 8, but for UNWIND_CFA_SIGNAL. */
enum unwind_cfa {
    UNWIND_CFA_NONE = 0,  /* no function here that has call frame information */
    UNWIND_CFA_END,       /* the return address is undefined: the thread's root */
    UNWIND_CFA_SP,        /* rsp + offset */
    UNWIND_CFA_BP,        /* rbp + offset */
    UNWIND_CFA_DEREF_SP,  /* *(rsp + offset) */
    UNWIND_CFA_DEREF_BP,  /* *(rbp + offset): gcc's realigned frames */
    UNWIND_CFA_DEREF_SP8, /* *(rsp + offset) + 8: hand-written cryptography */
    UNWIND_CFA_DEREF_BP8, /* *(rbp + offset) + 8 */
    UNWIND_CFA_PLT,       /* rsp + 8 + ((rip & 15) >= offset ? 8 : 0): the linker's expression for .plt */
    UNWIND_CFA_SIGNAL,    /* all registers stand in the ucontext; offset is from rsp to its gregs (uc_mcontext) */
    UNWIND_CFA_REGISTER,  /* another register + offset, see unwind_rule_register; known in the leaf frame alone */
    UNWIND_CFA_UNKNOWN,   /* has a rule of a form that is not supported */
    UNWIND_CFA_OTHER_BP,  /* rbp + offset, on another stack, which may lie below: where Go's runtime switches stacks.
                             The root where rbp is 0 */
    UNWIND_CFA_FAR_SP,    /* rsp + offset, in frames of more than 1 MiB: see unwind_rule_far_offset */
    UNWIND_CFA_LEAF_SP,   /* rsp + unwind_rule_register_offset, and the return address is in another register, see
                             unwind_rule_register; known in the leaf frame alone: glibc's vfork */
};

/* How the caller's rbp is found: bits 4-5. */
enum unwind_bp {
    UNWIND_BP_SAME = 0,
    UNWIND_BP_AT_CFA,  /* *(CFA + bp offset) */
    UNWIND_BP_AT_BP,   /* *(rbp + bp offset): gcc's realigned frames */
    UNWIND_BP_UNKNOWN, /* undefined, or of a form that is not supported */
};

/* A rule is a __u32:
 *   bits 0-3    enum unwind_cfa
 *   bits 4-5    enum unwind_bp
 *   bits 6-13   bp offset / 8, signed
 *   bits 14-31  offset, signed: in units of 8 bytes; of 1 byte for UNWIND_CFA_PLT; for UNWIND_CFA_REGISTER and
 * UNWIND_CFA_LEAF_SP the DWARF number of the register in bits 14-17 and the offset / 8 in bits 18-31; for
 * UNWIND_CFA_FAR_SP bits 6-9 are -2 - bp offset / 8, and bits 10-31 the offset / 8, unsigned: up to 32 MiB */
static inline __u32 unwind_rule_cfa(__u32 rule) {
    return rule & 15;
}

static inline __u32 unwind_rule_bp(__u32 rule) {
    return rule >> 4 & 3;
}

static inline __s64 unwind_rule_bp_offset(__u32 rule) {
    return (__s64)((__s32)(rule << 18) >> 24) * 8;
}

static inline __s64 unwind_rule_offset(__u32 rule) {
    return (__s64)((__s32)rule >> 14) * 8;
}

static inline __u32 unwind_rule_plt_threshold(__u32 rule) {
    return rule >> 14;
}

static inline __u32 unwind_rule_register(__u32 rule) {
    return rule >> 14 & 15;
}

static inline __s64 unwind_rule_register_offset(__u32 rule) {
    return (__s64)((__s32)rule >> 18) * 8;
}

static inline __s64 unwind_rule_far_offset(__u32 rule) {
    return (__s64)(rule >> 10) * 8;
}

static inline __s64 unwind_rule_far_bp_offset(__u32 rule) {
    return -16 - (__s64)(rule >> 6 & 15) * 8;
}

/* Why a walk of a user stack ended. Goes with every stack; what is not UNWIND_END_ROOT is shown as its own root frame.
 */
enum unwind_end {
    UNWIND_END_ROOT = 0,      /* the thread's root was reached */
    UNWIND_END_NONE,          /* there was no user stack to walk: a kernel thread, or a process that is going */
    UNWIND_END_NO_PROCESS,    /* the process's mappings are not known yet */
    UNWIND_END_NO_MAPPING,    /* an address that is in no known executable mapping */
    UNWIND_END_NO_TABLE,      /* the file's table is being made */
    UNWIND_END_NO_ROOM,       /* the file's table has no room under the cap */
    UNWIND_END_NO_RULE,       /* code without call frame information, and frame pointers led nowhere */
    UNWIND_END_UNSUPPORTED,   /* a rule of a form that is not supported */
    UNWIND_END_UNREADABLE,    /* the stack's memory could not be read */
    UNWIND_END_LIMIT,         /* more frames than UNWIND_MAX_FRAMES, or than the record has room for */
    UNWIND_END_BAD_FRAME,     /* the frame lies below the one that it called */
    UNWIND_END_UNKNOWN_JIT,   /* code in no file, and frame pointers led nowhere */
    UNWIND_END_COMPAT,        /* 32-bit code */
    UNWIND_END_FRAME_POINTER, /* walked by frame pointers alone, without tables (no unwinder in this run); may be cut
                                 anywhere */
    UNWIND_END_SHORT_COPY,    /* walked on later, in a copy of the stack that does not hold all of it */
    UNWIND_END_UNTOLD,        /* there is no stack: over the budget of walks, or without room in a buffer or map */
};

/* Where a walk that lacked a mapping or a table can go on: the registers of the frame that it could not leave. A record
 * that ended so carries this and a copy of the stack from sp on (its stack_bytes), and user space goes on from there.
 */
struct unwind_resume {
    code_addr ip;
    code_addr sp;
    code_addr bp;
    code_addr registers[16]; /* by DWARF number, where is_leaf; else 0 */
    __u32 is_leaf;           /* ip is no return address, and registers hold */
    __u32 stack_bytes;
};

/* Of the copy of the stack. */
#define UNWIND_STACK_COPY_BYTES 16384

#endif
