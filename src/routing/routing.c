#include <assert.h>
#include <stdlib.h>

#include "routing_private.h"

enum {
    TIMEOUT_MS = 4000,
    FLUSH_TIMEOUT_MS = 10 * 60 * 1000,
    SENT_BYTES_MAX = 32 * 1024 * 1024,
    RECEIVED_BYTES_MAX = 64 * 1024 * 1024,
};

/* --- Calls ----------------------------------------------------------------------------------- */

void call_begin(struct routing *routing, const struct call *call)
{
    counter_move(&routing->counters.under_way, 1);
    if (call->kind == QUESTION_WRITE) {
        call->write->way.router = &routing->router;
        call->write->way.shard_id = call->shard_id;
    } else if (call->kind == QUESTION_PROPOSE) {
        call->entry->way.router = &routing->router;
        call->entry->way.shard_id = call->shard_id;
    } else if (call->kind == QUESTION_TENANT) {
        call->tenant->routing = routing;
        call->tenant->shard_id = call->shard_id;
    } else {
        call->flush->routing = routing;
        call->flush->shard_id = call->shard_id;
    }
}

static void drained_run(struct task *task)
{
    struct routing *routing =
        (struct routing *)((char *)task - offsetof(struct routing, drained_task));
    routing->drained(routing->drained_context);
}

static void end_when_drained(struct routing *routing)
{
    if (!routing->draining || counter_now(&routing->counters.under_way) > 0)
        return;
    routing->drained_task.run = drained_run;
    scheduler_defer(routing->options.scheduler, &routing->drained_task);
}

static struct error *error_of(const struct call *call)
{
    switch (call->kind) {
    case QUESTION_WRITE:
        return &call->write->error;
    case QUESTION_PROPOSE:
        return &call->entry->error;
    case QUESTION_TENANT:
        return &call->tenant->error;
    case QUESTION_FLUSH:
        break;
    }
    return &call->flush->error;
}

void call_end(struct routing *routing, const struct call *call, const struct error *error)
{
    struct error *outcome = error_of(call);
    if (error == NULL)
        error_clear(outcome);
    else if (error != outcome)
        *outcome = *error;
    counter_move(&routing->counters.unavailable, outcome->code == ERROR_UNAVAILABLE);
    counter_move(&routing->counters.under_way, UINT64_MAX);
    end_when_drained(routing);
    if (call->kind == QUESTION_WRITE)
        call->write->done(call->write);
    else if (call->kind == QUESTION_PROPOSE)
        call->entry->done(call->entry);
    else if (call->kind == QUESTION_TENANT)
        call->tenant->done(call->tenant);
    else
        call->flush->done(call->flush);
}

static void end_write(struct task *task)
{
    struct replica_write *write =
        (struct replica_write *)((char *)task - offsetof(struct replica_write, task));
    const struct call call = {QUESTION_WRITE, write->way.shard_id, {.write = write}};
    call_end((struct routing *)write->way.router, &call, &write->error);
}

static void end_entry(struct task *task)
{
    struct replica_entry *entry =
        (struct replica_entry *)((char *)task - offsetof(struct replica_entry, task));
    const struct call call = {QUESTION_PROPOSE, entry->way.shard_id, {.entry = entry}};
    call_end((struct routing *)entry->way.router, &call, &entry->error);
}

static void end_flush(struct task *task)
{
    struct routing_flush *flush =
        (struct routing_flush *)((char *)task - offsetof(struct routing_flush, task));
    const struct call call = {QUESTION_FLUSH, flush->shard_id, {.flush = flush}};
    call_end(flush->routing, &call, &flush->error);
}

static void end_tenant(struct task *task)
{
    struct routing_tenant *tenant =
        (struct routing_tenant *)((char *)task - offsetof(struct routing_tenant, task));
    const struct call call = {QUESTION_TENANT, tenant->shard_id, {.tenant = tenant}};
    call_end(tenant->routing, &call, &tenant->error);
}

void call_end_later(struct routing *routing, const struct call *call, enum error_code code,
                    const char *why)
{
    struct task *task;
    error_set(error_of(call), code, "%s", why);
    if (call->kind == QUESTION_WRITE) {
        task = &call->write->task;
        task->run = end_write;
    } else if (call->kind == QUESTION_PROPOSE) {
        task = &call->entry->task;
        task->run = end_entry;
    } else if (call->kind == QUESTION_TENANT) {
        task = &call->tenant->task;
        task->run = end_tenant;
    } else {
        task = &call->flush->task;
        task->run = end_flush;
    }
    scheduler_defer(routing->options.scheduler, task);
}

void call_note(struct routing *routing, const struct call *call, uint64_t leader_id, uint64_t index)
{
    struct cluster_board *board = routing->options.board;
    if (call->kind == QUESTION_WRITE)
        call->write->index = index;
    else if (call->kind == QUESTION_PROPOSE)
        call->entry->index = index;
    if (board == NULL || call->shard_id >= CLUSTER_SHARDS_MAX)
        return;
    if (cluster_board_leader(board, call->shard_id) != leader_id)
        cluster_board_note_leader(board, call->shard_id, leader_id);
    if (call->kind == QUESTION_WRITE || call->kind == QUESTION_PROPOSE)
        cluster_board_note_written(board, call->shard_id, index);
}

