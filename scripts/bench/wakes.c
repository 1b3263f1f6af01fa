// A process among many: wakes five times a second and computes for a tenth of a millisecond. Ends with its starter.
#include <signal.h>
#include <sys/prctl.h>
#include <time.h>

static volatile unsigned sum;

static long now_ns(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000L + now.tv_nsec;
}

int main(void) {
    struct timespec pause = {0, 200000000};

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        long end_ns = now_ns() + 100000;

        while (now_ns() < end_ns)
            sum += 1;
        nanosleep(&pause, 0);
    }
}
