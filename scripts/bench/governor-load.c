/* A load that can be told how heavy it is: pairs of threads that pass a byte to and fro over pipes, RATE times a second
 * in all, and at each turn open, read and close a file. Arguments: rounds a second, seconds. Prints the rounds done. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define NS 1000000000LL
#define PAIRS 2

static int64_t end_ns;
static long per_pair;
static int there[PAIRS][2], back[PAIRS][2];
static long rounds[PAIRS];

static int64_t now_ns(void) {
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * NS + time.tv_nsec;
}

static void *answer(void *argument) {
    long pair = (long)argument;
    char byte;

    while (read(there[pair][0], &byte, 1) == 1)
        if (write(back[pair][1], &byte, 1) != 1)
            exit(2);
    return NULL;
}

static void file_calls(void) {
    char text[64];
    int file = open("/proc/self/comm", O_RDONLY);

    if (file < 0 || read(file, text, sizeof(text)) <= 0)
        exit(2);
    close(file);
}

/* In bursts of 10 ms each, so that it neither drifts nor sleeps once a round. */
static void *ask(void *argument) {
    long pair = (long)argument;
    int64_t start_ns = now_ns();
    char byte = 'x';

    while (now_ns() < end_ns) {
        long due = (now_ns() - start_ns) / 10000000 * per_pair / 100;
        struct timespec rest = {0, 1000000};

        while (rounds[pair] < due && now_ns() < end_ns) {
            if (write(there[pair][1], &byte, 1) != 1 || read(back[pair][0], &byte, 1) != 1)
                exit(2);
            file_calls();
            rounds[pair]++;
        }
        nanosleep(&rest, NULL);
    }
    close(there[pair][1]);
    return NULL;
}

int main(int count, char **arguments) {
    pthread_t threads[2 * PAIRS];
    long total = 0;

    if (count < 3)
        return 2;
    per_pair = atol(arguments[1]) / PAIRS;
    end_ns = now_ns() + (int64_t)(atof(arguments[2]) * (double)NS);
    for (long pair = 0; pair < PAIRS; pair++) {
        if (pipe(there[pair]) || pipe(back[pair]) || pthread_create(&threads[2 * pair], NULL, answer, (void *)pair) ||
            pthread_create(&threads[2 * pair + 1], NULL, ask, (void *)pair))
            return 2;
    }
    for (int i = 0; i < 2 * PAIRS; i++)
        pthread_join(threads[i], NULL);
    for (int pair = 0; pair < PAIRS; pair++)
        total += rounds[pair];
    printf("%ld\n", total);
    return 0;
}
