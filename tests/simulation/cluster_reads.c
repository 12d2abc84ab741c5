/* What must be readable at any time: by the rule of replica_is_readable what a node acknowledged
 * itself, after replica_confirm all that was acknowledged before. */
#include <assert.h>
#include <stdlib.h>

#include "cluster_world.h"

/* --- A series -------------------------------------------------------------------------------- */

void node_read_series(struct node *node, struct replica *replica, unsigned series,
                      read_columns *read, void *context)
{
    struct arena *arena = arena_create(0);
    struct matcher *matcher = NULL;
    struct series_set *set = NULL;
    struct series_reader *reader = NULL;
    struct sample_columns columns = {0};
    struct error error;
    assert(arena != NULL);
    enum error_code code = matcher_create(MATCHER_EQUAL, TEXT("number"),
                                          arena_format(arena, "%u", series), &matcher, &error);
    const struct matcher *const matchers[] = {matcher};
    struct series_request request = {
        .tenant = TEXT("anonymous"),
        .matchers = matchers,
        .matcher_count = 1,
        .start_ms = INT64_MIN,
        .end_ms = INT64_MAX,
        .arena = arena,
    };
    if (code == ERROR_NONE)
        code = series_source_select(shard_source(replica_shard(replica)), &request, &set, &error);
    if (code == ERROR_NONE)
        code = series_reader_open(set, &reader, &error);
    if (code == ERROR_NONE && set->count > 1)
        world_fail(node->world, "%s: series %u is there %zu times", node->name, series, set->count);
    if (code == ERROR_NONE && set->count == 1)
        code = series_reader_read(reader, 0, &columns, &error);
    bool is_rotten = code == ERROR_CORRUPT && node_is_rotting(node);
    node->world->counts.damage_read += is_rotten;
    if (code != ERROR_NONE && !node->disk.crashed && !is_rotten)
        world_fail(node->world, "%s: %s", node->name, error.message);
    if (code == ERROR_NONE)
        read(context, &columns);
    series_reader_close(reader);
    series_set_close(set);
    matcher_destroy(matcher);
    arena_destroy(arena);
}

static bool has_time(const struct sample_columns *columns, int64_t time_ms)
{
    size_t low = 0, high = columns->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (columns->timestamps_ms[middle] < time_ms)
            low = middle + 1;
        else
            high = middle;
    }
    return low < columns->count && columns->timestamps_ms[low] == time_ms;
}

struct expected {
    struct node *node;
    unsigned series;
    const struct time_list *times;
    size_t count;    /* of them */
    uint64_t moment; /* deletions before it are in force */
    const char *why;
};

/* What is deleted meanwhile may or may not be there. */
static bool is_due(const struct offered_series *offered, int64_t time_ms)
{
    const struct offered_sample *sample = offered_find(offered, time_ms);
    return offered_must_be_there(offered, sample) && !sample->was_deleted;
}

static void check_found(const struct expected *expected, int64_t time_ms, double value)
{
    struct world *world = expected->node->world;
    const struct offered_sample *sample =
        offered_find(&world->series[expected->series].offered, time_ms);
    if (sample == NULL || value != offered_value(expected->series, time_ms))
        world_fail(world, "%s: series %u at %lld is altered", expected->node->name,
                   expected->series, (long long)time_ms);
    if (sample->deleted && sample->deleted_at <= expected->moment)
        world_fail(world, "%s shows series %u at %lld, which was deleted", expected->node->name,
                   expected->series, (long long)time_ms);
}

static void check_columns(void *context, const struct sample_columns *columns)
{
    const struct expected *expected = context;
    struct world *world = expected->node->world;
    const struct offered_series *offered = &world->series[expected->series].offered;
    for (size_t i = 0; i < columns->count; i++)
        check_found(expected, columns->timestamps_ms[i], columns->values[i]);
    for (size_t i = 0; i < expected->count; i++)
        if (!has_time(columns, expected->times->times_ms[i]) &&
            is_due(offered, expected->times->times_ms[i]))
            world_fail(world, "%s does not show series %u at %lld, %s", expected->node->name,
                       expected->series, (long long)expected->times->times_ms[i], expected->why);
    world->counts.samples_read += columns->count;
}

/* --- What the node must know ----------------------------------------------------------------- */

/* Whether the replica was split as often as its node knows: queries are answered by no other. */
static bool is_as_known(const struct node *node, uint32_t shard_id, struct replica *replica)
{
    bool is_known =
        !node_is_behind(node, shard_id) &&
        shard_split_count(replica_shard(replica)) == cluster_board_splits(node->board, shard_id);
    node->world->counts.unreadable_by_splits += !is_known;
    return is_known;
}

void node_read_own(struct node *node)
{
    struct world *world = node->world;
    unsigned series = world_below(world, WORLD_SERIES);
    uint32_t shard_id = node_shard_of(node, series);
    struct replica *replica = replica_table_hold(node->table, shard_id);
    if (replica == NULL)
        return;
    if (is_as_known(node, shard_id, replica) &&
        replica_is_readable(replica, cluster_board_written(node->board, shard_id))) {
        struct expected expected = {node,
                                    series,
                                    &node->acknowledged[series],
                                    node->acknowledged[series].count,
                                    0,
                                    "which it has acknowledged itself"};
        struct expected former = {node,
                                  series,
                                  &world->series[series].acknowledged,
                                  node->acknowledged_before[series],
                                  0,
                                  "which was acknowledged before it was started"};
        node_read_series(node, replica, series, check_columns, &expected);
        node_read_series(node, replica, series, check_columns, &former);
        world->counts.reads++;
    } else {
        world->counts.reads_unreadable++;
    }
    replica_table_release(node->table, shard_id);
}

/* --- After a confirmation -------------------------------------------------------------------- */

struct confirming {
    struct replica_confirm confirm; /* first */
    struct expected expected;
    struct replica *replica;
    uint32_t shard_id;
    uint32_t splits;
};

static void confirmed(struct replica_confirm *confirm, const struct error *error)
{
    struct confirming *confirming = (struct confirming *)confirm;
    struct expected *expected = &confirming->expected;
    struct world *world = expected->node->world;
    if (error->code == ERROR_NONE && expected->node->is_alive &&
        shard_split_count(replica_shard(confirming->replica)) == confirming->splits) {
        node_read_series(expected->node, confirming->replica, expected->series, check_columns,
                         expected);
        world->counts.reads_confirmed++;
    }
    replica_table_release(expected->node->table, confirming->shard_id);
    world->requests_out--;
    free(confirming);
}

void node_read_confirmed(struct node *node)
{
    struct world *world = node->world;
    unsigned series = world_below(world, WORLD_SERIES);
    uint32_t shard_id = node_shard_of(node, series);
    if (node_is_behind(node, shard_id))
        return;
    struct replica *replica = replica_table_hold(node->table, shard_id);
    if (replica == NULL)
        return;
    struct confirming *confirming = calloc(1, sizeof *confirming);
    assert(confirming != NULL);
    confirming->confirm.done = confirmed;
    confirming->replica = replica;
    confirming->shard_id = shard_id;
    confirming->splits = cluster_board_splits(node->board, shard_id);
    confirming->expected =
        (struct expected){node,
                          series,
                          &world->series[series].acknowledged,
                          world->series[series].acknowledged.count,
                          world->moment,
                          "which was acknowledged before it was confirmed as leader"};
    world->requests_out++;
    replica_confirm(replica, &confirming->confirm);
}
