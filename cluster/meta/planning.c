/* What a leader does at each tick, from what is desired and what it has heard. */
#include <stdlib.h>

#include "meta_private.h"

/* --- Proposals of its own -------------------------------------------------------------------- */

static void planned(struct meta *meta, void *owner, const struct cluster_outcome *outcome)
{
    (void)owner;
    meta->plans_in_flight--;
    if (outcome != NULL && outcome->refusal != CLUSTER_ACCEPTED)
        log_event(LOG_INFO, "meta", "plan refused", "reason=\"%s\"",
                  cluster_refusal_text(outcome->refusal));
    if (outcome != NULL && outcome->changed)
        meta_wake(meta);
}

/* What fails is planned anew at the next tick. */
static void propose(struct meta *meta, const struct cluster_entry *entry)
{
    struct error error;
    if (propose_entry(meta, entry, planned, NULL, &error) == ERROR_NONE)
        meta->plans_in_flight++;
    else if (error.code != ERROR_UNAVAILABLE)
        log_event(LOG_WARNING, "meta", "plan not proposed", "message=\"%s\"", error.message);
}

static void found(struct meta *meta)
{
    struct error error;
    struct bytes entry = {meta->founding.bytes, meta->founding.size};
    if (entry.size > 0 && propose_bytes(meta, entry, planned, NULL, &error) == ERROR_NONE)
        meta->plans_in_flight++;
}

/* --- Nodes and versions ---------------------------------------------------------------------- */

/* Those that join and have the state of a tick ago. */
static void activate_nodes(struct meta *meta)
{
    struct leadership *leadership = meta->leadership;
    size_t count;
    const struct cluster_node *nodes = cluster_state_nodes(meta->state, &count);
    for (size_t i = 0; i < count; i++) {
        const struct heard_node *heard = leadership_find(leadership, nodes[i].node_id);
        if (nodes[i].state != CLUSTER_NODE_JOINING || heard == NULL || heard->stopping ||
            !leadership_is_alive(meta, nodes[i].node_id) ||
            heard->state_index < leadership->previous_index)
            continue;
        propose(meta,
                &(struct cluster_entry){.kind = CLUSTER_SET_NODE_STATE,
                                        .set_node_state = {nodes[i].node_id, CLUSTER_NODE_ACTIVE}});
    }
}

static void raise_version(struct meta *meta)
{
    uint32_t version = versions_to_raise(meta);
    if (version > 0)
        propose(meta,
                &(struct cluster_entry){.kind = CLUSTER_RAISE_VERSION, .raise_version = {version}});
}

/* --- Transfers of shards -----------------------------------------------------------------------
 */

struct transfer_request {
    struct transport_request request;
    struct meta *meta;
};

static void transfer_done(struct transport_request *request, const struct error *error)
{
    struct transfer_request *transfer = (struct transfer_request *)request; /* its first member */
    struct meta *meta = transfer->meta;
    (void)error; /* planned again, if need be */
    free(transfer);
    meta_released(meta);
}

static void ask_transfer(struct meta *meta, const struct placement_transfer *planned_transfer)
{
    struct transfer what = {planned_transfer->shard_id, planned_transfer->to};
    if (planned_transfer->from == meta->node_id) {
        meta_events_of(meta)->transfer(meta->options.context, what.shard_id, what.to_node);
        return;
    }
    struct transport *transport = meta->options.transport;
    struct transport_peer *peer =
        transport == NULL ? NULL : transport_find_node(transport, planned_transfer->from);
    if (peer == NULL)
        return;
    uint8_t bytes[TRANSFER_BYTES];
    transfer_encode(&what, bytes);
    struct shared_bytes *body = shared_bytes_copy(bytes, sizeof bytes);
    struct transfer_request *transfer = body == NULL ? NULL : calloc(1, sizeof *transfer);
    if (transfer != NULL) {
        transfer->meta = meta;
        transfer->request = (struct transport_request){
            .kind = META_KIND_TRANSFER,
            .class = TRANSPORT_REQUEST,
            .body = body,
            .timeout_ms = meta->options.tick_ms,
            .done = transfer_done,
        };
        meta->outstanding++;
        transport_ask(peer, &transfer->request);
    }
    shared_bytes_unref(body);
}

void serve_transfer(void *context, struct transport_answer *answer,
                    const struct transport_question *question)
{
    struct meta *meta = context;
    struct transfer transfer;
    struct error error = {0};
    if (transfer_decode(question->body, question->size, &transfer, &error) == ERROR_NONE &&
        meta->phase != META_PHASE_MEMBER && meta->phase != META_PHASE_DISMISSED)
        error_set(&error, ERROR_UNAVAILABLE, "node %s is no member", meta->options.identity.name);
    if (error.code == ERROR_NONE)
        meta_events_of(meta)->transfer(meta->options.context, transfer.shard_id, transfer.to_node);
    transport_answer_end(answer, &error);
}

/* --- The plan ----------------------------------------------------------------------------------
 */

static void plan_shards(struct meta *meta, struct arena *arena)
{
    struct leadership *leadership = meta->leadership;
    struct placement_observation observation;
    struct placement_plan plan;
    struct placement_limits limits = meta->options.limits;
    struct error error;
    if (leadership->plans_now)
        limits.transfer_pause_ms = 0;
    leadership->plans_now = false;
    if (!leadership_observe(meta, arena, &observation) ||
        placement_plan(meta->state, &observation, &limits, arena, &plan, &error) != ERROR_NONE) {
        log_event(LOG_WARNING, "meta", "no plan", "reason=\"out of memory\"");
        return;
    }
    meta->plans++;
    for (size_t i = 0; i < plan.assign_count; i++)
        propose(meta, &(struct cluster_entry){.kind = CLUSTER_ASSIGN, .assign = plan.assigns[i]});
    for (size_t i = 0; i < plan.transfer_count; i++)
        ask_transfer(meta, &plan.transfers[i]);
}

/* Reports of two ticks, so that who is silent is so for a reason. */
static bool has_heard(const struct meta *meta)
{
    uint64_t leading_ms = meta_now_ms(meta) - meta->leadership->since_ms;
    return leading_ms >= meta->options.alive_ms + 2 * meta->options.tick_ms;
}

void plan_tick(struct meta *meta)
{
    struct leadership *leadership = meta->leadership;
    if (!meta_leads(meta) || meta->plans_in_flight > 0)
        return;
    if (!cluster_state_facts(meta->state)->founded) {
        found(meta);
        return;
    }
    activate_nodes(meta);
    raise_version(meta);
    leadership->previous_index = cluster_state_facts(meta->state)->index;
    struct arena *arena = NULL;
    if (has_heard(meta) && meta->plans_in_flight == 0 && (arena = arena_create(0)) != NULL)
        plan_shards(meta, arena);
    arena_destroy(arena);
}
