/* Maps executable memory without a file, as a JIT compiler does, prints where, says "ready" and waits. */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int main(void) {
    /* At a fixed place, so that a process started anew has it at the same one. */
    void *code = mmap((void *)0x510000000000, 0x10000, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
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
