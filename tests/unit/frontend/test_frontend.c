#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <semaphore.h>
#include <stdlib.h>

#include "frontend/frontend.h"
#include "platform/loop.h"
#include "platform/no_wait.h"
#include "series_memory.h"
#include "waiting.h"

/* --- A frontend that runs one query at a time ------------------------------------------------- */

enum { WAITING_MAX = 3, MEMORY_MAX_BYTES = 1 << 20 };

struct site {
    struct worker_pool *pool;
    struct loop *loop;
    struct series_memory *memory;
    struct frontend *frontend;
};

static int set_up(void **state)
{
    struct site *site = calloc(1, sizeof *site);
    struct worker_pool_options pool_options = {.worker_count = 4};
    struct error error;
    assert_int_equal(worker_pool_create(&pool_options, &site->pool, &error), ERROR_NONE);
    struct loop_options loop_options = {.name = "test", .workers = site->pool};
    assert_int_equal(loop_create(&loop_options, &site->loop, &error), ERROR_NONE);
    assert_int_equal(loop_start(site->loop, &error), ERROR_NONE);
    site->memory = series_memory_create();
    struct series_source *shards[] = {series_memory_source(site->memory)};
    struct frontend_options options = {.shards = shards,
                                       .shard_count = 1,
                                       .pool = site->pool,
                                       .clock = clock_system(),
                                       .memory_max_bytes = MEMORY_MAX_BYTES,
                                       .concurrency = 1,
                                       .waiting_max = WAITING_MAX};
    assert_int_equal(frontend_create(&options, &site->frontend, &error), ERROR_NONE);
    *state = site;
    return 0;
}

static int tear_down(void **state)
{
    struct site *site = *state;
    loop_stop(site->loop);
    loop_join(site->loop);
    frontend_destroy(site->frontend);
    worker_pool_destroy(site->pool);
    loop_destroy(site->loop);
    series_memory_destroy(site->memory);
    free(site);
    return 0;
}

/* --- Jobs that wait until they may go on ------------------------------------------------------ */

struct held_job {
    struct frontend_job job; /* first */
    struct site *site;
    sem_t *begun; /* NULL: nobody waits for it */
    sem_t *go;
    sem_t *done;
    const char *tenant;
    size_t *order; /* taken by the loop's thread only */
    size_t finished_as;
    enum error_code submitted;
};

static void run(struct frontend_job *job)
{
    struct held_job *held = (struct held_job *)job;
    if (held->begun != NULL)
        sem_post(held->begun);
    sem_wait(held->go);
}

static void done(struct frontend_job *job)
{
    struct held_job *held = (struct held_job *)job;
    held->finished_as = ++*held->order;
    sem_post(held->done);
}

static void submit(void *argument)
{
    struct held_job *held = argument;
    struct error error;
    held->job.run = run;
    held->job.subject.kind = "test";
    held->job.subject.tenant = text_of(held->tenant == NULL ? "" : held->tenant);
    held->job.done = done;
    held->submitted =
        frontend_submit(held->site->frontend, loop_scheduler(held->site->loop), &held->job, &error);
}

/* --- Jobs whose turn never comes -------------------------------------------------------------- */

static void withdraw(void *argument)
{
    frontend_withdraw(&((struct held_job *)argument)->job);
}

