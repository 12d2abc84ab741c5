#include "site.h"

#include <fcntl.h>
#include <poll.h>

/* Answers in pieces: back-pressure, completion, and clients that leave. */

enum { PIECES = 64, ENDLESS = -1 };

static struct site site;
static sem_t finished;
static _Atomic size_t pieces_made;
static _Atomic size_t queued_max;
static _Atomic int was_gone;

/* --- A producer -------------------------------------------------------------------------- */

struct letters {
    struct http_producer producer;
    int pieces_left;
    enum http_production end;
};

static enum http_production letters_produce(struct http_producer *producer,
                                            struct byte_buffer *piece)
{
    struct letters *letters = (struct letters *)producer;
    if (letters->pieces_left == 0)
        return letters->end;
    byte_buffer_reserve(piece, HTTP_PIECE_BYTES);
    memset(piece->bytes, 'a' + letters->pieces_left % 26, HTTP_PIECE_BYTES);
    piece->size = HTTP_PIECE_BYTES;
    atomic_fetch_add(&pieces_made, 1);
    if (letters->pieces_left > 0 && --letters->pieces_left == 0)
        return letters->end;
    return HTTP_PRODUCTION_MORE;
}

static void letters_finished(struct http_producer *producer)
{
    free(producer);
    sem_post(&finished);
}

static void produce(struct http_request *request, int pieces, enum http_production end)
{
    struct letters *letters = malloc(sizeof *letters);
    *letters = (struct letters){
        .producer = {letters_produce, letters_finished, JOB_QUERY},
        .pieces_left = pieces,
        .end = end,
    };
    struct http_response response = {.status = 200, .content_type = TEXT("text/plain")};
    http_respond_produced(request, &response, &letters->producer);
}

static void produce_one(struct http_request *request)
{
    produce(request, 1, HTTP_PRODUCTION_END);
}

static void produce_many(struct http_request *request)
{
    produce(request, PIECES, HTTP_PRODUCTION_END);
}

static void produce_nothing(struct http_request *request)
{
    produce(request, 0, HTTP_PRODUCTION_END);
}

static void produce_broken(struct http_request *request)
{
    produce(request, 3, HTTP_PRODUCTION_BROKEN);
}

static void produce_endless(struct http_request *request)
{
    produce(request, ENDLESS, HTTP_PRODUCTION_END);
}

/* --- Pieces from the loop ---------------------------------------------------------------- */

static char chunk[10000];

struct pouring {
    struct http_request *request;
    int chunks_left;
};

static void pour(void *context)
{
    struct pouring *pouring = context;
    struct http_request *request = pouring->request;
    bool has_room = true;
    while (has_room && pouring->chunks_left-- > 0)
        has_room =
            http_response_write(request, (struct text){chunk, sizeof chunk}, HTTP_BODY_BORROWED);
    if (http_response_queued_bytes(request) > queued_max)
        queued_max = http_response_queued_bytes(request);
    if (has_room) {
        http_response_end(request);
        sem_post(&finished);
    }
}

static void pour_gone(void *context)
{
    struct pouring *pouring = context;
    was_gone = 1;
    http_response_end(pouring->request); /* dropped */
    sem_post(&finished);
}

static void pour_chunks(struct http_request *request)
{
    struct pouring *pouring = arena_allocate(http_request_arena(request), sizeof *pouring);
    *pouring = (struct pouring){.request = request, .chunks_left = 1000};
    memset(chunk, 'c', sizeof chunk);
    http_request_on_gone(request, pour_gone, pouring);
    http_response_on_writable(request, pour, pouring);
    http_response_begin(request, &(struct http_response){.status = 200});
    pour(pouring);
}

/* --- A handler that never answers by itself ---------------------------------------------- */

static void park_gone(void *context)
{
    was_gone = 1;
    echo(context);
    sem_post(&finished);
}

static void park(struct http_request *request)
{
    http_request_on_gone(request, park_gone, request);
    sem_post(&finished);
}

static const struct http_route ROUTES[] = {
    {.methods = HTTP_GET | HTTP_HEAD, .pattern = "/one", .handler = produce_one},
    {.methods = HTTP_GET | HTTP_HEAD, .pattern = "/many", .handler = produce_many},
    {.methods = HTTP_GET, .pattern = "/nothing", .handler = produce_nothing},
    {.methods = HTTP_GET, .pattern = "/broken", .handler = produce_broken},
    {.methods = HTTP_GET, .pattern = "/endless", .handler = produce_endless},
    {.methods = HTTP_GET, .pattern = "/pour", .handler = pour_chunks},
    {.methods = HTTP_GET, .pattern = "/park", .handler = park},
    {.methods = HTTP_GET, .pattern = "/echo", .handler = echo},
};

