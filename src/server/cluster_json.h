/*
 * cluster_json - a cluster as GET /api/v1/cluster shows it.
 *
 * Pure: state and observation in, JSON out.
 */
#ifndef SERVER_CLUSTER_JSON_H
#define SERVER_CLUSTER_JSON_H

#include "base/bytes.h"
#include "meta/meta.h"

/* What the node that answers has of a shard that was split, or split off. */
struct cluster_json_files {
    bool is_known;          /* it has a replica, and that lacks slots */
    uint64_t unsplit_files; /* that have series of the other half still */
    uint64_t unsplit_bytes;
};

/* An observation of which only the state is known (leader 0, no placement) shows what is desired.
 * `node_name` is the node that answers, with its files [file_count] by shard id. Memory: test
 * `json->failed`. */
void cluster_json(const struct meta_observation *observation, const char *node_name,
                  const struct cluster_json_files *files, size_t file_count,
                  struct byte_buffer *json);

/* The field "roles" of an object: names of those in the bits (CLUSTER_ROLE_*). */
void cluster_json_roles(struct byte_buffer *json, uint32_t roles);

#endif