/* One job runs, one waits that is to end; then a third takes its place. */
static void end_while_waiting(struct site *site, uint64_t deadline_ns, bool is_withdrawn,
                              enum error_code expected, enum frontend_failure failure)
{
    struct held_job jobs[2 + WAITING_MAX] = {0};
    struct frontend_statistics statistics;
    size_t order = 0;
    sem_t begun, go, finished;
    sem_init(&begun, 0, 0);
    sem_init(&go, 0, 0);
    sem_init(&finished, 0, 0);
    for (size_t i = 0; i < 1 + WAITING_MAX; i++) {
        jobs[i] = (struct held_job){.site = site, .go = &go, .done = &finished, .order = &order};
        jobs[i].begun = i == 0 ? &begun : NULL;
        jobs[i].job.deadline_ns = i == 2 ? deadline_ns : 0;
        loop_call(site->loop, submit, &jobs[i]);
        assert_int_equal(jobs[i].submitted, ERROR_NONE);
    }
    sem_wait(&begun);
    if (is_withdrawn) {
        loop_call(site->loop, withdraw, &jobs[0]); /* runs: nothing happens to it */
        loop_call(site->loop, withdraw, &jobs[2]);
    }
    sem_wait(&finished);
    assert_int_equal(jobs[2].finished_as, 1);
    assert_int_equal(jobs[2].job.error.code, expected);
    frontend_statistics(site->frontend, &statistics);
    assert_int_equal(statistics.queries_waiting, WAITING_MAX - 1);
    assert_int_equal(statistics.failed_total[failure], 1);
    jobs[1 + WAITING_MAX] =
        (struct held_job){.site = site, .go = &go, .done = &finished, .order = &order};
    loop_call(site->loop, submit, &jobs[1 + WAITING_MAX]);
    assert_int_equal(jobs[1 + WAITING_MAX].submitted, ERROR_NONE);
    for (size_t i = 0; i < 1 + WAITING_MAX; i++) {
        sem_post(&go);
        sem_wait(&finished);
    }
    for (size_t i = 0; i < 2 + WAITING_MAX; i++)
        assert_int_equal(jobs[i].job.error.code, i == 2 ? expected : ERROR_NONE);
    sem_destroy(&begun);
    sem_destroy(&go);
    sem_destroy(&finished);
}

static void a_job_ends_where_it_waits_when_its_deadline_passes(void **state)
{
    uint64_t soon_ns = clock_monotonic_ns(clock_system()) + UINT64_C(20000000);
    end_while_waiting(*state, soon_ns, false, ERROR_TIMEOUT, FRONTEND_TIMED_OUT);
}

static void a_job_ends_where_it_waits_when_nobody_wants_it(void **state)
{
    uint64_t late_ns = clock_monotonic_ns(clock_system()) + 3600 * UINT64_C(1000000000);
    end_while_waiting(*state, late_ns, true, ERROR_CANCELED, FRONTEND_CANCELED);
}

static void jobs_wait_for_their_turn_and_run_in_order(void **state)
{
    struct site *site = *state;
    struct held_job jobs[1 + WAITING_MAX] = {0};
    struct frontend_statistics statistics;
    size_t order = 0;
    sem_t go, finished;
    sem_init(&go, 0, 0);
    sem_init(&finished, 0, 0);
    for (size_t i = 0; i < 1 + WAITING_MAX; i++) {
        jobs[i] = (struct held_job){.site = site, .go = &go, .done = &finished, .order = &order};
        loop_call(site->loop, submit, &jobs[i]);
        assert_int_equal(jobs[i].submitted, ERROR_NONE);
    }
    frontend_statistics(site->frontend, &statistics);
    assert_int_equal(statistics.queries_running, 1);
    assert_int_equal(statistics.queries_waiting, WAITING_MAX);
    for (size_t i = 0; i < 1 + WAITING_MAX; i++) {
        sem_post(&go);
        sem_wait(&finished);
    }
    for (size_t i = 0; i < 1 + WAITING_MAX; i++)
        assert_int_equal(jobs[i].finished_as, i + 1);
    frontend_statistics(site->frontend, &statistics);
    assert_int_equal(statistics.queries_running, 0);
    assert_int_equal(statistics.queries_waiting, 0);
    assert_int_equal(statistics.queries_total, 1 + WAITING_MAX);
    assert_int_equal(statistics.queries_refused_total, 0);
}

/* --- Short jobs ------------------------------------------------------------------------------- */

struct short_job {
    struct frontend_job job; /* first */
    struct site *site;
    bool reads_disk;
    bool ran_on_loop;
    sem_t done;
};

static void run_short(struct frontend_job *job)
{
    struct short_job *self = (struct short_job *)job;
    self->ran_on_loop = scheduler_on_loop(loop_scheduler(self->site->loop));
    assert_int_equal(no_wait_applies(), self->ran_on_loop);
    if (self->reads_disk && no_wait_applies())
        error_set(&job->error, ERROR_WOULD_WAIT, "not in memory");
}

