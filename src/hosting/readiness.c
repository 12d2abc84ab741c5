/* Whether the node can do its part: for who asks before it sends anything here. */
#include "hosting_private.h"

/* The first shard that nobody is known to lead; CLUSTER_SHARD_NONE: all are led. */
static uint32_t find_leaderless(const struct cluster_board *board, const struct cluster_view *view)
{
    size_t count;
    (void)cluster_state_shards(cluster_view_state(view), &count);
    for (uint32_t shard = 0; shard < count; shard++)
        if (cluster_board_leader(board, shard) == 0)
            return shard;
    return CLUSTER_SHARD_NONE;
}

static enum error_code check_replicas(const struct hosting *hosting, struct error *error)
{
    struct hosting_statistics statistics;
    hosting_read_statistics(hosting, &statistics);
    if (statistics.lacking > 0)
        return error_set(error, ERROR_UNAVAILABLE,
                         "%llu replicas lack series segments, which other nodes are to send",
                         (unsigned long long)statistics.lacking);
    if (statistics.missing > 0)
        return error_set(error, ERROR_UNAVAILABLE, "%llu replicas are still to be made",
                         (unsigned long long)statistics.missing);
    if (statistics.empty > 0)
        return error_set(
            error, ERROR_UNAVAILABLE,
            "%llu replicas of shards that were split off while this node was away wait "
            "for what they hold",
            (unsigned long long)statistics.empty);
    if (statistics.replaying > 0)
        return error_set(error, ERROR_UNAVAILABLE,
                         "shards replay their logs, %llu of %llu entries are applied",
                         (unsigned long long)statistics.replay.applied,
                         (unsigned long long)statistics.replay.entries);
    return ERROR_NONE;
}

enum error_code hosting_check_ready(const struct hosting *hosting, struct error *error)
{
    struct cluster_board *board = hosting->options.board;
    struct cluster_view *view = cluster_board_view(board);
    if (view == NULL || cluster_view_kind(view) != CLUSTER_VIEW_CURRENT ||
        cluster_state_facts(cluster_view_state(view))->index == 0) {
        cluster_view_unref(view);
        return error_set(error, ERROR_UNAVAILABLE, "the state of the cluster is not known yet");
    }
    enum error_code code = check_replicas(hosting, error);
    uint32_t leaderless = find_leaderless(board, view);
    if (code == ERROR_NONE && leaderless != CLUSTER_SHARD_NONE)
        code = error_set(error, ERROR_UNAVAILABLE, "shard %u has no leader yet", leaderless);
    cluster_view_unref(view);
    return code;
}
