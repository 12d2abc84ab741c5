#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/checksum.h"
#include "head/head.h"

enum { SERIES = 10000, SERIES_PER_TARGET = 100, TICKS = 60, SPARES_MAX = 64 * 1024 * 1024 };

static bool target_of(void *context, uint64_t series_id, uint64_t *target_id_out)
{
    (void)context;
    *target_id_out = series_id / SERIES_PER_TARGET;
    return true;
}

/* Counters, numbers with digits that no decimal has, and some that hardly move. */
static double value_at(uint64_t id, int tick, uint64_t seed)
{
    switch (id % 4) {
    case 0:
        return (double)(id * 10 + (uint64_t)tick * (seed + id % 7));
    case 1:
    case 2:
        return 1.0 / (double)(id + seed + (uint64_t)tick);
    default:
        return (double)(seed + (uint64_t)(tick / 20));
    }
}

/* Each series has a sample a tick, every tenth tick one that is late, or has a start. */
static struct head *filled_head(struct head_spares *spares, uint64_t seed)
{
    static uint64_t ids[SERIES];
    static int64_t times[SERIES], starts[SERIES];
    static double values[SERIES];
    struct head_options options = {.target_of = target_of, .spares = spares};
    struct head *head;
    struct error error;
    assert_int_equal(head_create(&options, &head, &error), ERROR_NONE);
    for (int tick = 0; tick < TICKS; tick++) {
        bool is_late = tick % 10 == 9;
        for (uint64_t id = 0; id < SERIES; id++) {
            ids[id] = id;
            times[id] = 15000 * (int64_t)tick - (is_late && id % 50 == 0 ? 20000 : 0);
            values[id] = value_at(id, tick, seed);
            starts[id] = id % 20 == 0 ? 1 + tick / 15 : 0;
        }
        struct head_batch batch = {.count = SERIES,
                                   .series_ids = ids,
                                   .timestamps_ms = times,
                                   .values = values,
                                   .start_timestamps_ms = starts};
        struct head_append_result result;
        assert_int_equal(head_append(head, &batch, NULL, &result, &error), ERROR_NONE);
    }
    return head;
}

static uint64_t mix_columns(uint64_t hash, const struct sample_columns *columns)
{
    hash = hash64(columns->timestamps_ms, columns->count * sizeof(int64_t), hash);
    hash = hash64(columns->values, columns->count * sizeof(double), hash);
    if (columns->start_timestamps_ms != NULL)
        hash = hash64(columns->start_timestamps_ms, columns->count * sizeof(int64_t), hash);
    return hash;
}

/* Of all that the head holds; releases it. */
static uint64_t content_hash(struct head *head)
{
    struct head_iterator *iterator;
    struct head_series_content content;
    struct error error;
    uint64_t hash = 0;
    bool more;
    assert_int_equal(head_iterator_create(head, &iterator, &error), ERROR_NONE);
    for (;;) {
        assert_int_equal(head_iterator_next(iterator, &content, &more, &error), ERROR_NONE);
        if (!more)
            break;
        hash = hash64(&content.series_id, sizeof content.series_id, hash);
        hash = mix_columns(mix_columns(hash, &content.current), &content.late);
    }
    head_iterator_destroy(iterator);
    head_unref(head);
    return hash;
}

static struct head_spares *create_spares(size_t limit_bytes)
{
    struct head_spares *spares;
    struct error error;
    assert_int_equal(head_spares_create(limit_bytes, &spares, &error), ERROR_NONE);
    return spares;
}

static void a_head_in_used_memory_holds_the_same(void **state)
{
    (void)state;
    struct head_spares *spares = create_spares(SPARES_MAX);
    for (uint64_t seed = 1; seed <= 3; seed++)
        assert_int_equal(content_hash(filled_head(spares, seed)),
                         content_hash(filled_head(NULL, seed)));
    head_spares_unref(spares);
}

static void the_memory_of_an_ended_head_is_taken_by_the_next(void **state)
{
    (void)state;
    struct head_spares *spares = create_spares(SPARES_MAX);
    struct head *head = filled_head(spares, 1);
    assert_int_equal(head_spares_size_bytes(spares), 0);
    head_unref(head);
    assert_true(head_spares_size_bytes(spares) > 0);
    head = filled_head(spares, 1);
    assert_int_equal(head_spares_size_bytes(spares), 0);
    head_unref(head);
    head_spares_unref(spares);
}

static void no_more_than_the_limit_is_kept(void **state)
{
    (void)state;
    enum { LIMIT = 4 * 1024 * 1024 };
    struct head_spares *spares = create_spares(LIMIT);
    head_unref(filled_head(spares, 1));
    assert_int_equal(head_spares_size_bytes(spares), LIMIT);
    head_spares_unref(spares);
}

static void what_nobody_takes_goes_back(void **state)
{
    (void)state;
    struct head_spares *spares = create_spares(SPARES_MAX);
    head_unref(filled_head(spares, 1));
    size_t kept = head_spares_size_bytes(spares);
    head_spares_settle(spares); /* it came just now */
    assert_int_equal(head_spares_size_bytes(spares), kept);
    for (int second = 0; second < 10; second++)
        head_spares_settle(spares);
    assert_int_equal(head_spares_size_bytes(spares), 0);
    head_spares_unref(spares);
}

static void heads_keep_the_spares_alive(void **state)
{
    (void)state;
    struct head_spares *spares = create_spares(SPARES_MAX);
    struct head *head = filled_head(spares, 1);
    head_spares_unref(spares);
    head_unref(head);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_in_used_memory_holds_the_same),
        cmocka_unit_test(the_memory_of_an_ended_head_is_taken_by_the_next),
        cmocka_unit_test(no_more_than_the_limit_is_kept),
        cmocka_unit_test(what_nobody_takes_goes_back),
        cmocka_unit_test(heads_keep_the_spares_alive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
