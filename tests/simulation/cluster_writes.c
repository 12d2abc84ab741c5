/*
 * Clients that write as ingest does: samples by shard, each shard's part routed to its leader, a
 * part that was refused built anew and sent again for some seconds. A client that gets no answer
 * goes to another node with the same samples.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "cluster_world.h"
#include "shard/slots.h"
#include "simulated_write.h"

enum { SAMPLES_PER_WRITE = 16, RETRY_MS = 5000, PAUSE_FIRST_MS = 50, PAUSE_MS_MAX = 500 };

struct sample_of {
    unsigned series;
    int64_t time_ms;
};

struct client {
    struct world *world;
    struct node *node; /* through which it writes */
    uint64_t life;
    uint64_t started_ms;
    uint64_t pause_ms;
    bool is_second; /* it has the samples of another client, which got no answer */
    bool failed;
    bool refused;
    size_t outstanding;
    struct sample_of samples[SAMPLES_PER_WRITE];
    bool stored[SAMPLES_PER_WRITE]; /* answered for */
};

struct part {
    struct replica_write write; /* first */
    struct client *client;
    struct arena *arena;
    uint32_t shard_id;
    uint32_t splits;                       /* of it, as its node knew when it was sent */
    uint64_t began_at;                     /* a moment */
    unsigned series_of[SAMPLES_PER_WRITE]; /* of new_series */
    uint32_t places[SAMPLES_PER_WRITE];    /* [count] in samples; the shard reorders its columns */
    size_t count;
};

/* --- What was offered ------------------------------------------------------------------------ */

void time_list_add(struct time_list *list, int64_t time_ms)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity * 2 + 64;
        list->times_ms = realloc(list->times_ms, list->capacity * sizeof *list->times_ms);
        assert(list->times_ms != NULL);
    }
    list->times_ms[list->count++] = time_ms;
}

/* --- Slots ----------------------------------------------------------------------------------- */

void node_slots(const struct node *node, struct slot_map *map_out)
{
    struct cluster_view *view = cluster_board_view(node->board);
    size_t count = 0;
    slot_map_init(map_out, node->world->founding_shards); /* as formation has it */
    if (view != NULL)
        (void)cluster_state_shards(cluster_view_state(view), &count);
    if (count > 0)
        cluster_board_slots(node->board, cluster_view_state(view), map_out->shards);
    cluster_view_unref(view);
}

uint32_t node_shard_of(const struct node *node, unsigned series)
{
    struct slot_map map;
    node_slots(node, &map);
    return slot_map_shard(&map, node->world->series[series].slot);
}

bool node_is_behind(const struct node *node, uint32_t shard_id)
{
    struct cluster_view *view = cluster_board_view(node->board);
    uint32_t children =
        view == NULL ? 0 : cluster_state_count_children(cluster_view_state(view), shard_id);
    cluster_view_unref(view);
    return children < cluster_board_splits(node->board, shard_id);
}

/* --- Series ---------------------------------------------------------------------------------- */

void world_make_series(struct world *world)
{
    world->arena = arena_create(0);
    assert(world->arena != NULL);
    for (unsigned i = 0; i < WORLD_SERIES; i++) {
        struct world_series *series = &world->series[i];
        struct label labels[] = {
            {LABEL_METRIC_NAME, arena_format(world->arena, "metric_%u", i % 5)},
            {TEXT("instance"), arena_format(world->arena, "host-%u", i / 4)},
            {TEXT("job"), TEXT("simulation")},
            {TEXT("number"), arena_format(world->arena, "%u", i)},
        };
        series->labels = labels_build(world->arena, labels, 4);
        series->slot = series_slot(TEXT("anonymous"), series->labels, 4);
    }
}

void node_forget_series(struct node *node)
{
    memset(node->known, 0, sizeof node->known);
    for (size_t i = 0; i < WORLD_SERIES; i++) {
        node->acknowledged[i].count = 0;
        node->acknowledged_before[i] = node->world->series[i].acknowledged.count;
    }
}

/* --- Building -------------------------------------------------------------------------------- */

static uint64_t name_series(struct part *part, unsigned series)
{
    struct client *client = part->client;
    struct shard_write *write = &part->write.write;
    if (client->node->known[series].known)
        return client->node->known[series].id;
    for (size_t i = 0; i < write->new_series_count; i++)
        if (part->series_of[i] == series)
            return SHARD_SERIES_NEW | i;
    const struct world_series *of = &client->world->series[series];
    part->series_of[write->new_series_count] = series;
    write->new_series[write->new_series_count] =
        (struct shard_new_series){.labels = of->labels, .slot = of->slot, .id = SHARD_ID_UNKNOWN};
    return SHARD_SERIES_NEW | write->new_series_count++;
}

