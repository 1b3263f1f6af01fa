/*
 * Spends its time in the kernel, like dd: reads /dev/zero in big blocks and writes them to /dev/null. Nearly all of it
 * is the clearing of the buffer under read.
 *
 * ddloop SECONDS: runs for so long and prints the calls made as JSON.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define BLOCK_BYTES (256 * 1024)

static char block[BLOCK_BYTES];

static double now_s(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Reads and writes until the time is over; gives back the number of reads, or 0 after a failed call. */
__attribute__((noinline)) static unsigned long long copy_blocks(int from, int to, double end_s) {
    unsigned long long reads = 0;
    while (now_s() < end_s) {
        for (int i = 0; i < 64; i++) {
            if (read(from, block, BLOCK_BYTES) != BLOCK_BYTES || write(to, block, BLOCK_BYTES) != BLOCK_BYTES)
                return 0;
            reads++;
        }
    }
    return reads;
}

int main(int argc, char **argv) {
    double seconds = argc > 1 ? atof(argv[1]) : 0;
    if (seconds <= 0) {
        fprintf(stderr, "usage: ddloop SECONDS\n");
        return 2;
    }
    int from = open("/dev/zero", O_RDONLY);
    int to = open("/dev/null", O_WRONLY);
    if (from < 0 || to < 0) {
        perror("ddloop: open");
        return 1;
    }
    printf("ready\n");
    fflush(stdout);
    unsigned long long reads = copy_blocks(from, to, now_s() + seconds);
    printf("{\"reads\":%llu,\"writes\":%llu}\n", reads, reads);
    return reads > 0 ? 0 : 1;
}
