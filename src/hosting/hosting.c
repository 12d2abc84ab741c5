#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/state_version.h"
#include "hosting_private.h"

static void tick(struct timer *timer);

/* --- Life ------------------------------------------------------------------------------------ */

enum error_code hosting_create(const struct hosting_options *options, struct hosting **hosting_out,
                               struct error *error)
{
    size_t count = options->loop_count;
    struct hosting *hosting = calloc(1, sizeof *hosting + count * sizeof hosting->loops[0]);
    if (hosting == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "hosting");
    hosting->options = *options;
    hosting->options.loops = NULL;
    hosting->loop_count = count;
    pthread_mutex_init(&hosting->mutex, NULL);
    for (size_t i = 0; i < count; i++) {
        struct hosting_loop *loop = &hosting->loops[i];
        loop->hosting = hosting;
        loop->number = i;
        loop->options = options->loops[i];
        loop->tick = (struct timer){.fire = tick, .heap_index = TIMER_IDLE};
        if (loop->options.transport != NULL)
            transport_on_request(loop->options.transport, HOSTING_REQUEST_KIND, farewell_serve,
                                 loop);
    }
    *hosting_out = hosting;
    return ERROR_NONE;
}

void hosting_destroy(struct hosting *hosting)
{
    if (hosting == NULL)
        return;
    for (size_t i = 0; i < hosting->loop_count; i++) {
        assert(hosting->loops[i].residents == NULL);
        cluster_view_unref(hosting->loops[i].view);
        free(hosting->loops[i].reports);
    }
    pthread_mutex_destroy(&hosting->mutex);
    free(hosting->alive);
    free(hosting->leaders);
    free(hosting->gathered);
    free(hosting->loop_of_shard);
    free(hosting);
}

enum error_code hosting_deal(struct hosting *hosting, const uint32_t *loop_of_shard,
                             uint32_t shard_count, struct error *error)
{
    hosting->loop_of_shard = calloc(shard_count, sizeof *hosting->loop_of_shard);
    if (hosting->loop_of_shard == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "hosting");
    memcpy(hosting->loop_of_shard, loop_of_shard, shard_count * sizeof *loop_of_shard);
    hosting->dealt = shard_count;
    return ERROR_NONE;
}

uint32_t hosting_loop_of(const struct hosting *hosting, uint32_t shard_id)
{
    return shard_id < hosting->dealt ? hosting->loop_of_shard[shard_id]
                                     : shard_id % (uint32_t)hosting->loop_count;
}

/* --- Opening --------------------------------------------------------------------------------- */

/* The shards of a node alone. */
static enum error_code open_dealt(struct hosting_loop *loop,
                                  const struct journal_recovery *recovery, struct error *error)
{
    const struct consensus_member founder = {
        .node_id = loop->node_id, .role = CONSENSUS_ROLE_VOTER, .address = "node-1"};
    enum error_code code = ERROR_NONE;
    for (uint32_t shard = 0; code == ERROR_NONE && shard < loop->hosting->dealt; shard++)
        if (hosting_loop_of(loop->hosting, shard) == loop->number)
            code =
                resident_open(loop, shard,
                              &(struct resident_origin){
                                  .recovery = recovery, .founders = &founder, .founder_count = 1},
                              error);
    return code;
}

/* What the journal knew. */
static enum error_code open_stored(struct hosting_loop *loop,
                                   const struct journal_recovery *recovery, struct error *error)
{
    enum error_code code = ERROR_NONE;
    size_t count = recovery == NULL ? 0 : journal_recovery_group_count(recovery);
    for (size_t i = 0; code == ERROR_NONE && i < count; i++) {
        uint64_t group = journal_recovery_group(recovery, i)->group;
        if (group == 0 || group > CLUSTER_SHARDS_MAX)
            continue; /* not a shard's */
        uint32_t shard = (uint32_t)(group - 1);
        if (hosting_loop_of(loop->hosting, shard) == loop->number)
            code =
                resident_open(loop, shard, &(struct resident_origin){.recovery = recovery}, error);
    }
    return code;
}

enum error_code hosting_open(struct hosting *hosting, size_t number, struct group_host *host,
                             uint64_t node_id, const struct journal_recovery *recovery,
                             struct error *error)
{
    struct hosting_loop *loop = &hosting->loops[number];
    loop->host = host;
    loop->node_id = node_id;
    loop->opened_ms = clock_monotonic_ms(loop->options.environment->clock);
    enum error_code code =
        hosting->dealt > 0 ? open_dealt(loop, recovery, error) : open_stored(loop, recovery, error);
    if (code == ERROR_NONE)
        scheduler_timer_start(scheduler_of(loop), &loop->tick, HOSTING_TICK_MS);
    return code;
}

/* --- Versions -------------------------------------------------------------------------------- */

/* A node alone gives its operator a while to see whether the program stays, when there may have
 * been one before. */
enum { ALONE_SETTLE_MS = 30 * 1000 };

/* The state-machine version that the shards shall have; 0: the one that they have. */
static uint32_t wanted_version(const struct hosting_loop *loop)
{
    const struct hosting_options *options = &loop->hosting->options;
    const struct cluster_state *state = state_of(loop);
    if (state != NULL)
        return cluster_state_facts(state)->version;
    uint64_t age_ms = clock_monotonic_ms(loop->options.environment->clock) - loop->opened_ms;
    if (options->board != NULL || (age_ms < ALONE_SETTLE_MS && !options->has_new_directory))
        return 0;
    return options->shard.version_max == 0 ? STATE_VERSION_MAX : options->shard.version_max;
}

/* --- Time ------------------------------------------------------------------------------------ */

