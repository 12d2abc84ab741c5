/*
 * What operators see and ask. Questions come on any loop, meta belongs to loop 0, answers go back
 * to where the question came from.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster_json.h"
#include "node_cluster.h"

enum { OBSERVE_TIMEOUT_MS = 3000, COMMAND_TIMEOUT_MS = 15 * 1000 };

/* --- Looking --------------------------------------------------------------------------------- */

struct picture {
    struct meta_observe observe; /* first */
    struct task task;
    struct node *node;
    struct scheduler *origin;
    void (*done)(void *argument, struct byte_buffer *json, const struct error *error);
    void *argument;
    struct byte_buffer json;
    struct error error;
};

static void picture_answer(struct task *task)
{
    struct picture *picture = (struct picture *)((char *)task - offsetof(struct picture, task));
    picture->done(picture->argument, &picture->json, &picture->error);
    free(picture);
}

static void picture_end(struct picture *picture)
{
    if (picture->error.code == ERROR_NONE && picture->json.failed)
        error_set(&picture->error, ERROR_UNAVAILABLE, "not enough memory");
    picture->task.run = picture_answer;
    scheduler_post(picture->origin, &picture->task);
}

static void note_files(void *context, uint32_t shard_id, struct replica *replica)
{
    struct cluster_json_files *files = context;
    struct shard_statistics statistics;
    shard_read_statistics(replica_shard(replica), &statistics);
    files[shard_id] = (struct cluster_json_files){
        .is_known = statistics.lacks_slots,
        .unsplit_files = statistics.unsplit_count,
        .unsplit_bytes = statistics.unsplit_bytes,
    };
}

static void describe(struct picture *picture, const struct meta_observation *observation)
{
    struct node *node = picture->node;
    struct cluster_json_files *files = calloc(CLUSTER_SHARDS_MAX, sizeof *files);
    if (files == NULL) {
        picture->json.failed = true;
        return;
    }
    replica_table_visit(node->replicas, note_files, files);
    cluster_json(observation, node->settings->cluster_node, files, CLUSTER_SHARDS_MAX,
                 &picture->json);
    free(files);
}

/* Without a leader of the meta group: what is desired, as this node knows it. */
static void picture_of_state(struct picture *picture)
{
    struct node *node = picture->node;
    struct cluster_view *view = cluster_board_view(node->cluster->board);
    if (view == NULL) {
        error_set(&picture->error, ERROR_UNAVAILABLE, "this node is not in a cluster yet");
        return;
    }
    const struct meta_observation observation = {.state = cluster_view_state(view)};
    describe(picture, &observation);
    cluster_view_unref(view);
}

static void observed(struct meta_observe *observe, const struct meta_observation *observation,
                     const struct error *error)
{
    struct picture *picture = (struct picture *)observe;
    error_clear(&picture->error);
    if (error->code == ERROR_NONE)
        describe(picture, observation);
    else
        picture_of_state(picture);
    picture_end(picture);
}

static void ask_picture(struct task *task)
{
    struct picture *picture = (struct picture *)((char *)task - offsetof(struct picture, task));
    struct meta *meta = picture->node->cluster->meta;
    if (meta == NULL) {
        error_set(&picture->error, ERROR_UNAVAILABLE, "shutting down");
        picture_end(picture);
        return;
    }
    picture->observe.timeout_ms = OBSERVE_TIMEOUT_MS;
    picture->observe.done = observed;
    meta_observe(meta, &picture->observe);
}

/* --- A node alone ---------------------------------------------------------------------------- */

static void append_alone_shard(void *context, uint32_t shard_id, struct replica *replica)
{
    struct byte_buffer *json = context;
    char text[256];
    struct shard_statistics statistics;
    if (json->failed)
        return;
    shard_read_statistics(replica_shard(replica), &statistics);
    snprintf(text, sizeof text,
             "%s{\"shard\":%u,\"group\":%llu,\"leader\":%s,\"sizeBytes\":%llu,\"settled\":true,",
             json->bytes[json->size - 1] == '[' ? "" : ",", shard_id,
             (unsigned long long)hosting_group_of(shard_id),
             replica_is_ready(replica) ? "\"self\"" : "null",
             (unsigned long long)(statistics.part_bytes + statistics.block_bytes));
    byte_buffer_append(json, text, strlen(text));
    if (statistics.lacks_slots) {
        snprintf(text, sizeof text, "\"unsplitFiles\":%llu,\"unsplitBytes\":%llu,",
                 (unsigned long long)statistics.unsplit_count,
                 (unsigned long long)statistics.unsplit_bytes);
        byte_buffer_append(json, text, strlen(text));
    }
    snprintf(
        text, sizeof text, "\"series\":%llu,\"appliedIndex\":%llu,\"parts\":%llu,\"blocks\":%llu}",
        (unsigned long long)statistics.series_count, (unsigned long long)statistics.applied_index,
        (unsigned long long)statistics.part_count, (unsigned long long)statistics.block_count);
    byte_buffer_append(json, text, strlen(text));
}

static void append_text(struct byte_buffer *json, const char *text)
{
    byte_buffer_append(json, text, strlen(text));
}

static void describe_alone(struct picture *picture)
{
    struct node *node = picture->node;
    append_text(&picture->json, "{\"name\":null,\"alone\":true");
    cluster_json_roles(&picture->json, node->settings->roles);
    append_text(&picture->json, ",\"nodes\":[],\"shards\":[");
    replica_table_visit(node->replicas, append_alone_shard, &picture->json);
    append_text(&picture->json, "]}");
    picture_end(picture);
}

