#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "series_check.h"
#include "write_builder.h"

/* --- A request of one series ------------------------------------------------------------------ */

struct sent {
    struct arena *arena;
    struct byte_buffer body;
    struct ingest_request request;
};

static const int64_t TIME_MS = 1000;
static const double VALUE = 1;

static const struct ingest_limits LIMITS = {.labels_max = 4, .label_bytes_max = 64};

static void sent_open(struct sent *sent, enum write_version version,
                      const struct built_series *series)
{
    struct error error;
    *sent = (struct sent){.arena = arena_create(0)};
    if (version == WRITE_VERSION_1)
        build_series_1(&sent->body, series);
    else
        build_request_2(&sent->body, series, 1);
    sent->request.arena = sent->arena;
    sent->request.version = version;
    struct write_decode_options options = {.version = version, .series_limit = 10};
    assert_int_equal(write_request_decode(&options, sent->body.bytes, sent->body.size, sent->arena,
                                          &sent->request.decoded, &error),
                     ERROR_NONE);
}

static void sent_close(struct sent *sent)
{
    byte_buffer_clear(&sent->body);
    arena_destroy(sent->arena);
}

/* Checks labels sent both ways; they must fare the same. */
static enum error_code check(const struct label *labels, size_t count,
                             enum ingest_reason *reason_out, char *formatted, size_t size)
{
    enum error_code codes[2];
    for (int version = 0; version < 2; version++) {
        struct built_series series = {.labels = labels,
                                      .label_count = count,
                                      .timestamps_ms = &TIME_MS,
                                      .values = &VALUE,
                                      .sample_count = 1};
        struct sent sent;
        struct labels checked;
        struct error error;
        sent_open(&sent, version == 0 ? WRITE_VERSION_1 : WRITE_VERSION_2, &series);
        codes[version] =
            series_check_labels(&sent.request, 0, &LIMITS, &checked, reason_out, &error);
        if (codes[version] == ERROR_NONE && formatted != NULL)
            labels_format(formatted, size, checked);
        sent_close(&sent);
    }
    assert_int_equal(codes[0], codes[1]);
    return codes[0];
}

#define LABEL(name, value)                                                                         \
    {                                                                                              \
        {name, sizeof name - 1},                                                                   \
        {                                                                                          \
            value, sizeof value - 1                                                                \
        }                                                                                          \
    }

static void assert_refused(const struct label *labels, size_t count, enum error_code code,
                           enum ingest_reason reason)
{
    enum ingest_reason found = INGEST_REASONS;
    assert_int_equal(check(labels, count, &found, NULL, 0), code);
    assert_int_equal(found, reason);
}

/* --- Labels ----------------------------------------------------------------------------------- */

static void labels_come_out_sorted_and_without_empty_values(void **state)
{
    (void)state;
    const struct label labels[] = {LABEL("job", "a"), LABEL("zone", ""), LABEL("__name__", "up")};
    enum ingest_reason reason;
    char text[200];
    assert_int_equal(check(labels, 3, &reason, text, sizeof text), ERROR_NONE);
    assert_string_equal(text, "up{job=\"a\"}");
}

static void a_series_needs_a_metric_name(void **state)
{
    (void)state;
    const struct label nameless[] = {LABEL("job", "a")};
    const struct label empty[] = {LABEL("__name__", ""), LABEL("job", "a")};
    assert_refused(nameless, 1, ERROR_INVALID, INGEST_REASON_LABELS);
    assert_refused(empty, 2, ERROR_INVALID, INGEST_REASON_LABELS);
    assert_refused(NULL, 0, ERROR_INVALID, INGEST_REASON_LABELS);
}

static void a_label_may_not_be_there_twice(void **state)
{
    (void)state;
    const struct label twice[] = {LABEL("__name__", "up"), LABEL("a", "1"), LABEL("a", "2")};
    const struct label same[] = {LABEL("a", "1"), LABEL("__name__", "up"), LABEL("a", "1")};
    const struct label one_is_empty[] = {LABEL("a", ""), LABEL("__name__", "up"), LABEL("a", "1")};
    assert_refused(twice, 3, ERROR_INVALID, INGEST_REASON_LABELS);
    assert_refused(same, 3, ERROR_INVALID, INGEST_REASON_LABELS);
    assert_refused(one_is_empty, 3, ERROR_INVALID, INGEST_REASON_LABELS);
}

