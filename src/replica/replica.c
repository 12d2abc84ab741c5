#include "replica/replica.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "journal/journal.h"

/* --- Types ---------------------------------------------------------------------------------- */

enum {
    ENTRY_BYTES_TARGET = 256 * 1024,
    ENTRIES_IN_FLIGHT_MAX = 2,
    APPLY_SLICE_NS = 2 * 1000 * 1000,
    APPLY_RETRY_MS = 5,
    UPKEEP_MS = 1000,
    /* More than can be in flight. */
    REFUSED_KEPT = 8,
};

/* One entry in flight with the writes in it. */
struct batch {
    struct group_request request;
    struct replica *replica;
    struct replica_write *writes;
    struct replica_entry *entry; /* instead of writes */
    struct batch *next;
    uint64_t index; /* when committed */
};

/* A committed entry that waits to be applied. */
struct pending_entry {
    struct pending_entry *next;
    uint64_t index;
    const uint8_t *payload;
    size_t size_bytes;
};

struct write_queue {
    struct replica_write *first;
    struct replica_write **last;
};

struct replica {
    struct state_machine state_machine; /* first */
    struct replica_options options;
    struct group *group;
    struct shard *shard;

    /* Applying. */
    struct pending_entry *entries;
    struct pending_entry **entries_last;
    struct pending_entry *spare_entries;
    uint64_t applied_index;
    uint64_t refused[REFUSED_KEPT]; /* indexes of entries refused as a whole, the newest ones */
    size_t refused_count;
    bool stopped; /* by an error that was reported */
    struct task apply_task;
    bool apply_scheduled;
    struct timer apply_retry;
    uint64_t counted_unfrozen_bytes; /* of this shard in node->unfrozen_bytes */
    uint64_t counted_series;         /* in node->series_count */

    /* Leading. */
    bool elected; /* by the group; leads once everything delivered is applied */
    _Atomic bool ready;
    struct write_queue waiting;
    struct batch *committed; /* in order, wait to be applied */
    struct batch **committed_last;
    size_t in_flight;
    struct byte_buffer entry;
    struct task pump_task;
    bool pump_scheduled;
    size_t resolving;

    struct timer upkeep;

    /* Settling and closing. */
    void (*settled)(void *context);
    void *settled_context;
    uint64_t settle_index;
    bool closing;
    bool group_gone;
    void (*closed)(void *context);
    void *closed_context;
};

static struct scheduler *loop_of(const struct replica *replica)
{
    return replica->options.environment->scheduler;
}

static struct replica *replica_of(struct state_machine *machine)
{
    return (struct replica *)machine;
}

/* --- Answering writes ------------------------------------------------------------------------ */

static void answer_task(struct task *task)
{
    struct replica_write *write =
        (struct replica_write *)((char *)task - offsetof(struct replica_write, task));
    write->done(write);
}

static void answer(struct replica_write *write)
{
    atomic_fetch_sub_explicit(&write->replica->options.node->queued_bytes, write->size_bytes,
                              memory_order_relaxed);
    shard_resolver_destroy(write->resolver);
    write->resolver = NULL;
    write->task.run = answer_task;
    scheduler_post(write->origin, &write->task);
}

static void answer_unavailable(struct replica_write *write, const char *why)
{
    error_set(&write->error, ERROR_UNAVAILABLE, "%s", why);
    answer(write);
}

static void queue_push(struct write_queue *queue, struct replica_write *write)
{
    write->next = NULL;
    *queue->last = write;
    queue->last = &write->next;
}

static struct replica_write *queue_pop(struct write_queue *queue)
{
    struct replica_write *write = queue->first;
    if (write == NULL)
        return NULL;
    queue->first = write->next;
    if (queue->first == NULL)
        queue->last = &queue->first;
    return write;
}

static void refuse_waiting(struct replica *replica, const char *why)
{
    struct replica_write *write;
    while ((write = queue_pop(&replica->waiting)) != NULL)
        answer_unavailable(write, why);
}

/* --- Proposing ------------------------------------------------------------------------------- */

static void schedule_pump(struct replica *replica)
{
    if (replica->pump_scheduled || replica->closing)
        return;
    replica->pump_scheduled = true;
    scheduler_defer(loop_of(replica), &replica->pump_task);
}

static void entry_answer_task(struct task *task)
{
    struct replica_entry *entry =
        (struct replica_entry *)((char *)task - offsetof(struct replica_entry, task));
    entry->done(entry);
}