static void tick(struct timer *timer)
{
    struct hosting_loop *loop =
        (struct hosting_loop *)((char *)timer - offsetof(struct hosting_loop, tick));
    struct cluster_board *board = loop->hosting->options.board;
    if (board != NULL && cluster_board_refresh(board, &loop->view))
        loop->has_missing = true;
    if (loop->has_missing && !loop->handing_over)
        residents_make_missing(loop);
    residents_fetch_files(loop);
    struct resident *next;
    for (struct resident *resident = loop->residents; resident != NULL; resident = next) {
        next = resident->next;
        if (resident->state == RESIDENT_RUNNING && resident_is_superseded(resident))
            resident_remove(resident); /* and made anew, if it is desired */
        else if (resident->state == RESIDENT_RUNNING && state_of(loop) != NULL)
            resident_consider_leaving(resident);
        else
            resident_go_on(resident);
    }
    uint64_t next_ms = HOSTING_TICK_MS;
    if (loop->handing_over) {
        residents_hand_over(loop);
        next_ms = HAND_OVER_TICK_MS;
    } else {
        residents_lead(loop);
        residents_give_way(loop);
        if (residents_split(loop))
            next_ms = SPLIT_TICK_MS;
    }
    residents_count_empty(loop);
    uint32_t version = wanted_version(loop);
    for (struct resident *resident = loop->residents; resident != NULL; resident = resident->next)
        if (resident->state == RESIDENT_RUNNING)
            shard_want_version(replica_shard(resident->replica), version);
    residents_report(loop);
    if (!loop->closing)
        scheduler_timer_start(scheduler_of(loop), timer, next_ms);
}

/* --- The end --------------------------------------------------------------------------------- */

static void tell_closed(struct task *task)
{
    struct hosting_loop *loop =
        (struct hosting_loop *)((char *)task - offsetof(struct hosting_loop, closed_task));
    loop->closed(loop->closed_context);
}

void hosting_loop_check_closed(struct hosting_loop *loop)
{
    if (!loop->closing || loop->residents != NULL || loop->farewells > 0 || loop->foundings > 0)
        return;
    loop->closed_task.run = tell_closed;
    scheduler_defer(scheduler_of(loop), &loop->closed_task);
}

void hosting_close(struct hosting *hosting, size_t number, void (*closed)(void *context),
                   void *context)
{
    struct hosting_loop *loop = &hosting->loops[number];
    assert(!loop->closing);
    loop->closing = true;
    loop->closed = closed;
    loop->closed_context = context;
    scheduler_timer_stop(scheduler_of(loop), &loop->tick);
    if (loop->residents == NULL) {
        hosting_loop_check_closed(loop);
        return;
    }
    struct resident *next;
    for (struct resident *resident = loop->residents; resident != NULL; resident = next) {
        next = resident->next;
        resident_close(resident);
    }
}

void hosting_journal_lost(struct hosting *hosting, size_t number)
{
    struct hosting_loop *loop = &hosting->loops[number];
    loop->journal_lost = true;
    scheduler_timer_stop(scheduler_of(loop), &loop->tick); /* nothing is made any more */
    residents_stop_waiting(loop);
}

/* --- Looking --------------------------------------------------------------------------------- */

void hosting_visit_loop(struct hosting *hosting, size_t number, hosting_visit *visit, void *context)
{
    struct resident *next;
    for (struct resident *resident = hosting->loops[number].residents; resident != NULL;
         resident = next) {
        next = resident->next;
        if (resident->state == RESIDENT_RUNNING)
            visit(context, resident->shard_id, resident->replica);
    }
}

void hosting_read_statistics(const struct hosting *hosting,
                             struct hosting_statistics *statistics_out)
{
    *statistics_out = (struct hosting_statistics){
        .replicas = atomic_load(&hosting->replicas),
        .created_total = atomic_load(&hosting->created_total),
        .removed_total = atomic_load(&hosting->removed_total),
        .steps_total = atomic_load(&hosting->steps_total),
        .transfers_total = atomic_load(&hosting->transfers_total),
    };
    for (size_t i = 0; i < hosting->loop_count; i++) {
        statistics_out->leaders += atomic_load(&hosting->loops[i].leading);
        statistics_out->missing += atomic_load(&hosting->loops[i].missing);
        statistics_out->empty += atomic_load(&hosting->loops[i].empty);
        statistics_out->lacking += atomic_load(&hosting->loops[i].lacking);
    }
    uint32_t end = replica_table_end(hosting->options.table);
    for (uint32_t shard = 0; shard < end; shard++) {
        struct replica *replica = replica_table_hold(hosting->options.table, shard);
        if (replica == NULL)
            continue;
        struct replica_replay replay = replica_replay(replica);
        statistics_out->replaying += replay.applied < replay.entries;
        statistics_out->replay.entries += replay.entries;
        statistics_out->replay.applied += replay.applied;
        replica_table_release(hosting->options.table, shard);
    }
}

/* --- What the meta group says ---------------------------------------------------------------- */

/* A copy in `*array`; without memory the former stays. */
static void keep(uint64_t **array, size_t *array_count, const uint64_t *values, size_t count)
{
    uint64_t *copy = malloc((count + 1) * sizeof *copy);
    if (copy == NULL)
        return;
    if (count > 0)
        memcpy(copy, values, count * sizeof *copy);
    free(*array);
    *array = copy;
    *array_count = count;
}

void hosting_observed(struct hosting *hosting, const struct meta_view *view)
{
    pthread_mutex_lock(&hosting->mutex);
    keep(&hosting->alive, &hosting->alive_count, view->alive, view->alive_count);
    keep(&hosting->leaders, &hosting->leader_count, view->shard_leaders, view->shard_count);
    hosting->has_observed = true;
    pthread_mutex_unlock(&hosting->mutex);
}
