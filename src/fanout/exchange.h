/*
 * exchange - one question, answered for every shard of the cluster.
 *
 * For each shard a replica is chosen: here, and then the asker's function is called, or on another
 * node, and then its answer is collected. What fails, is refused or stays silent is asked
 * elsewhere; the first answer that is whole counts. Used by one thread, which waits.
 *
 *   shard:  chosen ──▶ asked ──▶ done
 *              ▲         │ failed, refused, silent
 *              └─────────┘ no candidate left: a pause, until patience is over
 */
#ifndef FANOUT_EXCHANGE_H
#define FANOUT_EXCHANGE_H

#include "base/arena.h"
#include "fanout_private.h"
#include "question.h"
#include "windows.h"

struct exchange;

/* The payload of a DATA frame. */
struct answer_frame {
    struct answer_frame *next;
    const uint8_t *bytes; /* [size] */
    size_t size;
};

/* The outcome for a shard. */
struct exchange_answer {
    uint32_t shard_id;
    bool is_local;              /* answered by `local` */
    struct answer_frame *first; /* of another node */
    bool truncated;
    bool damaged;
    uint64_t version;
    struct told_windows windows; /* of another node, if the question wants them */
    /* Position of the lowest of the shards that were answered together: the frames are there. */
    size_t group;
};

enum exchange_mode {
    EXCHANGE_SHARDS, /* each shard has an answer of its own */
    EXCHANGE_GROUPS, /* those that one replica holder was asked for have one together */
};

/* Shards answered together by replicas of this node, all held as long as the exchange. */
struct exchange_group {
    const size_t *indexes;                 /* [count], positions, rising */
    const struct fanout_replica *replicas; /* [count] */
    size_t count;
};

/* One try after the other, while shards are split: zero at first. */
struct exchange_tries {
    bool is_outdated; /* what is known of the shards is not what they are */
    unsigned count;
    uint64_t give_up_ns;
};

/* Whether to try again what ended so: soon, or at once. On a thread that may not wait the error
 * becomes WOULD_WAIT instead. */
bool exchange_again(struct fanout *fanout, struct exchange_tries *tries,
                    const atomic_bool *canceled, struct error *error);

/* Lives as long as the exchange. */
struct exchange_options {
    struct fanout *fanout;
    enum exchange_mode mode;
    struct question *question; /* its shards are filled in; `read` and `kind` are set */
    struct arena *arena;       /* for all that lives as long as the exchange */
    const atomic_bool *canceled;
    uint64_t deadline_ns; /* monotonic; 0: none but the fanout's */
    struct exchange_tries *tries;
    /* Answer for all shards that are here: for each of them, or in mode GROUPS for all together;
     * only then there are frames, which stay its own. Called again for a shard only after an error,
     * which must leave nothing of the answer behind. */
    enum error_code (*local)(void *context, const struct exchange_group *group,
                             struct answer_frame **frames_out, struct error *error);
    void *context;
};

/* Only what local calls need is done before the first of them: *count_out shards, by id.
 * Errors: UNAVAILABLE (no state of the cluster yet), OUT_OF_MEMORY. */
enum error_code exchange_create(const struct exchange_options *options,
                                struct exchange **exchange_out, size_t *count_out,
                                struct error *error);

/* Ask whoever is chosen first, without waiting. Errors: as of a run. */
enum error_code exchange_begin(struct exchange *exchange, struct error *error);

/* Until all shards have answered. Errors: UNAVAILABLE (names a shard), WOULD_WAIT, CANCELED,
 * TIMEOUT, LIMIT, OUT_OF_MEMORY, and others of sources. */
enum error_code exchange_run(struct exchange *exchange, struct error *error);

/* [count], by shard id, after a run that succeeded. */
const struct exchange_answer *exchange_answers(const struct exchange *exchange);

/* The replica that answers for the shard at a position, held as long as the exchange. It is local.
 */
const struct fanout_replica *exchange_replica(const struct exchange *exchange, size_t index);

/* Lets go of replicas; what is still asked is canceled. NULL is fine. */
void exchange_close(struct exchange *exchange);

#endif
