/* Shards that are split, while some know of it and others do not: every series is answered once. */
#include "fanout_nodes.h"

#include "fanout_private.h"

enum { SERIES = 60, CHILD = SHARDS - 1 };

static struct arena *arena;
static struct series_memory *whole; /* of the first shard, before it is split */

static void make_series(void)
{
    whole = series_memory_create();
    for (size_t i = 0; i < SHARDS; i++)
        shard_series[i] = series_memory_create();
    for (unsigned i = 0; i < SERIES; i++) {
        struct labels labels = series_labels(arena, "load", i);
        const struct memory_sample sample = {.timestamp_ms = 1000, .value = i};
        unsigned shard = i % SHARDS;
        series_memory_add(shard_series[shard], labels, sample);
        if (shard == 0 || shard == CHILD)
            series_memory_add(whole, labels, sample);
    }
}

static int open_all(void **state)
{
    (void)state;
    log_set_level(LOG_NOTHING);
    arena = arena_create(0);
    fanout_settings = (struct fanout_options){.patience_ms = 300};
    last_is_split_off = true;
    make_series();
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < SHARDS; i++)
        series_memory_destroy(shard_series[i]);
    series_memory_destroy(whole);
    arena_destroy(arena);
    return 0;
}

/* What a replica has applied. */
static void set_split(uint64_t node_id, bool is_split)
{
    struct double_replica *parent = replica_of(node_id, 0);
    parent->memory = is_split ? shard_series[0] : whole;
    parent->splits = is_split;
    replica_of(node_id, CHILD)->is_present = is_split;
}

/* Nothing is split yet, and nobody heard of it: boards forget with their node. */
static int begin(void **state)
{
    (void)state;
    nodes_open();
    for (uint64_t id = 1; id <= NODES; id++)
        set_split(id, false);
    return 0;
}

static int end(void **state)
{
    (void)state;
    nodes_close();
    return 0;
}

/* --- Asking ---------------------------------------------------------------------------------- */

static enum error_code ask(uint64_t node_id, enum fanout_read read, size_t *count_out,
                           struct error *error)
{
    struct arena *of_request = arena_create(0);
    struct matcher *matcher = matcher_of(MATCHER_EQUAL, "__name__", "load");
    const struct matcher *const matchers[] = {matcher};
    struct series_request request = {.tenant = TEXT("anonymous"),
                                     .matchers = matchers,
                                     .matcher_count = 1,
                                     .end_ms = 2000,
                                     .arena = of_request};
    struct series_set *set;
    enum error_code code =
        series_source_select(fanout_source(node_of(node_id)->fanout, read), &request, &set, error);
    if (code == ERROR_NONE) {
        struct labels labels[SERIES];
        bool seen[SERIES] = {false};
        *count_out = set->count;
        assert_int_equal(set->count, SERIES);
        assert_int_equal(series_set_labels(set, 0, SERIES, of_request, labels, error), ERROR_NONE);
        for (size_t i = 0; i < SERIES; i++) {
            uint64_t number;
            assert_true(text_to_uint64(labels_get(labels[i], TEXT("number")), &number));
            assert_false(seen[number]);
            seen[number] = true;
        }
        series_set_close(set);
    }
    matcher_destroy(matcher);
    arena_destroy(of_request);
    return code;
}

static void expect_all(uint64_t node_id, enum fanout_read read)
{
    struct error error;
    size_t count;
    if (ask(node_id, read, &count, &error) != ERROR_NONE)
        fail_msg("%s", error.message);
}

static int reads_of_child(void)
{
    int reads = 0;
    for (uint64_t id = 1; id <= NODES; id++)
        reads += replica_of(id, CHILD)->reads;
    return reads;
}

/* --- Tests ----------------------------------------------------------------------------------- */

static void what_is_only_desired_is_not_asked(void **state)
{
    (void)state;
    for (uint64_t id = 1; id <= NODES; id++)
        expect_all(id, FANOUT_READ_DEFAULT);
    expect_all(2, FANOUT_READ_STRONG);
    assert_int_equal(reads_of_child(), 0);
}

