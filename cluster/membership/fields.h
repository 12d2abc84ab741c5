/*
 * fields - the parts that entries and state have in common: their checks and their bytes.
 *
 * Decoders set `failed` of the reader on anything that a check refuses.
 */
#ifndef MEMBERSHIP_FIELDS_H
#define MEMBERSHIP_FIELDS_H

#include "base/bytes.h"
#include "base/error.h"
#include "membership/cluster_entry.h"
#include "membership/cluster_node.h"

/* UTF-8 without control characters. */
bool text_is_plain(struct text value);

/* Errors: INVALID. */
enum error_code check_traits(const struct cluster_node_traits *traits, struct error *error);

/* 1..CLUSTER_REPLICAS_MAX ids, not 0, rising. */
bool replicas_valid(const struct cluster_replicas *replicas);

void encode_identity(struct byte_buffer *buffer, const struct cluster_node_identity *identity);
void encode_traits(struct byte_buffer *buffer, const struct cluster_node_traits *traits);
void encode_replicas(struct byte_buffer *buffer, const struct cluster_replicas *replicas);

/* The shard of each slot as runs. */
void encode_slots(struct byte_buffer *buffer, const uint16_t *slots);

void decode_identity(struct byte_reader *reader, struct cluster_node_identity *identity_out);
void decode_traits(struct byte_reader *reader, struct cluster_node_traits *traits_out);
void decode_replicas(struct byte_reader *reader, struct cluster_replicas *replicas_out);

/* Slots of shards below `shard_count` into [SLOT_COUNT]; how many each has is added to
 * `slot_counts` [shard_count], zeroed before. */
void decode_slots(struct byte_reader *reader, size_t shard_count, uint16_t *slots_out,
                  uint32_t *slot_counts);

/* A NUL-terminated text of at most size - 1 bytes into `target` [size]. */
void decode_string(struct byte_reader *reader, char *target, size_t size);

/* At most `max`. */
uint32_t decode_number(struct byte_reader *reader, uint32_t max);

/* A count of things of at least `element_bytes` bytes each, at most `max`. */
size_t decode_count(struct byte_reader *reader, size_t max, size_t element_bytes);

#endif
