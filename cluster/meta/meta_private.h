/*
 * meta_private - what the files of this module share.
 *
 *     meta.c          life, the tick
 *     seeking.c       a node without identity asks its peers; what they answer decides
 *     joining.c       asking to be let in, at every start; and letting in
 *     machine.c       the state machine
 *     calls.c         questions to the leader, wherever it is
 *     asks.c          questions of others, and passing them on
 *     proposals.c     entries, and what became of them
 *     reports.c       what nodes tell the leader and hear from it
 *     leadership.c    what a leader has heard
 *     planning.c      what a leader does about it
 *     members.c       who is a member of the group
 *     commands.c      of operators
 *     observing.c     the whole picture
 */
#ifndef META_PRIVATE_H
#define META_PRIVATE_H

#include "base/log.h"
#include "consensus/membership.h"
#include "group/group.h"
#include "message.h"
#include "meta/meta.h"
#include "platform/environment.h"
#include "transport/transport.h"

enum {
    OUTCOMES_KEPT = 512, /* a power of two, more than proposals in flight */
    PROPOSALS_MAX = 128, /* in flight */
};

struct ask;
struct call;
struct leadership;
struct proposal;

/* --- A peer that was configured ------------------------------------------------------------- */

struct seek_peer {
    char name[CLUSTER_NAME_BYTES_MAX + 1];
    struct transport_request request;
    bool is_asking;
    struct byte_buffer answer;  /* being received */
    struct byte_buffer bytes;   /* of the latest introduction */
    struct introduction latest; /* views of `bytes` */
    uint64_t heard_ms;          /* 0: never */
    struct meta *meta;
};

/* --- What an entry did --------------------------------------------------------------------- */

struct applied_outcome {
    uint64_t index;
    struct cluster_outcome outcome;
};

/* --- All ----------------------------------------------------------------------------------- */

struct meta {
    struct meta_options options; /* strings and arrays are its own; `stored` is none */
    struct scheduler *scheduler;
    char formation_name[CLUSTER_NAME_BYTES_MAX + 1];
    char *peer_names; /* with its own, rising, a line each */

    enum meta_phase phase;
    struct timer tick;
    bool is_identified; /* `identified` was called */
    struct log_limit log;

    /* Identity. */
    uint8_t cluster_id[CLUSTER_ID_BYTES];
    uint64_t node_id;
    struct byte_buffer stored;   /* the bytes to store */
    struct byte_buffer founding; /* the entry, at founders */
    bool founds_now;             /* it became a founder since it was created, not before */
    bool is_storing;
    bool is_stored;

    /* Seeking. */
    struct seek_peer *peers; /* [peer_count], without the node itself, names rising */
    size_t peer_count;
    uint8_t candidate[CLUSTER_ID_BYTES];
    struct byte_buffer candidate_entry;
    uint64_t candidate_of; /* hash of what it was made from */
    char waiting_for[256];
    bool is_joining; /* a call to join is under way */

    /* At a start with an identity: the leader is told of this node. */
    bool is_known;

    /* State. */
    struct state_machine machine;
    struct group_host *host;
    struct group *group;
    struct cluster_state *state;    /* of the group */
    struct cluster_state *followed; /* told by a leader, while it is newer; NULL: none */
    uint64_t applied_index;
    bool is_snapshot_due;                           /* the state has changed since the last one */
    struct applied_outcome outcomes[OUTCOMES_KEPT]; /* by index modulo */

    /* Questions. */
    struct call *calls;
    size_t outstanding; /* calls, asks, proposals, requests: none at the end */
    size_t next_peer;   /* to be asked, where no leader is known */
    size_t proposal_count;

    /* Reports. */
    bool is_reporting;
    bool is_fetching;
    unsigned behind_count; /* answers in a row that told of a newer state */
    uint64_t leader_told;  /* by the latest answer: who led */

    /* Leading. What is under way may end after it. */
    struct leadership *leadership; /* while it leads; NULL otherwise */
    size_t plans_in_flight;        /* proposals of the leader's own */
    struct group_request change;   /* of members */
    bool is_changing;
    struct group_request transfer; /* of leadership */
    bool is_transferring;

