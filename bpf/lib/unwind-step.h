/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* One step of a walk of a user stack: from a frame's registers to its caller's, by unwind tables or by frame pointers.
 * Compiles for BPF (unwind.h) and, as C++, for user space (native/src/unwind/walk.cc). Whoever includes it says first
 * how memory is reached:
 *   unwind_block(state, number)            the bytes of a block, NULL where there is none
 *   unwind_read(state, to, bytes, address) memory of the process; 0 where all of it was read
 *
 * It never trusts what it reads: every place in a block is masked, every loop is bounded, and a walk makes at most
 * UNWIND_MAX_FRAMES steps. For the verifier's sake what is found is put into the state and read back from there: what
 * comes from memory is unknown to it, so that paths which differ only in such a value are one to it. */
#ifndef HOTSPAN_UNWIND_STEP_H
#define HOTSPAN_UNWIND_STEP_H

#include "unwind-table.h"

/* DWARF numbers of registers. */
#define UNWIND_REGISTER_BP 6
#define UNWIND_REGISTER_SP 7
#define UNWIND_REGISTERS 16

/* From a ucontext to its general registers, and how many there are up to rip: the kernel's struct sigcontext. */
#define UNWIND_UCONTEXT_REGISTERS 40
#define UNWIND_SIGNAL_WORDS 17

/* One page at the same place in every process, outside the half of addresses that is user space's. Its functions are
 * emulated by the kernel and push nothing. */
#define UNWIND_VSYSCALL_PAGE 0xffffffffff600000ULL

struct unwind_state {
    __u64 is_claimed;
    /* The frame. */
    code_addr ip;
    code_addr sp;
    code_addr bp;
    code_addr registers[UNWIND_REGISTERS]; /* hold where is_exact */
    __u64 list;                            /* of the process's mappings: struct unwind_process */
    struct unwind_mapping mapping;         /* the last one found */
    __u32 is_exact;                        /* ip is no return address: the leaf, or what a signal interrupted */
    __u32 is_bp_lost;
    __u32 doubt; /* enum unwind_end, where a frame pointer led here and the address may be no code; else 0 */
    __u32 end;   /* enum unwind_end */
    __u32 found; /* row or mapping of a search */
    __u32 rule;
    __u64 words[UNWIND_SIGNAL_WORDS]; /* room to read the stack to */
    __u32 depth;
    __u32 reserved;
    code_addr addresses[UNWIND_MAX_FRAMES];
};

/* What was written before must be read again, from memory. */
#define UNWIND_FORGET() asm volatile("" ::: "memory")

/* `value & mask` where the compiler must not know better: it would drop the mask that the verifier needs to see. */
static __always_inline __u32 unwind_bound(__u32 value, __u32 mask) {
    asm volatile("" : "+r"(value));
    return value & mask;
}

/* All ones where a < b, else 0; a must be below 2^63, the half of addresses that is user space's. No branch, which
 * would double the paths that the verifier follows. */
static __always_inline __u64 unwind_is_below(__u64 a, __u64 b) {
    __s64 difference = (__s64)((a - b) | b);

    asm volatile("" : "+r"(difference));
    return (__u64)(difference >> 63);
}

static __always_inline __u32 unwind_block_u32(const __u8 *block, __u32 at) {
    return *(const __u32 *)(block + unwind_bound(at, UNWIND_BLOCK_BYTES - 4));
}

static __always_inline __u64 unwind_block_u64(const __u8 *block, __u32 at) {
    return *(const __u64 *)(block + unwind_bound(at, UNWIND_BLOCK_BYTES - 8));
}

static __always_inline __u32 unwind_block_u16(const __u8 *block, __u32 at) {
    return *(const __u16 *)(block + unwind_bound(at, UNWIND_BLOCK_BYTES - 2));
}

static __always_inline __u32 unwind_block_u8(const __u8 *block, __u32 at) {
    return block[unwind_bound(at, UNWIND_BLOCK_BYTES - 1)];
}

static __always_inline int unwind_stop(struct unwind_state *state, __u32 end) {
    state->end = end;
    return 0;
}

/* ---- Where the rule for an address stands. */

