/*
 * group_private - what the files of this module share: a group, its host and their parts.
 */
#ifndef GROUP_GROUP_PRIVATE_H
#define GROUP_GROUP_PRIVATE_H

#include <raft.h>

#include "group/group.h"
#include "journal/journal.h"
#include "platform/environment.h"
#include "raft_filter.h"
#include "snapshot_format.h"

struct group_host {
    struct group_host_options options;
    bool journal_lost;
    struct timer tick;
    struct journal_replay *replay; /* while a group of it is replayed */
    struct group *groups;          /* by `next` */
    struct group_statistics statistics;
};

/*
 * created -> running -> closing -> gone
 *             |  ^ |
 *             v  | +--> stopped (consensus failed; `fatal` was called) -> closing
 *          reopening
 */
enum group_phase {
    GROUP_PHASE_CREATED,
    GROUP_PHASE_RUNNING,
    GROUP_PHASE_REOPENING,
    GROUP_PHASE_STOPPED,
    GROUP_PHASE_CLOSING,
};

/* Something to run from the loop, after the call that asked for it returned. */
struct group_deferred {
    struct group_deferred *next;
    void (*run)(struct group *group, struct group_deferred *deferred);
};

/* Something submitted to the journal, one of group->writes until it finishes. */
struct group_write {
    struct journal_request base;
    struct group *group;
    struct group_write *previous;
    struct group_write *next;
    /* 0, or RAFT_CANCELED when the journal is gone. Frees the write. */
    void (*finish)(struct group_write *write, int status);
};

/* A message that waits until term and vote are durable. */
struct group_outgoing {
    struct group_outgoing *next;
    uint64_t node_id;
    uint8_t *bytes;
    size_t size_bytes;
};

/* What consensus loads: handed over by load(), freed by group_stored_clear otherwise. */
struct group_stored {
    uint64_t term;
    uint64_t vote;
    struct raft_snapshot *snapshot; /* NULL: none */
    uint64_t start_index;
    struct raft_entry *entries;
    size_t entry_count;
};

struct group {
    struct group_host *host;
    struct group *next;
    uint64_t id;
    struct state_machine *machine;
    const struct journal_recovery *recovery;
    struct raft_configuration founders;
    enum group_phase phase;
    bool initialized;       /* raft_init was called, so consensus is to be closed */
    bool consensus_closing; /* to be started anew */
    bool finished;          /* consensus is closed, the group goes with its next task */

    struct error failure; /* of the state machine, during the start */

    /* Consensus and its two seams. */
    struct raft raft;
    struct raft_io io;
    struct raft_fsm fsm;
    raft_io_tick_cb on_tick;
    raft_io_recv_cb on_receive;
    raft_io_close_cb on_closed;
    struct group_stored stored;

    /* The log in the journal. */
    uint64_t stored_term;        /* written last */
    uint64_t next_index;         /* of the next append */
    struct group_write *writes;  /* in flight, of any kind */
    unsigned appends_in_flight;  /* of them */
    unsigned metadata_in_flight; /* of them: term and vote; nothing is sent meanwhile */
    bool install_in_flight;      /* of them: a snapshot of another replica */
    uint64_t bytes_since_snapshot;

    /* Messages. */
    struct raft_filter filter;
    struct group_outgoing *outbox;
    struct group_outgoing **outbox_end;
    size_t outbox_bytes;
    unsigned sends_in_flight;    /* callbacks that consensus waits for */
    struct raft_message *parked; /* an InstallSnapshot that cannot be delivered yet */

    /* Work for the loop. */
    struct task task;
    bool task_queued;
    struct group_deferred *deferred;
    struct group_deferred **deferred_end;
    struct group_request *answered;
    struct group_request **answered_end;

    /* State machine. */
    uint64_t delivered_index;        /* last entry that it was given, or that it needs not */
    struct snapshot_header snapshot; /* the last durable one; index 0: none */
    uint8_t *snapshot_bytes;         /* [snapshot_size], of raft_malloc */
    size_t snapshot_size;
    bool snapshot_wanted;

    /* Replay at the start. */
    struct journal_replay_part *replay_part; /* until its last payload is released */
    bool replaying;                          /* what is committed since is not handed over yet */
    bool replay_leaving;
    uint64_t replayed_index; /* handed out last */

    /* Leadership. */
    uint64_t leading_term;   /* term in which this replica became leader; 0: follower */
    uint64_t ready_term;     /* its barrier is applied: proposals are taken; 0: not */
    uint64_t announced_term; /* what the state machine was told last; 0: it follows */
    unsigned own_barriers;   /* of ours, not answered */
    struct group_request *transfer;
    size_t in_flight_bytes;

