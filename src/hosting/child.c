/*
 * Shards that are split off a replica here (docs/decisions/0061).
 *
 *   parent's loop: desired, led -> shard_split ... durable -> (child's loop: is it here?)
 *                  -> shard_copy_child -> (child's loop: replica made, its files opened by a job,
 *                  started, its state durable) -> shard_child_is_founded
 *
 * A crash anywhere in between: the parent's durable state is still that of the split, and all
 * begins anew.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "hosting_private.h"
#include "removal_mark.h"

enum { RETRY_MS = 2000, STAND_MS = 5000 };

struct founding {
    struct shard_copy copy; /* first */
    struct founding *next;  /* of the node's, under the mutex */
    struct hosting_loop *loop, *child_loop;
    struct resident *parent; /* NULL: it goes */
    struct shard_child child;
    char directory[DIRECTORY_BYTES_MAX];
    bool leads;   /* the parent's replica does */
    bool is_here; /* the child is, or was once */
    struct task task;
    struct error error;
};

/* --- Of the whole node ------------------------------------------------------------------------ */

static void list_founding(struct founding *founding)
{
    struct hosting *hosting = founding->loop->hosting;
    pthread_mutex_lock(&hosting->mutex);
    founding->next = hosting->foundings;
    hosting->foundings = founding;
    pthread_mutex_unlock(&hosting->mutex);
}

static void unlist_founding(struct founding *founding)
{
    struct hosting *hosting = founding->loop->hosting;
    pthread_mutex_lock(&hosting->mutex);
    struct founding **link = &hosting->foundings;
    while (*link != founding)
        link = &(*link)->next;
    *link = founding->next;
    pthread_mutex_unlock(&hosting->mutex);
}

static bool is_being_founded(struct hosting *hosting, uint32_t shard_id)
{
    pthread_mutex_lock(&hosting->mutex);
    const struct founding *founding = hosting->foundings;
    while (founding != NULL && founding->child.shard_id != shard_id)
        founding = founding->next;
    pthread_mutex_unlock(&hosting->mutex);
    return founding != NULL;
}

/* --- On the parent's loop, in the end --------------------------------------------------------- */

static void end(struct founding *founding)
{
    struct hosting_loop *loop = founding->loop;
    struct resident *parent = founding->parent;
    if (parent != NULL) {
        parent->founding = NULL;
        if (founding->error.code == ERROR_NONE)
            shard_child_is_founded(replica_shard(parent->replica), founding->child.index);
        else
            parent->founding_retry_ms = loop_now_ms(loop) + RETRY_MS;
    }
    if (founding->error.code != ERROR_NONE)
        log_event(LOG_WARNING, "hosting", "a shard that was split off can't be founded yet",
                  "shard=%u error=\"%s\"", founding->child.shard_id, founding->error.message);
    unlist_founding(founding);
    byte_buffer_clear(&founding->copy.manifest);
    free(founding);
    loop->foundings--;
    hosting_loop_check_closed(loop);
}

static void end_task(struct task *task)
{
    end((struct founding *)((char *)task - offsetof(struct founding, task)));
}

static void end_there(struct founding *founding)
{
    founding->task.run = end_task;
    scheduler_post(scheduler_of(founding->loop), &founding->task);
}

/* --- On the child's loop -----------------------------------------------------------------------
 */

/* The replica is no more than made, and closes. */
static void give_up(struct resident *child)
{
    child->state = RESIDENT_RUNNING;
    resident_close(child);
}

