#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "credentials.h"
#include "platform/network_system.h"
#include "platform/tls.h"

/* A node of several loops that listens and sends back what it gets, and one of a single loop that
 * connects to it. */

enum { LANES = 3, ROOM = 8192, TOTAL = 300000 };

static struct loop *loops[LANES];
static struct network *networks[LANES];
static struct network_listener *listeners[LANES];
static struct network_lanes *lanes;
static struct loop *client_loop;
static struct network *client_network;
static struct network_lanes *client_lanes;
static struct tls_context *server_tls, *client_tls;
static char address[64];
static sem_t client_closed, server_closed, network_closed;

/* --- Echo ---------------------------------------------------------------------------------- */

struct echo {
    struct network_stream *stream;
    uint32_t lane;
    struct stream_write write;
    struct stream_vector vector;
    uint8_t room[ROOM];
    bool is_writing;
};

static _Atomic int accepted_by_lane[LANES];
static char server_failure[ERROR_MESSAGE_MAX];

static void echo_written(struct stream_write *write, const struct error *error)
{
    struct echo *echo = (struct echo *)((char *)write - offsetof(struct echo, write));
    echo->is_writing = false;
    if (error->code == ERROR_NONE)
        network_stream_resume(echo->stream);
}

static void echo_allocate(void *context, uint8_t **target_out, size_t *size_out)
{
    struct echo *echo = context;
    *target_out = echo->room;
    *size_out = echo->is_writing ? 0 : ROOM;
}

static void echo_received(void *context, size_t size)
{
    struct echo *echo = context;
    assert_true(scheduler_on_loop(loop_scheduler(loops[echo->lane])));
    echo->vector = (struct stream_vector){echo->room, size};
    echo->write =
        (struct stream_write){.vectors = &echo->vector, .vector_count = 1, .done = echo_written};
    echo->is_writing = true;
    network_stream_write(echo->stream, &echo->write);
}

static void echo_ended(void *context)
{
    network_stream_close(((struct echo *)context)->stream);
}

static void echo_failed(void *context, const struct error *error)
{
    memcpy(server_failure, error->message, sizeof server_failure);
    network_stream_close(((struct echo *)context)->stream);
}

static void echo_closed(void *context)
{
    free(context);
    sem_post(&server_closed);
}

static const struct stream_events ECHO = {
    .allocate = echo_allocate,
    .received = echo_received,
    .ended = echo_ended,
    .failed = echo_failed,
    .closed = echo_closed,
};

static void echo_accepted(void *context, struct network_stream *stream)
{
    struct echo *echo = calloc(1, sizeof *echo);
    echo->stream = stream;
    echo->lane = (uint32_t)(uintptr_t)context;
    accepted_by_lane[echo->lane]++;
    network_stream_begin(stream, &ECHO, echo);
}

static void on_network_closed(void *context)
{
    (void)context;
    sem_post(&network_closed);
}

/* --- The node ------------------------------------------------------------------------------ */

static void open_lane(void *argument)
{
    uint32_t lane = (uint32_t)(uintptr_t)argument;
    struct error error;
    struct network_system_options options = {
        .lanes = lanes, .lane = lane, .tls = server_tls, .closed = on_network_closed};
    assert_int_equal(network_system_open(loops[lane], &options, &networks[lane], &error),
                     ERROR_NONE);
    struct network_listen_options listen = {
        .address = lane == 0 ? "127.0.0.1:0" : address,
        .accepted = echo_accepted,
        .context = argument,
    };
    assert_int_equal(network_listen(networks[lane], &listen, &listeners[lane], &error), ERROR_NONE);
    if (lane == 0)
        snprintf(address, sizeof address, "127.0.0.1:%u",
                 network_listener_port(networks[lane], listeners[lane]));
    accepted_by_lane[lane] = 0;
}

static void close_lane(void *argument)
{
    uint32_t lane = (uint32_t)(uintptr_t)argument;
    network_listener_close(networks[lane], listeners[lane]);
    network_system_close(networks[lane]);
}

static void open_client(void *argument)
{
    (void)argument;
    struct error error;
    struct network_system_options options = {
        .lanes = client_lanes, .tls = client_tls, .closed = on_network_closed};
    assert_int_equal(network_system_open(client_loop, &options, &client_network, &error),
                     ERROR_NONE);
}