/* The mapping that holds `pc`, into the state. 0 where there is none. */
static __always_inline int unwind_find_mapping(struct unwind_state *state, code_addr pc) {
    __u32 base = (__u32)(state->list >> 32 & 0xffff) * UNWIND_UNIT;
    __u32 count = (__u32)state->list;
    const __u8 *block;
    __u32 first = 0, at;

    if (pc >> 63 || count == 0)
        return 0;
    block = unwind_block(state, (__u32)(state->list >> 48));
    if (!block)
        return 0;
    /* The last one that does not start above pc: 12 turns for UNWIND_MAX_MAPPINGS. */
    for (int i = 0; i < 12; i++) {
        __u32 half = count >> 1;

        if (half == 0)
            break;
        first += half & ~(__u32)unwind_is_below(pc, unwind_block_u64(block, base + (first + half) * 32));
        count -= half;
    }
    state->found = first;
    UNWIND_FORGET();
    at = base + state->found * 32;
    state->mapping.start = unwind_block_u64(block, at);
    state->mapping.end = unwind_block_u64(block, at + 8);
    state->mapping.bias = unwind_block_u64(block, at + 16);
    state->mapping.pages = unwind_block_u32(block, at + 24);
    state->mapping.page_count = (__u16)unwind_block_u16(block, at + 28);
    state->mapping.kind = (__u8)unwind_block_u8(block, at + 30);
    return pc >= state->mapping.start && pc < state->mapping.end;
}

/* The rule for the ELF address `pc` - bias, into the state: UNWIND_CFA_NONE where the file has none for it. 0 where the
 * table is not there any more. */
static __always_inline int unwind_find_rule(struct unwind_state *state, code_addr pc) {
    code_addr address = pc - state->mapping.bias;
    __u32 low = (__u32)address & ((1 << UNWIND_PAGE_SHIFT) - 1);
    __u32 place, rules, rule_bytes, count, first = 0, lows, indexes, number;
    const __u8 *block;
    __u64 page;

    state->rule = UNWIND_CFA_NONE;
    if (address >> UNWIND_PAGE_SHIFT >= state->mapping.page_count)
        return 1;
    place = state->mapping.pages;
    block = unwind_block(state, place >> 16);
    if (!block)
        return 0;
    page = unwind_block_u64(block, (place & 0xffff) * UNWIND_UNIT + (__u32)(address >> UNWIND_PAGE_SHIFT) * 8);
    count = (__u32)(page >> 32) & 0xffff;
    if (count == 0)
        return 1;
    place = (__u32)page;
    block = unwind_block(state, place >> 16);
    if (!block)
        return 0;
    rules = (place & 0xffff) * UNWIND_UNIT;
    rule_bytes = (__u32)(page >> 49) * 4;
    lows = rules + rule_bytes;
    indexes = lows + count * 2;
    /* The last row that does not begin above low: 16 turns for 65,535 rows. */
    for (int i = 0; i < 16; i++) {
        __u32 half = count >> 1;

        if (half == 0)
            break;
        first += half & ~(__u32)unwind_is_below(low, unwind_block_u16(block, lows + (first + half) * 2));
        count -= half;
    }
    state->found = first;
    UNWIND_FORGET();
    first = state->found;
    if (page >> 48 & UNWIND_PAGE_WIDE)
        number = unwind_block_u16(block, indexes + first * 2);
    else
        number = unwind_block_u8(block, indexes + first);
    state->rule = number * 4 < rule_bytes ? unwind_block_u32(block, rules + number * 4) : (__u32)UNWIND_CFA_UNKNOWN;
    return 1;
}

/* ---- Steps. */

/* Makes the caller at `ip` the frame. Its other registers are in place. */
static __always_inline int unwind_enter(struct unwind_state *state, code_addr ip) {
    __u32 depth = state->depth;

    if (ip == 0)
        return unwind_stop(state, UNWIND_END_ROOT);
    if (depth >= UNWIND_MAX_FRAMES)
        return unwind_stop(state, UNWIND_END_LIMIT);
    state->addresses[unwind_bound(depth, UNWIND_MAX_FRAMES - 1)] = ip;
    state->depth = depth + 1;
    state->ip = ip;
    return 1;
}

/* To what a signal interrupted: the kernel put all its registers on the stack, in the order of its struct sigcontext.
 */
static __always_inline int unwind_through_signal(struct unwind_state *state, __s64 offset) {
    __u64 *words = state->words;
    code_addr *registers = state->registers;

    if (unwind_read(state, words, sizeof(state->words), state->sp + (__u64)offset))
        return unwind_stop(state, UNWIND_END_UNREADABLE);
    UNWIND_FORGET();
    registers[0] = words[13];
    registers[1] = words[12];
    registers[2] = words[14];
    registers[3] = words[11];
    registers[4] = words[9];
    registers[5] = words[8];
    registers[6] = words[10];
    registers[7] = words[15];
#ifdef __clang__
#pragma unroll
#endif
    for (int i = 0; i < 8; i++)
        registers[8 + i] = words[i];
    state->bp = words[10];
    state->sp = words[15];
    state->is_exact = 1;
    state->is_bp_lost = 0;
    state->doubt = 0;
    return unwind_enter(state, words[16]);
}

