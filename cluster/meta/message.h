/*
 * message - what the meta groups of nodes say to each other, as bytes and as structures.
 *
 * Pure. Byte layout: docs/protocols/meta.md. Decoders check everything; texts and bytes that they
 * give are views of what they read.
 */
#ifndef META_MESSAGE_H
#define META_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"
#include "membership/cluster_entry.h"
#include "membership/cluster_state.h"
#include "meta/meta.h"
#include "placement/placement.h"

/* Kinds of requests in the transport. */
enum {
    META_KIND_INTRODUCE = 1,
    META_KIND_ASK_LEADER = 2,
    META_KIND_TRANSFER = 3,
};

/* A view of bytes. */
struct bytes {
    const uint8_t *data; /* [size] */
    size_t size;
};

/* --- Introductions ------------------------------------------------------------------------- */

enum introduction_state {
    INTRODUCTION_EMPTY = 1, /* no identity */
    INTRODUCTION_STORING,   /* decided, not durable yet */
    INTRODUCTION_MEMBER,    /* of the cluster it names */
};

struct introduction {
    enum introduction_state state;
    uint8_t cluster_id[CLUSTER_ID_BYTES]; /* of a member */
    uint64_t node_id;                     /* of a member */
    uint8_t candidate[CLUSTER_ID_BYTES];  /* what it would found with what it has heard; zeros: it
                                           * has not heard all, or not the same */
    struct cluster_add_node self;         /* identity and traits */
    struct text cluster_name;             /* that it is, or would be */
    uint32_t shard_count, replication, spread, version;
    uint64_t first_group;
    struct text peers;          /* names, with its own, rising, a line each */
    struct bytes founding;      /* the entry, while its state is not founded; may be none */
    struct bytes acquaintances; /* whom it is connected to: see acquaintance_next */
};

struct acquaintance {
    char name[CLUSTER_NAME_BYTES_MAX + 1];
    char address[CLUSTER_ADDRESS_BYTES_MAX + 1];
};

void acquaintance_encode(struct text name, struct text address, struct byte_buffer *buffer);

/* The next of `left`, which shrinks. False: no more. Of an introduction they are well formed. */
bool acquaintance_next(struct bytes *left, struct acquaintance *acquaintance_out);

/* Memory: test `buffer->failed`. */
void introduction_encode(const struct introduction *introduction, struct byte_buffer *buffer);

/* Errors: CORRUPT, UNSUPPORTED. */
enum error_code introduction_decode(const uint8_t *bytes, size_t size_bytes,
                                    struct introduction *introduction_out, struct error *error);

/* --- Questions to the leader --------------------------------------------------------------- */

enum operation {
    OPERATION_JOIN = 1,
    OPERATION_PROPOSE,
    OPERATION_REPORT,
    OPERATION_COMMAND,
    OPERATION_OBSERVE,
    OPERATION_STATE,
    OPERATIONS
};

enum { QUESTION_HOPS_MAX = 2 }; /* so often it is passed on by nodes that do not lead */

struct question {
    enum operation operation;
    uint8_t hops;
    struct bytes body;
};

void meta_question_encode(const struct question *question, struct byte_buffer *buffer);

/* Errors: CORRUPT, UNSUPPORTED. */
enum error_code meta_question_decode(const uint8_t *bytes, size_t size_bytes,
                                     struct question *question_out, struct error *error);

struct join {
    uint64_t node_id;                     /* that it was given before; 0: none */
    uint8_t cluster_id[CLUSTER_ID_BYTES]; /* as well */
    struct cluster_add_node self;
};

void join_encode(const struct join *join, struct byte_buffer *buffer);
enum error_code join_decode(struct bytes body, struct join *join_out, struct error *error);

struct welcome {
    uint8_t cluster_id[CLUSTER_ID_BYTES];
    uint64_t node_id;
    struct bytes state; /* of the cluster */
};

void welcome_encode(const struct welcome *welcome, struct byte_buffer *buffer);
enum error_code welcome_decode(struct bytes body, struct welcome *welcome_out, struct error *error);

void outcome_encode(const struct cluster_outcome *outcome, struct byte_buffer *buffer);
enum error_code outcome_decode(struct bytes body, struct cluster_outcome *outcome_out,
                               struct error *error);

void command_encode(const struct meta_command *command, struct byte_buffer *buffer);
enum error_code command_decode(struct bytes body, struct meta_command *command_out,
                               struct error *error);

/* --- Reports ------------------------------------------------------------------------------- */

struct report {
    uint64_t node_id;
    uint8_t directory_id[CLUSTER_DIRECTORY_ID_BYTES];
    int64_t clock_ms;     /* wall */
    uint64_t state_index; /* version of the state that it has */
    struct meta_report contents;
};

void report_encode(const struct report *report, struct byte_buffer *buffer);

/* Shards are from `arena`. Errors: CORRUPT, OUT_OF_MEMORY. */
enum error_code report_decode(struct bytes body, struct arena *arena, struct report *report_out,
                              struct error *error);

struct report_answer {
    bool is_dismissed;    /* the cluster does not have the node */
    uint64_t state_index; /* of the leader */
    struct meta_view view;
};

void report_answer_encode(const struct report_answer *answer, struct byte_buffer *buffer);

/* Arrays are from `arena`. Errors: CORRUPT, OUT_OF_MEMORY. */
enum error_code report_answer_decode(struct bytes body, struct arena *arena,
                                     struct report_answer *answer_out, struct error *error);

/* --- Observation --------------------------------------------------------------------------- */

/* Without `state`, `progress` and `drains`, which who reads it makes from the state's bytes. */
void observation_encode(const struct meta_observation *observation, struct bytes state,
                        struct byte_buffer *buffer);

/* Arrays are from `arena`. Errors: CORRUPT, OUT_OF_MEMORY. */
enum error_code observation_decode(struct bytes body, struct arena *arena,
                                   struct meta_observation *observation_out,
                                   struct bytes *state_out, struct error *error);

/* --- Transfers ----------------------------------------------------------------------------- */

enum { TRANSFER_BYTES = 1 + 4 + 8 };

struct transfer {
    uint32_t shard_id;
    uint64_t to_node;
};

void transfer_encode(const struct transfer *transfer, uint8_t bytes[TRANSFER_BYTES]);
enum error_code transfer_decode(const uint8_t *bytes, size_t size_bytes,
                                struct transfer *transfer_out, struct error *error);

/* --- What a node stores -------------------------------------------------------------------- */

/* docs/formats/identity.md */
struct stored_identity {
    uint8_t cluster_id[CLUSTER_ID_BYTES];
    uint64_t node_id;
    struct cluster_node_identity identity; /* of the node and directory that stored it */
    struct bytes founding;                 /* the entry that founded the cluster, at founders */
};

void stored_identity_encode(const struct stored_identity *stored, struct byte_buffer *buffer);

/* Errors: CORRUPT, UNSUPPORTED. */
enum error_code stored_identity_decode(const uint8_t *bytes, size_t size_bytes,
                                       struct stored_identity *stored_out, struct error *error);

#endif