    uint64_t proposals, forwarded, reports_heard, plans;

    /* The end. */
    bool is_group_closing;
    struct timer patience;
    struct task end;
    void (*closed)(void *context);
    void *closed_context;
};

uint64_t meta_now_ms(const struct meta *meta);
const struct meta_events *meta_events_of(const struct meta *meta);
void meta_wake(struct meta *meta);        /* tick at once */
void meta_released(struct meta *meta);    /* one of `outstanding` is gone */
void meta_handed_over(struct meta *meta); /* or not; if it closes, it goes on */
bool meta_is_closing(const struct meta *meta);
bool meta_leads(const struct meta *meta);      /* and takes proposals */
uint64_t meta_leader(const struct meta *meta); /* 0: not known */
void meta_dismiss(struct meta *meta, const char *reason);

/* One line at times; `fields` as in log_event. */
void meta_report_waiting(struct meta *meta, const char *what, const char *why);

/* --- machine.c ------------------------------------------------------------------------------ */

extern const struct state_machine_operations META_MACHINE_OPERATIONS;

const struct cluster_state *meta_newest(const struct meta *meta);

/* The bytes of a state that a leader told; taken when they are newer. Errors: those of decoding. */
enum error_code meta_follow(struct meta *meta, struct bytes state, struct error *error);

/* What the entry at `index` did; false: not known any more. */
bool meta_outcome_at(const struct meta *meta, uint64_t index, struct cluster_outcome *outcome_out);

/* --- calls.c -------------------------------------------------------------------------------- */

/* The answer is valid in it. */
typedef void call_done(struct meta *meta, void *owner, struct bytes answer,
                       const struct error *error);

/* Ask the leader, wherever it is, until `timeout_ms` are over. `done` comes once, not inside this
 * call; with NONE, TIMEOUT, CLOSED (meta is closing), or what the leader said. False: no memory. */
bool call_leader(struct meta *meta, enum operation operation, struct bytes body,
                 uint64_t timeout_ms, call_done *done, void *owner);

/* Pass a question on, once. */
bool call_forward(struct meta *meta, struct transport_peer *peer, const struct question *question,
                  uint64_t timeout_ms, call_done *done, void *owner);

struct meta *call_meta(const struct call *call);

/* The answer to a call that this node answers itself. */
void call_answered(struct call *call, struct bytes answer, const struct error *error);

void calls_cancel(struct meta *meta);

/* --- asks.c --------------------------------------------------------------------------------- */

