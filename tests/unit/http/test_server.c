#include "site.h"

#include <sched.h>

static struct site site;

/* "name=value;" for every parameter. */
static void list_parameters(struct http_request *request)
{
    const struct http_parameters *parameters;
    struct error error;
    struct http_response response = {.status = 400, .content_type = TEXT("text/plain")};
    struct text list = TEXT("");
    if (http_request_parameters(request, &parameters, &error) == ERROR_NONE) {
        response.status = 200;
        for (size_t i = 0; i < parameters->count; i++)
            list = arena_format(http_request_arena(request), "%.*s%.*s=%.*s;", TEXT_ARGUMENTS(list),
                                TEXT_ARGUMENTS(parameters->entries[i].name),
                                TEXT_ARGUMENTS(parameters->entries[i].value));
    } else {
        list = arena_format(http_request_arena(request), "%s", error.message);
    }
    response.body = list;
    http_respond(request, &response);
}

static void name_segment(struct http_request *request)
{
    struct text name = http_request_segment(request, TEXT("name"));
    struct text rest = http_request_segment(request, TEXT("*"));
    struct http_response response = {
        .status = 200,
        .body =
            arena_format(http_request_arena(request), "%s [%.*s] [%.*s]",
                         http_request_route(request), TEXT_ARGUMENTS(name), TEXT_ARGUMENTS(rest)),
    };
    http_respond(request, &response);
}

static void large(struct http_request *request)
{
    size_t size = 1000000;
    char *bytes = malloc(size);
    memset(bytes, 'x', size);
    struct http_response response = {
        .status = 200,
        .content_type = TEXT("text/plain"),
        .body = {bytes, size},
        .body_life = HTTP_BODY_OWNED,
    };
    http_respond(request, &response);
}

/* Answers from a later turn, so that pipelined requests pile up meanwhile. */
struct later {
    struct task task;
    struct http_request *request;
};

static void later_run(struct task *task)
{
    echo(((struct later *)task)->request);
}

static void echo_later(struct http_request *request)
{
    struct later *later = arena_allocate(http_request_arena(request), sizeof *later);
    *later = (struct later){.task.run = later_run, .request = request};
    scheduler_defer(http_request_scheduler(request), &later->task);
}

static void inject_header(struct http_request *request)
{
    struct http_header header = {TEXT("X-Reason"), TEXT("a\r\nSet-Cookie: b")};
    struct http_response response = {.status = 200, .headers = &header, .header_count = 1};
    http_respond(request, &response);
}

static void take_body(struct http_request *request)
{
    size_t size;
    uint8_t *body = http_request_take_body(request, &size);
    assert_int_equal(http_request_body(request).size, 0);
    struct http_response response = {
        .status = 200,
        .body = {(const char *)body, size},
        .body_life = HTTP_BODY_OWNED,
    };
    http_respond(request, &response);
}

static const struct http_route ROUTES[] = {
    {.methods = HTTP_GET | HTTP_POST | HTTP_HEAD, .pattern = "/echo", .handler = echo},
    {.methods = HTTP_POST, .pattern = "/later", .handler = echo_later},
    {.methods = HTTP_GET | HTTP_POST, .pattern = "/list", .handler = list_parameters},
    {.methods = HTTP_GET, .pattern = "/label/{name}/values", .handler = name_segment},
    {.methods = HTTP_GET, .pattern = "/label/job/values", .handler = name_segment},
    {.methods = HTTP_GET, .pattern = "/files/*", .handler = name_segment},
    {.methods = HTTP_GET, .pattern = "/large", .handler = large},
    {.methods = HTTP_GET, .pattern = "/inject", .handler = inject_header},
    {.methods = HTTP_POST, .pattern = "/take", .handler = take_body},
};

static int set_up(void **state)
{
    (void)state;
    struct error error;
    memset(&site, 0, sizeof site);
    if (worker_pool_create(&(struct worker_pool_options){0}, &site.workers, &error) != ERROR_NONE)
        return -1;
    site_open(&site, ROUTES, sizeof ROUTES / sizeof ROUTES[0]);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    site_close(&site);
    worker_pool_destroy(site.workers);
    return 0;
}

