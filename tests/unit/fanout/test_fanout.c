/* Questions to all shards of three nodes: who is asked, and asked instead. */
#include "fanout_nodes.h"

#include "fanout_private.h"
#include "platform/no_wait.h"

enum { SERIES = 60, SAMPLES = 20, STEP_MS = 15000 };

static struct arena *arena;

static void make_series(void)
{
    for (size_t i = 0; i < SHARDS; i++)
        shard_series[i] = series_memory_create();
    for (unsigned i = 0; i < SERIES; i++) {
        struct labels labels = series_labels(arena, "load", i);
        for (int64_t k = 0; k < SAMPLES; k++)
            series_memory_add(shard_series[i % SHARDS], labels,
                              (struct memory_sample){.timestamp_ms = k * STEP_MS,
                                                     .value = (double)(i * 1000 + k)});
    }
}

static int open_all(void **state)
{
    (void)state;
    log_set_level(LOG_NOTHING);
    arena = arena_create(0);
    fanout_settings = (struct fanout_options){.patience_ms = 300};
    make_series();
    nodes_open();
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    nodes_close();
    for (size_t i = 0; i < SHARDS; i++)
        series_memory_destroy(shard_series[i]);
    arena_destroy(arena);
    return 0;
}

/* As after the start. */
static int settle(void **state)
{
    (void)state;
    lead_by_turns();
    for (uint64_t id = 1; id <= NODES; id++)
        for (uint64_t other = 1; other <= NODES; other++)
            fanout_health(node_of(id)->fanout, other)->avoid_until_ns = 0;
    for (uint64_t id = 1; id <= NODES; id++)
        for (uint32_t shard = 0; shard < SHARDS; shard++) {
            struct double_replica *replica = replica_of(id, shard);
            replica->fails = replica->is_stalled = replica->refuses_confirm = false;
            replica->reads = replica->canceled = replica->confirms = 0;
            cluster_board_note_leader(node_of(id)->board, shard, 0);
        }
    return 0;
}

/* --- Asking ---------------------------------------------------------------------------------- */

struct asked {
    struct arena *arena;
    struct matcher *matcher;
    struct series_request request;
    struct series_set *set;
    struct error error;
};

static enum error_code ask(struct asked *asked, uint64_t node_id, enum fanout_read read)
{
    struct series_source *source = fanout_source(node_of(node_id)->fanout, read);
    enum error_code code =
        series_source_select(source, &asked->request, &asked->set, &asked->error);
    if (code != ERROR_NONE)
        asked->set = NULL;
    return code;
}

static struct asked asked_init(void)
{
    struct asked asked = {.arena = arena_create(0),
                          .matcher = matcher_of(MATCHER_EQUAL, "__name__", "load")};
    asked.request = (struct series_request){
        .tenant = TEXT("anonymous"),
        .matcher_count = 1,
        .end_ms = SAMPLES * STEP_MS,
        .arena = asked.arena,
    };
    return asked;
}

static void asked_clear(struct asked *asked)
{
    series_set_close(asked->set);
    matcher_destroy(asked->matcher);
    arena_destroy(asked->arena);
}

/* All series, each with all its samples. */
static void expect_all(struct asked *asked)
{
    struct labels labels[SERIES];
    struct series_reader *reader;
    struct sample_columns columns;
    bool seen[SERIES] = {false};
    assert_int_equal(asked->set->count, SERIES);
    assert_false(asked->set->truncated);
    assert_int_equal(series_set_labels(asked->set, 0, SERIES, asked->arena, labels, &asked->error),
                     ERROR_NONE);
    assert_int_equal(series_reader_open(asked->set, &reader, &asked->error), ERROR_NONE);
    for (size_t i = 0; i < SERIES; i++) {
        uint64_t number;
        assert_true(text_to_uint64(labels_get(labels[i], TEXT("number")), &number));
        assert_false(seen[number]);
        seen[number] = true;
        assert_int_equal(series_reader_read(reader, i, &columns, &asked->error), ERROR_NONE);
        assert_int_equal(columns.count, SAMPLES);
        for (size_t k = 0; k < SAMPLES; k++) {
            assert_int_equal(columns.timestamps_ms[k], (int64_t)k * STEP_MS);
            assert_true(columns.values[k] == (double)(number * 1000 + k));
        }
    }
    series_reader_close(reader);
}

