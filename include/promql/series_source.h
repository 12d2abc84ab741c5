/*
 * series_source - where the PromQL engine gets series from.
 *
 * A seam between the language and the storage: promql never hears of heads,
 * blocks or shards. A source answers a selection with a set of series; the
 * samples of each are read as columns, by any number of threads at once, each
 * with a reader of its own.
 */
#ifndef PROMQL_SERIES_SOURCE_H
#define PROMQL_SERIES_SOURCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/text.h"
#include "base/text_set.h"
#include "model/columns.h"
#include "model/labels.h"
#include "model/matcher.h"
#include "model/sample.h"

/* What of a series the query touches; a source may use it to read less, never to answer less. */
enum series_need {
    SERIES_NEED_ALL,    /* every sample in the range */
    SERIES_NEED_LATEST, /* only the latest sample of the range (an instant selector, one step) */
    SERIES_NEED_LABELS, /* labels only, of series with a sample in the range */
};

struct series_request {
    struct text tenant;
    const struct matcher *const *matchers; /* [matcher_count], all must match */
    size_t matcher_count;
    int64_t start_ms; /* samples with start_ms <= timestamp <= end_ms */
    int64_t end_ms;
    enum series_need need;
    size_t series_limit; /* at most so many; 0: all. The set says whether there were more. */
    const atomic_bool *canceled; /* NULL: never; checked now and then */
    uint64_t deadline_ns;        /* monotonic, for who waits for others; 0: none */
    struct arena *arena;         /* for what lives as long as the set */
};

struct series_set;
struct series_reader;
struct series_source;

struct series_set_operations {
    enum error_code (*labels)(struct series_set *self, size_t first, size_t count,
                              struct arena *arena, struct labels *labels_out, struct error *error);
    bool (*may_have)(struct series_set *self, struct text name);
    enum error_code (*reader_open)(struct series_set *self, struct series_reader **reader_out,
                                   struct error *error);
    enum error_code (*read)(struct series_reader *reader, size_t index,
                            struct sample_columns *columns_out, struct error *error);
    void (*reader_close)(struct series_reader *reader);
    void (*close)(struct series_set *self);
};

/* The result of a selection: pinned storage and `count` series, each label set once. Series may
 * turn out to have no sample. Neighbours are cheap to read one after another, labels and samples:
 * what a set holds in memory of a series may be no more than where it is. */
struct series_set {
    const struct series_set_operations *operations;
    size_t count;
    bool truncated; /* by series_limit */
};

struct series_reader {
    struct series_set *set;
};

struct series_exemplars {
    struct labels labels;
    const struct exemplar *exemplars; /* [count], by timestamp */
    size_t count;
};

struct series_source_operations {
    enum error_code (*select)(struct series_source *self, const struct series_request *request,
                              struct series_set **set_out, struct error *error);
    enum error_code (*label_names)(struct series_source *self, const struct series_request *request,
                                   struct text_set *names, struct error *error);
    enum error_code (*label_values)(struct series_source *self,
                                    const struct series_request *request, struct text name,
                                    struct text_set *values, struct error *error);
    enum error_code (*exemplars)(struct series_source *self, const struct series_request *request,
                                 struct series_exemplars **series_out, size_t *count_out,
                                 struct error *error);
};

/* Any thread may call; blocking (workers, not loops). */
struct series_source {
    const struct series_source_operations *operations;
};

/* Errors: CANCELED, LIMIT, OUT_OF_MEMORY, UNAVAILABLE, IO, CORRUPT. */
static inline enum error_code series_source_select(struct series_source *self,
                                                   const struct series_request *request,
                                                   struct series_set **set_out, struct error *error)
{
    return self->operations->select(self, request, set_out, error);
}

/* The labels of `count` series from `first` on: labels_out[count], alive as long as the set and the
 * arena. Any thread. Many at once are cheaper than one by one. Errors: CORRUPT, IO,
 * OUT_OF_MEMORY. */
static inline enum error_code series_set_labels(struct series_set *self, size_t first, size_t count,
                                                struct arena *arena, struct labels *labels_out,
                                                struct error *error)
{
    return self->operations->labels(self, first, count, arena, labels_out, error);
}

/* False only when no series of the set has a label of this name. Any thread. */
static inline bool series_set_may_have(struct series_set *self, struct text name)
{
    return self->operations->may_have(self, name);
}

/* Several readers may be open; each is used by one thread at a time. */
static inline enum error_code
series_reader_open(struct series_set *self, struct series_reader **reader_out, struct error *error)
{
    return self->operations->reader_open(self, reader_out, error);
}

static inline enum error_code series_reader_read(struct series_reader *self, size_t index,
                                                 struct sample_columns *columns_out,
                                                 struct error *error)
{
    return self->set->operations->read(self, index, columns_out, error);
}

static inline void series_reader_close(struct series_reader *self)
{
    if (self != NULL)
        self->set->operations->reader_close(self);
}

/* After its readers. NULL is fine. */
static inline void series_set_close(struct series_set *self)
{
    if (self != NULL)
        self->operations->close(self);
}

/* Add the names of labels of the matching series with a sample in the range to a set; what it has
 * already is not looked for. */
static inline enum error_code series_source_label_names(struct series_source *self,
                                                        const struct series_request *request,
                                                        struct text_set *names, struct error *error)
{
    return self->operations->label_names(self, request, names, error);
}

/* Likewise the values of `name` among them. */
static inline enum error_code series_source_label_values(struct series_source *self,
                                                         const struct series_request *request,
                                                         struct text name, struct text_set *values,
                                                         struct error *error)
{
    return self->operations->label_values(self, request, name, values, error);
}

/* Exemplars of the matching series in the range, in the request's arena. */
static inline enum error_code series_source_exemplars(struct series_source *self,
                                                      const struct series_request *request,
                                                      struct series_exemplars **series_out,
                                                      size_t *count_out, struct error *error)
{
    return self->operations->exemplars(self, request, series_out, count_out, error);
}

#endif
