#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "address.h"
#include "base/log.h"
#include "platform/stream.h"
#include "stream_state.h"

enum {
    BACKLOG_DEFAULT = 1024,
    HANDSHAKE_TIMEOUT_MS_DEFAULT = 10000,
    REOPEN_AFTER_MS = 100,
};

/*
 *   LISTENING --out of descriptors--> CLOSING --closed--> WAITING --timer, a socket--> LISTENING
 */
enum listener_state { LISTENER_LISTENING, LISTENER_CLOSING, LISTENER_WAITING };

struct listener {
    uv_tcp_t tcp;
    enum listener_state state;
    struct sockaddr_storage bound; /* with the port that was found */
    struct timer reopen;
    int backlog;
    struct loop *loop;
    struct tls_context *tls;
    uint64_t handshake_timeout_ms;
    void (*accepted)(void *context, struct stream *stream);
    void *context;
    uint16_t port;
    uv_tcp_t refused;   /* takes a connection that no memory is left for, to close it */
    bool is_refusing;   /* `refused` is not closed yet */
    bool refuses_again; /* and another one waits */
    bool is_closed;     /* by its owner */
    bool is_tcp_closed;
};

/* --- Addresses --------------------------------------------------------------------------- */

enum sharing { PORT_SHARED, PORT_ALONE };

/* A bound socket for the first of `candidates` that works. */
static int bind_first(const struct addrinfo *candidates, enum sharing sharing, int *errno_out)
{
    *errno_out = EADDRNOTAVAIL;
    for (; candidates != NULL; candidates = candidates->ai_next) {
        int type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
        int descriptor = socket(candidates->ai_family, type, 0);
        int on = 1, off = 0;
        if (descriptor >= 0 && candidates->ai_family == AF_INET6)
            setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
        if (descriptor >= 0 &&
            setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
            (sharing == PORT_ALONE ||
             setsockopt(descriptor, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0) &&
            bind(descriptor, candidates->ai_addr, candidates->ai_addrlen) == 0)
            return descriptor;
        *errno_out = errno;
        if (descriptor >= 0)
            close(descriptor);
    }
    return -1;
}

static enum error_code bind_address(const char *address, enum sharing sharing, int *descriptor_out,
                                    struct error *error)
{
    char host[ADDRESS_HOST_MAX + 1];
    const char *port = NULL;
    enum error_code code = address_split("listen", address, host, sizeof host, &port, error);
    if (code != ERROR_NONE)
        return code;
    struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM};
    /* "" is every address: the IPv6 socket takes IPv4 as well, where there is IPv6. */
    const char *names[] = {host[0] == '\0' ? "::" : host, host[0] == '\0' ? "0.0.0.0" : NULL};
    int reason = EADDRNOTAVAIL;
    for (size_t i = 0; i < 2 && names[i] != NULL; i++) {
        struct addrinfo *candidates;
        int status = getaddrinfo(names[i], port, &hints, &candidates);
        if (status != 0)
            return error_set(error, ERROR_INVALID, "listen '%s': %s", address,
                             status == EAI_SYSTEM ? strerror(errno) : gai_strerror(status));
        int descriptor = bind_first(candidates, sharing, &reason);
        freeaddrinfo(candidates);
        if (descriptor >= 0) {
            *descriptor_out = descriptor;
            return ERROR_NONE;
        }
        if (reason != EAFNOSUPPORT && reason != EADDRNOTAVAIL)
            break;
    }
    return error_set_errno(error, reason, "listen '%s'", address);
}

static uint16_t port_of(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)address)->sin6_port);
    return ntohs(((const struct sockaddr_in *)address)->sin_port);
}

/* --- Accepting --------------------------------------------------------------------------- */

static void refuse(struct listener *listener);

static void free_when_closed(struct listener *listener)
{
    if (listener->is_closed && listener->is_tcp_closed && !listener->is_refusing)
        free(listener);
}

