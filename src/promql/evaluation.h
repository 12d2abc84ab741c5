/*
 * evaluation - what the operators of one running query share: lanes, memory, limits, annotations,
 * and streams, the form in which vectors flow from operator to operator.
 *
 * A stream is a set of series whose labels are known and whose values are computed when they are
 * read, one series for all steps at once. Building a stream runs on the query's thread; reading
 * runs in lanes, threads that share the work, in any order. Operators that need everything first
 * (aggregations, topk) read their input while they are built and yield a stored stream.
 */
#ifndef PROMQL_EVALUATION_H
#define PROMQL_EVALUATION_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/memory_budget.h"
#include "number_text.h"
#include "platform/parallel_sort.h"
#include "promql/engine.h"
#include "step_vector.h"

/* --- Annotations ----------------------------------------------------------------------------- */

/* What was done to classic buckets whose counts fell. */
struct forced_monotonicity {
    double bucket_min; /* the lowest and highest bounds of buckets that were raised */
    double bucket_max;
    double difference_max;
    int64_t timestamp_ms;
};

struct forced_entry {
    struct text message; /* of the annotation, without what follows */
    struct text_range position;
    struct forced_monotonicity sum;
    int64_t timestamp_min_ms;
    uint64_t count;
};

struct annotations {
    pthread_mutex_t lock;
    struct forced_entry *forced; /* [forced_count], become entries at the end */
    size_t forced_count;
    struct arena *arena; /* NULL until the first */
    struct promql_annotation *entries;
    size_t count;
    size_t capacity;
};

/* --- Lanes ----------------------------------------------------------------------------------- */

/*
 * Samples as Prometheus counts them for statistics: all that the steps look at, and of these what
 * was not looked at by the step before.
 */
struct sample_count {
    uint64_t queried;
    uint64_t read;
};

/* One thread's part of the query; used by one thread at a time. */
struct lane {
    size_t index;
    struct sample_count counted; /* of the samples that the lane has looked at */
    /* [steps of the query], what of it which step looked at; NULL: nobody wants to know. */
    struct sample_count *step_counts;
    struct arena *memory;  /* buffers of operators, as long as the query */
    struct arena *scratch; /* forgotten before each series read by a driver */
    char apart[64];        /* lanes do not write to the same cache line */
};

/* --- The query ------------------------------------------------------------------------------- */

/* A native histogram counts as the samples that would take as much of Prometheus' memory. */
static inline uint64_t histogram_sample_count(const struct histogram *histogram)
{
    enum { STRUCT_BYTES = 168, TIME_BYTES = 8, PART_BYTES = 8, SAMPLE_BYTES = 16 };
    uint64_t parts = (uint64_t)histogram->positive_span_count + histogram->negative_span_count +
                     histogram->positive_bucket_count + histogram->negative_bucket_count +
                     histogram->custom_bound_count;
    return (STRUCT_BYTES + TIME_BYTES + parts * PART_BYTES) / SAMPLE_BYTES;
}

struct selection;
struct distributed;

#define SHIFT_TO_FIRST INT64_MIN

struct evaluation {
    struct promql_execution_options options;
    struct promql_query query;
    struct memory_budget memory; /* of the query, shared by its arenas */
    struct arena *arena;         /* plan and result; the query's thread only */
    struct lane *lanes;          /* [lane_count] */
    size_t lane_count;
    struct annotations annotations;
    struct stream *open_streams; /* the latest first */
    struct selection *open_selections;
    pthread_mutex_t failure_lock;
    struct error failure; /* of a lane that could not fail at once; written once, before */
    atomic_int failed;    /* its code */
    struct duration_environment duration_environment;
    int64_t query_start_ms; /* for @ start() and end() */
    int64_t query_end_ms;
    bool delayed_names; /* names are dropped at the end (experimental) */
    /* While streams are made: how often what they read counts as queried, as Prometheus counts. 0
     * within a subquery, whose points count when they are read; the number of steps where one step
     * stands for all. */
    uint64_t sample_weight;
    /* While streams are made: how much later than a step of theirs the steps of the query are that
     * look at it; SHIFT_TO_FIRST: the first one does. */
    int64_t step_shift_ms;
    /* Where the text begins in the query that it is a part of, both from 1. */
    uint32_t text_line;
    uint32_t text_column;
    struct distributed *distributed; /* sub-expressions under way elsewhere */
    /* Some series selected have labels that go with the metric's name, which all of them share. */
    bool has_type_or_unit;
    uint64_t samples_held_elsewhere;
    _Atomic uint64_t samples_held;
    _Atomic uint64_t samples_held_max;
    uint64_t series_selected;
    uint64_t select_ns;
};

/* Check, parse and prepare; close `evaluation`, which was zero, whatever is answered. Errors:
 * INVALID, LIMIT, OUT_OF_MEMORY. */
