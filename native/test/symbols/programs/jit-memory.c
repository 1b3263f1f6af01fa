/*
 * Maps executable memory without a file, as a JIT compiler does, prints where, says "ready" and waits. With the
 * argument "silent" its /tmp is first made a file system in user space that answers nothing: who looks there waits for
 * ever. Another argument is a file, which is mapped as executable, as engines do to make a jitdump known.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

static int mount_silent(void) {
    char options[128];
    int fuse = open("/dev/fuse", O_RDWR);
    snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0", fuse);
    return fuse >= 0 && unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("silent", "/tmp", "fuse", 0, options) == 0;
}

static int map_file(const char *path) {
    int file = open(path, O_RDONLY);
    return file >= 0 && mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0) != MAP_FAILED;
}

int main(int argc, char **argv) {
    if (argc > 1 && !(strcmp(argv[1], "silent") == 0 ? mount_silent() : map_file(argv[1]))) {
        perror(argv[1]);
        return 1;
    }
    /* At a fixed place, so that a process started anew has it at the same one. */
    void *code = mmap((void *)0x510000000000, 0x10000, PROT_READ | PROT_WRITE | PROT_EXEC,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (code == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    printf("%p\nready\n", code);
    fflush(stdout);
    char byte;
    while (read(0, &byte, 1) > 0) {
    }
    return 0;
}
