/* Opens, reads and closes a small file as fast as it can for the seconds given, and prints the rounds per second. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static double now_s(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    double seconds = argc > 1 ? atof(argv[1]) : 1;
    double start_s = now_s();
    unsigned long rounds = 0;
    char buffer[256];
    while (now_s() - start_s < seconds) {
        for (int i = 0; i < 100; i++) {
            int fd = open("/etc/hostname", O_RDONLY);
            if (fd < 0 || read(fd, buffer, sizeof buffer) < 0)
                return 1;
            close(fd);
            rounds++;
        }
    }
    printf("%.0f\n", (double)rounds / (now_s() - start_s));
    return 0;
}