/* When its state is durable, the parent may go on. */
static void start_child(void *context)
{
    struct resident *child = context;
    struct hosting_loop *loop = child->loop;
    struct founding *founding = child->born;
    if (loop->closing || loop->journal_lost) {
        give_up(child);
        return;
    }
    if (resident_start(child, &founding->error) != ERROR_NONE) {
        child->born = NULL;
        loop->hosting->options.fatal(loop->hosting->options.context, &founding->error);
        end_there(founding);
        return;
    }
    error_clear(&founding->error); /* what it did not find is no failure */
    child->stands_until_ms = founding->leads ? loop_now_ms(loop) + STAND_MS : 0;
    atomic_fetch_add(&loop->hosting->created_total, 1);
    scheduler_timer_start(scheduler_of(loop), &loop->tick, 0);
    log_event(LOG_INFO, "hosting", "a shard that was split off is founded", "shard=%u index=%llu",
              founding->child.shard_id, (unsigned long long)founding->child.index);
}

static void make_child(struct task *task)
{
    struct founding *founding = (struct founding *)((char *)task - offsetof(struct founding, task));
    struct hosting_loop *loop = founding->child_loop;
    struct consensus_member founders[SHARD_FOUNDERS_MAX];
    struct resident *child;
    for (size_t i = 0; i < founding->child.founder_count; i++) {
        founders[i] = (struct consensus_member){.node_id = founding->child.founders[i],
                                                .role = CONSENSUS_ROLE_VOTER};
        hosting_member_address(founders[i].node_id, founders[i].address,
                               sizeof founders[i].address);
    }
    const struct resident_origin origin = {
        .founders = founders,
        .founder_count = founding->child.founder_count,
        .index = founding->child.index,
        .manifest = &founding->copy.manifest,
    };
    if (loop->closing) {
        error_set(&founding->error, ERROR_UNAVAILABLE, "shutting down");
        end_there(founding);
        return;
    }
    if (resident_create(loop, founding->child.shard_id, &origin, &child, &founding->error) !=
        ERROR_NONE) {
        loop->hosting->options.fatal(loop->hosting->options.context, &founding->error);
        end_there(founding);
        return;
    }
    child->born = founding;
    /* Its labels and samples may be many: not here. */
    if (!replica_open_ahead(child->replica, start_child, child))
        start_child(child);
}

static void copied(struct shard_copy *copy);

/* A state that was installed since may lie behind the split: the files of that are gone. */
static bool is_at_split(const struct founding *founding)
{
    struct shard_child child;
    return shard_unfounded_child(replica_shard(founding->parent->replica), &child) &&
           child.index == founding->child.index;
}

static void begin_copy(struct task *task)
{
    struct founding *founding = (struct founding *)((char *)task - offsetof(struct founding, task));
    struct resident *parent = founding->parent;
    if (parent == NULL && founding->error.code == ERROR_NONE)
        error_set(&founding->error, ERROR_UNAVAILABLE, "the parent's replica goes");
    if (founding->error.code == ERROR_NONE && !founding->is_here && !is_at_split(founding))
        error_set(&founding->error, ERROR_UNAVAILABLE, "the parent's state lies behind the split");
    if (founding->error.code != ERROR_NONE || founding->is_here) {
        end(founding);
        return;
    }
    founding->copy.done = copied;
    founding->copy.directory = founding->directory;
    shard_copy_child(replica_shard(parent->replica), &founding->copy);
}

/* Whether the child is here already, by an earlier life, or was and is to stay away. */
static void look_for_child(struct task *task)
{
    struct founding *founding = (struct founding *)((char *)task - offsetof(struct founding, task));
    struct hosting_loop *loop = founding->child_loop;
    uint32_t shard_id = founding->child.shard_id;
    struct consensus_promise promise;
    founding->is_here = resident_find(loop, shard_id) != NULL;
    if (loop->host == NULL || loop->closing)
        error_set(&founding->error, ERROR_UNAVAILABLE, "replicas are not opened yet, or close");
    else if (!founding->is_here &&
             removal_mark_read(loop->options.environment->disk, shard_id, &founding->is_here,
                               &promise, &founding->error) == ERROR_NONE &&
             !founding->is_here &&
             resident_remove_leftover(loop, shard_id, &founding->error) == ERROR_NONE)
        error_clear(&founding->error); /* what is missing is no failure */
    founding->task.run = begin_copy;
    scheduler_post(scheduler_of(founding->loop), &founding->task);
}

