#include "simulated_nodes.h"

/* Requests: they end exactly once, answers flow as fast as they are taken, nobody works for nobody.
 */

enum { ASK_ECHO = 1, ASK_STREAM, ASK_LATER, ASK_WRONG, ASK_UNKNOWN };

static struct node *one, *other;

/* --- Serving ------------------------------------------------------------------------------- */

struct served {
    unsigned begun, ended, cancelled;
    struct transport_answer *held; /* of ASK_LATER */
};

static struct served served;

/* Pieces of an answer of many, each written when the last was taken. */
struct streaming {
    uint32_t left;
};

enum { STREAM_PIECES = 40, STREAM_PIECE_BYTES = 100000 };

static void stream_next(void *context, struct transport_answer *answer)
{
    struct streaming *streaming = context;
    if (streaming->left == 0) {
        free(streaming);
        served.ended++;
        transport_answer_end(answer, NULL);
        return;
    }
    struct shared_bytes *bytes = shared_bytes_create(STREAM_PIECE_BYTES);
    memset(bytes->bytes, (int)streaming->left, bytes->size);
    streaming->left--;
    transport_answer_write(answer, bytes);
    shared_bytes_unref(bytes);
}

static void stream_cancelled(void *context, struct transport_answer *answer)
{
    free(context);
    served.cancelled++;
    served.ended++;
    transport_answer_end(answer, NULL);
}

static void later_cancelled(void *context, struct transport_answer *answer)
{
    (void)context;
    served.cancelled++;
    served.ended++;
    served.held = NULL;
    transport_answer_end(answer, NULL);
}

static void serve(void *context, struct transport_answer *answer,
                  const struct transport_question *question)
{
    static const struct transport_answer_events STREAM = {stream_next, stream_cancelled};
    static const struct transport_answer_events LATER = {NULL, later_cancelled};
    (void)context;
    served.begun++;
    assert_true(question->timeout_ms > 0);
    if (question->kind == ASK_ECHO) {
        struct shared_bytes *bytes = shared_bytes_copy(question->body, question->size);
        if (bytes->size > 0)
            transport_answer_write(answer, bytes);
        shared_bytes_unref(bytes);
        served.ended++;
        transport_answer_end(answer, NULL);
    } else if (question->kind == ASK_STREAM) {
        struct streaming *streaming = calloc(1, sizeof *streaming);
        streaming->left = STREAM_PIECES;
        transport_answer_begin(answer, &STREAM, streaming);
        stream_next(streaming, answer);
    } else if (question->kind == ASK_LATER) {
        transport_answer_begin(answer, &LATER, NULL);
        served.held = answer;
    } else {
        struct error error;
        error_set(&error, ERROR_CONFLICT, "it does not fit");
        served.ended++;
        transport_answer_end(answer, &error);
    }
}

/* --- Asking -------------------------------------------------------------------------------- */

struct asked {
    struct transport_request request;
    uint64_t bytes;
    unsigned done;
    struct error error;
    bool is_slow;        /* consumes nothing by itself */
    uint8_t first, last; /* of what came */
};

static void on_piece(struct transport_request *request, const uint8_t *bytes, size_t size)
{
    struct asked *asked = (struct asked *)request;
    assert_int_equal(asked->done, 0);
    if (asked->bytes == 0)
        asked->first = bytes[0];
    asked->last = bytes[size - 1];
    asked->bytes += size;
    if (!asked->is_slow)
        transport_consume(request, size);
}

static void on_done(struct transport_request *request, const struct error *error)
{
    struct asked *asked = (struct asked *)request;
    asked->done++;
    asked->error = *error;
}

static void ask(struct asked *asked, struct node *from, struct node *to, uint16_t kind,
                enum transport_class class, size_t body_bytes)
{
    struct shared_bytes *body = shared_bytes_create(body_bytes);
    memset(body->bytes, 'q', body_bytes);
    asked->request.kind = kind;
    asked->request.class = class;
    asked->request.body = body;
    if (asked->request.timeout_ms == 0)
        asked->request.timeout_ms = 10000;
    asked->request.piece = on_piece;
    asked->request.done = on_done;
    transport_ask(peer_of(from, 0, to), &asked->request);
    assert_int_equal(asked->done, 0); /* not inside the call */
    shared_bytes_unref(body);
}

static void register_services(struct node *node)
{
    for (uint16_t kind = ASK_ECHO; kind <= ASK_WRONG; kind++)
        transport_on_request(node->transports[0], kind, serve, NULL);
}

