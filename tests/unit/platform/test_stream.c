#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "credentials.h"
#include "platform/loop.h"
#include "platform/stream.h"
#include "platform/tls.h"

/* A listener that sends back what it gets, plain or encrypted; the test's thread is the client. */

enum { ROOM = 8192 };

static struct loop *loop;
static struct listener *listener;
static struct tls_context *tls;
static struct listener_options options;
static uint16_t port;
static sem_t closed;
static char failure[ERROR_MESSAGE_MAX];

/* --- Echo -------------------------------------------------------------------------------- */

/* One piece at a time: reading pauses until it is written back. */
struct peer {
    struct stream *stream;
    struct stream_write write;
    struct stream_vector vectors[2];
    uint8_t room[ROOM];
    size_t size;
    int is_writing;
};

static void peer_written(struct stream_write *write, const struct error *error)
{
    struct peer *peer = (struct peer *)((char *)write - offsetof(struct peer, write));
    peer->is_writing = 0;
    if (error->code != ERROR_NONE)
        return;
    stream_resume(peer->stream);
}

static void peer_allocate(void *context, uint8_t **target_out, size_t *size_out)
{
    struct peer *peer = context;
    *target_out = peer->room;
    *size_out = peer->is_writing ? 0 : ROOM;
}

static void peer_received(void *context, size_t size)
{
    struct peer *peer = context;
    size_t half = size / 2;
    peer->vectors[0] = (struct stream_vector){peer->room, half};
    peer->vectors[1] = (struct stream_vector){peer->room + half, size - half};
    peer->write =
        (struct stream_write){.vectors = peer->vectors, .vector_count = 2, .done = peer_written};
    peer->is_writing = 1;
    stream_write(peer->stream, &peer->write);
}

static void peer_ended(void *context)
{
    struct peer *peer = context;
    stream_close(peer->stream);
}

static void peer_failed(void *context, const struct error *error)
{
    struct peer *peer = context;
    memcpy(failure, error->message, sizeof failure);
    stream_close(peer->stream);
}

static void peer_closed(void *context)
{
    free(context);
    sem_post(&closed);
}

static const struct stream_events events = {
    .allocate = peer_allocate,
    .received = peer_received,
    .ended = peer_ended,
    .failed = peer_failed,
    .closed = peer_closed,
};

static void accepted(void *context, struct stream *stream)
{
    (void)context;
    struct peer *peer = calloc(1, sizeof *peer);
    peer->stream = stream;
    stream_begin(stream, &events, peer);
}

/* --- Set up ------------------------------------------------------------------------------ */

static void open_on_loop(void *argument)
{
    struct error error;
    int *opened = argument;
    *opened = listener_open(loop, &options, &listener, &error) == ERROR_NONE;
    if (*opened)
        port = listener_port(listener);
}

static void close_on_loop(void *argument)
{
    (void)argument;
    listener_close(listener);
}

static void open_echo(struct tls_context *context, uint64_t handshake_timeout_ms)
{
    struct error error;
    int opened = 0;
    sem_init(&closed, 0, 0);
    failure[0] = '\0';
    options = (struct listener_options){
        .address = "localhost:0",
        .tls = context,
        .tls_handshake_timeout_ms = handshake_timeout_ms,
        .accepted = accepted,
    };
    assert_int_equal(loop_create(&(struct loop_options){0}, &loop, &error), ERROR_NONE);
    assert_int_equal(loop_start(loop, &error), ERROR_NONE);
    loop_call(loop, open_on_loop, &opened);
    assert_true(opened);
}

static void close_echo(void)
{
    loop_call(loop, close_on_loop, NULL);
    loop_stop(loop);
    loop_join(loop);
    loop_destroy(loop);
}

static int client_open(void)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    struct timeval patience = {.tv_sec = 10};
    int client = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(client, (struct sockaddr *)&address, sizeof address) != 0) {
        /* "localhost" may be ::1 alone. */
        struct sockaddr_in6 address6 = {
            .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = in6addr_loopback};
        close(client);
        client = socket(AF_INET6, SOCK_STREAM, 0);
        setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        assert_int_equal(connect(client, (struct sockaddr *)&address6, sizeof address6), 0);
    }
    return client;
}

/* --- Plain ------------------------------------------------------------------------------- */

static void bytes_come_back_whole_and_in_order(void **state)
{
    (void)state;
    enum { SIZE = 200000 };
    static uint8_t sent[SIZE], got[SIZE];
    for (size_t i = 0; i < SIZE; i++)
        sent[i] = (uint8_t)(i * i / 7);
    open_echo(NULL, 0);
    int client = client_open();
    for (size_t at = 0; at < SIZE; at += 20000) {
        assert_int_equal(send(client, sent + at, 20000, 0), 20000);
        assert_int_equal(recv(client, got + at, 20000, MSG_WAITALL), 20000);
    }
    assert_memory_equal(got, sent, SIZE);
    close(client);
    sem_wait(&closed);
    assert_string_equal(failure, "");
    close_echo();
}