/* mov $15, %rax; syscall, as libraries without call frame information for it return from signal handlers (musl). */
static __always_inline int unwind_is_signal_return(struct unwind_state *state) {
    __u64 *words = state->words;

    words[1] = 0;
    if (unwind_read(state, words, 9, state->ip))
        return 0;
    UNWIND_FORGET();
    return words[0] == 0x0f0000000fc0c748ULL && (words[1] & 0xff) == 0x05;
}

/* In code that has no rules. `reason`: what to end with where frame pointers lead nowhere. */
static __always_inline int unwind_by_frame_pointer(struct unwind_state *state, __u32 reason) {
    __u64 *words = state->words;
    code_addr bp = state->bp;
    __u32 at_root;

    if (!state->is_exact && unwind_is_signal_return(state))
        return unwind_through_signal(state, UNWIND_UCONTEXT_REGISTERS);
    if (state->is_bp_lost)
        return unwind_stop(state, reason);
    /* Programs clear rbp, or the return address, where they begin. But in code that keeps no frame pointer, which is
     * what most code between code with rules is, both are any number and often 0: they tell only after a frame that was
     * found by rbp, in a file without rules. */
    at_root = state->doubt && state->mapping.kind != UNWIND_MAPPING_TABLE ? (__u32)UNWIND_END_ROOT : reason;
    if (bp == 0)
        return unwind_stop(state, at_root);
    if (bp < state->sp || bp & 7)
        return unwind_stop(state, reason);
    if (unwind_read(state, words, 16, bp))
        return unwind_stop(state, reason);
    UNWIND_FORGET();
    if (words[1] == 0)
        return unwind_stop(state, at_root);
    state->sp = bp + 16;
    state->bp = words[0];
    state->is_exact = 0;
    state->doubt = reason;
    return unwind_enter(state, words[1]);
}

/* Restores the caller's rbp, which was saved at `at`. In an epilogue the place may lie below rsp, where a copy of a
 * stack does not reach: the register was popped then, and holds already. */
static __always_inline int unwind_restore_bp(struct unwind_state *state, code_addr at) {
    if (unwind_read(state, state->words, 8, at))
        return at < state->sp;
    UNWIND_FORGET();
    state->bp = state->words[0];
    state->is_bp_lost = 0;
    return 1;
}

/* The return address from below the CFA, and the caller's rbp. In most functions the two lie side by side. */
static __always_inline int unwind_to_cfa(struct unwind_state *state, code_addr cfa) {
    __u32 rule = state->rule, kind = unwind_rule_bp(rule);
    __u64 *words = state->words;
    __s64 bp_offset =
        unwind_rule_cfa(rule) == UNWIND_CFA_FAR_SP ? unwind_rule_far_bp_offset(rule) : unwind_rule_bp_offset(rule);

    /* On another stack it may lie anywhere. */
    if (cfa <= state->sp && unwind_rule_cfa(rule) != UNWIND_CFA_OTHER_BP)
        return unwind_stop(state, UNWIND_END_BAD_FRAME);
    if (kind == UNWIND_BP_AT_CFA && bp_offset == -16 && !unwind_read(state, words, 16, cfa - 16)) {
        UNWIND_FORGET();
        state->bp = words[0];
        state->is_bp_lost = 0;
    } else {
        if (kind == UNWIND_BP_UNKNOWN)
            state->is_bp_lost = 1;
        else if (kind != UNWIND_BP_SAME &&
                 !unwind_restore_bp(state, (kind == UNWIND_BP_AT_CFA ? cfa : state->bp) + (__u64)bp_offset))
            return unwind_stop(state, UNWIND_END_UNREADABLE);
        if (unwind_read(state, &words[1], 8, cfa - 8))
            return unwind_stop(state, UNWIND_END_UNREADABLE);
        UNWIND_FORGET();
    }
    state->sp = cfa;
    state->is_exact = 0;
    state->doubt = 0;
    return unwind_enter(state, words[1]);
}

/* The caller's registers but rip are the leaf's own, which may have its own caller's rbp on the stack. */
static __always_inline int unwind_by_register(struct unwind_state *state) {
    code_addr caller;

    if (!state->is_exact || unwind_rule_bp(state->rule) != UNWIND_BP_SAME)
        return unwind_stop(state, UNWIND_END_UNSUPPORTED);
    caller = state->registers[unwind_bound(unwind_rule_register(state->rule), UNWIND_REGISTERS - 1)];
    state->sp += (__u64)unwind_rule_register_offset(state->rule);
    state->is_exact = 0;
    return unwind_enter(state, caller);
}

