/*
 * metadata_store - type, help and unit of metrics, per tenant. Private to shard.
 *
 * The loop changes it, any thread reads it; a mutex guards both, since changes are rare (the
 * leader leaves out what is known) and readers few.
 *
 * What senders do not state any more leaves as quiet series do (registry.h, metadata_forget.c).
 * Only which metrics are there is of the log. Turns, and what was heard, are each replica's own.
 */
#ifndef SHARD_METADATA_STORE_H
#define SHARD_METADATA_STORE_H

#include "base/bytes.h"
#include "base/error.h"
#include "model/sample.h"
#include "platform/disk.h"
#include "shard/shard.h"

struct metadata_store;

/* NULL when memory is out. */
struct metadata_store *metadata_store_create(size_t entries_max);
void metadata_store_destroy(struct metadata_store *store);

/* Whether this is what is stored and not about to leave. The metric then counts as heard, as it
 * does when something else is stored. For leaders, before they propose it. */
bool metadata_store_touch(struct metadata_store *store, struct text tenant, struct text metric_name,
                          const struct metric_metadata *metadata);

/* Copies; beyond the limit new metrics are ignored (counted). Errors: OUT_OF_MEMORY. */
enum error_code metadata_store_set(struct metadata_store *store, struct text tenant,
                                   struct text metric_name, const struct metric_metadata *metadata,
                                   struct error *error);

void metadata_store_visit(struct metadata_store *store, struct text tenant,
                          shard_metadata_visit *visit, void *context);

size_t metadata_store_count(struct metadata_store *store);

/* How often a metric found no room. */
uint64_t metadata_store_refused(struct metadata_store *store);

/* A period is over. */
void metadata_store_turn(struct metadata_store *store);

/* Who heard what is not known any more: all count as not heard for so many periods. */
void metadata_store_set_unheard(struct metadata_store *store, uint32_t turns);

/* Append `text tenant | text metric_name` of metrics that were heard in none of the last `turns`
 * periods, `count` at most; they are then leaving. Returns how many. */
size_t metadata_store_take_quiet(struct metadata_store *store, uint32_t turns, size_t count,
                                 struct byte_buffer *buffer);
/* No metric is leaving any more. */
void metadata_store_clear_leaving(struct metadata_store *store);

/* False when there is none. */
bool metadata_store_remove(struct metadata_store *store, struct text tenant,
                           struct text metric_name);

/* Everything of a tenant. False when there was nothing. */
bool metadata_store_remove_tenant(struct metadata_store *store, struct text tenant);

/* What `other` holds, which nobody else knows of, changes places with what is here. */
void metadata_store_swap(struct metadata_store *store, struct metadata_store *other);

/* Everything, appended (docs/formats/manifest.md), and back. Errors: CORRUPT, OUT_OF_MEMORY. */
void metadata_store_encode(struct metadata_store *store, struct byte_buffer *buffer);
enum error_code metadata_store_decode(struct metadata_store *store, struct byte_reader *reader,
                                      struct error *error);

/* Add what a file holds. Blocking. Errors: CORRUPT, NOT_FOUND, IO, OUT_OF_MEMORY; they name it. */
enum error_code metadata_file_read(struct disk *disk, const char *path,
                                   struct metadata_store *store, struct error *error);

#endif
