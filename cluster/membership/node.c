#include "membership/cluster_node.h"

#include <string.h>

#include "base/text.h"
#include "fields.h"

/* --- Checks -------------------------------------------------------------------------------- */

bool text_is_plain(struct text value)
{
    for (size_t i = 0; i < value.size; i++)
        if ((unsigned char)value.data[i] < ' ' || value.data[i] == 0x7f)
            return false;
    return text_is_utf8(value);
}

enum error_code cluster_node_check(const struct cluster_node_identity *identity,
                                   const struct cluster_node_traits *traits, struct error *error)
{
    struct text name = text_of(identity->name);
    if (name.size == 0 || !text_is_plain(name))
        return error_set(error, ERROR_INVALID, "node: name");
    return check_traits(traits, error);
}

enum error_code check_traits(const struct cluster_node_traits *traits, struct error *error)
{
    struct text address = text_of(traits->address);
    if (address.size == 0 || !text_is_plain(address))
        return error_set(error, ERROR_INVALID, "node: address");
    if (!text_is_plain(text_of(traits->zone)))
        return error_set(error, ERROR_INVALID, "node: zone");
    if (traits->roles == 0 || (traits->roles & ~(uint32_t)CLUSTER_ROLES_ALL) != 0)
        return error_set(error, ERROR_INVALID, "node: roles %x", traits->roles);
    if (traits->version_min == 0 || traits->version_min > traits->version_max)
        return error_set(error, ERROR_INVALID, "node: versions %u to %u", traits->version_min,
                         traits->version_max);
    return ERROR_NONE;
}

static const struct {
    uint32_t role;
    const char *name;
} ROLES[] = {
    {CLUSTER_ROLE_INGEST, "ingest"},
    {CLUSTER_ROLE_QUERY, "query"},
    {CLUSTER_ROLE_STORE, "store"},
    {CLUSTER_ROLE_RULES, "rules"},
};

enum { ROLE_COUNT = sizeof ROLES / sizeof ROLES[0] };

const char *cluster_role_name(uint32_t role)
{
    for (size_t i = 0; i < ROLE_COUNT; i++)
        if (ROLES[i].role == role)
            return ROLES[i].name;
    return "unknown";
}

uint32_t cluster_role_of(struct text name)
{
    for (size_t i = 0; i < ROLE_COUNT; i++)
        if (text_equal(name, text_of(ROLES[i].name)))
            return ROLES[i].role;
    return 0;
}

const char *cluster_node_state_name(enum cluster_node_state state)
{
    switch (state) {
    case CLUSTER_NODE_JOINING:
        return "joining";
    case CLUSTER_NODE_ACTIVE:
        return "active";
    case CLUSTER_NODE_DRAINING:
        return "draining";
    case CLUSTER_NODE_LEFT:
        return "left";
    }
    return "unknown";
}

/* --- Replicas ------------------------------------------------------------------------------ */

bool cluster_replicas_has(const struct cluster_replicas *replicas, uint64_t node_id)
{
    for (uint32_t i = 0; i < replicas->count; i++)
        if (replicas->node_ids[i] == node_id)
            return true;
    return false;
}

bool cluster_replicas_equal(const struct cluster_replicas *left,
                            const struct cluster_replicas *right)
{
    return left->count == right->count &&
           memcmp(left->node_ids, right->node_ids, left->count * sizeof left->node_ids[0]) == 0;
}

bool cluster_replicas_add(struct cluster_replicas *replicas, uint64_t node_id)
{
    if (replicas->count == CLUSTER_REPLICAS_MAX || cluster_replicas_has(replicas, node_id))
        return false;
    uint32_t place = replicas->count++;
    for (; place > 0 && replicas->node_ids[place - 1] > node_id; place--)
        replicas->node_ids[place] = replicas->node_ids[place - 1];
    replicas->node_ids[place] = node_id;
    return true;
}

bool cluster_replicas_remove(struct cluster_replicas *replicas, uint64_t node_id)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < replicas->count; i++)
        if (replicas->node_ids[i] != node_id)
            replicas->node_ids[kept++] = replicas->node_ids[i];
    bool removed = kept < replicas->count;
    replicas->count = kept;
    return removed;
}