static void close_client(void *argument)
{
    (void)argument;
    network_system_close(client_network);
}

static void open_nodes(struct tls_context *server, struct tls_context *client)
{
    struct error error;
    server_tls = server;
    client_tls = client;
    sem_init(&client_closed, 0, 0);
    sem_init(&server_closed, 0, 0);
    sem_init(&network_closed, 0, 0);
    server_failure[0] = '\0';
    lanes = network_lanes_create(LANES);
    client_lanes = network_lanes_create(1);
    for (uintptr_t i = 0; i < LANES; i++) {
        assert_int_equal(loop_create(&(struct loop_options){0}, &loops[i], &error), ERROR_NONE);
        assert_int_equal(loop_start(loops[i], &error), ERROR_NONE);
        loop_call(loops[i], open_lane, (void *)i);
    }
    assert_int_equal(loop_create(&(struct loop_options){0}, &client_loop, &error), ERROR_NONE);
    assert_int_equal(loop_start(client_loop, &error), ERROR_NONE);
    loop_call(client_loop, open_client, NULL);
}

static void loop_end(struct loop *loop)
{
    sem_wait(&network_closed);
    loop_stop(loop);
    loop_join(loop);
    loop_destroy(loop);
}

static void close_nodes(void)
{
    loop_call(client_loop, close_client, NULL);
    loop_end(client_loop);
    for (uintptr_t i = 0; i < LANES; i++) {
        loop_call(loops[i], close_lane, (void *)i);
        loop_end(loops[i]);
    }
    network_lanes_destroy(lanes);
    network_lanes_destroy(client_lanes);
}

/* --- Asking -------------------------------------------------------------------------------- */

/* Sends TOTAL bytes, gets them back, closes. */
struct asker {
    const char *address;
    uint32_t lane;
    uint64_t timeout_ms;
    struct network_stream *stream;
    struct stream_write write;
    struct stream_vector vector;
    uint8_t *sent, *got;
    size_t got_size;
    bool was_connected, was_failed, wrote;
    char failure[ERROR_MESSAGE_MAX];
};

static void asker_written(struct stream_write *write, const struct error *error)
{
    (void)write;
    (void)error;
}

static void asker_connected(void *context)
{
    struct asker *asker = context;
    assert_false(asker->was_connected);
    asker->was_connected = true;
    asker->vector = (struct stream_vector){asker->sent, TOTAL};
    asker->write =
        (struct stream_write){.vectors = &asker->vector, .vector_count = 1, .done = asker_written};
    network_stream_write(asker->stream, &asker->write);
}

static void asker_allocate(void *context, uint8_t **target_out, size_t *size_out)
{
    struct asker *asker = context;
    *target_out = asker->got + asker->got_size;
    *size_out = TOTAL - asker->got_size;
}

static void asker_received(void *context, size_t size)
{
    struct asker *asker = context;
    assert_true(asker->was_connected);
    asker->got_size += size;
    if (asker->got_size == TOTAL)
        network_stream_close(asker->stream);
}

static void asker_ended(void *context)
{
    struct asker *asker = context;
    asker->was_failed = true;
    network_stream_close(asker->stream);
}

static void asker_failed(void *context, const struct error *error)
{
    struct asker *asker = context;
    memcpy(asker->failure, error->message, sizeof asker->failure);
    asker->was_failed = true;
    network_stream_close(asker->stream);
}

static void asker_closed(void *context)
{
    (void)context;
    sem_post(&client_closed);
}

static void asker_sent(void *context)
{
    ((struct asker *)context)->wrote = true;
}

static const struct stream_events ASKER = {
    .allocate = asker_allocate,
    .received = asker_received,
    .ended = asker_ended,
    .failed = asker_failed,
    .closed = asker_closed,
    .connected = asker_connected,
    .sent = asker_sent,
};

static void asker_start(void *argument)
{
    struct asker *asker = argument;
    struct error error;
    struct network_target target = {
        .address = asker->address, .lane = asker->lane, .timeout_ms = asker->timeout_ms};
    assert_int_equal(network_connect(client_network, &target, &asker->stream, &error), ERROR_NONE);
    network_stream_begin(asker->stream, &ASKER, asker);
}

