/*
 * main -> outer -> middle -> inner -> one of several leaves: what every compiler and every flag is tried on. The leaves
 * have the shapes that prologues and epilogues differ in: many saved registers, early returns, variable arguments, a
 * jump table, calls into libc.
 */
#include "stacks.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

STACKS_SINK;

KEEP static unsigned long many_registers(unsigned long a, unsigned long b, unsigned long c) {
    unsigned long d = a ^ b, e = b + c, f = a * 3, g = c - a, h = d | e, i = f & g;
    for (unsigned long turn = 0; turn < (a & 15); turn++) {
        d += strlen("a text") + e;
        stacks_burn(3);
        e ^= f + turn, f += g, g -= h, h ^= i, i += a;
    }
    return d + e + f + g + h + i + b + c;
}

KEEP static unsigned long early_return(unsigned long a) {
    if (a & 1)
        return a;
    unsigned long kept = many_registers(a, a + 1, a + 2);
    return kept + many_registers(kept, a, 3);
}

KEEP static unsigned long variable_arguments(int count, ...) {
    char text[64];
    va_list arguments;
    va_start(arguments, count);
    int length = vsnprintf(text, sizeof text, "%d %s %g", arguments);
    va_end(arguments);
    return (unsigned long)length + (unsigned char)text[0] + (unsigned long)count;
}

KEEP static unsigned long jump_table(unsigned long a) {
    switch (a % 9) {
    case 0:
        return early_return(a) + 1;
    case 1:
        return many_registers(a, 1, 2);
    case 2:
        return variable_arguments(3, (int)a, "three", 3.5);
    case 3:
        return early_return(a * 2) * 3;
    case 4:
        stacks_burn(20);
        return 4;
    case 5: {
        void *memory = malloc(a % 4096 + 1);
        memset(memory, 1, a % 4096 + 1);
        free(memory);
        return 5;
    }
    case 6:
        return (unsigned long)atoi("12345") + a;
    case 7:
        return many_registers(a, 7, 7) + early_return(a + 1);
    default:
        if (a == ~0UL)
            abort();
        return a;
    }
}

KEEP static unsigned long inner(unsigned long a) {
    unsigned long sum = 0;
    for (unsigned long turn = 0; turn < 100; turn++)
        sum += jump_table(a + turn);
    return sum;
}

KEEP static unsigned long middle(unsigned long a) {
    unsigned long result = inner(a);
    AFTER_CALL();
    return result + 1;
}

KEEP static unsigned long outer(unsigned long a) {
    char room[200];
    memset(room, (int)a, sizeof room);
    unsigned long result = middle(a);
    AFTER_CALL();
    return result + (unsigned char)room[a % sizeof room];
}

int main(void) {
    stacks_begin();
    for (unsigned long turn = 0;; turn++)
        stacks_sink += outer(turn);
}
