/*
 * When the state-machine version of the cluster rises (docs/decisions/0062).
 *
 * By itself, when every node that has not left is there and has known the next version for a while
 * (version_settle_ms), so that a program that ends right after its start can still be replaced by
 * the one before; at once in a cluster that was founded just now, which has known no other. An
 * operator may hold it where it is, and go back as long as that is so; or have
 * it rise at once.
 */
#include <stdio.h>
#include <stdlib.h>

#include "meta_private.h"

/* Settings of no tenant: no request can have this name. */
#define CLUSTER_WIDE TEXT(".")
#define VERSION_MOST TEXT("version.most")

uint32_t meta_version_held(const struct cluster_state *state)
{
    struct text value = cluster_state_setting(state, CLUSTER_WIDE, VERSION_MOST);
    int64_t version;
    if (value.size == 0 || !text_to_int64(value, &version) || version < 1 || version > UINT32_MAX)
        return 0;
    return (uint32_t)version;
}

/* The highest that all nodes know, and one that knows no more; NULL: there are no nodes. */
static const struct cluster_node *find_oldest(const struct cluster_state *state)
{
    size_t count;
    const struct cluster_node *nodes = cluster_state_nodes(state, &count), *oldest = NULL;
    for (size_t i = 0; i < count; i++)
        if (nodes[i].state != CLUSTER_NODE_LEFT &&
            (oldest == NULL || nodes[i].traits.version_max < oldest->traits.version_max))
            oldest = &nodes[i];
    return oldest;
}

/* What all nodes know, as far as this program goes. */
static uint32_t known_to_all(const struct meta *meta)
{
    const struct cluster_node *oldest = find_oldest(meta->state);
    uint32_t own = meta->options.traits.version_max;
    return oldest == NULL || oldest->traits.version_max > own ? own : oldest->traits.version_max;
}

/* Whether some node knows more than another, so that it is worth telling which. */
static bool some_know_more(const struct meta *meta, const struct cluster_node *oldest)
{
    size_t count;
    const struct cluster_node *nodes = cluster_state_nodes(meta->state, &count);
    for (size_t i = 0; oldest != NULL && i < count; i++)
        if (nodes[i].state != CLUSTER_NODE_LEFT &&
            nodes[i].traits.version_max > oldest->traits.version_max)
            return true;
    return false;
}

static bool all_are_there(const struct meta *meta)
{
    size_t count;
    const struct cluster_node *nodes = cluster_state_nodes(meta->state, &count);
    for (size_t i = 0; i < count; i++) {
        const struct heard_node *heard = leadership_find(meta->leadership, nodes[i].node_id);
        if (nodes[i].state != CLUSTER_NODE_LEFT &&
            (heard == NULL || heard->stopping || !leadership_is_alive(meta, nodes[i].node_id)))
            return false;
    }
    return true;
}

uint32_t versions_to_raise(struct meta *meta)
{
    struct leadership *leadership = meta->leadership;
    uint32_t in_force = cluster_state_facts(meta->state)->version;
    uint32_t held = meta_version_held(meta->state), version = known_to_all(meta);
    uint64_t now_ms = meta_now_ms(meta);
    if (version <= in_force)
        leadership->raises_now = false;
    if (held != 0 && held < version)
        version = held;
    if (version <= in_force || (!leadership->raises_now && !all_are_there(meta))) {
        leadership->version_ready = 0;
        return 0;
    }
    if (leadership->version_ready != version) {
        leadership->version_ready = version;
        leadership->version_ready_ms = now_ms;
    }
    bool is_settled = meta->founds_now ||
                      now_ms - leadership->version_ready_ms >= meta->options.version_settle_ms;
    return is_settled || leadership->raises_now ? version : 0;
}

/* --- Orders of operators --------------------------------------------------------------------- */

static void set_most(struct ask *ask, struct text value, command_propose *propose)
{
    propose(ask, &(struct cluster_entry){.kind = CLUSTER_SET_TENANT,
                                         .set_tenant = {CLUSTER_WIDE, VERSION_MOST, value}});
}

void versions_hold(struct ask *ask, command_propose *propose)
{
    const struct meta *meta = ask_meta(ask);
    char digits[12];
    snprintf(digits, sizeof digits, "%u", cluster_state_facts(meta->state)->version);
    meta->leadership->raises_now = false;
    set_most(ask, text_of(digits), propose);
}

void versions_raise(struct ask *ask, command_propose *propose)
{
    struct meta *meta = ask_meta(ask);
    const struct cluster_node *oldest = find_oldest(meta->state);
    uint32_t in_force = cluster_state_facts(meta->state)->version, version = known_to_all(meta);
    if (version <= in_force && some_know_more(meta, oldest)) {
        ask_refuse(ask, ERROR_CONFLICT,
                   "node %s knows state-machine versions up to %u, and %u is in force",
                   oldest->identity.name, oldest->traits.version_max, in_force);
        return;
    }
    meta->leadership->raises_now = version > in_force;
    if (meta_version_held(meta->state) != 0) {
        set_most(ask, (struct text){0}, propose); /* the next plan has it rise */
        return;
    }
    if (version > in_force) {
        propose(ask,
                &(struct cluster_entry){.kind = CLUSTER_RAISE_VERSION, .raise_version = {version}});
        return;
    }
    ask_end(ask, (struct bytes){0}); /* it is the newest */
}
