/* What goes wrong on the way is tried again, or told. */
#include "s3_fixture.h"

#include <pthread.h>
#include <sched.h>

#include "base/checksum.h"

enum { CONNECTIONS = 5 };

#define RANGE_HEADERS "Content-Range: bytes 0-9/100\r\n"
#define GOOD                                                                                       \
    {                                                                                              \
        .status = "206 Partial Content", .headers = RANGE_HEADERS, .body = "0123456789"            \
    }

static void expect_good(struct fixture *fixture, size_t requests)
{
    char target[10];
    struct object_read read = read_some(fixture, NULL, target, sizeof target);
    if (read.error.code != ERROR_NONE)
        fail_msg("%s", read.error.message);
    assert_int_equal(read.read_bytes, 10);
    assert_int_equal(read.object_bytes, 100);
    assert_memory_equal(target, "0123456789", 10);
    assert_int_equal(scripted_server_request_count(fixture->server), requests);
}

static void expect_bad(struct fixture *fixture, enum error_code code, const char *part,
                       size_t requests)
{
    char target[10];
    struct object_read read = read_some(fixture, NULL, target, sizeof target);
    expect_error(read.error.code, code, &read.error, part);
    assert_int_equal(scripted_server_request_count(fixture->server), requests);
}

/* --- Servers in trouble -------------------------------------------------------------------- */

static void what_the_server_cannot_do_now_is_tried_again(void **state)
{
    struct fixture *fixture = *state;
    PLAY(fixture, {.status = "503 Slow Down", .body = REFUSAL("SlowDown", "")},
         {.status = "500 Internal Server Error", .body = REFUSAL("InternalError", "")}, GOOD);
    expect_good(fixture, 3);
    assert_int_equal(metric_of(fixture, "gnomon_object_retries_total", "get"), 2);
    assert_int_equal(metric_of(fixture, "gnomon_object_requests_total", "throttled"), 1);
    assert_int_equal(metric_of(fixture, "gnomon_object_requests_total", "unavailable"), 1);
    assert_int_equal(metric_of(fixture, "gnomon_object_requests_total", "ok"), 1);
    assert_int_equal(metric_of(fixture, "gnomon_object_requests_in_flight", NULL), 0);
}

static void answers_without_a_document_are_judged_by_their_status(void **state)
{
    struct fixture *fixture = *state;
    PLAY(fixture, {.status = "502 Bad Gateway", .body = "<html><body>nginx"},
         {.status = "429 Too Many Requests"}, {.status = "504 Gateway Timeout"}, GOOD);
    expect_good(fixture, 4);
}

static void after_some_attempts_the_last_error_is_told(void **state)
{
    struct fixture *fixture = *state;
    PLAY(fixture, {.status = "503 Slow Down", .body = REFUSAL("SlowDown", "")});
    expect_bad(fixture, ERROR_UNAVAILABLE, "SlowDown: so it is", ATTEMPTS);
}

static void a_server_may_say_when_to_come_again(void **state)
{
    struct fixture *fixture = *state;
    uint64_t begin_ms = clock_monotonic_ms(clock_system());
    PLAY(fixture, {.status = "503 Slow Down", .headers = "Retry-After: 1\r\n"}, GOOD);
    expect_good(fixture, 2);
    assert_true(clock_monotonic_ms(clock_system()) - begin_ms >= 1000);
}

static void nobody_listening_is_unavailable(void **state)
{
    struct fixture *fixture = *state;
    fixture->options.s3.endpoint = "http://127.0.0.1:1";
    fixture->options.s3.attempts = 2;
    expect_bad(fixture, ERROR_UNAVAILABLE, "127.0.0.1:1", 0);
}