static struct part *part_create(struct client *client, uint32_t shard_id)
{
    struct part *part = calloc(1, sizeof *part);
    struct arena *arena = arena_create(0);
    assert(part != NULL && arena != NULL);
    part->client = client;
    part->arena = arena;
    part->shard_id = shard_id;
    part->splits = cluster_board_splits(client->node->board, shard_id);
    part->began_at = ++client->world->moment;
    simulated_write_init(&part->write.write, arena, SAMPLES_PER_WRITE);
    return part;
}

static void part_add(struct part *part, uint32_t place)
{
    const struct sample_of *sample = &part->client->samples[place];
    part->places[part->count++] = place;
    simulated_write_add(&part->write.write, name_series(part, sample->series), sample->series,
                        sample->time_ms, place);
    offered_attempt(&part->client->world->series[sample->series].offered, sample->time_ms);
}

/* --- Answers --------------------------------------------------------------------------------- */

static void send(struct client *client);

static void begin_client(struct world *world, struct node *node, const struct sample_of *samples,
                         bool is_second)
{
    struct client *client = calloc(1, sizeof *client);
    assert(client != NULL);
    client->world = world;
    client->node = node;
    client->life = node->life;
    client->started_ms = world_now_ms(world);
    client->is_second = is_second;
    memcpy(client->samples, samples, sizeof client->samples);
    world->requests_out++;
    send(client);
}

static bool node_is_there(const struct client *client)
{
    return client->node->is_alive && client->node->life == client->life;
}

static void end_client(struct client *client)
{
    struct world *world = client->world;
    if (client->failed) {
        world->counts.writes_given_up++;
        struct node *other = world->is_ending ? NULL : world_any(world);
        if (other != NULL && !client->is_second) {
            world->counts.writes_twice++;
            begin_client(world, other, client->samples, true);
        }
    } else {
        world->counts.writes_acknowledged += !client->refused;
    }
    world->requests_out--;
    free(client);
}

static void send_later(void *argument)
{
    struct client *client = argument;
    if (node_is_there(client))
        send(client);
    else
        end_client(client);
}

/* All parts are answered. */
static void conclude(struct client *client)
{
    struct world *world = client->world;
    if (client->failed && node_is_there(client) && !world->is_ending &&
        world_now_ms(world) - client->started_ms < RETRY_MS) {
        client->pause_ms = client->pause_ms == 0 ? PAUSE_FIRST_MS : client->pause_ms * 2;
        if (client->pause_ms > PAUSE_MS_MAX)
            client->pause_ms = PAUSE_MS_MAX;
        simulated_scheduler_after(&world->base->scheduler, client->pause_ms * 1000000, send_later,
                                  client);
        return;
    }
    end_client(client);
}

static void acknowledge(struct part *part)
{
    struct client *client = part->client;
    struct world *world = client->world;
    for (size_t i = 0; i < part->count; i++) {
        const struct sample_of *sample = &client->samples[part->places[i]];
        struct world_series *series = &world->series[sample->series];
        client->stored[part->places[i]] = true;
        time_list_add(&series->acknowledged, sample->time_ms);
        time_list_add(&client->node->acknowledged[sample->series], sample->time_ms);
        world->counts.samples_acknowledged++;
    }
}

static void answer(struct part *part, enum offered_outcome outcome)
{
    struct world *world = part->client->world;
    uint64_t moment = ++world->moment;
    for (size_t i = 0; i < part->count; i++) {
        const struct sample_of *sample = &part->client->samples[part->places[i]];
        offered_answer(&world->series[sample->series].offered, sample->time_ms, part->began_at,
                       moment, outcome);
    }
}

/* What is left out because it is too new for the leader's clock is for the client to know. */
static bool was_refused(struct part *part)
{
    const struct shard_write *write = &part->write.write;
    size_t future = write->refused_counts[SHARD_REFUSED_FUTURE], refused = 0;
    for (size_t i = 0; i < SHARD_REFUSAL_REASONS; i++)
        refused += write->refused_counts[i];
    if (refused > future)
        world_fail(part->client->world, "%s: a sample was refused", part->client->node->name);
    part->client->world->counts.samples_refused += refused;
    return refused > 0;
}

