#include "scripted_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 64, POLL_MS = 20 };

struct connection {
    struct scripted_server *server;
    pthread_t thread;
    int socket;
};

struct scripted_server {
    int listener;
    char url[64];
    pthread_t thread;
    pthread_mutex_t lock;
    bool is_over;
    const struct scripted_answer *answers;
    size_t answer_count;
    struct scripted_request *requests[SCRIPTED_REQUESTS_MAX];
    size_t request_count;
    struct connection connections[CONNECTIONS_MAX]; /* joined at the end */
    size_t connection_count;
};

static void require(bool is_true, const char *what)
{
    if (is_true)
        return;
    perror(what);
    abort();
}

static bool is_over(struct scripted_server *server)
{
    pthread_mutex_lock(&server->lock);
    bool over = server->is_over;
    pthread_mutex_unlock(&server->lock);
    return over;
}

/* --- One connection ------------------------------------------------------------------------ */

/* False: it ended, or the server shall. */
static bool wait_readable(struct connection *connection)
{
    while (!is_over(connection->server)) {
        struct pollfd one = {.fd = connection->socket, .events = POLLIN};
        if (poll(&one, 1, POLL_MS) > 0)
            return true;
    }
    return false;
}

static bool receive(struct connection *connection, char *target, size_t size)
{
    size_t done = 0;
    while (done < size && wait_readable(connection)) {
        ssize_t count = recv(connection->socket, target + done, size - done, 0);
        if (count <= 0)
            return false;
        done += (size_t)count;
    }
    return done == size;
}

static struct scripted_request *receive_request(struct connection *connection)
{
    struct scripted_request *request = calloc(1, sizeof *request);
    require(request != NULL, "scripted_server");
    size_t size = 0;
    /* Byte by byte: what follows is the body. */
    while (size < sizeof request->head - 1 && receive(connection, request->head + size, 1)) {
        size++;
        if (size < 4 || memcmp(request->head + size - 4, "\r\n\r\n", 4) != 0)
            continue;
        const char *length = strcasestr(request->head, "\r\ncontent-length:");
        if (length != NULL)
            request->body_bytes = strtoul(strchr(length + 2, ':') + 1, NULL, 10);
        request->body = calloc(1, request->body_bytes + 1);
        require(request->body != NULL, "scripted_server");
        if (receive(connection, request->body, request->body_bytes))
            return request;
        break;
    }
    free(request->body);
    free(request);
    return NULL;
}

/* The answer to it. */
static struct scripted_answer remember(struct scripted_server *server,
                                       struct scripted_request *request)
{
    pthread_mutex_lock(&server->lock);
    size_t number = server->request_count++;
    require(number < SCRIPTED_REQUESTS_MAX && server->answer_count > 0, "scripted_server");
    server->requests[number] = request;
    size_t last = server->answer_count - 1;
    struct scripted_answer answer = server->answers[number < last ? number : last];
    pthread_mutex_unlock(&server->lock);
    return answer;
}

static void send_all(struct connection *connection, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t count = send(connection->socket, bytes, size, MSG_NOSIGNAL);
        if (count <= 0)
            return;
        bytes += count;
        size -= (size_t)count;
    }
}

static void send_answer(struct connection *connection, const struct scripted_answer *answer,
                        bool is_head)
{
    char head[4096];
    if (answer->status == NULL)
        return;
    const char *headers = answer->headers == NULL ? "" : answer->headers;
    size_t body_bytes = answer->body_bytes;
    if (body_bytes == 0 && answer->body != NULL)
        body_bytes = strlen(answer->body);
    int size = snprintf(head, sizeof head, "HTTP/1.1 %s\r\n%s", answer->status, headers);
    if (strcasestr(headers, "content-length:") == NULL)
        size += snprintf(head + size, sizeof head - (size_t)size, "Content-Length: %zu\r\n",
                         body_bytes);
    size += snprintf(head + size, sizeof head - (size_t)size, "\r\n");
    send_all(connection, head, (size_t)size);
    if (!is_head && body_bytes > 0)
        send_all(connection, answer->body, body_bytes);
}

