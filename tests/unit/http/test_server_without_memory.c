#include "site.h"

#include "allocation_faults.h"

/*
 * Every allocation of a conversation fails once, one after the other. The client gets right
 * answers or a closed connection; the server goes on and loses nothing.
 */

static struct site site;
static size_t fault;
static bool was_injected;

struct letters {
    struct http_producer producer;
    int pieces_left;
};

static enum http_production letters_produce(struct http_producer *producer,
                                            struct byte_buffer *piece)
{
    struct letters *letters = (struct letters *)producer;
    if (byte_buffer_reserve(piece, 1000)) {
        memset(piece->bytes, 'l', 1000);
        piece->size = 1000;
    }
    return --letters->pieces_left == 0 ? HTTP_PRODUCTION_END : HTTP_PRODUCTION_MORE;
}

static void letters_finished(struct http_producer *producer)
{
    free(producer);
}

static void produce(struct http_request *request)
{
    struct http_response response = {.status = 503, .content_type = TEXT("text/plain")};
    struct letters *letters = malloc(sizeof *letters);
    if (letters == NULL) {
        http_respond(request, &response);
        return;
    }
    *letters = (struct letters){{letters_produce, letters_finished, JOB_QUERY}, 3};
    response.status = 200;
    http_respond_produced(request, &response, &letters->producer);
}

static void list(struct http_request *request)
{
    const struct http_parameters *parameters;
    struct error error;
    struct http_response response = {.status = 503, .content_type = TEXT("text/plain")};
    struct text query, body;
    if (http_request_parameters(request, &parameters, &error) == ERROR_NONE) {
        http_parameters_find(parameters, TEXT("query"), &query);
        body = arena_format(http_request_arena(request), "%.*s%1500s", TEXT_ARGUMENTS(query), "");
        if (body.data != NULL) {
            response.status = 200;
            response.body = body;
        }
    }
    http_respond(request, &response);
}

static const struct http_route ROUTES[] = {
    {.methods = HTTP_GET | HTTP_POST, .pattern = "/list", .handler = list},
    {.methods = HTTP_GET, .pattern = "/produce", .handler = produce},
    {.methods = HTTP_GET, .pattern = "/label/{name}", .handler = list},
};

static void arm(void *argument)
{
    (void)argument;
    allocation_faults_arm(fault);
}

static void disarm(void *argument)
{
    (void)argument;
    was_injected = allocation_faults_disarm();
}

static const char CONVERSATION[] =
    "POST /list HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    "Accept-Encoding: gzip\r\nContent-Length: 11\r\n\r\nquery=%61+b"
    "POST /list HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    "Expect: 100-continue\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    "GET /label/a%20b HTTP/1.1\r\nHost: x\r\n\r\n"
    "GET /produce HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n"
    "DELETE /list HTTP/1.1\r\nHost: x\r\n\r\n"
    "GET /produce HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

/* Whether the whole conversation was answered; answers are 200, 405 or 503 in any case. */
static bool converse(void)
{
    int client = client_open(&site);
    client_say(client, CONVERSATION);
    static char bytes[1 << 20];
    size_t size = 0;
    ssize_t got;
    while ((got = recv(client, bytes + size, sizeof bytes - 1 - size, 0)) > 0)
        size += (size_t)got;
    close(client);
    size_t answers = 0, good = 0;
    for (size_t i = 0; i + 12 < size; i++) {
        if (memcmp(bytes + i, "HTTP/1.1 ", 9) != 0)
            continue;
        unsigned status = (unsigned)strtoul(bytes + i + 9, NULL, 10);
        if (status == 100)
            continue;
        assert_true(status == 200 || status == 405 || status == 503);
        answers++;
        good += status != 503;
    }
    return answers == 6 && good == 6;
}

static void every_failed_allocation_is_survived(void **state)
{
    (void)state;
    memset(&site, 0, sizeof site);
    site_open(&site, ROUTES, sizeof ROUTES / sizeof ROUTES[0]);
    assert_true(converse()); /* also makes what a server makes once */
    size_t survived = 0;
    for (fault = 1;; fault++) {
        loop_call(site.loop, arm, NULL);
        bool is_complete = converse();
        loop_call(site.loop, disarm, NULL);
        if (!was_injected) {
            assert_true(is_complete);
            break;
        }
        survived++;
        while (site_statistics(&site).connections_open > 0)
            usleep(100);
        assert_int_equal(site.budget.body_bytes, 0);
        assert_true(converse());
    }
    assert_true(survived > 20);
    site_close(&site);
}

int main(void)
{
    alarm(120); /* a hang fails */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_failed_allocation_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