static void done_short(struct frontend_job *job)
{
    assert_false(no_wait_applies());
    sem_post(&((struct short_job *)job)->done);
}

static void submit_short(void *argument)
{
    struct short_job *self = argument;
    struct error error;
    self->job.run = run_short;
    self->job.done = done_short;
    assert_int_equal(
        frontend_submit(self->site->frontend, loop_scheduler(self->site->loop), &self->job, &error),
        ERROR_NONE);
}

static struct short_job ask(struct site *site, struct frontend_subject subject, bool is_repeatable,
                            bool reads_disk)
{
    struct short_job self = {.site = site, .reads_disk = reads_disk};
    self.job.subject = subject;
    self.job.is_repeatable = is_repeatable;
    sem_init(&self.done, 0, 0);
    loop_call(site->loop, submit_short, &self);
    sem_wait(&self.done);
    sem_destroy(&self.done);
    return self;
}

/* A busy machine may make any run long; one in many is not. */
static bool runs_on_loop_soon(struct site *site, struct frontend_subject subject)
{
    for (int i = 0; i < 1000; i++)
        if (ask(site, subject, true, false).ran_on_loop)
            return true;
    return false;
}

static void what_was_short_runs_on_the_loop(void **state)
{
    struct site *site = *state;
    struct frontend_subject subject = {
        .kind = "query", .text = TEXT("up"), .start_ms = 100, .end_ms = 200, .step_ms = 10};
    struct frontend_subject later = subject;
    later.start_ms += 5000;
    later.end_ms += 5000;
    struct frontend_subject other = subject;
    other.text = TEXT("down");
    assert_false(ask(site, subject, true, false).ran_on_loop); /* nothing is known of it */
    assert_true(runs_on_loop_soon(site, later));
    assert_false(ask(site, other, true, false).ran_on_loop);
    assert_false(ask(site, subject, false, false).ran_on_loop);
    struct frontend_statistics statistics;
    frontend_statistics(site->frontend, &statistics);
    assert_int_equal(statistics.queries_running, 0);
    assert_true(statistics.queries_on_loops_total >= 1);
}

static void what_has_to_wait_is_left_to_workers_for_a_while(void **state)
{
    struct site *site = *state;
    struct frontend_subject subject = {.kind = "query", .text = TEXT("up")};
    assert_true(runs_on_loop_soon(site, subject));
    struct frontend_statistics before, after;
    frontend_statistics(site->frontend, &before);
    struct short_job given_up = {0};
    for (int i = 0; i < 1000 && !given_up.ran_on_loop; i++)
        given_up = ask(site, subject, true, true);
    assert_int_equal(given_up.job.error.code, ERROR_WOULD_WAIT);
    struct short_job again = ask(site, subject, false, true);
    assert_false(again.ran_on_loop);
    assert_int_equal(again.job.error.code, ERROR_NONE);
    for (int i = 0; i < 10; i++)
        assert_false(ask(site, subject, true, false).ran_on_loop);
    assert_true(runs_on_loop_soon(site, subject));
    frontend_statistics(site->frontend, &after);
    for (size_t i = 0; i < FRONTEND_FAILURES; i++)
        assert_int_equal(after.failed_total[i], before.failed_total[i]);
}

/* --- Tenants ---------------------------------------------------------------------------------- */

static void tenants_take_turns(void **state)
{
    struct site *site = *state;
    static const char *const TENANTS[] = {"a", "a", "a", "b"};
    static const size_t FINISHED_AS[] = {1, 2, 4, 3};
    struct held_job jobs[4];
    size_t order = 0;
    sem_t go, finished;
    sem_init(&go, 0, 0);
    sem_init(&finished, 0, 0);
    for (size_t i = 0; i < 4; i++) {
        jobs[i] = (struct held_job){.site = site, .go = &go, .done = &finished, .order = &order};
        jobs[i].tenant = TENANTS[i];
        loop_call(site->loop, submit, &jobs[i]);
        assert_int_equal(jobs[i].submitted, ERROR_NONE);
    }
    for (size_t i = 0; i < 4; i++) {
        sem_post(&go);
        sem_wait(&finished);
    }
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(jobs[i].finished_as, FINISHED_AS[i]);
    sem_destroy(&go);
    sem_destroy(&finished);
}

