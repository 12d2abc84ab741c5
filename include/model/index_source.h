/*
 * index_source - which series of one index match, a seam between matchers and postings.
 *
 * Memory indexes, series segments and blocks implement the vtable: names, values and postings per
 * tenant. The evaluation of matchers over it is here, once for all of them.
 *
 * All functions may block on disk (workers, not loops) and may be called from any thread, also
 * while the index grows: a position below the count seen at the start of a call is found, a later
 * one may or may not be.
 */
#ifndef MODEL_INDEX_SOURCE_H
#define MODEL_INDEX_SOURCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/checksum.h"
#include "base/error.h"
#include "base/text.h"
#include "base/text_set.h"
#include "model/labels.h"
#include "model/matcher.h"
#include "model/position_set.h"
#include "model/positions.h"

struct index_source;

/* A list of positions not read yet; made by an index, for itself. Zero is the empty list. */
struct index_postings {
    uint32_t count; /* positions in it; an upper bound suffices */
    uint32_t kind;  /* the index's own */
    uint64_t first;
    uint64_t second;
};

/* One name, or one value with its series; the text lives during the visit, which may call the
 * index again. False stops. */
typedef bool index_name_visit(void *context, struct text name);
typedef bool index_value_visit(void *context, struct text value, struct index_postings postings);

/* Some positions of a list, ascending, alive during the visit. */
typedef void index_positions_visit(void *context, struct positions some);

/*
 * What an index must answer. An unknown tenant, name or value is an empty answer, no error.
 * Errors everywhere: CORRUPT, IO, OUT_OF_MEMORY.
 */
struct index_source_operations {
    /* All series of the tenant, in the index's memory or from `arena`. */
    enum error_code (*all)(struct index_source *self, struct text tenant, struct arena *arena,
                           struct positions *positions_out, struct error *error);

    /* Every name of a label of the tenant's series, each once, in byte order where the index is a
     * file and in any order where it is in memory. */
    enum error_code (*names)(struct index_source *self, struct text tenant, index_name_visit *visit,
                             void *context, struct error *error);

    /* Every value of `name` that starts with `prefix` (empty: all), each once, in the order as
     * for names. */
    enum error_code (*values)(struct index_source *self, struct text tenant, struct text name,
                              struct text prefix, index_value_visit *visit, void *context,
                              struct error *error);

    /* The postings of name = value; a list of count 0 when there is none. */
    enum error_code (*find)(struct index_source *self, struct text tenant, struct text name,
                            struct text value, struct index_postings *postings_out,
                            struct error *error);

    /* The positions of a list found before, in the index's memory or from `arena`. Who has lowered
     * its count gets at least so many of the lowest. */
    enum error_code (*read)(struct index_source *self, struct text tenant,
                            struct index_postings postings, struct arena *arena,
                            struct positions *positions_out, struct error *error);

    /* The same handed out some at a time, so that a long list takes no memory. */
    enum error_code (*walk)(struct index_source *self, struct text tenant,
                            struct index_postings postings, index_positions_visit *visit,
                            void *context, struct error *error);

    /* All positions are below it. */
    uint32_t (*position_end)(struct index_source *self);

    /* The canonical labels of many series, in the index's memory or from `arena`: labels_out
     * [positions.count]. Reading neighbours together is much cheaper than one by one. NOT_FOUND
     * when a position is beyond the last. */
    enum error_code (*labels)(struct index_source *self, struct positions positions,
                              struct arena *arena, struct labels *labels_out, struct error *error);

    /* What tells series apart (model/label_identity.h), of many of them:
     * identities_out[positions.count]. NULL: made of the labels. */
    enum error_code (*identities)(struct index_source *self, struct positions positions,
                                  struct hash128 *identities_out, struct error *error);

    /* Of many of them, ascending, the slot: slots_out[positions.count]. */
    enum error_code (*slots)(struct index_source *self, struct positions positions,
                             uint16_t *slots_out, struct error *error);

    /* Of all values of a label, or of all names for the empty name, when they were visited to the
     * end not long ago: a number that is another one for other texts, but for a chance of 2^-64. 0:
     * not known. NULL: never known. */
    uint64_t (*digest)(struct index_source *self, struct text tenant, struct text name);
};

/* First member of an implementation. */
struct index_source {
    const struct index_source_operations *operations;
};

static inline uint64_t index_source_digest(struct index_source *self, struct text tenant,
                                           struct text name)
{
    return self->operations->digest == NULL ? 0 : self->operations->digest(self, tenant, name);
}

/* identities_out[positions.count]; `scratch` is for labels, where they are needed. Errors:
 * NOT_FOUND, CORRUPT, IO, OUT_OF_MEMORY. */
enum error_code index_identities(struct index_source *source, struct positions positions,
                                 struct arena *scratch, struct hash128 *identities_out,
                                 struct error *error);

/* Which of the selected series count, when matchers do not say it all: by time for instance. */
struct index_filter {
    enum error_code (*keeps)(struct index_filter *self, uint32_t position, bool *keeps_out,
                             struct error *error);
};

struct index_query {
    struct text tenant;
    const struct matcher *const *matchers; /* [matcher_count], all must match; none: every series */
    size_t matcher_count;
    struct index_filter *filter; /* for names and values; NULL: all count */
    const atomic_bool *canceled; /* NULL: never */
    struct arena *arena;         /* for the answer and everything in between */
};

/*
 * Positions of the series that match, ascending; alive as long as the arena and the index.
 * A matcher that the empty value satisfies also selects series without the label, as in
 * Prometheus. Errors: CANCELED, CORRUPT, IO, OUT_OF_MEMORY.
 */
enum error_code index_select(struct index_source *source, const struct index_query *query,
                             struct positions *positions_out, struct error *error);

/* The same as a set, in little memory, of the positions below `limit`. */
enum error_code index_select_set(struct index_source *source, const struct index_query *query,
                                 uint32_t limit, struct position_set *set_out, struct error *error);

/*
 * Add the names of labels of the matching series that count to a set. The filter is asked until
 * one series of a name counts, and not for names that the set has already. Errors: as
 * index_select, and the filter's.
 */
enum error_code index_label_names(struct index_source *source, const struct index_query *query,
                                  struct text_set *names, struct error *error);

/* Likewise the values of `name` among them. */
enum error_code index_label_values(struct index_source *source, const struct index_query *query,
                                   struct text name, struct text_set *values, struct error *error);

#endif
