/* Each tick a node tells the leader what it leads, and hears who is alive and who leads what. */
#include <stdlib.h>

#include "meta_private.h"

/* A newer state is asked for when it did not come by itself in this time. */
enum { BEHIND_COUNT = 2, FETCH_TIMEOUT_TICKS = 10, ANSWERS_PER_TICK = 10 };

/* --- The leader's side ----------------------------------------------------------------------- */

static bool is_of_cluster(const struct meta *meta, const struct report *report)
{
    const struct cluster_node *node = cluster_state_find_node(meta->state, report->node_id);
    return node != NULL && node->state != CLUSTER_NODE_LEFT &&
           memcmp(node->identity.directory_id, report->directory_id, sizeof report->directory_id) ==
               0;
}

/* False: no memory. */
static bool fill_view(const struct meta *meta, struct arena *arena, struct meta_view *view_out)
{
    struct placement_observation observation;
    if (!leadership_observe(meta, arena, &observation))
        return false;
    uint64_t *leaders = arena_array(arena, observation.shard_count, sizeof *leaders);
    uint64_t *alive = arena_array(arena, observation.node_count, sizeof *alive);
    if (leaders == NULL || alive == NULL)
        return false;
    size_t alive_count = 0;
    for (size_t i = 0; i < observation.shard_count; i++)
        leaders[i] = observation.shards[i].leader;
    for (size_t i = 0; i < observation.node_count; i++)
        if (observation.nodes[i].alive)
            alive[alive_count++] = observation.nodes[i].node_id;
    *view_out = (struct meta_view){
        .leader = meta->node_id,
        .agreed_ms = leadership_agreed_ms(meta),
        .shard_leaders = leaders,
        .shard_count = observation.shard_count,
        .alive = alive,
        .alive_count = alive_count,
    };
    return true;
}

/* False: no memory. */
static bool make_answer(struct meta *meta, struct arena *arena)
{
    struct leadership *leadership = meta->leadership;
    struct report_answer answer = {.state_index = cluster_state_facts(meta->state)->index};
    byte_buffer_reset(&leadership->answer);
    if (!fill_view(meta, arena, &answer.view))
        return false;
    report_answer_encode(&answer, &leadership->answer);
    leadership->answer_ms = meta_now_ms(meta);
    return true;
}

static void answer_heard(struct ask *ask, struct arena *arena)
{
    struct meta *meta = ask_meta(ask);
    struct leadership *leadership = meta->leadership;
    struct byte_buffer *answer = &leadership->answer;
    uint64_t age_ms = meta_now_ms(meta) - leadership->answer_ms;
    bool is_fresh = answer->size > 0 && age_ms < meta->options.tick_ms / ANSWERS_PER_TICK;
    if ((is_fresh || make_answer(meta, arena)) && !answer->failed) {
        ask_end(ask, (struct bytes){answer->bytes, answer->size});
        return;
    }
    byte_buffer_clear(answer); /* to begin anew */
    ask_refuse(ask, ERROR_OUT_OF_MEMORY, "report");
}

static void answer_dismissed(struct ask *ask)
{
    struct meta *meta = ask_meta(ask);
    struct report_answer answer = {.is_dismissed = true, .view = {.leader = meta->node_id}};
    struct byte_buffer bytes = {0};
    report_answer_encode(&answer, &bytes);
    if (bytes.failed)
        ask_refuse(ask, ERROR_OUT_OF_MEMORY, "report");
    else
        ask_end(ask, (struct bytes){bytes.bytes, bytes.size});
    byte_buffer_clear(&bytes);
}

static void answer_report(struct ask *ask, struct arena *arena, struct bytes body)
{
    struct meta *meta = ask_meta(ask);
    struct report report;
    struct error error;
    if (report_decode(body, arena, &report, &error) != ERROR_NONE)
        ask_fail(ask, &error);
    else if (!cluster_state_facts(meta->state)->founded)
        ask_refuse(ask, ERROR_UNAVAILABLE, "there is no cluster yet");
    else if (!is_of_cluster(meta, &report))
        answer_dismissed(ask);
    else if (!leadership_hear(meta, &report))
        ask_refuse(ask, ERROR_OUT_OF_MEMORY, "report");
    else
        answer_heard(ask, arena);
}

