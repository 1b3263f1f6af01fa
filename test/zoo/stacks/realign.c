/*
 * Functions that realign their stack: for locals that want 64 bytes, some together with alloca or with arguments on the
 * stack. gcc then finds the frame through a pointer that it saved (DRAP), and says so by a DWARF expression.
 */
#include "stacks.h"
#include <alloca.h>
#include <string.h>

STACKS_SINK;

struct wide {
    _Alignas(64) unsigned char bytes[128];
};

KEEP static unsigned long leaf(const struct wide *wide) {
    unsigned long sum = 0;
    for (unsigned i = 0; i < sizeof wide->bytes; i++)
        sum += wide->bytes[i];
    return sum;
}

KEEP static unsigned long realigned(unsigned long a) {
    struct wide wide;
    memset(&wide, (int)a, sizeof wide);
    unsigned long sum = leaf(&wide);
    AFTER_CALL();
    return sum;
}

KEEP static unsigned long realigned_with_alloca(unsigned long a) {
    struct wide wide;
    unsigned char *room = alloca(a % 500 + 1);
    memset(&wide, (int)a, sizeof wide);
    memset(room, 1, a % 500 + 1);
    unsigned long sum = leaf(&wide) + realigned(a) + room[a % 500];
    AFTER_CALL();
    return sum;
}

KEEP static unsigned long realigned_with_arguments(long a, long b, long c, long d, long e, long f, long g,
                                                   struct wide by_value) {
    struct wide wide = by_value;
    unsigned char *room = alloca((unsigned long)a % 300 + 1);
    wide.bytes[0] = room[0] = (unsigned char)(a + b + c + d + e + f + g);
    unsigned long sum = leaf(&wide) + realigned_with_alloca((unsigned long)a) + leaf(&by_value);
    AFTER_CALL();
    return sum + room[0];
}

int main(void) {
    struct wide wide;
    memset(&wide, 1, sizeof wide);
    stacks_begin();
    for (long turn = 0;; turn++)
        stacks_sink += realigned_with_arguments(turn, 2, 3, 4, 5, 6, 7, wide);
}