static void expect_answer(uint64_t node_id, enum fanout_read read)
{
    struct asked asked = asked_init();
    asked.request.matchers = (const struct matcher *const *)&asked.matcher;
    if (ask(&asked, node_id, read) != ERROR_NONE)
        fail_msg("%s", asked.error.message);
    expect_all(&asked);
    asked_clear(&asked);
}

static struct error expect_failure(uint64_t node_id, enum fanout_read read)
{
    struct asked asked = asked_init();
    asked.request.matchers = (const struct matcher *const *)&asked.matcher;
    assert_int_not_equal(ask(&asked, node_id, read), ERROR_NONE);
    struct error error = asked.error;
    asked_clear(&asked);
    return error;
}

static int reads_of(uint64_t node_id)
{
    int reads = 0;
    for (uint32_t shard = 0; shard < SHARDS; shard++)
        reads += replica_of(node_id, shard)->reads;
    return reads;
}

static struct fanout_statistics statistics_of(uint64_t node_id)
{
    struct fanout_statistics statistics;
    fanout_statistics(node_of(node_id)->fanout, &statistics);
    return statistics;
}

/* --- Who is asked ---------------------------------------------------------------------------- */

static void leaders_answer_in_one_request_each(void **state)
{
    (void)state;
    struct fanout_statistics before = statistics_of(1);
    expect_answer(1, FANOUT_READ_DEFAULT);
    assert_int_equal(statistics_of(1).asked - before.asked, 2);
    for (uint64_t id = 1; id <= NODES; id++)
        for (uint32_t shard = 0; shard < SHARDS; shard++)
            assert_int_equal(replica_of(id, shard)->reads, 1 + shard % NODES == id ? 1 : 0);
}

static void a_replica_here_answers_when_no_leader_is_known(void **state)
{
    (void)state;
    for (uint32_t shard = 0; shard < SHARDS; shard++)
        replica_of(1, shard)->leader = 0;
    struct fanout_statistics before = statistics_of(1);
    expect_answer(1, FANOUT_READ_DEFAULT);
    assert_int_equal(statistics_of(1).asked, before.asked);
    assert_int_equal(reads_of(1), SHARDS);
}

static void a_wrong_hint_is_corrected(void **state)
{
    (void)state;
    /* Node 2 is said to lead what node 3 leads, and cannot answer itself. */
    for (uint32_t shard = 2; shard < SHARDS; shard += NODES) {
        cluster_board_note_leader(node_of(1)->board, shard, 2);
        replica_of(2, shard)->is_readable = false;
        replica_of(1, shard)->is_readable = false;
    }
    struct fanout_statistics before = statistics_of(1);
    expect_answer(1, FANOUT_READ_DEFAULT);
    assert_int_equal(statistics_of(1).redirected - before.redirected, 2);
    for (uint32_t shard = 2; shard < SHARDS; shard += NODES) {
        assert_int_equal(cluster_board_leader(node_of(1)->board, shard), 3);
        assert_int_equal(replica_of(3, shard)->reads, 1);
    }
}

static void what_this_node_acknowledged_is_read(void **state)
{
    (void)state;
    /* No leader is known; the replica here is behind what was acknowledged, one other is not. */
    for (uint64_t id = 1; id <= NODES; id++) {
        replica_of(id, 4)->is_ready = false;
        replica_of(id, 4)->leader = 0;
    }
    cluster_board_note_written(node_of(1)->board, 4, 150);
    replica_of(1, 4)->applied = replica_of(2, 4)->applied = 149;
    replica_of(3, 4)->applied = 150;
    expect_answer(1, FANOUT_READ_DEFAULT);
    assert_int_equal(replica_of(1, 4)->reads, 0);
    assert_int_equal(replica_of(2, 4)->reads, 0);
    assert_int_equal(replica_of(3, 4)->reads, 1);
}

static void a_shard_without_a_readable_replica_is_an_error_that_names_it(void **state)
{
    (void)state;
    for (uint64_t id = 1; id <= NODES; id++)
        replica_of(id, 5)->is_ready = replica_of(id, 5)->is_readable = false;
    struct error error = expect_failure(1, FANOUT_READ_DEFAULT);
    assert_int_equal(error.code, ERROR_UNAVAILABLE);
    assert_non_null(strstr(error.message, "shard 5"));
}