static void entry_answer(struct replica_entry *entry, const char *failure)
{
    error_clear(&entry->error);
    if (failure != NULL)
        error_set(&entry->error, ERROR_UNAVAILABLE, "%s", failure);
    entry->task.run = entry_answer_task;
    scheduler_post(entry->origin, &entry->task);
}

static void batch_finish(struct batch *batch, const char *failure)
{
    if (batch->entry != NULL)
        entry_answer(batch->entry, failure);
    struct replica_write *write = batch->writes;
    while (write != NULL) {
        struct replica_write *next = write->next;
        if (failure != NULL)
            answer_unavailable(write, failure);
        else
            answer(write);
        write = next;
    }
    free(batch);
}

static bool was_refused(const struct replica *replica, uint64_t index)
{
    for (size_t i = 0; i < replica->refused_count && i < REFUSED_KEPT; i++)
        if (replica->refused[i] == index)
            return true;
    return false;
}

/* Answer what is committed and applied. */
static void acknowledge(struct replica *replica)
{
    while (replica->committed != NULL && replica->committed->index <= replica->applied_index) {
        struct batch *batch = replica->committed;
        replica->committed = batch->next;
        if (replica->committed == NULL)
            replica->committed_last = &replica->committed;
        batch_finish(batch, was_refused(replica, batch->index)
                                ? "the log refused the entry: send it again"
                                : NULL);
    }
}

static void batch_done(struct group_request *request, enum group_outcome outcome)
{
    struct batch *batch = (struct batch *)request;
    struct replica *replica = batch->replica;
    replica->in_flight--;
    if (replica->closing) {
        batch_finish(batch, "shutting down");
        return;
    }
    if (outcome == GROUP_OUTCOME_COMMITTED) {
        batch->index = request->index;
        batch->next = NULL;
        *replica->committed_last = batch;
        replica->committed_last = &batch->next;
        acknowledge(replica);
    } else {
        batch_finish(batch, "leadership was lost before the write was acknowledged");
    }
    schedule_pump(replica);
}

static void close_shard_when_idle(struct replica *replica);

static void resolve_run(struct job *job)
{
    struct replica_write *write =
        (struct replica_write *)((char *)job - offsetof(struct replica_write, job));
    error_clear(&write->error);
    (void)shard_resolve(write->resolver, &write->write, &write->error); /* its code is kept */
}

static void resolve_done(struct job *job)
{
    struct replica_write *write =
        (struct replica_write *)((char *)job - offsetof(struct replica_write, job));
    struct replica *replica = write->replica;
    replica->resolving--;
    shard_resolver_destroy(write->resolver);
    write->resolver = NULL;
    if (write->error.code != ERROR_NONE || replica->closing) {
        if (write->error.code == ERROR_NONE)
            error_set(&write->error, ERROR_UNAVAILABLE, "shutting down");
        answer(write);
        close_shard_when_idle(replica);
        return;
    }
    queue_push(&replica->waiting, write);
    schedule_pump(replica);
}

static void start_resolving(struct replica *replica, struct replica_write *write)
{
    if (shard_resolver_create(replica->shard, &write->resolver, &write->error) != ERROR_NONE) {
        answer(write);
        return;
    }
    write->job = (struct job){.run = resolve_run, .done = resolve_done, .class = JOB_STORAGE};
    replica->resolving++;
    scheduler_submit(loop_of(replica), &write->job);
}

/* Move waiting writes into the entry until it is large enough; returns those in it. */
static struct replica_write *fill_entry(struct replica *replica, bool *has_content)
{
    struct replica_write *writes = NULL;
    struct replica_write **last = &writes;
    *has_content = false;
    shard_prepare_begin(replica->shard, &replica->entry);
    while (replica->waiting.first != NULL && replica->entry.size < ENTRY_BYTES_TARGET) {
        struct replica_write *write = queue_pop(&replica->waiting);
        bool added = false;
        if (shard_needs_resolving(replica->shard, &write->write)) {
            start_resolving(replica, write);
            continue;
        }
        error_clear(&write->error);
        if (shard_prepare_write(replica->shard, &write->write, &replica->entry, &added,
                                &write->error) != ERROR_NONE) {
            answer(write);
            continue;
        }
        if (!added) {
            answer(write); /* everything is stored already, or was refused */
            continue;
        }
        *has_content = true;
        write->next = NULL;
        *last = write;
        last = &write->next;
    }
    return writes;
}

