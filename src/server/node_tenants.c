/* What is there of a tenant, in all shards, and its deletion. */
#include <stdlib.h>

#include "node_private.h"

struct tenant_all;

struct tenant_one {
    struct routing_tenant asked; /* first */
    struct tenant_all *all;
};

struct tenant_all {
    struct node *node;
    struct scheduler *origin;
    void (*done)(void *argument, const struct shard_tenant_state *state, const struct error *error);
    void *argument;
    size_t outstanding;
    struct shard_tenant_state sum;
    struct error error; /* the last one */
    struct tenant_one shards[];
};

static void add(struct shard_tenant_state *sum, const struct shard_tenant_state *state)
{
    sum->can_be_deleted = sum->can_be_deleted && state->can_be_deleted;
    sum->is_being_deleted = sum->is_being_deleted || state->is_being_deleted;
    sum->files_left += state->files_left;
    sum->bytes_left += state->bytes_left;
    sum->objects_left += state->objects_left;
    sum->object_bytes_left += state->object_bytes_left;
    sum->blocks += state->blocks;
}

static void shard_answered(struct routing_tenant *asked)
{
    struct tenant_all *all = ((struct tenant_one *)asked)->all;
    if (asked->error.code == ERROR_NONE)
        add(&all->sum, &asked->state);
    else
        all->error = asked->error;
    if (--all->outstanding > 0)
        return;
    all->done(all->argument, &all->sum, &all->error);
    free(all);
}

void node_ask_tenant(struct node *node, struct scheduler *origin, struct text tenant,
                     void (*done)(void *argument, const struct shard_tenant_state *state,
                                  const struct error *error),
                     void *argument)
{
    struct error error;
    struct shard_list *list = node_list_shards(node);
    size_t shards = list == NULL ? 0 : list->count;
    struct tenant_all *all = calloc(1, sizeof *all + shards * sizeof all->shards[0] + tenant.size);
    if (list == NULL || all == NULL || shards == 0) {
        error_set(&error, ERROR_UNAVAILABLE,
                  list == NULL || all == NULL ? "not enough memory"
                                              : "the cluster is not known yet");
        free(list);
        free(all);
        done(argument, NULL, &error);
        return;
    }
    char *name = (char *)&all->shards[shards];
    memcpy(name, tenant.data, tenant.size);
    error_clear(&all->error);
    all->done = done;
    all->argument = argument;
    all->outstanding = shards;
    all->sum.can_be_deleted = true;
    for (size_t i = 0; i < shards; i++) {
        struct tenant_one *one = &all->shards[i];
        one->all = all;
        one->asked.tenant = (struct text){name, tenant.size};
        one->asked.done = shard_answered;
        routing_ask_tenant(node_routing_of(node, origin), list->shards[i].shard_id, &one->asked);
    }
    free(list);
}

/* --- Deletion --------------------------------------------------------------------------------- */

struct tenant_deletion {
    struct node *node;
    struct scheduler *origin;
    void (*done)(void *argument, const struct error *error);
    void *argument;
    struct text tenant; /* behind it */
};

/* Every leader knows such deletions, and so do all replicas: their version says so. */
static void looked(void *argument, const struct shard_tenant_state *state,
                   const struct error *error)
{
    struct tenant_deletion *deletion = argument;
    struct byte_buffer entry = {0};
    struct error failure = *error;
    if (failure.code == ERROR_NONE && !state->can_be_deleted)
        error_set(&failure, ERROR_UNAVAILABLE,
                  "not all shards have come to a state-machine version that deletes tenants");
    if (failure.code == ERROR_NONE)
        shard_encode_delete_tenant(&entry, clock_now_ms(clock_system()), deletion->tenant,
                                   &failure);
    if (failure.code == ERROR_NONE)
        node_delete_everywhere(deletion->node, deletion->origin, &entry, deletion->done,
                               deletion->argument);
    else
        deletion->done(deletion->argument, &failure);
    byte_buffer_clear(&entry);
    free(deletion);
}

void node_delete_tenant(struct node *node, struct scheduler *origin, struct text tenant,
                        void (*done)(void *argument, const struct error *error), void *argument)
{
    struct error error;
    struct tenant_deletion *deletion = malloc(sizeof *deletion + tenant.size);
    if (deletion == NULL) {
        error_set(&error, ERROR_UNAVAILABLE, "not enough memory to delete a tenant");
        done(argument, &error);
        return;
    }
    *deletion = (struct tenant_deletion){
        node, origin, done, argument, {(char *)(deletion + 1), tenant.size}};
    memcpy((char *)(deletion + 1), tenant.data, tenant.size);
    node_ask_tenant(node, origin, deletion->tenant, looked, deletion);
}