/* Of WAITING_MAX places, and a quarter more for those who have none. */
static void a_tenant_has_its_share_of_the_places(void **state)
{
    struct frontend_job jobs[24] = {0};
    struct waiting waiting = {0};
    struct error error;
    enum { PLACES = 8 };
    (void)state;
    size_t used = 0;
    for (size_t i = 0; i < PLACES; i++) {
        jobs[used].subject.tenant = TEXT("many");
        assert_int_equal(waiting_add(&waiting, &jobs[used++], PLACES, &error), ERROR_NONE);
    }
    jobs[used].subject.tenant = TEXT("many");
    assert_int_equal(waiting_add(&waiting, &jobs[used], PLACES, &error), ERROR_UNAVAILABLE);

    /* Two others come, each finds a place, and no second one. */
    jobs[used].subject.tenant = TEXT("few");
    assert_int_equal(waiting_add(&waiting, &jobs[used++], PLACES, &error), ERROR_NONE);
    jobs[used].subject.tenant = TEXT("none");
    assert_int_equal(waiting_add(&waiting, &jobs[used++], PLACES, &error), ERROR_NONE);
    jobs[used].subject.tenant = TEXT("late");
    assert_int_equal(waiting_add(&waiting, &jobs[used], PLACES, &error), ERROR_UNAVAILABLE);
    jobs[used].subject.tenant = TEXT("few");
    assert_int_equal(waiting_add(&waiting, &jobs[used], PLACES, &error), ERROR_UNAVAILABLE);

    /* Places that become free are not for who has more than a third of them. */
    assert_ptr_equal(waiting_take(&waiting), &jobs[0]);
    assert_ptr_equal(waiting_take(&waiting), &jobs[PLACES]);
    assert_ptr_equal(waiting_take(&waiting), &jobs[PLACES + 1]);
    assert_ptr_equal(waiting_take(&waiting), &jobs[1]);
    assert_int_equal(waiting.tenant_count, 1);
    jobs[used].subject.tenant = TEXT("few");
    assert_int_equal(waiting_add(&waiting, &jobs[used++], PLACES, &error), ERROR_NONE);
    jobs[used].subject.tenant = TEXT("many");
    assert_int_equal(waiting_add(&waiting, &jobs[used], PLACES, &error), ERROR_UNAVAILABLE);
    jobs[used].subject.tenant = TEXT("few");
    assert_int_equal(waiting_add(&waiting, &jobs[used], PLACES, &error), ERROR_NONE);
    while (waiting_take(&waiting) != NULL)
        continue;
    assert_int_equal(waiting.count, 0);
    assert_null(waiting.first);
}

/* --- Jobs under way --------------------------------------------------------------------------- */

struct seen {
    size_t count;
    size_t running;
    uint64_t ids[8];
};

static void see(void *context, const struct frontend_active *active)
{
    struct seen *seen = context;
    seen->running += active->is_running;
    seen->ids[seen->count++] = active->id;
}

