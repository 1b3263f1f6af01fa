/* A program whose code changes under the profiler: by a library that is loaded late, by fork, by exec, by ending soon.
 *   changes burn MS | late MS LIBRARY | fork MS | exec MS TIMES
 * All of its time is spent in changes_leaf, below functions named after the way that led there. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KEEP __attribute__((noinline, noclone))

static volatile unsigned long sink;
static long end_ms;

static long now_ms(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

KEEP static unsigned long changes_leaf(unsigned long seed) {
    while (now_ms() < end_ms)
        for (int i = 0; i < 100000; i++)
            seed = seed * 6364136223846793005UL + 1442695040888963407UL;
    return seed;
}

KEEP static unsigned long changes_deep(unsigned long (*leaf)(unsigned long), int depth) {
    unsigned long kept[16];
    unsigned long result;

    memset(kept, depth, sizeof(kept));
    result = depth ? changes_deep(leaf, depth - 1) : leaf(sink);
    return result ^ kept[result & 15];
}

KEEP static void in_child(void) {
    sink += changes_deep(changes_leaf, 10);
}

KEEP static void in_library(const char *path) {
    void *library = dlopen(path, RTLD_NOW);
    unsigned long (*work)(unsigned long (*)(unsigned long), unsigned long);

    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    work = (unsigned long (*)(unsigned long (*)(unsigned long), unsigned long))dlsym(library, "late_work");
    sink += work(changes_leaf, 5);
}

KEEP static void in_chain(char **argv) {
    static char left[16];

    sink += changes_deep(changes_leaf, 10);
    snprintf(left, sizeof(left), "%d", atoi(argv[3]) - 1);
    argv[3] = left;
    if (atoi(left) > 0)
        execv(argv[0], argv);
}

KEEP static void in_main(void) {
    sink += changes_deep(changes_leaf, 10);
}

int main(int argc, char **argv) {
    if (argc < 3)
        return 2;
    end_ms = now_ms() + atol(argv[2]);
    if (strcmp(argv[1], "late") == 0) {
        in_library(argv[3]);
    } else if (strcmp(argv[1], "fork") == 0) {
        pid_t child = fork();

        if (child == 0) {
            in_child();
            _exit(0);
        }
        waitpid(child, NULL, 0);
    } else if (strcmp(argv[1], "exec") == 0) {
        in_chain(argv);
    } else {
        in_main();
    }
    return 0;
}
