/*
 * What the programs here share. Each loops for ever through calls that are known by name, so that it can be stopped
 * anywhere and its stack compared; it ends when whoever started it ends.
 */
#ifndef STACKS_H
#define STACKS_H

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A function that stays one: neither inlined nor copied nor left by a jump instead of a call. */
#define KEEP __attribute__((noinline))

extern volatile unsigned long stacks_sink;

/* After a call, so that it is not the last thing its caller does and cannot become a jump. */
#define AFTER_CALL() __asm__ volatile("" ::: "memory")

static inline void stacks_begin(void) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    puts("ready");
    fflush(stdout);
}

/* Defined once in each program. */
#define STACKS_SINK volatile unsigned long stacks_sink

static inline void stacks_burn(unsigned long turns) {
    for (unsigned long turn = 0; turn < turns; turn++)
        stacks_sink += turn * 2654435761u;
}

#ifdef __cplusplus
}
#endif

#endif