static void learn(struct part *part)
{
    const struct shard_write *write = &part->write.write;
    struct known_series *known = part->client->node->known;
    for (size_t i = 0; i < write->new_series_count; i++)
        known[part->series_of[i]] = (struct known_series){
            write->new_series[i].id != SHARD_ID_UNKNOWN, write->new_series[i].id};
    for (size_t i = 0; i < write->stale_count; i++)
        known[part->client->samples[write->stale_origins[i]].series].known = false;
    part->client->world->counts.ids_stale += write->stale_count;
}

/* It was answered that its slots are another shard's. */
static bool was_moved(const struct part *part)
{
    const struct client *client = part->client;
    return part->write.error.code != ERROR_NONE && node_is_there(client) &&
           cluster_board_splits(client->node->board, part->shard_id) > part->splits;
}

static void part_done(struct replica_write *base)
{
    struct part *part = (struct part *)base; /* its first member */
    struct client *client = part->client;
    if (base->error.code != ERROR_NONE && base->error.code != ERROR_UNAVAILABLE &&
        !client->node->disk.crashed)
        world_fail(client->world, "%s: %s", client->node->name, base->error.message);
    client->world->counts.moved += was_moved(part);
    bool is_stored = base->error.code == ERROR_NONE && node_is_there(client);
    if (is_stored)
        learn(part);
    if (!is_stored || base->write.stale_count > 0) {
        answer(part, OFFERED_UNKNOWN);
        client->failed = true;
    } else if (was_refused(part)) {
        answer(part, OFFERED_UNKNOWN);
        client->refused = true;
        for (size_t i = 0; i < part->count; i++)
            client->stored[part->places[i]] = true; /* it is not sent again */
    } else {
        answer(part, OFFERED_STORED);
        acknowledge(part);
    }
    arena_destroy(part->arena);
    free(part);
    if (--client->outstanding == 0)
        conclude(client);
}

/* --- Sending --------------------------------------------------------------------------------- */

static void send(struct client *client)
{
    struct world *world = client->world;
    struct part *parts[WORLD_SHARDS_MAX] = {NULL};
    struct slot_map map;
    node_slots(client->node, &map);
    client->failed = false;
    for (uint32_t i = 0; i < SAMPLES_PER_WRITE; i++) {
        uint32_t shard = slot_map_shard(&map, world->series[client->samples[i].series].slot);
        if (client->stored[i])
            continue;
        if (parts[shard] == NULL)
            parts[shard] = part_create(client, shard);
        part_add(parts[shard], i);
    }
    client->outstanding = 1;
    for (uint32_t shard = 0; shard < WORLD_SHARDS_MAX; shard++) {
        if (parts[shard] == NULL)
            continue;
        client->outstanding++;
        world->counts.attempts++;
        parts[shard]->write.origin = client->node->environment.scheduler;
        parts[shard]->write.done = part_done;
        write_router_write(routing_router(client->node->routing), shard, &parts[shard]->write);
    }
    if (--client->outstanding == 0)
        conclude(client);
}

/* What was deleted may be written again; 0: nothing was. */
static int64_t choose_deleted(struct world *world, unsigned series)
{
    const struct offered_series *offered = &world->series[series].offered;
    for (size_t i = 0; i < 20 && offered->count > 0; i++) {
        const struct offered_sample *sample =
            &offered->samples[world_below(world, (uint32_t)offered->count)];
        if (sample->deleted)
            return sample->time_ms;
    }
    return 0;
}

void client_write(struct world *world, struct node *node)
{
    struct sample_of samples[SAMPLES_PER_WRITE];
    /* Some series are quiet for long. */
    uint32_t from = (uint32_t)(clock_now_ms(world->base->base.clock) / 1800000);
    for (uint32_t i = 0; i < SAMPLES_PER_WRITE; i++) {
        samples[i].series = (from * 7 + world_below(world, WORLD_SERIES / 2)) % WORLD_SERIES;
        int64_t deleted_ms = world_chance(world, 10) ? choose_deleted(world, samples[i].series) : 0;
        world->counts.written_again += deleted_ms != 0;
        samples[i].time_ms =
            deleted_ms != 0 ? deleted_ms
                            : simulated_write_time(&world->random.base, world->base->base.clock);
        (void)offered_add(&world->series[samples[i].series].offered, samples[i].time_ms);
    }
    world->counts.writes++;
    begin_client(world, node, samples, false);
    if (world_chance(world, 3)) { /* it was impatient */
        struct node *other = world_any(world);
        world->counts.writes_twice++;
        begin_client(world, other == NULL ? node : other, samples, true);
    }
}