    void (*closed)(void *context);
    void *closed_context;
};

static inline bool group_rule_on(const struct group *group, enum filter_rule rule)
{
    return (group->host->options.unsafe_disabled_rules & (UINT32_C(1) << rule)) == 0;
}

/* --- group.c ------------------------------------------------------------------------------- */

/* After every call into consensus: leadership, arming of snapshots, a stop without a word. */
void group_after_step(struct group *group);

/* It leads, and its state machine has been given all that was there before. */
bool group_is_ready(const struct group *group);

/* Have the group's task run. */
void group_wake(struct group *group);

void group_defer(struct group *group, struct group_deferred *deferred);

/* `done` of the request will run from the loop. */
void group_answer(struct group *group, struct group_request *request, enum group_outcome outcome);

/* Consensus of the group is over; tells the host, once. */
void group_stop(struct group *group, const struct error *error);

/* Consensus is closed: answer what is left, tell the owner and free the group, from the loop. */
void group_finish_close(struct group *group);

void group_free(struct group *group);

/* Proves that everything before is committed, and makes consensus apply something. */
bool group_own_barrier(struct group *group);

/* --- raft_io.c ----------------------------------------------------------------------------- */

void group_io_init(struct group *group);

/* Make term and vote durable; no message leaves before (rule 13). */
void group_store_metadata(struct group *group, uint64_t term, uint64_t vote);

/* The journal will not finish them: end all writes of a group whose consensus was closed. */
void group_writes_cancel(struct group *group);

/* Let consensus close when nothing of the group is on its way. */
void group_io_check_closed(struct group *group);

/* --- outbox.c ------------------------------------------------------------------------------ */

/* Encode and send or hold; false when the transport has no room. */
bool outbox_send(struct group *group, const struct raft_message *message);

/* Term and vote are durable: let go what was held. */
void outbox_flush(struct group *group);
void outbox_clear(struct group *group);

/* --- machine.c ----------------------------------------------------------------------------- */

void group_machine_init(struct group *group);

/* Hand one entry to the state machine. Errors: CORRUPT. */
enum error_code group_machine_deliver(struct group *group, uint64_t index, uint64_t term,
                                      const struct raft_buffer *buffer, struct error *error);

/* Whether the state machine needs none of the payloads that it was given, nor waits for others. */
bool group_machine_is_idle(const struct group *group);

/* Bytes of a snapshot for a peer; false when there is none now. From raft_malloc. */
bool group_machine_export(struct group *group, struct raft_snapshot **snapshot_out);

/* Take over `bytes` (raft_malloc) as the durable snapshot. */
void group_machine_keep_snapshot(struct group *group, const struct snapshot_header *header,
                                 uint8_t *bytes, size_t size_bytes);

/* --- start.c ------------------------------------------------------------------------------- */

/* Collect what the journal recovered, or write the founders, into group->stored. */
enum error_code group_stored_read(struct group *group, struct error *error);

/* The same from consensus' memory, without the entries from `cut_index` on. */
void group_stored_copy(struct group *group, uint64_t cut_index);
void group_stored_clear(struct group *group);

/* Bring consensus up from group->stored. */
enum error_code group_raft_start(struct group *group, struct error *error);

/* Drop the log from `cut_index` on and bring consensus up anew without it (rules 7 and 10). */
void group_reopen(struct group *group, uint64_t cut_index);

/* --- replay.c ------------------------------------------------------------------------------ */

/* Have entries (frozen index, index of the snapshot] handed to the state machine once more. Errors:
 * CORRUPT, IO, OUT_OF_MEMORY. */
enum error_code group_replay_begin(struct group *group, const struct snapshot_header *header,
                                   struct error *error);

/* The state machine has applied more. */
void group_replay_release(struct group *group);

/* Nothing is handed over any more, all of its payloads are void. True when that is done; otherwise
 * the group's task runs when it is. */
bool group_replay_leave(struct group *group);

/* Free what no group needs any more. */
void group_host_replay_drop(struct group_host *host);

/* --- receive.c ----------------------------------------------------------------------------- */

void group_receive(struct group *group, uint64_t from_node, const uint8_t *bytes,
                   size_t size_bytes);

/* Deliver the parked InstallSnapshot when nothing stands against it any more. */
void group_receive_parked(struct group *group);
void group_tick(struct group *group);

#endif
