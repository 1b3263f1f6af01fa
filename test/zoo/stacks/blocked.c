/* Threads that wait in system calls, each below functions of its own: read from a pipe, futex, poll, nanosleep. */
#include "stacks.h"
#include <poll.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

STACKS_SINK;

static int ends[2];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

KEEP static void wait_in_read(void) {
    char byte;
    stacks_sink += (unsigned long)read(ends[0], &byte, 1);
}

KEEP static void wait_in_mutex(void) {
    pthread_mutex_lock(&mutex);
    AFTER_CALL();
}

KEEP static void wait_in_poll(void) {
    struct pollfd poll_end = {.fd = ends[0], .events = POLLIN};
    stacks_sink += (unsigned long)poll(&poll_end, 1, -1);
}

KEEP static void wait_in_sleep(void) {
    struct timespec time = {.tv_nsec = 1000000};
    nanosleep(&time, NULL);
    AFTER_CALL();
}

static void *live(void *wait) {
    for (;;)
        ((void (*)(void))wait)();
    return NULL;
}

int main(void) {
    pthread_t threads[3];
    if (pipe(ends) != 0)
        return 1;
    pthread_mutex_lock(&mutex);
    pthread_create(&threads[0], NULL, live, (void *)wait_in_mutex);
    pthread_create(&threads[1], NULL, live, (void *)wait_in_poll);
    pthread_create(&threads[2], NULL, live, (void *)wait_in_sleep);
    stacks_begin();
    for (;;)
        wait_in_read();
}
