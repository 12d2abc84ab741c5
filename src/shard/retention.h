/*
 * retention - how long a shard keeps samples: what its log says of that, and what who leads has
 * decided (docs/decisions/0072). Private to shard.
 *
 *   settings --> shorter than what is in force --> ANNOUNCED --grace--> TAKEN --+
 *            --> not shorter, or nothing old enough, or the first one --> IN FORCE --------+--> AT,
 * AT, ...
 *
 * While a policy is announced what keeps longer counts, of it and of the one in force.
 */
#ifndef SHARD_RETENTION_H
#define SHARD_RETENTION_H

#include "base/bytes.h"
#include "base/error.h"

#include "retention_cut.h"

struct shard;
struct shard_statistics;
struct view;

enum retention_step {
    RETENTION_IN_FORCE = 0,  /* a policy is in force from here on */
    RETENTION_ANNOUNCED = 1, /* a policy is announced */
    RETENTION_TAKEN = 2,     /* what was announced is in force from here on */
    RETENTION_AT = 3,        /* ages are counted from a later time */
};

/* The body of an entry. `policy` and `at_ms` are there with the steps that have them. */
struct retention_news {
    enum retention_step step;
    struct retention_policy *policy; /* a reference */
    int64_t at_ms;
};

void retention_news_encode(const struct retention_news *news, struct byte_buffer *buffer);
/* Errors: CORRUPT, INVALID, OUT_OF_MEMORY. */
enum error_code retention_news_decode(struct byte_reader *body, struct retention_news *news_out,
                                      struct error *error);

/* Errors: CORRUPT, INVALID, OUT_OF_MEMORY. */
enum error_code shard_apply_retention_policy(struct shard *shard, uint64_t index,
                                             struct byte_reader *body, struct error *error);

/* For who leads: what is to be decided now. `newest_ms` is of what is in files; INT64_MIN: nothing.
 */
void retention_maintain(struct shard *shard, int64_t newest_ms);

/* Leadership began. */
void retention_lead(struct shard *shard);

/* How long the longest kept samples are kept, as far as is known: what is older is not taken. */
int64_t retention_longest_ms(const struct shard *shard);

/* What would be deleted by what is announced. Any thread. */
void retention_count_pending(const struct view *view, struct shard_statistics *statistics);

#endif
