/*
 * site - a server on a loop of its own, and a blocking client that speaks raw bytes to it.
 *
 * The test's thread is the client. Reads give up after some seconds, so a missing answer fails.
 */
#ifndef TESTS_HTTP_SITE_H
#define TESTS_HTTP_SITE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "http/server.h"
#include "platform/loop.h"
#include "platform/worker_pool.h"

struct site {
    struct worker_pool *workers;
    struct loop *loop;
    struct http_router *router;
    struct http_budget budget;
    struct http_server_options options; /* set before site_open what is not a default */
    struct http_server *server;
    uint16_t port;
    sem_t drained;
    uint64_t grace_ms;
};

/* --- Server ------------------------------------------------------------------------------ */

static inline void site_open_on_loop(void *argument)
{
    struct site *site = argument;
    struct error error;
    if (http_server_open(site->loop, &site->options, &site->server, &error) != ERROR_NONE)
        print_error("%s\n", error.message);
    else
        site->port = http_server_port(site->server);
}

static inline void site_open(struct site *site, const struct http_route *routes, size_t count)
{
    struct error error;
    struct loop_options loop_options = {.name = "site", .workers = site->workers};
    assert_int_equal(loop_create(&loop_options, &site->loop, &error), ERROR_NONE);
    site->router = http_router_create();
    for (size_t i = 0; i < count; i++)
        assert_int_equal(http_router_add(site->router, &routes[i], &error), ERROR_NONE);
    if (site->budget.connections_max == 0)
        site->budget.connections_max = 100;
    if (site->budget.body_bytes_max == 0)
        site->budget.body_bytes_max = 64 << 20;
    if (site->options.address == NULL)
        site->options.address = "127.0.0.1:0";
    site->options.router = site->router;
    if (site->options.budget == NULL)
        site->options.budget = &site->budget;
    sem_init(&site->drained, 0, 0);
    assert_int_equal(loop_start(site->loop, &error), ERROR_NONE);
    loop_call(site->loop, site_open_on_loop, site);
    assert_non_null(site->server);
}

static inline void site_is_drained(void *context)
{
    sem_post(&((struct site *)context)->drained);
}

static inline void site_drain_on_loop(void *argument)
{
    struct site *site = argument;
    http_server_drain(site->server, site->grace_ms, site_is_drained, site);
}

static inline void site_close_on_loop(void *argument)
{
    struct site *site = argument;
    http_server_close(site->server);
}

/* Begin to drain; site_close waits for its end. */
static inline void site_drain(struct site *site, uint64_t grace_ms)
{
    site->grace_ms = grace_ms;
    loop_call(site->loop, site_drain_on_loop, site);
}

static inline void site_end(struct site *site)
{
    sem_wait(&site->drained);
    loop_call(site->loop, site_close_on_loop, site);
    loop_stop(site->loop);
    loop_join(site->loop);
    loop_destroy(site->loop);
    http_router_destroy(site->router);
    sem_destroy(&site->drained);
    assert_int_equal(site->budget.connections, 0);
    assert_int_equal(site->budget.body_bytes, 0);
}

static inline void site_close(struct site *site)
{
    site_drain(site, 0);
    site_end(site);
}

static inline struct http_statistics site_statistics(struct site *site)
{
    struct http_statistics statistics;
    http_server_statistics(site->server, &statistics);
    return statistics;
}

/* --- Client ------------------------------------------------------------------------------ */

static inline int client_open(const struct site *site)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(site->port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    struct timeval patience = {.tv_sec = 10};
    int on = 1;
    int client = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(client >= 0);
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof address), 0);
    return client;
}

static inline void client_send(int client, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t sent = send(client, bytes, size, MSG_NOSIGNAL);
        assert_true(sent > 0);
        bytes += sent;
        size -= (size_t)sent;
    }
}

static inline void client_say(int client, const char *text)
{
    client_send(client, text, strlen(text));
}

/* Everything until the server closes, NUL-terminated; free it. */
static inline char *client_read_all(int client, size_t *size_out)
{
    size_t size = 0, capacity = 64 * 1024;
    char *bytes = malloc(capacity + 1);
    for (;;) {
        ssize_t got = recv(client, bytes + size, capacity - size, 0);
        if (got <= 0) {
            if (got < 0)
                print_message("client: %s\n", strerror(errno));
            assert_int_equal(got, 0); /* a close in order, no reset and no silence */
            break;
        }
        size += (size_t)got;
        if (size == capacity)
            bytes = realloc(bytes, (capacity *= 2) + 1);
    }
    bytes[size] = '\0';
    if (size_out != NULL)
        *size_out = size;
    return bytes;
}

/* One answer with a Content-Length, or without a body; free it. */
static inline char *client_read_answer(int client)
{
    size_t size = 0, capacity = 4 * 1024 * 1024;
    char *bytes = malloc(capacity);
    size_t wanted = SIZE_MAX;
    while (size < wanted) {
        /* Byte by byte until the end of the head: the next answer stays in the socket. */
        size_t ask = wanted == SIZE_MAX ? 1 : wanted - size;
        ssize_t got = recv(client, bytes + size, ask, 0);
        assert_true(got > 0);
        size += (size_t)got;
        bytes[size] = '\0';
        if (wanted == SIZE_MAX && size >= 4 && memcmp(bytes + size - 4, "\r\n\r\n", 4) == 0) {
            const char *length = strstr(bytes, "Content-Length: ");
            wanted = size + (length == NULL ? 0 : strtoul(length + 16, NULL, 10));
            assert_true(wanted < capacity);
        }
    }
    return bytes;
}

static inline unsigned answer_status(const char *answer)
{
    assert_memory_equal(answer, "HTTP/1.1 ", 9);
    return (unsigned)strtoul(answer + 9, NULL, 10);
}

static inline const char *answer_body(const char *answer)
{
    const char *end = strstr(answer, "\r\n\r\n");
    assert_non_null(end);
    return end + 4;
}

/* Say `text` on a connection of its own; the status of the answer, which may be asked to close. */
static inline unsigned ask_status(const struct site *site, const char *text)
{
    int client = client_open(site);
    client_say(client, text);
    char *answer = client_read_answer(client);
    unsigned status = answer_status(answer);
    free(answer);
    close(client);
    return status;
}

/* --- Handlers ---------------------------------------------------------------------------- */

/* "METHOD path?query|body". */
static inline void echo(struct http_request *request)
{
    struct text method = http_request_method_name(request);
    struct text path = http_request_path(request);
    struct text query = http_request_query(request);
    struct text body = http_request_body(request);
    struct http_response response = {
        .status = 200,
        .content_type = TEXT("text/plain"),
        .body =
            arena_format(http_request_arena(request), "%.*s %.*s?%.*s|%.*s", TEXT_ARGUMENTS(method),
                         TEXT_ARGUMENTS(path), TEXT_ARGUMENTS(query), TEXT_ARGUMENTS(body)),
    };
    http_respond(request, &response);
}

#endif