static void who_did_not_know_of_a_split_asks_anew(void **state)
{
    (void)state;
    for (uint64_t id = 1; id <= NODES; id++)
        set_split(id, true);
    for (uint64_t id = 1; id <= NODES; id++) {
        assert_int_equal(cluster_board_splits(node_of(id)->board, 0), 0);
        expect_all(id, id % 2 == 0 ? FANOUT_READ_STRONG : FANOUT_READ_DEFAULT);
        assert_int_equal(cluster_board_splits(node_of(id)->board, 0), 1);
    }
    assert_true(reads_of_child() >= NODES);
}

/* The replica here lags: it has all of it still, and others have half. */
static void a_replica_that_lags_is_not_read_by_who_knows(void **state)
{
    (void)state;
    set_split(1, true);
    set_split(3, true); /* the child is led by node 3, since 5 mod 3 is 2 */
    replica_of(2, CHILD)->is_present = true;
    cluster_board_note_splits(node_of(2)->board, 0, 1);
    replica_of(1, 0)->is_ready = false; /* any replica may be read */
    replica_of(1, 0)->leader = replica_of(2, 0)->leader = replica_of(3, 0)->leader = 0;
    expect_all(2, FANOUT_READ_DEFAULT);
    assert_int_equal(replica_of(2, 0)->reads, 0);
}

/* Nobody has split it yet, though somebody said so: it is waited for, and told. */
static void without_a_replica_that_is_split_there_is_no_answer(void **state)
{
    (void)state;
    struct error error;
    size_t count;
    cluster_board_note_splits(node_of(1)->board, 0, 1);
    assert_int_equal(ask(1, FANOUT_READ_DEFAULT, &count, &error), ERROR_UNAVAILABLE);
    assert_non_null(strstr(error.message, "shard"));
}

/* A split that the state here has not yet: which shards there are is not known. */
static void a_split_that_the_state_does_not_know_is_waited_for(void **state)
{
    (void)state;
    struct error error;
    size_t count;
    cluster_board_note_splits(node_of(1)->board, 3, 1);
    assert_int_equal(ask(1, FANOUT_READ_DEFAULT, &count, &error), ERROR_UNAVAILABLE);
    assert_non_null(strstr(error.message, "shard 3"));
}

struct flipper {
    pthread_t thread;
    uint64_t reader_id;
};

static void *flip(void *argument)
{
    struct flipper *flipper = argument;
    struct double_replica *parent = replica_of(flipper->reader_id, 0);
    while (parent->reads == 0)
        usleep(1000);
    /* It began to read the whole; when it goes on it sees a half. */
    for (uint64_t id = 1; id <= NODES; id++)
        set_split(id, true);
    parent->is_stalled = false;
    return NULL;
}

static void a_shard_that_is_split_while_it_is_read_is_read_again(void **state)
{
    (void)state;
    for (uint64_t asker = 1; asker <= 2; asker++) { /* here, and from another node */
        struct flipper flipper = {.reader_id = 1};
        for (uint64_t id = 1; id <= NODES; id++)
            set_split(id, false);
        replica_of(1, 0)->reads = 0;
        replica_of(1, 0)->is_stalled = true;
        replica_of(2, 0)->is_readable = replica_of(3, 0)->is_readable = false;
        assert_int_equal(pthread_create(&flipper.thread, NULL, flip, &flipper), 0);
        expect_all(asker, FANOUT_READ_DEFAULT);
        pthread_join(flipper.thread, NULL);
        assert_int_equal(cluster_board_splits(node_of(asker)->board, 0), 1);
    }
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_is_only_desired_is_not_asked),
        CASE(who_did_not_know_of_a_split_asks_anew),
        CASE(a_replica_that_lags_is_not_read_by_who_knows),
        CASE(without_a_replica_that_is_split_there_is_no_answer),
        CASE(a_split_that_the_state_does_not_know_is_waited_for),
        CASE(a_shard_that_is_split_while_it_is_read_is_read_again),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
