/*
 * Spends its CPU time in four functions by known shares: 60, 25, 10 and 5 percent. The work is counted, not timed, so
 * that a profiler that interrupts it does not change the shares; all four run the same loop, so that one turn costs the
 * same in each.
 *
 * shares SECONDS [threads]: runs for about so long. With "threads" the work is done twice, by threads named shares-left
 * and shares-right, of which the right one does only half of it. Prints the turns done in each function as JSON when it
 * ends.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A round is about 20 ms of work: long against a sample's period, short against a run. */
#define ROUND_NS 20000000.0
#define CALIBRATION_TURNS 100000000ULL

struct worker {
    const char *name;
    double seconds;
    /* Share of the rounds that this worker does; it sleeps through the others. */
    double duty;
    uint64_t turns[4];
};

static double turns_per_ns;

static double now_ns(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/*
 * The multiplication makes each turn wait for the one before, so its cost is the latency of one instruction chain.
 * Asking for the frame's address makes the compiler set up a frame pointer, which it leaves out of a leaf without
 * locals whatever the flags say.
 */
#define SPIN(turns)                                                                                                    \
    do {                                                                                                               \
        uint64_t value = (turns) | 1;                                                                                  \
        __asm__ volatile("" : : "r"(__builtin_frame_address(0)));                                                      \
        for (uint64_t turn = 0; turn < (turns); turn++) {                                                              \
            value = value * 6364136223846793005ULL + 1442695040888963407ULL;                                           \
            __asm__ volatile("" : "+r"(value));                                                                        \
        }                                                                                                              \
    } while (0)

__attribute__((noinline)) static void burn_sixty(uint64_t turns) {
    SPIN(turns);
}
__attribute__((noinline)) static void burn_twenty_five(uint64_t turns) {
    SPIN(turns);
}
__attribute__((noinline)) static void burn_ten(uint64_t turns) {
    SPIN(turns);
}
__attribute__((noinline)) static void burn_five(uint64_t turns) {
    SPIN(turns);
}

/* Its own function, so that calibration does not count in any of the four. Uses CPU time: others may run beside it. */
__attribute__((noinline)) static void calibrate(void) {
    double start_ns = now_ns(CLOCK_THREAD_CPUTIME_ID);
    SPIN(CALIBRATION_TURNS);
    turns_per_ns = (double)CALIBRATION_TURNS / (now_ns(CLOCK_THREAD_CPUTIME_ID) - start_ns);
}

__attribute__((noinline)) static void do_round(struct worker *worker) {
    uint64_t unit = (uint64_t)(ROUND_NS * turns_per_ns / 20);
    uint64_t turns[4] = {12 * unit, 5 * unit, 2 * unit, unit};
    burn_sixty(turns[0]);
    burn_twenty_five(turns[1]);
    burn_ten(turns[2]);
    burn_five(turns[3]);
    for (int i = 0; i < 4; i++)
        worker->turns[i] += turns[i];
}

static void *run_worker(void *argument) {
    struct worker *worker = argument;
    pthread_setname_np(pthread_self(), worker->name);
    double end_ns = now_ns(CLOCK_MONOTONIC) + worker->seconds * 1e9;
    double start_ns, used_ns;
    while ((start_ns = now_ns(CLOCK_MONOTONIC)) < end_ns) {
        do_round(worker);
        used_ns = now_ns(CLOCK_MONOTONIC) - start_ns;
        if (worker->duty < 1) {
            double rest_ns = used_ns * (1 / worker->duty - 1);
            struct timespec rest = {(time_t)(rest_ns / 1e9), (long)(rest_ns - (double)(time_t)(rest_ns / 1e9) * 1e9)};
            nanosleep(&rest, NULL);
        }
    }
    return NULL;
}

static void print_turns(const struct worker *worker, const char *end) {
    printf("\"%s\":{\"burn_sixty\":%llu,\"burn_twenty_five\":%llu,\"burn_ten\":%llu,\"burn_five\":%llu}%s",
           worker->name, (unsigned long long)worker->turns[0], (unsigned long long)worker->turns[1],
           (unsigned long long)worker->turns[2], (unsigned long long)worker->turns[3], end);
}

int main(int argc, char **argv) {
    double seconds = argc > 1 ? atof(argv[1]) : 0;
    int has_threads = argc > 2 && strcmp(argv[2], "threads") == 0;
    if (seconds <= 0) {
        fprintf(stderr, "usage: shares SECONDS [threads]\n");
        return 2;
    }
    calibrate();
    /* Tells whoever watches that from here on only the four functions run. */
    printf("ready\n");
    fflush(stdout);
    if (!has_threads) {
        struct worker worker = {.name = "shares", .seconds = seconds, .duty = 1};
        run_worker(&worker);
        printf("{");
        print_turns(&worker, "}\n");
        return 0;
    }
    struct worker left = {.name = "shares-left", .seconds = seconds, .duty = 1};
    struct worker right = {.name = "shares-right", .seconds = seconds, .duty = 0.5};
    pthread_t threads[2];
    pthread_create(&threads[0], NULL, run_worker, &left);
    pthread_create(&threads[1], NULL, run_worker, &right);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    printf("{");
    print_turns(&left, ",");
    print_turns(&right, "}\n");
    return 0;
}