static void a_shard_that_nobody_has_is_an_error_that_names_it(void **state)
{
    (void)state;
    for (uint64_t id = 1; id <= NODES; id++)
        replica_of(id, 3)->is_present = false;
    struct error error = expect_failure(2, FANOUT_READ_DEFAULT);
    assert_int_equal(error.code, ERROR_UNAVAILABLE);
    assert_non_null(strstr(error.message, "shard 3"));
}

struct later {
    struct task task;
    struct timer timer;
    struct node *node;
};

static void become_readable(struct timer *timer)
{
    (void)timer;
    replica_of(3, 5)->is_readable = true;
}

static void start_timer(struct task *task)
{
    struct later *later = (struct later *)task;
    later->timer = (struct timer){.fire = become_readable, .heap_index = TIMER_IDLE};
    scheduler_timer_start(loop_scheduler(later->node->loop), &later->timer, 100);
}

static void a_shard_without_a_replica_is_waited_for(void **state)
{
    (void)state;
    for (uint64_t id = 1; id <= NODES; id++)
        replica_of(id, 5)->is_ready = replica_of(id, 5)->is_readable = false;
    static struct later later;
    later = (struct later){.task.run = start_timer, .node = node_of(2)};
    scheduler_post(loop_scheduler(node_of(2)->loop), &later.task);
    expect_answer(1, FANOUT_READ_DEFAULT);
}

static void a_replica_that_cannot_read_is_replaced(void **state)
{
    (void)state;
    replica_of(2, 1)->fails = true; /* the leader */
    replica_of(1, 0)->fails = true; /* the leader, here */
    expect_answer(1, FANOUT_READ_DEFAULT);
}

static void damage_everywhere_is_told(void **state)
{
    (void)state;
    for (uint64_t id = 1; id <= NODES; id++)
        replica_of(id, 1)->fails = true;
    struct error error = expect_failure(1, FANOUT_READ_DEFAULT);
    assert_int_equal(error.code, ERROR_CORRUPT);
    assert_non_null(strstr(error.message, "shard 1"));
    assert_non_null(strstr(error.message, "a page is damaged"));
}

static void strong_reads_are_confirmed_by_leaders(void **state)
{
    (void)state;
    expect_answer(1, FANOUT_READ_STRONG);
    for (uint32_t shard = 0; shard < SHARDS; shard++)
        for (uint64_t id = 1; id <= NODES; id++) {
            bool leads = 1 + shard % NODES == id;
            assert_int_equal(replica_of(id, shard)->reads, leads ? 1 : 0);
            assert_int_equal(replica_of(id, shard)->confirms, leads ? 1 : 0);
        }
    replica_of(3, 2)->refuses_confirm = true;
    struct error error = expect_failure(1, FANOUT_READ_STRONG);
    assert_int_equal(error.code, ERROR_UNAVAILABLE);
    assert_non_null(strstr(error.message, "shard 2"));
    replica_of(1, 3)->refuses_confirm = true;
    replica_of(3, 2)->refuses_confirm = false;
    error = expect_failure(1, FANOUT_READ_STRONG);
    assert_non_null(strstr(error.message, "shard 3"));
}

static void a_loop_does_not_wait_for_others(void **state)
{
    (void)state;
    no_wait_begin(UINT64_MAX);
    struct error error = expect_failure(1, FANOUT_READ_DEFAULT);
    no_wait_end();
    assert_int_equal(error.code, ERROR_WOULD_WAIT);
    for (uint32_t shard = 0; shard < SHARDS; shard++)
        replica_of(1, shard)->is_ready = true;
    no_wait_begin(UINT64_MAX);
    expect_answer(1, FANOUT_READ_DEFAULT);
    no_wait_end();
}

/* --- Silence --------------------------------------------------------------------------------- */

