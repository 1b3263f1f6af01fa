/* Programs whose wall-clock is known by construction, by name: the first argument picks one, the second says for how
 * many seconds. Each thread has a name of its own, and prints at its end one line "name tid on_cpu_ns runnable_ns
 * elapsed_ns", the first two from /proc/self/task/TID/schedstat. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NS 1000000000LL
#define PAGE 4096

static int64_t end_ns;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int there[2], back[2];

static int64_t now_ns(void) {
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * NS + time.tv_nsec;
}

static void sleep_ns(int64_t ns) {
    struct timespec time = {ns / NS, ns % NS};

    nanosleep(&time, NULL);
}

__attribute__((noinline)) static void spin_ns(int64_t ns) {
    int64_t until = now_ns() + ns;

    while (now_ns() < until)
        ;
}

/* Of one thread. It begins where its maker stands, so that the wait for its first turn is in it. */
struct work {
    const char *name;
    void (*run)(void);
    int64_t start_ns;
    long tid;
    long long on_cpu_ns, runnable_ns, elapsed_ns;
};

static int open_schedstat(long tid) {
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/task/%ld/schedstat", tid);
    return open(path, O_RDONLY);
}

/* Ends right after it has looked at its clocks: what it did later would be in nobody's figures but the observer's. */
static void *thread_of(void *argument) {
    struct work *work = argument;
    char text[64] = "";
    int file;

    work->tid = syscall(SYS_gettid);
    pthread_setname_np(pthread_self(), work->name);
    file = open_schedstat(work->tid);
    work->run();
    if (pread(file, text, sizeof(text) - 1, 0) <= 0 ||
        sscanf(text, "%lld %lld", &work->on_cpu_ns, &work->runnable_ns) != 2)
        exit(2);
    work->elapsed_ns = now_ns() - work->start_ns;
    return NULL;
}

static void spin(void) {
    spin_ns(end_ns - now_ns());
}

static void sleeper(void) {
    while (now_ns() < end_ns)
        sleep_ns(NS / 100);
}

/* Holds the lock for 10 ms at a time; the other one waits for it meanwhile. */
__attribute__((noinline)) static void hold_lock(void) {
    pthread_mutex_lock(&mutex);
    sleep_ns(NS / 100);
    pthread_mutex_unlock(&mutex);
    sleep_ns(NS / 10000);
}

static void fight(void) {
    while (now_ns() < end_ns)
        hold_lock();
}

static void pass(int from, int to) {
    char byte;

    if (read(from, &byte, 1) == 1 && write(to, &byte, 1) != 1)
        exit(2);
}

static void ping(void) {
    if (write(there[1], "x", 1) != 1)
        exit(2);
    while (now_ns() < end_ns)
        pass(back[0], there[1]);
    close(there[1]);
    close(back[0]);
}

static void pong(void) {
    char byte;

    while (read(there[0], &byte, 1) == 1 && write(back[1], &byte, 1) == 1)
        ;
    close(back[1]);
}

static int scratch_file(int flags) {
    char path[] = "./waits-XXXXXX";
    int file = mkstemp(path), again;

    again = open(path, O_RDWR | flags);
    unlink(path);
    close(file);
    if (again < 0)
        exit(3);
    return again;
}

static void direct(void) {
    int file = scratch_file(O_DIRECT);
    void *room = aligned_alloc(PAGE, 16 * PAGE);
    int64_t offset = 0;

    memset(room, 1, 16 * PAGE);
    if (pwrite(file, room, 16 * PAGE, 0) < 0)
        exit(3);
    while (now_ns() < end_ns) {
        if (pread(file, room, PAGE, offset) != PAGE)
            exit(3);
        offset = (offset + PAGE) % (16 * PAGE);
    }
    close(file);
}

static void sync_loop(void) {
    int file = scratch_file(0);

    while (now_ns() < end_ns) {
        if (pwrite(file, "hotspan", 7, 0) != 7 || fsync(file))
            exit(3);
    }
    close(file);
}

static void touch(void) {
    size_t bytes = 64 << 20;

    while (now_ns() < end_ns) {
        char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        for (size_t i = 0; memory != MAP_FAILED && i < bytes; i += PAGE)
            memory[i] = 1;
        munmap(memory, bytes);
    }
}

static struct sockaddr_in address = {.sin_family = AF_INET};
static int listener;

static void server(void) {
    int connection = accept(listener, NULL, NULL);
    char text[64];

    while (read(connection, text, sizeof(text)) > 0) {
        sleep_ns(NS / 1000);
        if (write(connection, "reply", 5) != 5)
            exit(2);
    }
    close(connection);
}

static void client(void) {
    int connection = socket(AF_INET, SOCK_STREAM, 0);
    char text[64];

    if (connect(connection, (struct sockaddr *)&address, sizeof(address)))
        exit(2);
    while (now_ns() < end_ns) {
        if (write(connection, "request", 7) != 7 || read(connection, text, sizeof(text)) <= 0)
            exit(2);
    }
    close(connection);
}

/* 20 ms of each: running, sleeping, waiting for a child's end of a pipe to be written never. */
static void mixture(void) {
    while (now_ns() < end_ns) {
        spin_ns(NS / 50);
        sleep_ns(NS / 50);
    }
}

static void run_all(struct work *works, int count) {
    pthread_t threads[8];

    for (int i = 0; i < count; i++) {
        works[i].start_ns = now_ns();
        if (pthread_create(&threads[i], NULL, thread_of, &works[i]))
            exit(2);
    }
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < count; i++)
        printf("%s %ld %lld %lld %lld\n", works[i].name, works[i].tid, works[i].on_cpu_ns, works[i].runnable_ns,
               works[i].elapsed_ns);
}

static void listen_anywhere(void) {
    socklen_t size = sizeof(address);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 1) ||
        getsockname(listener, (struct sockaddr *)&address, &size))
        exit(2);
}

int main(int count, char **arguments) {
    static struct {
        const char *name;
        int threads;
        struct work works[8];
    } programs[] = {
        {"spin", 1, {{.name = "spin", .run = spin}}},
        {"sleep", 1, {{.name = "sleep", .run = sleeper}}},
        {"lock", 2, {{.name = "left", .run = fight}, {.name = "right", .run = fight}}},
        {"pipe", 2, {{.name = "ping", .run = ping}, {.name = "pong", .run = pong}}},
        {"direct", 1, {{.name = "direct", .run = direct}}},
        {"fsync", 1, {{.name = "fsync", .run = sync_loop}}},
        {"touch", 1, {{.name = "touch", .run = touch}}},
        {"loopback", 2, {{.name = "server", .run = server}, {.name = "client", .run = client}}},
        {"crowd",
         6,
         {{.name = "one", .run = spin},
          {.name = "two", .run = spin},
          {.name = "three", .run = spin},
          {.name = "four", .run = spin},
          {.name = "five", .run = spin},
          {.name = "six", .run = spin}}},
        {"mixture", 1, {{.name = "mixture", .run = mixture}}},
    };

    signal(SIGPIPE, SIG_IGN);
    if (count < 3 || pipe(there) || pipe(back))
        return 2;
    listen_anywhere();
    end_ns = now_ns() + (int64_t)(atof(arguments[2]) * (double)NS);
    for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
        if (!strcmp(programs[i].name, arguments[1])) {
            run_all(programs[i].works, programs[i].threads);
            return 0;
        }
    }
    return 2;
}
