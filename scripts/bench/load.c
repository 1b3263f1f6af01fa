// Asks an HTTP server for one page, over and over, on connections that stay open.
//
//	load PORT PATH CONNECTIONS RATE SECONDS
//
// RATE requests a second in all, or 0 for as many as it will bear. Prints answers a second, and the 50th and 99th
// percentile of the time from when a request was due to its whole answer, in microseconds: a server that falls behind
// is not asked less.
#define _GNU_SOURCE // memmem

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { max_connections = 256, max_samples = 4000000 };

struct connection {
    int socket;
    int is_waiting;
    double due;
    char answer[65536];
    size_t answer_bytes;
};

static struct connection connections[max_connections];
static float latencies[max_samples];
static size_t samples;
static char request[512];

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void connect_to(struct connection *connection, int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connection->socket = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(connection->socket, (struct sockaddr *)&address, sizeof address) != 0)
        fail("connect");
    int yes = 1;
    setsockopt(connection->socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

static void ask(struct connection *connection, double due) {
    connection->is_waiting = 1;
    connection->due = due;
    connection->answer_bytes = 0;
    size_t length = strlen(request);
    if (write(connection->socket, request, length) != (ssize_t)length)
        fail("write");
}

// Tells whether the answer is whole: its header, and as many bytes as that says.
static int is_whole(const struct connection *connection) {
    const char *end = memmem(connection->answer, connection->answer_bytes, "\r\n\r\n", 4);
    if (end == NULL)
        return 0;
    const char *length = memmem(connection->answer, (size_t)(end - connection->answer), "Content-Length: ", 16);
    size_t body = length == NULL ? 0 : (size_t)atol(length + 16);
    return connection->answer_bytes >= (size_t)(end + 4 - connection->answer) + body;
}

static void take(struct connection *connection) {
    size_t room = sizeof connection->answer - connection->answer_bytes;
    ssize_t got = read(connection->socket, connection->answer + connection->answer_bytes, room);
    if (got <= 0)
        fail("the server closed a connection");
    connection->answer_bytes += (size_t)got;
    if (!is_whole(connection))
        return;
    connection->is_waiting = 0;
    if (samples < max_samples)
        latencies[samples++] = (float)((now() - connection->due) * 1e6);
}

static int compare(const void *a, const void *b) {
    float left = *(const float *)a, right = *(const float *)b;
    return (left > right) - (left < right);
}

// At a rate: hands what is due to connections that are free. Requests that find none wait, and their time counts.
static double hand_out(double next, double rate, int count) {
    for (int i = 0; i < count && next <= now(); i++) {
        if (connections[i].is_waiting)
            continue;
        ask(&connections[i], next);
        next += 1 / rate;
    }
    return next;
}

static void run(int count, double rate, double seconds) {
    int poll = epoll_create1(0);
    for (int i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &connections[i]};
        epoll_ctl(poll, EPOLL_CTL_ADD, connections[i].socket, &event);
    }
    double start = now(), next = start;
    while (now() - start < seconds) {
        if (rate > 0)
            next = hand_out(next, rate, count);
        else
            for (int i = 0; i < count; i++)
                if (!connections[i].is_waiting)
                    ask(&connections[i], now());
        struct epoll_event events[64];
        int ready = epoll_wait(poll, events, 64, rate > 0 ? 1 : 100);
        for (int i = 0; i < ready; i++)
            take(events[i].data.ptr);
    }
    double elapsed = now() - start;
    qsort(latencies, samples, sizeof latencies[0], compare);
    if (samples == 0)
        fail("no answer came");
    printf("%.0f %.1f %.1f\n", (double)samples / elapsed, latencies[samples / 2], latencies[samples * 99 / 100]);
}

int main(int argc, char **argv) {
    if (argc != 6 || atoi(argv[3]) < 1 || atoi(argv[3]) > max_connections) {
        fprintf(stderr, "use: load PORT PATH CONNECTIONS RATE SECONDS\n");
        return 2;
    }
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", argv[2]);
    int count = atoi(argv[3]);
    for (int i = 0; i < count; i++)
        connect_to(&connections[i], atoi(argv[1]));
    run(count, atof(argv[4]), atof(argv[5]));
    return 0;
}
