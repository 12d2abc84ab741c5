/*
 * group_scenarios - what chance seldom puts together: some steps in an order in which a protocol
 * that is a little wrong loses something. Each takes some seconds of virtual time, leaves times and
 * nodes to the seed, and does nothing when there is no leader to begin with.
 */
#ifndef GROUP_SCENARIOS_H
#define GROUP_SCENARIOS_H

#include "group_cluster.h"

/*
 * Raft, figures 7 and 8: a leader is cut off with entries that only it has; the next one is
 * elected, loses a follower and gains the former leader; then it goes too, and whoever is left has
 * to know what was committed.
 */
void scenario_duel(struct cluster *cluster);

/*
 * A follower alone hears of an entry, and its disk is slow: its leader is gone, another one is
 * elected, and the write ends under that one. Then the new leader goes with those that agree.
 */
void scenario_slow_follower(struct cluster *cluster);

/*
 * A leader that is cut off hands over in vain; the one elected meanwhile crashes; then all stand
 * for election at once, in a network that is late and says things twice.
 */
void scenario_rivals(struct cluster *cluster);

#endif
