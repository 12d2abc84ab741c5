/*
 * metadata_store - type, help and unit of metrics, per tenant. Private to shard.
 *
 * The loop changes it, any thread reads it; a mutex guards both, since changes are rare (the
 * leader leaves out what is known) and readers few.
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

/* Whether this is what is stored. */
bool metadata_store_has(struct metadata_store *store, struct text tenant, struct text metric_name,
                        const struct metric_metadata *metadata);

/* Copies; beyond the limit new metrics are ignored (counted). Errors: OUT_OF_MEMORY. */
enum error_code metadata_store_set(struct metadata_store *store, struct text tenant,
                                   struct text metric_name, const struct metric_metadata *metadata,
                                   struct error *error);

void metadata_store_visit(struct metadata_store *store, struct text tenant,
                          shard_metadata_visit *visit, void *context);

size_t metadata_store_count(struct metadata_store *store);

/* Everything, appended (docs/formats/manifest.md), and back. Errors: CORRUPT, OUT_OF_MEMORY. */
void metadata_store_encode(struct metadata_store *store, struct byte_buffer *buffer);
enum error_code metadata_store_decode(struct metadata_store *store, struct byte_reader *reader,
                                      struct error *error);

/* Add what a file holds. Blocking. Errors: CORRUPT, NOT_FOUND, IO, OUT_OF_MEMORY; they name it. */
enum error_code metadata_file_read(struct disk *disk, const char *path,
                                   struct metadata_store *store, struct error *error);

#endif
