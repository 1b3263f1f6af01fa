/* Opens, reads, writes and syncs files a known number of times, and says of each call what it was, what came of it and
 * how long it took by its own clock.
 *
 *   filecalls DIRECTORY OPENS TRANSFERS SYNCS
 *
 * Prints "ready" and waits for SIGUSR1. Then it makes the calls, and prints one line for each: operation, system call,
 * result (negative errno), bytes asked for, nanoseconds, path. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct record {
    const char *operation;
    const char *call;
    long result;
    unsigned long asked;
    long nanoseconds;
    char path[200];
};

static struct record *records;
static long record_count;

static long now(void) {
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000L + time.tv_nsec;
}

/* Makes one system call between two looks at the clock. */
static long timed(struct record *record, long number, long a, long b, long c, long d) {
    long start = now();
    long result = syscall(number, a, b, c, d);
    long end = now();

    record->nanoseconds = end - start;
    record->result = result < 0 ? -errno : result;
    return result;
}

static struct record *next(const char *operation, const char *call, const char *path, unsigned long asked) {
    struct record *record = &records[record_count++];

    record->operation = operation;
    record->call = call;
    record->asked = asked;
    snprintf(record->path, sizeof(record->path), "%s", path);
    return record;
}

/* Distinct names; of each seven, one is in a directory that is not there. */
static void open_many(const char *directory, long count) {
    for (long i = 0; i < count; i++) {
        char path[200];
        struct record *record;
        long fd = -1;

        snprintf(path, sizeof(path), i % 7 == 3 ? "%s/nowhere/%05ld" : "%s/file-%05ld", directory, i);
        if (i % 4 == 0) {
            struct open_how how = {.flags = O_RDWR | O_CREAT, .mode = 0600};

            record = next("open", "openat2", path, 0);
            fd = timed(record, SYS_openat2, AT_FDCWD, (long)path, (long)&how, sizeof(how));
        } else if (i % 4 == 1) {
            record = next("open", "openat", path, 0);
            fd = timed(record, SYS_openat, AT_FDCWD, (long)path, O_RDWR | O_CREAT, 0600);
        } else if (i % 4 == 2) {
            record = next("open", "open", path, 0);
            fd = timed(record, SYS_open, (long)path, O_WRONLY | O_CREAT, 0600, 0);
        } else {
            record = next("open", "creat", path, 0);
            fd = timed(record, SYS_creat, (long)path, 0600, 0, 0);
        }
        if (fd >= 0)
            close((int)fd);
    }
}

/* All kinds of reads or writes of one file, some of them on a descriptor that does not allow it. */
static void transfer_many(const char *operation, int fd, int wrong_fd, const char *path, long count) {
    static char buffer[65536];
    int is_read = operation[0] == 'r';

    for (long i = 0; i < count; i++) {
        unsigned long size = (unsigned long)(i * 37 % 8192) + 1;
        struct iovec parts[3] = {{buffer, size}, {buffer, 7}, {buffer, 100}};
        int used = i % 11 == 5 ? wrong_fd : fd;
        long offset = i * 13 % 100000;

        if (i % 4 == 0)
            timed(next(operation, is_read ? "read" : "write", path, size), is_read ? SYS_read : SYS_write, used,
                  (long)buffer, (long)size, 0);
        else if (i % 4 == 1)
            timed(next(operation, is_read ? "pread64" : "pwrite64", path, size), is_read ? SYS_pread64 : SYS_pwrite64,
                  used, (long)buffer, (long)size, offset);
        else if (i % 4 == 2)
            timed(next(operation, is_read ? "readv" : "writev", path, size + 107), is_read ? SYS_readv : SYS_writev,
                  used, (long)parts, 3, 0);
        else
            timed(next(operation, is_read ? "preadv" : "pwritev", path, size + 7), is_read ? SYS_preadv : SYS_pwritev,
                  used, (long)parts, 2, offset);
    }
}

static void sync_many(int fd, const char *path, long count) {
    for (long i = 0; i < count; i++) {
        if (i % 2 == 0)
            timed(next("fsync", "fsync", path, 0), SYS_fsync, fd, 0, 0, 0);
        else
            timed(next("fsync", "fdatasync", path, 0), SYS_fdatasync, fd, 0, 0, 0);
    }
}

/* Reads and writes that are of no file: source file leaves them out. */
static void use_pipe(void) {
    int ends[2];
    char byte = 0;

    if (pipe(ends))
        return;
    for (int i = 0; i < 500; i++)
        if (write(ends[1], &byte, 1) != 1 || read(ends[0], &byte, 1) != 1)
            exit(3);
}

static int must_open(const char *path, int flags) {
    int fd = open(path, flags, 0600);

    if (fd < 0) {
        perror(path);
        exit(2);
    }
    return fd;
}

int main(int argc, char **argv) {
    char data[200];
    sigset_t signals;
    int both, reading, writing, caught;
    long opens, transfers, syncs;

    if (argc != 5) {
        fprintf(stderr, "usage: filecalls DIRECTORY OPENS TRANSFERS SYNCS\n");
        return 1;
    }
    opens = atol(argv[2]);
    transfers = atol(argv[3]);
    syncs = atol(argv[4]);
    records = calloc((size_t)(opens + 2 * transfers + syncs), sizeof(*records));
    snprintf(data, sizeof(data), "%s/data", argv[1]);
    both = must_open(data, O_RDWR | O_CREAT);
    reading = must_open(data, O_RDONLY);
    writing = must_open(data, O_WRONLY);
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR1);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    printf("ready\n");
    fflush(stdout);
    sigwait(&signals, &caught);

    open_many(argv[1], opens);
    transfer_many("write", both, reading, data, transfers);
    lseek(both, 0, SEEK_SET);
    transfer_many("read", both, writing, data, transfers);
    sync_many(both, data, syncs);
    use_pipe();

    for (long i = 0; i < record_count; i++)
        printf("%s %s %ld %lu %ld %s\n", records[i].operation, records[i].call, records[i].result, records[i].asked,
               records[i].nanoseconds, records[i].path);
    return 0;
}
