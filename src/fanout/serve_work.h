/*
 * serve_work - an answer to a question of another node, made piece by piece by workers.
 *
 * One worker at a time; nothing is held while the asker is slow but the shard that is being sent.
 */
#ifndef FANOUT_SERVE_WORK_H
#define FANOUT_SERVE_WORK_H

#include "base/shared_bytes.h"
#include "fanout_private.h"
#include "question.h"

struct serve_work;

struct serve_work_options {
    struct fanout *fanout;
    enum question_kind kind;
    const uint8_t *bytes; /* [size], of the question; as long as the work */
    size_t size;
    const atomic_bool *canceled;
    uint64_t deadline_ns;
};

/* Decode the question. Errors: those of fanout_question_decode. */
enum error_code serve_work_create(const struct serve_work_options *options,
                                  struct serve_work **work_out, struct error *error);

/* The replicas that must confirm that they lead before the first piece: *count_out of them. */
struct serve_confirm {
    struct fanout_confirm confirm; /* `done` is the caller's */
    void *context;                 /* the caller's */
    struct fanout_replica replica;
    bool is_held;
    bool is_confirmed;
};
struct serve_confirm *serve_work_confirms(struct serve_work *work, size_t *count_out);

/*
 * The next piece; *finished_out: it is the last one. Errors: those of the shards' sources,
 * OUT_OF_MEMORY.
 */
enum error_code serve_work_next(struct serve_work *work, struct shared_bytes **piece_out,
                                bool *finished_out, struct error *error);

/* Takes pieces of whole frames, with the reference, also on an error. Errors: UNAVAILABLE (too much
 * waits to be sent already). */
struct serve_outlet {
    enum error_code (*put)(struct serve_outlet *self, struct shared_bytes *piece,
                           struct error *error);
};

/*
 * Instead, for a sub-query: the whole answer, in pieces, while it is computed. It never waits for
 * the asker. Errors: CORRUPT, UNSUPPORTED, and those after which another replica should be asked.
 */
enum error_code serve_work_partial(struct serve_work *work, struct serve_outlet *outlet,
                                   struct error *error);

void serve_work_destroy(struct serve_work *work); /* NULL is fine */

#endif