static enum error_code propose_entry(struct replica *replica, const uint8_t *bytes, size_t size,
                                     struct group_request *request, struct error *error)
{
    uint8_t *payload = group_payload_create(size);
    if (payload == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "entry of %zu bytes", size);
    memcpy(payload, bytes, size);
    enum error_code code = group_propose(replica->group, request, payload, error);
    if (code != ERROR_NONE)
        group_payload_destroy(payload);
    return code;
}

static void pump(struct task *task)
{
    struct replica *replica =
        (struct replica *)((char *)task - offsetof(struct replica, pump_task));
    replica->pump_scheduled = false;
    while (atomic_load(&replica->ready) && !replica->closing &&
           replica->in_flight < ENTRIES_IN_FLIGHT_MAX && replica->waiting.first != NULL) {
        bool has_content;
        struct replica_write *writes = fill_entry(replica, &has_content);
        if (!has_content)
            continue;
        struct error error;
        struct batch *batch = calloc(1, sizeof *batch);
        enum error_code code = ERROR_NONE;
        if (batch == NULL) {
            code = error_set(&error, ERROR_OUT_OF_MEMORY, "batch");
        } else {
            *batch =
                (struct batch){.request.done = batch_done, .replica = replica, .writes = writes};
            code = propose_entry(replica, replica->entry.bytes, replica->entry.size,
                                 &batch->request, &error);
        }
        if (code != ERROR_NONE) {
            shard_prepare_cancel(replica->shard);
            struct batch failed = {.writes = writes};
            while (failed.writes != NULL) {
                struct replica_write *next = failed.writes->next;
                answer_unavailable(failed.writes, error.message);
                failed.writes = next;
            }
            free(batch);
            return;
        }
        replica->in_flight++;
    }
    if (!atomic_load(&replica->ready))
        refuse_waiting(replica, "this shard has no leader here");
}

static void receive(struct task *task)
{
    struct replica_write *write =
        (struct replica_write *)((char *)task - offsetof(struct replica_write, task));
    struct replica *replica = write->replica;
    if (!atomic_load(&replica->ready) || replica->closing) {
        answer_unavailable(write,
                           replica->closing ? "shutting down" : "this shard has no leader here");
        return;
    }
    queue_push(&replica->waiting, write);
    schedule_pump(replica);
}

static size_t write_size(const struct shard_write *write)
{
    return write->float_count * 32 + write->new_series_count * 256 + write->histogram_count * 512 +
           write->exemplar_count * 128 + write->metadata_count * 128 + sizeof *write;
}

void replica_write(struct replica *replica, struct replica_write *write)
{
    struct replica_node *node = replica->options.node;
    write->replica = replica;
    write->resolver = NULL;
    write->size_bytes = write_size(&write->write);
    error_clear(&write->error);
    uint64_t queued =
        atomic_fetch_add_explicit(&node->queued_bytes, write->size_bytes, memory_order_relaxed);
    if (queued + write->size_bytes > node->queued_bytes_max) {
        answer_unavailable(write, "too many writes wait for the log");
        return;
    }
    write->task.run = receive;
    scheduler_post(loop_of(replica), &write->task);
}

/* --- Entries of others ------------------------------------------------------------------------ */

static void receive_entry(struct task *task)
{
    struct replica_entry *entry =
        (struct replica_entry *)((char *)task - offsetof(struct replica_entry, task));
    struct replica *replica = entry->replica;
    struct batch *batch = calloc(1, sizeof *batch);
    if (!atomic_load(&replica->ready) || replica->closing || batch == NULL) {
        free(batch);
        entry_answer(entry, "this shard has no leader here");
        return;
    }
    *batch = (struct batch){.request.done = batch_done, .replica = replica, .entry = entry};
    if (propose_entry(replica, entry->bytes.bytes, entry->bytes.size, &batch->request,
                      &entry->error) != ERROR_NONE) {
        free(batch);
        entry_answer(entry, "the entry could not be proposed");
        return;
    }
    replica->in_flight++;
}

void replica_propose(struct replica *replica, struct replica_entry *entry)
{
    entry->replica = replica;
    entry->task.run = receive_entry;
    scheduler_post(loop_of(replica), &entry->task);
}

/* --- What the shard asks for ------------------------------------------------------------------ */

static void asked_done(struct group_request *request, enum group_outcome outcome)
{
    (void)outcome; /* the shard asks again when it still wants it */
    free(request);
}

