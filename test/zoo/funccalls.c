/* Calls functions of its own a known number of times: plain, recursive, jumped out of, and never left; and opens files.
 *
 *   funccalls CALLS DEPTH
 *
 * Prints "ready" and waits for SIGUSR1. Then it makes the calls, and prints one line for each: function, first
 * argument, result, nanoseconds. Recursive calls below the first have no time of their own. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))

static jmp_buf landing;

static long now(void) {
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000L + time.tv_nsec;
}

/* The volatile word keeps the compiler from computing ahead. */
NOINLINE long inner(long i) {
    volatile long sum = i;

    for (int round = 0; round < 20; round++)
        sum = sum + round;
    return sum;
}

NOINLINE long outer(long a, long b, long c, long d, long e, long f) {
    return inner(a) + b + c + d + e + f;
}

NOINLINE long recurse(long n) {
    volatile long own = n;

    if (n == 0)
        return 0;
    return recurse(n - 1) + own;
}

/* Left by longjmp: its return never comes. */
NOINLINE void leap(long i) {
    volatile long own = i;

    if (own >= 0)
        longjmp(landing, 1);
}

/* Left by the end of the thread. */
NOINLINE void vanish(long i) {
    volatile long own = i;

    if (own >= 0)
        pthread_exit(NULL);
}

/* The first end of a thread loads a library, which is done before anything is counted. */
static void *run_nothing(void *unused) {
    (void)unused;
    pthread_exit(NULL);
}

static void *run_vanish(void *i) {
    vanish((long)i);
    return NULL;
}

struct record {
    const char *name;
    long argument, result, nanoseconds;
};

static struct record *records;
static long record_count;

static void keep(const char *name, long argument, long result, long nanoseconds) {
    records[record_count++] = (struct record){name, argument, result, nanoseconds};
}

static void call_many(long calls, long depth) {
    for (long i = 0; i < calls; i++) {
        long start = now();
        long result = outer(i, 2, 3, 4, 5, 6);

        keep("outer", i, result, now() - start);
    }
    {
        long start = now();
        long result = recurse(depth);

        keep("recurse", depth, result, now() - start);
    }
    for (long i = 0; i < 10; i++) {
        if (!setjmp(landing))
            leap(i);
        keep("leap", i, 0, 0);
    }
    for (long i = 0; i < 5; i++) {
        pthread_t thread;

        if (!pthread_create(&thread, NULL, run_vanish, (void *)i))
            pthread_join(thread, NULL);
        keep("vanish", i, 0, 0);
    }
    {
        long start = now();
        long result = outer(-1, 2, 3, 4, 5, 6);

        keep("outer", -1, result, now() - start);
    }
}

static void open_many(long calls) {
    for (long i = 0; i < calls; i++) {
        const char *path = i % 3 == 1 ? "/nowhere/nothing" : "/dev/null";
        long start = now();
        int fd = open(path, O_RDONLY);
        long end = now();

        keep("open", i, fd < 0 ? -errno : fd, end - start);
        if (fd >= 0)
            close(fd);
    }
}

int main(int argc, char **argv) {
    pthread_t warm_up;
    sigset_t signals;
    int caught;
    long calls, depth;

    if (argc != 3) {
        fprintf(stderr, "usage: funccalls CALLS DEPTH\n");
        return 1;
    }
    calls = atol(argv[1]);
    depth = atol(argv[2]);
    records = calloc((size_t)(4 * calls + 64), sizeof(*records));
    if (!pthread_create(&warm_up, NULL, run_nothing, NULL))
        pthread_join(warm_up, NULL);
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR1);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    printf("ready\n");
    fflush(stdout);
    sigwait(&signals, &caught);

    call_many(calls, depth);
    open_many(calls);

    for (long i = 0; i < record_count; i++)
        printf("%s %ld %ld %ld\n", records[i].name, records[i].argument, records[i].result, records[i].nanoseconds);
    return 0;
}
