/*
 * message - what nodes ask each other here, and answer. Pure. Bytes: docs/protocols/rescue.md.
 */
#ifndef RESCUE_MESSAGE_H
#define RESCUE_MESSAGE_H

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/error.h"
#include "consensus/membership.h"
#include "group/group.h"

enum rescue_question_kind {
    RESCUE_LOOK = 1,   /* how far its replica is */
    RESCUE_FORCE = 2,  /* that its replica go on alone */
    RESCUE_VERIFY = 3, /* read the files of its replica; the answer may take hours */
};

struct rescue_question {
    enum rescue_question_kind kind;
    uint32_t shard_id;        /* RESCUE_META: none */
    struct group_force force; /* of RESCUE_FORCE */
};

enum rescue_leader {
    RESCUE_LEADER_NONE,  /* none is heard */
    RESCUE_LEADER_HEARD, /* another node */
    RESCUE_LEADER_SELF,
};

struct rescue_member {
    uint64_t node_id;
    enum consensus_role role;
};

struct rescue_sight {
    bool is_present;  /* false: the node has no such replica, and nothing else is told */
    bool is_forcible; /* neither replaying nor stopped nor installing */
    enum rescue_leader leader;
    uint64_t term;
    uint64_t last_index;
    uint64_t last_term;
    uint64_t commit_index;
    uint64_t told_index; /* committed, as a leader said */
    uint64_t applied_index;
    int64_t last_stamp_ms; /* of the newest entry; INT64_MIN: not known */
    int64_t newest_ms;     /* of samples; INT64_MIN: none */
    size_t member_count;
    struct rescue_member members[CONSENSUS_MEMBERS_MAX]; /* [member_count] */
};

struct rescue_file {
    uint8_t kind; /* enum file_kind */
    bool is_damaged;
    uint64_t index;
    uint32_t number;
    struct hash128 content_checksum;
};

/* Files follow the head in the answer. */
struct rescue_verdict {
    uint64_t applied_index;
    uint64_t frozen_index;    /* 0: nothing is frozen */
    uint64_t frozen_checksum; /* of the state there */
    uint64_t bytes;
    const struct rescue_file *files; /* [file_count] */
    size_t file_count;
};

enum { RESCUE_FILE_BYTES = 1 + 1 + 8 + 4 + 16, RESCUE_FILES_MAX = 1 << 20 };

void rescue_question_encode(const struct rescue_question *question, struct byte_buffer *buffer);
void rescue_sight_encode(const struct rescue_sight *sight, struct byte_buffer *buffer);
void rescue_verdict_head_encode(const struct rescue_verdict *verdict, struct byte_buffer *buffer);
void rescue_file_encode(const struct rescue_file *file, struct byte_buffer *buffer);

/* Errors: CORRUPT; then *out is untouched. */
enum error_code rescue_question_decode(const uint8_t *bytes, size_t size,
                                       struct rescue_question *out, struct error *error);
enum error_code rescue_sight_decode(const uint8_t *bytes, size_t size, struct rescue_sight *out,
                                    struct error *error);
/* `files` is from malloc, the caller's. Errors: also OUT_OF_MEMORY. */
enum error_code rescue_verdict_decode(const uint8_t *bytes, size_t size, struct rescue_verdict *out,
                                      struct rescue_file **files_out, struct error *error);

#endif
