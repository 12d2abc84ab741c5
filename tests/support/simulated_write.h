/*
 * simulated_write - the floats of a write to a shard, made by simulations: values follow from
 * series and time (offered_samples.h).
 */
#ifndef SUPPORT_SIMULATED_WRITE_H
#define SUPPORT_SIMULATED_WRITE_H

#include "base/arena.h"
#include "platform/clock.h"
#include "platform/random.h"
#include "shard/shard_write.h"

/* Without samples yet, with room for so many; of the tenant `anonymous`. */
void simulated_write_init(struct shard_write *write, struct arena *arena, size_t samples_max);

/* One more, of the series with this id, or SHARD_SERIES_NEW | its place among the new. */
void simulated_write_add(struct shard_write *write, uint64_t id, unsigned series, int64_t time_ms,
                         uint32_t origin);

/* Some seconds ago, or late by up to some windows; a multiple of 10. */
int64_t simulated_write_time(struct random *random, struct clock *clock);

#endif
