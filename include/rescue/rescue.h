/*
 * rescue - what operators do about replicas that are damaged, or that are all that is left:
 * reading everything and comparing it, and reviving a group whose majority is gone for good.
 *
 * Any node is asked, and asks the others (docs/protocols/rescue.md). All of it on loop 0, whose
 * transport it uses; replicas are looked at on their own loops.
 */
#ifndef RESCUE_RESCUE_H
#define RESCUE_RESCUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

struct cluster_board;
struct environment;
struct meta;
struct replica_table;
struct rescue;
struct transport;

enum { RESCUE_REQUEST_KIND = 41 }; /* of the transport */

/* A group that is no shard's: that of the cluster itself. */
#define RESCUE_META UINT32_MAX

/* What is pointed to outlives it. */
struct rescue_options {
    struct environment *environment; /* of loop 0 */
    struct transport *transport;     /* of lane 0, without connections yet */
    struct replica_table *table;
    struct cluster_board *board;
    uint64_t bytes_per_second; /* that verifying reads on this node, all shards; 0: no limit */
};

/* Errors: OUT_OF_MEMORY. */
enum error_code rescue_create(const struct rescue_options *options, struct rescue **rescue_out,
                              struct error *error);

/* Who this node is, and its meta group's owner; before that every question is refused. */
void rescue_identified(struct rescue *rescue, uint64_t node_id, struct meta *meta);

/* End what is under way, then `closed`, not inside the call, and it is gone. Meta and transport are
 * still open, and the loops run. */
void rescue_close(struct rescue *rescue, void (*closed)(void *context), void *context);

/* `json` is the callee's, and an object, or empty with an error; both until the call returns. Runs
 * once, on loop 0, perhaps inside the call. */
typedef void rescue_done(void *context, const struct byte_buffer *json, const struct error *error);

/* --- Verifying ------------------------------------------------------------------------------- */

/*
 * Begin to read all files of all replicas, shard after shard, all replicas of one at a time, and to
 * compare them. It ends by itself when nobody has looked for RESCUE_PATIENCE_MS.
 * Errors: CONFLICT (one is under way), UNAVAILABLE (the cluster is not known), OUT_OF_MEMORY.
 */
enum { RESCUE_PATIENCE_MS = 30 * 1000 };
enum error_code rescue_verify(struct rescue *rescue, struct error *error);

/* How far it is, and what was found from shard `first` on; the newest run that there was. Errors:
 * NOT_FOUND (none), OUT_OF_MEMORY. */
enum error_code rescue_verify_look(struct rescue *rescue, uint32_t first, struct byte_buffer *json,
                                   struct error *error);

/* --- Recovering a quorum --------------------------------------------------------------------- */

enum rescue_consent {
    RESCUE_ONLY_LOOKS, /* what would be done, and what may be lost */
    RESCUE_DOES_IT,
};

/*
 * Have the most complete of the replicas that answer go on alone. Refused while a leader is there
 * or a majority answers (docs/decisions/0060). With an error nothing was changed, but for TIMEOUT
 * and CLOSED: then it may have been.
 * Errors: NOT_FOUND (no such shard, no replica), CONFLICT (refused), UNAVAILABLE, TIMEOUT, CLOSED.
 */
void rescue_recover(struct rescue *rescue, uint32_t shard_id, enum rescue_consent consent,
                    rescue_done *done, void *context);

#endif