static bool shard_asks(void *context, const uint8_t *entry, size_t size_bytes)
{
    struct replica *replica = context;
    struct error error;
    if (!atomic_load(&replica->ready))
        return false;
    struct group_request *request = calloc(1, sizeof *request);
    if (request == NULL)
        return false;
    request->done = asked_done;
    if (propose_entry(replica, entry, size_bytes, request, &error) == ERROR_NONE)
        return true;
    free(request);
    return false;
}

static void settle_check(struct replica *replica)
{
    if (replica->settled == NULL)
        return;
    struct group_status status;
    group_status(replica->group, &status);
    if (status.frozen_index < replica->settle_index)
        return;
    void (*settled)(void *) = replica->settled;
    replica->settled = NULL;
    settled(replica->settled_context);
}

static void shard_durable(void *context, uint64_t frozen_index)
{
    struct replica *replica = context;
    if (replica->closing)
        return;
    group_snapshot_soon(replica->group);
    if (replica->settled != NULL && frozen_index < replica->settle_index)
        shard_freeze(replica->shard); /* that one was under way before */
}

/* --- State machine ---------------------------------------------------------------------------- */

/* The total of a node after this shard's share of it became `now`. */
static uint64_t count_share(_Atomic uint64_t *total, uint64_t *counted, uint64_t now)
{
    uint64_t change = now - *counted;
    *counted = now;
    return atomic_fetch_add_explicit(total, change, memory_order_relaxed) + change;
}

/* How much log may be unfrozen with so many series on the node. */
static uint64_t unfrozen_limit(const struct replica_node *node, uint64_t series_count)
{
    uint64_t most = node->unfrozen_bytes_max;
    uint64_t wanted = series_count * node->unfrozen_series_bytes;
    if (node->unfrozen_series_bytes == 0 || wanted > most)
        return most;
    return wanted > most / 2 ? wanted : most / 2;
}

static void count_unfrozen(struct replica *replica)
{
    struct replica_node *node = replica->options.node;
    uint64_t series = count_share(&node->series_count, &replica->counted_series,
                                  shard_series_count(replica->shard));
    uint64_t now = shard_unfrozen_bytes(replica->shard);
    uint64_t total = count_share(&node->unfrozen_bytes, &replica->counted_unfrozen_bytes, now);
    /* The largest first: not this one while it is below the average. */
    if (total > unfrozen_limit(node, series) && now * node->replica_count >= total &&
        atomic_load(&replica->ready))
        shard_freeze(replica->shard);
}

static void lead_when_applied(struct replica *replica)
{
    if (!replica->elected || atomic_load(&replica->ready) || replica->entries != NULL ||
        replica->stopped)
        return;
    replica->options.recovery = NULL; /* from now on it may be closed */
    atomic_store(&replica->ready, true);
    shard_lead(replica->shard);
}

static void entry_release(struct replica *replica)
{
    struct pending_entry *entry = replica->entries;
    replica->applied_index = entry->index;
    if (replica->options.recovery != NULL)
        journal_recovery_release(replica->options.recovery, replica->options.group_id,
                                 entry->index);
    replica->entries = entry->next;
    if (replica->entries == NULL)
        replica->entries_last = &replica->entries;
    entry->next = replica->spare_entries;
    replica->spare_entries = entry;
}

static void schedule_apply(struct replica *replica)
{
    if (replica->apply_scheduled)
        return;
    replica->apply_scheduled = true;
    scheduler_defer(loop_of(replica), &replica->apply_task);
}

/* This replica can't go on: nothing is applied nor acknowledged any more. */
static void stop(struct replica *replica, const struct error *error)
{
    replica->stopped = true;
    atomic_store(&replica->ready, false);
    replica->options.fatal(replica->options.fatal_context, error);
}

static void apply_slice(struct replica *replica)
{
    struct clock *clock = replica->options.environment->clock;
    uint64_t end_ns = clock_monotonic_ns(clock) + APPLY_SLICE_NS;
    while (replica->entries != NULL) {
        struct pending_entry *entry = replica->entries;
        struct error error;
        enum error_code code =
            shard_apply(replica->shard, entry->index, entry->payload, entry->size_bytes, &error);
        if (code == ERROR_UNAVAILABLE) {
            /* A job must end first. */
            scheduler_timer_start(loop_of(replica), &replica->apply_retry, APPLY_RETRY_MS);
            break;
        }
        if (code == ERROR_CONFLICT) {
            replica->refused[replica->refused_count++ % REFUSED_KEPT] = entry->index;
        } else if (code != ERROR_NONE) {
            stop(replica, &error);
            return;
        }
        entry_release(replica);
        if (clock_monotonic_ns(clock) >= end_ns)
            break;
    }
    acknowledge(replica);
    count_unfrozen(replica);
    lead_when_applied(replica);
}

