#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "platform/loop.h"
#include "platform/signals.h"
#include "platform/worker_pool.h"

static struct loop *create(struct worker_pool *workers)
{
    struct loop *loop;
    struct error error;
    struct loop_options options = {.name = "test", .workers = workers};
    assert_int_equal(loop_create(&options, &loop, &error), ERROR_NONE);
    return loop;
}

/* --- Tasks and timers -------------------------------------------------------------------- */

/* A run that writes down the order of what happened and stops when it is complete. */
struct record {
    struct loop *loop;
    char order[16];
    size_t count;
    size_t count_end;
};

struct step {
    struct task task;
    struct timer timer;
    struct record *record;
    struct step *then; /* deferred when this one runs */
    char name;
};

static void note(struct step *step)
{
    struct record *record = step->record;
    record->order[record->count++] = step->name;
    if (step->then != NULL)
        scheduler_defer(loop_scheduler(record->loop), &step->then->task);
    if (record->count == record->count_end)
        loop_stop(record->loop);
}

static void step_run(struct task *task)
{
    note((struct step *)((char *)task - offsetof(struct step, task)));
}

static void step_fire(struct timer *timer)
{
    note((struct step *)((char *)timer - offsetof(struct step, timer)));
}

static struct step step_of(struct record *record, char name, struct step *then)
{
    return (struct step){
        .task.run = step_run,
        .timer = {.fire = step_fire, .heap_index = TIMER_IDLE},
        .record = record,
        .then = then,
        .name = name,
    };
}

static void deferred_tasks_run_in_order_and_not_inside_the_call(void **state)
{
    (void)state;
    struct record record = {.loop = create(NULL), .count_end = 3};
    struct step third = step_of(&record, 'c', NULL);
    struct step first = step_of(&record, 'a', &third);
    struct step second = step_of(&record, 'b', NULL);
    scheduler_defer(loop_scheduler(record.loop), &first.task);
    scheduler_defer(loop_scheduler(record.loop), &second.task);
    assert_int_equal(record.count, 0);
    loop_run(record.loop);
    assert_string_equal(record.order, "abc");
    loop_destroy(record.loop);
}

static void timers_fire_when_due_and_not_when_stopped(void **state)
{
    (void)state;
    struct record record = {.loop = create(NULL), .count_end = 3};
    struct scheduler *scheduler = loop_scheduler(record.loop);
    struct step late = step_of(&record, 'c', NULL);
    struct step early = step_of(&record, 'a', NULL);
    struct step moved = step_of(&record, 'b', NULL);
    struct step stopped = step_of(&record, 'x', NULL);
    scheduler_timer_start(scheduler, &late.timer, 30);
    scheduler_timer_start(scheduler, &early.timer, 0);
    scheduler_timer_start(scheduler, &moved.timer, 60000);
    scheduler_timer_start(scheduler, &moved.timer, 10);
    scheduler_timer_start(scheduler, &stopped.timer, 5);
    scheduler_timer_stop(scheduler, &stopped.timer);
    uint64_t start_ms = loop_now_ms(record.loop);
    loop_run(record.loop);
    assert_string_equal(record.order, "abc");
    assert_true(loop_now_ms(record.loop) - start_ms >= 29);
    loop_destroy(record.loop);
}

/* --- Threads ----------------------------------------------------------------------------- */

enum { POSTERS = 4, POSTS = 2000 };

struct counted_task {
    struct task task;
    size_t poster;
    size_t number;
};

static struct {
    size_t next_of_poster[POSTERS];
    size_t count;
    struct loop *loop;
    struct counted_task tasks[POSTERS][POSTS];
} posts;

static void counted_run(struct task *task)
{
    struct counted_task *counted = (struct counted_task *)task;
    assert_int_equal(counted->number, posts.next_of_poster[counted->poster]);
    posts.next_of_poster[counted->poster]++;
    if (++posts.count == POSTERS * POSTS)
        loop_stop(posts.loop);
}

static void *poster_main(void *argument)
{
    struct counted_task *tasks = argument;
    for (size_t i = 0; i < POSTS; i++)
        scheduler_post(loop_scheduler(posts.loop), &tasks[i].task);
    return NULL;
}

static void posts_of_one_thread_keep_their_order(void **state)
{
    (void)state;
    posts.loop = create(NULL);
    pthread_t threads[POSTERS];
    for (size_t p = 0; p < POSTERS; p++) {
        for (size_t i = 0; i < POSTS; i++)
            posts.tasks[p][i] =
                (struct counted_task){.task.run = counted_run, .poster = p, .number = i};
        pthread_create(&threads[p], NULL, poster_main, posts.tasks[p]);
    }
    loop_run(posts.loop);
    for (size_t p = 0; p < POSTERS; p++)
        pthread_join(threads[p], NULL);
    assert_int_equal(posts.count, POSTERS * POSTS);
    struct loop_statistics statistics;
    loop_statistics(posts.loop, &statistics);
    assert_int_equal(statistics.tasks, POSTERS * POSTS);
    assert_true(statistics.turns > 0 && statistics.turn_ns_max > 0);
    loop_destroy(posts.loop);
}

