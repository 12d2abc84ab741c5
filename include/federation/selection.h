/*
 * selection - what a cluster asks another one for besides sub-queries: series with samples or their
 * labels, names and values of labels, exemplars, metadata.
 *
 * Bytes: docs/protocols/federation.md. Whoever is asked answers from its own shards alone.
 */
#ifndef FEDERATION_SELECTION_H
#define FEDERATION_SELECTION_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"
#include "model/labels.h"
#include "model/matcher.h"
#include "promql/metadata_source.h"
#include "promql/series_source.h"

/* The numbers are those of the protocol. */
enum selection_kind {
    SELECTION_SERIES = 1,
    SELECTION_LABEL_NAMES = 2,
    SELECTION_LABEL_VALUES = 3,
    SELECTION_EXEMPLARS = 4,
    SELECTION_METADATA = 5,
};

struct selection {
    enum selection_kind kind;
    struct text name;              /* of a label (values) or metric (metadata; empty: all) */
    struct labels external_labels; /* that the series have for the asker */
    int64_t start_ms;
    int64_t end_ms;
    enum series_need need;
    uint64_t series_limit;                 /* 0: none */
    uint64_t timeout_ms;                   /* what is left of the asker's time; 0: no limit */
    const struct matcher *const *matchers; /* [matcher_count] */
    size_t matcher_count;
};

/* The buffer's `failed` tells when memory is out. */
void selection_encode(const struct selection *selection, struct byte_buffer *buffer);

/*
 * Texts point into `bytes`; matchers are on the heap and the array in the arena: to be cleared.
 * Errors: CORRUPT, UNSUPPORTED, LIMIT, INVALID (a matcher), OUT_OF_MEMORY.
 */
enum error_code selection_decode(const uint8_t *bytes, size_t size, struct arena *arena,
                                 struct selection *selection_out, struct error *error);
void selection_clear(struct selection *selection);

/* --- Answers --------------------------------------------------------------------------------- */

/* Takes pieces of an answer; an error ends it. `bytes` are not kept. */
struct selection_sink {
    enum error_code (*write)(struct selection_sink *self, const uint8_t *bytes, size_t size,
                             struct error *error);
};

/* What a selection is answered from. */
struct selection_environment {
    struct series_source *source; /* without the external labels */
    struct metadata_source *metadata;
    struct text tenant;
    const atomic_bool *canceled;
    uint64_t deadline_ns; /* monotonic; 0: none */
    struct arena *arena;
};

/* Blocking. Errors: those of the sources and of the sink. */
enum error_code selection_answer(const struct selection *selection,
                                 const struct selection_environment *environment,
                                 struct selection_sink *sink, struct error *error);

/* An answer as it is read: its records, one payload after the other. */
struct selection_answer {
    struct byte_reader reader;
    bool is_truncated; /* there were more than the limit */
    bool is_damaged;   /* of metadata: some of it was lost */
};

/* The whole is checked to have its end; payloads are the caller's to decode. Errors: CORRUPT,
 * UNSUPPORTED. */
enum error_code selection_answer_open(const uint8_t *bytes, size_t size,
                                      struct selection_answer *answer_out, struct error *error);

/* False: there are no more. */
bool selection_answer_next(struct selection_answer *answer, const uint8_t **payload_out,
                           size_t *size_out);

#endif
