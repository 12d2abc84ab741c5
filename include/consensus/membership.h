/*
 * membership - the members of a Raft group: who has a copy of its log, and who has a vote.
 *
 * Byte layout: docs/formats/raft-message.md, "members".
 */
#ifndef CONSENSUS_MEMBERSHIP_H
#define CONSENSUS_MEMBERSHIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

enum {
    CONSENSUS_MEMBERS_MAX = 16,
    CONSENSUS_ADDRESS_BYTES_MAX = 255,
};

enum consensus_role {
    CONSENSUS_ROLE_STANDBY, /* gets the log, has no vote */
    CONSENSUS_ROLE_VOTER,
    CONSENSUS_ROLE_SPARE, /* known, but nothing is sent to it */
};

struct consensus_member {
    uint64_t node_id; /* > 0, unique in the group */
    enum consensus_role role;
    char address[CONSENSUS_ADDRESS_BYTES_MAX + 1]; /* NUL-terminated, unique in the group */
};

struct membership {
    size_t count;
    struct consensus_member members[CONSENSUS_MEMBERS_MAX]; /* [count] */
};

/* Copy `count` members and check them. Errors: INVALID (ids, addresses, roles, too many). */
enum error_code membership_init(struct membership *membership,
                                const struct consensus_member *members, size_t count,
                                struct error *error);

/* NULL when it is no member. */
const struct consensus_member *membership_find(const struct membership *membership,
                                               uint64_t node_id);

bool membership_has_voter(const struct membership *membership, uint64_t node_id);

size_t membership_voter_count(const struct membership *membership);

/* Change one member, or add it at the end. Errors: INVALID (too many, no address or one that is
 * taken). */
enum error_code membership_set(struct membership *membership, const struct consensus_member *member,
                               struct error *error);

/* False when it was no member. */
bool membership_remove(struct membership *membership, uint64_t node_id);

void membership_encode(const struct membership *membership, struct byte_buffer *buffer);

/* On an error membership_out is untouched. Errors: CORRUPT. */
enum error_code membership_decode(struct byte_reader *reader, struct membership *membership_out,
                                  struct error *error);

#endif
