/*
 * replica_private - one replica, shared by its parts:
 *
 *   replica.c  its life, what users see
 *   write.c    writes become entries, while it leads
 *   propose.c  entries that are no writes
 *   answer.c   every write and entry is answered once
 *   apply.c    committed entries into the shard
 *   fresh.c    who may read from it
 *   members.c  for who decides about them
 *   confirm.c  reads that no other leader may be newer than
 *   freeze.c   when the shard freezes
 *   machine.c  snapshots and leadership, as the group asks for them
 *   install.c  the state of another replica in the place of this one's
 *   adopt.c    the same where the log is here, but a file is damaged
 */
#ifndef REPLICA_REPLICA_PRIVATE_H
#define REPLICA_REPLICA_PRIVATE_H

#include <stddef.h>
#include <stdint.h>

#include "replica/replica.h"

enum {
    SHOW_MS = 250,
    SHOWS_PER_UPKEEP = 4,
    /* More than can be in flight. */
    REFUSED_KEPT = 8,
};

/* One entry in flight with the writes in it. */
struct batch {
    struct group_request request;
    struct replica *replica;
    struct replica_write *writes;
    struct replica_entry *entry; /* instead of writes */
    struct batch *next;
    uint64_t index; /* when committed */
};

/* A committed entry that waits to be applied. */
struct pending_entry {
    struct pending_entry *next;
    uint64_t index;
    const uint8_t *payload;
    size_t size_bytes;
};

struct write_queue {
    struct replica_write *first;
    struct replica_write **last;
};

/* adopt.c */
struct adoption {
    enum {
        ADOPTION_IDLE,
        ADOPTION_FETCHING,
        ADOPTION_PREPARING,
        ADOPTION_READY,
        ADOPTION_WRITING
    } phase;
    struct shard_state_fetch fetch;
    struct byte_buffer manifest;
    uint64_t term, leader_id; /* when it was asked */
    uint64_t due_ms, wait_ms; /* of the next attempt */
};

struct replica {
    struct state_machine state_machine; /* first */
    struct replica_options options;
    struct group *group;
    struct shard *shard;

    /* Applying. */
    struct pending_entry *entries;
    struct pending_entry **entries_last;
    struct pending_entry *spare_entries;
    uint64_t applied_index;
    bool is_stored;                 /* a snapshot of this life is durable */
    uint64_t refused[REFUSED_KEPT]; /* indexes of entries refused as a whole, the newest ones */
    size_t refused_count;
    bool stopped; /* by an error that was reported */
    struct task apply_task;
    bool apply_scheduled;
    struct timer apply_retry;
    uint64_t replay_first_index; /* of what the start applies */
    uint64_t replay_entries;
    _Atomic uint64_t replayed_entries;
    uint64_t counted_unfrozen_bytes; /* of this shard in node->unfrozen_bytes */
    uint64_t counted_series;         /* in node->series_count */

    /* The state of another replica, on its way here. */
    struct shard_install *install; /* NULL: none */
    uint64_t install_index;
    bool install_is_ready;
    struct error install_error; /* of one that could not even begin */
    struct task install_task;   /* tells that */
    bool install_task_queued;
    uint64_t offer_nodes[FILE_FETCH_NODES_MAX]; /* [offer_node_count], who had the state then */
    size_t offer_node_count;
    void (*opened)(void *context); /* of replica_open_ahead */
    void *opened_context;
    struct byte_buffer stored_state; /* that a start could not open; empty: none */
    void (*files_fetched)(void *context,
                          const struct error *error); /* NULL: none are on their way */
    void *files_fetched_context;

    struct adoption adoption;

    /* Leading. */
    bool elected; /* by the group; leads once everything delivered is applied */
    _Atomic bool ready;
    struct write_queue waiting;
    struct batch *committed; /* in order, wait to be applied */
    struct batch **committed_last;
    size_t in_flight;
    struct byte_buffer entry;
    struct task pump_task;
    bool pump_scheduled;
    size_t resolving;
    struct replica_confirm *confirmed; /* wait to be applied */

    struct timer upkeep;
    uint64_t shown_count;