/* A question that is being answered. `ask_end` releases it. */
void ask_end(struct ask *ask, struct bytes answer);
void ask_fail(struct ask *ask, const struct error *error);
void ask_refuse(struct ask *ask, enum error_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
struct meta *ask_meta(const struct ask *ask);

/* A question of this node itself, which leads. NULL: no memory. `call_answered` follows the
 * dispatch, perhaps inside it, unless it is detached: nobody waits any more. */
struct ask *ask_create(struct call *call);
void ask_dispatch(struct ask *ask, enum operation operation, struct bytes body);
void ask_detach(struct ask *ask);

/* For the transport. */
transport_serve serve_leader_question;

/* What the leader does for each. The body is valid in the call. */
typedef void ask_serve(struct ask *ask, struct bytes body);
ask_serve serve_join, serve_propose, serve_report, serve_command, serve_observe, serve_state;

/* --- versions.c ----------------------------------------------------------------------------- */

/* The version that shall be in force from now on; 0: the one that is. */
uint32_t versions_to_raise(struct meta *meta);

/* Orders of operators; the ask is ended. */
typedef void command_propose(struct ask *ask, const struct cluster_entry *entry);
void versions_hold(struct ask *ask, command_propose *propose);
void versions_raise(struct ask *ask, command_propose *propose);

/* --- proposals.c ---------------------------------------------------------------------------- */

/* `outcome` is NULL when it is not known whether the entry is in the log. */
typedef void proposal_done(struct meta *meta, void *owner, const struct cluster_outcome *outcome);

/* On an error `done` does not come. Errors: INVALID, and those of group_propose. */
enum error_code propose_bytes(struct meta *meta, struct bytes entry, proposal_done *done,
                              void *owner, struct error *error);
enum error_code propose_entry(struct meta *meta, const struct cluster_entry *entry,
                              proposal_done *done, void *owner, struct error *error);

/* --- leadership.c --------------------------------------------------------------------------- */

struct heard_node {
    uint64_t node_id;
    uint64_t heard_ms;       /* monotonic */
    int64_t clock_offset_ms; /* its wall clock less our monotonic one, at that time */
    uint64_t state_index;
    bool slow_disk, stopping;
};

struct heard_shard {
    struct placement_shard_view view; /* leader 0: not known */
    uint64_t heard_ms;
};

/* What a leader has heard since it leads. */
struct leadership {
    uint64_t since_ms;
    struct heard_node *nodes; /* [node_count], by id */
    size_t node_count, node_capacity;
    struct heard_shard *shards; /* [shard_count], by shard id */
    size_t shard_count;

    /* The answer to reports, the same for all nodes for a moment: there may be a thousand. */
    struct byte_buffer answer;
    uint64_t answer_ms;

    uint64_t previous_index; /* of the state, a tick ago */
    bool plans_now;          /* as an operator asked, whatever the pause */

    uint32_t version_ready; /* that all nodes know, since then; 0: none above the one in force */
    uint64_t version_ready_ms;
    bool raises_now; /* as an operator asked */
};

struct leadership *leadership_create(const struct meta *meta);

/* NULL is fine. */
void leadership_destroy(struct leadership *leadership);

/* NULL: not heard of. */
const struct heard_node *leadership_find(const struct leadership *leadership, uint64_t node_id);

/* When it was heard last, or would have been: the beginning of the leadership. */
uint64_t leadership_heard_ms(const struct leadership *leadership, uint64_t node_id);
bool leadership_is_alive(const struct meta *meta, uint64_t node_id);

/* False: no memory. */
bool leadership_hear(struct meta *meta, const struct report *report);

/* Median of the clocks of nodes that are alive. */
int64_t leadership_agreed_ms(const struct meta *meta);

/* Arrays are from `arena`. NULL memory: false. */
bool leadership_observe(const struct meta *meta, struct arena *arena,
                        struct placement_observation *observation_out);

/* --- What happens each tick ------------------------------------------------------------------ */

void seek_tick(struct meta *meta);
void seek_stop(struct meta *meta);

/* A member that knows no leader asks whom its peers know: some may have joined while it was down,
 * and nodes find each other by what they were configured with and what they have stored only. */
void seek_acquaintances(struct meta *meta);
enum error_code seek_create(struct meta *meta, const struct meta_options *options,
                            struct error *error);
void seek_destroy(struct meta *meta);
transport_serve serve_introduction, serve_transfer;

/* Decided: who this node is. It is made durable before it is used. */
void meta_decide(struct meta *meta, const uint8_t cluster_id[CLUSTER_ID_BYTES], uint64_t node_id,
                 struct bytes founding);

void join_ask(struct meta *meta); /* without identity */

/* A founder whose directory is in the state, but who never got to store its identity, may be the
 * one that a leader needs to be elected: it need not wait for one. False: it is not answered. */
bool join_answer_known(struct ask *ask, struct bytes body);
void join_hello(struct meta *meta); /* with one: tell the leader what this node is now */
void report_send(struct meta *meta);
void plan_tick(struct meta *meta);
void members_step(struct meta *meta);

/* Leadership to another voter; false when there is none that could take it. */
bool members_hand_over(struct meta *meta);

/* How many of `count` nodes have a vote. */
size_t members_voters_wanted(size_t count);

/* The founders as the first members of the group: [CONSENSUS_MEMBERS_MAX]; how many. */
size_t members_of_founders(const struct meta *meta, size_t founder_count,
                           struct consensus_member *members_out);

#endif
