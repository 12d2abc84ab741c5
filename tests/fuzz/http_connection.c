/*
 * A whole server on loopback against arbitrary bytes: it must answer or close, forget nothing and
 * free everything. The first byte decides in how many parts the bytes are sent and how the routes
 * answer.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/server.h"
#include "platform/loop.h"

static struct loop *loop;
static struct http_server *server;
static struct http_budget budget = {.connections_max = 10, .body_bytes_max = 100000};
static uint16_t port;

/* The client, driven by a timer between the server's turns. */
static struct {
    struct timer timer;
    int socket;
    const uint8_t *bytes;
    size_t size;
    size_t sent;
    size_t part_bytes;
    int answers_late;
    int is_held;
    int is_shut;
} client;

/* --- Routes ------------------------------------------------------------------------------ */

static void answer(struct http_request *request)
{
    const struct http_parameters *parameters;
    struct error error;
    struct http_response response = {.status = 400, .content_type = TEXT("text/plain")};
    if (http_request_parameters(request, &parameters, &error) == ERROR_NONE) {
        struct text value;
        http_parameters_find(parameters, TEXT("query"), &value);
        response.status = 200;
        response.body = arena_format(http_request_arena(request), "%.*s%.*s", TEXT_ARGUMENTS(value),
                                     TEXT_ARGUMENTS(http_request_segment(request, TEXT("name"))));
    }
    http_respond(request, &response);
}

struct late {
    struct timer timer;
    struct http_request *request;
};

static void late_fire(struct timer *timer)
{
    answer(((struct late *)timer)->request);
}

static void handle(struct http_request *request)
{
    struct late *late = NULL;
    if (client.answers_late)
        late = arena_allocate(http_request_arena(request), sizeof *late);
    if (late == NULL) {
        answer(request);
        return;
    }
    *late =
        (struct late){.timer = {.fire = late_fire, .heap_index = TIMER_IDLE}, .request = request};
    scheduler_timer_start(http_request_scheduler(request), &late->timer, 0);
}

static void stream(struct http_request *request)
{
    http_response_begin(request, &(struct http_response){.status = 200});
    http_response_write(request, http_request_body(request), HTTP_BODY_BORROWED);
    http_response_end(request);
}

/* --- Guard ------------------------------------------------------------------------------- */

static void decide(struct timer *timer)
{
    struct http_request *request = ((struct late *)timer)->request;
    if (http_request_query(request).size % 2 == 0)
        http_request_admit(request);
    else
        http_respond(request, &(struct http_response){.status = 401});
}

static enum http_admission authenticate(void *context, struct http_request *request)
{
    (void)context;
    struct late *late = NULL;
    if (client.is_held)
        late = arena_allocate(http_request_arena(request), sizeof *late);
    if (late == NULL)
        return HTTP_ADMITTED;
    *late = (struct late){.timer = {.fire = decide, .heap_index = TIMER_IDLE}, .request = request};
    scheduler_timer_start(http_request_scheduler(request), &late->timer, 0);
    return HTTP_HELD;
}

/* --- Client ------------------------------------------------------------------------------ */

static void client_turn(struct timer *timer)
{
    (void)timer;
    char got[4096];
    ssize_t size;
    while ((size = recv(client.socket, got, sizeof got, MSG_DONTWAIT)) > 0)
        ;
    struct http_statistics statistics;
    http_server_statistics(server, &statistics);
    if (size == 0 && statistics.connections_open == 0) {
        loop_stop(loop);
        return;
    }
    size_t part = client.size - client.sent;
    if (part > client.part_bytes)
        part = client.part_bytes;
    if (part > 0) {
        ssize_t sent =
            send(client.socket, client.bytes + client.sent, part, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && !client.is_shut)
            client.sent = client.size;
        client.sent += sent > 0 ? (size_t)sent : 0;
    }
    if (client.sent == client.size && !client.is_shut) {
        client.is_shut = 1;
        shutdown(client.socket, SHUT_WR);
    }
    scheduler_timer_start(loop_scheduler(loop), &client.timer, 0);
}

static void set_up(void)
{
    struct error error;
    static const struct http_route ROUTES[] = {
        {HTTP_GET | HTTP_HEAD | HTTP_POST, "/q", handle, NULL, 0},
        {HTTP_GET, "/label/{name}/values", handle, NULL, 0},
        {HTTP_POST, "/stream", stream, NULL, 100},
    };
    struct http_router *router = http_router_create();
    for (size_t i = 0; i < sizeof ROUTES / sizeof ROUTES[0]; i++) {
        enum error_code code = http_router_add(router, &ROUTES[i], &error);
        assert(code == ERROR_NONE);
    }
    enum error_code code = loop_create(&(struct loop_options){0}, &loop, &error);
    assert(code == ERROR_NONE);
    struct http_server_options options = {
        .address = "127.0.0.1:0",
        .router = router,
        .budget = &budget,
        .guard = {.authenticate = authenticate},
        .target_bytes_max = 300,
        .header_bytes_max = 1000,
        .body_bytes_max = 5000,
        .queued_bytes_max = 500,
        .linger_ms = 5,
    };
    code = http_server_open(loop, &options, &server, &error);
    assert(code == ERROR_NONE);
    port = http_server_port(server);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size < 2)
        return 0;
    if (loop == NULL)
        set_up();
    client.timer = (struct timer){.fire = client_turn, .heap_index = TIMER_IDLE};
    client.part_bytes = (size - 1) / (bytes[0] % 8 + 1) + 1;
    client.answers_late = bytes[0] >> 7;
    client.is_held = bytes[0] >> 6 & 1;
    client.bytes = bytes + 1;
    client.size = size - 1;
    client.sent = 0;
    client.is_shut = 0;
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    client.socket = socket(AF_INET, SOCK_STREAM, 0);
    int status;
    int tries = 0;
    do /* signals of the fuzzer's own clock, ports that the kernel has not freed yet */
        status = connect(client.socket, (struct sockaddr *)&address, sizeof address);
    while (status != 0 && (errno == EINTR || errno == EADDRNOTAVAIL) && ++tries < 10000);
    assert(status == 0);
    scheduler_timer_start(loop_scheduler(loop), &client.timer, 0);
    loop_run(loop);
    /* No TIME_WAIT: thousands of runs a second would use up the ports. */
    struct linger hard = {.l_onoff = 1};
    setsockopt(client.socket, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(client.socket);
    assert(budget.connections == 0 && budget.body_bytes == 0);
    return 0;
}