static void jobs_under_way_are_seen_and_can_be_killed(void **state)
{
    struct site *site = *state;
    struct held_job jobs[3];
    struct frontend_statistics statistics;
    size_t order = 0;
    sem_t go, finished;
    sem_init(&go, 0, 0);
    sem_init(&finished, 0, 0);
    for (size_t i = 0; i < 3; i++) {
        jobs[i] = (struct held_job){.site = site, .go = &go, .done = &finished, .order = &order};
        jobs[i].tenant = i == 2 ? "other" : "own";
        loop_call(site->loop, submit, &jobs[i]);
    }
    struct seen seen = {0};
    frontend_visit_active(site->frontend, see, &seen);
    assert_int_equal(seen.count, 3);

    /* Another tenant's, and what is not there, stays. */
    struct text own = TEXT("own");
    assert_false(frontend_kill(site->frontend, seen.ids[2], &own));
    assert_false(frontend_kill(site->frontend, seen.ids[2] + 1, NULL));

    /* The one that waits ends at once, the one that runs when it looks. */
    assert_true(frontend_kill(site->frontend, seen.ids[1], &own));
    sem_wait(&finished);
    assert_int_equal(jobs[1].finished_as, 1);
    assert_int_equal(jobs[1].job.error.code, ERROR_CANCELED);
    assert_true(strcmp(jobs[1].job.error.message, "query was killed") == 0);
    assert_true(frontend_kill(site->frontend, seen.ids[0], NULL));
    assert_true(atomic_load(&jobs[0].job.canceled));
    frontend_statistics(site->frontend, &statistics);
    assert_int_equal(statistics.queries_killed_total, 2);
    for (size_t i = 0; i < 2; i++) {
        sem_post(&go);
        sem_wait(&finished);
    }
    seen = (struct seen){0};
    frontend_visit_active(site->frontend, see, &seen);
    assert_int_equal(seen.count, 0);
    sem_destroy(&go);
    sem_destroy(&finished);
}

static void too_many_waiting_jobs_are_refused_and_the_others_are_not_harmed(void **state)
{
    struct site *site = *state;
    struct held_job jobs[1 + WAITING_MAX] = {0}, refused;
    struct frontend_statistics statistics;
    size_t order = 0;
    sem_t go, finished;
    sem_init(&go, 0, 0);
    sem_init(&finished, 0, 0);
    for (size_t i = 0; i < 1 + WAITING_MAX; i++) {
        jobs[i] = (struct held_job){.site = site, .go = &go, .done = &finished, .order = &order};
        loop_call(site->loop, submit, &jobs[i]);
    }
    refused = (struct held_job){.site = site, .go = &go, .done = &finished, .order = &order};
    loop_call(site->loop, submit, &refused);
    assert_int_equal(refused.submitted, ERROR_UNAVAILABLE);
    frontend_statistics(site->frontend, &statistics);
    assert_int_equal(statistics.queries_refused_total, 1);
    for (size_t i = 0; i < 1 + WAITING_MAX; i++) {
        sem_post(&go);
        sem_wait(&finished);
    }
    assert_int_equal(order, 1 + WAITING_MAX);
    /* There is room again. */
    refused = (struct held_job){.site = site, .go = &go, .done = &finished, .order = &order};
    loop_call(site->loop, submit, &refused);
    assert_int_equal(refused.submitted, ERROR_NONE);
    sem_post(&go);
    sem_wait(&finished);
}

/* --- Memory ----------------------------------------------------------------------------------- */

static void all_queries_share_one_budget_of_memory(void **state)
{
    struct site *site = *state;
    struct arena *first = arena_create_charged(frontend_memory(site->frontend));
    struct arena *second = arena_create_charged(frontend_memory(site->frontend));
    struct frontend_statistics statistics;
    assert_non_null(arena_allocate(first, MEMORY_MAX_BYTES * 3 / 4));
    assert_null(arena_allocate(second, MEMORY_MAX_BYTES / 2));
    frontend_statistics(site->frontend, &statistics);
    assert_true(statistics.memory_bytes >= MEMORY_MAX_BYTES * 3 / 4);
    assert_true(statistics.memory_bytes <= MEMORY_MAX_BYTES);
    arena_destroy(first);
    assert_non_null(arena_allocate(second, MEMORY_MAX_BYTES / 2));
    arena_destroy(second);
    frontend_statistics(site->frontend, &statistics);
    assert_int_equal(statistics.memory_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_short_runs_on_the_loop, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_has_to_wait_is_left_to_workers_for_a_while, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(jobs_wait_for_their_turn_and_run_in_order, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            too_many_waiting_jobs_are_refused_and_the_others_are_not_harmed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_job_ends_where_it_waits_when_its_deadline_passes, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_job_ends_where_it_waits_when_nobody_wants_it, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(tenants_take_turns, set_up, tear_down),
        cmocka_unit_test(a_tenant_has_its_share_of_the_places),
        cmocka_unit_test_setup_teardown(jobs_under_way_are_seen_and_can_be_killed, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(all_queries_share_one_budget_of_memory, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
