/*
 * Clients that delete as the API does: an entry for a shard, by matchers, routed to its leader; one
 * without an answer is sent again through another node. What a deletion covers and what of it must
 * be gone, the model knows (offered_samples.h).
 */
#include <assert.h>
#include <stdlib.h>

#include "cluster_world.h"

enum { TRIES_MAX = 12, PAUSE_MS = 400, BEFORE_MS_MAX = 3000, LENGTH_MS_MAX = 20000 };

enum deletion_kind { DELETE_ONE_SERIES, DELETE_AN_INSTANCE, DELETE_A_METRIC };

struct deletion {
    struct replica_entry entry; /* first */
    struct world *world;
    struct node *node; /* through which it goes */
    uint64_t life;
    enum deletion_kind kind;
    unsigned series;            /* the one, or one of them */
    uint32_t shard_id;          /* this and the next one of this attempt */
    bool covered[WORLD_SERIES]; /* of it, as the node knows the slots */
    int64_t start_ms, end_ms;
    uint64_t began_at; /* a moment: of this attempt */
    unsigned tries;
};

/* --- What it covers -------------------------------------------------------------------------- */

static bool matches(const struct deletion *deletion, unsigned series)
{
    static const char *const LABELS[] = {
        [DELETE_ONE_SERIES] = "number",
        [DELETE_AN_INSTANCE] = "instance",
        [DELETE_A_METRIC] = "__name__",
    };
    const struct world *world = deletion->world;
    struct text name = text_of(LABELS[deletion->kind]);
    return text_equal(labels_get(world->series[series].labels, name),
                      labels_get(world->series[deletion->series].labels, name));
}

static void find_covered(struct deletion *deletion)
{
    const struct world *world = deletion->world;
    struct slot_map map;
    node_slots(deletion->node, &map);
    deletion->shard_id = slot_map_shard(&map, world->series[deletion->series].slot);
    for (unsigned i = 0; i < WORLD_SERIES; i++)
        deletion->covered[i] = slot_map_shard(&map, world->series[i].slot) == deletion->shard_id &&
                               matches(deletion, i);
}

static struct matcher *matcher_of(const struct deletion *deletion)
{
    const struct labels *labels = &deletion->world->series[deletion->series].labels;
    struct matcher *matcher;
    struct error error;
    struct text name = deletion->kind == DELETE_ONE_SERIES    ? TEXT("number")
                       : deletion->kind == DELETE_AN_INSTANCE ? TEXT("instance")
                                                              : TEXT("__name__");
    if (matcher_create(MATCHER_EQUAL, name, labels_get(*labels, name), &matcher, &error) !=
        ERROR_NONE)
        abort();
    return matcher;
}

static void model_begin(struct deletion *deletion)
{
    struct world *world = deletion->world;
    deletion->began_at = ++world->moment;
    for (unsigned i = 0; i < WORLD_SERIES; i++)
        if (deletion->covered[i])
            offered_delete(&world->series[i].offered, deletion->start_ms, deletion->end_ms,
                           deletion->began_at);
}

static void model_end(struct deletion *deletion, enum offered_outcome outcome)
{
    struct world *world = deletion->world;
    uint64_t moment = ++world->moment;
    for (unsigned i = 0; i < WORLD_SERIES; i++)
        if (deletion->covered[i])
            offered_deleted(&world->series[i].offered, deletion->start_ms, deletion->end_ms,
                            deletion->began_at, moment, outcome);
    const struct offered_series *offered = &world->series[deletion->series].offered;
    for (size_t i = 0; i < offered->count; i++)
        world->counts.samples_deleted +=
            offered->samples[i].deleted && offered->samples[i].deleted_at == moment;
}

/* --- Sending --------------------------------------------------------------------------------- */

static void send(struct deletion *deletion);

static void end(struct deletion *deletion)
{
    deletion->world->requests_out--;
    free(deletion);
}

static void send_again(void *argument)
{
    struct deletion *deletion = argument;
    struct world *world = deletion->world;
    deletion->node = world->is_ending ? NULL : world_any(world);
    if (deletion->node != NULL)
        send(deletion);
    else
        end(deletion);
}

static void try_again(struct deletion *deletion)
{
    struct world *world = deletion->world;
    if (++deletion->tries == TRIES_MAX) {
        end(deletion);
        return;
    }
    simulated_scheduler_after(&world->base->scheduler, PAUSE_MS * UINT64_C(1000000), send_again,
                              deletion);
}

static void answered(struct replica_entry *entry)
{
    struct deletion *deletion = (struct deletion *)entry; /* its first member */
    struct world *world = deletion->world;
    struct node *node = deletion->node;
    if (entry->error.code != ERROR_NONE && entry->error.code != ERROR_UNAVAILABLE &&
        !node->disk.crashed)
        world_fail(world, "%s: %s", node->name, entry->error.message);
    bool is_done =
        entry->error.code == ERROR_NONE && node->is_alive && node->life == deletion->life;
    byte_buffer_clear(&entry->bytes);
    model_end(deletion, is_done ? OFFERED_STORED : OFFERED_UNKNOWN);
    if (is_done) {
        world->counts.deletions++;
        world->counts.deletions_of_many += deletion->kind != DELETE_ONE_SERIES;
        end(deletion);
        return;
    }
    world->counts.deletions_unanswered++;
    world->counts.deletions_moved +=
        node->is_alive && node->life == deletion->life &&
        cluster_board_splits(node->board, deletion->shard_id) > entry->splits;
    try_again(deletion);
}

static void send(struct deletion *deletion)
{
    struct node *node = deletion->node;
    find_covered(deletion);
    if (node_is_behind(node, deletion->shard_id)) { /* it would miss the child */
        try_again(deletion);
        return;
    }
    struct matcher *matcher = matcher_of(deletion);
    const struct matcher *const matchers[] = {matcher};
    struct error error;
    deletion->entry =
        (struct replica_entry){.origin = node->environment.scheduler,
                               .done = answered,
                               .splits = cluster_board_splits(node->board, deletion->shard_id)};
    if (shard_encode_delete(&deletion->entry.bytes, clock_now_ms(node->environment.clock),
                            TEXT("anonymous"), matchers, 1, deletion->start_ms, deletion->end_ms,
                            &error) != ERROR_NONE)
        abort();
    matcher_destroy(matcher);
    deletion->life = node->life;
    model_begin(deletion);
    write_router_propose(routing_router(node->routing), deletion->shard_id, &deletion->entry);
}

void client_delete(struct world *world, struct node *node)
{
    unsigned series = world_below(world, WORLD_SERIES);
    const struct offered_series *offered = &world->series[series].offered;
    if (offered->count == 0)
        return;
    struct deletion *deletion = calloc(1, sizeof *deletion);
    assert(deletion != NULL);
    uint32_t dice = world_below(world, 10);
    *deletion = (struct deletion){
        .world = world,
        .node = node,
        .kind = dice < 5   ? DELETE_ONE_SERIES
                : dice < 8 ? DELETE_AN_INSTANCE
                           : DELETE_A_METRIC,
        .series = series,
    };
    int64_t around_ms = offered->samples[world_below(world, (uint32_t)offered->count)].time_ms;
    deletion->start_ms = around_ms - world_below(world, BEFORE_MS_MAX);
    deletion->end_ms = around_ms + world_below(world, LENGTH_MS_MAX);
    world->requests_out++;
    send(deletion);
}