enum error_code evaluation_open(struct evaluation *evaluation,
                                const struct promql_execution_options *options,
                                struct error *error);
void evaluation_close(struct evaluation *evaluation);

/* What was counted in all lanes; times aside. */
void evaluation_statistics(struct evaluation *evaluation, struct promql_statistics *statistics);

/* CANCELED, TIMEOUT, what evaluation_fail was told, or nothing. Cheap enough for each hundred
 * series. */
enum error_code evaluation_check(struct evaluation *evaluation, struct error *error);

/* LIMIT when the budget was reached, else OUT_OF_MEMORY: for a failed allocation. */
enum error_code evaluation_out_of_memory(struct evaluation *evaluation, struct error *error);

/* The query fails with this error at its next check, where it cannot fail at once. The first one
 * counts. Any lane. */
void evaluation_fail(struct evaluation *evaluation, const struct error *error);

/*
 * Read the labels of all series that are selected and not closed, by all lanes: for operators that
 * ask for identities in an order of their own. The query's thread.
 */
enum error_code evaluation_load_labels(struct evaluation *evaluation, struct error *error);

/* Samples that stay in memory from now on. LIMIT beyond the limit. Any lane. */
enum error_code evaluation_hold_samples(struct evaluation *evaluation, uint64_t count,
                                        struct error *error);
void evaluation_release_samples(struct evaluation *evaluation, uint64_t count);

/* Samples that are there beside those, but only until the next series. LIMIT, as above. */
enum error_code evaluation_look_at_samples(struct evaluation *evaluation, uint64_t count,
                                           struct error *error);

/* An arena charged to the query; NULL when memory is out. Destroy it before the query ends. */
struct arena *evaluation_arena_create(struct evaluation *evaluation);

/*
 * Add an annotation, "PromQL warning: " or "PromQL info: " and the message, with the position of
 * its expression; the same text is kept once. Any lane.
 */
