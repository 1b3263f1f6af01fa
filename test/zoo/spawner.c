/*
 * Starts many processes that live for a few milliseconds, the hardest case for a process table.
 *
 * spawner COUNT LIFE_MS: starts COUNT times, one after the other, this same program under the name "short-lived" with
 * its number as argument; each sleeps LIFE_MS and exits with number % 7. Prints, for each, its pid and its exit code as
 * JSON.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define EXIT_CODES 7

static int live(const char *number, const char *life_ms) {
    long life = atol(life_ms);
    struct timespec time = {life / 1000, life % 1000 * 1000000};
    nanosleep(&time, NULL);
    return atoi(number) % EXIT_CODES;
}

static int spawn_one(int number, const char *life_ms) {
    char text[16];
    snprintf(text, sizeof text, "%d", number);
    pid_t pid = fork();
    if (pid == 0) {
        execl("/proc/self/exe", "short-lived", text, life_ms, (char *)NULL);
        _exit(127);
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) {
        perror("spawner: fork or wait");
        return 1;
    }
    printf("%s{\"number\":%d,\"pid\":%d,\"exitCode\":%d}", number == 0 ? "" : ",", number, pid, WEXITSTATUS(status));
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: spawner COUNT LIFE_MS\n");
        return 2;
    }
    if (strcmp(argv[0], "short-lived") == 0)
        return live(argv[1], argv[2]);
    int count = atoi(argv[1]);
    printf("[");
    /* A child must not write what its parent still holds in its buffer. */
    fflush(stdout);
    for (int number = 0; number < count; number++) {
        if (spawn_one(number, argv[2]) != 0)
            return 1;
        fflush(stdout);
    }
    printf("]\n");
    return 0;
}