static void *connection_main(void *context)
{
    struct connection *connection = context;
    struct scripted_request *request;
    while ((request = receive_request(connection)) != NULL) {
        bool is_head = strncmp(request->head, "HEAD ", 5) == 0;
        struct scripted_answer answer = remember(connection->server, request);
        send_answer(connection, &answer, is_head);
        if (answer.end == SCRIPTED_KEEP)
            continue;
        while (answer.end == SCRIPTED_HANG && !is_over(connection->server))
            usleep(POLL_MS * 1000);
        struct linger at_once = {.l_onoff = answer.end == SCRIPTED_RESET};
        setsockopt(connection->socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        break;
    }
    close(connection->socket);
    return NULL;
}

/* --- The server ---------------------------------------------------------------------------- */

static void *server_main(void *context)
{
    struct scripted_server *server = context;
    while (!is_over(server)) {
        struct pollfd one = {.fd = server->listener, .events = POLLIN};
        if (poll(&one, 1, POLL_MS) <= 0)
            continue;
        require(server->connection_count < CONNECTIONS_MAX, "scripted_server: connections");
        struct connection *connection = &server->connections[server->connection_count++];
        connection->server = server;
        connection->socket = accept(server->listener, NULL, NULL);
        require(connection->socket >= 0, "accept");
        require(pthread_create(&connection->thread, NULL, connection_main, connection) == 0,
                "scripted_server: thread");
    }
    return NULL;
}

struct scripted_server *scripted_server_create(void)
{
    struct scripted_server *server = calloc(1, sizeof *server);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    require(server != NULL, "scripted_server");
    pthread_mutex_init(&server->lock, NULL);
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    require(bind(server->listener, (struct sockaddr *)&address, sizeof address) == 0 &&
                listen(server->listener, CONNECTIONS_MAX) == 0 &&
                getsockname(server->listener, (struct sockaddr *)&address, &size) == 0,
            "scripted_server: listen");
    snprintf(server->url, sizeof server->url, "http://127.0.0.1:%u", ntohs(address.sin_port));
    require(pthread_create(&server->thread, NULL, server_main, server) == 0,
            "scripted_server: thread");
    return server;
}

static void forget_requests(struct scripted_server *server)
{
    for (size_t i = 0; i < server->request_count; i++) {
        free(server->requests[i]->body);
        free(server->requests[i]);
    }
    server->request_count = 0;
}

void scripted_server_destroy(struct scripted_server *server)
{
    pthread_mutex_lock(&server->lock);
    server->is_over = true;
    pthread_mutex_unlock(&server->lock);
    pthread_join(server->thread, NULL);
    for (size_t i = 0; i < server->connection_count; i++)
        pthread_join(server->connections[i].thread, NULL);
    close(server->listener);
    forget_requests(server);
    pthread_mutex_destroy(&server->lock);
    free(server);
}

const char *scripted_server_url(const struct scripted_server *server)
{
    return server->url;
}

void scripted_server_play(struct scripted_server *server, const struct scripted_answer *answers,
                          size_t count)
{
    pthread_mutex_lock(&server->lock);
    forget_requests(server);
    server->answers = answers;
    server->answer_count = count;
    pthread_mutex_unlock(&server->lock);
}

size_t scripted_server_request_count(struct scripted_server *server)
{
    pthread_mutex_lock(&server->lock);
    size_t count = server->request_count;
    pthread_mutex_unlock(&server->lock);
    return count;
}

const struct scripted_request *scripted_server_request(struct scripted_server *server,
                                                       size_t number)
{
    pthread_mutex_lock(&server->lock);
    require(number < server->request_count, "scripted_server: no such request");
    const struct scripted_request *request = server->requests[number];
    pthread_mutex_unlock(&server->lock);
    return request;
}
