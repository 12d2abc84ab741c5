/*
 * replica - one shard kept identical by one Raft group, on one loop.
 *
 * Binds the two: committed entries go to the shard in slices, writes of many requests become one
 * entry, acknowledgements follow what the shard has applied. Created and closed on its loop
 * (or before the loop runs); replica_write may be called from any thread.
 *
 *   write --any loop--> queue --prepare--> entry --group--> committed --apply--> acknowledged
 */
#ifndef REPLICA_REPLICA_H
#define REPLICA_REPLICA_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "group/group.h"
#include "shard/shard.h"
#include "shard/shard_install.h"

struct replica;
struct write_router;

enum { REPLICA_STALE_MS = 5000 };

/* What the replicas of a node share. */
struct replica_node {
    uint64_t unfrozen_bytes_max; /* log since the last freezes, all shards together; 80 MiB */
    /* The limit of a node with few series, but at least half of unfrozen_bytes_max: what samples
     * take in memory grows with their number, what a freeze costs grows with the series. 0: none.
     */
    uint64_t unfrozen_series_bytes;
    int64_t unfrozen_age_max_ms;     /* 15 min */
    uint64_t queued_bytes_max;       /* writes waiting to be proposed; beyond: UNAVAILABLE */
    _Atomic uint64_t unfrozen_bytes; /* without shards whose freeze is proposed */
    /* Of the shard that has the most, as far as was heard since one last froze. */
    _Atomic uint64_t largest_unfrozen_bytes;
    _Atomic uint64_t series_count;
    _Atomic uint64_t queued_bytes;
    /* Journals that report JOURNAL_SPACE_LOW: then what is unfrozen is frozen, whatever its size
     * and age, since that lets go of log. */
    _Atomic uint32_t journals_low;
};

struct replica_options {
    struct environment *environment;
    struct group_host *host; /* of the same loop */
    struct replica_node *node;
    struct shard_options shard; /* proposer, environment and peers are filled in */
    struct file_fetcher
        *fetcher; /* of files of other replicas; outlives it. NULL: there are none */
    uint64_t group_id;
    /* NULL for a new group; stays open until the replica is ready, since it is replayed from. */
    const struct journal_recovery *recovery;
    const struct consensus_member *founders;
    size_t founder_count;
    uint64_t origin_index; /* of a shard that begins with the state of another (group.h); 0: none */
    const uint8_t *origin_state; /* [origin_bytes], a manifest; until replica_start has returned */
    size_t origin_bytes;
    struct consensus_promise
        promise; /* of a replica that was deleted here before: replica_promise */
    /* This replica can't go on; the process must end. */
    void (*fatal)(void *context, const struct error *error);
    void *fatal_context;
};

/* Blocking: reads what is stored. Errors: those of group_create and shard_create. */
enum error_code replica_create(const struct replica_options *options, struct replica **replica_out,
                               struct error *error);

/*
 * Of one with an origin, before replica_start: open the files of its state by a job, so that the
 * start takes little time. `opened` runs on the loop, not inside the call, and the replica is then
 * started or closed; a file that can't be opened is left to the start, which says so. False: there
 * is nothing to be opened ahead.
 */
bool replica_open_ahead(struct replica *replica, void (*opened)(void *context), void *context);

/* Restore and replay, then take part. Blocking. */
enum error_code replica_start(struct replica *replica, struct error *error);

/* Of one whose start failed: whether files of other nodes may help, since what is stored here could
 * not be opened. */
bool replica_lacks_files(const struct replica *replica);

/*
 * Fetch them from these nodes [node_count]. `done` runs on the loop, not inside the call, unless
 * the replica closes before: with NONE it is started again, else this may be called again. Errors:
 * CORRUPT, OUT_OF_MEMORY.
 */
enum error_code replica_fetch_files(struct replica *replica, const uint64_t *nodes,
                                    size_t node_count,
                                    void (*done)(void *context, const struct error *error),
                                    void *context, struct error *error);

/* As group_promise. */
struct consensus_promise replica_promise(const struct replica *replica);

/* Refuse writes, end group and shard; `closed` runs on the loop, last. */
void replica_close(struct replica *replica, void (*closed)(void *context), void *context);

/* --- Writing --------------------------------------------------------------------------------- */

/* A request's part for one shard; the caller's until `done`, which runs on `origin`. */
struct replica_write {
    struct shard_write write;
    struct scheduler *origin;
    void (*done)(struct replica_write *write);

    /* Outcome: NONE (stored as write.* says), UNAVAILABLE (send again), OUT_OF_MEMORY. */
    struct error error;
    uint64_t index; /* of the log: whoever has applied it has the write */

