#include "sender.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* --- Types ---------------------------------------------------------------------------------- */

enum { HEAD_MAX = 640, ANSWER_MAX = 8192, RETRY_MS = 50 };

/*
 *            tick allowed                all sent            2xx
 *   IDLE ------------------> SENDING --------------> ANSWERED ---> IDLE ... DONE
 *     ^                         ^ |  connection lost      | 503, 429
 *     |                         | v                       v
 *     +---- (other connections) PAUSED <------------------+
 */
enum state { STATE_IDLE, STATE_SENDING, STATE_ANSWERED, STATE_PAUSED, STATE_DONE };

struct connection {
    enum state state;
    int socket; /* -1: not open */
    uint64_t tick;
    uint64_t request; /* of the tick */
    struct body body;
    char head[HEAD_MAX];
    size_t head_size;
    size_t sent; /* of head and body */
    char answer[ANSWER_MAX];
    size_t answer_size;
    int64_t started_ns; /* of the first try of this request */
    int64_t paused_until_ns;
};

struct sender {
    const struct bodies *bodies;
    const struct sender_options *options;
    struct connection connections[BODIES_CONNECTIONS_MAX];
    uint32_t connection_count;
    double *latencies_ms; /* [request_count] so far, room for all */
    struct sender_outcome outcome;
};

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* --- Address -------------------------------------------------------------------------------- */

enum error_code sender_parse_url(const char *url, struct sender_options *options,
                                 struct error *error)
{
    char host[sizeof options->host], path[sizeof options->path];
    unsigned port;
    struct in_addr address;
    if (sscanf(url, "http://%63[0-9.]:%u%191s", host, &port, path) != 3 || path[0] != '/' ||
        port == 0 || port > UINT16_MAX || inet_pton(AF_INET, host, &address) != 1)
        return error_set(error, ERROR_INVALID,
                         "'%s' is not like http://127.0.0.1:9009/api/v1/write", url);
    memcpy(options->host, host, sizeof host);
    memcpy(options->path, path, sizeof path);
    options->port = (uint16_t)port;
    return ERROR_NONE;
}

static enum error_code connect_socket(const struct sender_options *options, int *socket_out,
                                      struct error *error)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(options->port)};
    int one = 1;
    int opened = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    inet_pton(AF_INET, options->host, &address.sin_addr);
    /* Blocking until connected, then not: a server on this machine accepts at once. */
    if (opened < 0 || connect(opened, (struct sockaddr *)&address, sizeof address) != 0) {
        int reason = errno;
        if (opened >= 0)
            close(opened);
        return error_set(error, ERROR_IO, "connect to %s:%u: %s", options->host, options->port,
                         strerror(reason));
    }
    setsockopt(opened, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    *socket_out = opened;
    return ERROR_NONE;
}

/* --- One request ---------------------------------------------------------------------------- */

static void write_head(struct sender *sender, struct connection *connection)
{
    static const char *const TYPES[] = {
        [BODIES_PROTOCOL_1] = "application/x-protobuf\r\nX-Prometheus-Remote-Write-Version: 0.1.0",
        [BODIES_PROTOCOL_2] = "application/x-protobuf;proto=io.prometheus.write.v2.Request\r\n"
                              "X-Prometheus-Remote-Write-Version: 2.0.0",
    };
    int size = snprintf(connection->head, sizeof connection->head,
                        "POST %s HTTP/1.1\r\nHost: %s:%u\r\nUser-Agent: gnomon-benchmark\r\n"
                        "Content-Encoding: snappy\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
                        "\r\n",
                        sender->options->path, sender->options->host, sender->options->port,
                        TYPES[sender->bodies->options.protocol], connection->body.size);
    assert(size > 0 && (size_t)size < sizeof connection->head);
    connection->head_size = (size_t)size;
}

static void begin_try(struct connection *connection)
{
    connection->state = STATE_SENDING;
    connection->sent = 0;
    connection->answer_size = 0;
}

/* The slowest connection holds the others back. */
static bool tick_is_allowed(const struct sender *sender, uint64_t tick)
{
    for (uint32_t i = 0; i < sender->connection_count; i++) {
        const struct connection *other = &sender->connections[i];
        if (other->state != STATE_DONE && other->tick + SENDER_TICKS_APART < tick)
            return false;
    }
    return true;
}

static void advance(struct sender *sender, struct connection *connection)
{
    if (++connection->request == sender->bodies->requests_per_turn) {
        connection->request = 0;
        connection->tick++;
    }
}