static void addresses_that_cannot_be_are_named(void **state)
{
    (void)state;
    static const char *const ADDRESSES[] = {"127.0.0.1", "127.0.0.1:x",  "127.0.0.1:70000",
                                            "::1:80",    "256.1.1.1:80", "192.0.2.1:0"};
    struct error error;
    assert_int_equal(loop_create(&(struct loop_options){0}, &loop, &error), ERROR_NONE);
    for (size_t i = 0; i < sizeof ADDRESSES / sizeof ADDRESSES[0]; i++) {
        struct listener_options wrong = {.address = ADDRESSES[i], .accepted = accepted};
        assert_int_not_equal(listener_open(loop, &wrong, &listener, &error), ERROR_NONE);
        assert_non_null(strstr(error.message, ADDRESSES[i]));
    }
    loop_destroy(loop);
}

static void loops_share_an_address(void **state)
{
    (void)state;
    open_echo(NULL, 0);
    char address[32];
    snprintf(address, sizeof address, "localhost:%u", port);
    struct loop *other;
    struct listener *sharing;
    struct error error;
    struct listener_options same = {.address = address, .accepted = accepted};
    assert_int_equal(loop_create(&(struct loop_options){0}, &other, &error), ERROR_NONE);
    assert_int_equal(listener_open(other, &same, &sharing, &error), ERROR_NONE);
    assert_int_equal(listener_port(sharing), port);
    listener_close(sharing);
    loop_destroy(other);
    close_echo();
}

/* --- TLS --------------------------------------------------------------------------------- */

static struct credentials server_credentials, client_credentials;

static int set_up_credentials(void **state)
{
    (void)state;
    credentials_create(&server_credentials, "server", 3600);
    credentials_create(&client_credentials, "client", 3600);
    return 0;
}

static int remove_credentials(void **state)
{
    (void)state;
    credentials_remove(&server_credentials);
    credentials_remove(&client_credentials);
    return 0;
}

static void create_tls(const char *client_ca)
{
    struct error error;
    struct tls_options files = {
        .certificate_path = server_credentials.certificate_path,
        .key_path = server_credentials.key_path,
        .client_ca_path = client_ca,
    };
    assert_int_equal(tls_context_create(&files, &tls, &error), ERROR_NONE);
}

/* A client that trusts `trusted` and shows `shown` when it isn't NULL; NULL: handshake failed. */
static SSL *client_handshake(int client, const struct credentials *shown)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_load_verify_file(context, server_credentials.certificate_path);
    if (shown != NULL) {
        SSL_CTX_use_certificate_file(context, shown->certificate_path, SSL_FILETYPE_PEM);
        SSL_CTX_use_PrivateKey_file(context, shown->key_path, SSL_FILETYPE_PEM);
    }
    SSL *session = SSL_new(context);
    SSL_CTX_free(context);
    SSL_set_alpn_protos(session, (const unsigned char *)"\x02h2\x08http/1.1", 12);
    SSL_set_fd(session, client);
    /* TLS 1.3 clients learn that they are refused when they read. */
    uint8_t byte = 'x';
    if (SSL_connect(session) != 1 || SSL_write(session, &byte, 1) != 1 ||
        SSL_read(session, &byte, 1) != 1) {
        SSL_free(session);
        return NULL;
    }
    return session;
}

static void an_address_in_use_is_not_free(void **state)
{
    (void)state;
    char address[32];
    struct error error;
    open_echo(NULL, 0);
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    assert_int_equal(listener_check_free(address, &error), ERROR_IO);
    assert_non_null(strstr(error.message, address));
    close_echo();
    assert_int_equal(listener_check_free("127.0.0.1:0", &error), ERROR_NONE);
}

static void encrypted_bytes_come_back(void **state)
{
    (void)state;
    enum { SIZE = 600000 };
    static uint8_t sent[SIZE], got[SIZE];
    for (size_t i = 0; i < SIZE; i++)
        sent[i] = (uint8_t)(i * i / 7);
    create_tls(NULL);
    open_echo(tls, 0);
    int client = client_open();
    SSL *session = client_handshake(client, NULL);
    assert_non_null(session);
    const unsigned char *protocol;
    unsigned int protocol_size;
    SSL_get0_alpn_selected(session, &protocol, &protocol_size);
    assert_int_equal(protocol_size, 8);
    assert_memory_equal(protocol, "http/1.1", 8);
    for (size_t at = 0; at < SIZE; at += 60000) {
        assert_int_equal(SSL_write(session, sent + at, 60000), 60000);
        for (size_t read = 0; read < 60000;) {
            int size = SSL_read(session, got + at + read, (int)(60000 - read));
            assert_true(size > 0);
            read += (size_t)size;
        }
    }
    assert_memory_equal(got, sent, SIZE);
    SSL_shutdown(session);
    SSL_free(session);
    sem_wait(&closed);
    assert_string_equal(failure, "");
    close(client);
    close_echo();
    tls_context_destroy(tls);
}

