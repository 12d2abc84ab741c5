/*
 * bucket - what the log says lies in the bucket (docs/decisions/0070). Private to shard.
 *
 * A pure function of the log: the same on all replicas, and part of the manifest. Who puts and
 * deletes objects is elsewhere (bucket_tend.c).
 *
 *   uploaded --> listed, for the block itself
 *            --> (a merge) listed, standing for the output --> condemned when that is uploaded
 *            --> (retention, nothing left) condemned
 *   condemned --> a list without it is published: released --> deleted, and removed from here
 *
 * Objects below another shard's keys came with a split: when they are not listed any more they
 * leave at once, since whoever has the keys deletes them.
 */
#ifndef SHARD_BUCKET_H
#define SHARD_BUCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/error.h"

#include "manifest_block.h"

struct block_name {
    uint64_t index;
    uint32_t number;
};

/* With its name, where a block lies in the bucket. */
struct bucket_address {
    uint32_t shard_id; /* whose keys it lies below */
    struct hash128 hash;
    uint64_t size_bytes; /* 0: nowhere */
};

enum bucket_object_state {
    OBJECT_LISTED,
    OBJECT_CONDEMNED, /* not in lists from condemned_index on */
    OBJECT_RELEASED,  /* and such a list was published at released_ms, by the log's time */
};

struct bucket_object {
    uint32_t shard_id;               /* whose keys it lies below */
    struct manifest_block described; /* of one that never was listed: its name only */
    uint64_t size_bytes;             /* of the object */
    struct hash128 hash;             /* of its bytes */
    enum bucket_object_state state;
    struct block_name stands_for; /* while it is listed: a block of the shard, mostly its own */
    uint64_t listed_index;        /* while it is: lists from here on name it */
    uint64_t condemned_index;
    int64_t released_ms;
};

/* What names a list: later ones are greater. */
struct bucket_list_name {
    uint64_t incarnation;
    uint64_t index;
};

struct bucket {
    uint64_t changed_index;            /* entry that last changed what is listed; 0: none is due */
    struct bucket_list_name published; /* the newest; index 0: none */
    int64_t published_ms;              /* stamp of the entry that says so */
    uint32_t *heirs;                   /* [heir_count], owned: shards that were split off, and name
                                          objects below the keys of this one */
    size_t heir_count;
    struct bucket_object *objects; /* [object_count], owned, in the order they came */
    size_t object_count;
};

/* One that an entry says was uploaded, or removed. */
struct bucket_upload {
    struct block_name block;
    uint64_t size_bytes;
    struct hash128 hash;
};

void bucket_clear(struct bucket *bucket);

/* `copy_out` is empty before. Errors: OUT_OF_MEMORY. */
enum error_code bucket_copy(const struct bucket *bucket, struct bucket *copy_out,
                            struct error *error);

static inline bool block_name_equal(struct block_name left, struct block_name right)
{
    return left.index == right.index && left.number == right.number;
}

static inline struct block_name block_name_of(const struct manifest_block *block)
{
    return (struct block_name){block->index, block->number};
}

/* The object that is listed for this very block; NULL: it was not uploaded. */
const struct bucket_object *bucket_find_block(const struct bucket *bucket, struct block_name block);

/* --- What entries do ------------------------------------------------------------------------- */

/* What is listed, or what a list says besides, is other from this entry on. */
void bucket_change(struct bucket *bucket, uint64_t index);

/*
 * The object is there. `block` is the one that it is of, NULL when the shard has it no more. The
 * first object of a block counts; what comes later is released at once, as nothing names it.
 * Errors: OUT_OF_MEMORY, nothing is changed then.
 */
struct bucket_news {
    uint32_t shard_id; /* the shard's own */
    uint64_t index;    /* of the entry */
    int64_t stamp_ms;
};
enum error_code bucket_add(struct bucket *bucket, const struct bucket_news *news,
                           const struct bucket_upload *upload, const struct manifest_block *block,
                           struct error *error);

/* The block left the shard: objects stand for `successor` from now on, or are condemned when that
 * is NULL. */
void bucket_leave(struct bucket *bucket, const struct bucket_news *news, struct block_name block,
                  const struct manifest_block *successor);

/* A list was published. What it does not have may be deleted. */
void bucket_publish(struct bucket *bucket, const struct bucket_news *news,
                    struct bucket_list_name published);

/* Released ones of this name are gone from the bucket. */
void bucket_remove(struct bucket *bucket, const struct bucket_upload *removed);

/* Slots become another shard at this entry. Errors: OUT_OF_MEMORY, nothing is changed then. */
enum error_code bucket_split(struct bucket *bucket, uint64_t index, uint32_t child_id,
                             struct error *error);

/* What the shard that was split off begins with. Errors: OUT_OF_MEMORY. */
enum error_code bucket_inherit(const struct bucket *parent, struct bucket *child_out,
                               struct error *error);

/* --- Bytes: docs/formats/manifest.md, entry.md ------------------------------------------------ */

void bucket_encode(const struct bucket *bucket, struct byte_buffer *buffer);

/* `frozen_index` bounds all indexes. Errors: CORRUPT, OUT_OF_MEMORY. */
enum error_code bucket_decode(struct byte_reader *reader, uint64_t frozen_index,
                              struct bucket *bucket_out, struct error *error);

#endif
