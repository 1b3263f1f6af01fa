/* deep DEPTH: burns at the end of DEPTH calls, of three functions with frames of different sizes in turn, and comes
 * back a hundred times a second. Built without frame pointers it costs the unwinder what a program of that depth costs.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

static volatile unsigned long sink;

static unsigned long small(int depth, unsigned long turns);

static void burn(unsigned long turns) {
    for (unsigned long turn = 0; turn < turns; turn++)
        sink += turn * 2654435761u;
}

__attribute__((noinline)) static unsigned long large(int depth, unsigned long turns) {
    char room[300];
    memset(room, depth, sizeof room);
    unsigned long below = depth <= 0 ? (burn(turns), 1) : small(depth - 1, turns);
    return below + (unsigned char)room[turns % sizeof room];
}

__attribute__((noinline)) static unsigned long medium(int depth, unsigned long turns) {
    unsigned long kept = turns ^ (unsigned long)depth;
    unsigned long below = depth <= 0 ? (burn(turns), 1) : large(depth - 1, turns);
    return below * kept + (unsigned long)depth;
}

__attribute__((noinline)) static unsigned long small(int depth, unsigned long turns) {
    unsigned long below = depth <= 0 ? (burn(turns), 1) : medium(depth - 1, turns);
    return below + 1;
}

int main(int argc, char **argv) {
    int depth = argc > 1 ? atoi(argv[1]) : 20;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    puts("ready");
    fflush(stdout);
    for (;;)
        sink += small(depth, 3000000);
}
