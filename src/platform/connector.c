#include "connector.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "address.h"

/*
 *   RESOLVING --names--> CONNECTING --writable, error, time--> CLOSING --handle closed-->
 *       CONNECTING with the next address, or the end
 *
 * A look-up cannot be stopped: who waited for it is told, and it frees the connector when it ends.
 */
enum connector_state {
    CONNECTOR_RESOLVING,
    CONNECTOR_STARTING,
    CONNECTOR_CONNECTING,
    CONNECTOR_CLOSING
};

enum { CANDIDATES_MAX = 8 };

struct connector {
    enum connector_state state;
    struct loop *loop;
    char *address;
    uv_getaddrinfo_t look_up;
    uv_poll_t poll;
    struct timer timer;
    struct task begin;
    uint64_t deadline_ms;
    struct sockaddr_storage candidates[CANDIDATES_MAX];
    size_t candidate_count;
    size_t candidate_next;
    int descriptor; /* -1: none */
    bool is_connected;
    bool is_over;       /* nobody waits for it */
    struct error error; /* of the last candidate */
    void (*done)(void *context, int descriptor, const struct error *error);
    void *context;
};

static struct scheduler *scheduler_of(const struct connector *connector)
{
    return loop_scheduler(connector->loop);
}

static uint64_t now_ms(void)
{
    return uv_hrtime() / 1000000;
}

static void connector_free(struct connector *connector)
{
    free(connector->address);
    free(connector);
}

static void descriptor_close(struct connector *connector)
{
    if (connector->descriptor >= 0)
        close(connector->descriptor);
    connector->descriptor = -1;
}

/* Tell the owner, once. */
static void finish(struct connector *connector)
{
    scheduler_timer_stop(scheduler_of(connector), &connector->timer);
    connector->is_over = true;
    int descriptor = connector->is_connected ? connector->descriptor : -1;
    connector->done(connector->context, descriptor, &connector->error);
}

/* --- Connecting ---------------------------------------------------------------------------- */

static void on_poll_closed(uv_handle_t *handle);
static void on_writable(uv_poll_t *poll, int status, int events);

static size_t address_bytes(const struct sockaddr_storage *address)
{
    return address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                          : sizeof(struct sockaddr_in);
}

/* What is left of the time is shared by the addresses that are left. */
static void timer_arm(struct connector *connector, size_t shares)
{
    uint64_t now = now_ms();
    uint64_t left = connector->deadline_ms > now ? connector->deadline_ms - now : 0;
    scheduler_timer_start(scheduler_of(connector), &connector->timer, left / shares);
}

/* Begin with one address; false when it failed at once. */
static bool candidate_try(struct connector *connector, const struct sockaddr_storage *address)
{
    int type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
    connector->descriptor = socket(address->ss_family, type, 0);
    if (connector->descriptor < 0) {
        error_set_errno(&connector->error, errno, "connect '%s'", connector->address);
        return false;
    }
    if (connect(connector->descriptor, (const struct sockaddr *)address,
                (socklen_t)address_bytes(address)) != 0 &&
        errno != EINPROGRESS) {
        error_set_errno(&connector->error, errno, "connect '%s'", connector->address);
        descriptor_close(connector);
        return false;
    }
    int status = uv_poll_init(loop_uv(connector->loop), &connector->poll, connector->descriptor);
    if (status < 0) {
        error_set_uv(&connector->error, status, "connect");
        descriptor_close(connector);
        return false;
    }
    connector->poll.data = connector;
    uv_poll_start(&connector->poll, UV_WRITABLE, on_writable);
    return true;
}

static void candidates_try(struct connector *connector)
{
    while (connector->candidate_next < connector->candidate_count) {
        size_t left = connector->candidate_count - connector->candidate_next;
        if (!candidate_try(connector, &connector->candidates[connector->candidate_next++]))
            continue;
        connector->state = CONNECTOR_CONNECTING;
        timer_arm(connector, left);
        return;
    }
    finish(connector);
    connector_free(connector);
}

static void candidate_end(struct connector *connector)
{
    connector->state = CONNECTOR_CLOSING;
    scheduler_timer_stop(scheduler_of(connector), &connector->timer);
    uv_close((uv_handle_t *)&connector->poll, on_poll_closed);
    if (!connector->is_connected)
        descriptor_close(connector);
}

static void on_writable(uv_poll_t *poll, int status, int events)
{
    (void)events;
    struct connector *connector = poll->data;
    int reason = 0;
    socklen_t size = sizeof reason;
    if (getsockopt(connector->descriptor, SOL_SOCKET, SO_ERROR, &reason, &size) != 0)
        reason = errno;
    if (reason == 0 && status < 0)
        reason = EIO;
    if (reason == 0)
        connector->is_connected = true;
    else
        error_set_errno(&connector->error, reason, "connect '%s'", connector->address);
    candidate_end(connector);
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct connector *connector = handle->data;
    if (connector->is_over) {
        descriptor_close(connector);
        connector_free(connector);
    } else if (connector->is_connected) {
        finish(connector);
        connector_free(connector);
    } else {
        candidates_try(connector);
    }
}

