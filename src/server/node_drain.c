/*
 * From SIGTERM to the end: answer what has begun, freeze and snapshot so that the next start has
 * little to replay, close from the top down.
 *
 *   leaders handed over -> flushes canceled, servers drained -> shards settled (alone)
 *   -> meta group closed -> replicas closed -> network closed -> journals closed -> loops stopped
 *
 * Each loop does a step and tells loop 0; the next step begins when all have done it.
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"

#include "node_bucket.h"
#include "node_cluster.h"
#include "node_private.h"

static struct scheduler *first_loop(struct node *node)
{
    return node->loops[0].environment.scheduler;
}

/* --- Steps ------------------------------------------------------------------------------------ */

/* Run `step` on every loop; each calls step_done once. */
static void run_step(struct node *node, void (*step)(struct task *task))
{
    node->loops_draining = node->loop_count;
    for (size_t i = 0; i < node->loop_count; i++) {
        node->loops[i].task.run = step;
        scheduler_post(node->loops[i].environment.scheduler, &node->loops[i].task);
    }
}

static struct node_loop *loop_of_task(struct task *task)
{
    return (struct node_loop *)((char *)task - offsetof(struct node_loop, task));
}

/* On loop 0, once per loop and step. */
static void count_step(struct task *task)
{
    struct node_loop *loop =
        (struct node_loop *)((char *)task - offsetof(struct node_loop, step_task));
    struct node *node = loop->node;
    if (--node->loops_draining == 0)
        node->next_step(node);
}

static void step_done(struct node_loop *loop)
{
    loop->step_task.run = count_step;
    scheduler_post(first_loop(loop->node), &loop->step_task);
}

/* --- Loops stop ------------------------------------------------------------------------------- */

static void stop_loops(struct node *node)
{
    scheduler_timer_stop(first_loop(node), &node->end_timer);
    signals_close(node->signals);
    for (size_t i = 0; i < node->loop_count; i++)
        loop_stop(node->loops[i].loop);
}

/* --- Journals close
 * -------------------------------------------------------------------------------- */

static void journal_closed(void *context)
{
    step_done(context);
}

static void close_journal(struct task *task)
{
    struct node_loop *loop = loop_of_task(task);
    loop_figures_stop(&loop->figures);
    http_server_close(loop->server);
    journal_close(loop->journal, journal_closed, loop);
}

static void close_journals(struct node *node)
{
    node->next_step = stop_loops;
    run_step(node, close_journal);
}

/* --- Network closes ----------------------------------------------------------------------------
 */

static void network_closed(void *context)
{
    step_done(context);
}

static void close_network(struct task *task)
{
    node_cluster_close_network(loop_of_task(task), network_closed, loop_of_task(task));
}

static void close_networks(struct node *node)
{
    if (node->cluster == NULL) {
        close_journals(node);
        return;
    }
    node->next_step = close_journals;
    run_step(node, close_network);
}

/* --- Replicas close
 * --------------------------------------------------------------------------------- */

static void replicas_closed(void *context)
{
    step_done(context);
}

static void close_loop_replicas(struct task *task)
{
    struct node_loop *loop = loop_of_task(task);
    scrub_schedule_stop(&loop->scrub);
    hosting_close(loop->node->hosting, loop->number, replicas_closed, loop);
}

static void close_replicas(struct node *node)
{
    scheduler_timer_stop(first_loop(node), &node->upkeep);
    node->next_step = close_networks;
    run_step(node, close_loop_replicas);
}

/* --- Writes end ---------------------------------------------------------------------------------
 */

static void routing_drained(void *context)
{
    step_done(context);
}

/* Flushes may take as long as merges do: they are not waited for. */
static void cancel_flushes(void *context, uint32_t shard_id, struct replica *replica)
{
    (void)context, (void)shard_id;
    shard_cancel_flushes(replica_shard(replica));
}

/* Nothing new comes: end what would not by itself, like writes that lack a majority. */
static void end_calls(void *context, uint32_t shard_id, struct replica *replica)
{
    cancel_flushes(context, shard_id, replica);
    replica_step_down(replica);
}

static void drain_routing(struct task *task)
{
    struct node_loop *loop = loop_of_task(task);
    routing_drain(loop->routing, routing_drained, loop);
    hosting_visit_loop(loop->node->hosting, loop->number, end_calls, NULL);
}

static void drain_routings(struct node *node)
{
    node->next_step = close_replicas;
    run_step(node, drain_routing);
}

/* --- The meta group closes ---------------------------------------------------------------------
 */

