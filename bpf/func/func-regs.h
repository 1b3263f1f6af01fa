/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Arguments, stack pointer and result of a call in the registers, by the C calling convention and by Go's, and in the
 * contexts of tracing programs and tracepoints. */
#ifndef HOTSPAN_FUNC_REGS_H
#define HOTSPAN_FUNC_REGS_H

#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#if defined(__TARGET_ARCH_x86)
#define REGS_PARM6(ctx) ((ctx)->r9)
/* The call instruction put the return address on the stack, and the return took it off. */
#define REGS_RETURN_FRAME(ctx) (PT_REGS_SP(ctx) - 8)
/* Go's register order since 1.17, and the register that holds the goroutine. */
#define GO_ARG1(ctx) ((ctx)->rax)
#define GO_ARG2(ctx) ((ctx)->rbx)
#define GO_ARG3(ctx) ((ctx)->rcx)
#define GO_ARG4(ctx) ((ctx)->rdi)
#define GO_ARG5(ctx) ((ctx)->rsi)
#define GO_ARG6(ctx) ((ctx)->r8)
#define GO_GOROUTINE(ctx) ((ctx)->r14)
#elif defined(__TARGET_ARCH_arm64)
#define REGS_PARM6(ctx) (((struct user_pt_regs *)(ctx))->regs[5])
#define REGS_RETURN_FRAME(ctx) PT_REGS_SP(ctx)
#define GO_ARG1(ctx) (((struct user_pt_regs *)(ctx))->regs[0])
#define GO_ARG2(ctx) (((struct user_pt_regs *)(ctx))->regs[1])
#define GO_ARG3(ctx) (((struct user_pt_regs *)(ctx))->regs[2])
#define GO_ARG4(ctx) (((struct user_pt_regs *)(ctx))->regs[3])
#define GO_ARG5(ctx) (((struct user_pt_regs *)(ctx))->regs[4])
#define GO_ARG6(ctx) (((struct user_pt_regs *)(ctx))->regs[5])
#define GO_GOROUTINE(ctx) (((struct user_pt_regs *)(ctx))->regs[28])
#else
#error "hotspan knows the registers of x86 and arm64"
#endif

static __always_inline void args_of_regs(struct pt_regs *ctx, __u64 *args) {
    args[0] = PT_REGS_PARM1(ctx);
    args[1] = PT_REGS_PARM2(ctx);
    args[2] = PT_REGS_PARM3(ctx);
    args[3] = PT_REGS_PARM4(ctx);
    args[4] = PT_REGS_PARM5(ctx);
    args[5] = REGS_PARM6(ctx);
}

static __always_inline void args_of_go_regs(struct pt_regs *ctx, __u64 *args) {
    args[0] = GO_ARG1(ctx);
    args[1] = GO_ARG2(ctx);
    args[2] = GO_ARG3(ctx);
    args[3] = GO_ARG4(ctx);
    args[4] = GO_ARG5(ctx);
    args[5] = GO_ARG6(ctx);
}

/* Arguments in the context of a tracing program, whose address as a number is `frame`. Read by a helper: 5.10 refuses
 * to load a pointer to anything but a structure or a text from there. `count` is a constant of the program. */
static __always_inline void args_of_tracing(code_addr frame, __u32 count, __u64 *args) {
    if (count > 6)
        count = 6;
    if (count > 0)
        bpf_probe_read_kernel(args, count * sizeof(*args), (const void *)frame);
}

/* The result follows the arguments. */
static __always_inline __u64 result_of_tracing(code_addr frame, __u32 count) {
    __u64 result = 0;

    bpf_probe_read_kernel(&result, sizeof(result), (const void *)(frame + count * sizeof(result)));
    return result;
}

/* Word `byte_offset` / 8 of a tracepoint's record. In assembler, because the compiler would else join the branches that
 * choose one into a computed address, which the verifier refuses for a context. */
#define RECORD_WORD(ctx, byte_offset)                                                                                  \
    ({                                                                                                                 \
        __u64 word;                                                                                                    \
        asm volatile("%0 = *(u64 *)(%1 + " #byte_offset ")" : "=r"(word) : "r"(ctx));                                  \
        word;                                                                                                          \
    })

/* Arguments in the record of a system call's tracepoint, which begins with two words of its own. `count` must be a
 * constant of the program: the verifier drops the branches that read beyond the call's arguments. */
static __always_inline void args_of_syscall(void *ctx, __u32 count, __u64 *args) {
    if (count > 0)
        args[0] = RECORD_WORD(ctx, 16);
    if (count > 1)
        args[1] = RECORD_WORD(ctx, 24);
    if (count > 2)
        args[2] = RECORD_WORD(ctx, 32);
    if (count > 3)
        args[3] = RECORD_WORD(ctx, 40);
    if (count > 4)
        args[4] = RECORD_WORD(ctx, 48);
    if (count > 5)
        args[5] = RECORD_WORD(ctx, 56);
}

#endif
