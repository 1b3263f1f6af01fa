/* A process whose page faults and resident memory are known by construction: it touches memory of each class, gives
 * some of it back, says "ready" and ends when its input does. Its parent then prints the faults that the kernel counted
 * for it. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096UL
#define MIB (1UL << 20)

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static char *map(size_t bytes, int flags, int fd) {
    char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);

    if (memory == MAP_FAILED)
        fail("mmap");
    return memory;
}

static void write_pages(char *memory, size_t bytes) {
    for (size_t at = 0; at < bytes; at += PAGE)
        *(volatile char *)(memory + at) = 1;
}

__attribute__((noinline)) static void touch_anonymous(void) {
    char *memory = map(32 * MIB, MAP_PRIVATE | MAP_ANONYMOUS, -1);

    write_pages(memory, 32 * MIB);
    /* Half of it goes again, one part in each way. */
    munmap(memory, 8 * MIB);
    madvise(memory + 8 * MIB, 8 * MIB, MADV_DONTNEED);
}

__attribute__((noinline)) static void touch_zeros(void) {
    char *memory = map(4 * MIB, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    unsigned sum = 0;

    for (size_t at = 0; at < 4 * MIB; at += PAGE)
        sum += *(volatile char *)(memory + at);
    if (sum)
        exit(1);
}

__attribute__((noinline)) static void touch_heap(void) {
    char *memory = sbrk(4 * MIB);

    if (memory == (void *)-1)
        fail("sbrk");
    write_pages(memory, 4 * MIB);
}

__attribute__((noinline)) static void touch_stack(void) {
    char room[4 * MIB];

    write_pages(room, sizeof(room));
}

__attribute__((noinline)) static void touch_shared(void) {
    write_pages(map(8 * MIB, MAP_SHARED | MAP_ANONYMOUS, -1), 8 * MIB);
}

__attribute__((noinline)) static void touch_copied(void) {
    char path[] = "/tmp/faults-XXXXXX";
    int fd = mkstemp(path);
    unsigned sum = 0;
    char *memory;

    if (fd < 0 || unlink(path) || ftruncate(fd, 4 * (off_t)MIB))
        fail(path);
    memory = map(4 * MIB, MAP_PRIVATE, fd);
    for (size_t at = 0; at < 4 * MIB; at += PAGE)
        sum += *(volatile char *)(memory + at);
    write_pages(memory, 4 * MIB);
    if (sum || close(fd))
        exit(1);
}

__attribute__((noinline)) static void fill_at_once(void) {
    map(8 * MIB, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1);
}

/* The kernel writes to pages that are not there yet. */
__attribute__((noinline)) static void touch_by_read(void) {
    char *memory = map(2 * MIB, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);

    if (fd < 0 || read(fd, memory, 2 * MIB) != (ssize_t)(2 * MIB) || close(fd))
        fail("/dev/zero");
}

static void *touch_in_thread(void *memory) {
    write_pages(memory, 8 * MIB);
    return memory;
}

static void touch_in_threads(void) {
    pthread_t threads[3];
    /* Mapped before the threads' stacks, and so above them: no part of a stack, though the stacks' ends are below. */
    char *memory = map(24 * MIB, MAP_PRIVATE | MAP_ANONYMOUS, -1);

    for (int i = 0; i < 3; i++)
        if (pthread_create(&threads[i], NULL, touch_in_thread, memory + (size_t)i * 8 * MIB))
            fail("pthread_create");
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
}

static void work(void) {
    char end;

    /* Page by page: with huge pages the number of faults is the kernel's to choose. */
    if (prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0))
        fail("prctl");
    touch_anonymous();
    touch_zeros();
    touch_heap();
    touch_stack();
    touch_shared();
    touch_copied();
    fill_at_once();
    touch_by_read();
    touch_in_threads();
    printf("%d\nready\n", getpid());
    fflush(stdout);
    while (read(STDIN_FILENO, &end, 1) > 0)
        ;
}

int main(void) {
    struct rusage usage;
    pid_t child = fork();

    if (child < 0)
        fail("fork");
    if (child == 0) {
        work();
        return 0;
    }
    if (wait4(child, NULL, 0, &usage) != child)
        fail("wait4");
    printf("%ld %ld\n", usage.ru_minflt, usage.ru_majflt);
    return 0;
}
