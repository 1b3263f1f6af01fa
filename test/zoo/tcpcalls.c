/* Makes connections whose fate is known, in a network namespace of its own. Told what to do by lines on stdin, and
 * answers each by a line "ok" with what it knows of what it did:
 *   echo COUNT     connections over which bytes go and come back: "ok PORT SENT RECEIVED ..."
 *   refuse COUNT   tries at a port where nobody listens
 *   reset COUNT    connections that the client breaks off
 *   timeout        a try that a full listener does not answer
 *   abandon COUNT  such tries, given up at once
 *   bulk BYTES     a connection that stays open after the bytes are through: "ok PORT"
 *   snmp           the kernel's counters: "ok ActiveOpens PassiveOpens AttemptFails EstabResets RetransSegs" */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void check(int is_fine, const char *what) {
    if (!is_fine)
        die(what);
}

static void bring_up_loopback(void) {
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    check(ioctl(fd, SIOCSIFFLAGS, &request) == 0, "lo up");
    close(fd);
}

static void set_sysctl(const char *path, const char *value) {
    FILE *file = fopen(path, "w");

    if (!file)
        return;
    fputs(value, file);
    fclose(file);
}

static int listener_of(int backlog, struct sockaddr_in *address) {
    socklen_t length = sizeof(*address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    check(bind(fd, (void *)address, length) == 0, "bind");
    check(backlog < 0 || listen(fd, backlog) == 0, "listen");
    check(getsockname(fd, (void *)address, &length) == 0, "getsockname");
    return fd;
}

static int connected(const struct sockaddr_in *address) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    check(connect(fd, (const void *)address, sizeof(*address)) == 0, "connect");
    return fd;
}

static unsigned port_of(int fd) {
    struct sockaddr_in address;
    socklen_t length = sizeof(address);

    check(getsockname(fd, (void *)&address, &length) == 0, "getsockname");
    return ntohs(address.sin_port);
}

static void send_all(int fd, size_t bytes) {
    static char buffer[65536];

    while (bytes > 0) {
        ssize_t sent = write(fd, buffer, bytes < sizeof(buffer) ? bytes : sizeof(buffer));

        check(sent > 0, "write");
        bytes -= (size_t)sent;
    }
}

static size_t receive_all(int fd) {
    static __thread char buffer[65536];
    size_t bytes = 0;
    ssize_t received;

    while ((received = read(fd, buffer, sizeof(buffer))) > 0)
        bytes += (size_t)received;
    return bytes;
}

/* Takes one connection, reads it to its end and answers twice as much. */
static void *serve(void *argument) {
    int fd = accept(*(int *)argument, NULL, NULL);

    check(fd >= 0, "accept");
    send_all(fd, 2 * receive_all(fd));
    close(fd);
    return NULL;
}

static void echo(int count) {
    struct sockaddr_in address;
    int listener = listener_of(8, &address);

    printf("ok");
    for (int i = 0; i < count; i++) {
        size_t bytes = 100 + (size_t)i * 1000, received;
        pthread_t server;
        int fd;

        check(pthread_create(&server, NULL, serve, &listener) == 0, "thread");
        fd = connected(&address);
        send_all(fd, bytes);
        shutdown(fd, SHUT_WR);
        received = receive_all(fd);
        printf(" %u %zu %zu", port_of(fd), bytes, received);
        close(fd);
        pthread_join(server, NULL);
    }
    close(listener);
    printf("\n");
}

static void refuse(int count) {
    struct sockaddr_in address;
    int bound = listener_of(-1, &address);

    for (int i = 0; i < count; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);

        check(connect(fd, (void *)&address, sizeof(address)) < 0 && errno == ECONNREFUSED, "refused");
        close(fd);
    }
    close(bound);
    printf("ok\n");
}

static void reset(int count) {
    struct sockaddr_in address;
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    int listener = listener_of(8, &address);

    for (int i = 0; i < count; i++) {
        int client = connected(&address), server = accept(listener, NULL, NULL);
        char byte;

        check(setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)) == 0, "linger");
        close(client);
        check(read(server, &byte, 1) < 0 && errno == ECONNRESET, "reset");
        close(server);
    }
    close(listener);
    printf("ok\n");
}

/* A listener that takes nothing: its queue holds one connection, and first packets are dropped from then on. */
static void knock(int count, int is_patient) {
    struct sockaddr_in address;
    int listener = listener_of(0, &address), filler = connected(&address);

    for (int i = 0; i < count; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | (is_patient ? 0 : SOCK_NONBLOCK), 0);

        check(connect(fd, (void *)&address, sizeof(address)) < 0 && errno == (is_patient ? ETIMEDOUT : EINPROGRESS),
              "no answer");
        close(fd);
    }
    close(filler);
    close(listener);
    printf("ok\n");
}

static int bulk_client, bulk_server;

static void *drain(void *argument) {
    static char buffer[65536];
    long left = *(long *)argument;

    while (left > 0) {
        ssize_t received = read(bulk_server, buffer, sizeof(buffer));

        check(received > 0, "read");
        left -= received;
    }
    return NULL;
}

static void bulk(long bytes) {
    struct sockaddr_in address;
    int listener = listener_of(1, &address);
    pthread_t reader;

    bulk_client = connected(&address);
    bulk_server = accept(listener, NULL, NULL);
    check(pthread_create(&reader, NULL, drain, &bytes) == 0, "thread");
    send_all(bulk_client, (size_t)bytes);
    pthread_join(reader, NULL);
    close(listener);
    printf("ok %u\n", port_of(bulk_client));
}

static void snmp(void) {
    static const char *const names[] = {"ActiveOpens", "PassiveOpens", "AttemptFails", "EstabResets", "RetransSegs"};
    char heads[1024], values[1024], *head, *value, *head_rest, *value_rest;
    FILE *file = fopen("/proc/thread-self/net/snmp", "r");

    check(file != NULL, "snmp");
    do {
        check(fgets(heads, sizeof(heads), file) && fgets(values, sizeof(values), file), "Tcp:");
    } while (strncmp(heads, "Tcp:", 4) != 0);
    fclose(file);
    printf("ok");
    head = strtok_r(heads, " \n", &head_rest);
    value = strtok_r(values, " \n", &value_rest);
    while (head && value) {
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
            if (strcmp(head, names[i]) == 0)
                printf(" %s", value);
        head = strtok_r(NULL, " \n", &head_rest);
        value = strtok_r(NULL, " \n", &value_rest);
    }
    printf("\n");
}

static void obey(const char *command, long number) {
    if (strcmp(command, "echo") == 0)
        echo((int)number);
    else if (strcmp(command, "refuse") == 0)
        refuse((int)number);
    else if (strcmp(command, "reset") == 0)
        reset((int)number);
    else if (strcmp(command, "timeout") == 0)
        knock(1, 1);
    else if (strcmp(command, "abandon") == 0)
        knock((int)number, 0);
    else if (strcmp(command, "bulk") == 0)
        bulk(number);
    else if (strcmp(command, "snmp") == 0)
        snmp();
    else
        die(command);
    fflush(stdout);
}

int main(void) {
    char line[128], command[32];

    check(unshare(CLONE_NEWNET) == 0, "unshare");
    bring_up_loopback();
    set_sysctl("/proc/sys/net/ipv4/tcp_syn_retries", "1");
    set_sysctl("/proc/sys/net/ipv4/tcp_syn_linear_timeouts", "0");
    printf("ready\n");
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin)) {
        long number = 0;

        if (sscanf(line, "%31s %ld", command, &number) >= 1)
            obey(command, number);
    }
    return 0;
}