static void assert_answer(const char *question, unsigned status, const char *body)
{
    int client = client_open(&site);
    client_say(client, question);
    char *answer = client_read_answer(client);
    assert_int_equal(answer_status(answer), status);
    if (body != NULL)
        assert_string_equal(answer_body(answer), body);
    free(answer);
    close(client);
}

/* --- Requests ---------------------------------------------------------------------------- */

static void a_connection_serves_many_requests(void **state)
{
    (void)state;
    int client = client_open(&site);
    for (int i = 0; i < 3; i++) {
        client_say(client, "GET /echo?a=1 HTTP/1.1\r\nHost: x\r\n\r\n");
        char *answer = client_read_answer(client);
        assert_string_equal(answer_body(answer), "GET /echo?a=1|");
        free(answer);
    }
    assert_true(site_statistics(&site).connections_accepted == 1);
    close(client);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    int client = client_open(&site);
    for (int round = 0; round < 20; round++)
        client_say(client, "POST /later HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\none"
                           "GET /echo?two HTTP/1.1\r\nHost: x\r\n\r\n"
                           "POST /later HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                           "2\r\nth\r\n3;x=y\r\nree\r\n0\r\nTrailer: t\r\n\r\n");
    for (int round = 0; round < 20; round++) {
        static const char *const EXPECTED[] = {"POST /later?|one", "GET /echo?two|",
                                               "POST /later?|three"};
        for (int i = 0; i < 3; i++) {
            char *answer = client_read_answer(client);
            assert_string_equal(answer_body(answer), EXPECTED[i]);
            free(answer);
        }
    }
    close(client);
}

/* Wherever the network cuts, the same requests are read. */
static void a_cut_at_any_byte_changes_nothing(void **state)
{
    (void)state;
    static const char QUESTION[] =
        "POST /later?x=%20y HTTP/1.1\r\nHost: x\r\nX-A:  b \r\nContent-Length: 5\r\n\r\nhello"
        "POST /later HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        "1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"
        "GET /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    static const char *const EXPECTED[] = {"POST /later?x=%20y|hello", "POST /later?|abc",
                                           "GET /echo?|"};
    size_t size = sizeof QUESTION - 1;
    for (size_t cut = 1; cut < size; cut++) {
        int client = client_open(&site);
        client_send(client, QUESTION, cut);
        /* The server has seen the first part when it has read that many bytes in all. */
        uint64_t seen = (cut - 1) * size + cut;
        while (site_statistics(&site).received_bytes < seen)
            sched_yield();
        client_send(client, QUESTION + cut, size - cut);
        for (int i = 0; i < 3; i++) {
            char *answer = client_read_answer(client);
            assert_int_equal(answer_status(answer), 200);
            assert_string_equal(answer_body(answer), EXPECTED[i]);
            free(answer);
        }
        free(client_read_all(client, NULL));
        close(client);
    }
}

static void large_bodies_arrive_whole(void **state)
{
    (void)state;
    enum { SIZE = 3000000 };
    char *body = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        body[i] = (char)('a' + i * i % 26);
    int client = client_open(&site);
    char head[128];
    snprintf(head, sizeof head, "POST /take HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n",
             SIZE);
    for (int round = 0; round < 2; round++) {
        client_say(client, head);
        client_send(client, body, SIZE);
        char *answer = client_read_answer(client);
        assert_int_equal(answer_status(answer), 200);
        assert_memory_equal(answer_body(answer), body, SIZE);
        free(answer);
    }
    free(body);
    close(client);
}

