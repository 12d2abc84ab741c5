/* One replica of this node: made when the cluster desires it, removed when its group let it go. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "hosting_private.h"
#include "removal_mark.h"

/* --- Made ------------------------------------------------------------------------------------ */

struct resident *resident_find(const struct hosting_loop *loop, uint32_t shard_id)
{
    struct resident *resident = loop->residents;
    while (resident != NULL && resident->shard_id != shard_id)
        resident = resident->next;
    return resident;
}

static void mark(struct resident *resident);

static void look_again(struct timer *timer)
{
    struct resident *resident =
        (struct resident *)((char *)timer - offsetof(struct resident, retry));
    if (resident->state == RESIDENT_DELETING)
        mark(resident);
    else
        resident_go_on(resident);
}

static void unlink_resident(struct resident *resident)
{
    struct resident **link = &resident->loop->residents;
    while (*link != resident)
        link = &(*link)->next;
    *link = resident->next;
    free(resident);
}

static void shard_directory(uint32_t shard_id, char *target, size_t size)
{
    snprintf(target, size, "shards/%04u", shard_id);
}

enum error_code resident_create(struct hosting_loop *loop, uint32_t shard_id,
                                const struct resident_origin *origin,
                                struct resident **resident_out, struct error *error)
{
    struct hosting *hosting = loop->hosting;
    struct resident *resident = calloc(1, sizeof *resident);
    if (resident == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "replica of shard %u", shard_id);
    resident->loop = loop;
    resident->shard_id = shard_id;
    resident->state = RESIDENT_OPENING;
    resident->retry = (struct timer){.fire = look_again, .heap_index = TIMER_IDLE};
    shard_directory(shard_id, resident->directory, sizeof resident->directory);
    struct replica_options options = {
        .environment = loop->options.environment,
        .host = loop->host,
        .node = hosting->options.node,
        .shard = hosting->options.shard,
        .fetcher = loop->options.transfer == NULL ? NULL : transfer_fetcher(loop->options.transfer),
        .group_id = hosting_group_of(shard_id),
        .recovery = origin->recovery,
        .founders = origin->founders,
        .founder_count = origin->founder_count,
        .origin_index = origin->index,
        .origin_state = origin->manifest == NULL ? NULL : origin->manifest->bytes,
        .origin_bytes = origin->manifest == NULL ? 0 : origin->manifest->size,
        .fatal = hosting->options.fatal,
        .fatal_context = hosting->options.context,
    };
    options.shard.shard_id = shard_id;
    options.shard.directory = resident->directory;
    bool was_here;
    enum error_code code = removal_mark_read(loop->options.environment->disk, shard_id, &was_here,
                                             &options.promise, error);
    if (was_here) { /* it does not found the shard again, by whatever old state */
        options.founder_count = 0;
        options.origin_index = 0;
    }
    if (code == ERROR_NONE)
        code = replica_create(&options, &resident->replica, error);
    if (code != ERROR_NONE) {
        free(resident);
        return error_wrap(error, "shard %u", shard_id);
    }
    resident->next = loop->residents;
    loop->residents = resident;
    atomic_fetch_add(&hosting->replicas, 1);
    *resident_out = resident;
    return ERROR_NONE;
}

enum error_code resident_start(struct resident *resident, struct error *error)
{
    struct hosting_loop *loop = resident->loop;
    struct hosting *hosting = loop->hosting;
    resident->state = RESIDENT_RUNNING;
    enum error_code code =
        loop->options.transfer == NULL || resident->is_served
            ? ERROR_NONE
            : transfer_add_shard(loop->options.transfer, hosting_group_of(resident->shard_id),
                                 replica_shard(resident->replica), error);
    if (code == ERROR_NONE) {
        resident->is_served = true;
        code = replica_start(resident->replica, error);
    }
    if (code != ERROR_NONE) /* the process ends; whoever closes all the same closes it too */
        return error_wrap(error, "shard %u", resident->shard_id);
    replica_table_put(hosting->options.table, resident->shard_id, resident->replica);
    return ERROR_NONE;
}

enum error_code resident_open(struct hosting_loop *loop, uint32_t shard_id,
                              const struct resident_origin *origin, struct error *error)
{
    struct resident *resident;
    enum error_code code = resident_create(loop, shard_id, origin, &resident, error);
    if (code != ERROR_NONE)
        return code;
    code = resident_start(resident, error);
    return code != ERROR_NONE && resident_awaits_files(resident) ? ERROR_NONE : code;
}

/* --- Folders ---------------------------------------------------------------------------------- */

enum { NAMES_DEPTH_MAX = 3 };

static bool collect_name(void *context, const char *name, bool is_directory)
{
    struct byte_buffer *names = context;
    byte_buffer_u8(names, is_directory);
    byte_buffer_append(names, name, strlen(name) + 1);
    return true;
}

