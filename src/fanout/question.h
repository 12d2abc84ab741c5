/*
 * question - what one node asks another about some shards.
 *
 * Bytes: docs/protocols/select.md.
 */
#ifndef FANOUT_QUESTION_H
#define FANOUT_QUESTION_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"
#include "fanout/fanout.h"
#include "model/matcher.h"

/* Kinds of requests of the transport. */
enum question_kind {
    QUESTION_SELECT = 20,
    QUESTION_LABEL_NAMES = 21,
    QUESTION_LABEL_VALUES = 22,
    QUESTION_EXEMPLARS = 23,
    QUESTION_METADATA = 24,
    QUESTION_PARTIAL = 25, /* one answer for all shards together */
};
enum { QUESTION_KIND_FIRST = QUESTION_SELECT, QUESTION_KIND_LAST = QUESTION_PARTIAL };

/* Version 2 where a shard was split: earlier programs know only shards that were not. */
enum { QUESTION_VERSION_WHOLE = 1, QUESTION_VERSION = 2, QUESTION_MATCHERS_MAX = 1000 };

struct question_shard {
    uint32_t shard_id;
    uint64_t least_index; /* of the log: what is read has it */
    uint32_t splits;      /* so often was it split, as far as the asker knows */
};

struct question {
    enum question_kind kind; /* not part of the bytes */
    enum fanout_read read;
    bool wants_windows; /* SELECT, PARTIAL: the versions of what is read; only of nodes that know
                           STATE_VERSION_WINDOWS */
    const struct question_shard *shards; /* [shard_count], by id */
    size_t shard_count;

    struct text partial; /* PARTIAL: the bytes of a sub-query, and nothing of what follows */

    struct text tenant;
    struct text name; /* LABEL_VALUES: of the label; METADATA: of the metric, or empty */
    const struct matcher *const *matchers; /* [matcher_count]; all but METADATA */
    size_t matcher_count;
    int64_t start_ms;
    int64_t end_ms;
    enum series_need need; /* SELECT */
    uint64_t series_limit; /* SELECT; 0: none */
};

void fanout_question_encode(const struct question *question, struct byte_buffer *buffer);

/*
 * Texts point into `bytes`, arrays are in the arena, matchers on the heap. On success, and only
 * then, fanout_question_clear follows. Errors: CORRUPT, INVALID (a matcher's expression), LIMIT,
 * UNSUPPORTED (version, need, read), OUT_OF_MEMORY.
 */
enum error_code fanout_question_decode(const uint8_t *bytes, size_t size, enum question_kind kind,
                                       struct arena *arena, struct question *question_out,
                                       struct error *error);

/* Destroys the matchers of a decoded question. */
void fanout_question_clear(struct question *question);

#endif