/* --- On the parent's loop -----------------------------------------------------------------------
 */

static void copied(struct shard_copy *copy)
{
    struct founding *founding = (struct founding *)copy;
    founding->error = copy->error;
    if (founding->parent == NULL && founding->error.code == ERROR_NONE)
        error_set(&founding->error, ERROR_UNAVAILABLE, "the parent's replica goes");
    if (founding->error.code != ERROR_NONE) {
        end(founding);
        return;
    }
    founding->leads = replica_is_ready(founding->parent->replica);
    founding->task.run = make_child;
    scheduler_post(scheduler_of(founding->child_loop), &founding->task);
}

static bool founds(const struct hosting_loop *loop, const struct shard_child *child)
{
    for (size_t i = 0; i < child->founder_count; i++)
        if (child->founders[i] == loop->node_id)
            return true;
    return false;
}

static void found(struct resident *parent, const struct shard_child *child)
{
    struct hosting_loop *loop = parent->loop;
    struct founding *founding = NULL;
    if (!founds(loop, child)) {
        shard_child_is_founded(replica_shard(parent->replica), child->index);
        return;
    }
    if (loop_now_ms(loop) < parent->founding_retry_ms ||
        (founding = calloc(1, sizeof *founding)) == NULL)
        return; /* later */
    founding->loop = loop;
    founding->child_loop = &loop->hosting->loops[hosting_loop_of(loop->hosting, child->shard_id)];
    founding->parent = parent;
    founding->child = *child;
    snprintf(founding->directory, sizeof founding->directory, "shards/%04u", child->shard_id);
    parent->founding = founding;
    loop->foundings++;
    list_founding(founding);
    founding->task.run = look_for_child;
    scheduler_post(scheduler_of(founding->child_loop), &founding->task);
}

void founding_forget(struct resident *resident)
{
    if (resident->founding != NULL)
        resident->founding->parent = NULL;
    resident->founding = NULL;
    if (resident->born == NULL)
        return;
    error_set(&resident->born->error, ERROR_UNAVAILABLE, "the replica goes");
    end_there(resident->born);
    resident->born = NULL;
}

/* --- What is desired ---------------------------------------------------------------------------
 */

/* The child that the cluster has and the log of the shard has not yet; NULL: none. They are split
 * off in the order of their ids. */
static const struct cluster_shard *next_child(const struct cluster_state *state, uint32_t shard_id,
                                              uint32_t split_count)
{
    size_t count;
    const struct cluster_shard *shards = cluster_state_shards(state, &count);
    for (size_t i = 0; i < count; i++)
        if (shards[i].parent == shard_id && split_count-- == 0)
            return &shards[i];
    return NULL;
}

/* The slots of a shard and of all that was split off it since. */
static void slots_below(const struct cluster_state *state, uint32_t shard_id,
                        struct slot_set *slots_out)
{
    *slots_out = (struct slot_set){0};
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
        uint32_t owner = cluster_state_shard_of(state, (uint16_t)slot);
        while (owner != shard_id && owner != CLUSTER_SHARD_NONE)
            owner = cluster_state_find_shard(state, owner)->parent;
        if (owner == shard_id)
            slot_set_add(slots_out, slot, 1);
    }
}

static void split_off(struct resident *resident, const struct cluster_state *state,
                      const struct cluster_shard *wanted)
{
    struct shard_child child = {.shard_id = wanted->shard_id};
    slots_below(state, wanted->shard_id, &child.slots);
    for (uint32_t i = 0; i < wanted->replicas.count; i++)
        child.founders[child.founder_count++] = wanted->replicas.node_ids[i];
    if (shard_split(replica_shard(resident->replica), &child))
        log_event(LOG_INFO, "hosting", "a shard is being split", "shard=%u child=%u slots=%u",
                  resident->shard_id, child.shard_id, slot_set_count(&child.slots));
}

