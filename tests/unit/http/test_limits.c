#include "site.h"

/* What is too much, too slow or too many is refused, and the server goes on. */

static struct site site;
static sem_t handling;

/* Answered by release_parked. */
static struct http_request *parked;

static void park(struct http_request *request)
{
    parked = request;
    sem_post(&handling);
}

static void release_parked(void *argument)
{
    (void)argument;
    echo(parked);
}

static const struct http_route ROUTES[] = {
    {.methods = HTTP_GET | HTTP_POST, .pattern = "/echo", .handler = echo},
    {.methods = HTTP_POST, .pattern = "/small", .handler = echo, .body_bytes_max = 10},
    {.methods = HTTP_GET, .pattern = "/park", .handler = park},
};

static void open_site(struct http_server_options options, struct http_budget budget)
{
    memset(&site, 0, sizeof site);
    sem_init(&handling, 0, 0);
    site.options = options;
    site.budget.connections_max = budget.connections_max;
    site.budget.body_bytes_max = budget.body_bytes_max;
    site_open(&site, ROUTES, sizeof ROUTES / sizeof ROUTES[0]);
}

/* The answer closes the connection in order, whatever the client still sends. */
static void assert_refused(const char *question, size_t filler, unsigned status)
{
    int client = client_open(&site);
    client_say(client, question);
    for (size_t i = 0; i < filler; i++)
        if (send(client, "x", 1, MSG_NOSIGNAL) != 1)
            break; /* closed already: the answer is read all the same */
    char *answer = client_read_all(client, NULL);
    assert_int_equal(answer_status(answer), status);
    assert_non_null(strstr(answer, "\r\nConnection: close\r\n"));
    free(answer);
    close(client);
}

/* --- Too much ---------------------------------------------------------------------------- */

static void a_long_target_is_refused(void **state)
{
    (void)state;
    open_site((struct http_server_options){.target_bytes_max = 100}, (struct http_budget){0});
    char question[300];
    snprintf(question, sizeof question, "GET /echo?%090d HTTP/1.1\r\nHost: x\r\n\r\n", 1);
    assert_int_equal(ask_status(&site, question), 200);
    snprintf(question, sizeof question, "GET /echo?%0100d HTTP/1.1\r\nHost: x\r\n\r\n", 1);
    assert_refused(question, 0, 414);
    assert_int_equal(site_statistics(&site).requests_malformed, 1);
    site_close(&site);
}

static void large_and_many_headers_are_refused(void **state)
{
    (void)state;
    open_site((struct http_server_options){.header_bytes_max = 200, .header_count_max = 5},
              (struct http_budget){0});
    char question[500];
    snprintf(question, sizeof question, "GET /echo HTTP/1.1\r\nHost: x\r\nX: %0100d\r\n\r\n", 1);
    assert_int_equal(ask_status(&site, question), 200);
    snprintf(question, sizeof question, "GET /echo HTTP/1.1\r\nHost: x\r\nX: %0200d\r\n\r\n", 1);
    assert_refused(question, 0, 431);
    assert_refused("GET /echo HTTP/1.1\r\nHost: x\r\nA: 1\r\nA: 2\r\nA: 3\r\nA: 4\r\nA: 5\r\n\r\n",
                   0, 431);
    site_close(&site);
}

