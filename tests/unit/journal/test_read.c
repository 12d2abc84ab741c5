/* Entries read back while the journal runs. */
#include "replayed_log.h"

struct reading {
    struct journal_read base;
    uint64_t next_index;
    enum error_code code;
    unsigned count;
};

static void take(struct journal_read *base, const struct journal_entry *entries, size_t count,
                 const struct error *error)
{
    struct reading *reading = (struct reading *)base;
    static uint8_t expected[LOG_PAYLOAD_BYTES];
    reading->count++;
    reading->code = error->code;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(entries[i].index, reading->next_index);
        assert_int_equal(entries[i].payload_bytes, LOG_PAYLOAD_BYTES);
        log_payload(base->group, entries[i].index, expected);
        assert_memory_equal(entries[i].payload, expected, LOG_PAYLOAD_BYTES);
        reading->next_index++;
    }
}

static struct reading read_from(struct replayed_log *log, uint64_t group, uint64_t first_index,
                                uint64_t end_index)
{
    struct reading reading = {
        .base = {.group = group, .first_index = first_index, .end_index = end_index, .done = take},
        .next_index = first_index,
    };
    journal_read(log->journal, &reading.base);
    assert_int_equal(reading.count, 0); /* not inside the call */
    replayed_log_run(log);
    assert_int_equal(reading.count, 1);
    return reading;
}

static void entries_come_a_piece_at_a_time(void **state)
{
    (void)state;
    struct replayed_log *log = replayed_log_create();
    uint64_t index = 1;
    unsigned reads = 0;
    while (index <= LOG_ENTRIES) {
        struct reading reading = read_from(log, 2, index, LOG_ENTRIES + 1);
        assert_int_equal(reading.code, ERROR_NONE);
        assert_true(reading.next_index > index);
        index = reading.next_index;
        reads++;
    }
    assert_true(reads > 1); /* no more than a piece at once */
    struct reading one = read_from(log, 3, 17, 18);
    assert_int_equal(one.next_index, 18);
    replayed_log_destroy(log);
}

static void what_is_not_there_is_said_so(void **state)
{
    (void)state;
    struct replayed_log *log = replayed_log_create();
    assert_int_equal(read_from(log, 1, LOG_ENTRIES + 1, LOG_ENTRIES + 2).code, ERROR_NOT_FOUND);
    assert_int_equal(read_from(log, 99, 1, 2).code, ERROR_NOT_FOUND);
    journal_set_low_water(log->journal, 1, 20, NULL);
    replayed_log_run(log);
    assert_int_equal(read_from(log, 1, 20, 22).code, ERROR_NOT_FOUND);
    assert_int_equal(read_from(log, 1, 21, 22).code, ERROR_NONE);
    replayed_log_destroy(log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_come_a_piece_at_a_time),
        cmocka_unit_test(what_is_not_there_is_said_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