void call_note_splits(struct routing *routing, uint32_t shard_id, uint32_t splits)
{
    struct cluster_board *board = routing->options.board;
    if (board == NULL || shard_id >= CLUSTER_SHARDS_MAX || splits == 0)
        return;
    cluster_board_note_splits(board, shard_id, splits);
    if (routing->options.slots_changed != NULL)
        routing->options.slots_changed(routing->options.context);
}

/* --- Routing --------------------------------------------------------------------------------- */

static void route(struct routing *routing, const struct call *call)
{
    assert(scheduler_on_loop(routing->options.scheduler));
    call_begin(routing, call);
    if (routing->draining) {
        call_end_later(routing, call, ERROR_UNAVAILABLE, "shutting down");
        return;
    }
    struct replica *replica = local_hold_leader(routing, call->shard_id);
    if (replica != NULL) {
        counter_move(&routing->counters.local, 1);
        local_run(routing, call, replica);
    } else if (routing->options.transport == NULL)
        call_end_later(routing, call, ERROR_UNAVAILABLE, "this shard has no leader here");
    else
        errand_start(routing, call);
}

static void route_write(struct write_router *self, uint32_t shard_id, struct replica_write *write)
{
    error_clear(&write->error);
    route((struct routing *)self, &(struct call){QUESTION_WRITE, shard_id, {.write = write}});
}

static void route_entry(struct write_router *self, uint32_t shard_id, struct replica_entry *entry)
{
    error_clear(&entry->error);
    route((struct routing *)self, &(struct call){QUESTION_PROPOSE, shard_id, {.entry = entry}});
}

void routing_flush(struct routing *routing, uint32_t shard_id, struct routing_flush *flush)
{
    error_clear(&flush->error);
    if (flush->timeout_ms == 0)
        flush->timeout_ms = FLUSH_TIMEOUT_MS;
    route(routing, &(struct call){QUESTION_FLUSH, shard_id, {.flush = flush}});
}

void routing_ask_tenant(struct routing *routing, uint32_t shard_id, struct routing_tenant *asked)
{
    error_clear(&asked->error);
    route(routing, &(struct call){QUESTION_TENANT, shard_id, {.tenant = asked}});
}

struct write_router *routing_router(struct routing *routing)
{
    return &routing->router;
}

/* --- Received bytes -------------------------------------------------------------------------- */

static struct routing *routing_of(struct arena_account *account)
{
    return (struct routing *)((char *)account - offsetof(struct routing, received_account));
}

static bool charge_received(struct arena_account *account, size_t size_bytes)
{
    struct routing *routing = routing_of(account);
    if (counter_now(&routing->counters.received_bytes_under_way) + size_bytes >
        routing->options.received_bytes_max)
        return false;
    counter_move(&routing->counters.received_bytes_under_way, size_bytes);
    return true;
}

static void release_received(struct arena_account *account, size_t size_bytes)
{
    counter_move(&routing_of(account)->counters.received_bytes_under_way, 0 - (uint64_t)size_bytes);
}

/* --- Life ------------------------------------------------------------------------------------ */

enum error_code routing_create(const struct routing_options *options, struct routing **routing_out,
                               struct error *error)
{
    static const struct write_router_operations OPERATIONS = {route_write, route_entry};
    assert(options->transport == NULL || options->board != NULL);
    struct routing *routing = calloc(1, sizeof *routing);
    if (routing == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "routing");
    routing->router.operations = &OPERATIONS;
    routing->options = *options;
    routing->received_account = (struct arena_account){charge_received, release_received};
    if (routing->options.timeout_ms == 0)
        routing->options.timeout_ms = TIMEOUT_MS;
    if (routing->options.sent_bytes_max == 0)
        routing->options.sent_bytes_max = SENT_BYTES_MAX;
    if (routing->options.received_bytes_max == 0)
        routing->options.received_bytes_max = RECEIVED_BYTES_MAX;
    if (options->transport != NULL)
        serve_register(routing);
    *routing_out = routing;
    return ERROR_NONE;
}

void routing_destroy(struct routing *routing)
{
    if (routing == NULL)
        return;
    assert(counter_now(&routing->counters.under_way) == 0);
    cluster_view_unref(routing->view);
    free(routing);
}

void routing_drain(struct routing *routing, void (*drained)(void *context), void *context)
{
    assert(!routing->draining);
    routing->draining = true;
    routing->drained = drained;
    routing->drained_context = context;
    end_when_drained(routing);
}

void routing_set_node(struct routing *routing, uint64_t node_id)
{
    routing->options.node_id = node_id;
}

/* --- Looking --------------------------------------------------------------------------------- */

void routing_read_statistics(const struct routing *routing,
                             struct routing_statistics *statistics_out)
{
    const struct routing_counters *counters = &routing->counters;
    *statistics_out = (struct routing_statistics){
        .local = counter_now(&counters->local),
        .sent = counter_now(&counters->sent),
        .sent_bytes = counter_now(&counters->sent_bytes),
        .received = counter_now(&counters->received),
        .received_bytes = counter_now(&counters->received_bytes),
        .redirected = counter_now(&counters->redirected),
        .retried = counter_now(&counters->retried),
        .unavailable = counter_now(&counters->unavailable),
        .malformed = counter_now(&counters->malformed),
        .under_way = counter_now(&counters->under_way),
        .sent_bytes_under_way = counter_now(&counters->sent_bytes_under_way),
        .received_bytes_under_way = counter_now(&counters->received_bytes_under_way),
    };
}
