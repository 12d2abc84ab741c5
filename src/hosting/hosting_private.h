/*
 * hosting_private - the replicas of a loop, shared by the files of this module.
 *
 *   hosting.c   life, looking
 *   resident.c  one replica: made, removed
 *   child.c     a shard that was split off one that is here
 *   lacking.c   one that can't be opened without files of other nodes
 *   steps.c     what a leader does about the members of its group, and giving leadership away
 *   farewell.c  whether a group still has this node
 *   report.c    what the meta group is told
 *   readiness.c
 */
#ifndef HOSTING_HOSTING_PRIVATE_H
#define HOSTING_HOSTING_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "hosting/hosting.h"
#include "journal/journal.h"
#include "membership/cluster_board.h"
#include "transfer/transfer.h"
#include "transport/transport.h"

enum {
    HOSTING_TICK_MS = 250,
    HAND_OVER_TICK_MS = 20,
    SPLIT_TICK_MS = 20,
    /* So many are made a tick: each makes some directories. */
    CREATIONS_PER_TICK = 8,
    DIRECTORY_BYTES_MAX = 32,
    FAREWELL_ANSWER_BYTES = 17, /* what it says (1), its term (8), last index of its log (8) */
};

enum resident_state {
    RESIDENT_OPENING, /* a child's, whose files are being opened; or one that lacks files */
    RESIDENT_RUNNING,
    RESIDENT_TAKEN,   /* out of the table, somebody may still hold it */
    RESIDENT_CLOSING, /* the replica ends */
    RESIDENT_DELETING /* its log and files go */
};

/* One question under way: whether a group still has this node. */
struct farewell_request {
    struct transport_request base; /* first */
    struct hosting_loop *loop;
    struct resident *resident; /* NULL: it is gone */
    uint8_t answer[FAREWELL_ANSWER_BYTES];
    size_t size; /* that came, be it more */
};

struct resident {
    struct resident *next;
    struct hosting_loop *loop;
    uint32_t shard_id;
    enum resident_state state;
    struct replica *replica; /* NULL once it is closed */
    char directory[DIRECTORY_BYTES_MAX];

    /* A child of it, on its way (child.c). */
    struct founding *founding; /* NULL: none */
    uint64_t founding_retry_ms;
    struct founding *born;    /* it is the child, its state not durable yet */
    uint64_t stands_until_ms; /* it was founded by who led its parent, and shall lead; 0: not */

    /* Lacking files (lacking.c). */
    bool is_lacking, is_fetching;
    uint64_t fetch_due_ms, fetch_wait_ms;
    bool is_served; /* others may fetch its files */

    /* Leading. */
    uint64_t led_since_ms; /* 0: it does not */
    struct group_request request;
    bool is_asking; /* `request` is out */

    /* Leaving. */
    uint64_t unwanted_since_ms; /* 0: it is desired */
    struct farewell_request *farewell;
    size_t farewell_turn;             /* which of the other nodes is asked next */
    struct consensus_promise promise; /* of the replica, once it closes */
    bool is_removed;                  /* for good, not only closed */
    bool is_waiting;                  /* until its log is deleted, or to write the mark again */
    struct timer retry;
    struct journal_request deletion;
    struct job removal;
    struct error error;
};

struct hosting_loop {
    struct hosting *hosting;
    size_t number;
    struct hosting_loop_options options;
    struct group_host *host; /* NULL until opened */
    uint64_t node_id;
    uint64_t opened_ms; /* monotonic */
    struct resident *residents;
    struct cluster_view *view; /* NULL: none yet */
    bool has_missing;          /* replicas may be desired that are not there */
    size_t farewells;          /* questions out */
    size_t foundings;          /* of children, on their way */
    bool journal_lost;
    struct timer tick;
    uint64_t slow_until_ms;
    struct group_peer peers[CONSENSUS_MEMBERS_MAX]; /* while one group is looked at */
    _Atomic uint64_t leading, missing, empty, lacking;

    /* Ending. */
    _Atomic bool handing_over;
    uint64_t hand_over_until_ms;
    void (*handed_over)(void *context);
    void *handed_over_context;
    _Atomic bool closing;
    void (*closed)(void *context);
    void *closed_context;
    struct task closed_task;

    /* Under the mutex: what this loop's replicas lead. */
    struct meta_shard_report *reports; /* [report_count] */
    size_t report_count;
    size_t report_capacity;
    bool slow_disk;
};

struct hosting {
    struct hosting_options options;
    uint32_t *loop_of_shard; /* [dealt] */
    uint32_t dealt;

    pthread_mutex_t mutex;
    uint64_t *alive; /* [alive_count], rising; what was observed last */
    size_t alive_count;
    uint64_t *leaders; /* [leader_count], by shard */
    size_t leader_count;
    bool has_observed;
    struct meta_shard_report *gathered; /* [gathered_capacity], the reporter's */
    size_t gathered_capacity;
    struct founding *foundings; /* of all loops (child.c) */

