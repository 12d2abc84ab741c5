/*
 * group_scripts - one rule of docs/decisions/0023-own-consensus.md each: the order of messages
 * and writes in which something goes wrong without it. Chance does not find them in thousands of
 * seeds, since they need three or four things at their time; the seed still chooses who they happen
 * to and when elections begin.
 */
#ifndef GROUP_SCRIPTS_H
#define GROUP_SCRIPTS_H

#include "base/text.h"
#include "group_cluster.h"

struct group_script {
    const char *name;
    size_t founders; /* all of the nodes; one group */
    /* Everything is well before. False: it did not come to the situation this time. */
    bool (*run)(struct cluster *cluster);
};

/* group_forced.c: the majority dies, one goes on alone, and then the dead come back
 * (docs/decisions/0060). */
bool group_script_forced(struct cluster *cluster);

/* NULL when there is none of this name. */
const struct group_script *group_script_find(struct text name);

#endif
