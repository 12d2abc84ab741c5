/*
 * payload - how a proposal lies in the memory of a log entry: its size in 8 bytes, the bytes,
 * zeroes up to a multiple of 8 (libraft wants entries of such sizes).
 */
#ifndef GROUP_PAYLOAD_H
#define GROUP_PAYLOAD_H

#include <raft.h>

#include "base/error.h"
#include "group/state_machine.h"

/* The buffer of an entry that holds `payload`, which is of group_payload_create. */
struct raft_buffer payload_to_buffer(uint8_t *payload);

/* The payload in an entry's bytes. Errors: CORRUPT. */
enum error_code payload_from_bytes(const uint8_t *bytes, size_t size_bytes,
                                   struct group_entry *entry, struct error *error);

#endif
