#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>

#include "base/bytes.h"
#include "head/head.h"
#include "head/memory_index.h"

/* --- One writer, several readers of a head ---------------------------------------------------- */

enum { SERIES = 64, TICKS = 2001, READERS = 3, INTERVAL_MS = 1000, LATE_EVERY = 16 };

struct shared_head {
    struct head *head;
    _Atomic int64_t finished_tick; /* appended for all series */
    atomic_bool failed;
};

static bool target_by_eights(void *context, uint64_t series_id, uint64_t *target_id_out)
{
    (void)context;
    *target_id_out = series_id / 8;
    return true;
}

/* Every value tells its series and time, in forms that use every kind of code. */
static double value_at(uint64_t series_id, int64_t tick)
{
    switch (series_id % 4) {
    case 0:
        return (double)(tick / 100); /* long repeats */
    case 1:
        return (double)tick * 1000 + (double)series_id;
    case 2:
        return (double)tick / 100;
    default: /* no short decimal form */
        return 1.0 / (double)(tick + 3) + (double)series_id;
    }
}

static bool is_late(int64_t tick)
{
    return tick % LATE_EVERY == LATE_EVERY / 2;
}

static void append_tick(struct head *head, int64_t tick)
{
    uint64_t ids[SERIES];
    int64_t timestamps_ms[SERIES];
    double values[SERIES];
    for (uint64_t id = 0; id < SERIES; id++) {
        ids[id] = id;
        timestamps_ms[id] = tick * INTERVAL_MS;
        values[id] = value_at(id, tick);
    }
    struct head_batch batch = {
        .count = SERIES, .series_ids = ids, .timestamps_ms = timestamps_ms, .values = values};
    struct head_append_result result;
    struct error error;
    assert_int_equal(head_append(head, &batch, NULL, &result, &error), ERROR_NONE);
    assert_int_equal(result.done, SERIES);
}

/* Each late tick is sent after the one that follows it. */
static void write_all(struct shared_head *shared)
{
    for (int64_t tick = 1; tick <= TICKS; tick++) {
        if (is_late(tick))
            continue;
        append_tick(shared->head, tick);
        if (is_late(tick - 1))
            append_tick(shared->head, tick - 1);
        atomic_store_explicit(&shared->finished_tick, tick, memory_order_release);
    }
}

static bool columns_are_right(const struct sample_columns *columns, uint64_t id, int64_t finished)
{
    if ((int64_t)columns->count < finished - 1)
        return false;
    for (size_t i = 0; i < columns->count; i++) {
        int64_t tick = columns->timestamps_ms[i] / INTERVAL_MS;
        if (double_to_bits(columns->values[i]) != double_to_bits(value_at(id, tick)))
            return false;
        /* Whole but for late ones that are still to come. */
        int64_t before = i == 0 ? 0 : columns->timestamps_ms[i - 1] / INTERVAL_MS;
        if (tick != before + 1 && !(tick == before + 2 && is_late(tick - 1)))
            return false;
    }
    return true;
}

static void *read_all(void *context)
{
    struct shared_head *shared = context;
    struct head_reader *reader;
    struct error error;
    if (head_reader_open(shared->head, &reader, &error) != ERROR_NONE) {
        atomic_store(&shared->failed, true);
        return NULL;
    }
    int64_t finished = 0;
    for (uint64_t id = 0; finished < TICKS && !atomic_load(&shared->failed);
         id = (id + 7) % SERIES) {
        finished = atomic_load_explicit(&shared->finished_tick, memory_order_acquire);
        struct sample_columns columns;
        struct sample_columns latest;
        if (head_reader_read(reader, id, 0, INT64_MAX, &columns, &error) != ERROR_NONE ||
            !columns_are_right(&columns, id, finished) ||
            head_reader_read_latest(reader, id, 0, INT64_MAX, &latest, &error) != ERROR_NONE ||
            (finished > 0 &&
             (latest.count != 1 || latest.timestamps_ms[0] < finished * INTERVAL_MS ||
              latest.values[0] != value_at(id, latest.timestamps_ms[0] / INTERVAL_MS))))
            atomic_store(&shared->failed, true);
    }
    head_reader_close(reader);
    return NULL;
}

static void readers_see_whole_series_while_they_grow(void **state)
{
    (void)state;
    struct head_options options = {.target_of = target_by_eights};
    struct shared_head shared = {0};
    struct error error;
    assert_int_equal(head_create(&options, &shared.head, &error), ERROR_NONE);
    pthread_t threads[READERS];
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_all, &shared), 0);
    write_all(&shared);
    for (int i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    assert_false(atomic_load(&shared.failed));
    head_unref(shared.head);
}

/* --- Exemplars -------------------------------------------------------------------------------- */