static void start(uint64_t seed)
{
    memset(&served, 0, sizeof served);
    world_start(seed);
    one = node_add("a", 1);
    other = node_add("b", 1);
}

static void begin(void)
{
    node_open(one);
    node_open(other);
    register_services(one);
    register_services(other);
    node_knows(one, other);
    node_knows(other, one);
    run_ms(2000);
    assert_true(is_connected(one, 0, other));
}

static void end(void)
{
    world_end();
    assert_int_equal(served.begun, served.ended);
}

static void assert_done(const struct asked *asked, enum error_code code)
{
    assert_int_equal(asked->done, 1);
    assert_int_equal(asked->error.code, code);
}

/* --- Facts --------------------------------------------------------------------------------- */

static void both_sides_ask_and_are_answered(void **state)
{
    (void)state;
    static const size_t SIZES[] = {0, 1, 1000, 65536, 65537, 3000000};
    for (size_t i = 0; i < sizeof SIZES / sizeof SIZES[0]; i++) {
        struct asked there = {0}, back = {0};
        start(i + 1);
        begin();
        ask(&there, one, other, ASK_ECHO, TRANSPORT_REQUEST, SIZES[i]);
        ask(&back, other, one, ASK_ECHO, TRANSPORT_REQUEST, SIZES[i]);
        run_ms(1000);
        assert_done(&there, ERROR_NONE);
        assert_done(&back, ERROR_NONE);
        assert_int_equal(there.bytes, SIZES[i]);
        assert_int_equal(back.bytes, SIZES[i]);
        end();
    }
}

/* Whichever of them is the newer one, it speaks as the older one does. */
static void nodes_of_two_versions_ask_each_other(void **state)
{
    (void)state;
    for (int newer = 0; newer < 2; newer++) {
        struct asked there = {0}, back = {0};
        start(9);
        (newer == 0 ? one : other)->options.version_max = 3;
        begin();
        ask(&there, one, other, ASK_ECHO, TRANSPORT_REQUEST, 70000);
        ask(&back, other, one, ASK_ECHO, TRANSPORT_FILE, 70000);
        run_ms(2000);
        assert_done(&there, ERROR_NONE);
        assert_done(&back, ERROR_NONE);
        assert_int_equal(there.bytes, 70000);
        assert_int_equal(back.bytes, 70000);
        end();
    }
}

static void errors_come_back_with_their_words(void **state)
{
    (void)state;
    struct asked wrong = {0}, unknown = {0};
    start(1);
    begin();
    ask(&wrong, one, other, ASK_WRONG, TRANSPORT_REQUEST, 10);
    ask(&unknown, one, other, ASK_UNKNOWN, TRANSPORT_REQUEST, 10);
    run_ms(100);
    assert_done(&wrong, ERROR_CONFLICT);
    assert_string_equal(wrong.error.message, "it does not fit");
    assert_done(&unknown, ERROR_UNSUPPORTED);
    end();
}

static void files_have_a_connection_of_their_own_that_comes_and_goes(void **state)
{
    (void)state;
    struct asked first = {0}, second = {0};
    start(1);
    one->options.bulk_idle_ms = 1000;
    begin();
    assert_int_equal(simulated_network_stream_count(&wires), 2);
    ask(&first, one, other, ASK_STREAM, TRANSPORT_FILE, 10);
    run_ms(500);
    assert_done(&first, ERROR_NONE);
    assert_int_equal(first.bytes, (uint64_t)STREAM_PIECES * STREAM_PIECE_BYTES);
    assert_int_equal(first.first, STREAM_PIECES);
    assert_int_equal(first.last, 1);
    assert_int_equal(simulated_network_stream_count(&wires), 4);
    run_ms(3000);
    assert_int_equal(simulated_network_stream_count(&wires), 2);
    assert_true(is_connected(one, 0, other));
    ask(&second, one, other, ASK_ECHO, TRANSPORT_FILE, 10);
    run_ms(500);
    assert_done(&second, ERROR_NONE);
    end();
}