static void apply_run(struct task *task)
{
    struct replica *replica =
        (struct replica *)((char *)task - offsetof(struct replica, apply_task));
    replica->apply_scheduled = false;
    if (replica->closing || replica->stopped)
        return;
    apply_slice(replica);
    if (replica->stopped)
        return;
    if (replica->entries != NULL && replica->apply_retry.heap_index == TIMER_IDLE)
        schedule_apply(replica);
}

static void apply_again(struct timer *timer)
{
    struct replica *replica =
        (struct replica *)((char *)timer - offsetof(struct replica, apply_retry));
    schedule_apply(replica);
}

static void machine_apply(struct state_machine *self, const struct group_entry *entry)
{
    struct replica *replica = replica_of(self);
    struct pending_entry *pending = replica->spare_entries;
    if (pending != NULL) {
        replica->spare_entries = pending->next;
    } else {
        pending = malloc(sizeof *pending);
        if (pending == NULL) {
            struct error error;
            error_set(&error, ERROR_OUT_OF_MEMORY, "queue of committed entries");
            stop(replica, &error);
            return;
        }
    }
    *pending = (struct pending_entry){
        .index = entry->index, .payload = entry->payload, .size_bytes = entry->size_bytes};
    *replica->entries_last = pending;
    replica->entries_last = &pending->next;
    if (replica->apply_retry.heap_index == TIMER_IDLE)
        schedule_apply(replica);
}

static uint64_t machine_applied_index(struct state_machine *self)
{
    return replica_of(self)->applied_index;
}

static enum error_code machine_snapshot(struct state_machine *self, struct byte_buffer *bytes,
                                        struct state_machine_position *position_out,
                                        struct error *error)
{
    struct replica *replica = replica_of(self);
    uint64_t frozen_index;
    enum error_code code = shard_snapshot(replica->shard, bytes, &frozen_index, error);
    if (code == ERROR_NONE)
        *position_out = (struct state_machine_position){.applied_index = replica->applied_index,
                                                        .frozen_index = frozen_index};
    return code;
}

static void machine_snapshot_stored(struct state_machine *self,
                                    const struct state_machine_position *position)
{
    struct replica *replica = replica_of(self);
    shard_snapshot_stored(replica->shard, position->frozen_index);
    settle_check(replica);
}

static enum error_code machine_restore(struct state_machine *self, const uint8_t *bytes,
                                       size_t size_bytes,
                                       const struct state_machine_position *position,
                                       struct error *error)
{
    struct replica *replica = replica_of(self);
    enum error_code code = shard_restore(replica->shard, bytes, size_bytes, error);
    if (code == ERROR_NONE)
        replica->applied_index = position->frozen_index;
    return code;
}

static void machine_leader_started(struct state_machine *self, uint64_t term)
{
    struct replica *replica = replica_of(self);
    (void)term;
    replica->elected = true;
    lead_when_applied(replica);
}

static void machine_leader_stopped(struct state_machine *self, uint64_t term)
{
    struct replica *replica = replica_of(self);
    (void)term;
    replica->elected = false;
    atomic_store(&replica->ready, false);
    refuse_waiting(replica, "leadership was lost");
}

static const struct state_machine_operations MACHINE_OPERATIONS = {
    .apply = machine_apply,
    .applied_index = machine_applied_index,
    .snapshot = machine_snapshot,
    .snapshot_stored = machine_snapshot_stored,
    .restore = machine_restore,
    .leader_started = machine_leader_started,
    .leader_stopped = machine_leader_stopped,
};

/* --- Upkeep ------------------------------------------------------------------------------------
 */

static void upkeep(struct timer *timer)
{
    struct replica *replica = (struct replica *)((char *)timer - offsetof(struct replica, upkeep));
    if (atomic_load(&replica->ready)) {
        if (shard_unfrozen_age_ms(replica->shard) > replica->options.node->unfrozen_age_max_ms)
            shard_freeze(replica->shard);
        shard_maintain(replica->shard);
    }
    scheduler_timer_start(loop_of(replica), timer, UPKEEP_MS);
}