static void meta_closed(void *context)
{
    drain_routings(context);
}

static void close_meta(struct node *node)
{
    if (node->cluster == NULL)
        drain_routings(node);
    else
        node_cluster_close_meta(node, meta_closed, node);
}

/* --- Shards settle
 * ------------------------------------------------------------------------------------ */

static void loop_settled(struct node_loop *loop)
{
    if (loop->settled)
        return;
    loop->settled = true;
    scheduler_timer_stop(loop->environment.scheduler, &loop->settle_timer);
    step_done(loop);
}

static void replica_settled(void *context)
{
    struct node_loop *loop = context;
    if (--loop->settling == 0)
        loop_settled(loop);
}

static void settle_timeout(struct timer *timer)
{
    struct node_loop *loop =
        (struct node_loop *)((char *)timer - offsetof(struct node_loop, settle_timer));
    log_event(LOG_WARNING, "server", "the last freeze takes too long: the next start replays more",
              "");
    loop_settled(loop);
}

static uint64_t settle_grace_ms(const struct node *node)
{
    uint64_t used_ms = clock_monotonic_ms(clock_system()) - node->draining_since_ms;
    return used_ms + SETTLE_GRACE_LEAST_MS < SETTLED_BY_MS ? SETTLED_BY_MS - used_ms
                                                           : SETTLE_GRACE_LEAST_MS;
}

static void settle_replica(void *context, uint32_t shard_id, struct replica *replica)
{
    struct node_loop *loop = context;
    (void)shard_id;
    if (!replica_is_ready(replica))
        return;
    loop->settling++;
    replica_settle(replica, replica_settled, loop);
}

static void settle_loop(struct task *task)
{
    struct node_loop *loop = loop_of_task(task);
    struct node *node = loop->node;
    loop->settling = 1;
    loop->settle_timer = (struct timer){.fire = settle_timeout, .heap_index = TIMER_IDLE};
    scheduler_timer_start(loop->environment.scheduler, &loop->settle_timer, settle_grace_ms(node));
    hosting_visit_loop(node->hosting, loop->number, settle_replica, loop);
    replica_settled(loop);
}

/* In a cluster others go on with what is in memory, and come back with it. */
static void settle_shards(struct node *node)
{
    if (node->cluster != NULL) {
        close_meta(node);
        return;
    }
    node->next_step = close_meta;
    run_step(node, settle_loop);
}

/* --- Servers drain
 * -------------------------------------------------------------------------------------- */

static void server_drained(void *context)
{
    step_done(context);
}

static void drain_server(struct task *task)
{
    struct node_loop *loop = loop_of_task(task);
    hosting_visit_loop(loop->node->hosting, loop->number, cancel_flushes, NULL);
    ingest_drain(loop->ingest, loop->node->cluster == NULL ? 0 : DRAIN_RETRY_MS);
    http_server_drain(loop->server, DRAIN_GRACE_MS, server_drained, loop);
}

static void drain_servers(struct node *node)
{
    gate_stop(node->gate);
    node->next_step = settle_shards;
    run_step(node, drain_server);
}

/* --- Leaders are handed over -------------------------------------------------------------------
 */

static void handed_over(void *context)
{
    step_done(context);
}

static void hand_over(struct task *task)
{
    node_cluster_hand_over(loop_of_task(task), handed_over, loop_of_task(task));
}

/* While requests are still taken: they find the new leaders. */
static void hand_over_leaders(void *context)
{
    struct node *node = context;
    if (node->cluster == NULL) {
        drain_servers(node);
        return;
    }
    node->next_step = drain_servers;
    run_step(node, hand_over);
}

/* A disk that takes nothing any more would be waited for without end. What is acknowledged is
 * durable, so there is nothing that must be waited for. */
static void end_at_once(struct timer *timer)
{
    (void)timer;
    log_event(LOG_ERROR, "server", "the end takes too long: the process ends without it", "");
    _exit(EXIT_FAILURE);
}

void node_drain(struct node *node)
{
    if (atomic_exchange(&node->draining, true))
        return;
    node->end_timer = (struct timer){.fire = end_at_once, .heap_index = TIMER_IDLE};
    scheduler_timer_start(first_loop(node), &node->end_timer, END_MS);
    node->draining_since_ms = clock_monotonic_ms(clock_system());
    log_event(LOG_INFO, "server", "shutting down", "");
    node_bucket_stop(node);
    if (node->self_write != NULL)
        self_write_stop(node->self_write, hand_over_leaders, node);
    else
        hand_over_leaders(node);
}