static void a_slow_reader_stops_the_sender(void **state)
{
    (void)state;
    struct asked asked = {.is_slow = true};
    start(1);
    begin();
    ask(&asked, one, other, ASK_STREAM, TRANSPORT_REQUEST, 10);
    run_ms(2000);
    assert_int_equal(asked.done, 0);
    assert_int_equal(asked.bytes, 256 * 1024); /* the window */
    /* Others are not held up by it. */
    struct asked quick = {0};
    ask(&quick, one, other, ASK_STREAM, TRANSPORT_REQUEST, 10);
    run_ms(1000);
    assert_done(&quick, ERROR_NONE);
    transport_consume(&asked.request, 256 * 1024);
    run_ms(1000);
    assert_int_equal(asked.bytes, 512 * 1024);
    transport_cancel(&asked.request);
    run_ms(100);
    assert_done(&asked, ERROR_CANCELED);
    assert_int_equal(served.cancelled, 1);
    end();
}

static void a_cancelled_request_is_not_worked_for(void **state)
{
    (void)state;
    struct asked asked = {0}, unsent = {0};
    start(1);
    begin();
    ask(&asked, one, other, ASK_LATER, TRANSPORT_REQUEST, 10);
    run_ms(100);
    assert_non_null(served.held);
    transport_cancel(&asked.request);
    transport_cancel(&asked.request); /* twice is fine */
    run_ms(100);
    assert_done(&asked, ERROR_CANCELED);
    assert_int_equal(served.cancelled, 1);
    ask(&unsent, one, other, ASK_LATER, TRANSPORT_REQUEST, 10);
    transport_cancel(&unsent.request);
    run_ms(100);
    assert_done(&unsent, ERROR_CANCELED);
    assert_int_equal(served.begun, 1); /* it never left */
    end();
}

static void a_deadline_ends_it_on_both_sides(void **state)
{
    (void)state;
    struct asked asked = {.request.timeout_ms = 500};
    start(1);
    begin();
    ask(&asked, one, other, ASK_LATER, TRANSPORT_REQUEST, 10);
    run_ms(400);
    assert_int_equal(asked.done, 0);
    simulated_network_stall(&wires, one->host, other->host, true); /* no word of it arrives */
    run_ms(400);
    assert_done(&asked, ERROR_TIMEOUT);
    assert_int_equal(served.cancelled, 1);
    end();
}

static void a_lost_connection_ends_it_on_both_sides(void **state)
{
    (void)state;
    struct asked asked = {0}, streamed = {.is_slow = true};
    start(1);
    begin();
    ask(&asked, one, other, ASK_LATER, TRANSPORT_REQUEST, 10);
    ask(&streamed, one, other, ASK_STREAM, TRANSPORT_REQUEST, 10);
    run_ms(500);
    simulated_network_cut(&wires, one->host, other->host);
    run_ms(100);
    assert_done(&asked, ERROR_CLOSED);
    assert_done(&streamed, ERROR_CLOSED);
    assert_int_equal(served.cancelled, 2);
    end();
}

static void who_is_not_there_is_unavailable(void **state)
{
    (void)state;
    struct asked asked = {0}, file = {0};
    start(1);
    node_open(one);
    node_open(other);
    node_knows(one, other); /* a stranger there */
    ask(&asked, one, other, ASK_ECHO, TRANSPORT_REQUEST, 10);
    ask(&file, one, other, ASK_ECHO, TRANSPORT_FILE, 10);
    run_ms(4000);
    assert_done(&asked, ERROR_UNAVAILABLE);
    assert_done(&file, ERROR_UNAVAILABLE);
    end();
}

static void too_many_at_once_are_turned_away(void **state)
{
    (void)state;
    enum { ASKED = 8 };
    static struct asked all[ASKED];
    memset(all, 0, sizeof all);
    start(1);
    other->options.answers_max = 3;
    begin();
    for (size_t i = 0; i < ASKED; i++)
        ask(&all[i], one, other, ASK_LATER, TRANSPORT_REQUEST, 10);
    run_ms(100);
    for (size_t i = 0; i < ASKED; i++)
        if (i < 3)
            assert_int_equal(all[i].done, 0);
        else
            assert_done(&all[i], ERROR_UNAVAILABLE);
    for (size_t i = 0; i < 3; i++)
        transport_cancel(&all[i].request);
    run_ms(100);
    end();
}