static void a_silent_node_is_replaced(void **state)
{
    (void)state;
    struct fanout_statistics before = statistics_of(1);
    /* Of its shards only node 3 has other replicas that may be read. */
    replica_of(1, 1)->is_readable = replica_of(1, 4)->is_readable = false;
    node_block(node_of(2));
    uint64_t slowest_ms = 0, total_ms = 0;
    for (int i = 0; i < 30; i++) {
        uint64_t began_ns = clock_monotonic_ns(clock_system());
        expect_answer(1, FANOUT_READ_DEFAULT);
        uint64_t took_ms = elapsed_ms_since(began_ns);
        slowest_ms = took_ms > slowest_ms ? took_ms : slowest_ms;
        total_ms += took_ms;
    }
    node_unblock(node_of(2));
    print_message("a node stands still: slowest %llu ms, 30 queries %llu ms\n",
                  (unsigned long long)slowest_ms, (unsigned long long)total_ms);
    assert_true(statistics_of(1).hedged > before.hedged);
    assert_true(slowest_ms < 1500); /* of which the sanitizers may take some */
    assert_true(total_ms < 4500);   /* not each of them waits */
}

static void a_slow_read_is_asked_elsewhere_and_canceled(void **state)
{
    (void)state;
    replica_of(3, 2)->is_stalled = true; /* its node answers others */
    expect_answer(1, FANOUT_READ_DEFAULT);
    for (int waited_ms = 0; replica_of(3, 2)->canceled == 0; waited_ms += 5) {
        assert_true(waited_ms < 2000);
        usleep(5000);
    }
}

/* --- Ends ------------------------------------------------------------------------------------ */

static void *cancel_soon(void *argument)
{
    usleep(50000);
    atomic_store((atomic_bool *)argument, true);
    return NULL;
}

static void stall_everywhere(uint32_t shard)
{
    for (uint64_t id = 1; id <= NODES; id++)
        replica_of(id, shard)->is_stalled = true;
}

static void a_canceled_query_ends_and_so_do_those_asked(void **state)
{
    (void)state;
    atomic_bool canceled = false;
    pthread_t thread;
    replica_of(2, 1)->is_readable = replica_of(1, 1)->is_readable = false;
    stall_everywhere(1);
    struct asked asked = asked_init();
    asked.request.matchers = (const struct matcher *const *)&asked.matcher;
    asked.request.canceled = &canceled;
    assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &canceled), 0);
    uint64_t began_ns = clock_monotonic_ns(clock_system());
    assert_int_equal(ask(&asked, 1, FANOUT_READ_DEFAULT), ERROR_CANCELED);
    assert_true(elapsed_ms_since(began_ns) < 1000);
    pthread_join(thread, NULL);
    asked_clear(&asked);
    for (int waited_ms = 0; replica_of(2, 1)->canceled == 0; waited_ms += 5) {
        assert_true(waited_ms < 2000);
        usleep(5000);
    }
}

static void a_deadline_ends_a_query(void **state)
{
    (void)state;
    stall_everywhere(1);
    struct asked asked = asked_init();
    asked.request.matchers = (const struct matcher *const *)&asked.matcher;
    replica_of(1, 1)->is_readable = false;
    asked.request.deadline_ns = clock_monotonic_ns(clock_system()) + 100 * 1000 * 1000;
    enum error_code code = ask(&asked, 1, FANOUT_READ_DEFAULT);
    assert_int_equal(code, ERROR_TIMEOUT);
    asked_clear(&asked);
}

static void limits_hold_over_all_shards(void **state)
{
    (void)state;
    for (size_t limit = 1; limit <= SERIES; limit += 7) {
        struct asked asked = asked_init();
        asked.request.matchers = (const struct matcher *const *)&asked.matcher;
        asked.request.series_limit = limit;
        assert_int_equal(ask(&asked, 1, FANOUT_READ_DEFAULT), ERROR_NONE);
        assert_int_equal(asked.set->count, limit);
        assert_int_equal(asked.set->truncated, limit < SERIES);
        asked_clear(&asked);
    }
}

static void a_query_pays_for_what_it_gets(void **state)
{
    (void)state;
    struct asked asked = asked_init();
    arena_destroy(asked.arena);
    asked.arena = asked.request.arena = arena_create(8192);
    asked.request.matchers = (const struct matcher *const *)&asked.matcher;
    assert_int_equal(ask(&asked, 1, FANOUT_READ_DEFAULT), ERROR_OUT_OF_MEMORY);
    asked_clear(&asked);
}

