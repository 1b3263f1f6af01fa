/*
 * Coroutines on stacks of their own, switched by ucontext and by hand. Their true root is the function that they began
 * in: below it stands what makecontext put there, or a return address of 0.
 */
#include "stacks.h"
#include <stdlib.h>
#include <ucontext.h>

STACKS_SINK;

#define STACK_BYTES 65536

static ucontext_t main_context, other_context;

KEEP static void yield_inner(void) {
    stacks_burn(2000);
    swapcontext(&other_context, &main_context);
    AFTER_CALL();
}

KEEP static void coroutine_outer(void) {
    for (;;)
        yield_inner();
}

/* Saves the registers that a call must keep, puts the stack pointer into *save, and goes on where `load` was saved. */
void switch_stack(void **save, void *load);
__asm__(".text\n"
        ".globl switch_stack\n"
        ".type switch_stack, @function\n"
        "switch_stack:\n"
        ".cfi_startproc\n"
        "push %rbp\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset %rbp, 0\n"
        "push %rbx\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset %rbx, 0\n"
        "push %r12\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset %r12, 0\n"
        "push %r13\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset %r13, 0\n"
        "push %r14\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset %r14, 0\n"
        "push %r15\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset %r15, 0\n"
        "mov %rsp, (%rdi)\n"
        "mov %rsi, %rsp\n"
        "pop %r15\n.cfi_adjust_cfa_offset -8\n.cfi_restore %r15\n"
        "pop %r14\n.cfi_adjust_cfa_offset -8\n.cfi_restore %r14\n"
        "pop %r13\n.cfi_adjust_cfa_offset -8\n.cfi_restore %r13\n"
        "pop %r12\n.cfi_adjust_cfa_offset -8\n.cfi_restore %r12\n"
        "pop %rbx\n.cfi_adjust_cfa_offset -8\n.cfi_restore %rbx\n"
        "pop %rbp\n.cfi_adjust_cfa_offset -8\n.cfi_restore %rbp\n"
        "ret\n"
        ".cfi_endproc\n"
        ".size switch_stack, .-switch_stack\n");

static void *main_stack, *fiber_stack;

KEEP static void fiber_inner(void) {
    stacks_burn(2000);
    switch_stack(&fiber_stack, main_stack);
    AFTER_CALL();
}

KEEP static void fiber_outer(void) {
    for (;;)
        fiber_inner();
}

/* As if fiber_outer had been called by nobody: six registers, its address to return to, and 0 as where it was called
 * from. */
static void prepare_fiber(void) {
    void **top = (void **)((char *)aligned_alloc(16, STACK_BYTES) + STACK_BYTES);
    top[-1] = NULL;
    top[-2] = NULL;
    top[-3] = (void *)fiber_outer;
    for (int i = 4; i <= 9; i++)
        top[-i] = NULL;
    fiber_stack = top - 9;
}

KEEP static void resume_both(void) {
    swapcontext(&main_context, &other_context);
    switch_stack(&main_stack, fiber_stack);
    stacks_burn(1000);
}

int main(void) {
    getcontext(&other_context);
    other_context.uc_stack.ss_sp = malloc(STACK_BYTES);
    other_context.uc_stack.ss_size = STACK_BYTES;
    makecontext(&other_context, coroutine_outer, 0);
    prepare_fiber();
    stacks_begin();
    for (;;)
        resume_both();
}