struct look {
    struct loop *loop;
    int on_loop;
};

static void look_from_inside(void *argument)
{
    struct look *look = argument;
    look->on_loop = scheduler_on_loop(loop_scheduler(look->loop));
}

static void a_started_loop_takes_calls_until_it_is_joined(void **state)
{
    (void)state;
    struct look look = {.loop = create(NULL)};
    struct error error;
    assert_int_equal(loop_start(look.loop, &error), ERROR_NONE);
    loop_call(look.loop, look_from_inside, &look);
    assert_true(look.on_loop);
    assert_false(scheduler_on_loop(loop_scheduler(look.loop)));
    loop_stop(look.loop);
    loop_join(look.loop);
    assert_true(scheduler_on_loop(loop_scheduler(look.loop)));
    loop_destroy(look.loop);
}

/* --- Jobs -------------------------------------------------------------------------------- */

struct summing_job {
    struct job job;
    struct loop *loop;
    struct worker_pool *pool;
    pthread_t ran_on;
    _Atomic size_t sum;
    size_t *left;
};

static void add_part(void *context, size_t part, size_t lane)
{
    struct summing_job *summing = context;
    assert_true(lane < parallel_lanes(summing->pool));
    atomic_fetch_add(&summing->sum, part);
}

static void summing_run(struct job *job)
{
    struct summing_job *summing = (struct summing_job *)job;
    summing->ran_on = pthread_self();
    parallel_run(summing->pool, 100, add_part, summing);
}

static void summing_done(struct job *job)
{
    struct summing_job *summing = (struct summing_job *)job;
    assert_true(scheduler_on_loop(loop_scheduler(summing->loop)));
    assert_false(pthread_equal(summing->ran_on, pthread_self()));
    assert_int_equal(summing->sum, 4950);
    if (--*summing->left == 0)
        loop_stop(summing->loop);
}

static void jobs_run_on_workers_and_are_done_on_the_loop(void **state)
{
    (void)state;
    enum { JOBS = 200 };
    static struct summing_job jobs[JOBS];
    struct worker_pool *pool;
    struct error error;
    assert_int_equal(
        worker_pool_create(&(struct worker_pool_options){.worker_count = 4}, &pool, &error),
        ERROR_NONE);
    struct loop *loop = create(pool);
    size_t left = JOBS;
    for (size_t i = 0; i < JOBS; i++) {
        jobs[i] = (struct summing_job){
            .job = {.run = summing_run, .done = summing_done, .class = i % JOB_CLASSES},
            .loop = loop,
            .pool = pool,
            .left = &left,
        };
        scheduler_submit(loop_scheduler(loop), &jobs[i].job);
    }
    loop_run(loop);
    assert_int_equal(left, 0);
    worker_pool_destroy(pool);
    loop_destroy(loop);
}

/* --- Signals ----------------------------------------------------------------------------- */

struct heard {
    struct loop *loop;
    size_t reloads;
    size_t ends;
};

static void hear(void *context, enum signal_event event)
{
    struct heard *heard = context;
    if (event == SIGNAL_RELOAD) {
        heard->reloads++;
        raise(SIGTERM);
    } else {
        heard->ends++;
        loop_stop(heard->loop);
    }
}

static void the_operators_signals_reach_the_loop(void **state)
{
    (void)state;
    struct heard heard = {.loop = create(NULL)};
    struct signals *signals;
    struct error error;
    assert_int_equal(signals_open(heard.loop, hear, &heard, &signals, &error), ERROR_NONE);
    raise(SIGHUP);
    raise(SIGPIPE); /* ignored */
    loop_run(heard.loop);
    assert_int_equal(heard.reloads, 1);
    assert_int_equal(heard.ends, 1);
    signals_close(signals);
    loop_destroy(heard.loop);
}

int main(void)
{
    alarm(60); /* a hang fails */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deferred_tasks_run_in_order_and_not_inside_the_call),
        cmocka_unit_test(timers_fire_when_due_and_not_when_stopped),
        cmocka_unit_test(posts_of_one_thread_keep_their_order),
        cmocka_unit_test(a_started_loop_takes_calls_until_it_is_joined),
        cmocka_unit_test(jobs_run_on_workers_and_are_done_on_the_loop),
        cmocka_unit_test(the_operators_signals_reach_the_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
