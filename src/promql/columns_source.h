/*
 * columns_source - what range functions slide over: samples of series as columns, from storage
 * or from a sub-query.
 */
#ifndef PROMQL_COLUMNS_SOURCE_H
#define PROMQL_COLUMNS_SOURCE_H

#include "evaluation.h"

/* Which instants an expression with @ and offset looks at. */
struct time_view {
    bool is_pinned; /* by @: the same instant at every step */
    int64_t pinned_ms;
    int64_t offset_ms;
    int64_t range_ms; /* of the window, or the look-back */
};

/* Far from overflow whatever is added to it once. */
#define TIME_MAX_MS (INT64_MAX / 8)

static inline int64_t time_bounded(int64_t time_ms)
{
    return time_ms > TIME_MAX_MS ? TIME_MAX_MS : time_ms < -TIME_MAX_MS ? -TIME_MAX_MS : time_ms;
}

/* The newest instant of the window of a step; the window is (end - range, end]. */
static inline int64_t view_end(const struct time_view *view, const struct step_range *steps,
                               size_t step)
{
    return (view->is_pinned ? view->pinned_ms : step_time(steps, step)) - view->offset_ms;
}

/* Errors: INVALID (a duration expression). `range` NULL: `range_ms` is taken. */
enum error_code time_view_make(struct evaluation *evaluation, const struct time_shift *shift,
                               const struct duration *range, int64_t range_ms,
                               struct time_view *view_out, struct error *error);

struct columns_source;

struct columns_source_operations {
    struct series_identity (*identity)(struct columns_source *self, struct lane *lane, size_t index,
                                       struct arena *arena);
    enum error_code (*read)(struct columns_source *self, struct lane *lane, size_t index,
                            struct sample_columns *columns_out, struct error *error);
    void (*close)(struct columns_source *self);
};

struct columns_source {
    const struct columns_source_operations *operations;
    size_t count;            /* of series */
    struct text metric_name; /* of all of them; empty: they differ, or have none */
    bool is_unique_without_name;
    enum range_mode mode;
};

/* The series of a selector, with all samples that the windows of `view` need, for all `steps`. */
enum error_code columns_select(struct evaluation *evaluation, const struct selector_node *selector,
                               const struct time_view *view, enum series_need need,
                               const struct step_range *steps, struct columns_source **source_out,
                               struct error *error);

/* The points of a sub-query as samples. */
enum error_code columns_subquery(struct evaluation *evaluation,
                                 const struct subquery_node *subquery, const struct time_view *view,
                                 const struct step_range *steps, struct columns_source **source_out,
                                 struct error *error);

/* As vector_stream_identity. */
static inline struct series_identity
columns_identity(struct columns_source *self, struct lane *lane, size_t index, struct arena *arena)
{
    return self->operations->identity(self, lane, index, arena);
}

/* Columns live until the lane's next read of this source. */
static inline enum error_code columns_read(struct columns_source *self, struct lane *lane,
                                           size_t index, struct sample_columns *columns_out,
                                           struct error *error)
{
    return self->operations->read(self, lane, index, columns_out, error);
}

/* NULL is fine. */
static inline void columns_close(struct columns_source *self)
{
    if (self != NULL)
        self->operations->close(self);
}

/* An instant vector selector as a stream; what it yields of each sample. */
enum selector_value { SELECTOR_VALUE, SELECTOR_TIMESTAMP, SELECTOR_START_TIMESTAMP };
enum error_code selector_stream(struct evaluation *evaluation, const struct expression *expression,
                                enum selector_value value, const struct step_range *steps,
                                struct stream **stream_out, struct error *error);

/* The same with the modifier `smoothed`. */
enum error_code smooth_selector_stream(struct evaluation *evaluation,
                                       const struct expression *expression,
                                       const struct step_range *steps, struct stream **stream_out,
                                       struct error *error);

#endif