void node_describe_cluster(struct node *node, struct scheduler *origin,
                           void (*done)(void *argument, struct byte_buffer *json,
                                        const struct error *error),
                           void *argument)
{
    struct picture *picture = calloc(1, sizeof *picture);
    if (picture == NULL) {
        struct error error;
        struct byte_buffer nothing = {0};
        error_set(&error, ERROR_UNAVAILABLE, "not enough memory");
        done(argument, &nothing, &error);
        return;
    }
    *picture = (struct picture){.node = node,
                                .origin = origin,
                                .done = done,
                                .argument = argument,
                                .task.run = ask_picture};
    error_clear(&picture->error);
    if (node->cluster == NULL)
        describe_alone(picture);
    else
        scheduler_post(node->loops[0].environment.scheduler, &picture->task);
}

/* --- Commands -------------------------------------------------------------------------------- */

struct order {
    struct meta_command command; /* first */
    struct task task;
    struct node *node;
    struct scheduler *origin;
    void (*done)(void *argument, const struct error *error);
    void *argument;
    struct error error;
};

static void order_answer(struct task *task)
{
    struct order *order = (struct order *)((char *)task - offsetof(struct order, task));
    order->done(order->argument, &order->error);
    free(order);
}

static void order_end(struct order *order, const struct error *error)
{
    order->error = *error;
    order->task.run = order_answer;
    scheduler_post(order->origin, &order->task);
}

static void ordered(struct meta_command *command, const struct error *error)
{
    order_end((struct order *)command, error);
}

static void give_order(struct task *task)
{
    struct order *order = (struct order *)((char *)task - offsetof(struct order, task));
    struct meta *meta = order->node->cluster->meta;
    struct error error;
    if (meta == NULL) {
        error_set(&error, ERROR_UNAVAILABLE, "shutting down");
        order_end(order, &error);
        return;
    }
    order->command.timeout_ms = COMMAND_TIMEOUT_MS;
    order->command.done = ordered;
    meta_command(meta, &order->command);
}

static enum error_code fill_order(const struct api_cluster_command *asked, struct order *order,
                                  struct error *error)
{
    struct topology topology;
    static const enum meta_command_kind KINDS[API_CLUSTER_ACTIONS] = {
        [API_CLUSTER_DRAIN] = META_DRAIN_NODE,
        [API_CLUSTER_UNDRAIN] = META_UNDRAIN_NODE,
        [API_CLUSTER_REMOVE] = META_REMOVE_NODE,
        [API_CLUSTER_REBALANCE] = META_REBALANCE,
        [API_CLUSTER_REPLICATION] = META_SET_REPLICATION,
        [API_CLUSTER_HOLD_VERSION] = META_HOLD_VERSION,
        [API_CLUSTER_RAISE_VERSION] = META_RAISE_VERSION,
        [API_CLUSTER_SPLIT] = META_SPLIT_SHARD,
    };
    if (asked->node.size > CLUSTER_NAME_BYTES_MAX)
        return error_set(error, ERROR_NOT_FOUND, "no node has so long a name");
    if (asked->action == API_CLUSTER_REPLICATION && asked->number > CLUSTER_REPLICAS_MAX)
        return error_set(error, ERROR_INVALID, "at most %d replicas", CLUSTER_REPLICAS_MAX);
    struct cluster_view *view = cluster_board_view(order->node->cluster->board);
    node_topology(order->node, view, &topology);
    cluster_view_unref(view);
    order->command.kind = KINDS[asked->action];
    order->command.shard_count = topology.slots.shard_count;
    order->command.force = asked->force ? META_FORCED : META_ASKED;
    if (asked->action == API_CLUSTER_REPLICATION)
        order->command.replication = (uint32_t)asked->number;
    order->command.shard_id =
        asked->number < CLUSTER_SHARD_NONE ? (uint32_t)asked->number : CLUSTER_SHARD_NONE;
    snprintf(order->command.node_name, sizeof order->command.node_name, "%.*s",
             TEXT_ARGUMENTS(asked->node));
    return ERROR_NONE;
}

void node_command_cluster(struct node *node, const struct api_cluster_command *command,
                          struct scheduler *origin,
                          void (*done)(void *argument, const struct error *error), void *argument)
{
    struct error error;
    struct order *order = calloc(1, sizeof *order);
    enum error_code code =
        order == NULL ? error_set(&error, ERROR_UNAVAILABLE, "not enough memory") : ERROR_NONE;
    if (code == ERROR_NONE && node->cluster == NULL)
        code = error_set(&error, ERROR_INVALID,
                         command->action == API_CLUSTER_SPLIT
                             ? "a node alone keeps the shards that it was made with; with "
                               "cluster.listen set it is a cluster of one, which splits them"
                             : "this node is alone: it has no cluster.listen");
    if (code == ERROR_NONE) {
        order->node = node;
        code = fill_order(command, order, &error);
    }
    if (code != ERROR_NONE) {
        free(order);
        done(argument, &error);
        return;
    }
    order->task.run = give_order;
    order->origin = origin;
    order->done = done;
    order->argument = argument;
    scheduler_post(node->loops[0].environment.scheduler, &order->task);
}
