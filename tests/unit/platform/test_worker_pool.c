#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "platform/loop.h"
#include "platform/worker_pool.h"

enum { WORKERS = 4, BACKGROUND_JOBS = 16 };

/* Jobs that stay on their worker until the gate opens. */
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int open;
    size_t inside;
    size_t inside_max;
} gate = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static struct loop *loop;
static struct worker_pool *pool;
static size_t jobs_left;

static void wait_at_gate(struct job *job)
{
    (void)job;
    pthread_mutex_lock(&gate.mutex);
    if (++gate.inside > gate.inside_max)
        gate.inside_max = gate.inside;
    while (!gate.open)
        pthread_cond_wait(&gate.changed, &gate.mutex);
    gate.inside--;
    pthread_mutex_unlock(&gate.mutex);
}

static void open_gate(struct job *job)
{
    (void)job;
    pthread_mutex_lock(&gate.mutex);
    gate.open = 1;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.mutex);
}

static void job_done(struct job *job)
{
    (void)job;
    if (--jobs_left == 0)
        loop_stop(loop);
}

static int set_up(void **state)
{
    (void)state;
    struct error error;
    struct worker_pool_options options = {.worker_count = WORKERS};
    if (worker_pool_create(&options, &pool, &error) != ERROR_NONE)
        return -1;
    gate.open = 0;
    gate.inside_max = 0;
    return loop_create(&(struct loop_options){.workers = pool}, &loop, &error) == ERROR_NONE ? 0
                                                                                             : -1;
}

static int tear_down(void **state)
{
    (void)state;
    worker_pool_destroy(pool);
    loop_destroy(loop);
    return 0;
}

static void submit(struct job *job, void (*run)(struct job *), enum job_class class)
{
    *job = (struct job){.run = run, .done = job_done, .class = class};
    jobs_left++;
    scheduler_submit(loop_scheduler(loop), job);
}

/* The job that opens the gate is last in line, behind background work that never ends before. */
static void background_work_leaves_workers_to_others(void **state)
{
    (void)state;
    struct job background[BACKGROUND_JOBS], query;
    for (size_t i = 0; i < BACKGROUND_JOBS; i++)
        submit(&background[i], wait_at_gate, JOB_BACKGROUND);
    submit(&query, open_gate, JOB_QUERY);
    loop_run(loop);
    assert_true(gate.inside_max <= WORKERS / 2);
    struct worker_pool_statistics statistics;
    worker_pool_statistics(pool, &statistics);
    assert_int_equal(statistics.worker_count, WORKERS);
    assert_int_equal(statistics.classes[JOB_BACKGROUND].waiting, 0);
    assert_true(statistics.classes[JOB_BACKGROUND].waited_ns > 0);
}

static void queries_leave_a_worker_to_storage(void **state)
{
    (void)state;
    struct job queries[BACKGROUND_JOBS], storage;
    for (size_t i = 0; i < BACKGROUND_JOBS; i++)
        submit(&queries[i], wait_at_gate, JOB_QUERY);
    submit(&storage, open_gate, JOB_STORAGE);
    loop_run(loop);
    assert_true(gate.inside_max < WORKERS);
}

/* --- parallel_run ------------------------------------------------------------------------ */

enum { PARTS = 64 };

struct sharing {
    _Atomic unsigned done_of_part[PARTS];
    _Atomic int lane_in_use[WORKERS];
};

static void mark_part(void *context, size_t part, size_t lane)
{
    struct sharing *sharing = context;
    assert_int_equal(atomic_fetch_add(&sharing->lane_in_use[lane], 1), 0);
    atomic_fetch_add(&sharing->done_of_part[part], 1);
    atomic_fetch_sub(&sharing->lane_in_use[lane], 1);
}

static void every_part_runs_once_on_a_lane_of_its_own(void **state)
{
    (void)state;
    assert_int_equal(parallel_lanes(pool), WORKERS);
    for (int round = 0; round < 200; round++) {
        struct sharing sharing = {0};
        parallel_run(pool, PARTS, mark_part, &sharing);
        for (size_t part = 0; part < PARTS; part++)
            assert_int_equal(sharing.done_of_part[part], 1);
    }
}

static void run_inside(void *context, size_t part, size_t lane)
{
    (void)part;
    (void)lane;
    struct sharing sharing = {0};
    parallel_run(pool, PARTS, mark_part, &sharing);
    for (size_t i = 0; i < PARTS; i++)
        assert_int_equal(sharing.done_of_part[i], 1);
    atomic_fetch_add((_Atomic size_t *)context, 1);
}

static void nested_regions_finish(void **state)
{
    (void)state;
    _Atomic size_t finished = 0;
    parallel_run(pool, 20, run_inside, &finished);
    assert_int_equal(finished, 20);
}

/* Two parts that wait for each other need two threads. */
static void meet(void *context, size_t part, size_t lane)
{
    (void)part;
    (void)lane;
    pthread_barrier_wait(context);
}

static void idle_workers_join(void **state)
{
    (void)state;
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, 2);
    parallel_run(pool, 2, meet, &barrier);
    pthread_barrier_destroy(&barrier);
}

static void without_a_pool_parts_run_in_order(void **state)
{
    (void)state;
    struct sharing sharing = {0};
    parallel_run(NULL, PARTS, mark_part, &sharing);
    assert_int_equal(sharing.done_of_part[PARTS - 1], 1);
    assert_int_equal(parallel_lanes(NULL), 1);
}

static void a_pool_too_small_to_be_fair_is_refused(void **state)
{
    (void)state;
    struct worker_pool *small;
    struct error error;
    struct worker_pool_options options = {.worker_count = 2};
    assert_int_equal(worker_pool_create(&options, &small, &error), ERROR_INVALID);
}

int main(void)
{
    alarm(60); /* a hang fails */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(background_work_leaves_workers_to_others, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(queries_leave_a_worker_to_storage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_part_runs_once_on_a_lane_of_its_own, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(nested_regions_finish, set_up, tear_down),
        cmocka_unit_test_setup_teardown(idle_workers_join, set_up, tear_down),
        cmocka_unit_test(without_a_pool_parts_run_in_order),
        cmocka_unit_test(a_pool_too_small_to_be_fair_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
