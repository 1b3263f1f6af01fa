/* libc calls back into the program: qsort and bsearch with comparisons that have frames of their own. */
#include "stacks.h"
#include <stdlib.h>

STACKS_SINK;

#define COUNT 300

KEEP static int compare_inner(unsigned a, unsigned b) {
    stacks_burn(4);
    return (a > b) - (a < b);
}

static int compare(const void *left, const void *right) {
    int result = compare_inner(*(const unsigned *)left, *(const unsigned *)right);
    AFTER_CALL();
    return result;
}

KEEP static void sort_and_search(unsigned seed) {
    unsigned values[COUNT];
    for (unsigned i = 0; i < COUNT; i++)
        values[i] = seed = seed * 1664525u + 1013904223u;
    unsigned wanted = values[COUNT / 3];
    qsort(values, COUNT, sizeof values[0], compare);
    const unsigned *found = bsearch(&wanted, values, COUNT, sizeof values[0], compare);
    stacks_sink += found ? *found : 0;
}

int main(void) {
    stacks_begin();
    for (unsigned seed = 1;; seed++)
        sort_and_search(seed);
}