static void ask(struct asker *asker)
{
    asker->sent = malloc(TOTAL);
    asker->got = malloc(TOTAL);
    for (size_t i = 0; i < TOTAL; i++)
        asker->sent[i] = (uint8_t)(i * i / 7);
    loop_call(client_loop, asker_start, asker);
    sem_wait(&client_closed);
    if (!asker->was_failed) {
        assert_int_equal(asker->got_size, TOTAL);
        assert_memory_equal(asker->got, asker->sent, TOTAL);
        assert_true(asker->wrote);
    }
    free(asker->sent);
    free(asker->got);
}

/* --- Plain --------------------------------------------------------------------------------- */

static void connections_come_to_the_loop_of_their_lane(void **state)
{
    (void)state;
    open_nodes(NULL, NULL);
    for (uint32_t lane = 0; lane < 2 * LANES; lane++) {
        struct asker asker = {.address = address, .lane = lane};
        ask(&asker);
        assert_false(asker.was_failed);
        sem_wait(&server_closed);
        assert_int_equal(accepted_by_lane[lane % LANES], lane / LANES + 1);
    }
    close_nodes();
}

static void names_are_resolved(void **state)
{
    (void)state;
    open_nodes(NULL, NULL);
    char name[64];
    snprintf(name, sizeof name, "localhost%s", strrchr(address, ':'));
    struct asker asker = {.address = name};
    ask(&asker);
    assert_false(asker.was_failed); /* ::1, where nobody listens, was tried and left */
    sem_wait(&server_closed);
    close_nodes();
}

static void failures_say_why(void **state)
{
    (void)state;
    open_nodes(NULL, NULL);
    struct asker refused = {.address = "127.0.0.1:1"};
    ask(&refused);
    assert_true(refused.was_failed);
    assert_non_null(strstr(refused.failure, "127.0.0.1:1': Connection refused"));
    struct asker nobody = {.address = "no-such-name.invalid:1", .timeout_ms = 2000};
    ask(&nobody);
    assert_true(nobody.was_failed);
    assert_non_null(strstr(nobody.failure, "no-such-name.invalid:1"));
    close_nodes();
}

static void connect_to_nonsense(void *argument)
{
    static const char *const WRONG[] = {"127.0.0.1", ":80", "127.0.0.1:x", "::1:80"};
    struct network_stream *stream;
    struct error error;
    (void)argument;
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        struct network_target target = {.address = WRONG[i]};
        assert_int_equal(network_connect(client_network, &target, &stream, &error), ERROR_INVALID);
        assert_non_null(strstr(error.message, WRONG[i]));
    }
}

static void addresses_that_cannot_be_are_refused_at_once(void **state)
{
    (void)state;
    open_nodes(NULL, NULL);
    loop_call(client_loop, connect_to_nonsense, NULL);
    close_nodes();
}

static struct asker hurried;

static void start_and_close(void *argument)
{
    asker_start(argument);
    network_stream_close(hurried.stream);
}

static void a_connection_may_be_closed_while_it_begins(void **state)
{
    (void)state;
    static const char *const SLOW[] = {"localhost:1", "192.0.2.1:1"};
    open_nodes(NULL, NULL);
    for (size_t i = 0; i < 2; i++) {
        hurried = (struct asker){.address = SLOW[i]};
        loop_call(client_loop, start_and_close, &hurried);
        sem_wait(&client_closed);
        assert_false(hurried.was_failed);
    }
    close_nodes();
}

static int raw_client(void)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int client = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&to, sizeof to), 0);
    return client;
}

static void strangers_are_not_let_in(void **state)
{
    (void)state;
    char byte;
    open_nodes(NULL, NULL);
    int client = raw_client();
    assert_int_equal(send(client, "GET / HTTP/1.1\r\n\r\n", 18, 0), 18);
    assert_true(recv(client, &byte, 1, 0) <= 0);
    close(client);
    client = raw_client();
    assert_int_equal(send(client, "GNOMONL1\0\0\0\0wrong checksum", 26, 0), 26);
    assert_true(recv(client, &byte, 1, 0) <= 0);
    close(client);
    for (size_t i = 0; i < LANES; i++)
        assert_int_equal(accepted_by_lane[i], 0);
    client = raw_client(); /* says nothing; the listener is closed meanwhile */
    close_nodes();
    close(client);
}

/* --- TLS ----------------------------------------------------------------------------------- */

static struct credentials authority, one, other, stranger;

