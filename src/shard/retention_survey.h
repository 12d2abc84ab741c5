/*
 * retention_survey - which blocks hold so much past its retention that they are written anew.
 * Private to shard, and of who leads: nothing of it is in the log.
 *
 * A job looks into the index of a block when the end of its window has passed a retention that it
 * had not passed when the block was looked into before. No sample is read.
 */
#ifndef SHARD_RETENTION_SURVEY_H
#define SHARD_RETENTION_SURVEY_H

#include <stdbool.h>

struct shard;

/* Begin to look into blocks that are due, unless that is under way. */
void retention_survey_tend(struct shard *shard);

#endif