    /* The replica's. */
    struct replica *replica;
    struct replica_write *next;
    struct task task;
    struct job job;
    struct shard_resolver *resolver;
    size_t size_bytes;

    /* The write router's. */
    struct replica_write_way {
        struct write_router *router;
        void (*done)(struct replica_write *write);
        uint32_t shard_id;
    } way;
};

void replica_write(struct replica *replica, struct replica_write *write);

/* An entry that the shard encoded (deletion); the caller's until `done`, which runs on `origin`
 * when the entry is applied, or will not be as far as is known. */
struct replica_entry {
    struct byte_buffer bytes; /* owned, cleared by the caller after `done` */
    struct scheduler *origin;
    void (*done)(struct replica_entry *entry);
    /* So often was the shard split, as far as who asks knows; it is refused, as `moved_by_splits`
     * tells, when that is not so. UINT32_MAX: whatever. */
    uint32_t splits;
    uint32_t moved_by_splits;
    struct error error; /* outcome: NONE or UNAVAILABLE */
    uint64_t index;     /* of the log: whoever has applied it has the entry */

    /* The replica's. */
    struct replica *replica;
    struct task task;

    /* The write router's. */
    struct replica_entry_way {
        struct write_router *router;
        void (*done)(struct replica_entry *entry);
        uint32_t shard_id;
    } way;
};

/* Any thread. */
void replica_propose(struct replica *replica, struct replica_entry *entry);

/* --- Confirming ------------------------------------------------------------------------------ */

/* Whether this replica still leads; the caller's until `done`. */
struct replica_confirm {
    /* On the replica's loop. NONE: what was committed anywhere before the call is applied here.
     * UNAVAILABLE: it does not lead. */
    void (*done)(struct replica_confirm *confirm, const struct error *error);

    /* The replica's. */
    struct replica *replica;
    struct replica_confirm *next;
    struct group_request request;
    struct task task;
};

/* A round of heartbeats, shared by all that ask in one turn. Any thread, while it is held. */
void replica_confirm(struct replica *replica, struct replica_confirm *confirm);

/* --- State ----------------------------------------------------------------------------------- */

/* The loop that it belongs to. Any thread. */
struct scheduler *replica_scheduler(const struct replica *replica);

/* Lives as long as the replica. Queries may use its shard_source from any thread. */
struct shard *replica_shard(struct replica *replica);

/* Leading, and everything acknowledged before is readable. Any thread. */
bool replica_is_ready(const struct replica *replica);

/*
 * Whether queries may be answered from here: it leads, or follows a leader that was heard in the
 * last seconds (REPLICA_STALE_MS) and had applied all that this leader had said is committed; and
 * it has applied `least_index`. Any thread.
 */
bool replica_is_readable(const struct replica *replica, uint64_t least_index);

/* The node that leads, as far as is known here; 0: not known. Any thread. */
uint64_t replica_leader(const struct replica *replica);

/* The last entry that is applied. Any thread. */
uint64_t replica_applied_index(const struct replica *replica);

/* What a start applies: entries of the log, those that an earlier life applied among them. */
struct replica_replay {
    uint64_t entries;
    uint64_t applied; /* all of them once the replica was ready */
};

/* Any thread. */
struct replica_replay replica_replay(const struct replica *replica);

/* The state that it began with, or a later one, is durable. On the loop. */
bool replica_is_stored(const struct replica *replica);

/* On the loop: freeze and merge everything; `done` on the loop. */
void replica_flush(struct replica *replica, struct shard_flush *flush);

/* On the loop: freeze and drop the log before it, for a quick next start; `done` when over. */
void replica_settle(struct replica *replica, void (*done)(void *context), void *context);

/* --- Members: on the loop --------------------------------------------------------------------- */

/* As the functions of the group that they are named after. */
size_t replica_members(const struct replica *replica, struct consensus_member *members_out);
size_t replica_peers(const struct replica *replica, struct group_peer *peers_out);
enum error_code replica_change_members(struct replica *replica, struct group_request *request,
                                       const struct group_change *change, struct error *error);
enum error_code replica_transfer(struct replica *replica, struct group_request *request,
                                 uint64_t node_id, struct error *error);

/* On the way to the end, when nobody took over: it leads no longer, and every write, deletion and
 * confirmation that waits ends with UNAVAILABLE; what was proposed may still happen. */
void replica_step_down(struct replica *replica);

/* Its Raft group, for who looks into its log or forces it; lives as long as the replica. */
struct group *replica_group(struct replica *replica);

void replica_group_status(const struct replica *replica, struct group_status *status_out);

#endif