static void a_store_in_trouble_is_not_asked_ever_more(void **state)
{
    struct fixture *fixture = *state;
    enum { CALLS = 60 };
    char target[10];
    PLAY(fixture, {.status = "500 Internal Server Error"});
    for (int i = 0; i < CALLS; i++)
        assert_int_equal(read_some(fixture, NULL, target, sizeof target).error.code,
                         ERROR_UNAVAILABLE);
    /* A hundred retries, and no more before something succeeds. */
    assert_int_equal(scripted_server_request_count(fixture->server), CALLS + 100);
    assert_true(metric_of(fixture, "gnomon_object_retries_refused_total", NULL) > 0);
}

/* --- Connections in trouble ---------------------------------------------------------------- */

static void connections_that_break_are_tried_again(void **state)
{
    struct fixture *fixture = *state;
    PLAY(fixture, {.end = SCRIPTED_RESET}, {.end = SCRIPTED_CLOSE},
         {.status = "206 Partial Content",
          .headers = RANGE_HEADERS "Content-Length: 10\r\n",
          .body = "012",
          .end = SCRIPTED_RESET},
         GOOD);
    expect_good(fixture, 4);
}

static void what_does_not_move_is_broken_off_and_tried_again(void **state)
{
    struct fixture *fixture = *state;
    fixture->options.s3.stall_timeout_ms = 1000;
    PLAY(fixture, {.end = SCRIPTED_HANG},
         {.status = "206 Partial Content",
          .headers = RANGE_HEADERS "Content-Length: 10\r\n",
          .body = "012",
          .end = SCRIPTED_HANG},
         GOOD);
    expect_good(fixture, 3);
}

static void a_deadline_ends_a_request_under_way(void **state)
{
    struct fixture *fixture = *state;
    char target[10];
    PLAY(fixture, {.end = SCRIPTED_HANG});
    struct object_call call = {.deadline_ns =
                                   clock_monotonic_ns(clock_system()) + 100 * 1000 * 1000};
    struct object_read read = read_some(fixture, &call, target, sizeof target);
    assert_int_equal(read.error.code, ERROR_TIMEOUT);
    uint64_t late_ns = clock_monotonic_ns(clock_system()) - call.deadline_ns;
    assert_true(late_ns < 10ULL * 1000 * 1000 * 1000);
    assert_int_equal(metric_of(fixture, "gnomon_object_requests_in_flight", NULL), 0);
}

static void no_attempt_begins_that_the_deadline_does_not_allow(void **state)
{
    struct fixture *fixture = *state;
    char target[10];
    PLAY(fixture, {.status = "503 Slow Down", .headers = "Retry-After: 20\r\n"});
    struct object_call call = {.deadline_ns =
                                   clock_monotonic_ns(clock_system()) + 5000ULL * 1000 * 1000};
    struct object_read read = read_some(fixture, &call, target, sizeof target);
    expect_error(read.error.code, ERROR_UNAVAILABLE, &read.error, "no time for another attempt");
    assert_true(clock_monotonic_ns(clock_system()) < call.deadline_ns);
}

struct canceling {
    struct fixture *fixture;
    atomic_bool canceled;
};

/* When all connections wait for an answer. */
static void *cancel_when_asked(void *context)
{
    struct canceling *canceling = context;
    while (scripted_server_request_count(canceling->fixture->server) < CONNECTIONS)
        sched_yield();
    atomic_store(&canceling->canceled, true);
    return NULL;
}

static void a_cancellation_ends_all_requests_of_a_call(void **state)
{
    struct fixture *fixture = *state;
    enum { COUNT = 20 };
    static char targets[COUNT][10];
    struct object_read reads[COUNT];
    struct canceling canceling = {.fixture = fixture};
    struct object_call call = {.canceled = &canceling.canceled};
    pthread_t thread;
    fixture->options.s3.connections = CONNECTIONS; /* the others have not even begun */
    PLAY(fixture, {.end = SCRIPTED_HANG});
    for (size_t i = 0; i < COUNT; i++)
        reads[i] = (struct object_read){
            .key = TEXT("some/key"), .target = (uint8_t *)targets[i], .size_bytes = 10};
    pthread_create(&thread, NULL, cancel_when_asked, &canceling);
    object_store_read_many(fixture_store(fixture), &call, reads, COUNT);
    pthread_join(thread, NULL);
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(reads[i].error.code, ERROR_CANCELED);
    assert_int_equal(scripted_server_request_count(fixture->server), CONNECTIONS);
    assert_int_equal(metric_of(fixture, "gnomon_object_requests_total", "canceled"), CONNECTIONS);
}

