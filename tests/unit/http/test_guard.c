#include "site.h"

/* The guard decides who may ask: at once, or later while the request is held. */

static struct site site;
static sem_t holding;
static struct http_request *held;
static bool refuses;

static _Atomic size_t gone_count;

static void on_gone(void *context)
{
    (void)context;
    gone_count++;
}

static void refuse(struct http_request *request)
{
    http_respond(request, &(struct http_response){.status = 401, .body = TEXT("no")});
}

/* The header "Who": known passes, late is held, anybody else is refused. */
static enum http_admission authenticate(void *context, struct http_request *request)
{
    struct text who;
    (void)context;
    http_request_header(request, TEXT("Who"), &who);
    if (text_equal(who, TEXT("known")))
        return HTTP_ADMITTED;
    if (text_equal(who, TEXT("late"))) {
        held = request;
        http_request_on_gone(request, on_gone, NULL);
        sem_post(&holding);
        return HTTP_HELD;
    }
    refuse(request);
    return HTTP_REFUSED;
}

static size_t decorate(void *context, struct http_request *request, struct http_header *headers,
                       size_t capacity)
{
    (void)context;
    (void)request;
    assert_true(capacity >= 1);
    headers[0] = (struct http_header){TEXT("X-Guard"), TEXT("yes")};
    return 1;
}

static void tell_who(struct http_request *request)
{
    struct http_identity identity = http_request_identity(request);
    http_respond(request, &(struct http_response){
                              .status = 200,
                              .body = arena_format(http_request_arena(request), "%.*s of %.*s",
                                                   TEXT_ARGUMENTS(identity.name),
                                                   TEXT_ARGUMENTS(identity.tenant)),
                          });
}

static const struct http_route ROUTES[] = {
    {.methods = HTTP_GET | HTTP_POST, .pattern = "/echo", .handler = echo},
    {.methods = HTTP_GET, .pattern = "/who", .handler = tell_who},
};

static int set_up(void **state)
{
    (void)state;
    memset(&site, 0, sizeof site);
    sem_init(&holding, 0, 0);
    held = NULL;
    refuses = false;
    gone_count = 0;
    site.options.guard = (struct http_guard){NULL, authenticate, decorate};
    site_open(&site, ROUTES, sizeof ROUTES / sizeof ROUTES[0]);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    site_close(&site);
    sem_destroy(&holding);
    return 0;
}

static void decide_on_loop(void *argument)
{
    (void)argument;
    if (refuses) {
        refuse(held);
        return;
    }
    http_request_set_identity(held, (struct http_identity){TEXT("ann"), TEXT("team")});
    http_request_admit(held);
}

/* Once the server holds one. */
static void decide(void)
{
    sem_wait(&holding);
    loop_call(site.loop, decide_on_loop, NULL);
}

static void assert_answer(int client, unsigned status, const char *body)
{
    char *answer = client_read_answer(client);
    assert_int_equal(answer_status(answer), status);
    assert_string_equal(answer_body(answer), body);
    assert_non_null(strstr(answer, "\r\nX-Guard: yes\r\n"));
    free(answer);
}

static void who_is_known_passes(void **state)
{
    (void)state;
    int client = client_open(&site);
    client_say(client, "GET /echo?a HTTP/1.1\r\nHost: x\r\nWho: known\r\n\r\n");
    assert_answer(client, 200, "GET /echo?a|");
    close(client);
}

