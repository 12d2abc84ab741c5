/* Entries on their way into the log, by the node that leads; and asking it for them. */
#include <stddef.h>
#include <stdlib.h>

#include "meta_private.h"

struct proposal {
    struct group_request request;
    struct meta *meta;
    proposal_done *done;
    void *owner;
};

/* --- The leader's -------------------------------------------------------------------------- */

static void on_done(struct group_request *request, enum group_outcome result)
{
    struct proposal *proposal =
        (struct proposal *)((char *)request - offsetof(struct proposal, request));
    struct meta *meta = proposal->meta;
    struct cluster_outcome outcome;
    bool is_known =
        result == GROUP_OUTCOME_COMMITTED && meta_outcome_at(meta, request->index, &outcome);
    meta->proposal_count--;
    if (proposal->done != NULL)
        proposal->done(meta, proposal->owner, is_known ? &outcome : NULL);
    free(proposal);
    meta_released(meta);
}

/* What cannot be read by all is refused before it is in the log. */
static enum error_code check_entry(struct bytes entry, struct error *error)
{
    struct cluster_entry decoded;
    struct arena *arena = arena_create(0);
    if (arena == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "entry");
    enum error_code code = cluster_entry_decode(entry.data, entry.size, arena, &decoded, error);
    arena_destroy(arena);
    if (code == ERROR_CORRUPT || code == ERROR_UNSUPPORTED) {
        error->code = ERROR_INVALID;
        return ERROR_INVALID;
    }
    return code;
}

enum error_code propose_bytes(struct meta *meta, struct bytes entry, proposal_done *done,
                              void *owner, struct error *error)
{
    enum error_code code = check_entry(entry, error);
    if (code != ERROR_NONE)
        return code;
    if (meta->proposal_count == PROPOSALS_MAX || meta->group == NULL)
        return error_set(error, ERROR_UNAVAILABLE, "too many proposals at once");
    struct proposal *proposal = calloc(1, sizeof *proposal);
    uint8_t *payload = group_payload_create(entry.size);
    if (proposal == NULL || payload == NULL) {
        group_payload_destroy(payload);
        free(proposal);
        return error_set(error, ERROR_OUT_OF_MEMORY, "proposal");
    }
    *proposal = (struct proposal){
        .request = {.done = on_done, .space = GROUP_USES_RESERVE},
        .meta = meta,
        .done = done,
        .owner = owner,
    };
    memcpy(payload, entry.data, entry.size);
    code = group_propose(meta->group, &proposal->request, payload, error);
    if (code != ERROR_NONE) {
        group_payload_destroy(payload);
        free(proposal);
        if (code == ERROR_LIMIT) /* of what is in flight: later */
            error->code = code = ERROR_UNAVAILABLE;
        return code;
    }
    meta->proposals++;
    meta->proposal_count++;
    meta->outstanding++;
    return ERROR_NONE;
}

enum error_code propose_entry(struct meta *meta, const struct cluster_entry *entry,
                              proposal_done *done, void *owner, struct error *error)
{
    struct byte_buffer bytes = {0};
    enum error_code code = cluster_entry_encode(entry, &bytes, error);
    if (code == ERROR_NONE)
        code = propose_bytes(meta, (struct bytes){bytes.bytes, bytes.size}, done, owner, error);
    byte_buffer_clear(&bytes);
    return code;
}

/* --- What others ask of the leader --------------------------------------------------------- */

static void proposed(struct meta *meta, void *owner, const struct cluster_outcome *outcome)
{
    struct ask *ask = owner;
    struct byte_buffer bytes = {0};
    (void)meta;
    if (outcome == NULL) {
        ask_refuse(ask, ERROR_UNAVAILABLE, "the leader of the meta group changed");
        return;
    }
    outcome_encode(outcome, &bytes);
    if (bytes.failed)
        ask_refuse(ask, ERROR_OUT_OF_MEMORY, "outcome");
    else
        ask_end(ask, (struct bytes){bytes.bytes, bytes.size});
    byte_buffer_clear(&bytes);
}

void serve_propose(struct ask *ask, struct bytes body)
{
    struct error error;
    if (propose_bytes(ask_meta(ask), body, proposed, ask, &error) != ERROR_NONE)
        ask_fail(ask, &error);
}

/* --- Asking -------------------------------------------------------------------------------- */

static void answered(struct meta *meta, void *owner, struct bytes answer, const struct error *error)
{
    struct meta_request *request = owner;
    struct error failure = *error;
    (void)meta;
    if (failure.code == ERROR_NONE)
        (void)outcome_decode(answer, &request->outcome, &failure); /* told by `failure` */
    request->done(request, &failure);
}

/* Something that fails before it is asked. */
struct failure {
    struct task task;
    struct meta *meta;
    struct meta_request *request;
    struct error error;
};

static void fail_run(struct task *task)
{
    struct failure *failure = (struct failure *)((char *)task - offsetof(struct failure, task));
    struct meta *meta = failure->meta;
    failure->request->done(failure->request, &failure->error);
    free(failure);
    meta_released(meta);
}

static void fail_later(struct meta *meta, struct meta_request *request, const struct error *error)
{
    struct failure *failure = calloc(1, sizeof *failure);
    if (failure == NULL)
        abort();
    *failure = (struct failure){{.run = fail_run}, meta, request, *error};
    meta->outstanding++;
    scheduler_defer(meta->scheduler, &failure->task);
}

void meta_propose(struct meta *meta, struct meta_request *request)
{
    struct byte_buffer bytes = {0};
    struct error error = {0};
    struct bytes entry = {request->bytes, request->size_bytes};
    enum error_code code = ERROR_NONE;
    if (request->entry != NULL) {
        code = cluster_entry_encode(request->entry, &bytes, &error);
        entry = (struct bytes){bytes.bytes, bytes.size};
    } else {
        code = check_entry(entry, &error);
    }
    if (code == ERROR_NONE &&
        !call_leader(meta, OPERATION_PROPOSE, entry, request->timeout_ms, answered, request))
        code = error_set(&error, ERROR_OUT_OF_MEMORY, "proposal");
    byte_buffer_clear(&bytes);
    if (code != ERROR_NONE)
        fail_later(meta, request, &error);
}
