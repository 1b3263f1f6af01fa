/*
 * Writes a small file and fsyncs it, again and again: a program whose spans can be looked for by name, path and stack.
 *
 * fsyncloop FOLDER SECONDS: about 20 files a second, all named record, in FOLDER. Prints the number of files as JSON
 * when it ends.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FILE_BYTES 4096

static char record[FILE_BYTES];

static double now_s(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Its own function, so that the stack of a span has a name to look for. Gives back whether all of it worked. */
__attribute__((noinline)) static int save_record(const char *path) {
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    int is_saved = file >= 0 && write(file, record, FILE_BYTES) == FILE_BYTES && fsync(file) == 0;
    if (file >= 0)
        close(file);
    return is_saved;
}

int main(int argc, char **argv) {
    double seconds = argc > 2 ? atof(argv[2]) : 0;
    char path[4096];
    if (seconds <= 0 || snprintf(path, sizeof path, "%s/record", argv[1]) >= (int)sizeof path) {
        fprintf(stderr, "usage: fsyncloop FOLDER SECONDS\n");
        return 2;
    }
    memset(record, 'r', FILE_BYTES);
    printf("ready\n");
    fflush(stdout);
    unsigned long long saved = 0;
    for (double end_s = now_s() + seconds; now_s() < end_s; saved++) {
        struct timespec rest = {0, 50000000};
        if (!save_record(path)) {
            perror("fsyncloop");
            return 1;
        }
        nanosleep(&rest, NULL);
    }
    printf("{\"saved\":%llu}\n", saved);
    return 0;
}
