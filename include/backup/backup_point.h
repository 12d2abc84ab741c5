/*
 * backup_point - what of a bucket was copied at one time (docs/formats/backup.md).
 *
 * A backup is a store with blocks, lists and meta objects below the keys that they have in the
 * bucket, and an object for each time that a backup was made, which names the lists of then. So
 * what two of them have in common is there once.
 */
#ifndef BACKUP_BACKUP_POINT_H
#define BACKUP_BACKUP_POINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/text.h"
#include "object/object_store.h"
#include "shard/bucket_claim.h"
#include "shard/bucket_list.h"
#include "shard/bucket_meta.h"

/* Below which all points are. */
#define BACKUP_POINT_PREFIX "points/"

enum {
    BACKUP_POINT_BYTES_MAX = 4 * 1024 * 1024,
    BACKUP_POINT_SHARDS_MAX = 4096,
};

struct backup_shard {
    struct bucket_list_key list;
    bool has_metadata;
    struct bucket_list_key metadata; /* names the metadata of its metrics, put with this list */
};

struct backup_point {
    int64_t time_ms; /* when it was made; its name */
    uint8_t owner[BUCKET_OWNER_BYTES];
    uint64_t incarnation;
    bool has_meta;
    struct bucket_meta_key meta;
    struct backup_shard *shards; /* [shard_count], owned; by id, each once */
    size_t shard_count;
    uint64_t blocks, bytes, samples; /* that the lists name */
};

struct text backup_point_key_format(int64_t time_ms, char text[BUCKET_KEY_MAX]);

/* False: it is no such key. */
bool backup_point_key_parse(struct text key, int64_t *time_ms_out);

/* Lines of text, the last with a checksum. Memory: test `buffer->failed`. */
void backup_point_encode(const struct backup_point *point, struct byte_buffer *buffer);

/* Errors: CORRUPT (cut, damaged, or not a point), OUT_OF_MEMORY. */
enum error_code backup_point_decode(const uint8_t *bytes, size_t size_bytes,
                                    struct backup_point *point_out, struct error *error);
void backup_point_clear(struct backup_point *point);

/* --- In a store ------------------------------------------------------------------------------ */

/* Times of all points, rising; *times_out [*count_out] is to be freed. Errors: those of the store,
 * OUT_OF_MEMORY. */
enum error_code backup_points_list(struct object_store *store, int64_t **times_out,
                                   size_t *count_out, struct error *error);

/* Errors: those of the store, CORRUPT, OUT_OF_MEMORY. */
enum error_code backup_point_read(struct object_store *store, int64_t time_ms,
                                  struct backup_point *point_out, struct error *error);

#endif