/* What is set once, before questions come; here it is the loop that sets it. */
struct setting {
    struct arena_account *memory;
    uint32_t serving_max;
};

static void set_on_loop(void *argument)
{
    const struct setting *setting = argument;
    fanout_set_memory(node_of(2)->fanout, setting->memory);
    node_of(2)->fanout->options.serving_max = setting->serving_max;
}

static void set_node_2(struct arena_account *memory, uint32_t serving_max)
{
    struct setting setting = {memory, serving_max};
    loop_call(node_of(2)->loop, set_on_loop, &setting);
}

static void *ask_once(void *argument)
{
    expect_answer(*(const uint64_t *)argument, FANOUT_READ_DEFAULT);
    return NULL;
}

/* Their askers go elsewhere. */
static void more_questions_than_a_node_takes_are_refused(void **state)
{
    (void)state;
    pthread_t threads[6];
    static uint64_t asker = 1;
    struct fanout_statistics before = statistics_of(2);
    set_node_2(NULL, 0);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_once, &asker), 0);
    for (size_t i = 0; i < 6; i++)
        pthread_join(threads[i], NULL);
    set_node_2(NULL, 256);
    assert_true(statistics_of(2).refused > before.refused);
    assert_int_equal(statistics_of(2).served, before.served);
}

static atomic_bool budget_is_spent;
static _Atomic int64_t budget_bytes;

static bool budget_charge(struct arena_account *self, size_t size_bytes)
{
    (void)self;
    if (budget_is_spent)
        return false;
    budget_bytes += (int64_t)size_bytes;
    return true;
}

static void budget_release(struct arena_account *self, size_t size_bytes)
{
    (void)self;
    budget_bytes -= (int64_t)size_bytes;
}

/* What a node has no memory for is answered by others, and what it took it gives back. */
static void answers_to_others_are_paid_for(void **state)
{
    static struct arena_account budget = {.charge = budget_charge, .release = budget_release};
    (void)state;
    set_node_2(&budget, 256);
    expect_answer(1, FANOUT_READ_DEFAULT);
    assert_int_equal(replica_of(2, 1)->reads, 1);
    budget_is_spent = true;
    expect_answer(1, FANOUT_READ_DEFAULT);
    assert_int_equal(replica_of(2, 1)->reads, 1);
    budget_is_spent = false;
    for (int waited_ms = 0; statistics_of(2).serving > 0; waited_ms += 5) {
        assert_true(waited_ms < 2000);
        usleep(5000);
    }
    assert_int_equal(budget_bytes, 0);
    set_node_2(NULL, 256);
}

/* --- Others than samples --------------------------------------------------------------------- */

static void names_values_and_exemplars_come_from_all(void **state)
{
    (void)state;
    struct asked asked = asked_init();
    struct series_source *source = fanout_source(node_of(1)->fanout, FANOUT_READ_DEFAULT);
    struct text_set names = {.arena = asked.arena}, values = {.arena = asked.arena};
    struct series_exemplars *exemplars;
    size_t count;
    struct error error;
    asked.request.matchers = (const struct matcher *const *)&asked.matcher;
    assert_int_equal(series_source_label_names(source, &asked.request, &names, &error), ERROR_NONE);
    assert_int_equal(names.count, 4);
    assert_int_equal(
        series_source_label_values(source, &asked.request, TEXT("number"), &values, &error),
        ERROR_NONE);
    assert_int_equal(values.count, SERIES);
    assert_int_equal(series_source_exemplars(source, &asked.request, &exemplars, &count, &error),
                     ERROR_NONE);
    assert_int_equal(count, SERIES);
    bool seen[SERIES] = {false};
    for (size_t i = 0; i < count; i++) {
        uint64_t number;
        assert_true(text_to_uint64(labels_get(exemplars[i].labels, TEXT("number")), &number));
        assert_false(seen[number]);
        seen[number] = true;
        assert_int_equal(exemplars[i].count, 1);
        assert_true(exemplars[i].exemplars[0].value == (double)(number / SHARDS));
        assert_true(labels_get(exemplars[i].exemplars[0].labels, TEXT("trace_id")).size > 0);
    }
    asked_clear(&asked);
}

struct metadata_seen {
    size_t count;
    size_t stop_at;
};

