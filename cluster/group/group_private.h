/*
 * group_private - what the files of this module share: a group, its host and their parts.
 */
#ifndef GROUP_GROUP_PRIVATE_H
#define GROUP_GROUP_PRIVATE_H

#include "consensus/consensus.h"
#include "group/group.h"
#include "journal/journal.h"
#include "platform/environment.h"
#include "snapshot_format.h"

enum { HOST_BUCKETS = 256 };

struct group_host {
    struct group_host_options options;
    bool journal_lost;
    struct timer tick;
    struct journal_replay *replay;       /* while a group of it is replayed */
    struct group *groups;                /* by `next` */
    struct group *buckets[HOST_BUCKETS]; /* the same by id, by `next_in_bucket` */
    struct group_statistics statistics;
};

/*
 * created -> running -> closing -> gone
 *                |         ^
 *                +--> stopped (consensus failed; `fatal` was called)
 */
enum group_phase {
    GROUP_PHASE_CREATED,
    GROUP_PHASE_RUNNING,
    GROUP_PHASE_STOPPED,
    GROUP_PHASE_CLOSING,
};

enum group_write_kind {
    GROUP_WRITE_METADATA, /* term and vote */
    GROUP_WRITE_ENTRIES,
    GROUP_WRITE_SNAPSHOT,
    GROUP_WRITE_INSTALL,  /* a snapshot of another replica */
    GROUP_WRITE_ADOPTION, /* a state of another replica that this one's log leads to */
    GROUP_WRITE_ORIGIN,   /* what a group begins with that is founded with a state */
};

/* Something submitted to the journal, one of group->writes until it is done. */
struct group_write {
    struct journal_request base;
    struct group *group;
    struct group_write *previous;
    struct group_write *next;
    enum group_write_kind kind;
    /* Of a snapshot: what becomes the last durable one. */
    struct snapshot_header header;
    uint8_t *bytes; /* from malloc */
    size_t size_bytes;
};

/* Entries for a peer, on their way from the disk. */
struct group_read {
    struct journal_read base;
    struct group *group;
    uint64_t node_id;
};

/* A message that waits until term and vote are durable. */
struct group_outgoing {
    struct group_outgoing *next;
    uint64_t node_id;
    uint8_t *bytes;
    size_t size_bytes;
};

/*
 * A snapshot that a leader sent and that can't take the place of the log yet:
 *
 *   new -> preparing (the state machine gets what it needs) -> prepared -> written
 *    ^--------- a newer one, or it can't be had ----------'
 */
enum group_offer_state { GROUP_OFFER_NEW, GROUP_OFFER_PREPARING, GROUP_OFFER_PREPARED };

struct group_offer {
    enum group_offer_state state;
    uint64_t from_node;
    struct snapshot_header header;
    struct membership membership;
    uint8_t *bytes; /* from malloc; NULL: none */
    size_t size_bytes;
};

/* What a replay saw of the log before the base: kinds and terms. */
struct group_past {
    struct consensus_term *terms; /* [term_count], owned */
    size_t term_count, term_capacity;
    struct consensus_members *memberships; /* [membership_count], owned */
    size_t membership_count;
    bool is_broken; /* something could not be noted: nothing is known */
};

struct group {
    struct group_host *host;
    struct group *next;
    struct group *next_in_bucket;
    uint64_t id;
    struct state_machine *machine;
    const struct journal_recovery *recovery;
    struct membership founders;
    uint64_t origin_index;       /* 0: the log begins at the beginning */
    const uint8_t *origin_state; /* [origin_bytes], the creator's, until the start */
    size_t origin_bytes;
    struct consensus_promise promise; /* of an earlier replica */
    enum group_phase phase;

    struct consensus_world world;
    struct consensus *consensus; /* NULL before the start */

    /* The log in the journal. */
    struct group_write *writes;  /* on their way, of any kind, the newest first */
    unsigned metadata_in_flight; /* of them: nothing is sent meanwhile */
    bool snapshot_in_flight;     /* of them */
    bool install_in_flight; /* of them; until the machine is restored nothing is handed to it */
    uint64_t bytes_since_snapshot;
    size_t reads_in_flight;

    /* Messages. */
    struct group_outgoing *outbox;
    struct group_outgoing **outbox_end;
    size_t outbox_bytes;
    struct group_offer offer;
    bool restore_prepared; /* prepare_restore was called, and neither restore nor cancel_restore */
    uint64_t snapshots_asked[CONSENSUS_MEMBERS_MAX]; /* node ids */
    size_t snapshots_asked_count;

    /* Work for the loop. */
    struct task task;
    bool task_queued;
    struct group_request *answered;
    struct group_request **answered_end;

    /* State machine. */
    uint64_t handled_index;          /* committed entries that were handed over or passed over */
    uint64_t delivered_index;        /* last entry that it was given, or that it needs not */
    struct snapshot_header snapshot; /* the last durable one; index 0: none */
    uint8_t *snapshot_bytes;         /* [snapshot_size], from malloc */
    size_t snapshot_size;
    bool snapshot_wanted;
    bool snapshot_failed; /* not again before the next tick */

    /* Replay at the start. */
    struct journal_replay_part *replay_part; /* until its last payload is released */
    bool replaying;                          /* what is committed since is not handed over yet */
    bool replay_leaving;
    uint64_t replayed_index; /* handed out last */
    struct group_past past;

