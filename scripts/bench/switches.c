// Loads that do little but switch between threads.
//
//	switches pipe SECONDS     two processes hand one byte to and fro; prints round trips a second
//	switches crowd SECONDS    4 groups of 10 senders and 10 receivers on socket pairs, 100 bytes a message, as
//hackbench has them; 	                          prints messages a second

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { groups = 4, pairs_in_group = 10, message_bytes = 100, max_children = 2 * groups * pairs_in_group };

static pid_t children[max_children];
static int child_count;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

// Tells whether this is the child.
static int spawned(void) {
    pid_t pid = fork();
    if (pid < 0)
        fail("fork");
    if (pid > 0)
        children[child_count++] = pid;
    return pid == 0;
}

static void end_children(void) {
    for (int i = 0; i < child_count; i++)
        kill(children[i], SIGKILL);
    while (wait(NULL) > 0) {
    }
}

static double ping_pong(double seconds) {
    int to[2], from[2];
    if (pipe(to) != 0 || pipe(from) != 0)
        fail("pipe");
    char byte = 0;
    if (spawned())
        for (;;)
            if (read(to[0], &byte, 1) != 1 || write(from[1], &byte, 1) != 1)
                _exit(1);
    long rounds = 0;
    double start = now();
    while (now() - start < seconds) {
        for (int i = 0; i < 100; i++)
            if (write(to[1], &byte, 1) != 1 || read(from[0], &byte, 1) != 1)
                fail("ping");
        rounds += 100;
    }
    return (double)rounds / (now() - start);
}

// Every receiver has a socket of its own, to which all senders of its group write in turn.
static double crowd(double seconds) {
    atomic_long *received = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (received == MAP_FAILED)
        fail("mmap");
    for (int group = 0; group < groups; group++) {
        int sockets[pairs_in_group][2];
        for (int i = 0; i < pairs_in_group; i++)
            if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets[i]) != 0)
                fail("socketpair");
        for (int i = 0; i < pairs_in_group; i++) {
            char message[message_bytes] = {0};
            if (spawned())
                for (;;) {
                    for (size_t have = 0; have < sizeof message;)
                        have += (size_t)read(sockets[i][0], message + have, sizeof message - have);
                    atomic_fetch_add_explicit(received, 1, memory_order_relaxed);
                }
            if (spawned())
                for (int to = 0;; to = (to + 1) % pairs_in_group)
                    if (write(sockets[to][1], message, sizeof message) != sizeof message)
                        _exit(1);
        }
        for (int i = 0; i < pairs_in_group; i++) {
            close(sockets[i][0]);
            close(sockets[i][1]);
        }
    }
    double start = now();
    long before = atomic_load(received);
    struct timespec time = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&time, NULL);
    return (double)(atomic_load(received) - before) / (now() - start);
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "use: switches pipe|crowd SECONDS\n");
        return 2;
    }
    double seconds = atof(argv[2]);
    double rate = strcmp(argv[1], "pipe") == 0 ? ping_pong(seconds) : crowd(seconds);
    end_children();
    printf("%.0f\n", rate);
    return 0;
}
