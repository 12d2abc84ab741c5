/* What a leader has heard from nodes since it leads. Times are its own monotonic milliseconds. */
#include <stdlib.h>

#include "meta_private.h"

struct leadership *leadership_create(const struct meta *meta)
{
    struct leadership *leadership = calloc(1, sizeof *leadership);
    if (leadership != NULL) {
        leadership->since_ms = meta_now_ms(meta);
        leadership->previous_index = UINT64_MAX;
    }
    return leadership;
}

void leadership_destroy(struct leadership *leadership)
{
    if (leadership == NULL)
        return;
    free(leadership->nodes);
    free(leadership->shards);
    byte_buffer_clear(&leadership->answer);
    free(leadership);
}

/* --- Nodes --------------------------------------------------------------------------------- */

/* Where it is, or belongs. */
static size_t place_of(const struct leadership *leadership, uint64_t node_id)
{
    size_t low = 0, high = leadership->node_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (leadership->nodes[middle].node_id < node_id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct heard_node *leadership_find(const struct leadership *leadership, uint64_t node_id)
{
    size_t place = place_of(leadership, node_id);
    bool there = place < leadership->node_count && leadership->nodes[place].node_id == node_id;
    return there ? &leadership->nodes[place] : NULL;
}

uint64_t leadership_heard_ms(const struct leadership *leadership, uint64_t node_id)
{
    const struct heard_node *heard = leadership_find(leadership, node_id);
    return heard == NULL ? leadership->since_ms : heard->heard_ms;
}

static bool is_recent(const struct meta *meta, uint64_t heard_ms)
{
    return meta_now_ms(meta) - heard_ms < meta->options.alive_ms;
}

/* Without a word yet it is alive for as long as one that has just spoken: a new leader takes no
 * silence for death that it did not hear. */
bool leadership_is_alive(const struct meta *meta, uint64_t node_id)
{
    return is_recent(meta, leadership_heard_ms(meta->leadership, node_id));
}

static struct heard_node *add_node(struct leadership *leadership, uint64_t node_id)
{
    struct heard_node *heard = (struct heard_node *)leadership_find(leadership, node_id);
    if (heard != NULL)
        return heard;
    if (leadership->node_count == leadership->node_capacity) {
        size_t capacity = leadership->node_capacity * 2 + 8;
        struct heard_node *nodes = reallocarray(leadership->nodes, capacity, sizeof *nodes);
        if (nodes == NULL)
            return NULL;
        leadership->nodes = nodes;
        leadership->node_capacity = capacity;
    }
    size_t place = place_of(leadership, node_id);
    heard = &leadership->nodes[place];
    memmove(heard + 1, heard, (leadership->node_count - place) * sizeof *heard);
    leadership->node_count++;
    *heard = (struct heard_node){.node_id = node_id};
    return heard;
}

/* --- Shards -------------------------------------------------------------------------------- */

static bool reserve_shards(struct leadership *leadership, size_t count)
{
    if (count <= leadership->shard_count)
        return true;
    struct heard_shard *shards = reallocarray(leadership->shards, count, sizeof *shards);
    if (shards == NULL)
        return false;
    memset(shards + leadership->shard_count, 0, (count - leadership->shard_count) * sizeof *shards);
    leadership->shards = shards;
    leadership->shard_count = count;
    return true;
}

/* Of two that say they lead, the one that began later; the other does not know yet. */
static void hear_shard(const struct meta *meta, struct heard_shard *heard, uint64_t node_id,
                       const struct meta_shard_report *shard)
{
    int64_t now_ms = (int64_t)meta_now_ms(meta);
    int64_t since_ms = now_ms - (int64_t)shard->leading_ms;
    struct placement_shard_view *view = &heard->view;
    bool is_other = view->leader != 0 && view->leader != node_id;
    if (is_other && is_recent(meta, heard->heard_ms) && since_ms <= view->leader_since_ms)
        return;
    heard->heard_ms = (uint64_t)now_ms;
    view->leader = node_id;
    view->leader_since_ms = since_ms;
    view->transferring = shard->transferring;
    view->size_bytes = shard->size_bytes;
    view->member_count = shard->member_count;
    memcpy(view->members, shard->members, sizeof view->members);
}

/* What the node led and does not name any more. */
static void forget_shards(struct leadership *leadership, uint64_t node_id, uint64_t now_ms)
{
    for (size_t i = 0; i < leadership->shard_count; i++) {
        struct heard_shard *heard = &leadership->shards[i];
        if (heard->view.leader == node_id && heard->heard_ms != now_ms)
            heard->view.leader = 0;
    }
}

static bool hear_shards(struct meta *meta, const struct report *report)
{
    struct leadership *leadership = meta->leadership;
    size_t count;
    cluster_state_shards(meta->state, &count);
    if (!reserve_shards(leadership, count))
        return false;
    for (size_t i = 0; i < leadership->shard_count; i++)
        if (leadership->shards[i].view.leader == report->node_id)
            leadership->shards[i].heard_ms = 0;
    for (size_t i = 0; i < report->contents.shard_count; i++) {
        const struct meta_shard_report *shard = &report->contents.shards[i];
        if (shard->shard_id < leadership->shard_count)
            hear_shard(meta, &leadership->shards[shard->shard_id], report->node_id, shard);
    }
    forget_shards(leadership, report->node_id, meta_now_ms(meta));
    return true;
}

bool leadership_hear(struct meta *meta, const struct report *report)
{
    struct heard_node *heard = add_node(meta->leadership, report->node_id);
    if (heard == NULL || !hear_shards(meta, report))
        return false;
    uint64_t now_ms = meta_now_ms(meta);
    *heard = (struct heard_node){
        .node_id = report->node_id,
        .heard_ms = now_ms,
        .clock_offset_ms = report->clock_ms - (int64_t)now_ms,
        .state_index = report->state_index,
        .slow_disk = report->contents.slow_disk,
        .stopping = report->contents.stopping,
    };
    meta->reports_heard++;
    return true;
}

/* --- Time ---------------------------------------------------------------------------------- */

static int compare_offsets(const void *left, const void *right)
{
    int64_t one = *(const int64_t *)left, other = *(const int64_t *)right;
    return one < other ? -1 : one > other;
}

int64_t leadership_agreed_ms(const struct meta *meta)
{
    const struct leadership *leadership = meta->leadership;
    int64_t offsets[CLUSTER_NODES_MAX];
    size_t count = 0;
    for (size_t i = 0; i < leadership->node_count && count < CLUSTER_NODES_MAX; i++)
        if (is_recent(meta, leadership->nodes[i].heard_ms))
            offsets[count++] = leadership->nodes[i].clock_offset_ms;
    if (count == 0)
        return clock_now_ms(meta->options.environment->clock);
    qsort(offsets, count, sizeof offsets[0], compare_offsets);
    return (int64_t)meta_now_ms(meta) + offsets[(count - 1) / 2]; /* of two the earlier */
}

/* --- Observation --------------------------------------------------------------------------- */

static struct placement_node_view view_of(const struct meta *meta, uint64_t node_id)
{
    const struct heard_node *heard = leadership_find(meta->leadership, node_id);
    return (struct placement_node_view){
        .node_id = node_id,
        .alive = leadership_is_alive(meta, node_id),
        .slow_disk = heard != NULL && (heard->slow_disk || heard->stopping),
        .dead_since_ms = (int64_t)leadership_heard_ms(meta->leadership, node_id),
    };
}

bool leadership_observe(const struct meta *meta, struct arena *arena,
                        struct placement_observation *observation_out)
{
    const struct leadership *leadership = meta->leadership;
    size_t node_count, shard_count;
    const struct cluster_node *nodes = cluster_state_nodes(meta->state, &node_count);
    cluster_state_shards(meta->state, &shard_count);
    struct placement_node_view *node_views = arena_array(arena, node_count, sizeof *node_views);
    struct placement_shard_view *shard_views = arena_array(arena, shard_count, sizeof *shard_views);
    if (node_views == NULL || shard_views == NULL)
        return false;
    for (size_t i = 0; i < node_count; i++)
        node_views[i] = view_of(meta, nodes[i].node_id);
    for (size_t i = 0; i < shard_count && i < leadership->shard_count; i++)
        if (is_recent(meta, leadership->shards[i].heard_ms))
            shard_views[i] = leadership->shards[i].view;
    *observation_out = (struct placement_observation){
        .now_ms = (int64_t)meta_now_ms(meta),
        .nodes = node_views,
        .node_count = node_count,
        .shards = shard_views,
        .shard_count = shard_count,
    };
    return true;
}