/* --- Wrong bytes --------------------------------------------------------------------------- */

static void a_cut_body_is_tried_again(void **state)
{
    struct fixture *fixture = *state;
    PLAY(fixture,
         {.status = "206 Partial Content",
          .headers = RANGE_HEADERS "Content-Length: 10\r\n",
          .body = "01234",
          .end = SCRIPTED_CLOSE},
         GOOD);
    expect_good(fixture, 2);
}

static void a_body_that_is_always_cut_is_corrupt(void **state)
{
    struct fixture *fixture = *state;
    PLAY(fixture, {.status = "206 Partial Content",
                   .headers = RANGE_HEADERS "Content-Length: 10\r\n",
                   .body = "01234",
                   .end = SCRIPTED_CLOSE});
    expect_bad(fixture, ERROR_CORRUPT, "was cut", ATTEMPTS);
}

static void another_range_is_not_taken(void **state)
{
    struct fixture *fixture = *state;
    PLAY(fixture,
         {.status = "206 Partial Content",
          .headers = "Content-Range: bytes 1-10/100\r\n",
          .body = "0123456789"},
         {.status = "206 Partial Content",
          .headers = "Content-Range: bytes 0-8/100\r\n",
          .body = "012345678"},
         {.status = "206 Partial Content", .body = "0123456789"}, GOOD);
    expect_good(fixture, 4);
}

static void a_server_that_does_not_know_ranges_is_told(void **state)
{
    struct fixture *fixture = *state;
    PLAY(fixture, {.status = "200 OK", .body = "0123456789 and so on, the whole object"});
    expect_bad(fixture, ERROR_CORRUPT, "more than was asked for", ATTEMPTS);
}

static void a_whole_object_as_answer_to_its_range_is_taken(void **state)
{
    struct fixture *fixture = *state;
    char target[20];
    PLAY(fixture, {.status = "200 OK", .body = "0123456789"});
    struct object_read read = read_some(fixture, NULL, target, sizeof target);
    assert_int_equal(read.error.code, ERROR_NONE);
    assert_int_equal(read.read_bytes, 10);
    assert_int_equal(read.object_bytes, 10);
}

static void a_wrong_checksum_is_tried_again(void **state)
{
    struct fixture *fixture = *state;
    char target[20], header[128];
    struct object_read read;
    snprintf(header, sizeof header, "Content-Range: bytes 0-9/10\r\nx-amz-meta-crc32c: %08x\r\n",
             crc32c(0, "0123456789", 10));
    const struct scripted_answer answers[] = {
        {.status = "206 Partial Content", .headers = header, .body = "0123456780"},
        {.status = "206 Partial Content", .headers = header, .body = "0123456789"},
        {.status = "206 Partial Content", .headers = header, .body = "1123456789"},
    };
    scripted_server_play(fixture->server, answers, 2);
    read = read_some(fixture, NULL, target, sizeof target);
    assert_int_equal(read.error.code, ERROR_NONE);
    assert_memory_equal(target, "0123456789", 10);
    scripted_server_play(fixture->server, answers + 2, 1);
    read = read_some(fixture, NULL, target, sizeof target);
    expect_error(read.error.code, ERROR_CORRUPT, &read.error, "checksum");
}

/* --- Puts ---------------------------------------------------------------------------------- */

static enum error_code put(struct fixture *fixture, struct error *error)
{
    return object_store_put(fixture_store(fixture), NULL, TEXT("some/key"), "0123456789", 10,
                            error);
}