static void on_refused(uv_handle_t *handle)
{
    struct listener *listener = handle->data;
    listener->is_refusing = false;
    if (!listener->is_closed && listener->refuses_again)
        refuse(listener);
    else
        free_when_closed(listener);
}

/* libuv accepts nothing more before the connection at hand is taken. */
static void refuse(struct listener *listener)
{
    listener->refuses_again = listener->is_refusing;
    if (listener->is_refusing || uv_tcp_init(loop_uv(listener->loop), &listener->refused) < 0)
        return;
    listener->is_refusing = true;
    listener->refused.data = listener;
    uv_accept((uv_stream_t *)&listener->tcp, (uv_stream_t *)&listener->refused);
    uv_close((uv_handle_t *)&listener->refused, on_refused);
}

static void on_connection(uv_stream_t *handle, int status);

static int listen_again(struct listener *listener)
{
    struct addrinfo bound = {
        .ai_family = listener->bound.ss_family,
        .ai_addr = (struct sockaddr *)&listener->bound,
        .ai_addrlen = listener->bound.ss_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                            : sizeof(struct sockaddr_in),
    };
    int reason;
    int descriptor = bind_first(&bound, PORT_SHARED, &reason);
    if (descriptor < 0)
        return uv_translate_sys_error(reason);
    int status = uv_tcp_init(loop_uv(listener->loop), &listener->tcp);
    if (status < 0) {
        close(descriptor);
        return status;
    }
    listener->is_tcp_closed = false;
    status = uv_tcp_open(&listener->tcp, descriptor);
    if (status < 0)
        close(descriptor);
    else
        status = uv_listen((uv_stream_t *)&listener->tcp, listener->backlog, on_connection);
    return status;
}

static void on_reopen(struct timer *timer);
static void suspend(struct listener *listener);

static void wait_to_reopen(struct listener *listener)
{
    listener->state = LISTENER_WAITING;
    scheduler_timer_start(loop_scheduler(listener->loop), &listener->reopen, REOPEN_AFTER_MS);
}

static void on_reopen(struct timer *timer)
{
    struct listener *listener =
        (struct listener *)((char *)timer - offsetof(struct listener, reopen));
    if (listen_again(listener) == 0)
        listener->state = LISTENER_LISTENING;
    else if (listener->is_tcp_closed)
        wait_to_reopen(listener);
    else
        suspend(listener);
}

static void on_closed(uv_handle_t *handle)
{
    struct listener *listener = handle->data;
    listener->is_tcp_closed = true;
    if (listener->is_closed)
        free_when_closed(listener);
    else
        wait_to_reopen(listener);
}

/*
 * Without a descriptor for it a connection stays in front of the socket's queue, and libuv asks for
 * it again and again without ever leaving the call. So the socket goes, with its queue, and comes
 * back a little later.
 */
static void suspend(struct listener *listener)
{
    listener->state = LISTENER_CLOSING;
    uv_close((uv_handle_t *)&listener->tcp, on_closed);
}

static bool is_exhaustion(int status)
{
    return status == UV_EMFILE || status == UV_ENFILE || status == UV_ENOBUFS ||
           status == UV_ENOMEM;
}

static void on_connection(uv_stream_t *handle, int status)
{
    static struct log_limit limit = {.interval_ms = 10000, .burst = 5};
    struct listener *listener = handle->data;
    struct stream *stream;
    struct error error;
    enum error_code code;
    if (status < 0)
        code = error_set_uv(&error, status, "accept");
    else
        code = stream_accept(listener->loop, handle, listener->tls, listener->handshake_timeout_ms,
                             &stream, &error);
    if (code == ERROR_NONE) {
        listener->accepted(listener->context, stream);
        return;
    }
    if (is_exhaustion(status))
        suspend(listener);
    else if (status == 0)
        refuse(listener);
    uint64_t suppressed;
    char reason[ERROR_MESSAGE_MAX + 2];
    if (log_limit_allow(&limit, (int64_t)loop_now_ms(listener->loop), &suppressed))
        log_event(LOG_WARNING, "platform", "connection not accepted", "reason=%s suppressed=%llu",
                  log_quote(reason, sizeof reason, text_of(error.message)),
                  (unsigned long long)suppressed);
}

