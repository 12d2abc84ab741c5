/*
 * bucket_entry - entries that say what was done in the bucket (docs/formats/entry.md). Private to
 * shard.
 */
#ifndef SHARD_BUCKET_ENTRY_H
#define SHARD_BUCKET_ENTRY_H

#include "base/bytes.h"
#include "base/error.h"

#include "bucket.h"

enum { BUCKET_ENTRY_OBJECTS_MAX = 4096 };

struct shard;

/* Objects were put and verified. */
void bucket_encode_uploaded(struct byte_buffer *entry, int64_t stamp_ms,
                            const struct bucket_upload *uploads, size_t count);
/* A list was put and verified. */
void bucket_encode_published(struct byte_buffer *entry, int64_t stamp_ms,
                             struct bucket_list_name published);
/* Released objects are gone. */
void bucket_encode_removed(struct byte_buffer *entry, int64_t stamp_ms,
                           const struct bucket_upload *removed, size_t count);

/* The objects of an entry that were uploaded or removed, to its end; *uploads_out is [*count_out],
 * the caller's to free. `index` is that of the entry. Errors: CORRUPT, OUT_OF_MEMORY. */
enum error_code bucket_decode_uploaded(struct byte_reader *body, uint64_t index,
                                       struct bucket_upload **uploads_out, size_t *count_out,
                                       struct error *error);
enum error_code bucket_decode_removed(struct byte_reader *body, struct bucket_upload **removed_out,
                                      size_t *count_out, struct error *error);
/* Errors: CORRUPT. */
enum error_code bucket_decode_published(struct byte_reader *body, uint64_t index,
                                        struct bucket_list_name *published_out,
                                        struct error *error);

/* Errors: CORRUPT, OUT_OF_MEMORY. */
enum error_code shard_apply_uploaded(struct shard *shard, uint64_t index, struct byte_reader *body,
                                     struct error *error);
enum error_code shard_apply_published(struct shard *shard, uint64_t index, struct byte_reader *body,
                                      struct error *error);
enum error_code shard_apply_removed(struct shard *shard, struct byte_reader *body,
                                    struct error *error);

/* For bucket_add and the others: the shard, and the entry that is being applied. */
struct bucket_news bucket_news_of(const struct shard *shard, uint64_t index);

#endif