static void who_is_refused_does_not_learn_what_exists(void **state)
{
    (void)state;
    int client = client_open(&site);
    client_say(client, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_answer(client, 401, "no");
    client_say(client, "GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_answer(client, 401, "no");
    client_say(client, "DELETE /echo HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_answer(client, 401, "no");
    client_say(client, "GET /nowhere HTTP/1.1\r\nHost: x\r\nWho: known\r\n\r\n");
    assert_answer(client, 404, "no such path\n");
    close(client);
}

static void a_held_request_goes_on_with_its_identity(void **state)
{
    (void)state;
    int client = client_open(&site);
    client_say(client, "GET /who HTTP/1.1\r\nHost: x\r\nWho: late\r\n\r\n");
    decide();
    assert_answer(client, 200, "ann of team");
    client_say(client, "GET /who HTTP/1.1\r\nHost: x\r\nWho: known\r\n\r\n");
    assert_answer(client, 200, " of ");
    close(client);
}

static void the_body_of_a_held_request_may_come_before_or_after(void **state)
{
    (void)state;
    int client = client_open(&site);
    client_say(client,
               "POST /echo HTTP/1.1\r\nHost: x\r\nWho: late\r\nContent-Length: 6\r\n\r\nbef");
    decide();
    client_say(client, "ore");
    assert_answer(client, 200, "POST /echo?|before");
    client_say(client, "POST /echo HTTP/1.1\r\nHost: x\r\nWho: late\r\n"
                       "Transfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n0\r\n\r\n");
    decide();
    assert_answer(client, 200, "POST /echo?|whole");
    client_say(client, "POST /echo HTTP/1.1\r\nHost: x\r\nWho: late\r\nContent-Length: 5\r\n"
                       "Expect: 100-continue\r\n\r\n");
    decide();
    char *answer = client_read_answer(client);
    assert_int_equal(answer_status(answer), 100);
    free(answer);
    client_say(client, "after");
    assert_answer(client, 200, "POST /echo?|after");
    close(client);
}

/* More than the connection keeps for a request that waits. */
static void a_large_body_waits_in_the_socket(void **state)
{
    (void)state;
    enum { BODY_BYTES = 300 * 1024 };
    int client = client_open(&site);
    char *body = malloc(BODY_BYTES + 1);
    memset(body, 'b', BODY_BYTES);
    body[BODY_BYTES] = '\0';
    char head[128];
    snprintf(head, sizeof head,
             "POST /echo HTTP/1.1\r\nHost: x\r\nWho: late\r\nContent-Length: %d\r\n\r\n",
             BODY_BYTES);
    client_say(client, head);
    client_send(client, body, 100 * 1024); /* fits into the sockets of both */
    decide();
    client_send(client, body, BODY_BYTES - 100 * 1024);
    char *answer = client_read_answer(client);
    assert_int_equal(answer_status(answer), 200);
    assert_int_equal(strlen(answer_body(answer)), BODY_BYTES + strlen("POST /echo?|"));
    free(answer);
    free(body);
    close(client);
}

static void a_held_request_that_is_refused_leaves_the_connection_in_order(void **state)
{
    (void)state;
    int client = client_open(&site);
    refuses = true;
    client_say(client,
               "POST /echo HTTP/1.1\r\nHost: x\r\nWho: late\r\nContent-Length: 4\r\n\r\nbo");
    decide();
    assert_answer(client, 401, "no");
    client_say(client, "dyGET /echo HTTP/1.1\r\nHost: x\r\nWho: late\r\n\r\n");
    decide();
    assert_answer(client, 401, "no");
    client_say(client, "GET /echo HTTP/1.1\r\nHost: x\r\nWho: known\r\n\r\n");
    assert_answer(client, 200, "GET /echo?|");
    close(client);
}

static void a_held_request_may_ask_for_what_does_not_exist(void **state)
{
    (void)state;
    int client = client_open(&site);
    client_say(client,
               "POST /nowhere HTTP/1.1\r\nHost: x\r\nWho: late\r\nContent-Length: 2\r\n\r\nbo"
               "GET /echo HTTP/1.1\r\nHost: x\r\nWho: known\r\n\r\n");
    decide();
    assert_answer(client, 404, "no such path\n");
    assert_answer(client, 200, "GET /echo?|");
    close(client);
}

static void requests_behind_a_held_one_wait(void **state)
{
    (void)state;
    int client = client_open(&site);
    client_say(client, "GET /echo?1 HTTP/1.1\r\nHost: x\r\nWho: late\r\n\r\n"
                       "GET /echo?2 HTTP/1.1\r\nHost: x\r\nWho: known\r\n\r\n"
                       "GET /echo?3 HTTP/1.1\r\nHost: x\r\nWho: late\r\n\r\n");
    decide();
    assert_answer(client, 200, "GET /echo?1|");
    assert_answer(client, 200, "GET /echo?2|");
    decide();
    assert_answer(client, 200, "GET /echo?3|");
    close(client);
}

static void wait_for_connections(uint64_t wanted)
{
    while (site_statistics(&site).connections_open != wanted)
        usleep(1000);
}

static void reset(int client)
{
    struct linger linger = {.l_onoff = 1};
    setsockopt(client, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(client);
}

static void a_client_that_left_is_forgotten_when_it_is_decided(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        refuses = i == 1;
        int client = client_open(&site);
        client_say(client,
                   "POST /echo HTTP/1.1\r\nHost: x\r\nWho: late\r\nContent-Length: 9\r\n\r\n");
        sem_wait(&holding);
        reset(client);
        wait_for_connections(0);
        loop_call(site.loop, decide_on_loop, NULL);
    }
    assert_int_equal(gone_count, 2);
}

/* Half closed: it may still read, but the rest of its request never comes. */
static void half_a_request_ends_with_its_client(void **state)
{
    (void)state;
    int client = client_open(&site);
    client_say(client,
               "POST /echo HTTP/1.1\r\nHost: x\r\nWho: late\r\nContent-Length: 9\r\n\r\nhalf");
    sem_wait(&holding);
    shutdown(client, SHUT_WR);
    while (gone_count == 0)
        usleep(1000);
    loop_call(site.loop, decide_on_loop, NULL);
    char *nothing = client_read_all(client, NULL);
    assert_string_equal(nothing, "");
    free(nothing);
    close(client);
}

static void a_drain_waits_for_what_is_held(void **state)
{
    (void)state;
    int client = client_open(&site);
    client_say(client, "GET /echo HTTP/1.1\r\nHost: x\r\nWho: late\r\n\r\n");
    sem_wait(&holding);
    site_drain(&site, 10000);
    loop_call(site.loop, decide_on_loop, NULL);
    char *answer = client_read_all(client, NULL);
    assert_int_equal(answer_status(answer), 200);
    assert_non_null(strstr(answer, "\r\nConnection: close\r\n"));
    free(answer);
    close(client);
    site_end(&site);
    sem_destroy(&holding);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_is_known_passes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_is_refused_does_not_learn_what_exists, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_held_request_goes_on_with_its_identity, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_body_of_a_held_request_may_come_before_or_after, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_large_body_waits_in_the_socket, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_held_request_that_is_refused_leaves_the_connection_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_held_request_may_ask_for_what_does_not_exist, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(requests_behind_a_held_one_wait, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_client_that_left_is_forgotten_when_it_is_decided, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(half_a_request_ends_with_its_client, set_up, tear_down),
        cmocka_unit_test_setup(a_drain_waits_for_what_is_held, set_up),
    };
    return cmocka_run_group_tests_name("guard", tests, NULL, NULL);
}
