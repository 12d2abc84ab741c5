#include "site.h"

/* How a server ends. */

static struct site site;
static sem_t handling;
static struct http_request *parked;

static void park(struct http_request *request)
{
    parked = request;
    sem_post(&handling);
}

static void answer_parked(void *argument)
{
    (void)argument;
    echo(parked);
}

static void echo_gone(void *context)
{
    echo(context);
}

static void park_until_gone(struct http_request *request)
{
    http_request_on_gone(request, echo_gone, request);
    sem_post(&handling);
}

/* --- Hooks ------------------------------------------------------------------------------- */

static struct http_access last_access;
static size_t accesses;

static void remember(void *context, const struct http_access *access)
{
    (void)context;
    last_access = *access;
    accesses++;
}

static enum http_admission admit(void *context, struct http_request *request)
{
    (void)context;
    struct text key;
    assert_int_equal(http_request_body(request).size, 0);
    if (http_request_header(request, TEXT("x-key"), &key) && text_equal(key, TEXT("wrong"))) {
        http_respond(request, &(struct http_response){.status = 401});
        return HTTP_REFUSED;
    }
    return HTTP_ADMITTED;
}

static struct text error_body(void *context, unsigned status, const char *reason,
                              struct arena *arena, struct text *content_type_out)
{
    (void)context;
    *content_type_out = TEXT("application/json");
    return arena_format(arena, "{\"status\":%u,\"error\":\"%s\"}", status, reason);
}

static size_t decorate(void *context, struct http_request *request, struct http_header *headers,
                       size_t capacity)
{
    (void)context;
    (void)request;
    assert_true(capacity >= 1);
    headers[0] = (struct http_header){TEXT("Access-Control-Allow-Origin"), TEXT("*")};
    return 1;
}

static void preflight(void *context, struct http_request *request)
{
    (void)context;
    http_respond(request, &(struct http_response){.status = 204});
}

static const struct http_route ROUTES[] = {
    {.methods = HTTP_GET | HTTP_POST, .pattern = "/echo", .handler = echo},
    {.methods = HTTP_GET, .pattern = "/park", .handler = park},
    {.methods = HTTP_GET, .pattern = "/stay", .handler = park_until_gone},
};

static void open_site(void)
{
    memset(&site, 0, sizeof site);
    accesses = 0;
    sem_init(&handling, 0, 0);
    site.options.hooks = (struct http_hooks){
        .admit = admit,
        .error_body = error_body,
        .decorate = decorate,
        .preflight = preflight,
        .finished = remember,
    };
    site_open(&site, ROUTES, sizeof ROUTES / sizeof ROUTES[0]);
}

/* --- Draining ---------------------------------------------------------------------------- */