static struct tls_context *tls_of(const struct credentials *own, const struct credentials *trusted)
{
    struct tls_context *context;
    struct error error;
    struct tls_options options = {
        .certificate_path = own->certificate_path,
        .key_path = own->key_path,
        .client_ca_path = trusted->certificate_path,
    };
    assert_int_equal(tls_context_create(&options, &context, &error), ERROR_NONE);
    return context;
}

static int create_credentials(void **state)
{
    (void)state;
    log_set_level(LOG_NOTHING);
    credentials_create(&authority, "authority", 3600);
    credentials_create_signed(&one, "one", 3600, &authority);
    credentials_create_signed(&other, "other", 3600, &authority);
    credentials_create(&stranger, "stranger", 3600);
    return 0;
}

static int remove_credentials(void **state)
{
    (void)state;
    credentials_remove(&authority);
    credentials_remove(&one);
    credentials_remove(&other);
    credentials_remove(&stranger);
    return 0;
}

static void close_encrypted(void)
{
    close_nodes();
    tls_context_destroy(server_tls);
    tls_context_destroy(client_tls);
}

static void encrypted_connections_come_to_their_lane_too(void **state)
{
    (void)state;
    open_nodes(tls_of(&one, &authority), tls_of(&other, &authority));
    for (uint32_t lane = 0; lane < LANES; lane++) {
        struct asker asker = {.address = address, .lane = lane};
        ask(&asker);
        assert_false(asker.was_failed);
        sem_wait(&server_closed);
        assert_int_equal(accepted_by_lane[lane], 1);
    }
    close_encrypted();
}

static void a_server_of_another_authority_is_refused(void **state)
{
    (void)state;
    open_nodes(tls_of(&stranger, &authority), tls_of(&other, &authority));
    struct asker asker = {.address = address};
    ask(&asker);
    assert_true(asker.was_failed && !asker.was_connected);
    assert_non_null(strstr(asker.failure, "certificate verify failed"));
    sem_wait(&server_closed);
    close_encrypted();
}

static void a_client_of_another_authority_is_refused(void **state)
{
    (void)state;
    open_nodes(tls_of(&one, &authority), tls_of(&stranger, &authority));
    struct asker asker = {.address = address};
    ask(&asker);
    assert_true(asker.was_failed);
    sem_wait(&server_closed);
    assert_non_null(strstr(server_failure, "certificate verify failed"));
    close_encrypted();
}

static void plain_bytes_and_encrypted_ones_do_not_mix(void **state)
{
    (void)state;
    open_nodes(tls_of(&one, &authority), NULL);
    struct asker asker = {.address = address};
    ask(&asker);
    assert_true(asker.was_failed);
    sem_wait(&server_closed);
    assert_non_null(strstr(server_failure, "tls: handshake"));
    close_encrypted();
}

static void a_reload_changes_who_is_trusted(void **state)
{
    (void)state;
    struct error error;
    struct credentials renewed;
    credentials_create_signed(&renewed, "renewed", 3600, &authority);
    open_nodes(tls_of(&one, &authority), tls_of(&renewed, &authority));
    struct asker before = {.address = address};
    ask(&before);
    assert_false(before.was_failed);
    sem_wait(&server_closed);
    credentials_replace(&renewed, "self-made", 3600); /* the same files */
    assert_int_equal(tls_context_reload(client_tls, &error), ERROR_NONE);
    struct asker after = {.address = address};
    ask(&after);
    assert_true(after.was_failed);
    sem_wait(&server_closed);
    close_encrypted();
    credentials_remove(&renewed);
}

int main(void)
{
    alarm(120); /* a hang fails */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_come_to_the_loop_of_their_lane),
        cmocka_unit_test(names_are_resolved),
        cmocka_unit_test(failures_say_why),
        cmocka_unit_test(addresses_that_cannot_be_are_refused_at_once),
        cmocka_unit_test(a_connection_may_be_closed_while_it_begins),
        cmocka_unit_test(strangers_are_not_let_in),
        cmocka_unit_test(encrypted_connections_come_to_their_lane_too),
        cmocka_unit_test(a_server_of_another_authority_is_refused),
        cmocka_unit_test(a_client_of_another_authority_is_refused),
        cmocka_unit_test(plain_bytes_and_encrypted_ones_do_not_mix),
        cmocka_unit_test(a_reload_changes_who_is_trusted),
    };
    return cmocka_run_group_tests(tests, create_credentials, remove_credentials);
}
