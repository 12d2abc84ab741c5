/*
 * Asking to be let in: a node without identity, until the leader gives it one; and a node that has
 * one, once at every start, with what it is now (address, zone, roles, versions). The leader lets
 * in by an entry; a name that another directory has only after a silence.
 */
#include <stdlib.h>

#include "meta_private.h"

enum { JOIN_TIMEOUT_TICKS = 10 };

/* --- The leader's side ----------------------------------------------------------------------- */

static bool same_directory(const struct cluster_node *node, const struct cluster_add_node *self)
{
    return memcmp(node->identity.directory_id, self->identity.directory_id,
                  sizeof node->identity.directory_id) == 0 &&
           strcmp(node->identity.name, self->identity.name) == 0;
}

static void welcome(struct ask *ask, uint64_t node_id)
{
    struct meta *meta = ask_meta(ask);
    struct byte_buffer state = {0}, bytes = {0};
    struct welcome answer = {.node_id = node_id};
    memcpy(answer.cluster_id, cluster_state_facts(meta->state)->cluster_id, CLUSTER_ID_BYTES);
    cluster_state_encode(meta->state, &state);
    answer.state = (struct bytes){state.bytes, state.size};
    welcome_encode(&answer, &bytes);
    if (state.failed || bytes.failed)
        ask_refuse(ask, ERROR_OUT_OF_MEMORY, "joining");
    else
        ask_end(ask, (struct bytes){bytes.bytes, bytes.size});
    byte_buffer_clear(&state);
    byte_buffer_clear(&bytes);
}

static void added(struct meta *meta, void *owner, const struct cluster_outcome *outcome)
{
    struct ask *ask = owner;
    if (outcome == NULL || meta->group == NULL)
        ask_refuse(ask, ERROR_UNAVAILABLE, "the leader of the meta group changed");
    else if (outcome->refusal == CLUSTER_REFUSED_REPLACED)
        ask_refuse(ask, ERROR_NOT_FOUND, "%s", cluster_refusal_text(outcome->refusal));
    else if (outcome->refusal != CLUSTER_ACCEPTED)
        ask_refuse(ask, ERROR_CONFLICT, "%s", cluster_refusal_text(outcome->refusal));
    else
        welcome(ask, outcome->node_id);
}

struct update {
    struct ask *ask;
    uint64_t node_id;
};

static void updated(struct meta *meta, void *owner, const struct cluster_outcome *outcome)
{
    struct update *update = owner;
    struct ask *ask = update->ask;
    uint64_t node_id = update->node_id;
    free(update);
    (void)meta;
    if (outcome == NULL)
        ask_refuse(ask, ERROR_UNAVAILABLE, "the leader of the meta group changed");
    else if (outcome->refusal != CLUSTER_ACCEPTED)
        ask_refuse(ask, ERROR_CONFLICT, "%s", cluster_refusal_text(outcome->refusal));
    else
        welcome(ask, node_id);
}

/* New here, or back after it had left. */
static void add(struct ask *ask, const struct cluster_add_node *self)
{
    struct cluster_entry entry = {.kind = CLUSTER_ADD_NODE, .add_node = *self};
    struct error error;
    if (propose_entry(ask_meta(ask), &entry, added, ask, &error) != ERROR_NONE)
        ask_fail(ask, &error);
}

static void update(struct ask *ask, uint64_t node_id, const struct cluster_add_node *self)
{
    struct cluster_entry entry = {.kind = CLUSTER_UPDATE_NODE,
                                  .update_node = {node_id, self->traits}};
    struct update *update = malloc(sizeof *update);
    struct error error;
    if (update == NULL) {
        ask_refuse(ask, ERROR_OUT_OF_MEMORY, "joining");
        return;
    }
    *update = (struct update){ask, node_id};
    if (propose_entry(ask_meta(ask), &entry, updated, update, &error) == ERROR_NONE)
        return;
    free(update);
    ask_fail(ask, &error);
}

static bool same_traits(const struct cluster_node_traits *left,
                        const struct cluster_node_traits *right)
{
    return strcmp(left->address, right->address) == 0 && strcmp(left->zone, right->zone) == 0 &&
           left->roles == right->roles && left->version_min == right->version_min &&
           left->version_max == right->version_max;
}

/* Another directory has this name. */
static bool is_taken(const struct meta *meta, const struct cluster_node *namesake)
{
    uint64_t silent_ms =
        meta_now_ms(meta) - leadership_heard_ms(meta->leadership, namesake->node_id);
    return namesake->state != CLUSTER_NODE_LEFT && silent_ms < meta->options.takeover_ms;
}

/* A program that does not know what is in force. INVALID, unlike what may pass. */
static void refuse_version(struct ask *ask, const struct cluster_add_node *self, uint32_t version)
{
    ask_refuse(ask, ERROR_INVALID,
               "the cluster is of state-machine version %u, node %s knows versions %u to %u: run a "
               "release that knows version %u",
               version, self->identity.name, self->traits.version_min, self->traits.version_max,
               version);
}

static const struct cluster_node *find_self(const struct meta *meta, const struct join *join)
{
    const struct cluster_node *node =
        cluster_state_find_name(meta->state, text_of(join->self.identity.name));
    return node != NULL && same_directory(node, &join->self) ? node : NULL;
}