static void idle_connections_are_closed(void **state)
{
    (void)state;
    open_site();
    int client = client_open(&site);
    client_say(client, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
    free(client_read_answer(client));
    site_drain(&site, 60000);
    size_t size;
    free(client_read_all(client, &size));
    assert_int_equal(size, 0);
    close(client);
    site_end(&site);
}

static void what_has_begun_is_answered_with_a_close(void **state)
{
    (void)state;
    open_site();
    static const char HALF[] = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na";
    int handled = client_open(&site), halfway = client_open(&site);
    client_say(halfway, HALF);
    while (site_statistics(&site).received_bytes < sizeof HALF - 1)
        usleep(100);
    client_say(handled, "GET /park HTTP/1.1\r\nHost: x\r\n\r\n");
    sem_wait(&handling);
    site_drain(&site, 60000);
    loop_call(site.loop, answer_parked, NULL);
    client_say(halfway, "b");
    char *answer = client_read_all(handled, NULL);
    assert_string_equal(answer_body(answer), "GET /park?|");
    assert_non_null(strstr(answer, "\r\nConnection: close\r\n"));
    free(answer);
    answer = client_read_all(halfway, NULL);
    assert_string_equal(answer_body(answer), "POST /echo?|ab");
    assert_non_null(strstr(answer, "\r\nConnection: close\r\n"));
    free(answer);
    close(handled);
    close(halfway);
    site_end(&site);
}

static void what_is_on_its_way_is_answered(void **state)
{
    (void)state;
    enum { CLIENTS = 50, KEPT = CLIENTS / 2 };
    static const char ASK[] = "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n";
    open_site();
    int clients[CLIENTS];
    for (int i = 0; i < KEPT; i++) {
        clients[i] = client_open(&site);
        client_say(clients[i], ASK);
        free(client_read_answer(clients[i]));
    }
    for (int i = 0; i < CLIENTS; i++) {
        if (i >= KEPT)
            clients[i] = client_open(&site); /* perhaps not accepted yet */
        client_say(clients[i], ASK);
    }
    site_drain(&site, 60000);
    for (int i = 0; i < CLIENTS; i++) {
        char *answer = client_read_all(clients[i], NULL);
        assert_int_equal(answer_status(answer), 200);
        free(answer);
        close(clients[i]);
    }
    site_end(&site);
}

static void who_has_just_connected_may_ask_once(void **state)
{
    (void)state;
    open_site();
    int asks = client_open(&site), is_silent = client_open(&site);
    while (site_statistics(&site).connections_accepted < 2)
        usleep(100);
    site_drain(&site, 60000);
    usleep(300 * 1000); /* longer than the last moment */
    client_say(asks, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
    char *answer = client_read_all(asks, NULL);
    assert_int_equal(answer_status(answer), 200);
    assert_non_null(strstr(answer, "\r\nConnection: close\r\n"));
    free(answer);
    size_t size;
    free(client_read_all(is_silent, &size));
    assert_int_equal(size, 0);
    close(asks);
    close(is_silent);
    site_end(&site);
}

static void what_does_not_end_in_time_is_cut(void **state)
{
    (void)state;
    open_site();
    int client = client_open(&site);
    client_say(client, "GET /stay HTTP/1.1\r\nHost: x\r\n\r\n");
    sem_wait(&handling);
    site_drain(&site, 30);
    size_t size;
    free(client_read_all(client, &size));
    assert_int_equal(size, 0);
    site_end(&site);
    close(client);
    assert_int_equal(accesses, 1);
    assert_true(last_access.client_gone);
}

/* --- Hooks ------------------------------------------------------------------------------- */

static void a_refusal_comes_before_the_body(void **state)
{
    (void)state;
    open_site();
    int client = client_open(&site);
    client_say(client, "POST /echo HTTP/1.1\r\nHost: x\r\nX-Key: wrong\r\n"
                       "Content-Length: 100000\r\nExpect: 100-continue\r\n\r\n");
    char *answer = client_read_all(client, NULL);
    assert_int_equal(answer_status(answer), 401);
    free(answer);
    close(client);
    /* Without a body, the connection goes on. */
    client = client_open(&site);
    client_say(client, "GET /echo HTTP/1.1\r\nHost: x\r\nX-Key: wrong\r\n\r\n"
                       "GET /echo HTTP/1.1\r\nHost: x\r\nX-Key: right\r\n\r\n");
    answer = client_read_answer(client);
    assert_int_equal(answer_status(answer), 401);
    free(answer);
    answer = client_read_answer(client);
    assert_int_equal(answer_status(answer), 200);
    free(answer);
    close(client);
    site_close(&site);
}

static void every_answer_is_decorated_and_recorded(void **state)
{
    (void)state;
    open_site();
    int client = client_open(&site);
    client_say(client, "GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n");
    char *answer = client_read_answer(client);
    assert_string_equal(answer_body(answer), "{\"status\":404,\"error\":\"no such path\"}");
    assert_non_null(strstr(answer, "\r\nAccess-Control-Allow-Origin: *\r\n"));
    assert_non_null(strstr(answer, "\r\nContent-Type: application/json\r\n"));
    free(answer);
    client_say(client, "OPTIONS /echo HTTP/1.1\r\nHost: x\r\n\r\n");
    answer = client_read_answer(client);
    assert_int_equal(answer_status(answer), 204);
    assert_non_null(strstr(answer, "\r\nAccess-Control-Allow-Origin: *\r\n"));
    free(answer);
    client_say(client, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
    answer = client_read_answer(client);
    size_t size = strlen(answer);
    free(answer);
    close(client);
    site_close(&site);
    assert_int_equal(accesses, 3);
    assert_string_equal(last_access.route, "/echo");
    assert_int_equal(last_access.status, 200);
    assert_int_equal(last_access.request_bytes, 3);
    assert_int_equal(last_access.response_bytes, size);
    assert_false(last_access.client_gone);
    assert_true(last_access.duration_ns > 0);
}

int main(void)
{
    alarm(120); /* a hang fails */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idle_connections_are_closed),
        cmocka_unit_test(what_has_begun_is_answered_with_a_close),
        cmocka_unit_test(what_is_on_its_way_is_answered),
        cmocka_unit_test(who_has_just_connected_may_ask_once),
        cmocka_unit_test(what_does_not_end_in_time_is_cut),
        cmocka_unit_test(a_refusal_comes_before_the_body),
        cmocka_unit_test(every_answer_is_decorated_and_recorded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
