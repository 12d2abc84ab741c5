/*
 * forget - how series and metadata that went quiet leave a shard. Private to shard; see
 * shard_forget.c and metadata_forget.c.
 */
#ifndef SHARD_FORGET_H
#define SHARD_FORGET_H

#include "shard_private.h"

/* A head was frozen: perhaps the end of a period. */
void shard_forget_turn(struct shard *shard, const struct head *frozen);

/* Files were restored, none or some: periods go on where their newest sample is. */
void shard_forget_restored(struct shard *shard);

/* Look for quiet series, or propose that those found are forgotten. */
void shard_forget_maintain(struct shard *shard);

/* Leadership began: what was proposed is applied or gone. */
void shard_forget_lead(struct shard *shard);

/* Errors: CONFLICT (a series is in use: nothing is forgotten), UNAVAILABLE (a freeze must be
 * written first), CORRUPT, OUT_OF_MEMORY. */
enum error_code shard_apply_forget(struct shard *shard, struct byte_reader *body,
                                   struct error *error);

/* Propose that metadata which nobody states any more is forgotten. */
void shard_forget_metadata_maintain(struct shard *shard);

/* Errors: CORRUPT, OUT_OF_MEMORY. */
enum error_code shard_apply_forget_metadata(struct shard *shard, struct byte_reader *body,
                                            struct error *error);

void shard_forget_clear(struct shard *shard);

#endif