void evaluation_annotate(struct evaluation *evaluation, enum promql_annotation_kind kind,
                         struct text_range position, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Where a position is in the query, of which the text may be a part; one that says nothing is the
 * beginning. */
struct text_place {
    uint32_t line; /* both from 1 */
    uint32_t column;
};
struct text_place evaluation_place(const struct evaluation *evaluation, struct text_range position);

/* The same with a text that has it all. */
void evaluation_annotate_text(struct evaluation *evaluation, enum promql_annotation_kind kind,
                              struct text message);

/* Turn what was gathered by evaluation_annotate_forced into annotations. */
void evaluation_annotate_finish(struct evaluation *evaluation);

/* "quantile value should be between 0 and 1, got 1.5". */
void evaluation_annotate_quantile(struct evaluation *evaluation, double quantile,
                                  struct text_range position);

/* "input to histogram_quantile needed to be fixed for monotonicity ..."; annotations of the same
 * metric (its name quoted; empty: none) become one that counts them. */
void evaluation_annotate_forced(struct evaluation *evaluation, struct text_range position,
                                struct text quoted_name, const struct forced_monotonicity *forced);

/* A native histogram as Prometheus prints it, {count:3, sum:4.5, (1,2]:3}; in the arena. */
struct text histogram_text(const struct histogram *histogram, struct arena *arena);

/* `value` as Prometheus quotes it ("%q"), in the arena. */
struct text text_quote(struct arena *arena, struct text value);

/* Where the parts of a stream are read: a few series are read before another thread wakes up. */
enum part_lanes { PARTS_IN_ONE_LANE, PARTS_IN_ALL_LANES };

/*
 * A fixed division of a stream: it depends on the number of series and steps, never on threads, so
 * that results are the same on every machine.
 */
struct partition {
    size_t size;
    size_t count;
    enum part_lanes lanes;
};

/*
 * Run body(context, lane, part) for every part. Of several errors that of the lowest part is
 * answered, whatever the number of threads.
 */
typedef enum error_code part_body(void *context, struct lane *lane, size_t part,
                                  struct error *error);
enum error_code evaluation_run_parts(struct evaluation *evaluation, struct partition partition,
                                     part_body *body, void *context, struct error *error);

/* Sort in place, by all lanes when there are many; `compare` as qsort_r's, from several threads at
 * once. Equal items may change places. Errors: as evaluation_check. */
enum error_code evaluation_sort(struct evaluation *evaluation, void *items, size_t count,
                                size_t item_bytes, item_compare *compare, void *context,
                                struct error *error);

/* --- Streams --------------------------------------------------------------------------------- */

/* Who a series is. With delayed names a name that is to be dropped stays until the end. */
struct series_identity {
    struct labels labels;
    bool drops_name;
};

struct stream;

struct stream_operations {
    struct series_identity (*identity)(struct stream *self, struct lane *lane, size_t index,
                                       struct arena *arena);
    enum error_code (*read)(struct stream *self, struct lane *lane, size_t index,
                            struct step_vector *vector_out, struct error *error);
    void (*close)(struct stream *self);
};

struct stream {
    const struct stream_operations *operations;
    struct evaluation *evaluation;
    struct step_range steps;
    size_t count;   /* of series; some may turn out to have no value */
    bool is_stored; /* reading costs nothing */
    /* No two series have equal labels once metadata labels (the name) are gone. */
    bool is_unique_without_name;
    uint64_t sample_weight; /* as the next, see struct evaluation */
    int64_t step_shift_ms;
    void **lane_states; /* [lane_count], NULL until a lane first reads; the operator's own */
    struct stream *next_open;
};

/* How many steps the query has. */
static inline size_t evaluation_step_count(const struct evaluation *evaluation)
{
    const struct promql_execution_options *options = &evaluation->options;
    int64_t step_ms = options->step_ms > 0 ? options->step_ms : 1;
    return (size_t)((options->end_ms - options->start_ms) / step_ms) + 1;
}

/* Register and fill in a stream of an operator; its memory is the query's arena. */
enum error_code vector_stream_init(struct stream *stream, struct evaluation *evaluation,
                                   const struct stream_operations *operations,
                                   const struct step_range *steps, size_t count,
                                   struct error *error);

/*
 * Labels live as long as the stream or the arena, whichever ends first. Those of storage are read a
 * few ahead, so that one series after the other is cheap and any order is not, unless labels were
 * loaded. What cannot be read has no labels, and the query fails at its next check.
 */
static inline struct series_identity vector_stream_identity(struct stream *self, struct lane *lane,
                                                            size_t index, struct arena *arena)
{
    return self->operations->identity(self, lane, index, arena);
}

/*
 * The values of series `index`. What *vector_out points to must not be changed and lives until
 * the lane's next read of the same stream; histograms also only until the lane's scratch is reset.
 */
static inline enum error_code vector_stream_read(struct stream *self, struct lane *lane,
                                                 size_t index, struct step_vector *vector_out,
                                                 struct error *error)
{
    return self->operations->read(self, lane, index, vector_out, error);
}

/* Closes its inputs too. NULL is fine. The query's thread only. */
void vector_stream_close(struct stream *stream);

/* Every stream that is still open. */
void evaluation_close_streams(struct evaluation *evaluation);

/* Samples of storage or of a subquery were looked at. */
static inline void vector_stream_count_samples(struct stream *stream, struct lane *lane,
                                               struct sample_count count)
{
    lane->counted.queried += count.queried * stream->sample_weight;
    lane->counted.read += count.read;
}

/* What of it a step of the stream has looked at; only where lane->step_counts is there. */
void vector_stream_count_step(const struct stream *stream, struct lane *lane, size_t step,
                              struct sample_count count);

/* The lane's state of the operator, zeroed `size_bytes` at first; NULL when memory is out. */
void *vector_stream_lane_state(struct stream *stream, struct lane *lane, size_t size_bytes);

struct partition vector_stream_partition(const struct stream *stream);

/* Read every series of one part; resets the lane's scratch before each. */
typedef enum error_code series_visit(void *context, struct lane *lane, size_t index,
                                     const struct step_vector *vector, struct error *error);
enum error_code vector_stream_visit_part(struct stream *stream, struct lane *lane,
                                         struct partition partition, size_t part,
                                         series_visit *visit, void *context, struct error *error);

/* --- Names ----------------------------------------------------------------------------------- */

/* Without the metadata labels __name__, __type__ and __unit__, in the arena. */
struct labels labels_without_name(struct arena *arena, struct labels labels);

/* The identity of a series whose name an operator drops: at once or, with delayed names, later. */
struct series_identity identity_drop_name(const struct evaluation *evaluation,
                                          struct series_identity identity, struct arena *arena);

/* --- Operators ------------------------------------------------------------------------------- */

/* The stream of an instant vector expression. Whole sub-expressions that are the same at each step
 * are evaluated once. */
enum error_code evaluate_vector(struct evaluation *evaluation, const struct expression *expression,
                                const struct step_range *steps, struct stream **stream_out,
                                struct error *error);

/* A scalar expression: [steps->count] values in the query's arena. */
enum error_code evaluate_scalar(struct evaluation *evaluation, const struct expression *expression,
                                const struct step_range *steps, const double **values_out,
                                struct error *error);

/* Series with equal labels become one, as long as no two have a value at the same step. */
enum error_code vector_stream_merge_equal_labels(struct stream *input, struct stream **stream_out,
                                                 struct error *error);

/*
 * The same values under other names: all names dropped (by a function: at once or, with delayed
 * names, marked), or those that are marked (at the end of the query).
 */
enum names_drop { NAMES_DROP_ALL, NAMES_DROP_MARKED };
enum error_code vector_stream_drop_names(struct stream *input, enum names_drop which,
                                         struct stream **stream_out, struct error *error);

#endif
