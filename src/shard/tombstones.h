/*
 * tombstones - what was deleted but is still in files. Private to shard.
 *
 * A tombstone of log index D covers the parts and blocks decided before D (delete_series freezes
 * first, so heads are never covered) and never what is written later. An immutable, reference
 * counted list: views hold the one that was current when they were made.
 */
#ifndef SHARD_TOMBSTONES_H
#define SHARD_TOMBSTONES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/text.h"
#include "model/labels.h"
#include "model/matcher.h"

struct tombstone {
    uint64_t index; /* of the entry that made it */
    struct text tenant;
    int64_t start_ms; /* samples in [start_ms, end_ms] are deleted */
    int64_t end_ms;
    struct matcher **matchers; /* [matcher_count], all must match */
    size_t matcher_count;
};

struct tombstones;

/* A list of `previous` (may be NULL) and one more, whose texts and matchers it takes over on
 * success. Errors: OUT_OF_MEMORY. */
enum error_code tombstones_add(const struct tombstones *previous, struct tombstone *added,
                               struct tombstones **tombstones_out, struct error *error);

/* The list without the one of this log index; NULL when that leaves none. Errors: OUT_OF_MEMORY. */
enum error_code tombstones_remove(const struct tombstones *previous, uint64_t index,
                                  struct tombstones **tombstones_out, struct error *error);

struct tombstones *tombstones_ref(struct tombstones *tombstones); /* NULL is fine */
void tombstones_unref(struct tombstones *tombstones);             /* NULL is fine */

size_t tombstones_count(const struct tombstones *tombstones); /* NULL: 0 */
const struct tombstone *tombstones_at(const struct tombstones *tombstones, size_t position);

/* Whether the tombstone covers this series. */
bool tombstone_matches(const struct tombstone *tombstone, struct text tenant, struct labels labels);

/* Whether it is of everything that the tenant has: then exemplars and metadata go, too. */
bool tombstone_is_of_tenant(const struct tombstone *tombstone);

/* Whether the tenant was deleted behind a file of this log index, and at or before `until_index`.
 */
bool tombstones_cover_tenant(const struct tombstones *tombstones, struct text tenant,
                             uint64_t file_index, uint64_t until_index);

/* Bytes of a log entry or manifest: tenant, range, matchers (docs/formats/entry.md). */
void tombstone_encode(struct byte_buffer *buffer, const struct tombstone *tombstone);

/* Fills in all but `index`; matchers are created. Errors: CORRUPT, INVALID, OUT_OF_MEMORY. */
enum error_code tombstone_decode(struct byte_reader *reader, struct tombstone *tombstone_out,
                                 struct error *error);

/* Releases texts and matchers of one that was not added. */
void tombstone_clear(struct tombstone *tombstone);

/* Add `count` of them, each with its log index in front, as manifests and the bucket's lists have
 * them; those before are given up. NULL is none. Errors: as tombstone_decode and tombstones_add;
 * some may be added then. */
enum error_code tombstones_decode_indexed(struct byte_reader *reader, size_t count,
                                          struct tombstones **tombstones, struct error *error);

#endif