static void begin_request(struct sender *sender, struct connection *connection)
{
    uint32_t number = (uint32_t)(connection - sender->connections);
    for (;;) {
        if (connection->tick >= sender->options->end_tick) {
            connection->state = STATE_DONE;
            return;
        }
        if (!tick_is_allowed(sender, connection->tick))
            return;
        connection->body = bodies_at(sender->bodies, connection->tick, number, connection->request);
        if (connection->body.series_count > 0)
            break;
        advance(sender, connection); /* the last request of a short run may be empty */
    }
    write_head(sender, connection);
    connection->started_ns = now_ns();
    begin_try(connection);
}

static void try_again(struct sender *sender, struct connection *connection)
{
    connection->state = STATE_PAUSED;
    connection->paused_until_ns = now_ns() + INT64_C(1000000) * RETRY_MS;
    sender->outcome.retry_count++;
}

static void lose_connection(struct sender *sender, struct connection *connection)
{
    close(connection->socket);
    connection->socket = -1;
    try_again(sender, connection);
}

static void send_more(struct sender *sender, struct connection *connection)
{
    size_t total = connection->head_size + connection->body.size;
    while (connection->sent < total) {
        struct iovec parts[2];
        int count = 0;
        size_t body_sent = 0;
        if (connection->sent < connection->head_size)
            parts[count++] = (struct iovec){connection->head + connection->sent,
                                            connection->head_size - connection->sent};
        else
            body_sent = connection->sent - connection->head_size;
        parts[count++] = (struct iovec){(void *)(uintptr_t)(connection->body.bytes + body_sent),
                                        connection->body.size - body_sent};
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = (size_t)count};
        ssize_t sent = sendmsg(connection->socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) {
            if (errno != EAGAIN && errno != EINTR)
                lose_connection(sender, connection);
            return;
        }
        connection->sent += (size_t)sent;
    }
    connection->state = STATE_ANSWERED;
}

/* --- One answer ----------------------------------------------------------------------------- */

/* The status, or 0 while the answer is incomplete, or -1 when it is none. */
static int parse_answer(struct connection *connection)
{
    int status;
    unsigned long long length = 0;
    connection->answer[connection->answer_size] = '\0';
    const char *end = strstr(connection->answer, "\r\n\r\n");
    if (end == NULL)
        return connection->answer_size + 1 == ANSWER_MAX ? -1 : 0;
    if (sscanf(connection->answer, "HTTP/1.1 %d", &status) != 1)
        return -1;
    const char *field = strcasestr(connection->answer, "\r\nContent-Length:");
    if (field != NULL && field < end &&
        sscanf(field + sizeof "\r\nContent-Length:" - 1, "%llu", &length) != 1)
        return -1;
    size_t whole = (size_t)(end - connection->answer) + 4 + (size_t)length;
    if (whole >= ANSWER_MAX)
        return status / 100 == 2 ? -1 : status; /* a refusal is shown as far as it came */
    return connection->answer_size < whole ? 0 : status;
}

static enum error_code finish_request(struct sender *sender, struct connection *connection,
                                      int status, struct error *error)
{
    if (status == 503 || status == 429) {
        try_again(sender, connection);
        return ERROR_NONE;
    }
    if (status / 100 != 2)
        return error_set(error, ERROR_INVALID, "refused: %s", connection->answer);
    struct sender_outcome *outcome = &sender->outcome;
    sender->latencies_ms[outcome->request_count++] =
        (double)(now_ns() - connection->started_ns) / 1e6;
    outcome->sample_count += connection->body.series_count;
    connection->state = STATE_IDLE;
    advance(sender, connection);
    return ERROR_NONE;
}

static enum error_code receive_more(struct sender *sender, struct connection *connection,
                                    struct error *error)
{
    ssize_t received = recv(connection->socket, connection->answer + connection->answer_size,
                            sizeof connection->answer - 1 - connection->answer_size, MSG_DONTWAIT);
    if (received < 0 && (errno == EAGAIN || errno == EINTR))
        return ERROR_NONE;
    if (received <= 0) {
        lose_connection(sender, connection);
        return ERROR_NONE;
    }
    connection->answer_size += (size_t)received;
    int status = parse_answer(connection);
    if (status < 0)
        return error_set(error, ERROR_INVALID, "not an answer: %s", connection->answer);
    return status == 0 ? ERROR_NONE : finish_request(sender, connection, status, error);
}

/* --- Loop ----------------------------------------------------------------------------------- */

static enum error_code begin_what_can(struct sender *sender, bool *done_out, struct error *error)
{
    bool done = true;
    for (uint32_t i = 0; i < sender->connection_count; i++) {
        struct connection *connection = &sender->connections[i];
        if (connection->state == STATE_IDLE)
            begin_request(sender, connection);
        if (connection->state == STATE_PAUSED && now_ns() >= connection->paused_until_ns) {
            if (connection->socket < 0) {
                enum error_code code = connect_socket(sender->options, &connection->socket, error);
                if (code != ERROR_NONE)
                    return code;
            }
            begin_try(connection);
        }
        if (connection->state == STATE_SENDING)
            send_more(sender, connection);
        done = done && connection->state == STATE_DONE;
    }
    *done_out = done;
    return ERROR_NONE;
}