static void a_client_that_asks_first_is_told_to_continue(void **state)
{
    (void)state;
    int client = client_open(&site);
    client_say(client, "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                       "Content-Length: 2\r\n\r\n");
    char *answer = client_read_answer(client);
    assert_int_equal(answer_status(answer), 100);
    free(answer);
    client_say(client, "ok");
    answer = client_read_answer(client);
    assert_string_equal(answer_body(answer), "POST /echo?|ok");
    free(answer);
    close(client);
    assert_answer("POST /echo HTTP/1.1\r\nHost: x\r\nExpect: tea\r\n\r\n", 417, NULL);
}

static void parameters_come_from_form_and_query(void **state)
{
    (void)state;
    assert_answer("POST /list?b=2 HTTP/1.1\r\nHost: x\r\n"
                  "Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\n"
                  "Content-Length: 11\r\n\r\na=1+1&b=%33",
                  200, "a=1 1;b=3;b=2;");
    assert_answer("POST /list?b=2 HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n"
                  "Content-Length: 3\r\n\r\na=1",
                  200, "b=2;");
    assert_answer("GET /list?a=%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400,
                  "invalid URL escape at byte 0");
}

/* --- Routes ------------------------------------------------------------------------------ */

static void segments_are_matched_and_decoded(void **state)
{
    (void)state;
    assert_answer("GET /label/up/values HTTP/1.1\r\nHost: x\r\n\r\n", 200,
                  "/label/{name}/values [up] []");
    assert_answer("GET /label/job/values HTTP/1.1\r\nHost: x\r\n\r\n", 200,
                  "/label/job/values [] []");
    assert_answer("GET /label/a%2Fb%20c+/values HTTP/1.1\r\nHost: x\r\n\r\n", 200,
                  "/label/{name}/values [a/b c+] []");
    assert_answer("GET /%6cabel/x/values HTTP/1.1\r\nHost: x\r\n\r\n", 200,
                  "/label/{name}/values [x] []");
    assert_answer("GET /files/a/b%20c HTTP/1.1\r\nHost: x\r\n\r\n", 200, "/files/* [] [a/b c]");
    assert_answer("GET /files/ HTTP/1.1\r\nHost: x\r\n\r\n", 200, "/files/* [] []");
    assert_answer("GET /files/Z\xc3\xbcrich HTTP/1.1\r\nHost: x\r\n\r\n", 200,
                  "/files/* [] [Z\xc3\xbcrich]");
    assert_answer("GET http://other/files/x?y HTTP/1.1\r\nHost: x\r\n\r\n", 200, "/files/* [] [x]");
    assert_answer("GET /label//values HTTP/1.1\r\nHost: x\r\n\r\n", 404, NULL);
    assert_answer("GET /files HTTP/1.1\r\nHost: x\r\n\r\n", 404, NULL);
    assert_answer("GET /1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18 HTTP/1.1\r\nHost: x\r\n\r\n",
                  404, NULL);
    assert_answer("GET /label/%zz/values HTTP/1.1\r\nHost: x\r\n\r\n", 400, NULL);
}

static void other_methods_are_told_which_ones_work(void **state)
{
    (void)state;
    int client = client_open(&site);
    client_say(client, "DELETE /echo HTTP/1.1\r\nHost: x\r\n\r\n");
    char *answer = client_read_answer(client);
    assert_int_equal(answer_status(answer), 405);
    assert_non_null(strstr(answer, "\r\nAllow: GET, HEAD, POST, OPTIONS\r\n"));
    free(answer);
    client_say(client, "OPTIONS /echo HTTP/1.1\r\nHost: x\r\n\r\n");
    answer = client_read_answer(client);
    assert_int_equal(answer_status(answer), 204);
    assert_non_null(strstr(answer, "\r\nAllow: GET, HEAD, POST, OPTIONS\r\n"));
    free(answer);
    close(client);
    assert_answer("OPTIONS /unknown HTTP/1.1\r\nHost: x\r\n\r\n", 204, NULL);
    assert_answer("PURGE /echo HTTP/1.1\r\nHost: x\r\n\r\n", 405, NULL);
}

static void patterns_that_cannot_work_are_refused(void **state)
{
    (void)state;
    static const char *const PATTERNS[] = {"echo", "/a/*/b", "/a{b}", "/{a}/{b}/{c}/{d}/{e}",
                                           "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17"};
    for (size_t i = 0; i < sizeof PATTERNS / sizeof PATTERNS[0]; i++) {
        struct error error;
        struct http_router *router = http_router_create();
        struct http_route route = {HTTP_GET, PATTERNS[i], echo, NULL, 0};
        assert_int_not_equal(http_router_add(router, &route, &error), ERROR_NONE);
        route.pattern = "/fine";
        assert_int_equal(http_router_add(router, &route, &error), ERROR_NONE);
        assert_int_equal(http_router_add(router, &route, &error), ERROR_EXISTS);
        http_router_destroy(router);
    }
}

/* --- Answers ----------------------------------------------------------------------------- */

static void head_has_the_length_and_no_body(void **state)
{
    (void)state;
    int client = client_open(&site);
    client_say(client, "HEAD /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    char *answer = client_read_all(client, NULL);
    assert_non_null(strstr(answer, "\r\nContent-Length: 12\r\n"));
    assert_non_null(strstr(answer, "\r\nConnection: close\r\n"));
    assert_string_equal(answer_body(answer), "");
    free(answer);
    close(client);
}

static void old_clients_get_a_close(void **state)
{
    (void)state;
    int client = client_open(&site);
    client_say(client, "GET /echo HTTP/1.0\r\n\r\n");
    char *answer = client_read_all(client, NULL);
    assert_string_equal(answer_body(answer), "GET /echo?|");
    free(answer);
    close(client);
}

static void large_answers_are_compressed_for_those_who_accept(void **state)
{
    (void)state;
    int client = client_open(&site);
    client_say(client, "GET /large HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n"
                       "GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
    char *answer = client_read_answer(client);
    assert_non_null(strstr(answer, "\r\nContent-Encoding: gzip\r\n"));
    assert_non_null(strstr(answer, "\r\nVary: Accept-Encoding\r\n"));
    assert_memory_equal(answer_body(answer), "\x1f\x8b", 2);
    free(answer);
    answer = client_read_answer(client);
    assert_null(strstr(answer, "Content-Encoding"));
    assert_non_null(strstr(answer, "\r\nVary: Accept-Encoding\r\n"));
    assert_non_null(strstr(answer, "\r\nContent-Length: 1000000\r\n"));
    assert_int_equal(strspn(answer_body(answer), "x"), 1000000);
    free(answer);
    close(client);
}

static void a_header_value_cannot_start_another_header(void **state)
{
    (void)state;
    int client = client_open(&site);
    client_say(client, "GET /inject HTTP/1.1\r\nHost: x\r\n\r\n");
    char *answer = client_read_answer(client);
    assert_non_null(strstr(answer, "\r\nX-Reason: a  Set-Cookie: b\r\n"));
    free(answer);
    close(client);
}

/* --- Bad requests ------------------------------------------------------------------------ */

static void malformed_requests_are_answered_and_closed(void **state)
{
    (void)state;
    static const struct {
        const char *question;
        unsigned status;
    } CASES[] = {
        {"rubbish\r\n\r\n", 400},
        {"GET /echo HTTP/1.1\r\n\r\n", 400}, /* no Host */
        {"GET echo HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET /echo HTTP/2.0\r\nHost: x\r\n\r\n", 505},
        {"GET /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1x\r\n\r\n", 400},
        {"GET /echo HTTP/1.1\r\nHost: x\r\nBad Name: 1\r\n\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n", 400},
        {"GET /echo HTTP/1.1\r\nHost: x\r\n: 1\r\n\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n"
         "\r\n0\r\n\r\n",
         400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
        {"POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
        {"GET /echo HTTP/1.1\r\nHost: x\r\nHost: y\r\nConnection: close\r\n\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        int client = client_open(&site);
        client_say(client, CASES[i].question);
        char *answer = client_read_answer(client);
        if (answer_status(answer) != CASES[i].status)
            print_error("%s -> %s\n", CASES[i].question, answer);
        assert_int_equal(answer_status(answer), CASES[i].status);
        free(answer);
        close(client);
    }
}

int main(void)
{
    alarm(120); /* a hang fails */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_connection_serves_many_requests, set_up, tear_down),
        cmocka_unit_test_setup_teardown(pipelined_requests_are_answered_in_order, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_cut_at_any_byte_changes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(large_bodies_arrive_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_client_that_asks_first_is_told_to_continue, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(parameters_come_from_form_and_query, set_up, tear_down),
        cmocka_unit_test_setup_teardown(segments_are_matched_and_decoded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_methods_are_told_which_ones_work, set_up, tear_down),
        cmocka_unit_test(patterns_that_cannot_work_are_refused),
        cmocka_unit_test_setup_teardown(head_has_the_length_and_no_body, set_up, tear_down),
        cmocka_unit_test_setup_teardown(old_clients_get_a_close, set_up, tear_down),
        cmocka_unit_test_setup_teardown(large_answers_are_compressed_for_those_who_accept, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_header_value_cannot_start_another_header, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(malformed_requests_are_answered_and_closed, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
