/* Messages of groups may be lost, come late, after later ones, or twice; those of a connection that
 * stands seldom are, so it is done to them here. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "cluster_world.h"

struct held_message {
    struct node *node;
    uint64_t life;
    const struct node *receiver; /* NULL: it was not there */
    uint64_t receiver_life;
    uint64_t group_id, node_id;
    uint8_t *bytes;
    size_t size_bytes;
};

static bool pass_on(struct node *node, uint64_t group_id, uint64_t node_id, uint8_t *bytes,
                    size_t size_bytes)
{
    struct group_transport *link = group_link_transport(node->link);
    return link->operations->send(link, group_id, node_id, bytes, size_bytes);
}

static void release(void *argument)
{
    struct held_message *held = argument;
    struct node *node = held->node;
    /* Connections end with either side, and what is on its way with them: a node hears nothing that
     * was sent before it was started. */
    bool is_connected = held->receiver != NULL && held->receiver->life == held->receiver_life;
    if (node->is_alive && node->life == held->life && is_connected)
        (void)pass_on(node, held->group_id, held->node_id, held->bytes, held->size_bytes);
    else
        free(held->bytes);
    free(held);
}

static void hold(struct node *node, uint64_t group_id, uint64_t node_id, uint8_t *bytes,
                 size_t size_bytes)
{
    struct held_message *held = malloc(sizeof *held);
    assert(held != NULL);
    const struct node *receiver = world_find(node->world, node_id);
    *held = (struct held_message){.node = node,
                                  .life = node->life,
                                  .receiver = receiver,
                                  .receiver_life = receiver == NULL ? 0 : receiver->life,
                                  .group_id = group_id,
                                  .node_id = node_id,
                                  .bytes = bytes,
                                  .size_bytes = size_bytes};
    simulated_scheduler_after(&node->world->base->scheduler,
                              world_below(node->world, 200) * UINT64_C(1000000), release, held);
}

static uint8_t *copy(const uint8_t *bytes, size_t size_bytes)
{
    uint8_t *second = malloc(size_bytes);
    assert(second != NULL);
    memcpy(second, bytes, size_bytes);
    return second;
}

static bool medium_send(struct group_transport *self, uint64_t group_id, uint64_t node_id,
                        uint8_t *bytes, size_t size_bytes)
{
    struct node *node = ((struct node_medium *)self)->node;
    struct world *world = node->world;
    if (world_below(world, 1000) >= world->message_faults_per_thousand)
        return pass_on(node, group_id, node_id, bytes, size_bytes);
    switch (world_below(world, 4)) {
    case 0:
        world->counts.messages_lost++;
        free(bytes);
        return true;
    case 1:
        world->counts.messages_doubled++;
        hold(node, group_id, node_id, copy(bytes, size_bytes), size_bytes);
        return pass_on(node, group_id, node_id, bytes, size_bytes);
    default:
        world->counts.messages_delayed++;
        hold(node, group_id, node_id, bytes, size_bytes);
        return true;
    }
}

static const struct group_transport_operations OPERATIONS = {.send = medium_send};

void node_medium_init(struct node *node)
{
    node->medium = (struct node_medium){.base = {&OPERATIONS}, .node = node};
}