static void a_client_without_a_certificate_is_refused_when_one_is_asked_for(void **state)
{
    (void)state;
    create_tls(client_credentials.certificate_path);
    open_echo(tls, 0);
    int client = client_open();
    assert_null(client_handshake(client, NULL));
    close(client);
    sem_wait(&closed);
    assert_non_null(strstr(failure, "tls: handshake: peer did not return a certificate"));
    client = client_open();
    assert_null(client_handshake(client, &server_credentials)); /* of another CA */
    close(client);
    sem_wait(&closed);
    client = client_open();
    SSL *session = client_handshake(client, &client_credentials);
    assert_non_null(session);
    SSL_free(session);
    close(client);
    sem_wait(&closed);
    close_echo();
    tls_context_destroy(tls);
}

static void a_reload_is_for_new_connections(void **state)
{
    (void)state;
    struct error error;
    create_tls(NULL);
    open_echo(tls, 0);
    int64_t first_expiry_s = tls_context_expiry_s(tls);
    int before = client_open();
    SSL *session_before = client_handshake(before, NULL);
    assert_non_null(session_before);

    credentials_replace(&server_credentials, "renewed", 7200);
    assert_int_equal(tls_context_reload(tls, &error), ERROR_NONE);
    assert_true(tls_context_expiry_s(tls) >= first_expiry_s + 3600);
    int after = client_open();
    SSL *session_after = client_handshake(after, NULL); /* trusts the new one only */
    assert_non_null(session_after);

    uint8_t byte = 'y';
    assert_int_equal(SSL_write(session_before, &byte, 1), 1);
    assert_int_equal(SSL_read(session_before, &byte, 1), 1);
    SSL_free(session_before);
    SSL_free(session_after);
    close(before);
    close(after);
    sem_wait(&closed);
    sem_wait(&closed);
    close_echo();
    tls_context_destroy(tls);
}

static void a_bad_reload_changes_nothing_and_names_the_file(void **state)
{
    (void)state;
    struct error error;
    create_tls(NULL);
    int64_t expiry_s = tls_context_expiry_s(tls);
    FILE *file = fopen(server_credentials.certificate_path, "w");
    fputs("not a certificate", file);
    fclose(file);
    assert_int_equal(tls_context_reload(tls, &error), ERROR_INVALID);
    assert_non_null(strstr(error.message, server_credentials.certificate_path));
    assert_true(tls_context_expiry_s(tls) == expiry_s);

    credentials_replace(&server_credentials, "server", 3600);
    struct tls_options mixed = {.certificate_path = server_credentials.certificate_path,
                                .key_path = client_credentials.key_path};
    struct tls_context *none = NULL;
    assert_int_equal(tls_context_create(&mixed, &none, &error), ERROR_INVALID);
    assert_non_null(strstr(error.message, client_credentials.key_path));
    mixed.key_path = "/nowhere/key.pem";
    assert_int_equal(tls_context_create(&mixed, &none, &error), ERROR_NOT_FOUND);
    assert_non_null(strstr(error.message, "/nowhere/key.pem"));
    assert_null(none);
    tls_context_destroy(tls);
}

static void a_handshake_has_a_time_limit(void **state)
{
    (void)state;
    create_tls(NULL);
    open_echo(tls, 30);
    int client = client_open();
    char byte;
    assert_int_equal(recv(client, &byte, 1, 0), 0);
    sem_wait(&closed);
    assert_non_null(strstr(failure, "handshake: no end in 30 ms"));
    close(client);
    close_echo();
    tls_context_destroy(tls);
}

static void plain_bytes_to_a_tls_listener_fail(void **state)
{
    (void)state;
    create_tls(NULL);
    open_echo(tls, 0);
    int client = client_open();
    assert_int_equal(send(client, "GET / HTTP/1.1\r\n\r\n", 18, 0), 18);
    char byte[64];
    while (recv(client, byte, sizeof byte, 0) > 0) /* an alert */
        ;
    sem_wait(&closed);
    assert_non_null(strstr(failure, "tls: handshake: http request"));
    close(client);
    close_echo();
    tls_context_destroy(tls);
}

int main(void)
{
    alarm(60); /* a hang fails */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_come_back_whole_and_in_order),
        cmocka_unit_test(addresses_that_cannot_be_are_named),
        cmocka_unit_test(loops_share_an_address),
        cmocka_unit_test(an_address_in_use_is_not_free),
        cmocka_unit_test(encrypted_bytes_come_back),
        cmocka_unit_test(a_client_without_a_certificate_is_refused_when_one_is_asked_for),
        cmocka_unit_test(a_reload_is_for_new_connections),
        cmocka_unit_test(a_bad_reload_changes_nothing_and_names_the_file),
        cmocka_unit_test(a_handshake_has_a_time_limit),
        cmocka_unit_test(plain_bytes_to_a_tls_listener_fail),
    };
    return cmocka_run_group_tests(tests, set_up_credentials, remove_credentials);
}