static void a_node_that_stops_ends_what_it_began(void **state)
{
    (void)state;
    struct asked before = {0}, after = {0};
    start(1);
    begin();
    wires.links[other->host][one->host].bytes_per_s = 2000000;
    ask(&before, one, other, ASK_STREAM, TRANSPORT_REQUEST, 10);
    run_ms(100);
    node_close(other, 10000);
    run_ms(100);
    ask(&after, one, other, ASK_ECHO, TRANSPORT_REQUEST, 10);
    run_ms(5000);
    assert_done(&before, ERROR_NONE);
    assert_int_equal(before.bytes, (uint64_t)STREAM_PIECES * STREAM_PIECE_BYTES);
    assert_done(&after, ERROR_UNAVAILABLE);
    assert_int_equal(other->closed, 1); /* long before its patience was over */
    end();
}

static void a_node_that_stops_waits_no_longer_than_it_said(void **state)
{
    (void)state;
    struct asked asked = {0};
    start(1);
    begin();
    ask(&asked, one, other, ASK_LATER, TRANSPORT_REQUEST, 10);
    run_ms(100);
    node_close(other, 2000);
    run_ms(1500);
    assert_int_equal(other->closed, 0);
    run_ms(1500);
    assert_int_equal(other->closed, 1);
    assert_done(&asked, ERROR_CLOSED);
    end();
}

/* --- Faults -------------------------------------------------------------------------------- */

static void faults_never_end_one_twice_or_not_at_all(void **state)
{
    (void)state;
    enum { ASKED = 60 };
    static struct asked all[ASKED];
    uint64_t ends[ERROR_CODES] = {0};
    for (uint64_t seed = 1; seed <= 40; seed++) {
        memset(all, 0, sizeof all);
        start(seed);
        one->options.queued_bytes_max[TRANSPORT_REQUEST] = 400000;
        one->options.bulk_idle_ms = 500;
        begin();
        struct random_generator random;
        random_generator_init(&random, seed);
        wires.links[other->host][one->host].bytes_per_s = seed % 3 == 0 ? 5000000 : 0;
        for (size_t i = 0; i < ASKED; i++) {
            static const uint16_t KINDS[] = {ASK_ECHO, ASK_STREAM, ASK_WRONG, ASK_ECHO};
            all[i].request.timeout_ms = 1 + random_below(&random.base, 4000);
            ask(&all[i], one, other, KINDS[random_below(&random.base, 4)],
                random_below(&random.base, 3) == 0 ? TRANSPORT_FILE : TRANSPORT_REQUEST,
                random_below(&random.base, 200000));
            uint32_t fault = random_below(&random.base, 40);
            if (fault == 0)
                simulated_network_cut(&wires, one->host, other->host);
            else if (fault == 1)
                simulated_network_stall(&wires, other->host, one->host, true);
            else if (fault == 2)
                simulated_network_partition(&wires, one->host, other->host, true);
            else if (fault < 8)
                simulated_network_partition(&wires, one->host, other->host, false);
            else if (fault < 12)
                transport_cancel(&all[random_below(&random.base, (uint32_t)i + 1)].request);
            run_ms(random_below(&random.base, 100));
        }
        run_ms(6000);
        for (size_t i = 0; i < ASKED; i++) {
            assert_int_equal(all[i].done, 1);
            ends[all[i].error.code]++;
        }
        assert_int_equal(statistics_of(one, other).queued_bytes[TRANSPORT_REQUEST], 0);
        end();
    }
    assert_true(ends[ERROR_NONE] > 300 && ends[ERROR_CLOSED] > 0 && ends[ERROR_TIMEOUT] > 0 &&
                ends[ERROR_CANCELED] > 0 && ends[ERROR_UNAVAILABLE] > 0 &&
                ends[ERROR_CONFLICT] > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_sides_ask_and_are_answered),
        cmocka_unit_test(nodes_of_two_versions_ask_each_other),
        cmocka_unit_test(errors_come_back_with_their_words),
        cmocka_unit_test(files_have_a_connection_of_their_own_that_comes_and_goes),
        cmocka_unit_test(a_slow_reader_stops_the_sender),
        cmocka_unit_test(a_cancelled_request_is_not_worked_for),
        cmocka_unit_test(a_deadline_ends_it_on_both_sides),
        cmocka_unit_test(a_lost_connection_ends_it_on_both_sides),
        cmocka_unit_test(who_is_not_there_is_unavailable),
        cmocka_unit_test(too_many_at_once_are_turned_away),
        cmocka_unit_test(a_node_that_stops_ends_what_it_began),
        cmocka_unit_test(a_node_that_stops_waits_no_longer_than_it_said),
        cmocka_unit_test(faults_never_end_one_twice_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