static void *read_exemplars(void *context)
{
    struct shared_head *shared = context;
    struct arena *arena = arena_create(0);
    while (atomic_load_explicit(&shared->finished_tick, memory_order_acquire) < TICKS) {
        struct exemplar *exemplars;
        size_t count;
        struct error error;
        arena_reset(arena);
        if (head_read_exemplars(shared->head, 1, 0, INT64_MAX, 0, arena, &exemplars, &count,
                                &error) != ERROR_NONE)
            atomic_store(&shared->failed, true);
        for (size_t i = 0; i < count; i++) /* labels tell the value: one byte each */
            if (exemplars[i].labels.bytes[3] != (uint8_t)(int)exemplars[i].value)
                atomic_store(&shared->failed, true);
    }
    arena_destroy(arena);
    return NULL;
}

static void exemplars_are_whole_while_they_are_replaced(void **state)
{
    (void)state;
    struct head_options options = {.target_of = target_by_eights, .exemplars_max = 16};
    struct shared_head shared = {0};
    struct error error;
    assert_int_equal(head_create(&options, &shared.head, &error), ERROR_NONE);
    append_tick(shared.head, 1);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, read_exemplars, &shared), 0);
    for (int64_t tick = 1; tick <= TICKS; tick++) {
        uint8_t labels[4] = {1, 'a', 1, (uint8_t)tick};
        struct exemplar exemplar = {.labels = {.bytes = labels, .size = sizeof labels},
                                    .value = (double)(uint8_t)tick,
                                    .timestamp_ms = tick};
        enum head_exemplar_verdict verdict;
        assert_int_equal(head_exemplar_append(shared.head, 1, &exemplar, &verdict, &error),
                         ERROR_NONE);
        assert_int_equal(verdict, HEAD_EXEMPLAR_ADDED);
        atomic_store_explicit(&shared.finished_tick, tick, memory_order_release);
    }
    pthread_join(thread, NULL);
    assert_false(atomic_load(&shared.failed));
    head_unref(shared.head);
}

/* --- The index -------------------------------------------------------------------------------- */

enum { INDEX_SERIES = 20000 };

struct shared_index {
    struct memory_index *index;
    atomic_bool failed;
};

static struct labels numbered_labels(struct arena *arena, unsigned number)
{
    struct label array[] = {
        {LABEL_METRIC_NAME, arena_format(arena, "m%u", number % 50)},
        {TEXT("even"), number % 2 == 0 ? TEXT("yes") : TEXT("no")},
        {TEXT("number"), arena_format(arena, "%u", number)},
    };
    return labels_build(arena, array, 3);
}

static void *query_index(void *context)
{
    struct shared_index *shared = context;
    struct arena *arena = arena_create(0);
    struct matcher *matcher;
    struct error error;
    matcher_create(MATCHER_EQUAL, TEXT("even"), TEXT("yes"), &matcher, &error);
    const struct matcher *matchers[] = {matcher};
    size_t count = 0;
    while (count < INDEX_SERIES && !atomic_load(&shared->failed)) {
        arena_reset(arena);
        count = memory_index_count(shared->index);
        struct index_query query = {
            .tenant = TEXT("t"), .matchers = matchers, .matcher_count = 1, .arena = arena};
        struct positions found;
        struct memory_series series;
        uint64_t id;
        bool right = index_select(memory_index_source(shared->index), &query, &found, &error) ==
                         ERROR_NONE &&
                     found.count >= (count + 1) / 2;
        for (size_t i = 0; right && i < found.count; i++)
            right = found.items[i] == 2 * i;
        if (right && count > 0)
            right =
                memory_index_find(shared->index, TEXT("t"),
                                  numbered_labels(arena, (unsigned)count - 1), &id) &&
                id == count - 1 &&
                memory_index_get(shared->index, count - 1, arena, &series, &error) == ERROR_NONE;
        if (!right)
            atomic_store(&shared->failed, true);
    }
    matcher_destroy(matcher);
    arena_destroy(arena);
    return NULL;
}

static void the_index_answers_while_it_grows(void **state)
{
    (void)state;
    struct memory_index_options options = {.hash_seed = 1};
    struct shared_index shared = {0};
    struct error error;
    assert_int_equal(memory_index_create(&options, &shared.index, &error), ERROR_NONE);
    pthread_t threads[READERS];
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, query_index, &shared), 0);
    struct arena *arena = arena_create(0);
    for (unsigned number = 0; number < INDEX_SERIES; number++) {
        uint64_t id;
        arena_reset(arena);
        struct memory_series series = {.tenant = TEXT("t"),
                                       .labels = numbered_labels(arena, number)};
        assert_int_equal(memory_index_add(shared.index, &series, &id, &error), ERROR_NONE);
    }
    for (int i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    assert_false(atomic_load(&shared.failed));
    arena_destroy(arena);
    memory_index_unref(shared.index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_see_whole_series_while_they_grow),
        cmocka_unit_test(exemplars_are_whole_while_they_are_replaced),
        cmocka_unit_test(the_index_answers_while_it_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
