/*
 * Runs threads with names of their own, each burning CPU in a function of its own: what a profiler must tell apart.
 *
 * threads SECONDS: three threads named ant, bee and cat spin in run_ant, run_bee and run_cat until the time is over.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double end_s;

static double now_s(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

#define SPIN_UNTIL_END()                                                                                               \
    do {                                                                                                               \
        volatile unsigned long turns = 0;                                                                              \
        while (now_s() < end_s)                                                                                        \
            for (int i = 0; i < 1000000; i++)                                                                          \
                turns += 1;                                                                                            \
    } while (0)

__attribute__((noinline)) static void run_ant(void) {
    SPIN_UNTIL_END();
}
__attribute__((noinline)) static void run_bee(void) {
    SPIN_UNTIL_END();
}
__attribute__((noinline)) static void run_cat(void) {
    SPIN_UNTIL_END();
}

static const struct animal {
    const char *name;
    void (*run)(void);
} animals[] = {{"ant", run_ant}, {"bee", run_bee}, {"cat", run_cat}};

static void *live(void *argument) {
    const struct animal *animal = argument;
    pthread_setname_np(pthread_self(), animal->name);
    animal->run();
    return NULL;
}

int main(int argc, char **argv) {
    double seconds = argc > 1 ? atof(argv[1]) : 0;
    if (seconds <= 0) {
        fprintf(stderr, "usage: threads SECONDS\n");
        return 2;
    }
    end_s = now_s() + seconds;
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, live, (void *)&animals[i]);
    printf("ready\n");
    fflush(stdout);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    return 0;
}
