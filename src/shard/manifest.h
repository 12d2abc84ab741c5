/*
 * manifest - the files of a shard at one freeze, as snapshots carry them. Private to shard.
 *
 * Byte layout: docs/formats/manifest.md.
 */
#ifndef SHARD_MANIFEST_H
#define SHARD_MANIFEST_H

#include "base/bytes.h"
#include "base/error.h"
#include "block/file_summary.h"
#include "shard/slots.h"

#include "bucket.h"
#include "id_set.h"
#include "manifest_block.h"
#include "retention_cut.h"
#include "tombstones.h"
#include "windows.h"

struct manifest_part {
    uint64_t index;
    uint32_t number;         /* 0: current, 1: late */
    int64_t merged_until_ms; /* samples before are in blocks; INT64_MIN: none */
    int64_t stamp_ms;        /* of the entry that decided it */
    struct file_summary summary;
};

enum { SPLIT_FOUNDERS_MAX = 16 };

/* Slots that left the shard, and the shard that they became. */
struct manifest_split {
    uint32_t child_id;
    uint64_t index;                        /* of the entry: a freeze */
    struct slot_set slots;                 /* of the child */
    uint64_t founders[SPLIT_FOUNDERS_MAX]; /* [founder_count], nodes, rising */
    size_t founder_count;
};

struct manifest {
    uint32_t state_version; /* decides about the format (base/state_version.h) */
    uint64_t frozen_index;
    uint64_t next_id;
    int64_t retention_cutoff_ms;
    uint64_t metadata_index;
    uint64_t *segments; /* [segment_count], owned */
    size_t segment_count;
    struct id_set *forgotten;    /* dead ids in the segments, a reference; NULL: none */
    struct manifest_part *parts; /* [part_count], owned */
    size_t part_count;
    struct manifest_block *blocks; /* [block_count], owned */
    size_t block_count;
    struct tombstones *tombstones;  /* a reference; NULL: none */
    uint64_t merge_index;           /* of the merge under way; 0: none */
    struct byte_buffer merge_body;  /* of the entry that decided it, after its header */
    uint64_t windows_base;          /* version of windows that are not listed; 0: none is kept */
    struct window_version *windows; /* [window_count], owned, ascending */
    size_t window_count;
    struct bucket bucket;                 /* owned, from STATE_VERSION_BUCKET on */
    struct retention_cut retention;       /* references, from STATE_VERSION_BUCKET on */
    struct retention_cut merge_retention; /* when the merge was decided, if there is one */
    uint64_t rehearsed_count;             /* of writes, from STATE_VERSION_REHEARSAL on */
    struct slot_set owned; /* series of other slots may be in files, and are not seen */
    uint32_t split_count;
    struct manifest_split split; /* the last one, if there was one */
};

void manifest_clear(struct manifest *manifest);

/* Add one to an owned array. Errors: OUT_OF_MEMORY. */
enum error_code manifest_add_part(struct manifest *manifest, const struct manifest_part *part,
                                  struct error *error);
enum error_code manifest_add_block(struct manifest *manifest, const struct manifest_block *block,
                                   struct error *error);
enum error_code manifest_add_segment(struct manifest *manifest, uint64_t index,
                                     struct error *error);

/* Those of one split, without their index. Errors: CORRUPT, LIMIT. */
void manifest_encode_split(struct byte_buffer *buffer, const struct manifest_split *split);
enum error_code manifest_decode_split(struct byte_reader *reader, struct manifest_split *split_out,
                                      struct error *error);

/* Of a shard that was split, or came from a split, it is of version 3. */
void manifest_encode(const struct manifest *manifest, struct byte_buffer *buffer);

/* Errors: CORRUPT, UNSUPPORTED, OUT_OF_MEMORY. */
enum error_code manifest_decode(const uint8_t *bytes, size_t size_bytes,
                                struct manifest *manifest_out, struct error *error);

#endif