/* By the rule in the state. */
static __always_inline int unwind_apply(struct unwind_state *state) {
    __u32 rule = state->rule, kind = unwind_rule_cfa(rule);
    __s64 offset = unwind_rule_offset(rule);
    code_addr cfa = state->sp;

    switch (kind) {
    case UNWIND_CFA_NONE:
        return unwind_by_frame_pointer(state, UNWIND_END_NO_RULE);
    case UNWIND_CFA_END:
        return unwind_stop(state, UNWIND_END_ROOT);
    case UNWIND_CFA_SIGNAL:
        return unwind_through_signal(state, offset);
    case UNWIND_CFA_PLT:
        return unwind_to_cfa(state, cfa + 8 + ((state->ip & 15) >= unwind_rule_plt_threshold(rule) ? 8 : 0));
    case UNWIND_CFA_REGISTER:
        if (!state->is_exact)
            return unwind_stop(state, UNWIND_END_UNSUPPORTED);
        cfa = state->registers[unwind_bound(unwind_rule_register(rule), UNWIND_REGISTERS - 1)];
        return unwind_to_cfa(state, cfa + (__u64)unwind_rule_register_offset(rule));
    case UNWIND_CFA_LEAF_SP:
        return unwind_by_register(state);
    case UNWIND_CFA_FAR_SP:
        return unwind_to_cfa(state, cfa + (__u64)unwind_rule_far_offset(rule));
    case UNWIND_CFA_OTHER_BP:
        if (state->bp == 0)
            return unwind_stop(state, UNWIND_END_ROOT);
        /* fallthrough */
    case UNWIND_CFA_BP:
    case UNWIND_CFA_DEREF_BP:
    case UNWIND_CFA_DEREF_BP8:
        if (state->is_bp_lost)
            return unwind_stop(state, UNWIND_END_UNSUPPORTED);
        cfa = state->bp;
        break;
    case UNWIND_CFA_SP:
    case UNWIND_CFA_DEREF_SP:
    case UNWIND_CFA_DEREF_SP8:
        break;
    default:
        return unwind_stop(state, UNWIND_END_UNSUPPORTED);
    }
    cfa += (__u64)offset;
    if (kind == UNWIND_CFA_DEREF_SP || kind == UNWIND_CFA_DEREF_BP || kind == UNWIND_CFA_DEREF_SP8 ||
        kind == UNWIND_CFA_DEREF_BP8) {
        if (unwind_read(state, state->words, 8, cfa))
            return unwind_stop(state, UNWIND_END_UNREADABLE);
        UNWIND_FORGET();
        cfa = state->words[0] + (kind == UNWIND_CFA_DEREF_SP8 || kind == UNWIND_CFA_DEREF_BP8 ? 8 : 0);
    }
    return unwind_to_cfa(state, cfa);
}

/* The frame's address is in no mapping that is known. */
static __always_inline int unwind_outside(struct unwind_state *state) {
    if ((state->ip & ~0xfffULL) == UNWIND_VSYSCALL_PAGE && state->is_exact) {
        state->rule = UNWIND_CFA_SP | 1 << 14;
        return unwind_to_cfa(state, state->sp + 8);
    }
    if (!state->doubt)
        return unwind_stop(state, UNWIND_END_NO_MAPPING);
    /* It was no return address then. */
    state->depth -= 1;
    return unwind_stop(state, state->doubt);
}

/* From the frame to its caller. 0 where the walk ends, with the reason in state->end. */
static __always_inline int unwind_step(struct unwind_state *state) {
    code_addr pc = state->ip - (state->is_exact ? 0 : 1);

    if (pc < state->mapping.start || pc >= state->mapping.end) {
        if (!unwind_find_mapping(state, pc))
            return unwind_outside(state);
        UNWIND_FORGET();
    }
    switch (state->mapping.kind) {
    case UNWIND_MAPPING_TABLE:
        break;
    case UNWIND_MAPPING_FRAME_POINTER:
        return unwind_by_frame_pointer(state, UNWIND_END_NO_RULE);
    case UNWIND_MAPPING_JIT:
        return unwind_by_frame_pointer(state, UNWIND_END_UNKNOWN_JIT);
    case UNWIND_MAPPING_PENDING:
        return unwind_stop(state, UNWIND_END_NO_TABLE);
    default:
        return unwind_stop(state, UNWIND_END_NO_ROOM);
    }
    if (!unwind_find_rule(state, pc))
        return unwind_stop(state, UNWIND_END_NO_ROOM);
    UNWIND_FORGET();
    return unwind_apply(state);
}

/* Begins at the leaf, whose registers are in place. 0 where there is nothing to walk. */
static __always_inline int unwind_begin(struct unwind_state *state) {
    state->mapping.start = 0;
    state->mapping.end = 0;
    state->is_bp_lost = 0;
    state->doubt = 0;
    state->end = UNWIND_END_NONE;
    state->depth = 0;
    if (state->ip == 0)
        return 0;
    return unwind_enter(state, state->ip);
}

#endif
