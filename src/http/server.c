#include "http/server.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "connection.h"
#include "platform/clock.h"
#include "server_state.h"

/* --- Options ----------------------------------------------------------------------------- */

static void default_size(size_t *value, size_t standard)
{
    if (*value == 0)
        *value = standard;
}

static void default_u64(uint64_t *value, uint64_t standard)
{
    if (*value == 0)
        *value = standard;
}

static void fill_defaults(struct http_server_options *options)
{
    default_size(&options->target_bytes_max, 64 * 1024);
    default_size(&options->header_bytes_max, 64 * 1024);
    default_size(&options->header_count_max, 128);
    default_u64(&options->body_bytes_max, 32 * 1024 * 1024);
    default_size(&options->arena_bytes_max, 64 * 1024 * 1024);
    default_size(&options->queued_bytes_max, 256 * 1024);
    default_size(&options->compress_bytes_min, 1024);
    default_u64(&options->head_timeout_ms, 10 * 1000);
    default_u64(&options->body_timeout_ms, 60 * 1000);
    default_u64(&options->idle_timeout_ms, 120 * 1000);
    default_u64(&options->write_timeout_ms, 60 * 1000);
    default_u64(&options->linger_ms, 1000);
}

/* --- Accepting --------------------------------------------------------------------------- */

static void on_accepted(void *context, struct stream *stream)
{
    struct http_server *server = context;
    struct http_budget *budget = server->options.budget;
    size_t open = atomic_fetch_add_explicit(&budget->connections, 1, memory_order_relaxed);
    if (open >= budget->connections_max) {
        atomic_fetch_sub_explicit(&budget->connections, 1, memory_order_relaxed);
        server_count(&server->counters.connections_refused, 1);
        connection_refuse(server, stream);
        return;
    }
    server_count(&server->counters.connections_accepted, 1);
    connection_open(server, stream);
}

/* --- Draining ---------------------------------------------------------------------------- */

static void drained_run(struct task *task)
{
    struct http_server *server =
        (struct http_server *)((char *)task - offsetof(struct http_server, drained_task));
    scheduler_timer_stop(server->scheduler, &server->grace);
    server->drained(server->drained_context); /* may close the server */
}

void server_check_drained(struct http_server *server)
{
    if (!server->is_draining || server->drained_deferred || server->listener != NULL ||
        server->connections != NULL || server->requests_open > 0)
        return;
    server->drained_deferred = true;
    scheduler_defer(server->scheduler, &server->drained_task);
}

static void stop_listening(struct http_server *server)
{
    scheduler_timer_stop(server->scheduler, &server->last_moment);
    struct listener *listener = server->listener;
    server->listener = NULL;
    listener_finish(listener);
}

static void on_last_moment(struct timer *timer)
{
    struct http_server *server =
        (struct http_server *)((char *)timer - offsetof(struct http_server, last_moment));
    if (!server->last_moment_over) {
        /* Timers come before sockets: on a busy machine nothing may have been read since. */
        server->last_moment_over = true;
        scheduler_timer_start(server->scheduler, timer, 1);
        return;
    }
    stop_listening(server);
    struct connection *next;
    for (struct connection *connection = server->connections; connection != NULL;
         connection = next) {
        next = connection->next;
        connection_drain(connection);
    }
    server_check_drained(server);
}

static void on_grace_over(struct timer *timer)
{
    struct http_server *server =
        (struct http_server *)((char *)timer - offsetof(struct http_server, grace));
    stop_listening(server);
    struct connection *next;
    for (struct connection *connection = server->connections; connection != NULL;
         connection = next) {
        next = connection->next; /* stays in the list until it is closed, in a later turn */
        connection_close(connection);
    }
    server_check_drained(server);
}

void http_server_drain(struct http_server *server, uint64_t grace_ms,
                       void (*drained)(void *context), void *context)
{
    assert(scheduler_on_loop(server->scheduler));
    assert(!server->is_draining && drained != NULL);
    server->is_draining = true;
    server->drained = drained;
    server->drained_context = context;
    scheduler_timer_start(server->scheduler, &server->grace, grace_ms);
    scheduler_timer_start(server->scheduler, &server->last_moment, LAST_MOMENT_MS);
}