#define MD5_OF_DIGITS "781e5e245d69b566979b86e28d23f2c7"

static void bytes_changed_on_their_way_are_sent_again(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    PLAY(fixture, {.status = "400 Bad Request", .body = REFUSAL("BadDigest", "")},
         {.status = "400 Bad Request", .body = REFUSAL("XAmzContentSHA256Mismatch", "")},
         {.status = "200 OK", .headers = "ETag: \"00000000000000000000000000000000\"\r\n"},
         {.status = "200 OK", .headers = "ETag: \"" MD5_OF_DIGITS "\"\r\n"});
    assert_int_equal(put(fixture, &error), ERROR_NONE);
    assert_int_equal(scripted_server_request_count(fixture->server), 4);
    const struct scripted_request *last = scripted_server_request(fixture->server, 3);
    assert_int_equal(last->body_bytes, 10);
    assert_string_equal(last->body, "0123456789");
    PLAY(fixture, {.status = "400 Bad Request", .body = REFUSAL("BadDigest", "")});
    expect_error(put(fixture, &error), ERROR_CORRUPT, &error, "BadDigest");
}

static void an_etag_of_other_bytes_is_corrupt_unless_it_says_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    PLAY(fixture,
         {.status = "200 OK", .headers = "ETag: \"00000000000000000000000000000000\"\r\n"});
    expect_error(put(fixture, &error), ERROR_CORRUPT, &error, "object_store.s3.etag");
    PLAY(fixture, {.status = "200 OK",
                   .headers = "ETag: \"00000000000000000000000000000000\"\r\n"
                              "x-amz-server-side-encryption: aws:kms\r\n"});
    assert_int_equal(put(fixture, &error), ERROR_NONE);
    PLAY(fixture, {.status = "200 OK", .headers = "ETag: \"something-else\"\r\n"});
    assert_int_equal(put(fixture, &error), ERROR_NONE);
    object_store_destroy(fixture->store);
    fixture->store = NULL;
    fixture->options.s3.etag = S3_ETAG_OPAQUE;
    PLAY(fixture,
         {.status = "200 OK", .headers = "ETag: \"00000000000000000000000000000000\"\r\n"});
    assert_int_equal(put(fixture, &error), ERROR_NONE);
}

static void a_full_store_is_no_space(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    PLAY(fixture, {.status = "403 Forbidden", .body = REFUSAL("QuotaExceeded", "")});
    expect_error(put(fixture, &error), ERROR_NO_SPACE, &error, "QuotaExceeded");
    assert_int_equal(scripted_server_request_count(fixture->server), 1);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_open, fixture_close)
    const struct CMUnitTest tests[] = {
        CASE(what_the_server_cannot_do_now_is_tried_again),
        CASE(answers_without_a_document_are_judged_by_their_status),
        CASE(after_some_attempts_the_last_error_is_told),
        CASE(a_server_may_say_when_to_come_again),
        CASE(nobody_listening_is_unavailable),
        CASE(a_store_in_trouble_is_not_asked_ever_more),
        CASE(connections_that_break_are_tried_again),
        CASE(what_does_not_move_is_broken_off_and_tried_again),
        CASE(a_deadline_ends_a_request_under_way),
        CASE(no_attempt_begins_that_the_deadline_does_not_allow),
        CASE(a_cancellation_ends_all_requests_of_a_call),
        CASE(a_cut_body_is_tried_again),
        CASE(a_body_that_is_always_cut_is_corrupt),
        CASE(another_range_is_not_taken),
        CASE(a_server_that_does_not_know_ranges_is_told),
        CASE(a_whole_object_as_answer_to_its_range_is_taken),
        CASE(a_wrong_checksum_is_tried_again),
        CASE(bytes_changed_on_their_way_are_sent_again),
        CASE(an_etag_of_other_bytes_is_corrupt_unless_it_says_nothing),
        CASE(a_full_store_is_no_space),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
