/* Three functions with frames of different size call each other until 500 frames stand on the stack, burn there, and
 * come back. */
#include "stacks.h"
#include <string.h>

STACKS_SINK;

KEEP static unsigned long step_small(unsigned depth);

KEEP static unsigned long step_large(unsigned depth) {
    char room[300];
    memset(room, (int)depth, sizeof room);
    unsigned long below = depth == 0 ? 1 : step_small(depth - 1);
    AFTER_CALL();
    return below + (unsigned char)room[depth % sizeof room];
}

KEEP static unsigned long step_registers(unsigned depth, unsigned long a, unsigned long b, unsigned long c) {
    unsigned long below = depth == 0 ? 1 : step_large(depth - 1);
    AFTER_CALL();
    return below * a + b * 3 + c;
}

KEEP static unsigned long step_small(unsigned depth) {
    if (depth == 0) {
        stacks_burn(20000);
        return 1;
    }
    unsigned long below = step_registers(depth - 1, depth, depth + 1, depth + 2);
    AFTER_CALL();
    return below + 1;
}

int main(void) {
    stacks_begin();
    for (;;)
        stacks_sink += step_small(500);
}