static bool see_metadata(void *context, struct text metric_name,
                         const struct metric_metadata *metadata)
{
    struct metadata_seen *seen = context;
    assert_true(text_starts_with(metric_name, TEXT("metric_")));
    assert_int_equal(metadata->type, METRIC_COUNTER);
    assert_true(text_equal(metadata->help, TEXT("What it is.")));
    assert_true(text_equal(metadata->unit, TEXT("seconds")));
    return ++seen->count != seen->stop_at;
}

static void metadata_comes_from_all(void **state)
{
    (void)state;
    static const struct {
        const char *metric;
        size_t stop_at;
        size_t expected;
        bool is_damaged;
    } CASES[] = {{"", 0, SHARDS, true}, {"metric_4", 0, 1, true}, {"", 2, 2, true}};
    for (uint64_t id = 1; id <= NODES; id++)
        for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
            struct metadata_seen seen = {.stop_at = CASES[i].stop_at};
            struct metadata_request request = {
                .tenant = TEXT("anonymous"),
                .metric = text_of(CASES[i].metric),
                .arena = arena_create(0),
                .visit = see_metadata,
                .context = &seen,
            };
            bool is_damaged = false;
            struct error error;
            assert_int_equal(
                metadata_source_visit(fanout_metadata(node_of(id)->fanout, FANOUT_READ_DEFAULT),
                                      &request, &is_damaged, &error),
                ERROR_NONE);
            assert_int_equal(seen.count, CASES[i].expected);
            if (CASES[i].stop_at == 0)
                assert_int_equal(is_damaged, CASES[i].is_damaged);
            arena_destroy(request.arena);
        }
}

/* --- Many at once ---------------------------------------------------------------------------- */

static void *ask_often(void *argument)
{
    for (int i = 0; i < 40; i++)
        expect_answer(*(const uint64_t *)argument, (enum fanout_read)(i % FANOUT_READS));
    return NULL;
}

static void nodes_ask_each_other_at_once(void **state)
{
    (void)state;
    static uint64_t ids[] = {1, 2, 3, 1, 2, 3};
    pthread_t threads[6];
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_often, &ids[i]), 0);
    for (size_t i = 0; i < 6; i++)
        pthread_join(threads[i], NULL);
}

int main(void)
{
    alarm(200); /* a hang fails */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(leaders_answer_in_one_request_each, settle),
        cmocka_unit_test_setup(a_replica_here_answers_when_no_leader_is_known, settle),
        cmocka_unit_test_setup(a_wrong_hint_is_corrected, settle),
        cmocka_unit_test_setup(what_this_node_acknowledged_is_read, settle),
        cmocka_unit_test_setup(a_shard_without_a_readable_replica_is_an_error_that_names_it,
                               settle),
        cmocka_unit_test_setup(a_shard_that_nobody_has_is_an_error_that_names_it, settle),
        cmocka_unit_test_setup(a_shard_without_a_replica_is_waited_for, settle),
        cmocka_unit_test_setup(a_replica_that_cannot_read_is_replaced, settle),
        cmocka_unit_test_setup(damage_everywhere_is_told, settle),
        cmocka_unit_test_setup(strong_reads_are_confirmed_by_leaders, settle),
        cmocka_unit_test_setup(a_loop_does_not_wait_for_others, settle),
        cmocka_unit_test_setup(limits_hold_over_all_shards, settle),
        cmocka_unit_test_setup(a_query_pays_for_what_it_gets, settle),
        cmocka_unit_test_setup(answers_to_others_are_paid_for, settle),
        cmocka_unit_test_setup(more_questions_than_a_node_takes_are_refused, settle),
        cmocka_unit_test_setup(names_values_and_exemplars_come_from_all, settle),
        cmocka_unit_test_setup(metadata_comes_from_all, settle),
        cmocka_unit_test_setup(nodes_ask_each_other_at_once, settle),
        cmocka_unit_test_setup(a_canceled_query_ends_and_so_do_those_asked, settle),
        cmocka_unit_test_setup(a_deadline_ends_a_query, settle),
        cmocka_unit_test_setup(a_slow_read_is_asked_elsewhere_and_canceled, settle),
        cmocka_unit_test_setup(a_silent_node_is_replaced, settle),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
