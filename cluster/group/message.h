/*
 * message - the bytes of a Raft message between two replicas of a group.
 *
 * Byte layout: docs/formats/raft-message.md. The decoder trusts nothing: every count and size is
 * checked against the bytes that are there.
 */
#ifndef GROUP_MESSAGE_H
#define GROUP_MESSAGE_H

#include <raft.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

enum { MESSAGE_ENTRIES_MAX = 65536 };

/*
 * Append the bytes of `message` to `buffer`. For AppendEntries, `first_entry` and `entry_count`
 * choose a run of its entries; the message is then a valid one of its own, with the previous
 * index and term, and a commit index that does not reach beyond it.
 */
void message_encode(const struct raft_message *message, size_t first_entry, size_t entry_count,
                    struct byte_buffer *buffer);

/*
 * How many entries from `first_entry` on fit into one message: as many as stay within
 * `bytes_max` of payload, and at least one.
 */
size_t message_run_of_entries(const struct raft_append_entries *append, size_t first_entry,
                              size_t bytes_max);

/*
 * Read a message. Its entries (with one batch for their payloads), configuration and snapshot
 * data come from raft_malloc and belong to the message: hand it to consensus or to
 * message_clear. server_id and server_address are left for the caller.
 *
 * Errors: CORRUPT, UNSUPPORTED (another version), OUT_OF_MEMORY.
 */
enum error_code message_decode(const uint8_t *bytes, size_t size_bytes,
                               struct raft_message *message_out, struct error *error);

/* Release what message_decode allocated. */
void message_clear(struct raft_message *message);

#endif
