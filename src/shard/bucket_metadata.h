/*
 * bucket_metadata - type, help and unit of the metrics of a shard as an object of the bucket
 * (docs/formats/bucket.md). Private to shard.
 *
 * It goes with a list and bears its name: no reader of samples needs it, a shard that begins anew
 * from its list does.
 */
#ifndef SHARD_BUCKET_METADATA_H
#define SHARD_BUCKET_METADATA_H

#include "base/bytes.h"
#include "base/error.h"

#include "metadata_store.h"

/* Memory: test `buffer->failed`. */
void bucket_metadata_encode(struct metadata_store *store, struct byte_buffer *buffer);

/* Add what an object holds. Errors: CORRUPT, UNSUPPORTED, OUT_OF_MEMORY. */
enum error_code bucket_metadata_decode(const uint8_t *bytes, size_t size_bytes,
                                       struct metadata_store *store, struct error *error);

#endif
