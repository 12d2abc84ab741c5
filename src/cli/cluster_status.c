#include "cluster_status.h"

#include <stdbool.h>
#include <string.h>

/* --- Parts of the answer --------------------------------------------------------------------- */

static const char *text_in(json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text == NULL ? "-" : text;
}

static long long number_in(json_t *object, const char *name)
{
    return (long long)json_integer_value(json_object_get(object, name));
}

static bool truth_in(json_t *object, const char *name)
{
    return json_is_true(json_object_get(object, name));
}

/* Bytes for people. */
static const char *format_bytes(char *target, size_t size, double bytes)
{
    static const char *const UNITS[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t unit = 0;
    while (bytes >= 1024 && unit + 1 < sizeof UNITS / sizeof UNITS[0]) {
        bytes /= 1024;
        unit++;
    }
    snprintf(target, size, unit == 0 ? "%.0f %s" : "%.1f %s", bytes, UNITS[unit]);
    return target;
}

enum { ROLES_ALL = 4 };

/* --- Nodes ----------------------------------------------------------------------------------- */

static void print_node(json_t *node, bool observed, FILE *out)
{
    char heard[32] = "-", drained[64] = "";
    json_t *seconds = json_object_get(node, "heardSecondsAgo");
    json_t *draining = json_object_get(node, "draining");
    if (seconds != NULL)
        snprintf(heard, sizeof heard, "%.1fs", json_number_value(seconds));
    if (draining != NULL)
        snprintf(drained, sizeof drained, "  %lld of %lld replicas moved",
                 number_in(draining, "done"), number_in(draining, "planned"));
    char roles[64] = "";
    json_t *role, *of_node = json_object_get(node, "roles");
    size_t i;
    if (json_array_size(of_node) < ROLES_ALL)
        json_array_foreach(of_node, i, role)
            snprintf(roles + strlen(roles), sizeof roles - strlen(roles), "%s%s",
                     i == 0 ? "  only " : ", ", json_string_value(role));
    const char *alive = !observed ? "?" : truth_in(node, "alive") ? "yes" : "NO";
    fprintf(out, "%-16s %-10s %-9s %-5s %-8s %8lld %8lld  %s%s%s%s%s\n", text_in(node, "name"),
            text_in(node, "zone"), text_in(node, "state"), alive, heard,
            number_in(node, "replicas"), number_in(node, "leaders"), text_in(node, "address"),
            roles, truth_in(node, "slowDisk") ? "  SLOW DISK" : "",
            truth_in(node, "stopping") ? "  stopping" : "", drained);
}

/* --- Shards ---------------------------------------------------------------------------------- */

/* A shard is shown by itself when something about it is not as it shall be. */
static bool is_remarkable(json_t *shard)
{
    json_t *replica;
    size_t i;
    if (!json_is_string(json_object_get(shard, "leader")) || !truth_in(shard, "settled"))
        return true;
    json_array_foreach(json_object_get(shard, "replicas"), i,
                       replica) if (number_in(replica, "bytesBehind") > (16 << 20)) return true;
    return false;
}

static void print_shard(json_t *shard, FILE *out)
{
    char bytes[32];
    json_t *replica;
    size_t i;
    fprintf(out, "%5lld  %-16s %10s ", number_in(shard, "shard"), text_in(shard, "leader"),
            format_bytes(bytes, sizeof bytes, (double)number_in(shard, "sizeBytes")));
    json_array_foreach(json_object_get(shard, "replicas"), i, replica)
    {
        long long behind = number_in(replica, "bytesBehind");
        fprintf(out, " %s:%s%s", text_in(replica, "node"), text_in(replica, "role"),
                truth_in(replica, "desired") ? "" : "(leaving)");
        if (behind > 0)
            fprintf(out, "(-%s)", format_bytes(bytes, sizeof bytes, (double)behind));
    }
    fprintf(out, "\n");
}

static void print_shards(json_t *cluster, FILE *out)
{
    json_t *shards = json_object_get(cluster, "shards");
    json_t *shard;
    size_t i, remarkable = 0;
    json_array_foreach(shards, i, shard) remarkable += is_remarkable(shard);
    fprintf(out, "\n%zu shards, %zu as desired\n", json_array_size(shards),
            json_array_size(shards) - remarkable);
    if (remarkable > 0)
        fprintf(out, "%5s  %-16s %10s  %s\n", "SHARD", "LEADER", "SIZE", "REPLICAS");
    json_array_foreach(shards, i, shard) if (is_remarkable(shard)) print_shard(shard, out);
}

/* What merges have still to do for shards that were split, by the files of the node that was asked:
 * other replicas have the same. */
static void print_unsplit(json_t *cluster, FILE *out)
{
    json_t *shard;
    size_t i;
    json_array_foreach(json_object_get(cluster, "shards"), i, shard)
    {
        char bytes[32];
        if (number_in(shard, "unsplitFiles") > 0)
            fprintf(out, "shard %lld was split: %lld files, %s, are still to be written anew\n",
                    number_in(shard, "shard"), number_in(shard, "unsplitFiles"),
                    format_bytes(bytes, sizeof bytes, (double)number_in(shard, "unsplitBytes")));
    }
}

/* Who has a vote in the meta group; one that is dead counts, until it is removed. */
static void print_votes(json_t *nodes, FILE *out)
{
    json_t *node;
    size_t i, votes = 0, dead = 0;
    fprintf(out, "meta group: votes of");
    json_array_foreach(nodes, i, node)
    {
        if (!truth_in(node, "metaVoter"))
            continue;
        bool alive = truth_in(node, "alive");
        votes++;
        dead += !alive;
        fprintf(out, " %s%s", text_in(node, "name"), alive ? "" : " (DEAD)");
    }
    if (dead > 0)
        fprintf(out, ": it stops when %zu more die", votes - dead - votes / 2);
    fprintf(out, "\n");
}

/* --- Public ---------------------------------------------------------------------------------- */

void cluster_status_print(json_t *cluster, FILE *out)
{
    if (truth_in(cluster, "alone")) {
        fprintf(out, "this node is alone: it has no cluster.listen; %zu shards\n",
                json_array_size(json_object_get(cluster, "shards")));
        print_unsplit(cluster, out);
        return;
    }
    bool observed = truth_in(cluster, "observed");
    json_t *progress = json_object_get(cluster, "progress");
    json_t *node;
    size_t i;
    fprintf(out, "cluster %s (%s), replication %lld, as %s sees it\n", text_in(cluster, "name"),
            text_in(cluster, "id"), number_in(cluster, "replication"), text_in(cluster, "node"));
    if (!observed)
        fprintf(out, "NO LEADER OF THE META GROUP: what follows is what is desired, not what is\n");
    else
        fprintf(out, "meta group led by %s; %lld of %lld replicas healthy\n",
                text_in(cluster, "metaLeader"), number_in(progress, "done"),
                number_in(progress, "planned"));
    if (observed)
        print_votes(json_object_get(cluster, "nodes"), out);
    fprintf(out, "\n%-16s %-10s %-9s %-5s %-8s %8s %8s  %s\n", "NODE", "ZONE", "STATE", "ALIVE",
            "HEARD", "REPLICAS", "LEADERS", "ADDRESS");
    json_array_foreach(json_object_get(cluster, "nodes"), i, node) print_node(node, observed, out);
    print_shards(cluster, out);
    print_unsplit(cluster, out);
}

bool cluster_status_drain(json_t *cluster, const char *name, FILE *out)
{
    json_t *node;
    size_t i;
    json_array_foreach(json_object_get(cluster, "nodes"), i, node)
    {
        if (strcmp(text_in(node, "name"), name) != 0)
            continue;
        json_t *draining = json_object_get(node, "draining");
        char bytes[32];
        if (draining == NULL)
            continue;
        fprintf(out, "%s: %lld of %lld replicas moved, %s to copy, leads %lld\n", name,
                number_in(draining, "done"), number_in(draining, "planned"),
                format_bytes(bytes, sizeof bytes, (double)number_in(draining, "bytesLeft")),
                number_in(node, "leaders"));
        return number_in(draining, "done") < number_in(draining, "planned") ||
               number_in(node, "leaders") > 0;
    }
    return false;
}

enum cluster_split_progress cluster_status_split(json_t *cluster, long long child,
                                                 enum cluster_split_progress before, FILE *out)
{
    json_t *shard;
    size_t i;
    json_array_foreach(json_object_get(cluster, "shards"), i, shard)
    {
        if (number_in(shard, "shard") != child)
            continue;
        if (before == CLUSTER_SPLIT_UNKNOWN)
            fprintf(out, "shard %lld: %lld slots become shard %lld\n", number_in(shard, "parent"),
                    number_in(shard, "slots"), child);
        if (!json_is_string(json_object_get(shard, "leader")))
            return CLUSTER_SPLIT_DECIDED;
        fprintf(out,
                "shard %lld: led by %s; files of both are written anew without what is the "
                "other's\n",
                child, text_in(shard, "leader"));
        return CLUSTER_SPLIT_LED;
    }
    return CLUSTER_SPLIT_UNKNOWN;
}

/* The shard of that number; NULL: the one with the most slots. */
static json_t *find_shard(json_t *cluster, const char *name)
{
    json_t *shard, *found = NULL;
    size_t i;
    json_array_foreach(json_object_get(cluster, "shards"), i, shard)
    {
        char number[24];
        snprintf(number, sizeof number, "%lld", number_in(shard, "shard"));
        bool fits = name != NULL
                        ? strcmp(number, name) == 0
                        : found == NULL || number_in(shard, "slots") > number_in(found, "slots");
        if (fits)
            found = shard;
    }
    return found;
}

bool cluster_status_awaits(json_t *cluster, const char *name, char *text, size_t size)
{
    json_t *shard = truth_in(cluster, "observed") ? find_shard(cluster, name) : NULL;
    json_t *replica;
    size_t i;
    if (shard == NULL || truth_in(shard, "settled"))
        return false;
    int used =
        snprintf(text, size, "shard %lld is not as desired yet:%s", number_in(shard, "shard"),
                 json_is_string(json_object_get(shard, "leader")) ? "" : " nobody leads it,");
    json_array_foreach(json_object_get(shard, "replicas"), i, replica)
    {
        char bytes[32];
        long long behind = number_in(replica, "bytesBehind");
        if (used < 0 || (size_t)used >= size)
            break;
        used += snprintf(text + used, size - (size_t)used, "%s %s %s%s", i == 0 ? "" : ",",
                         text_in(replica, "node"), text_in(replica, "role"),
                         truth_in(replica, "desired") ? "" : " (leaving)");
        if (behind > 0 && (size_t)used < size)
            used += snprintf(text + used, size - (size_t)used, ", %s behind",
                             format_bytes(bytes, sizeof bytes, (double)behind));
    }
    return true;
}
