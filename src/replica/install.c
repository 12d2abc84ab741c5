/* The state of another replica in the place of this one's, when the log between them is gone. */
#include <assert.h>

#include "replica_private.h"

/* --- Who may have files --------------------------------------------------------------------- */

struct node_list {
    uint64_t self;
    uint64_t *nodes; /* [FILE_FETCH_NODES_MAX] */
    size_t count;
};

static void add_node(struct node_list *list, uint64_t node_id)
{
    if (node_id == 0 || node_id == list->self || list->count == FILE_FETCH_NODES_MAX)
        return;
    for (size_t i = 0; i < list->count; i++)
        if (list->nodes[i] == node_id)
            return;
    list->nodes[list->count++] = node_id;
}

/* The leader first: it has what its manifest names. Then who votes, then the others. */
size_t replica_nodes(void *context, uint64_t nodes_out[FILE_FETCH_NODES_MAX])
{
    static const enum consensus_role ROLES[] = {CONSENSUS_ROLE_VOTER, CONSENSUS_ROLE_STANDBY};
    const struct replica *replica = context;
    struct node_list list = {.self = group_host_node_id(replica->options.host), .nodes = nodes_out};
    struct consensus_member members[CONSENSUS_MEMBERS_MAX];
    struct group_status status;
    group_status(replica->group, &status);
    add_node(&list, status.leader_id);
    size_t member_count = group_members(replica->group, members);
    for (size_t role = 0; role < sizeof ROLES / sizeof ROLES[0]; role++)
        for (size_t i = 0; i < member_count; i++)
            if (members[i].role == ROLES[role])
                add_node(&list, members[i].node_id);
    for (size_t i = 0; i < replica->offer_node_count; i++)
        add_node(&list, replica->offer_nodes[i]);
    return list.count;
}

static void note_offer_nodes(struct replica *replica, const struct state_machine_offer *offer)
{
    struct node_list list = {
        .self = group_host_node_id(replica->options.host),
        .nodes = replica->offer_nodes,
    };
    add_node(&list, offer->from_node);
    for (size_t i = 0; i < offer->member_count; i++)
        if (offer->members[i].role != CONSENSUS_ROLE_SPARE)
            add_node(&list, offer->members[i].node_id);
    replica->offer_node_count = list.count;
}

/* --- Preparing ------------------------------------------------------------------------------ */

static void install_ready(void *context, const struct error *error)
{
    struct replica *replica = context;
    struct error outcome = *error;
    replica->install_is_ready = outcome.code == ERROR_NONE;
    if (!replica->install_is_ready) {
        shard_install_abandon(replica->install);
        replica->install = NULL;
    }
    group_restore_prepared(replica->group, replica->install_index, &outcome);
}

void replica_install_failed(struct task *task)
{
    struct replica *replica =
        (struct replica *)((char *)task - offsetof(struct replica, install_task));
    replica->install_task_queued = false;
    if (!replica->closing && replica->install == NULL)
        group_restore_prepared(replica->group, replica->install_index, &replica->install_error);
}

void replica_drop_install(struct replica *replica)
{
    replica_adoption_end(replica);
    shard_install_abandon(replica->install);
    replica->install = NULL;
    replica->install_is_ready = false;
}

void replica_prepare_restore(struct state_machine *self, const struct state_machine_offer *offer)
{
    struct replica *replica = replica_of(self);
    replica_drop_install(replica);
    note_offer_nodes(replica, offer);
    replica->install_index = offer->position.frozen_index;
    if (shard_install_begin(replica->shard, offer->bytes, offer->size_bytes, install_ready, replica,
                            &replica->install, &replica->install_error) == ERROR_NONE ||
        replica->install_task_queued)
        return;
    replica->install_task_queued = true;
    scheduler_defer(loop_of(replica), &replica->install_task);
}

void replica_cancel_restore(struct state_machine *self)
{
    replica_drop_install(replica_of(self));
}

/* --- Before the start ------------------------------------------------------------------------ */

static void opened_ahead(void *context, const struct error *error)
{
    struct replica *replica = context;
    replica->install_is_ready = error->code == ERROR_NONE;
    if (!replica->install_is_ready)
        replica_drop_install(replica);
    replica->opened(replica->opened_context);
}