/* A folder of a shard with all that is in it; what is missing is fine. */
static enum error_code remove_folder(struct disk *disk, const char *path, int depth,
                                     struct error *error)
{
    struct byte_buffer names = {0};
    enum error_code code = disk_list(disk, path, collect_name, &names, error);
    if (code == ERROR_NONE && names.failed)
        code = error_set(error, ERROR_OUT_OF_MEMORY, "names of '%s'", path);
    for (size_t at = 0; code == ERROR_NONE && at < names.size;) {
        bool is_directory = names.bytes[at] != 0;
        const char *name = (const char *)names.bytes + at + 1;
        at += 2 + strlen(name);
        char inner[512];
        snprintf(inner, sizeof inner, "%s/%s", path, name);
        code = is_directory && depth < NAMES_DEPTH_MAX
                   ? remove_folder(disk, inner, depth + 1, error)
                   : disk_remove(disk, inner, error);
    }
    byte_buffer_clear(&names);
    if (code == ERROR_NONE)
        code = disk_remove_directory(disk, path, error);
    return code == ERROR_NOT_FOUND ? ERROR_NONE : code;
}

/* A removal, or a founding, that a crash has cut short. */
enum error_code resident_remove_leftover(struct hosting_loop *loop, uint32_t shard_id,
                                         struct error *error)
{
    char former[DIRECTORY_BYTES_MAX];
    shard_directory(shard_id, former, sizeof former);
    return remove_folder(loop->options.environment->disk, former, 0, error);
}

/* --- What is desired ------------------------------------------------------------------------- */

/* The first replicas of a shard found it together; one that comes later waits for the leader. */
static size_t find_founders(const struct cluster_shard *shard,
                            struct consensus_member founders[CLUSTER_REPLICAS_MAX])
{
    if (shard->generation > 1 || shard->parent != CLUSTER_SHARD_NONE)
        return 0;
    for (uint32_t i = 0; i < shard->replicas.count; i++) {
        founders[i] = (struct consensus_member){.node_id = shard->replicas.node_ids[i],
                                                .role = CONSENSUS_ROLE_VOTER};
        hosting_member_address(founders[i].node_id, founders[i].address,
                               sizeof founders[i].address);
    }
    return shard->replicas.count;
}

static void make(struct hosting_loop *loop, const struct cluster_shard *shard)
{
    struct error error;
    struct consensus_member founders[CLUSTER_REPLICAS_MAX];
    size_t count = find_founders(shard, founders);
    enum error_code code = resident_remove_leftover(loop, shard->shard_id, &error);
    if (code == ERROR_NONE)
        code = resident_open(
            loop, shard->shard_id,
            &(struct resident_origin){.founders = founders, .founder_count = count}, &error);
    if (code != ERROR_NONE) {
        loop->hosting->options.fatal(loop->hosting->options.context, &error);
        return;
    }
    atomic_fetch_add(&loop->hosting->created_total, 1);
    log_event(LOG_INFO, "hosting", "a replica is made", "shard=%u founds=%s", shard->shard_id,
              count > 0 ? "true" : "false");
}

void residents_make_missing(struct hosting_loop *loop)
{
    const struct cluster_state *state = state_of(loop);
    const struct cluster_shard *shard = NULL;
    size_t made = 0;
    uint64_t missing = 0;
    while (state != NULL &&
           (shard = cluster_state_next_shard_of(state, loop->node_id, shard)) != NULL) {
        if (hosting_loop_of(loop->hosting, shard->shard_id) != loop->number)
            continue;
        const struct resident *resident = resident_find(loop, shard->shard_id);
        if (resident != NULL && resident->state == RESIDENT_RUNNING)
            continue;
        missing++;
        if (resident != NULL || made == CREATIONS_PER_TICK)
            continue; /* the former one is still on its way out */
        if (child_is_to_be_founded(loop, shard))
            continue;
        make(loop, shard);
        made++;
        missing--;
    }
    atomic_store(&loop->missing, missing);
    loop->has_missing = missing > 0;
}

/* --- Removed --------------------------------------------------------------------------------- */

static void remove_files(struct job *job)
{
    struct resident *resident =
        (struct resident *)((char *)job - offsetof(struct resident, removal));
    struct error error;
    if (remove_folder(resident->loop->options.environment->disk, resident->directory, 0, &error) !=
        ERROR_NONE)
        log_event(LOG_WARNING, "hosting", "files of a removed replica are left",
                  "shard=%u error=\"%s\"", resident->shard_id, error.message);
}

static void files_removed(struct job *job)
{
    struct resident *resident =
        (struct resident *)((char *)job - offsetof(struct resident, removal));
    struct hosting_loop *loop = resident->loop;
    log_event(LOG_INFO, "hosting", "a replica is removed", "shard=%u", resident->shard_id);
    atomic_fetch_add(&loop->hosting->removed_total, 1);
    unlink_resident(resident);
    hosting_loop_check_closed(loop);
}