    /* Leadership. */
    uint64_t leading_term;   /* term in which this replica became leader; 0: follower */
    uint64_t ready_term;     /* an entry of it is committed: proposals are taken; 0: not */
    uint64_t flushed_index;  /* the commit index that followers were told as far as they can be */
    uint64_t announced_term; /* what the state machine was told last; 0: it follows */
    struct group_request *pending; /* proposed, by index */
    struct group_request **pending_end;
    struct group_request *confirming; /* asked for in a round that is on its way, or in the next */
    struct group_request **confirming_end;
    bool confirmation_wanted; /* the last ones are in no round yet */
    struct group_request *transfer;
    uint64_t transfer_node;
    uint64_t transfer_due_ms;
    size_t in_flight_bytes;

    void (*closed)(void *context);
    void *closed_context;
};

/* Small memory without which the group can't go on: the process ends when there is none. Zeroed. */
void *group_memory(size_t size_bytes);

static inline uint64_t group_now_ms(const struct group *group)
{
    return clock_monotonic_ms(group->host->options.environment->clock);
}

/* --- host.c -------------------------------------------------------------------------------- */

/* NULL when it is not there. */
struct group *group_host_find(const struct group_host *host, uint64_t group_id);
void group_host_add(struct group_host *host, struct group *group);
void group_host_remove(struct group_host *host, struct group *group);

/* --- group.c ------------------------------------------------------------------------------- */

/* After every call into consensus: its failure, leadership, what is committed, snapshots that are
 * due. */
void group_after_step(struct group *group);

/* It leads, and its state machine has been given all that was there before. */
bool group_is_ready(const struct group *group);

/* Have the group's task run. */
void group_wake(struct group *group);

/* `done` of the request will run from the loop. */
void group_answer(struct group *group, struct group_request *request, enum group_outcome outcome);

/* Consensus of the group is over; tells the host, once. */
void group_stop(struct group *group, const struct error *error);

/* It is closed: tell the owner. */
void group_free(struct group *group);

/* --- request.c ----------------------------------------------------------------------------- */

/* Begin a round for those that are in none. */
void group_confirm_begin(struct group *group);

/* Answer those whose round is over; all of them when this replica does not lead any more. */
void group_confirm_answer(struct group *group);

/* --- storage.c ----------------------------------------------------------------------------- */

extern const struct consensus_world_operations group_world_operations;

/* Make `bytes` (malloc, the write's from now on) the snapshot in the journal. */
void group_store_snapshot(struct group *group, const struct snapshot_header *header, uint8_t *bytes,
                          size_t size_bytes, enum group_write_kind kind);

/* The first entry of a group that is new: its founders. */
void group_store_founders(struct group *group, const uint8_t *bytes, size_t size_bytes);

/* A term in which nothing was voted for. */
void group_store_term(struct group *group, uint64_t term);

/* The journal will not finish them. */
void group_writes_cancel(struct group *group);

/* --- outbox.c ------------------------------------------------------------------------------ */

/* Encode and send or hold; false when the transport has no room. */
bool outbox_send(struct group *group, uint64_t node_id, const struct consensus_message *message);

/* Term and vote are durable: let go what was held. */
void outbox_flush(struct group *group);
void outbox_clear(struct group *group);

/* --- machine.c ----------------------------------------------------------------------------- */

/* Hand one entry to the state machine. Errors: CORRUPT. */
enum error_code group_machine_deliver(struct group *group, uint64_t index, uint64_t term,
                                      const uint8_t *bytes, size_t size_bytes, struct error *error);

/* Hand over what is committed. */
void group_machine_deliver_committed(struct group *group);

/* Whether the state machine needs none of the payloads that it was given, nor waits for others. */
bool group_machine_is_idle(const struct group *group);

/* Take a snapshot when one is due. */
void group_machine_snapshot(struct group *group);

/* Drop from memory what neither the machine nor a peer that is a little behind needs. */
void group_machine_compact(struct group *group);

/* The whole at header->index, with the membership as of there; false: it can't be had now. */
bool group_machine_encode_snapshot(struct group *group, struct snapshot_header *header,
                                   const struct byte_buffer *state, struct byte_buffer *buffer);

/* Send a peer the state; not when there is none now. */
void group_machine_export(struct group *group, uint64_t node_id);

/* Take over `bytes` (malloc) as the durable snapshot. */
void group_machine_keep_snapshot(struct group *group, const struct snapshot_header *header,
                                 uint8_t *bytes, size_t size_bytes);

/* Restore the state machine from the snapshot that was kept. Errors: of the state machine, CORRUPT,
 * IO, OUT_OF_MEMORY. */
enum error_code group_machine_restore(struct group *group, struct error *error);

/* --- start.c ------------------------------------------------------------------------------- */

/* From the journal to a running consensus, its state machine restored. */
enum error_code group_bring_up(struct group *group, struct error *error);

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
void group_tick(struct group *group);

/* --- offer.c ------------------------------------------------------------------------------- */

/* Keep the newest that was offered. */
void group_offer_keep(struct group *group, uint64_t from_node,
                      const struct consensus_install *install);

/* There is none any more, and nothing is prepared. */
void group_offer_drop(struct group *group);

/* Have the snapshot that waits prepared, and install it when nothing stands against it any more. */
void group_offer_try(struct group *group);

/* --- adopt.c ------------------------------------------------------------------------------- */

/* What was adopted is durable, and was kept as the snapshot. */
void group_adopted(struct group *group);

/* --- past.c -------------------------------------------------------------------------------- */

/* An entry below the base, in the order of the log. */
void group_past_note(struct group *group, const struct journal_entry *record);

/* All of them were seen: consensus knows of them from now on. */
void group_past_recall(struct group *group);
void group_past_clear(struct group *group);

#endif
