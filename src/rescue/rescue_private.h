/*
 * rescue_private - what the files of this module share.
 *
 *   rescue.c   life
 *   service.c  what this node answers, of its own replicas
 *   call.c     a question to a node, be it this one
 *   recover.c  a group whose majority is gone
 *   verify.c   all files of all replicas
 *   found.c    what verifying found of a shard, as JSON
 *   message.c  bytes
 */
#ifndef RESCUE_RESCUE_PRIVATE_H
#define RESCUE_RESCUE_PRIVATE_H

#include <stdatomic.h>

#include "membership/cluster_board.h"
#include "membership/cluster_state.h"
#include "meta/meta.h"
#include "platform/environment.h"
#include "replica/replica.h"
#include "replica/replica_table.h"
#include "rescue/rescue.h"
#include "transport/transport.h"

#include "message.h"

struct rescue_run;

struct rescue {
    struct rescue_options options;
    uint64_t node_id; /* 0: not known yet */
    struct meta *meta;
    struct rescue_service *services; /* by `next` */
    struct rescue_call *calls;       /* by `next` */
    size_t recoveries;               /* under way */
    struct rescue_run *run;          /* of verifying, the newest; NULL: none */
    bool closing;
    void (*closed)(void *context);
    void *closed_context;
    struct task closed_task;
};

static inline struct scheduler *rescue_scheduler(const struct rescue *rescue)
{
    return rescue->options.environment->scheduler;
}

static inline uint64_t rescue_now_ms(const struct rescue *rescue)
{
    return clock_monotonic_ms(rescue->options.environment->clock);
}

/* --- rescue.c -------------------------------------------------------------------------------- */

/* When it closes and nothing is under way any more, tell. */
void rescue_check_closed(struct rescue *rescue);

/* --- service.c ------------------------------------------------------------------------------- */

/* One question that this node answers. */
struct rescue_service {
    struct rescue *rescue;
    struct rescue_service *next, **link;
    struct rescue_question question;
    struct byte_buffer answer;
    struct error error;
    /* On loop 0, not inside rescue_serve; the service is gone when it returns. */
    void (*done)(void *context, const struct byte_buffer *answer, const struct error *error);
    void *context;
    struct task task;
    struct replica *replica; /* held by the table while it is looked at */
    struct shard_scrub scrub;
};

/* NULL: no memory. */
struct rescue_service *rescue_serve(struct rescue *rescue, const struct rescue_question *question,
                                    void (*done)(void *context, const struct byte_buffer *answer,
                                                 const struct error *error),
                                    void *context);

/* Nobody waits for it any more; `done` comes all the same. */
void rescue_service_cancel(struct rescue_service *service);

/* Questions of other nodes. */
void rescue_service_receive(void *context, struct transport_answer *answer,
                            const struct transport_question *question);

/* --- call.c ---------------------------------------------------------------------------------- */

/* The caller's memory until `done`, which comes once, not inside rescue_ask. */
struct rescue_call {
    struct rescue *rescue;
    struct rescue_call *next, **link;
    uint64_t node_id;
    struct rescue_question question;
    uint64_t timeout_ms;
    void (*done)(struct rescue_call *call);
    /* The outcome: bytes of the answer, which the caller clears, or why there are none. */
    struct byte_buffer answer;
    struct error error;

    struct transport_request request;
    struct rescue_service *service; /* of this node itself */
    bool is_cancelled;
    struct task task;
};

void rescue_ask(struct rescue *rescue, struct rescue_call *call);
void rescue_call_cancel(struct rescue_call *call);

/* --- verify.c -------------------------------------------------------------------------------- */

/* It ends with what is under way. */
void rescue_run_cancel(struct rescue_run *run);
bool rescue_run_is_over(const struct rescue_run *run);
void rescue_run_destroy(struct rescue_run *run); /* NULL is fine */

/* --- found.c --------------------------------------------------------------------------------- */

/* What one node said of its replica of a shard. */
struct rescue_finding {
    uint64_t node_id;
    struct error error;            /* why there is no verdict */
    struct rescue_verdict verdict; /* its files are the caller's */
};

enum rescue_soundness { RESCUE_SOUND, RESCUE_UNSOUND };

/* Append the JSON object of a shard; what is wrong with it counts as UNSOUND. */
enum rescue_soundness rescue_found_encode(const struct cluster_state *state, uint32_t shard_id,
                                          const struct rescue_finding *findings, size_t count,
                                          struct byte_buffer *json);

/* "name":, with a comma where one belongs. */
void rescue_json_name(struct byte_buffer *json, const char *name);
void rescue_json_number(struct byte_buffer *json, const char *name, uint64_t value);
void rescue_json_text(struct byte_buffer *json, const char *name, const char *value);
/* The name of a node, or its number where nothing is known of it. */
void rescue_json_node(struct byte_buffer *json, const struct cluster_state *state,
                      uint64_t node_id);

#endif