    /* For readers of any thread. */
    _Atomic uint64_t shown_index;    /* applied */
    _Atomic uint64_t fresh_until_ms; /* monotonic; of a follower */
    _Atomic uint64_t leader_id;

    /* Settling and closing. */
    void (*settled)(void *context);
    void *settled_context;
    uint64_t settle_index;
    bool closing;
    bool group_gone;
    void (*closed)(void *context);
    void *closed_context;
};
static inline struct scheduler *loop_of(const struct replica *replica)
{
    return replica->options.environment->scheduler;
}

static inline struct replica *replica_of(struct state_machine *machine)
{
    return (struct replica *)machine;
}

/* answer.c */
void replica_answer(struct replica_write *write);
void replica_answer_unavailable(struct replica_write *write, const char *why);
void replica_queue_push(struct write_queue *queue, struct replica_write *write);
struct replica_write *replica_queue_pop(struct write_queue *queue);
void replica_refuse_waiting(struct replica *replica, const char *why);
void replica_entry_answer(struct replica_entry *entry, const char *failure);
/* Answer all that is in it; NULL: it is applied. Frees the batch. */
void replica_batch_finish(struct batch *batch, const char *failure);
/* Answer what is committed and applied. */
void replica_acknowledge(struct replica *replica);

/* write.c */
void replica_schedule_pump(struct replica *replica);
void replica_pump(struct task *task);
/* Of a batch that was proposed. */
void replica_batch_done(struct group_request *request, enum group_outcome outcome);

/* propose.c: a copy of `bytes`. Errors: as group_propose. */
enum error_code replica_propose_bytes(struct replica *replica, const uint8_t *bytes, size_t size,
                                      struct group_request *request, struct error *error);
/* The shard's proposer. */
bool replica_shard_asks(void *context, const uint8_t *entry, size_t size_bytes);

/* apply.c */
/* This replica can't go on: nothing is applied nor acknowledged any more. */
void replica_stop(struct replica *replica, const struct error *error);
void replica_lead_when_applied(struct replica *replica);
/* Whether what the start found is applied. */
void replica_replay_check(struct replica *replica, const struct group_status *status);
void replica_machine_apply(struct state_machine *self, const struct group_entry *entry);
void replica_apply_run(struct task *task);
void replica_apply_again(struct timer *timer);
/* What waits to be applied is void. */
void replica_drop_entries(struct replica *replica);

/* confirm.c: answer those up to whose entry all is applied; `failure`: all, with that. */
void replica_confirm_answer(struct replica *replica, const char *failure);

/* fresh.c: tell readers how new this replica is. */
void replica_show(struct replica *replica);

/* All that the start had to apply is applied, or void. */
void replica_end_replay(struct replica *replica);

/* install.c */
void replica_prepare_restore(struct state_machine *self, const struct state_machine_offer *offer);
void replica_cancel_restore(struct state_machine *self);
enum error_code replica_restore(struct state_machine *self, const uint8_t *bytes, size_t size_bytes,
                                const struct state_machine_position *position, struct error *error);
void replica_install_failed(struct task *task);
/* Of a replica that closes before it was started. */
void replica_stop_fetching(struct replica *replica);
/* What is prepared is not wanted any more. */
void replica_drop_install(struct replica *replica);
/* For struct shard_peers. */
size_t replica_nodes(void *context, uint64_t nodes_out[FILE_FETCH_NODES_MAX]);

/* adopt.c */
/* Begin, or go on. Often. */
void replica_adoption_tend(struct replica *replica);
/* The install that was prepared for it is gone, or done. */
void replica_adoption_end(struct replica *replica);
/* The replica closes. */
void replica_adoption_cancel(struct replica *replica);

/* freeze.c */
/* Keep the node's totals; freezes when too much is unfrozen. */
void replica_count_unfrozen(struct replica *replica);
void replica_upkeep(struct timer *timer);
void replica_settle_check(struct replica *replica);
/* The shard's `durable`. */
void replica_shard_durable(void *context, uint64_t frozen_index);

/* machine.c */
extern const struct state_machine_operations REPLICA_MACHINE_OPERATIONS;

/* replica.c: look-ups in files hold pieces of the shard. */
void replica_close_shard_when_idle(struct replica *replica);

#endif