static bool look_at(struct resident *resident, const struct cluster_state *state)
{
    struct hosting_loop *loop = resident->loop;
    struct shard *shard = replica_shard(resident->replica);
    struct shard_child child;
    uint32_t split_count = shard_split_count(shard);
    if (loop->hosting->options.board != NULL)
        cluster_board_note_splits(loop->hosting->options.board, resident->shard_id, split_count);
    if (resident->founding != NULL)
        return true;
    if (shard_unfounded_child(shard, &child)) {
        found(resident, &child);
        return true;
    }
    const struct cluster_shard *wanted =
        state == NULL ? NULL : next_child(state, resident->shard_id, split_count);
    if (wanted != NULL && resident->led_since_ms != 0 && !shard_split_is_proposed(shard))
        split_off(resident, state, wanted);
    return wanted != NULL;
}

/* Of one that was born here. */
static bool look_at_born(struct resident *resident)
{
    struct hosting_loop *loop = resident->loop;
    if (resident->born != NULL && replica_is_stored(resident->replica)) {
        end_there(resident->born);
        resident->born = NULL;
    }
    if (resident->stands_until_ms != 0 &&
        (replica_leader(resident->replica) != 0 || loop_now_ms(loop) >= resident->stands_until_ms))
        resident->stands_until_ms = 0;
    if (resident->stands_until_ms != 0)
        group_stand(replica_group(resident->replica));
    return resident->born != NULL || resident->stands_until_ms != 0;
}

bool residents_split(struct hosting_loop *loop)
{
    const struct cluster_state *state = state_of(loop);
    bool soon = false;
    for (struct resident *resident = loop->residents; resident != NULL; resident = resident->next) {
        if (resident->state != RESIDENT_RUNNING)
            continue;
        soon |= look_at_born(resident);
        soon |= look_at(resident, state);
    }
    return soon;
}

/* The first members have votes by the entry that split the shard off, whoever was there. */
static bool is_founder(const struct cluster_state *state, const struct resident *resident)
{
    enum { FIRST_GENERATION = 1 };
    const struct cluster_shard *shard = cluster_state_find_shard(state, resident->shard_id);
    return shard != NULL && shard->parent != CLUSTER_SHARD_NONE &&
           shard->generation == FIRST_GENERATION &&
           cluster_replicas_has(&shard->replicas, resident->loop->node_id);
}

void residents_count_empty(struct hosting_loop *loop)
{
    const struct cluster_state *state = state_of(loop);
    uint64_t empty = 0;
    for (struct resident *resident = loop->residents; state != NULL && resident != NULL;
         resident = resident->next) {
        struct group_status status;
        if (resident->state != RESIDENT_RUNNING || !is_founder(state, resident))
            continue;
        replica_group_status(resident->replica, &status);
        empty += status.last_index == 0;
    }
    atomic_store(&loop->empty, empty);
}

bool child_is_to_be_founded(struct hosting_loop *loop, const struct cluster_shard *shard)
{
    if (shard->parent == CLUSTER_SHARD_NONE)
        return false;
    /* Whatever became of the parent meanwhile. One that begins after this look sees what is made.
     */
    if (is_being_founded(loop->hosting, shard->shard_id))
        return true;
    struct replica_table *table = loop->hosting->options.table;
    struct replica *parent = replica_table_hold(table, shard->parent);
    if (parent == NULL) {
        /* It may be on its way: desired, and not made or restored yet. */
        const struct cluster_shard *of_parent =
            cluster_state_find_shard(state_of(loop), shard->parent);
        return cluster_replicas_has(&of_parent->replicas, loop->node_id);
    }
    uint32_t split_count = shard_split_count(replica_shard(parent));
    const struct cluster_shard *next = next_child(state_of(loop), shard->parent, split_count);
    bool is_before = next == NULL || shard->shard_id < next->shard_id;
    bool waits = !is_before || shard_holds_child(replica_shard(parent), shard->shard_id);
    replica_table_release(table, shard->parent);
    return waits;
}