bool replica_open_ahead(struct replica *replica, void (*opened)(void *context), void *context)
{
    const struct replica_options *options = &replica->options;
    struct error ignored; /* the start meets it again */
    if (options->origin_index == 0)
        return false;
    replica->opened = opened;
    replica->opened_context = context;
    replica->install_index = options->origin_index;
    return shard_install_begin(replica->shard, options->origin_state, options->origin_bytes,
                               opened_ahead, replica, &replica->install, &ignored) == ERROR_NONE;
}

/* --- A start that failed ---------------------------------------------------------------------- */

bool replica_lacks_files(const struct replica *replica)
{
    return replica->stored_state.size > 0 && replica->options.fetcher != NULL;
}

static void files_fetched(void *context, const struct error *error)
{
    struct replica *replica = context;
    void (*done)(void *context, const struct error *error) = replica->files_fetched;
    replica->files_fetched = NULL;
    replica->install_is_ready = error->code == ERROR_NONE;
    if (!replica->install_is_ready) {
        struct error outcome = *error; /* it is the install's */
        replica_drop_install(replica);
        done(replica->files_fetched_context, &outcome);
        return;
    }
    done(replica->files_fetched_context, error);
}

enum error_code replica_fetch_files(struct replica *replica, const uint64_t *nodes,
                                    size_t node_count,
                                    void (*done)(void *context, const struct error *error),
                                    void *context, struct error *error)
{
    struct node_list list = {.self = group_host_node_id(replica->options.host),
                             .nodes = replica->offer_nodes};
    assert(replica_lacks_files(replica) && replica->files_fetched == NULL);
    for (size_t i = 0; i < node_count; i++)
        add_node(&list, nodes[i]);
    replica->offer_node_count = list.count;
    replica_drop_install(replica); /* that the last start did not take */
    enum error_code code = shard_install_begin_stored(replica->shard, replica->stored_state.bytes,
                                                      replica->stored_state.size, files_fetched,
                                                      replica, &replica->install, error);
    if (code != ERROR_NONE)
        return code;
    replica->files_fetched = done;
    replica->files_fetched_context = context;
    return ERROR_NONE;
}

void replica_stop_fetching(struct replica *replica)
{
    if (!replica_lacks_files(replica))
        return;
    replica->files_fetched = NULL;
    replica_drop_install(replica);
}

/* Kept, with the place where it belongs. */
static void keep_stored_state(struct replica *replica, const uint8_t *bytes, size_t size_bytes,
                              const struct state_machine_position *position)
{
    byte_buffer_clear(&replica->stored_state);
    byte_buffer_append(&replica->stored_state, bytes, size_bytes);
    if (replica->stored_state.failed) /* then the start fails for good */
        byte_buffer_clear(&replica->stored_state);
    replica->install_index = position->frozen_index;
}

/* --- Restoring ------------------------------------------------------------------------------ */

static enum error_code finish_install(struct replica *replica, struct error *error)
{
    struct shard_install *install = replica->install;
    assert(replica->entries == NULL); /* the group waited for that, or they were void */
    replica->install = NULL;
    replica->install_is_ready = false;
    replica_adoption_end(replica);
    enum error_code code = shard_install_finish(install, error);
    if (code == ERROR_NONE)
        replica_end_replay(replica);
    return code;
}

enum error_code replica_restore(struct state_machine *self, const uint8_t *bytes, size_t size_bytes,
                                const struct state_machine_position *position, struct error *error)
{
    struct replica *replica = replica_of(self);
    bool installs = replica->install_is_ready && replica->install_index == position->frozen_index;
    enum error_code code = installs ? finish_install(replica, error)
                                    : shard_restore(replica->shard, bytes, size_bytes, error);
    bool is_of_file = code == ERROR_CORRUPT || code == ERROR_NOT_FOUND || code == ERROR_IO;
    if (is_of_file && replica->options.recovery != NULL && !installs)
        keep_stored_state(replica, bytes, size_bytes, position);
    if (code != ERROR_NONE)
        return code;
    replica->applied_index = position->frozen_index;
    replica_count_unfrozen(replica);
    return ERROR_NONE;
}