/* --- Names --------------------------------------------------------------------------------- */

static void on_looked_up(uv_getaddrinfo_t *look_up, int status, struct addrinfo *found)
{
    struct connector *connector = look_up->data;
    if (connector->is_over) {
        uv_freeaddrinfo(found);
        connector_free(connector);
        return;
    }
    for (const struct addrinfo *one = found; one != NULL; one = one->ai_next) {
        if (connector->candidate_count == CANDIDATES_MAX)
            break;
        if (one->ai_family == AF_INET || one->ai_family == AF_INET6)
            memcpy(&connector->candidates[connector->candidate_count++], one->ai_addr,
                   one->ai_addrlen);
    }
    uv_freeaddrinfo(found);
    if (connector->candidate_count == 0)
        error_set(&connector->error, ERROR_NOT_FOUND, "connect '%s': %s", connector->address,
                  status < 0 ? uv_strerror(status) : "no address");
    candidates_try(connector);
}

/* A number rather than a name, which needs no look-up. */
static bool candidate_parse(struct connector *connector, const char *host, int port)
{
    if (uv_ip4_addr(host, port, (struct sockaddr_in *)&connector->candidates[0]) != 0 &&
        uv_ip6_addr(host, port, (struct sockaddr_in6 *)&connector->candidates[0]) != 0)
        return false;
    connector->candidate_count = 1;
    return true;
}

/* --- Life ---------------------------------------------------------------------------------- */

static void begin_run(struct task *task)
{
    struct connector *connector =
        (struct connector *)((char *)task - offsetof(struct connector, begin));
    if (connector->is_over)
        connector_free(connector);
    else
        candidates_try(connector);
}

static void on_timeout(struct timer *timer)
{
    struct connector *connector =
        (struct connector *)((char *)timer - offsetof(struct connector, timer));
    error_set(&connector->error, ERROR_TIMEOUT, "connect '%s': %s", connector->address,
              connector->state == CONNECTOR_RESOLVING ? "the name takes too long" : "timeout");
    if (connector->state == CONNECTOR_CONNECTING) {
        candidate_end(connector);
        return;
    }
    assert(connector->state == CONNECTOR_RESOLVING);
    uv_cancel((uv_req_t *)&connector->look_up); /* works while it waits for a thread */
    finish(connector);
}

enum error_code connector_start(struct loop *loop, const struct connector_options *options,
                                struct connector **connector_out, struct error *error)
{
    char host[ADDRESS_HOST_MAX + 1];
    const char *port = NULL;
    enum error_code code =
        address_split("connect", options->address, host, sizeof host, &port, error);
    if (code == ERROR_NONE && host[0] == '\0')
        code = error_set(error, ERROR_INVALID, "connect '%s': no host", options->address);
    if (code != ERROR_NONE)
        return code;
    struct connector *connector = calloc(1, sizeof *connector);
    char *address = strdup(options->address);
    if (connector == NULL || address == NULL) {
        free(connector);
        free(address);
        return error_set(error, ERROR_OUT_OF_MEMORY, "connect: out of memory");
    }
    *connector = (struct connector){
        .state = CONNECTOR_STARTING,
        .loop = loop,
        .address = address,
        .timer = {.fire = on_timeout, .heap_index = TIMER_IDLE},
        .begin.run = begin_run,
        .deadline_ms = now_ms() + options->timeout_ms,
        .descriptor = -1,
        .done = options->done,
        .context = options->context,
    };
    connector->look_up.data = connector;
    if (candidate_parse(connector, host, (int)strtol(port, NULL, 10))) {
        scheduler_defer(scheduler_of(connector), &connector->begin);
    } else {
        struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
        int status =
            uv_getaddrinfo(loop_uv(loop), &connector->look_up, on_looked_up, host, port, &hints);
        if (status < 0) {
            connector_free(connector);
            return error_set_uv(error, status, "connect");
        }
        connector->state = CONNECTOR_RESOLVING;
        timer_arm(connector, 1);
    }
    *connector_out = connector;
    return ERROR_NONE;
}

void connector_cancel(struct connector *connector)
{
    assert(!connector->is_over);
    connector->is_over = true;
    scheduler_timer_stop(scheduler_of(connector), &connector->timer);
    switch (connector->state) {
    case CONNECTOR_RESOLVING:
        uv_cancel((uv_req_t *)&connector->look_up);
        break;
    case CONNECTOR_CONNECTING:
        candidate_end(connector);
        break;
    case CONNECTOR_STARTING:
    case CONNECTOR_CLOSING:
        break; /* freed by what is under way */
    }
}
