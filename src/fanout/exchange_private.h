/* What the parts of an exchange share. */
#ifndef FANOUT_EXCHANGE_PRIVATE_H
#define FANOUT_EXCHANGE_PRIVATE_H

#include "call.h"
#include "exchange.h"
#include "frame.h"

/* Nodes asked for a shard in one round; beyond, the round is over. */
enum { EXCHANGE_TRIED_MAX = 16 };

#define SPLITS_ANY UINT32_MAX

enum choice { CHOICE_NONE, CHOICE_HERE, CHOICE_NODE };

struct exchange_shard {
    struct exchange_answer answer;
    uint64_t least_index;
    uint32_t splits; /* as this node knows it; SPLITS_ANY: alone, there is no other */
    const struct cluster_replicas *desired; /* in the view; NULL: a node alone */
    bool is_done;
    bool is_held;
    struct fanout_replica replica;
    bool runs_here; /* `local` is to be called */
    bool tried_here;
    uint64_t tried[EXCHANGE_TRIED_MAX];
    size_t tried_count;
    size_t open_calls;           /* that may still answer for it */
    uint64_t asks_node;          /* chosen, not yet asked; 0: none */
    uint64_t retry_at_ns;        /* when a new round begins; 0: not waiting */
    enum error_code reason_code; /* why it was not answered last */
    struct text reason;
};

/* What a call has of one of its shards. */
struct call_answer {
    struct exchange_shard *shard;
    struct answer_frame *first;
    struct answer_frame **last;
    bool is_begun;
    bool is_over;  /* refused, or whole */
    bool is_whole; /* in a group, whose other shards are not yet */
    struct frame_shard_end end;
    struct told_windows windows;
};

struct exchange_call {
    struct exchange_call *next;
    struct call *call; /* NULL: over */
    uint64_t node_id;
    uint64_t progress_ns; /* when it began, or bytes of it came last */
    uint64_t checked_ns;  /* when its silence was looked at last, and let pass */
    bool is_hedged;
    struct frame_reader reader;
    struct call_answer *answers; /* [answer_count] */
    size_t answer_count;
    struct call_answer *current; /* mode SHARDS */
    struct answer_frame *first;  /* mode GROUPS */
    struct answer_frame **last;
    bool has_answered; /* with more than that it is alive */
    uint64_t began_ns;
};

struct exchange {
    struct exchange_options options;
    struct fanout *fanout;
    struct cluster_view *view; /* NULL: a node alone */
    struct exchange_shard *shards;
    struct exchange_answer *answers; /* [shard_count], when all are done */
    size_t shard_count;
    size_t done_count;
    struct exchange_call *calls;
    struct inbox *inbox; /* NULL until another node is asked */
    uint64_t node_id;    /* this node */
    uint64_t deadline_ns;
    uint64_t give_up_ns;
    uint64_t pause_ms;
    size_t salt;
    size_t *here; /* [shard_count], positions of those that are answered here together */
    struct fanout_replica *here_replicas;
};

/* --- exchange_choose.c ----------------------------------------------------------------------- */

/* Who is asked next for a shard in this round; it is noted as tried. */
enum choice exchange_choose(struct exchange *exchange, struct exchange_shard *shard,
                            uint64_t *node_id_out);

/* A node said who leads, when it could not answer itself. */
void exchange_redirected(struct exchange *exchange, const struct exchange_call *call,
                         const struct frame_shard *status);

/* --- exchange_call.c ------------------------------------------------------------------------- */

/* Ask the nodes that were chosen (asks_node), each once for all its shards. */
enum error_code exchange_ask(struct exchange *exchange, struct error *error);

/* Take what came: shards become done, or lose an open call. */
enum error_code exchange_collect(struct exchange *exchange, struct error *error);

/* A shard is answered: who else was asked for it need not go on. */
void exchange_finish_shard(struct exchange *exchange, struct exchange_shard *shard);

/* Note why a shard was not answered. */
void exchange_note_reason(struct exchange *exchange, struct exchange_shard *shard,
                          enum error_code code, const char *reason);

/* It was split more often than this node knew: all is asked anew, of the shards that there are. */
void exchange_note_splits(struct exchange *exchange, const struct exchange_shard *shard,
                          uint32_t splits);

/* Whether nobody else need be asked, since the answer would be the same. */
bool exchange_is_final(enum error_code code);

/* --- confirm.c ------------------------------------------------------------------------------- */

/* Wait until a replica of this node has confirmed that it leads. Errors: UNAVAILABLE, CANCELED,
 * TIMEOUT, OUT_OF_MEMORY. */
enum error_code exchange_confirm(struct exchange *exchange, const struct fanout_replica *replica,
                                 struct error *error);

/* Whether the asker still wants an answer. Errors: CANCELED, TIMEOUT. */
enum error_code exchange_check(const struct exchange *exchange, struct error *error);

/* For how long to wait at most, so that a cancellation is seen soon. */
uint64_t exchange_wait_ns(const struct exchange *exchange, uint64_t now_ns);

#endif
