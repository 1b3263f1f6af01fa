/* A process that maps and unmaps known amounts of address space, by every way there is. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define MIB (1UL << 20)

static void *check(void *memory) {
    if (memory == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    return memory;
}

__attribute__((noinline)) static void map_and_unmap(void) {
    for (int i = 0; i < 10; i++) {
        void *memory = check(mmap(NULL, 3 * MIB, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

        munmap(memory, 2 * MIB);
    }
}

__attribute__((noinline)) static void map_shared(void) {
    check(mmap(NULL, 5 * MIB, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
}

__attribute__((noinline)) static void map_file(void) {
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

    check(mmap(NULL, 4097, PROT_READ, MAP_PRIVATE, fd, 0));
    close(fd);
}

__attribute__((noinline)) static void move_break(void) {
    if (sbrk(7 * MIB) == (void *)-1 || sbrk(-(intptr_t)(3 * MIB)) == (void *)-1)
        exit(1);
}

__attribute__((noinline)) static void remap(void) {
    void *memory = check(mmap(NULL, MIB, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

    memory = check(mremap(memory, MIB, 9 * MIB, MREMAP_MAYMOVE));
    check(mremap(memory, 9 * MIB, 5 * MIB, 0));
    /* One that is refused is none. */
    if (mmap(NULL, 1UL << 60, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
        exit(1);
}

/* How often malloc is called is the argument: enough of them are more than any limit allows. */
__attribute__((noinline)) static void call_malloc(int calls) {
    for (int i = 0; i < calls; i++) {
        char *volatile memory = malloc(1000);

        free(memory);
    }
}

int main(int count, char **arguments) {
    char end;
    int calls = count > 1 ? atoi(arguments[1]) : 0;

    printf("ready\n");
    fflush(stdout);
    if (read(STDIN_FILENO, &end, 1) != 1)
        return 1;
    map_and_unmap();
    map_shared();
    map_file();
    move_break();
    remap();
    call_malloc(calls);
    printf("done\n");
    fflush(stdout);
    return read(STDIN_FILENO, &end, 1) == 1 ? 0 : 1;
}
