/*
 * cluster_json - a cluster as GET /api/v1/cluster shows it.
 *
 * Pure: state and observation in, JSON out.
 */
#ifndef SERVER_CLUSTER_JSON_H
#define SERVER_CLUSTER_JSON_H

#include "base/bytes.h"
#include "meta/meta.h"

/* An observation of which only the state is known (leader 0, no placement) shows what is desired.
 * `node_name` is the node that answers. Memory: test `json->failed`. */
void cluster_json(const struct meta_observation *observation, const char *node_name,
                  struct byte_buffer *json);

#endif