/* --- Life --------------------------------------------------------------------------------------
 */

static void replica_free(struct replica *replica)
{
    while (replica->entries != NULL) {
        struct pending_entry *next = replica->entries->next;
        free(replica->entries);
        replica->entries = next;
    }
    while (replica->spare_entries != NULL) {
        struct pending_entry *next = replica->spare_entries->next;
        free(replica->spare_entries);
        replica->spare_entries = next;
    }
    byte_buffer_clear(&replica->entry);
    free(replica);
}

enum error_code replica_create(const struct replica_options *options, struct replica **replica_out,
                               struct error *error)
{
    struct replica *replica = calloc(1, sizeof *replica);
    if (replica == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "replica");
    replica->state_machine.operations = &MACHINE_OPERATIONS;
    replica->options = *options;
    replica->entries_last = &replica->entries;
    replica->waiting.last = &replica->waiting.first;
    replica->committed_last = &replica->committed;
    replica->apply_task.run = apply_run;
    replica->pump_task.run = pump;
    replica->apply_retry = (struct timer){.fire = apply_again, .heap_index = TIMER_IDLE};
    replica->upkeep = (struct timer){.fire = upkeep, .heap_index = TIMER_IDLE};
    struct shard_options shard_options = options->shard;
    shard_options.environment = options->environment;
    shard_options.proposer = (struct shard_proposer){
        .context = replica, .propose = shard_asks, .durable = shard_durable};
    struct group_options group_options = {
        .group_id = options->group_id,
        .recovery = options->recovery,
        .founders = options->founders,
        .founder_count = options->founder_count,
    };
    enum error_code code = shard_create(&shard_options, &replica->shard, error);
    if (code == ERROR_NONE)
        code = group_create(options->host, &group_options, &replica->state_machine, &replica->group,
                            error);
    if (code != ERROR_NONE) {
        shard_destroy(replica->shard);
        replica_free(replica);
        return code;
    }
    *replica_out = replica;
    return ERROR_NONE;
}

enum error_code replica_start(struct replica *replica, struct error *error)
{
    enum error_code code = group_start(replica->group, error);
    if (code == ERROR_NONE)
        scheduler_timer_start(loop_of(replica), &replica->upkeep, UPKEEP_MS);
    return code;
}

static void shard_closed(void *context)
{
    struct replica *replica = context;
    void (*closed)(void *) = replica->closed;
    void *closed_context = replica->closed_context;
    replica_free(replica);
    closed(closed_context);
}

/* Look-ups in files hold pieces of the shard. */
static void close_shard_when_idle(struct replica *replica)
{
    if (replica->group_gone && replica->resolving == 0)
        shard_close(replica->shard, shard_closed, replica);
}

static void group_closed(void *context)
{
    struct replica *replica = context;
    replica->group_gone = true;
    close_shard_when_idle(replica);
}

void replica_close(struct replica *replica, void (*closed)(void *context), void *context)
{
    assert(!replica->closing);
    replica->closing = true;
    atomic_store(&replica->ready, false);
    replica->closed = closed;
    replica->closed_context = context;
    scheduler_timer_stop(loop_of(replica), &replica->upkeep);
    scheduler_timer_stop(loop_of(replica), &replica->apply_retry);
    refuse_waiting(replica, "shutting down");
    while (replica->committed != NULL) {
        struct batch *batch = replica->committed;
        replica->committed = batch->next;
        batch_finish(batch, "shutting down");
    }
    replica->committed_last = &replica->committed;
    group_close(replica->group, group_closed, replica);
}

struct shard *replica_shard(struct replica *replica)
{
    return replica->shard;
}

bool replica_is_ready(const struct replica *replica)
{
    return atomic_load(&replica->ready);
}

void replica_flush(struct replica *replica, struct shard_flush *flush)
{
    shard_flush(replica->shard, flush);
}

void replica_settle(struct replica *replica, void (*done)(void *context), void *context)
{
    struct group_status status;
    group_status(replica->group, &status);
    replica->settled = done;
    replica->settled_context = context;
    replica->settle_index = status.last_index;
    if (shard_unfrozen_bytes(replica->shard) == 0) {
        replica->settle_index = 0;
        settle_check(replica);
        return;
    }
    shard_freeze(replica->shard);
}

void replica_group_status(const struct replica *replica, struct group_status *status_out)
{
    group_status(replica->group, status_out);
}