    _Atomic uint64_t replicas;
    _Atomic uint64_t created_total, removed_total, steps_total, transfers_total;
    size_t loop_count;
    struct hosting_loop loops[]; /* [loop_count] */
};

static inline struct scheduler *scheduler_of(const struct hosting_loop *loop)
{
    return loop->options.environment->scheduler;
}

static inline uint64_t loop_now_ms(const struct hosting_loop *loop)
{
    return clock_monotonic_ms(loop->options.environment->clock);
}

/* NULL: nothing is known of the cluster that replicas could be made or removed by. */
static inline const struct cluster_state *state_of(const struct hosting_loop *loop)
{
    return loop->view == NULL || cluster_view_kind(loop->view) != CLUSTER_VIEW_CURRENT
               ? NULL
               : cluster_view_state(loop->view);
}

/* --- hosting.c ------------------------------------------------------------------------------- */

/* When the loop ends and nothing of it is left, tell. */
void hosting_loop_check_closed(struct hosting_loop *loop);

/* --- resident.c ------------------------------------------------------------------------------ */

struct resident *resident_find(const struct hosting_loop *loop, uint32_t shard_id);

/* How a replica begins. */
struct resident_origin {
    const struct journal_recovery *recovery; /* NULL: it is new */
    const struct consensus_member *founders; /* [founder_count]; none: it waits for a leader */
    size_t founder_count;
    uint64_t index;                     /* 0: it is empty */
    const struct byte_buffer *manifest; /* at that index */
};

/* Blocking. */
enum error_code resident_open(struct hosting_loop *loop, uint32_t shard_id,
                              const struct resident_origin *origin, struct error *error);

/* The same in two steps, between which time may pass: it is opening, and then runs. After an error
 * of the second one the process ends, or files are waited for. */
enum error_code resident_create(struct hosting_loop *loop, uint32_t shard_id,
                                const struct resident_origin *origin,
                                struct resident **resident_out, struct error *error);
enum error_code resident_start(struct resident *resident, struct error *error);

/* What is left of a replica that a crash has cut short. Blocking. */
enum error_code resident_remove_leftover(struct hosting_loop *loop, uint32_t shard_id,
                                         struct error *error);

/* Make what the cluster desires here and is not there. */
void residents_make_missing(struct hosting_loop *loop);

/* The group went on without what is committed here. */
bool resident_is_superseded(const struct resident *resident);

/* The group does not have this node any more: replica, log and files go. */
void resident_remove(struct resident *resident);

/* The next step of those that are on their way out. */
void resident_go_on(struct resident *resident);

/* The loop ends: close the replica; one that is opening is left to who opens it. */
void resident_close(struct resident *resident);

/* The journal does not answer any more. */
void residents_stop_waiting(struct hosting_loop *loop);

/* --- steps.c --------------------------------------------------------------------------------- */

/* Of a member in the log of its group; unique there, and the same on every node. */
void hosting_member_address(uint64_t node_id, char *target, size_t size);

/* Note what this node leads, and take the next steps there. */
void residents_lead(struct hosting_loop *loop);

/* The members of a group led here, as placement sees them. */
void resident_observe(const struct resident *resident, struct placement_shard_view *view_out);

/* Give leadership away where this node can't go on by itself. */
void residents_give_way(struct hosting_loop *loop);

/* Give leadership away, as hosting_hand_over says. */
void residents_hand_over(struct hosting_loop *loop);

/* --- child.c --------------------------------------------------------------------------------- */

/* Go on with children of replicas here: split them off where this node leads, found them. True when
 * it is to be looked at again soon. */
bool residents_split(struct hosting_loop *loop);

/* Count the founders of children here that have a vote and nothing else yet. */
void residents_count_empty(struct hosting_loop *loop);

/* Whether a replica of a child is not to be made yet: that of its parent here may found it. */
bool child_is_to_be_founded(struct hosting_loop *loop, const struct cluster_shard *shard);

/* A replica goes. */
void founding_forget(struct resident *resident);

/* --- lacking.c ------------------------------------------------------------------------------- */

/* The start failed: true when it waits for files of others, opening until then. */
bool resident_awaits_files(struct resident *resident);

/* Ask for what is lacking. */
void residents_fetch_files(struct hosting_loop *loop);

/* The loop ends: true when it waited; it is then to be closed. */
bool resident_stop_fetching(struct resident *resident);

/* --- farewell.c ------------------------------------------------------------------------------ */

/* Look whether the replica is to go. */
void resident_consider_leaving(struct resident *resident);
void farewell_forget(struct resident *resident);
void farewell_serve(void *context, struct transport_answer *answer,
                    const struct transport_question *question);

/* --- report.c -------------------------------------------------------------------------------- */

/* Of this loop, for whoever reports. */
void residents_report(struct hosting_loop *loop);

#endif
