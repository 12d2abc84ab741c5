/*
 * group_checker - what must hold in every moment of a run, and what is known of it so far.
 *
 * Beside what replicas apply, it reads what they say: Raft is safe because of what each message
 * promises, so a broken promise is noticed before it has cost anything.
 *
 * - A vote is given once a term and group, and asked for with no entry that is not durable.
 * - Who leads was voted for by a majority of the voters that it knows.
 * - Who acknowledges entries has them on the disk, and has those of the leader that it tells.
 */
#ifndef GROUP_CHECKER_H
#define GROUP_CHECKER_H

#include "group_cluster.h"

void cluster_values_append(struct cluster_values *values, uint64_t index, uint64_t value);
void cluster_values_copy(struct cluster_values *to, const struct cluster_values *from,
                         uint64_t up_to_index);

/* Position of `index` in a list by rising index, or of the first above it. */
size_t cluster_values_find(const struct cluster_values *values, uint64_t index);
uint64_t cluster_values_hash(const struct cluster_values *values);

/* Some replica has `value` at `index`: it is committed, there, for ever. */
void checker_committed(struct cluster *cluster, size_t group_number, uint64_t node, uint64_t index,
                       uint64_t value);

/* One node leads in a term. */
void checker_leader(struct cluster *cluster, size_t group_number, uint64_t term, uint64_t node);
void checker_leaders(struct cluster *cluster);

/* A node sends this, and another one gets it; nodes count from 0. */
void checker_sent(struct cluster *cluster, size_t from, size_t group_number,
                  const struct consensus_message *message, size_t to);
void checker_received(struct cluster *cluster, size_t from, size_t group_number,
                      const struct consensus_message *message, size_t to);

#endif
