/*
 * shard_ids - what a model knows of the ids of its series: a dead one never comes back, and no two
 * series have the same.
 */
#ifndef TESTS_SHARD_IDS_H
#define TESTS_SHARD_IDS_H

#include "shard_model.h"

/* An acknowledgement says the id of the series. False: `failure` tells why it cannot be that. */
bool model_learn_id(struct shard_model *model, unsigned number, uint64_t id);

/* It says that the id by which a write named the series is dead. False: it never had that one. */
bool model_learn_death(struct shard_model *model, unsigned number, uint64_t id);

/* The node began again: the entry that a death was told of may be gone with the end before. */
void model_doubt_deaths(struct shard_model *model);

/* Each series that was written has one id alive at most. False: there are more. */
bool model_check_ids(struct shard_model *model, struct shard *shard);

#endif
