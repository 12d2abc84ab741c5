/* What must be readable at any time: by the rule of replica_is_readable what a node acknowledged
 * itself, after replica_confirm all that was acknowledged before. */
#include <assert.h>
#include <stdlib.h>

#include "cluster_world.h"
#include "shard/slots.h"

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
    if (code != ERROR_NONE && !node->disk.crashed)
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
    size_t count; /* of them */
    const char *why;
};

static void check_columns(void *context, const struct sample_columns *columns)
{
    const struct expected *expected = context;
    struct world *world = expected->node->world;
    for (size_t i = 0; i < columns->count; i++)
        if (columns->values[i] != offered_value(expected->series, columns->timestamps_ms[i]))
            world_fail(world, "%s: series %u at %lld is altered", expected->node->name,
                       expected->series, (long long)columns->timestamps_ms[i]);
    for (size_t i = 0; i < expected->count; i++)
        if (!has_time(columns, expected->times->times_ms[i]))
            world_fail(world, "%s does not show series %u at %lld, %s", expected->node->name,
                       expected->series, (long long)expected->times->times_ms[i], expected->why);
    world->counts.samples_read += columns->count;
}

static uint32_t shard_of(const struct world *world, unsigned series)
{
    struct slot_map map;
    slot_map_init(&map, world->shard_count);
    return slot_map_shard(&map, world->series[series].slot);
}

/* --- What the node must know ----------------------------------------------------------------- */

void node_read_own(struct node *node)
{
    struct world *world = node->world;
    unsigned series = world_below(world, WORLD_SERIES);
    uint32_t shard_id = shard_of(world, series);
    struct replica *replica = replica_table_hold(node->table, shard_id);
    if (replica == NULL)
        return;
    if (replica_is_readable(replica, cluster_board_written(node->board, shard_id))) {
        struct expected expected = {node, series, &node->acknowledged[series],
                                    node->acknowledged[series].count,
                                    "which it has acknowledged itself"};
        struct expected former = {node, series, &world->series[series].acknowledged,
                                  node->acknowledged_before[series],
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
};

static void confirmed(struct replica_confirm *confirm, const struct error *error)
{
    struct confirming *confirming = (struct confirming *)confirm;
    struct expected *expected = &confirming->expected;
    struct world *world = expected->node->world;
    if (error->code == ERROR_NONE && expected->node->is_alive) {
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
    uint32_t shard_id = shard_of(world, series);
    struct replica *replica = replica_table_hold(node->table, shard_id);
    if (replica == NULL)
        return;
    struct confirming *confirming = calloc(1, sizeof *confirming);
    assert(confirming != NULL);
    confirming->confirm.done = confirmed;
    confirming->replica = replica;
    confirming->shard_id = shard_id;
    confirming->expected = (struct expected){
        node, series, &world->series[series].acknowledged, world->series[series].acknowledged.count,
        "which was acknowledged before it was confirmed as leader"};
    world->requests_out++;
    replica_confirm(replica, &confirming->confirm);
}