static enum error_code wait_and_receive(struct sender *sender, struct error *error)
{
    struct pollfd waiting[BODIES_CONNECTIONS_MAX];
    int timeout_ms = 1000;
    for (uint32_t i = 0; i < sender->connection_count; i++) {
        const struct connection *connection = &sender->connections[i];
        bool is_open = connection->state == STATE_SENDING || connection->state == STATE_ANSWERED;
        waiting[i] = (struct pollfd){.fd = is_open ? connection->socket : -1, .events = POLLIN};
        if (connection->state == STATE_SENDING)
            waiting[i].events |= POLLOUT;
        if (connection->state == STATE_PAUSED)
            timeout_ms = RETRY_MS;
    }
    if (poll(waiting, sender->connection_count, timeout_ms) < 0 && errno != EINTR)
        return error_set(error, ERROR_IO, "poll: %s", strerror(errno));
    for (uint32_t i = 0; i < sender->connection_count; i++) {
        if ((waiting[i].revents & (POLLIN | POLLHUP | POLLERR)) == 0)
            continue;
        enum error_code code = receive_more(sender, &sender->connections[i], error);
        if (code != ERROR_NONE)
            return code;
    }
    return ERROR_NONE;
}

static int compare_doubles(const void *left, const void *right)
{
    double first = *(const double *)left, second = *(const double *)right;
    return (first > second) - (first < second);
}

static void rank_latencies(struct sender *sender)
{
    struct sender_outcome *outcome = &sender->outcome;
    uint64_t count = outcome->request_count;
    if (count == 0)
        return;
    qsort(sender->latencies_ms, count, sizeof *sender->latencies_ms, compare_doubles);
    outcome->latency_p50_ms = sender->latencies_ms[(count - 1) / 2];
    outcome->latency_p99_ms = sender->latencies_ms[(count - 1) * 99 / 100];
    outcome->latency_ms_max = sender->latencies_ms[count - 1];
}

static enum error_code send_all(struct sender *sender, struct error *error)
{
    int64_t started_ns = now_ns();
    int64_t deadline_ns = started_ns + (int64_t)sender->options->seconds_max * INT64_C(1000000000);
    bool done = false;
    while (!done) {
        enum error_code code = begin_what_can(sender, &done, error);
        if (code == ERROR_NONE && !done)
            code = wait_and_receive(sender, error);
        if (code != ERROR_NONE)
            return code;
        if (now_ns() > deadline_ns)
            return error_set(error, ERROR_TIMEOUT, "not all sent in %llu s",
                             (unsigned long long)sender->options->seconds_max);
    }
    sender->outcome.seconds = (double)(now_ns() - started_ns) / 1e9;
    return ERROR_NONE;
}

enum error_code sender_run(const struct bodies *bodies, const struct sender_options *options,
                           struct sender_outcome *outcome_out, struct error *error)
{
    assert(options->first_tick <= options->end_tick);
    assert(options->end_tick <= bodies->options.tick_count);
    uint64_t room = (options->end_tick - options->first_tick) * bodies->requests_per_turn *
                    bodies->options.connection_count;
    enum error_code code = ERROR_NONE;
    struct sender *sender = calloc(1, sizeof *sender);
    double *latencies_ms = calloc(room + 1, sizeof *latencies_ms);
    if (sender == NULL || latencies_ms == NULL) {
        free(sender);
        free(latencies_ms);
        return error_set(error, ERROR_OUT_OF_MEMORY, "sender");
    }
    sender->bodies = bodies;
    sender->options = options;
    sender->latencies_ms = latencies_ms;
    sender->connection_count = bodies->options.connection_count;
    for (uint32_t i = 0; i < sender->connection_count; i++)
        sender->connections[i] = (struct connection){.socket = -1, .tick = options->first_tick};
    for (uint32_t i = 0; i < sender->connection_count && code == ERROR_NONE; i++)
        code = connect_socket(options, &sender->connections[i].socket, error);
    if (code == ERROR_NONE)
        code = send_all(sender, error);
    if (code == ERROR_NONE) {
        rank_latencies(sender);
        *outcome_out = sender->outcome;
    }
    for (uint32_t i = 0; i < sender->connection_count; i++)
        if (sender->connections[i].socket >= 0)
            close(sender->connections[i].socket);
    free(latencies_ms);
    free(sender);
    return code;
}
