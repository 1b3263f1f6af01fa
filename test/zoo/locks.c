/* Threads that wait for each other in known ways, by name: the first argument picks one, the second says for how many
 * seconds. Each thread prints at its end one line "name tid lock_ns waits held_ns holds": what its calls for the lock
 * or condition took by its own clock, how many of them waited, how long it held the lock, and how often. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NS 1000000000LL
/* A call that takes longer has waited. */
#define WAITED_NS 1000000LL

pthread_mutex_t fought_mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_mutex_t fought_pi;
pthread_cond_t posted = PTHREAD_COND_INITIALIZER;
static pthread_mutex_t posted_lock = PTHREAD_MUTEX_INITIALIZER;
static long posts;
static int64_t end_ns;

struct work {
    const char *name;
    void (*run)(struct work *);
    pthread_mutex_t *lock;
    long tid;
    int64_t lock_ns, held_ns;
    long waits, holds;
};

static int64_t now_ns(void) {
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * NS + time.tv_nsec;
}

static void sleep_ns(int64_t ns) {
    struct timespec time = {ns / NS, ns % NS};

    nanosleep(&time, NULL);
}

static void count_wait(struct work *work, int64_t took) {
    work->lock_ns += took;
    work->waits += took > WAITED_NS;
}

/* Holds the lock for 10 ms at a time; the other one waits for it meanwhile. */
__attribute__((noinline)) static void hold_lock(struct work *work) {
    int64_t start = now_ns(), got;

    pthread_mutex_lock(work->lock);
    got = now_ns();
    count_wait(work, got - start);
    sleep_ns(NS / 100);
    work->held_ns += now_ns() - got;
    work->holds++;
    pthread_mutex_unlock(work->lock);
    sleep_ns(NS / 10000);
}

static void fight(struct work *work) {
    while (now_ns() < end_ns)
        hold_lock(work);
}

/* Waits for a post every 10 ms. */
static void waiter(struct work *work) {
    pthread_mutex_lock(&posted_lock);
    while (now_ns() < end_ns) {
        while (!posts) {
            int64_t start = now_ns();

            pthread_cond_wait(&posted, &posted_lock);
            count_wait(work, now_ns() - start);
        }
        posts--;
    }
    pthread_mutex_unlock(&posted_lock);
}

static void poster(struct work *work) {
    int64_t over_ns = end_ns + NS / 10;

    (void)work;
    while (now_ns() < over_ns) {
        sleep_ns(NS / 100);
        pthread_mutex_lock(&posted_lock);
        posts++;
        pthread_mutex_unlock(&posted_lock);
        pthread_cond_signal(&posted);
    }
}

/* Holds the lock for nearly all of the time. */
static void holder(struct work *work) {
    pthread_mutex_lock(work->lock);
    sleep_ns(end_ns - now_ns() - NS / 4);
    pthread_mutex_unlock(work->lock);
}

static void once(struct work *work) {
    int64_t start;

    sleep_ns(NS / 20);
    start = now_ns();
    pthread_mutex_lock(work->lock);
    count_wait(work, now_ns() - start);
    pthread_mutex_unlock(work->lock);
}

static void *thread_of(void *argument) {
    struct work *work = argument;

    work->tid = syscall(SYS_gettid);
    pthread_setname_np(pthread_self(), work->name);
    work->run(work);
    return NULL;
}

int main(int count, char **arguments) {
    static struct {
        const char *name;
        struct work works[2];
    } programs[] = {
        {"mutex",
         {{.name = "left", .run = fight, .lock = &fought_mutex},
          {.name = "right", .run = fight, .lock = &fought_mutex}}},
        {"pi",
         {{.name = "left", .run = fight, .lock = &fought_pi}, {.name = "right", .run = fight, .lock = &fought_pi}}},
        {"condition", {{.name = "waiter", .run = waiter}, {.name = "poster", .run = poster}}},
        {"long",
         {{.name = "holder", .run = holder, .lock = &fought_mutex},
          {.name = "waiter", .run = once, .lock = &fought_mutex}}},
    };
    pthread_mutexattr_t attributes;
    pthread_t threads[2];

    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
    if (count < 3 || pthread_mutex_init(&fought_pi, &attributes))
        return 2;
    end_ns = now_ns() + (int64_t)(atof(arguments[2]) * (double)NS);
    for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
        if (strcmp(programs[i].name, arguments[1]))
            continue;
        for (int j = 0; j < 2; j++)
            if (pthread_create(&threads[j], NULL, thread_of, &programs[i].works[j]))
                return 2;
        for (int j = 0; j < 2; j++)
            pthread_join(threads[j], NULL);
        for (int j = 0; j < 2; j++) {
            const struct work *work = &programs[i].works[j];

            printf("%s %ld %lld %ld %lld %ld\n", work->name, work->tid, (long long)work->lock_ns, work->waits,
                   (long long)work->held_ns, work->holds);
        }
        return 0;
    }
    return 2;
}