bool join_answer_known(struct ask *ask, struct bytes body)
{
    const struct meta *meta = ask_meta(ask);
    struct join join;
    struct error error;
    if (join_decode(body, &join, &error) != ERROR_NONE || join.node_id != 0)
        return false;
    const struct cluster_node *known = find_self(meta, &join);
    if (known == NULL || known->state == CLUSTER_NODE_LEFT)
        return false;
    welcome(ask, known->node_id);
    return true;
}

void serve_join(struct ask *ask, struct bytes body)
{
    struct meta *meta = ask_meta(ask);
    const struct cluster_facts *facts = cluster_state_facts(meta->state);
    struct join join;
    struct error error;
    if (join_decode(body, &join, &error) != ERROR_NONE) {
        ask_fail(ask, &error);
        return;
    }
    if (!facts->founded) {
        ask_refuse(ask, ERROR_UNAVAILABLE, "there is no cluster yet");
        return;
    }
    const char *name = join.self.identity.name;
    const struct cluster_node *known = find_self(meta, &join);
    const struct cluster_node *namesake = cluster_state_find_name(meta->state, text_of(name));
    if (!cluster_node_supports(&join.self.traits, facts->version))
        refuse_version(ask, &join.self, facts->version);
    else if (join.node_id != 0 &&
             memcmp(join.cluster_id, facts->cluster_id, sizeof facts->cluster_id) != 0)
        ask_refuse(ask, ERROR_CONFLICT, "node %s is of another cluster", name);
    else if (join.node_id != 0 && (known == NULL || known->node_id != join.node_id))
        ask_refuse(ask, ERROR_NOT_FOUND, "the cluster does not have node %s (%llu) any more", name,
                   (unsigned long long)join.node_id);
    else if (known != NULL && known->state != CLUSTER_NODE_LEFT &&
             !same_traits(&known->traits, &join.self.traits))
        update(ask, known->node_id, &join.self);
    else if (known != NULL && known->state != CLUSTER_NODE_LEFT)
        welcome(ask, known->node_id);
    else if (known == NULL && namesake != NULL && is_taken(meta, namesake))
        ask_refuse(ask, ERROR_CONFLICT, "node %s is alive with another directory", name);
    else
        add(ask, &join.self);
}

/* --- The node's side ------------------------------------------------------------------------- */

/* False: no memory. */
static bool ask(struct meta *meta, call_done *done)
{
    struct byte_buffer bytes = {0};
    struct join join = {
        .node_id = meta->node_id,
        .self = {.identity = meta->options.identity, .traits = meta->options.traits},
    };
    memcpy(join.cluster_id, meta->cluster_id, CLUSTER_ID_BYTES);
    join_encode(&join, &bytes);
    bool asked =
        !bytes.failed && call_leader(meta, OPERATION_JOIN, (struct bytes){bytes.bytes, bytes.size},
                                     JOIN_TIMEOUT_TICKS * meta->options.tick_ms, done, NULL);
    byte_buffer_clear(&bytes);
    return asked;
}

/* It will not be let in as it is: the process ends. */
static bool is_refused(struct meta *meta, struct error *failure)
{
    if (failure->code != ERROR_INVALID && failure->code != ERROR_UNSUPPORTED)
        return false;
    error_wrap(failure, "node %s is not let in", meta->options.identity.name);
    meta_events_of(meta)->fatal(meta->options.context, failure);
    return true;
}

static void joined(struct meta *meta, void *owner, struct bytes answer, const struct error *error)
{
    struct welcome welcome;
    struct error failure = *error;
    (void)owner;
    meta->is_joining = false;
    if (meta->phase != META_PHASE_SEEKING)
        return; /* told in the meantime that it is a founder */
    if (failure.code == ERROR_NONE)
        (void)welcome_decode(answer, &welcome, &failure); /* told below */
    if (failure.code == ERROR_NONE)
        (void)meta_follow(meta, welcome.state, &failure);
    if (is_refused(meta, &failure))
        return;
    if (failure.code != ERROR_NONE) {
        meta_report_waiting(meta, "not let in", failure.message);
        return;
    }
    log_event(LOG_INFO, "meta", "joined a cluster", "node=%llu",
              (unsigned long long)welcome.node_id);
    meta_decide(meta, welcome.cluster_id, welcome.node_id, (struct bytes){0});
}

void join_ask(struct meta *meta)
{
    if (!meta->is_joining)
        meta->is_joining = ask(meta, joined);
}

static void greeted(struct meta *meta, void *owner, struct bytes answer, const struct error *error)
{
    struct welcome welcome;
    struct error failure = *error;
    (void)owner;
    meta->is_joining = false;
    if (meta->phase != META_PHASE_MEMBER)
        return;
    if (failure.code == ERROR_NOT_FOUND) {
        meta_dismiss(meta, failure.message);
        return;
    }
    if (failure.code == ERROR_NONE)
        (void)welcome_decode(answer, &welcome, &failure); /* told below */
    if (failure.code == ERROR_NONE)
        (void)meta_follow(meta, welcome.state, &failure);
    if (is_refused(meta, &failure))
        return;
    if (failure.code != ERROR_NONE) {
        meta_report_waiting(meta, "the leader does not know this node yet", failure.message);
        return;
    }
    meta->is_known = true;
    meta_wake(meta);
}

void join_hello(struct meta *meta)
{
    if (!meta->is_joining && !meta->is_known)
        meta->is_joining = ask(meta, greeted);
}
