/*
 * fanout_set - the series of all shards as one set, shard by shard: of replicas here, and from the
 * answers of other nodes.
 */
#ifndef FANOUT_FANOUT_SET_H
#define FANOUT_FANOUT_SET_H

#include "exchange.h"
#include "promql/series_format.h"

struct fanout_set;

/* For `count` shards, in the request's arena. It owns the exchange; NULL: all shards are put here.
 * NULL when memory is out. */
struct fanout_set *fanout_set_create(const struct series_request *request,
                                     struct exchange *exchange, size_t count);

/* Select from the replicas of a group here, at once by the threads that are idle; all of them or,
 * with an error, none. Without indexes they are all the shards there are. Errors: as of a select.
 */
enum error_code fanout_set_select(struct fanout_set *set, struct fanout *fanout,
                                  const struct exchange_group *group, struct error *error);

/* All shards have answered: read what other nodes sent, count. Errors: CORRUPT, UNSUPPORTED, LIMIT,
 * OUT_OF_MEMORY. */
enum error_code fanout_set_complete(struct fanout_set *set, struct error *error);

/* What was read is told there when the set is closed. */
void fanout_set_tell(struct fanout_set *set, struct fanout *fanout, struct fanout_windows *windows);

struct series_set *fanout_set_base(struct fanout_set *set);

#endif