void serve_report(struct ask *ask, struct bytes body)
{
    struct arena *arena = arena_create(0);
    if (arena == NULL) {
        ask_refuse(ask, ERROR_OUT_OF_MEMORY, "report");
        return;
    }
    answer_report(ask, arena, body);
    arena_destroy(arena);
}

void serve_state(struct ask *ask, struct bytes body)
{
    struct byte_buffer bytes = {0};
    (void)body;
    cluster_state_encode(ask_meta(ask)->state, &bytes);
    if (bytes.failed)
        ask_refuse(ask, ERROR_OUT_OF_MEMORY, "state of the cluster");
    else
        ask_end(ask, (struct bytes){bytes.bytes, bytes.size});
    byte_buffer_clear(&bytes);
}

/* --- The node's side ------------------------------------------------------------------------- */

static void fetched(struct meta *meta, void *owner, struct bytes answer, const struct error *error)
{
    struct error failure = *error;
    (void)owner;
    meta->is_fetching = false;
    meta->behind_count = 0;
    if (failure.code == ERROR_NONE)
        (void)meta_follow(meta, answer, &failure); /* told below */
    if (failure.code != ERROR_NONE && failure.code != ERROR_CLOSED)
        meta_report_waiting(meta, "state not fetched", failure.message);
}

/* A member gets the state by the log; others, and who lags far behind, ask for it. */
static void compare_state(struct meta *meta, uint64_t leader_index)
{
    if (cluster_state_facts(meta_newest(meta))->index >= leader_index)
        meta->behind_count = 0;
    else
        meta->behind_count++;
    if (meta->behind_count < BEHIND_COUNT || meta->is_fetching)
        return;
    meta->is_fetching = call_leader(meta, OPERATION_STATE, (struct bytes){0},
                                    FETCH_TIMEOUT_TICKS * meta->options.tick_ms, fetched, NULL);
}

static void take_answer(struct meta *meta, struct arena *arena, struct bytes bytes)
{
    struct report_answer answer;
    struct error error;
    if (report_answer_decode(bytes, arena, &answer, &error) != ERROR_NONE) {
        meta_report_waiting(meta, "answer to a report", error.message);
        return;
    }
    meta->leader_told = answer.view.leader;
    if (answer.is_dismissed) {
        meta_dismiss(meta, "the cluster does not have this node any more");
        return;
    }
    meta_events_of(meta)->observed(meta->options.context, &answer.view);
    compare_state(meta, answer.state_index);
}

static void answered(struct meta *meta, void *owner, struct bytes answer, const struct error *error)
{
    (void)owner;
    meta->is_reporting = false;
    if (error->code != ERROR_NONE)
        meta->leader_told = 0; /* it may lead no more; the next report is due soon */
    if (error->code != ERROR_NONE || meta->phase != META_PHASE_MEMBER)
        return;
    struct arena *arena = arena_create(0);
    if (arena == NULL)
        return;
    take_answer(meta, arena, answer);
    arena_destroy(arena);
}

void report_send(struct meta *meta)
{
    if (meta->is_reporting || !meta->is_known)
        return;
    struct report report = {
        .node_id = meta->node_id,
        .clock_ms = clock_now_ms(meta->options.environment->clock),
        .state_index = cluster_state_facts(meta_newest(meta))->index,
    };
    memcpy(report.directory_id, meta->options.identity.directory_id, sizeof report.directory_id);
    meta_events_of(meta)->report(meta->options.context, &report.contents);
    struct byte_buffer bytes = {0};
    report_encode(&report, &bytes);
    if (!bytes.failed)
        meta->is_reporting =
            call_leader(meta, OPERATION_REPORT, (struct bytes){bytes.bytes, bytes.size},
                        meta->options.tick_ms, answered, NULL);
    byte_buffer_clear(&bytes);
}