enum error_code listener_check_free(const char *address, struct error *error)
{
    int descriptor;
    enum error_code code = bind_address(address, PORT_ALONE, &descriptor, error);
    if (code == ERROR_NONE)
        close(descriptor);
    return code;
}

enum error_code listener_open(struct loop *loop, const struct listener_options *options,
                              struct listener **listener_out, struct error *error)
{
    assert(scheduler_on_loop(loop_scheduler(loop)));
    assert(options->accepted != NULL && options->address != NULL);
    int descriptor;
    enum error_code code = bind_address(options->address, PORT_SHARED, &descriptor, error);
    if (code != ERROR_NONE)
        return code;
    struct listener *listener = calloc(1, sizeof *listener);
    if (listener == NULL) {
        close(descriptor);
        return error_set(error, ERROR_OUT_OF_MEMORY, "listen: out of memory");
    }
    *listener = (struct listener){
        .backlog = options->backlog > 0 ? options->backlog : BACKLOG_DEFAULT,
        .reopen = {.fire = on_reopen, .heap_index = TIMER_IDLE},
        .loop = loop,
        .tls = options->tls,
        .handshake_timeout_ms = options->tls_handshake_timeout_ms > 0
                                    ? options->tls_handshake_timeout_ms
                                    : HANDSHAKE_TIMEOUT_MS_DEFAULT,
        .accepted = options->accepted,
        .context = options->context,
    };
    int status = uv_tcp_init(loop_uv(loop), &listener->tcp);
    if (status < 0) {
        close(descriptor);
        free(listener);
        return error_set_uv(error, status, "listen");
    }
    listener->tcp.data = listener;
    status = uv_tcp_open(&listener->tcp, descriptor);
    if (status < 0)
        close(descriptor);
    else
        status = uv_listen((uv_stream_t *)&listener->tcp, listener->backlog, on_connection);
    int size = sizeof listener->bound;
    if (status == 0)
        status = uv_tcp_getsockname(&listener->tcp, (struct sockaddr *)&listener->bound, &size);
    if (status < 0) {
        listener_close(listener);
        error_set_uv(error, status, options->address);
        return error_wrap(error, "listen");
    }
    listener->port = port_of(&listener->bound);
    *listener_out = listener;
    return ERROR_NONE;
}

void listener_close(struct listener *listener)
{
    if (listener == NULL)
        return;
    listener->is_closed = true;
    scheduler_timer_stop(loop_scheduler(listener->loop), &listener->reopen);
    if (listener->state == LISTENER_LISTENING)
        uv_close((uv_handle_t *)&listener->tcp, on_closed);
    else
        free_when_closed(listener);
}

void listener_finish(struct listener *listener)
{
    uv_os_fd_t descriptor;
    bool listens = listener != NULL && listener->state == LISTENER_LISTENING &&
                   uv_fileno((const uv_handle_t *)&listener->tcp, &descriptor) == 0;
    /* libuv asks in its own time only, and between that and the close others come. */
    for (int left = listener == NULL ? 0 : listener->backlog; listens && left > 0; left--) {
        struct stream_socket socket = {
            .descriptor = accept4(descriptor, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC),
            .side = STREAM_SERVER,
            .tls = listener->tls,
            .tls_handshake_timeout_ms = listener->handshake_timeout_ms,
        };
        struct stream *stream;
        struct error error;
        listens = socket.descriptor >= 0 || errno == EINTR || errno == ECONNABORTED;
        if (socket.descriptor >= 0 &&
            stream_adopt(listener->loop, &socket, &stream, &error) == ERROR_NONE)
            listener->accepted(listener->context, stream);
    }
    listener_close(listener);
}

uint16_t listener_port(const struct listener *listener)
{
    return listener->port;
}
