/*
 * members - the membership of a group as bytes, and as the two types that hold it.
 *
 * Byte layout: docs/formats/raft-message.md, "members".
 */
#ifndef GROUP_MEMBERS_H
#define GROUP_MEMBERS_H

#include <raft.h>
#include <stddef.h>

#include "base/bytes.h"
#include "base/error.h"
#include "group/group.h"

void members_encode(const struct raft_configuration *configuration, struct byte_buffer *buffer);

/* On an error nothing is allocated. Errors: CORRUPT, OUT_OF_MEMORY. */
enum error_code members_decode(struct byte_reader *reader,
                               struct raft_configuration *configuration_out, struct error *error);

/*
 * The membership in an entry of type RAFT_CHANGE, which libraft encodes (raft_configuration_encode
 * has no public counterpart): version 1, a count of 8 bytes, then of each member its id of 8
 * bytes, its address with a NUL, its role of one byte. Errors: CORRUPT, OUT_OF_MEMORY.
 */
enum error_code members_decode_entry(const struct raft_buffer *buffer,
                                     struct raft_configuration *configuration_out,
                                     struct error *error);

/* Errors: INVALID (ids, addresses, roles, too many), OUT_OF_MEMORY. */
enum error_code members_to_configuration(const struct group_member *members, size_t count,
                                         struct raft_configuration *configuration_out,
                                         struct error *error);

/* At most GROUP_MEMBERS_MAX; returns how many. */
size_t members_from_configuration(const struct raft_configuration *configuration,
                                  struct group_member *members_out);

int members_role_to_raft(enum group_role role);

#endif
