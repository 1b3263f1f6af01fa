/*
 * Hand-written code without call frame information between C functions. with_frame keeps a frame pointer, so that a
 * walk can still cross it; without_frame (built with -DBARE) does not, and a walk must end there and say so.
 */
#include "stacks.h"

STACKS_SINK;

KEEP void called_back(unsigned long turns);
void called_back(unsigned long turns) {
    stacks_burn(turns);
    AFTER_CALL();
}

void from_assembly(unsigned long turns);
__asm__(".text\n"
        ".globl from_assembly\n"
        ".type from_assembly, @function\n"
        "from_assembly:\n"
#ifdef BARE
        "sub $88, %rsp\n"
        "call called_back\n"
        "add $88, %rsp\n"
#else
        "push %rbp\n"
        "mov %rsp, %rbp\n"
        "sub $80, %rsp\n"
        "call called_back\n"
        "leave\n"
#endif
        "ret\n"
        ".size from_assembly, .-from_assembly\n");

KEEP static void call_assembly(unsigned long turns) {
    from_assembly(turns);
    AFTER_CALL();
}

int main(void) {
    stacks_begin();
    for (;;)
        call_assembly(500);
}
