/* Reads the clock in a loop: most of the time is spent in the vdso. */
#include "stacks.h"
#include <time.h>

STACKS_SINK;

KEEP static unsigned long read_clock(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    AFTER_CALL();
    return (unsigned long)time.tv_nsec;
}

KEEP static void read_clocks(void) {
    stacks_sink += read_clock(CLOCK_MONOTONIC) + read_clock(CLOCK_REALTIME);
}

int main(void) {
    stacks_begin();
    for (;;)
        read_clocks();
}
