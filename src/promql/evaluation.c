#include "evaluation.h"

#include <assert.h>
#include <stdlib.h>

#include "platform/no_wait.h"

/* Series of one part: small enough to share among threads, large enough to merge seldom. Long ones
 * are work enough with fewer. */
enum { PART_SERIES_MIN = 16, PART_STEPS_MIN = 8192, PART_SERIES_MAX = 4096, PARTS_WANTED = 64 };

/* The work of a stream in steps; a series costs as much as so many, and a sample, of which there is
 * one in so long a time, as much as one. Below the limit, some 0.1 ms, waking other threads takes
 * longer than they save. */
enum { SERIES_STEPS = 128, SAMPLE_INTERVAL_MS = 15000, ONE_LANE_STEPS_MAX = 16384 };

enum { CHECK_EVERY_SERIES = 64 };

/* --- Memory ---------------------------------------------------------------------------------- */

struct arena *evaluation_arena_create(struct evaluation *evaluation)
{
    return arena_create_charged(&evaluation->memory.account);
}

enum error_code evaluation_out_of_memory(struct evaluation *evaluation, struct error *error)
{
    return memory_budget_error(&evaluation->memory, error);
}

/* --- Limits ---------------------------------------------------------------------------------- */

enum error_code evaluation_check(struct evaluation *evaluation, struct error *error)
{
    const struct promql_execution_options *options = &evaluation->options;
    if (options->canceled != NULL && atomic_load_explicit(options->canceled, memory_order_relaxed))
        return error_set(error, ERROR_CANCELED, "query was canceled in expression evaluation");
    uint64_t now_ns = clock_monotonic_ns(options->clock);
    if (options->deadline_ns > 0 && now_ns >= options->deadline_ns)
        return error_set(error, ERROR_TIMEOUT, "query timed out in expression evaluation");
    if (no_wait_is_over(now_ns))
        return error_set(error, ERROR_WOULD_WAIT, "query: too long for a loop");
    /* Helpers that cut labels can't tell "no memory" from "no labels"; the budget remembers. */
    if (memory_budget_is_exceeded(&evaluation->memory))
        return evaluation_out_of_memory(evaluation, error);
    enum error_code failed =
        (enum error_code)atomic_load_explicit(&evaluation->failed, memory_order_acquire);
    if (failed != ERROR_NONE)
        *error = evaluation->failure;
    return failed;
}

void evaluation_fail(struct evaluation *evaluation, const struct error *error)
{
    pthread_mutex_lock(&evaluation->failure_lock);
    if (evaluation->failure.code == ERROR_NONE) {
        evaluation->failure = *error;
        atomic_store_explicit(&evaluation->failed, (int)error->code, memory_order_release);
    }
    pthread_mutex_unlock(&evaluation->failure_lock);
}

static void peak_raise(_Atomic uint64_t *peak, uint64_t value)
{
    uint64_t seen = atomic_load_explicit(peak, memory_order_relaxed);
    while (seen < value && !atomic_compare_exchange_weak_explicit(
                               peak, &seen, value, memory_order_relaxed, memory_order_relaxed))
        continue;
}

/* So many at once. */
static enum error_code samples_check(struct evaluation *evaluation, uint64_t held,
                                     struct error *error)
{
    peak_raise(&evaluation->samples_held_max, held);
    if (held > evaluation->options.samples_max)
        return error_set(error, ERROR_LIMIT,
                         "query processing would load too many samples into memory in query "
                         "execution");
    return ERROR_NONE;
}

enum error_code evaluation_hold_samples(struct evaluation *evaluation, uint64_t count,
                                        struct error *error)
{
    return samples_check(evaluation, atomic_fetch_add(&evaluation->samples_held, count) + count,
                         error);
}

enum error_code evaluation_look_at_samples(struct evaluation *evaluation, uint64_t count,
                                           struct error *error)
{
    return samples_check(evaluation, atomic_load(&evaluation->samples_held) + count, error);
}

void evaluation_release_samples(struct evaluation *evaluation, uint64_t count)
{
    atomic_fetch_sub(&evaluation->samples_held, count);
}

/* --- Lanes ----------------------------------------------------------------------------------- */

struct parts_run {
    struct evaluation *evaluation;
    part_body *body;
    void *context;
    _Atomic size_t failed_part; /* the lowest; SIZE_MAX: none */
    pthread_mutex_t lock;
    struct error error;
};

static void part_fail(struct parts_run *run, size_t part, const struct error *error)
{
    pthread_mutex_lock(&run->lock);
    if (part < atomic_load(&run->failed_part)) {
        atomic_store(&run->failed_part, part);
        run->error = *error;
    }
    pthread_mutex_unlock(&run->lock);
}

static void part_run(void *context, size_t part, size_t lane)
{
    struct parts_run *run = context;
    assert(lane < run->evaluation->lane_count);
    /* Lower parts have all begun and run to their end, so the lowest error is always found. */
    if (atomic_load(&run->failed_part) < part)
        return;
    struct error error;
    if (run->body(run->context, &run->evaluation->lanes[lane], part, &error) != ERROR_NONE)
        part_fail(run, part, &error);
}

