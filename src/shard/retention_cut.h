/*
 * retention_cut - from when on samples of a series are kept: the policy of a shard's log at one
 * moment. Private to shard.
 *
 * Samples that are older are not seen, wherever they are, and merges leave them out. Without rules
 * nothing is cut: files then leave as a whole.
 */
#ifndef SHARD_RETENTION_CUT_H
#define SHARD_RETENTION_CUT_H

#include "shard/retention_policy.h"

struct retention_cut {
    struct retention_policy *policy;    /* in force, a reference; NULL: none was decided */
    struct retention_policy *announced; /* shorter, and to come into force: until then what keeps
                                           longer counts; NULL: none */
    int64_t announced_ms;               /* stamp of the entry that announced it */
    int64_t at_ms; /* what ages are counted from, only ever rises; INT64_MIN: nothing is cut yet */
};

#define RETENTION_CUT_NONE ((struct retention_cut){.at_ms = INT64_MIN})

void retention_cut_ref(const struct retention_cut *cut);
/* It is RETENTION_CUT_NONE then. */
void retention_cut_clear(struct retention_cut *cut);

/* Whether the two cut the same. */
bool retention_cut_equal(const struct retention_cut *left, const struct retention_cut *right);

/* Whether it may cut anything before a time, of whatever series. */
bool retention_cut_reaches(const struct retention_cut *cut, int64_t from_ms);

/* Samples of the series before it are past their retention; INT64_MIN: none. */
int64_t retention_cut_of(const struct retention_cut *cut, struct text tenant, struct labels labels);

/* How long what is kept longest is, and shortest, in force or announced. */
int64_t retention_cut_longest_ms(const struct retention_cut *cut);
int64_t retention_cut_shortest_ms(const struct retention_cut *cut);

/* `at_ms - keep_ms`, INT64_MIN for what is kept for ever. */
int64_t retention_before(int64_t at_ms, int64_t keep_ms);

/* Bytes of a manifest (docs/formats/manifest.md). Decoding errors: as retention_policy_decode. */
void retention_cut_encode(const struct retention_cut *cut, struct byte_buffer *buffer);
enum error_code retention_cut_decode(struct byte_reader *reader, struct retention_cut *cut_out,
                                     struct error *error);

#endif