/* --- Life -------------------------------------------------------------------------------- */

enum error_code http_server_open(struct loop *loop, const struct http_server_options *options,
                                 struct http_server **server_out, struct error *error)
{
    assert(options->router != NULL && options->budget != NULL);
    struct http_server *server = calloc(1, sizeof *server);
    uint8_t *read_buffer = malloc(HTTP_READ_BYTES);
    if (server == NULL || read_buffer == NULL) {
        free(server);
        free(read_buffer);
        return error_set(error, ERROR_OUT_OF_MEMORY, "http: out of memory");
    }
    server->loop = loop;
    server->scheduler = loop_scheduler(loop);
    server->options = *options;
    fill_defaults(&server->options);
    server->read_buffer = read_buffer;
    server->grace = (struct timer){.fire = on_grace_over, .heap_index = TIMER_IDLE};
    server->last_moment = (struct timer){.fire = on_last_moment, .heap_index = TIMER_IDLE};
    server->drained_task.run = drained_run;
    struct listener_options listening = {
        .address = options->address,
        .tls = options->tls,
        .tls_handshake_timeout_ms = server->options.head_timeout_ms,
        .accepted = on_accepted,
        .context = server,
    };
    enum error_code code = listener_open(loop, &listening, &server->listener, error);
    if (code != ERROR_NONE) {
        free(read_buffer);
        free(server);
        return error_wrap(error, "http");
    }
    *server_out = server;
    return ERROR_NONE;
}

uint16_t http_server_port(const struct http_server *server)
{
    assert(server->listener != NULL);
    return listener_port(server->listener);
}

void http_server_close(struct http_server *server)
{
    if (server == NULL)
        return;
    assert(server->connections == NULL && server->requests_open == 0);
    assert(server->listener == NULL);
    gzip_encoder_destroy(server->gzip);
    free(server->read_buffer);
    free(server);
}

struct text server_date(struct http_server *server)
{
    uint64_t now_ms = loop_now_ms(server->loop);
    if (server->date[0] == '\0' || now_ms - server->date_ms >= 1000) {
        static const char *const DAYS[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
        static const char *const MONTHS[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                             "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
        time_t seconds = (time_t)(clock_now_ms(clock_system()) / 1000);
        struct tm parts;
        gmtime_r(&seconds, &parts);
        /* Not strftime: the names must not follow the locale. */
        snprintf(server->date, sizeof server->date, "%s, %02d %s %04d %02d:%02d:%02d GMT",
                 DAYS[parts.tm_wday], parts.tm_mday, MONTHS[parts.tm_mon], parts.tm_year + 1900,
                 parts.tm_hour, parts.tm_min, parts.tm_sec);
        server->date_ms = now_ms;
    }
    return text_of(server->date);
}

static uint64_t read_counter(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void http_server_statistics(const struct http_server *server,
                            struct http_statistics *statistics_out)
{
    const struct server_counters *counters = &server->counters;
    *statistics_out = (struct http_statistics){
        .connections_accepted = read_counter(&counters->connections_accepted),
        .connections_refused = read_counter(&counters->connections_refused),
        .connections_open = read_counter(&counters->connections_open),
        .connections_failed = read_counter(&counters->connections_failed),
        .requests = read_counter(&counters->requests),
        .requests_active = read_counter(&counters->requests_active),
        .requests_malformed = read_counter(&counters->requests_malformed),
        .timeouts_head = read_counter(&counters->timeouts_head),
        .timeouts_body = read_counter(&counters->timeouts_body),
        .timeouts_idle = read_counter(&counters->timeouts_idle),
        .timeouts_write = read_counter(&counters->timeouts_write),
        .clients_gone = read_counter(&counters->clients_gone),
        .received_bytes = read_counter(&counters->received_bytes),
        .sent_bytes = read_counter(&counters->sent_bytes),
    };
}
