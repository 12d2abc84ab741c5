#include "site.h"

#include <openssl/ssl.h>

#include "credentials.h"
#include "platform/tls.h"

/* The server over TLS: what differs from plain connections is where bytes wait. */

static struct site site;
static struct credentials credentials;
static sem_t finished;

static void is_encrypted(struct http_request *request)
{
    struct http_response response = {
        .status = 200,
        .body = http_request_is_encrypted(request) ? TEXT("yes") : TEXT("no"),
    };
    http_respond(request, &response);
}

static void large(struct http_request *request)
{
    size_t size = 3000000;
    char *bytes = malloc(size);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)('a' + i % 26);
    struct http_response response = {
        .status = 200, .body = {bytes, size}, .body_life = HTTP_BODY_OWNED};
    http_respond(request, &response);
}

static void gone(void *context)
{
    http_respond(context, &(struct http_response){.status = 503});
    sem_post(&finished);
}

static void park(struct http_request *request)
{
    http_request_on_gone(request, gone, request);
    sem_post(&finished);
}

static const struct http_route ROUTES[] = {
    {.methods = HTTP_GET | HTTP_POST, .pattern = "/echo", .handler = echo},
    {.methods = HTTP_GET, .pattern = "/encrypted", .handler = is_encrypted},
    {.methods = HTTP_GET, .pattern = "/large", .handler = large},
    {.methods = HTTP_GET, .pattern = "/park", .handler = park},
};

static int set_up(void **state)
{
    (void)state;
    struct error error;
    memset(&site, 0, sizeof site);
    sem_init(&finished, 0, 0);
    credentials_create(&credentials, "server", 3600);
    struct tls_options files = {credentials.certificate_path, credentials.key_path, NULL};
    if (tls_context_create(&files, &site.options.tls, &error) != ERROR_NONE)
        return -1;
    site_open(&site, ROUTES, sizeof ROUTES / sizeof ROUTES[0]);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    site_close(&site);
    tls_context_destroy(site.options.tls);
    credentials_remove(&credentials);
    return 0;
}

static SSL *encrypt(int client)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *session = SSL_new(context);
    SSL_CTX_free(context);
    SSL_set_fd(session, client);
    assert_int_equal(SSL_connect(session), 1);
    return session;
}

static void say(SSL *session, const char *text)
{
    int size = (int)strlen(text);
    assert_int_equal(SSL_write(session, text, size), size);
}

/* Until the server says that it is done, NUL-terminated; free it. */
static char *read_all(SSL *session)
{
    size_t size = 0, capacity = 8 << 20;
    char *bytes = malloc(capacity);
    int got;
    while ((got = SSL_read(session, bytes + size, (int)(capacity - 1 - size))) > 0)
        size += (size_t)got;
    assert_int_equal(SSL_get_error(session, got), SSL_ERROR_ZERO_RETURN);
    bytes[size] = '\0';
    return bytes;
}

static void hang_up(SSL *session, int client)
{
    SSL_free(session);
    close(client);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    int client = client_open(&site);
    SSL *session = encrypt(client);
    say(session, "GET /encrypted HTTP/1.1\r\nHost: x\r\n\r\n"
                 "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
                 "GET /echo?last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    char *answers = read_all(session);
    const char *first = strstr(answers, "\r\n\r\nyes");
    const char *second = strstr(answers, "\r\n\r\nPOST /echo?|abc");
    const char *third = strstr(answers, "\r\n\r\nGET /echo?last|");
    assert_true(first != NULL && second > first && third > second);
    free(answers);
    hang_up(session, client);
}

static void large_bodies_pass_in_both_directions(void **state)
{
    (void)state;
    enum { SIZE = 1000000 };
    int client = client_open(&site);
    SSL *session = encrypt(client);
    char head[128];
    snprintf(head, sizeof head, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n",
             SIZE);
    say(session, head);
    char *body = malloc(SIZE);
    memset(body, 'b', SIZE);
    assert_int_equal(SSL_write(session, body, SIZE), SIZE);
    free(body);
    say(session, "GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    char *answers = read_all(session);
    const char *echoed = strstr(answers, "POST /echo?|");
    assert_non_null(echoed);
    assert_int_equal(strspn(echoed + 12, "b"), SIZE);
    const char *letters = answer_body(echoed);
    for (size_t i = 0; i < 3000000; i++)
        assert_true(letters[i] == (char)('a' + i % 26));
    free(answers);
    hang_up(session, client);
}

static void a_client_that_leaves_is_told_to_the_handler(void **state)
{
    (void)state;
    int client = client_open(&site);
    SSL *session = encrypt(client);
    say(session, "GET /park HTTP/1.1\r\nHost: x\r\n\r\n");
    sem_wait(&finished);
    SSL_shutdown(session);
    hang_up(session, client);
    sem_wait(&finished);
}

static void a_client_that_speaks_no_tls_is_counted(void **state)
{
    (void)state;
    int client = client_open(&site);
    client_say(client, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
    char bytes[100];
    while (recv(client, bytes, sizeof bytes, 0) > 0) /* an alert */
        ;
    close(client);
    assert_int_equal(site_statistics(&site).connections_failed, 1);
    assert_int_equal(site_statistics(&site).requests, 0);
}

int main(void)
{
    alarm(60); /* a hang fails */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pipelined_requests_are_answered_in_order, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(large_bodies_pass_in_both_directions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_client_that_leaves_is_told_to_the_handler, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_client_that_speaks_no_tls_is_counted, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