enum error_code evaluation_run_parts(struct evaluation *evaluation, struct partition partition,
                                     part_body *body, void *context, struct error *error)
{
    struct parts_run run = {
        .evaluation = evaluation,
        .body = body,
        .context = context,
        .failed_part = SIZE_MAX,
        .lock = PTHREAD_MUTEX_INITIALIZER,
    };
    parallel_run(partition.lanes == PARTS_IN_ONE_LANE ? NULL : evaluation->options.pool,
                 partition.count, part_run, &run);
    pthread_mutex_destroy(&run.lock);
    if (atomic_load(&run.failed_part) == SIZE_MAX)
        return evaluation_check(evaluation, error);
    *error = run.error;
    return error->code;
}

/* --- Streams --------------------------------------------------------------------------------- */

enum error_code vector_stream_init(struct stream *stream, struct evaluation *evaluation,
                                   const struct stream_operations *operations,
                                   const struct step_range *steps, size_t count,
                                   struct error *error)
{
    void **lane_states =
        arena_array(evaluation->arena, evaluation->lane_count, sizeof *lane_states);
    if (lane_states == NULL)
        return evaluation_out_of_memory(evaluation, error);
    *stream = (struct stream){
        .operations = operations,
        .evaluation = evaluation,
        .steps = *steps,
        .count = count,
        .sample_weight = evaluation->sample_weight,
        .step_shift_ms = evaluation->step_shift_ms,
        .lane_states = lane_states,
        .next_open = evaluation->open_streams,
    };
    evaluation->open_streams = stream;
    return ERROR_NONE;
}

void vector_stream_close(struct stream *stream)
{
    if (stream == NULL)
        return;
    struct stream **link = &stream->evaluation->open_streams;
    while (*link != NULL && *link != stream)
        link = &(*link)->next_open;
    if (*link == NULL)
        return; /* closed before, with its consumer */
    *link = stream->next_open;
    if (stream->operations->close != NULL)
        stream->operations->close(stream);
}

void evaluation_close_streams(struct evaluation *evaluation)
{
    while (evaluation->open_streams != NULL)
        vector_stream_close(evaluation->open_streams);
}

void *vector_stream_lane_state(struct stream *stream, struct lane *lane, size_t size_bytes)
{
    void **state = &stream->lane_states[lane->index];
    if (*state == NULL)
        *state = arena_array(lane->memory, 1, size_bytes);
    return *state;
}

/* Of one series of the stream, in steps. */
static size_t series_work(const struct step_range *steps)
{
    enum { SAMPLES_MAX = 1 << 20 };
    uint64_t range_ms = (uint64_t)steps->step_ms * (steps->count > 0 ? steps->count - 1 : 0);
    uint64_t samples = range_ms / SAMPLE_INTERVAL_MS;
    return SERIES_STEPS + steps->count + (samples < SAMPLES_MAX ? (size_t)samples : SAMPLES_MAX);
}

struct partition vector_stream_partition(const struct stream *stream)
{
    size_t work = series_work(&stream->steps);
    size_t least = PART_STEPS_MIN / work;
    if (least > PART_SERIES_MIN)
        least = PART_SERIES_MIN;
    size_t size = stream->count / PARTS_WANTED;
    if (size < least)
        size = least;
    if (size < 1)
        size = 1;
    if (size > PART_SERIES_MAX)
        size = PART_SERIES_MAX;
    return (struct partition){
        .size = size,
        .count = (stream->count + size - 1) / size,
        .lanes =
            stream->count <= ONE_LANE_STEPS_MAX / work ? PARTS_IN_ONE_LANE : PARTS_IN_ALL_LANES,
    };
}

enum error_code vector_stream_visit_part(struct stream *stream, struct lane *lane,
                                         struct partition partition, size_t part,
                                         series_visit *visit, void *context, struct error *error)
{
    size_t first = part * partition.size;
    size_t end = first + partition.size < stream->count ? first + partition.size : stream->count;
    for (size_t index = first; index < end; index++) {
        enum error_code code = ERROR_NONE;
        if ((index - first) % CHECK_EVERY_SERIES == 0)
            code = evaluation_check(stream->evaluation, error);
        if (code != ERROR_NONE)
            return code;
        arena_reset(lane->scratch);
        struct step_vector vector;
        code = vector_stream_read(stream, lane, index, &vector, error);
        if (code == ERROR_NONE)
            code = visit(context, lane, index, &vector, error);
        if (code != ERROR_NONE)
            return code;
    }
    return ERROR_NONE;
}

/* --- Names ----------------------------------------------------------------------------------- */

struct labels labels_without_name(struct arena *arena, struct labels labels)
{
    static const struct text METADATA_LABELS[] = {
        {"__name__", sizeof "__name__" - 1},
        {"__type__", sizeof "__type__" - 1},
        {"__unit__", sizeof "__unit__" - 1},
    };
    return labels_project(arena, labels, LABELS_DROP_NAMED, METADATA_LABELS,
                          sizeof METADATA_LABELS / sizeof METADATA_LABELS[0]);
}

struct series_identity identity_drop_name(const struct evaluation *evaluation,
                                          struct series_identity identity, struct arena *arena)
{
    if (evaluation->delayed_names)
        return (struct series_identity){identity.labels, .drops_name = true};
    return (struct series_identity){.labels = labels_without_name(arena, identity.labels)};
}