/* Its log is gone for good; a crash before the files are is mended by the next start. */
static void log_deleted(struct journal_request *request)
{
    struct resident *resident =
        (struct resident *)((char *)request - offsetof(struct resident, deletion));
    resident->is_waiting = false;
    resident->removal =
        (struct job){.run = remove_files, .done = files_removed, .class = JOB_BACKGROUND};
    scheduler_submit(scheduler_of(resident->loop), &resident->removal);
}

enum { MARK_RETRY_MS = 2000 };

/* The next start removes it. */
static void stop_waiting(struct resident *resident)
{
    struct hosting_loop *loop = resident->loop;
    scheduler_timer_stop(scheduler_of(loop), &resident->retry);
    unlink_resident(resident);
    hosting_loop_check_closed(loop);
}

void residents_stop_waiting(struct hosting_loop *loop)
{
    struct resident *next;
    for (struct resident *resident = loop->residents; resident != NULL; resident = next) {
        next = resident->next;
        if (resident->state == RESIDENT_DELETING && resident->is_waiting)
            stop_waiting(resident);
    }
}

static void mark_run(struct job *job)
{
    struct resident *resident =
        (struct resident *)((char *)job - offsetof(struct resident, removal));
    error_clear(&resident->error);
    (void)removal_mark_write(resident->loop->options.environment->disk, resident->shard_id,
                             &resident->promise, &resident->error); /* its code is kept */
}

static void mark_written(struct job *job)
{
    struct resident *resident =
        (struct resident *)((char *)job - offsetof(struct resident, removal));
    struct hosting_loop *loop = resident->loop;
    bool failed = resident->error.code != ERROR_NONE;
    if (loop->journal_lost || (failed && loop->closing)) {
        stop_waiting(resident);
        return;
    }
    resident->is_waiting = true;
    if (failed) {
        log_event(LOG_WARNING, "hosting", "a replica can't be removed yet", "shard=%u error=\"%s\"",
                  resident->shard_id, resident->error.message);
        scheduler_timer_start(scheduler_of(loop), &resident->retry, MARK_RETRY_MS);
        return;
    }
    resident->deletion.done = log_deleted;
    journal_delete_group(loop->options.journal, hosting_group_of(resident->shard_id),
                         &resident->deletion);
}

static void mark(struct resident *resident)
{
    resident->is_waiting = false;
    resident->removal =
        (struct job){.run = mark_run, .done = mark_written, .class = JOB_BACKGROUND};
    scheduler_submit(scheduler_of(resident->loop), &resident->removal);
}

static void replica_closed(void *context)
{
    struct resident *resident = context;
    struct hosting_loop *loop = resident->loop;
    atomic_fetch_sub(&loop->hosting->replicas, 1);
    resident->replica = NULL;
    if (!resident->is_removed) {
        unlink_resident(resident);
        hosting_loop_check_closed(loop);
        return;
    }
    resident->state = RESIDENT_DELETING;
    mark(resident);
}

static void take_out(struct resident *resident)
{
    farewell_forget(resident);
    founding_forget(resident);
    (void)replica_table_take(resident->loop->hosting->options.table, resident->shard_id);
    resident->state = RESIDENT_TAKEN;
    resident_go_on(resident);
}

bool resident_is_superseded(const struct resident *resident)
{
    struct group_status status;
    replica_group_status(resident->replica, &status);
    return status.is_superseded;
}

void resident_remove(struct resident *resident)
{
    resident->is_removed = true;
    resident->loop->has_missing = true;
    take_out(resident);
}

void resident_go_on(struct resident *resident)
{
    enum { HELD_RETRY_MS = 5 };
    struct hosting_loop *loop = resident->loop;
    if (resident->state != RESIDENT_TAKEN)
        return;
    /* Without a journal writes end only as the replica closes, and hold it until then. */
    if (!loop->journal_lost &&
        replica_table_is_held(loop->hosting->options.table, resident->shard_id)) {
        /* A flush or a write of one that is no member any more might wait without end. */
        shard_cancel_flushes(replica_shard(resident->replica));
        replica_step_down(resident->replica);
        scheduler_timer_start(scheduler_of(loop), &resident->retry, HELD_RETRY_MS);
        return;
    }
    scheduler_timer_stop(scheduler_of(loop), &resident->retry);
    if (loop->options.transfer != NULL)
        transfer_remove_shard(loop->options.transfer, hosting_group_of(resident->shard_id));
    resident->state = RESIDENT_CLOSING;
    resident->promise = replica_promise(resident->replica);
    replica_close(resident->replica, replica_closed, resident);
}

void resident_close(struct resident *resident)
{
    if (resident_stop_fetching(resident) || resident->state == RESIDENT_RUNNING)
        take_out(resident);
    else if (resident->retry.heap_index != TIMER_IDLE && resident->state == RESIDENT_DELETING)
        stop_waiting(resident);
}