static void names_and_values_are_utf8(void **state)
{
    (void)state;
    const struct label bad_name[] = {LABEL("__name__", "up"), LABEL("\xff", "1")};
    const struct label bad_value[] = {LABEL("__name__", "up"), LABEL("a", "\xc3")};
    const struct label no_name[] = {LABEL("__name__", "up"), LABEL("", "1")};
    const struct label any_text[] = {LABEL("__name__", "gr\xc3\xb6\xc3\x9f"
                                                       "e.in m"),
                                     LABEL("a b", "\n\"")};
    enum ingest_reason reason;
    assert_refused(bad_name, 2, ERROR_INVALID, INGEST_REASON_LABELS);
    assert_refused(bad_value, 2, ERROR_INVALID, INGEST_REASON_LABELS);
    assert_refused(no_name, 2, ERROR_INVALID, INGEST_REASON_LABELS);
    assert_int_equal(check(any_text, 2, &reason, NULL, 0), ERROR_NONE);
}

static void labels_have_limits(void **state)
{
    (void)state;
    const struct label many[] = {LABEL("__name__", "up"), LABEL("a", "1"), LABEL("b", "1"),
                                 LABEL("c", "1"), LABEL("d", "1")};
    const struct label longest[] = {
        LABEL("__name__", "up"),
        LABEL("a", "12345678901234567890123456789012345678901234567890123")};
    const struct label too_long[] = {
        LABEL("__name__", "up"),
        LABEL("a", "123456789012345678901234567890123456789012345678901234")};
    enum ingest_reason reason;
    assert_int_equal(check(many, 4, &reason, NULL, 0), ERROR_NONE);
    assert_refused(many, 5, ERROR_LIMIT, INGEST_REASON_LABEL_LIMIT);
    assert_int_equal(check(longest, 2, &reason, NULL, 0), ERROR_NONE);
    assert_refused(too_long, 2, ERROR_LIMIT, INGEST_REASON_LABEL_LIMIT);
}

/* --- Exemplars
 * ------------------------------------------------------------------------------------ */

static const struct label NAME[] = {LABEL("__name__", "up")};

static enum error_code check_exemplar(const struct label *labels, size_t count)
{
    struct arena *arena = arena_create(0);
    struct exemplar exemplar = {labels_build(arena, (struct label *)labels, count), 0.5, 1000};
    struct built_series series = {.labels = NAME,
                                  .label_count = 1,
                                  .timestamps_ms = &TIME_MS,
                                  .values = &VALUE,
                                  .sample_count = 1,
                                  .exemplars = &exemplar,
                                  .exemplar_count = 1};
    struct sent sent;
    struct exemplar checked = {0};
    struct error error;
    sent_open(&sent, WRITE_VERSION_1, &series);
    assert_int_equal(sent.request.decoded.exemplar_count, 1);
    enum error_code code =
        series_check_exemplar(&sent.request, &sent.request.decoded.exemplars[0], &checked, &error);
    if (code == ERROR_NONE) {
        assert_true(checked.value == 0.5);
        assert_int_equal(checked.timestamp_ms, 1000);
    }
    sent_close(&sent);
    arena_destroy(arena);
    return code;
}

static void exemplars_keep_labels_value_and_time(void **state)
{
    (void)state;
    struct label labels[] = {LABEL("trace_id", "abc")};
    assert_int_equal(check_exemplar(labels, 1), ERROR_NONE);
    assert_int_equal(check_exemplar(NULL, 0), ERROR_NONE);
}

