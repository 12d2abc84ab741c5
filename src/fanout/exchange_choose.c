/* Which replica of a shard is asked. */
#include "exchange_private.h"

static bool is_tried(const struct exchange_shard *shard, uint64_t node_id)
{
    for (size_t i = 0; i < shard->tried_count; i++)
        if (shard->tried[i] == node_id)
            return true;
    return false;
}

static bool may_ask(const struct exchange *exchange, const struct exchange_shard *shard,
                    uint64_t node_id)
{
    return node_id != 0 && node_id != exchange->node_id &&
           shard->tried_count < EXCHANGE_TRIED_MAX && !is_tried(shard, node_id);
}

/* --- The replica here ------------------------------------------------------------------------ */

static bool hold(struct exchange *exchange, struct exchange_shard *shard)
{
    struct fanout_replicas *replicas = exchange->fanout->options.replicas;
    if (!shard->is_held)
        shard->is_held =
            replicas->operations->hold(replicas, shard->answer.shard_id, &shard->replica);
    return shard->is_held;
}

/* Whether the replica here was split as often as this node knows. One that lags comes to it. */
static bool is_as_known(struct exchange *exchange, const struct exchange_shard *shard)
{
    struct fanout_replicas *replicas = exchange->fanout->options.replicas;
    uint32_t splits = replicas->operations->splits(replicas, &shard->replica);
    if (shard->splits != SPLITS_ANY && splits > shard->splits)
        exchange_note_splits(exchange, shard, splits);
    return shard->splits == SPLITS_ANY || splits == shard->splits;
}

static bool leads_here(struct exchange *exchange, struct exchange_shard *shard)
{
    struct fanout_replicas *replicas = exchange->fanout->options.replicas;
    return shard->is_held && replicas->operations->is_ready(replicas, &shard->replica);
}

static bool is_readable_here(struct exchange *exchange, struct exchange_shard *shard)
{
    struct fanout_replicas *replicas = exchange->fanout->options.replicas;
    return shard->is_held && exchange->options.question->read != FANOUT_READ_STRONG &&
           replicas->operations->is_readable(replicas, &shard->replica, shard->least_index);
}

/* --- Others ---------------------------------------------------------------------------------- */

static uint64_t known_leader(struct exchange *exchange, struct exchange_shard *shard)
{
    struct fanout_replicas *replicas = exchange->fanout->options.replicas;
    struct cluster_board *board = exchange->fanout->options.board;
    uint64_t leader = board == NULL ? 0 : cluster_board_leader(board, shard->answer.shard_id);
    if (leader == 0 && shard->is_held)
        leader = replicas->operations->leader(replicas, &shard->replica);
    return leader;
}

enum health { HEALTH_GOOD, HEALTH_ANY };

/* One of the nodes that shall have a replica; 0: none. */
static uint64_t some_replica(struct exchange *exchange, struct exchange_shard *shard,
                             enum health health, uint64_t now_ns)
{
    const struct cluster_replicas *desired = shard->desired;
    for (size_t i = 0; desired != NULL && i < desired->count; i++) {
        uint64_t node_id = desired->node_ids[(exchange->salt + i) % desired->count];
        if (may_ask(exchange, shard, node_id) &&
            (health == HEALTH_ANY || !fanout_is_avoided(exchange->fanout, node_id, now_ns)))
            return node_id;
    }
    return 0;
}

/*
 * The leader, here or elsewhere, as it knows all; then the replica here, if it may be read; then
 * others. Nodes that were silent come last.
 */
static enum choice choose(struct exchange *exchange, struct exchange_shard *shard,
                          uint64_t *node_id_out)
{
    uint64_t now_ns = fanout_now_ns(exchange->fanout);
    bool may_run_here = !shard->tried_here && hold(exchange, shard) && is_as_known(exchange, shard);
    if (may_run_here && leads_here(exchange, shard))
        return CHOICE_HERE;
    uint64_t leader = known_leader(exchange, shard);
    if (!may_ask(exchange, shard, leader))
        leader = 0;
    *node_id_out = leader;
    if (leader != 0 && !fanout_is_avoided(exchange->fanout, leader, now_ns))
        return CHOICE_NODE;
    if (may_run_here && is_readable_here(exchange, shard))
        return CHOICE_HERE;
    *node_id_out = some_replica(exchange, shard, HEALTH_GOOD, now_ns);
    if (*node_id_out == 0)
        *node_id_out = leader;
    if (*node_id_out == 0)
        *node_id_out = some_replica(exchange, shard, HEALTH_ANY, now_ns);
    return *node_id_out != 0 ? CHOICE_NODE : CHOICE_NONE;
}

enum choice exchange_choose(struct exchange *exchange, struct exchange_shard *shard,
                            uint64_t *node_id_out)
{
    enum choice choice = choose(exchange, shard, node_id_out);
    if (choice == CHOICE_HERE)
        shard->tried_here = true;
    if (choice == CHOICE_NODE)
        shard->tried[shard->tried_count++] = *node_id_out;
    return choice;
}

static bool leads(struct fanout *fanout, uint32_t shard_id)
{
    struct fanout_replicas *replicas = fanout->options.replicas;
    struct fanout_replica replica;
    if (!replicas->operations->hold(replicas, shard_id, &replica))
        return false;
    bool is_ready = replicas->operations->is_ready(replicas, &replica);
    replicas->operations->release(replicas, &replica);
    return is_ready;
}

bool fanout_leads_all(struct fanout *fanout)
{
    if (fanout->options.board == NULL)
        return true;
    struct cluster_view *view = cluster_board_view(fanout->options.board);
    if (view == NULL)
        return true; /* then nobody else is known */
    size_t count;
    const struct cluster_shard *shards = cluster_state_shards(cluster_view_state(view), &count);
    bool leads_all = true;
    for (size_t i = 0; leads_all && i < count; i++)
        leads_all = !cluster_board_is_split_off(fanout->options.board, cluster_view_state(view),
                                                shards[i].shard_id) ||
                    leads(fanout, shards[i].shard_id);
    cluster_view_unref(view);
    return leads_all;
}

void exchange_redirected(struct exchange *exchange, const struct exchange_call *call,
                         const struct frame_shard *status)
{
    struct cluster_board *board = exchange->fanout->options.board;
    atomic_fetch_add_explicit(&exchange->fanout->counters.redirected, 1, memory_order_relaxed);
    if (board == NULL)
        return;
    cluster_board_forget_leader(board, status->shard_id, call->node_id);
    if (status->leader != 0 && status->leader != call->node_id)
        cluster_board_note_leader(board, status->shard_id, status->leader);
}