static void large_bodies_are_refused(void **state)
{
    (void)state;
    open_site((struct http_server_options){.body_bytes_max = 1000}, (struct http_budget){0});
    /* Announced: before a byte of it is read; small enough, the connection lives on. */
    assert_int_equal(
        ask_status(&site, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n"), 413);
    assert_refused("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n", 100000, 413);
    assert_refused("POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                   "Content-Length: 1001\r\n\r\n",
                   0, 413);
    /* Chunked: when it has grown too large. */
    char chunks[3000];
    snprintf(chunks, sizeof chunks,
             "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
             "1f4\r\n%0500d\r\n1f5\r\n%0501d\r\n0\r\n\r\n",
             1, 1);
    assert_refused(chunks, 0, 413);
    /* A route may take less. */
    assert_int_equal(ask_status(&site, "POST /small HTTP/1.1\r\nHost: x\r\nContent-Length: 10"
                                       "\r\n\r\n0123456789"),
                     200);
    assert_int_equal(ask_status(&site, "POST /small HTTP/1.1\r\nHost: x\r\nContent-Length: 11"
                                       "\r\n\r\n01234567890"),
                     413);
    site_close(&site);
}

static void a_refused_small_body_is_passed_over(void **state)
{
    (void)state;
    open_site((struct http_server_options){0}, (struct http_budget){0});
    int client = client_open(&site);
    client_say(client, "POST /small HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n"
                       "GET /no HTTP/1.1\r\n\r\n" /* 20 bytes that are no request */
                       "POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd"
                       "GET /echo?next HTTP/1.1\r\nHost: x\r\n\r\n");
    char *answer = client_read_answer(client);
    assert_int_equal(answer_status(answer), 413);
    free(answer);
    answer = client_read_answer(client);
    assert_int_equal(answer_status(answer), 404);
    free(answer);
    answer = client_read_answer(client);
    assert_string_equal(answer_body(answer), "GET /echo?next|");
    free(answer);
    close(client);
    site_close(&site);
}

static void bodies_have_a_budget_together(void **state)
{
    (void)state;
    open_site((struct http_server_options){0},
              (struct http_budget){.connections_max = 10, .body_bytes_max = 2000});
    assert_int_equal(ask_status(&site, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"
                                       "\r\nabcd"),
                     200);
    assert_refused("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2001\r\n\r\n", 2001, 503);
    assert_int_equal(ask_status(&site, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"
                                       "\r\nabcd"),
                     200);
    site_close(&site);
}

static void connections_have_a_limit_together(void **state)
{
    (void)state;
    open_site((struct http_server_options){0}, (struct http_budget){.connections_max = 2});
    int first = client_open(&site), second = client_open(&site);
    client_say(first, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
    free(client_read_answer(first));
    client_say(second, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
    free(client_read_answer(second));
    assert_refused("GET /echo HTTP/1.1\r\nHost: x\r\n\r\n", 0, 503);
    assert_int_equal(site_statistics(&site).connections_refused, 1);
    close(first);
    while (atomic_load(&site.budget.connections) == 2)
        usleep(100);
    assert_int_equal(ask_status(&site, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
    close(second);
    site_close(&site);
}

/* Two loops, one address, one budget: the system spreads the connections. */
static void servers_of_several_loops_share_address_and_budget(void **state)
{
    (void)state;
    enum { CLIENTS = 40 };
    open_site((struct http_server_options){0}, (struct http_budget){.connections_max = CLIENTS});
    struct site other = {.options.budget = &site.budget};
    char address[32];
    snprintf(address, sizeof address, "127.0.0.1:%u", site.port);
    other.options.address = address;
    site_open(&other, ROUTES, sizeof ROUTES / sizeof ROUTES[0]);
    int clients[CLIENTS];
    for (size_t i = 0; i < CLIENTS; i++) {
        clients[i] = client_open(&site);
        client_say(clients[i], "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
        free(client_read_answer(clients[i]));
    }
    uint64_t here = site_statistics(&site).connections_open;
    uint64_t there = site_statistics(&other).connections_open;
    assert_true(here > 0 && there > 0);
    assert_int_equal(here + there, CLIENTS);
    assert_refused("GET /echo HTTP/1.1\r\nHost: x\r\n\r\n", 0, 503);
    for (size_t i = 0; i < CLIENTS; i++)
        close(clients[i]);
    site_close(&other);
    site_close(&site);
}

/* --- Too slow ---------------------------------------------------------------------------- */

static void a_slow_head_times_out(void **state)
{
    (void)state;
    open_site((struct http_server_options){.head_timeout_ms = 50}, (struct http_budget){0});
    assert_refused("GET /echo HTTP/1.1\r\nHost: ", 0, 408);
    assert_int_equal(site_statistics(&site).timeouts_head, 1);
    site_close(&site);
}

static void a_slow_body_times_out(void **state)
{
    (void)state;
    open_site((struct http_server_options){.body_timeout_ms = 50}, (struct http_budget){0});
    assert_refused("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nab", 0, 408);
    assert_int_equal(site_statistics(&site).timeouts_body, 1);
    site_close(&site);
}

static void an_idle_connection_is_closed_without_a_word(void **state)
{
    (void)state;
    open_site((struct http_server_options){.idle_timeout_ms = 50}, (struct http_budget){0});
    int client = client_open(&site);
    client_say(client, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
    free(client_read_answer(client));
    size_t size;
    free(client_read_all(client, &size));
    assert_int_equal(size, 0);
    assert_int_equal(site_statistics(&site).timeouts_idle, 1);
    close(client);
    site_close(&site);
}

/* The server's limits on time are for clients: a handler may take longer than any of them. */
static void a_slow_handler_is_left_in_peace(void **state)
{
    (void)state;
    open_site((struct http_server_options){.head_timeout_ms = 10,
                                           .body_timeout_ms = 10,
                                           .idle_timeout_ms = 10,
                                           .write_timeout_ms = 10},
              (struct http_budget){0});
    int client = client_open(&site);
    client_say(client, "GET /park HTTP/1.1\r\nHost: x\r\n\r\n");
    sem_wait(&handling);
    usleep(50000); /* the subject of the test is time */
    loop_call(site.loop, release_parked, NULL);
    char *answer = client_read_answer(client);
    assert_string_equal(answer_body(answer), "GET /park?|");
    free(answer);
    close(client);
    site_close(&site);
}

int main(void)
{
    alarm(120); /* a hang fails */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_long_target_is_refused),
        cmocka_unit_test(large_and_many_headers_are_refused),
        cmocka_unit_test(large_bodies_are_refused),
        cmocka_unit_test(a_refused_small_body_is_passed_over),
        cmocka_unit_test(bodies_have_a_budget_together),
        cmocka_unit_test(connections_have_a_limit_together),
        cmocka_unit_test(servers_of_several_loops_share_address_and_budget),
        cmocka_unit_test(a_slow_head_times_out),
        cmocka_unit_test(a_slow_body_times_out),
        cmocka_unit_test(an_idle_connection_is_closed_without_a_word),
        cmocka_unit_test(a_slow_handler_is_left_in_peace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