static void open_site(struct worker_pool *workers, uint64_t write_timeout_ms)
{
    memset(&site, 0, sizeof site);
    sem_init(&finished, 0, 0);
    pieces_made = 0;
    queued_max = 0;
    was_gone = 0;
    site.workers = workers;
    site.options.write_timeout_ms = write_timeout_ms;
    site_open(&site, ROUTES, sizeof ROUTES / sizeof ROUTES[0]);
}

static struct worker_pool *create_workers(void)
{
    struct worker_pool *workers;
    struct error error;
    assert_int_equal(worker_pool_create(&(struct worker_pool_options){0}, &workers, &error),
                     ERROR_NONE);
    return workers;
}

static int set_up(void **state)
{
    (void)state;
    open_site(create_workers(), 0);
    return 0;
}

static int set_up_impatient(void **state)
{
    (void)state;
    open_site(create_workers(), 100);
    return 0;
}

static int set_up_without_workers(void **state)
{
    (void)state;
    open_site(NULL, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    site_close(&site);
    worker_pool_destroy(site.workers);
    return 0;
}

/* Undo chunked coding in place; the size of the body. Fails on anything malformed. */
static size_t unchunk(char *body, size_t size)
{
    size_t from = 0, to = 0;
    for (;;) {
        char *end;
        size_t length = strtoul(body + from, &end, 16);
        assert_memory_equal(end, "\r\n", 2);
        from = (size_t)(end + 2 - body);
        assert_true(from + length + 2 <= size);
        memmove(body + to, body + from, length);
        from += length;
        assert_memory_equal(body + from, "\r\n", 2);
        from += 2;
        to += length;
        if (length == 0)
            break;
    }
    assert_int_equal(from, size);
    return to;
}

static char *ask_all(const char *question, size_t *size_out)
{
    int client = client_open(&site);
    client_say(client, question);
    char *answer = client_read_all(client, size_out);
    close(client);
    return answer;
}

/* --- Whole answers ----------------------------------------------------------------------- */

static void one_piece_has_a_length(void **state)
{
    (void)state;
    char *answer = ask_all("GET /one HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", NULL);
    assert_non_null(strstr(answer, "\r\nContent-Length: 65536\r\n"));
    assert_int_equal(strspn(answer_body(answer), "b"), HTTP_PIECE_BYTES);
    free(answer);
    answer = ask_all("GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", NULL);
    assert_non_null(strstr(answer, "\r\nContent-Length: 0\r\n"));
    free(answer);
}

static void many_pieces_are_chunked(void **state)
{
    (void)state;
    size_t size;
    char *answer = ask_all("GET /many HTTP/1.1\r\nHost: x\r\n\r\n"
                           "GET /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
                           &size);
    char *body = (char *)answer_body(answer);
    char *second = strstr(body, "\r\n0\r\n\r\n");
    assert_non_null(strstr(answer, "\r\nTransfer-Encoding: chunked\r\n"));
    assert_non_null(second);
    assert_string_equal(answer_body(second + 7), "GET /echo?|");
    assert_int_equal(unchunk(body, (size_t)(second + 7 - body)), PIECES * HTTP_PIECE_BYTES);
    for (int i = 0; i < PIECES; i++)
        assert_int_equal(body[i * HTTP_PIECE_BYTES], 'a' + (PIECES - i) % 26);
    free(answer);
}

static void many_pieces_end_with_the_connection_for_old_clients(void **state)
{
    (void)state;
    size_t size;
    char *answer = ask_all("GET /many HTTP/1.0\r\n\r\n", &size);
    assert_null(strstr(answer, "Transfer-Encoding"));
    assert_int_equal(size - (size_t)(answer_body(answer) - answer), PIECES * HTTP_PIECE_BYTES);
    free(answer);
}

static void a_head_request_makes_one_piece_at_most(void **state)
{
    (void)state;
    char *answer = ask_all("HEAD /many HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", NULL);
    assert_int_equal(answer_status(answer), 200);
    assert_string_equal(answer_body(answer), "");
    assert_int_equal(pieces_made, 1);
    free(answer);
}

static void a_broken_production_is_no_whole_answer(void **state)
{
    (void)state;
    int client = client_open(&site);
    client_say(client, "GET /broken HTTP/1.1\r\nHost: x\r\n\r\n");
    char bytes[4096];
    char last[8] = "";
    ssize_t got;
    while ((got = recv(client, bytes, sizeof bytes, 0)) > 0)
        if (got >= 7)
            memcpy(last, bytes + got - 7, 7);
    assert_string_not_equal(last, "\r\n0\r\n\r\n");
    close(client);
}

static void pieces_from_the_loop_wait_for_the_client(void **state)
{
    (void)state;
    size_t size;
    char *answer = ask_all("GET /pour HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", &size);
    char *body = (char *)answer_body(answer);
    assert_int_equal(unchunk(body, size - (size_t)(body - answer)), 1000 * sizeof chunk);
    assert_true(queued_max <= 256 * 1024 + 2 * sizeof chunk);
    assert_int_equal(was_gone, 0);
    free(answer);
}

/* --- Clients ----------------------------------------------------------------------------- */

/* How far the producer runs ahead is bounded by the queue and the system's buffers. */
static void a_client_that_does_not_read_stops_the_producer(void **state)
{
    (void)state;
    int client = client_open(&site);
    client_say(client, "GET /endless HTTP/1.1\r\nHost: x\r\n\r\n");
    sem_wait(&finished); /* cut by the write timeout */
    assert_true(pieces_made < 1000);
    assert_int_equal(site_statistics(&site).timeouts_write, 1);
    close(client);
}

static void a_client_that_leaves_ends_the_production(void **state)
{
    (void)state;
    int client = client_open(&site);
    client_say(client, "GET /endless HTTP/1.1\r\nHost: x\r\n\r\n");
    char bytes[1000];
    assert_true(recv(client, bytes, sizeof bytes, 0) > 0);
    close(client);
    sem_wait(&finished);
    while (site_statistics(&site).clients_gone == 0)
        usleep(100);
}

static void a_client_that_leaves_is_told_to_the_handler(void **state)
{
    (void)state;
    int client = client_open(&site);
    client_say(client, "GET /park HTTP/1.1\r\nHost: x\r\n\r\n");
    sem_wait(&finished); /* parked */
    close(client);
    sem_wait(&finished); /* gone */
    assert_int_equal(was_gone, 1);
}

/* The first half of a close is a hint to stop working; an answer that comes is still read. */
static void a_half_closed_client_gets_the_answer_that_comes(void **state)
{
    (void)state;
    int client = client_open(&site);
    client_say(client, "GET /park HTTP/1.1\r\nHost: x\r\n\r\n");
    sem_wait(&finished);
    shutdown(client, SHUT_WR);
    char *answer = client_read_all(client, NULL);
    assert_string_equal(answer_body(answer), "GET /park?|");
    free(answer);
    close(client);
}

static void a_client_that_leaves_ends_a_poured_answer(void **state)
{
    (void)state;
    int client = client_open(&site);
    client_say(client, "GET /pour HTTP/1.1\r\nHost: x\r\n\r\n");
    char bytes[1000];
    assert_true(recv(client, bytes, sizeof bytes, 0) > 0);
    struct linger hard = {.l_onoff = 1};
    setsockopt(client, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(client);
    sem_wait(&finished);
}

/* Requests behind one in work wait in bounded memory. */
static void a_flood_behind_a_slow_request_is_answered_in_the_end(void **state)
{
    (void)state;
    enum { FLOOD = 3000 };
    static const char QUESTION[] = "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n";
    int client = client_open(&site);
    client_say(client, "GET /many HTTP/1.1\r\nHost: x\r\n\r\n");
    int flags = fcntl(client, F_GETFL);
    fcntl(client, F_SETFL, flags | O_NONBLOCK);
    size_t sent = 0, total = FLOOD * (sizeof QUESTION - 1);
    size_t answers = 0;
    size_t matched = 0;
    static char bytes[65536];
    while (answers < FLOOD) {
        struct pollfd ready = {.fd = client, .events = POLLIN | (sent < total ? POLLOUT : 0)};
        assert_true(poll(&ready, 1, 10000) > 0);
        if ((ready.revents & POLLOUT) != 0) {
            size_t at = sent % (sizeof QUESTION - 1);
            ssize_t put = send(client, QUESTION + at, sizeof QUESTION - 1 - at, MSG_NOSIGNAL);
            sent += put > 0 ? (size_t)put : 0;
        }
        ssize_t got = recv(client, bytes, sizeof bytes, 0);
        assert_true(got > 0 || (got < 0 && errno == EAGAIN));
        for (ssize_t i = 0; i < got; i++) { /* count "/echo?|" across reads */
            static const char MARK[] = "/echo?|";
            if (bytes[i] == MARK[matched])
                matched++;
            else
                matched = bytes[i] == MARK[0] ? 1 : 0;
            if (matched == sizeof MARK - 1) {
                answers++;
                matched = 0;
            }
        }
    }
    close(client);
}

int main(void)
{
    alarm(120); /* a hang fails */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_piece_has_a_length, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_pieces_are_chunked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_pieces_are_chunked, set_up_without_workers, tear_down),
        cmocka_unit_test_setup_teardown(many_pieces_end_with_the_connection_for_old_clients, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_head_request_makes_one_piece_at_most, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_broken_production_is_no_whole_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(pieces_from_the_loop_wait_for_the_client, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_client_that_does_not_read_stops_the_producer,
                                        set_up_impatient, tear_down),
        cmocka_unit_test_setup_teardown(a_client_that_leaves_ends_the_production, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_client_that_leaves_is_told_to_the_handler, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_half_closed_client_gets_the_answer_that_comes, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_client_that_leaves_ends_a_poured_answer, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_flood_behind_a_slow_request_is_answered_in_the_end,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
