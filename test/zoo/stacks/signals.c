/*
 * A timer's signal arrives all the time; its handler calls two functions deep, so that half of all stacks lead through
 * a signal frame into what was interrupted: code of this program, of libc and of the vdso.
 *
 * signals [alternate]: the handler runs on the interrupted stack, or on one of its own.
 */
#include "stacks.h"
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

STACKS_SINK;

KEEP static void handler_inner(void) {
    stacks_burn(30000);
    AFTER_CALL();
}

KEEP static void handler_outer(void) {
    handler_inner();
    AFTER_CALL();
}

static void handle_timer(int number) {
    (void)number;
    handler_outer();
    AFTER_CALL();
}

KEEP static void interrupted_inner(unsigned long turn) {
    struct timespec time;
    char text[512];
    clock_gettime(CLOCK_MONOTONIC, &time);
    memset(text, (int)turn, sizeof text);
    stacks_burn(200);
    stacks_sink += (unsigned long)time.tv_nsec + (unsigned char)text[turn % sizeof text];
}

KEEP static void interrupted_outer(unsigned long turn) {
    interrupted_inner(turn);
    AFTER_CALL();
}

int main(int argc, char **argv) {
    int is_alternate = argc > 1 && strcmp(argv[1], "alternate") == 0;
    stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536};
    if (is_alternate && sigaltstack(&stack, NULL) != 0)
        return 1;
    struct sigaction action = {.sa_handler = handle_timer, .sa_flags = SA_RESTART | (is_alternate ? SA_ONSTACK : 0)};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval interval = {.it_interval = {0, 200}, .it_value = {0, 200}};
    setitimer(ITIMER_REAL, &interval, NULL);
    stacks_begin();
    for (unsigned long turn = 0;; turn++)
        interrupted_outer(turn);
}