/* OpenMetrics counts characters, not bytes. */
static void labels_of_an_exemplar_have_at_most_128_characters(void **state)
{
    (void)state;
    char narrow[128], wide[2 * 127];
    memset(narrow, 'x', sizeof narrow);
    for (size_t i = 0; i < sizeof wide; i += 2)
        memcpy(wide + i, "\xc3\xa9", 2);
    struct label fits[] = {{{"a", 1}, {narrow, 127}}};
    struct label too_long[] = {{{"a", 1}, {narrow, 128}}};
    struct label fits_wide[] = {{{"a", 1}, {wide, sizeof wide}}};
    struct label too_long_wide[] = {{{"aa", 2}, {wide, sizeof wide}}};
    assert_int_equal(check_exemplar(fits, 1), ERROR_NONE);
    assert_int_equal(check_exemplar(too_long, 1), ERROR_INVALID);
    assert_int_equal(check_exemplar(fits_wide, 1), ERROR_NONE);
    assert_int_equal(check_exemplar(too_long_wide, 1), ERROR_INVALID);
}

/* --- Metadata
 * --------------------------------------------------------------------------------------- */

static bool check_metadata(enum write_version version, const struct metric_metadata *metadata,
                           struct entry_metadata *checked)
{
    struct built_series series = {.labels = NAME,
                                  .label_count = 1,
                                  .timestamps_ms = &TIME_MS,
                                  .values = &VALUE,
                                  .sample_count = 1,
                                  .metadata = metadata};
    struct sent sent;
    sent_open(&sent, version, &series);
    if (sent.request.decoded.metadata_count == 0) {
        sent_close(&sent);
        return false;
    }
    bool stored = series_check_metadata(&sent.request, &sent.request.decoded.metadata[0], checked);
    assert_true(!stored || text_equal(checked->metric_name, TEXT("up")));
    sent_close(&sent);
    return stored;
}

static void metadata_of_a_series_belongs_to_its_metric(void **state)
{
    (void)state;
    struct metric_metadata metadata = {METRIC_COUNTER, TEXT("Help."), TEXT("seconds")};
    struct metric_metadata nothing = {0};
    struct entry_metadata checked;
    assert_true(check_metadata(WRITE_VERSION_2, &metadata, &checked));
    assert_int_equal(checked.metadata.type, METRIC_COUNTER);
    assert_int_equal(checked.metadata.help.size, 5);
    assert_int_equal(checked.metadata.unit.size, 7);
    assert_false(check_metadata(WRITE_VERSION_2, &nothing, &checked));
}

/* A cut between the bytes of a character would not be UTF-8. */
static void long_help_is_cut_at_a_character(void **state)
{
    (void)state;
    enum { HELP_BYTES_MAX = 4096 };
    static char help[HELP_BYTES_MAX + 100];
    struct entry_metadata checked;
    help[0] = 'x';
    for (size_t i = 1; i + 1 < sizeof help; i += 2)
        memcpy(help + i, "\xc3\xa9", 2);
    struct metric_metadata metadata = {METRIC_GAUGE, {help, sizeof help - 1}, {0}};
    assert_true(check_metadata(WRITE_VERSION_2, &metadata, &checked));
    assert_int_equal(checked.metadata.help.size, HELP_BYTES_MAX - 1);
}

static void an_unknown_type_is_no_type(void **state)
{
    (void)state;
    struct metric_metadata metadata = {(enum metric_type)77, TEXT("Help."), {0}};
    struct entry_metadata checked;
    assert_true(check_metadata(WRITE_VERSION_2, &metadata, &checked));
    assert_int_equal(checked.metadata.type, METRIC_UNSPECIFIED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_come_out_sorted_and_without_empty_values),
        cmocka_unit_test(a_series_needs_a_metric_name),
        cmocka_unit_test(a_label_may_not_be_there_twice),
        cmocka_unit_test(names_and_values_are_utf8),
        cmocka_unit_test(labels_have_limits),
        cmocka_unit_test(exemplars_keep_labels_value_and_time),
        cmocka_unit_test(labels_of_an_exemplar_have_at_most_128_characters),
        cmocka_unit_test(metadata_of_a_series_belongs_to_its_metric),
        cmocka_unit_test(long_help_is_cut_at_a_character),
        cmocka_unit_test(an_unknown_type_is_no_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
