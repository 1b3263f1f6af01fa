/* Frames of every size: alloca of changing sizes, arrays of variable length, and one frame of 2 MiB. */
#include "stacks.h"
#include <alloca.h>
#include <string.h>

STACKS_SINK;

#define HUGE_BYTES (2 << 20)

KEEP static unsigned long leaf(const char *text, unsigned long length) {
    unsigned long sum = 0;
    for (unsigned long i = 0; i < length; i += 16)
        sum += (unsigned char)text[i];
    return sum;
}

KEEP static unsigned long with_alloca(unsigned long size) {
    char *room = alloca(size);
    memset(room, 3, size);
    unsigned long sum = leaf(room, size);
    AFTER_CALL();
    return sum;
}

KEEP static unsigned long with_variable_array(unsigned long size) {
    char room[size];
    memset(room, 2, size);
    unsigned long sum = leaf(room, size) + with_alloca(size / 2 + 1);
    AFTER_CALL();
    return sum;
}

KEEP static unsigned long with_huge_frame(unsigned long size) {
    char room[HUGE_BYTES];
    memset(room, 1, size);
    memset(room + HUGE_BYTES - size, 1, size);
    unsigned long sum = leaf(room, size) + with_variable_array(size);
    AFTER_CALL();
    return sum + (unsigned char)room[HUGE_BYTES - 1];
}

int main(void) {
    stacks_begin();
    for (unsigned long turn = 0;; turn++)
        stacks_sink += turn & 1 ? with_huge_frame(turn % 5000 + 1) : with_variable_array(turn % 3000 + 1);
}
