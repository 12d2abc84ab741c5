#include "internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* --- Failure --------------------------------------------------------------------------------- */

void journal_fail(struct journal *journal, const struct error *error)
{
    if (journal->failed)
        return;
    journal->failed = true;
    journal->events.fatal(journal->events.context, error);
}

static void fail_for_memory(struct journal *journal)
{
    struct error error;
    error_set(&error, ERROR_OUT_OF_MEMORY, "journal");
    journal_fail(journal, &error);
}

/* --- Batches --------------------------------------------------------------------------------- */

static void batch_push(struct batch_queue *queue, struct batch *batch)
{
    batch->next = NULL;
    if (queue->last == NULL)
        queue->first = batch;
    else
        queue->last->next = batch;
    queue->last = batch;
    queue->count++;
}

struct batch *batch_pop(struct batch_queue *queue)
{
    struct batch *batch = queue->first;
    if (batch == NULL)
        return NULL;
    queue->first = batch->next;
    if (queue->first == NULL)
        queue->last = NULL;
    queue->count--;
    return batch;
}

void batch_free(struct batch *batch)
{
    if (batch == NULL)
        return;
    free(batch->bytes);
    free(batch->releases);
    free(batch);
}

static bool batch_reserve(struct batch *batch, size_t size)
{
    if (size <= batch->capacity)
        return true;
    size_t capacity = batch->capacity == 0 ? 64 * 1024 : batch->capacity * 2;
    while (capacity < size)
        capacity *= 2;
    uint8_t *bytes = aligned_alloc(BLOCK_BYTES, capacity);
    if (bytes == NULL)
        return false;
    if (batch->size > 0)
        memcpy(bytes, batch->bytes, batch->size);
    free(batch->bytes);
    batch->bytes = bytes;
    batch->capacity = capacity;
    return true;
}

/* An empty one, from those kept if there are any; NULL and failed when memory is out. */
struct batch *batch_take(struct journal *journal)
{
    struct batch *batch = batch_pop(&journal->kept);
    if (batch == NULL) {
        batch = calloc(1, sizeof *batch);
        if (batch == NULL || !batch_reserve(batch, BLOCK_BYTES)) {
            batch_free(batch);
            fail_for_memory(journal);
            return NULL;
        }
    }
    *batch = (struct batch){
        .journal = journal,
        .bytes = batch->bytes,
        .capacity = batch->capacity,
        .releases = batch->releases,
        .release_capacity = batch->release_capacity,
        .size = BATCH_HEADER_BYTES,
    };
    return batch;
}

static void batch_give_back(struct journal *journal, struct batch *batch)
{
    if (journal->kept.count < BATCHES_KEPT && batch->capacity <= BATCH_KEEP_BYTES)
        batch_push(&journal->kept, batch);
    else
        batch_free(batch);
}

bool batch_add(struct journal *journal, struct batch *batch, const struct record *record)
{
    size_t size = record_size(record->payload_bytes);
    if (!batch_reserve(batch, round_to_block(batch->size + size))) {
        fail_for_memory(journal);
        return false;
    }
    record_encode(record, batch->bytes + batch->size);
    batch->size += size;
    batch->record_count++;
    batch->payload_bytes += record->payload_bytes;
    return true;
}

/* --- Submitting ------------------------------------------------------------------------------ */

void journal_wake(struct journal *journal)
{
    if (journal->pump_deferred)
        return;
    journal->pump_deferred = true;
    scheduler_defer(journal->environment->scheduler, &journal->pump);
}

static void request_chain(struct journal_request **first, struct journal_request **last,
                          struct journal_request *request)
{
    request->next = NULL;
    if (*first == NULL)
        *first = request;
    else
        (*last)->next = request;
    *last = request;
}

void journal_submit(struct journal *journal, const struct record *record,
                    struct journal_request *request)
{
    assert(!journal->close_written);
    if (journal->failed)
        return;
    size_t size = record_size(record->payload_bytes);
    if (journal->open != NULL && journal->open->record_count > 0 &&
        journal->open->size + size > journal->batch_target_bytes) {
        batch_push(&journal->closed, journal->open);
        journal->open = NULL;
    }
    if (journal->open == NULL)
        journal->open = batch_take(journal);
    if (journal->open == NULL || !batch_add(journal, journal->open, record))
        return;
    journal->queued_bytes += size;
    if (journal->queued_bytes > journal->statistics.queued_bytes_max)
        journal->statistics.queued_bytes_max = journal->queued_bytes;
    if (request != NULL)
        request_chain(&journal->open->first_request, &journal->open->last_request, request);
    journal_wake(journal);
}

/* Finish `request` with the last thing submitted so far. */
void journal_attach(struct journal *journal, struct journal_request *request)
{
    assert(!journal->close_written);
    if (journal->failed)
        return;
    struct batch *batch = journal->open;
    if (batch == NULL || batch->record_count == 0)
        batch = journal->closed.last;
    if (batch == NULL)
        batch = journal->in_flight.last;
    if (batch != NULL) {
        request_chain(&batch->first_request, &batch->last_request, request);
        return;
    }
    request_chain(&journal->idle_first, &journal->idle_last, request);
    journal_wake(journal);
}

/* --- Placing --------------------------------------------------------------------------------- */

static void release_add(struct journal *journal, struct batch *batch, struct segment *segment,
                        int64_t holds, int64_t bytes)
{
    if (batch->release_count > 0 && batch->releases[batch->release_count - 1].segment == segment) {
        batch->releases[batch->release_count - 1].holds += holds;
        batch->releases[batch->release_count - 1].bytes += bytes;
        return;
    }
    if (batch->release_count == batch->release_capacity) {
        size_t capacity = batch->release_capacity * 2 + 8;
        struct release *releases = realloc(batch->releases, capacity * sizeof *releases);
        if (releases == NULL) {
            fail_for_memory(journal); /* only keeps the segment for too long */
            return;
        }
        batch->releases = releases;
        batch->release_capacity = capacity;
    }
    batch->releases[batch->release_count++] = (struct release){segment, holds, bytes};
}

/* A record is not needed any more, once what says so is durable. */
void journal_dropped(void *context, struct location location)
{
    struct journal *journal = context;
    assert(journal->placing != NULL);
    release_add(journal, journal->placing, location.segment, 1,
                (int64_t)record_size(location.payload_bytes));
}

static void record_place(struct journal *journal, struct batch *batch, size_t position,
                         const struct record *record)
{
    struct segment *segment = journal->current;
    struct location location = {
        .segment = segment,
        .offset_units = (uint32_t)((segment->write_offset + position) / 8),
        .payload_bytes = record->payload_bytes,
    };
    bool copied = record->flags & RECORD_COPIED;
    bool checkpoint = batch->flags & BATCH_CHECKPOINT;
    if (!checkpoint) {
        struct error error;
        if (group_index_apply(&journal->index, record, location, journal->generation, &error) !=
            ERROR_NONE) {
            journal_fail(journal, &error);
            return;
        }
        struct group_state *state = group_index_find(&journal->index, record->group);
        if (!copied) {
            assert(state->unplaced_records > 0);
            state->unplaced_records--;
        }
        if (record->type == RECORD_DELETE) {
            state->deleted_before_generation = 0;
            state->deleted_sequence = segment->sequence;
        }
    }
    if (record->type == RECORD_ENTRY || record->type == RECORD_SNAPSHOT) {
        atomic_fetch_add(&segment->holds, 1);
        atomic_fetch_add(&segment->live_bytes, (int64_t)record_size(record->payload_bytes));
        journal->statistics.live_bytes += record_size(record->payload_bytes);
        journal->statistics.copied_records += copied;
        journal->statistics.copied_bytes += copied ? record->payload_bytes : 0;
    }
}

void batch_place(struct journal *journal, struct batch *batch)
{
    struct segment *segment = journal->current;
    batch->padded_bytes = round_to_block(batch->size);
    assert(segment->write_offset + batch->padded_bytes <= segment->size_bytes);
    batch->sequence = journal->next_batch++;
    batch->placed_ns = clock_monotonic_ns(journal->environment->clock);
    journal->placing = batch;
    size_t position = BATCH_HEADER_BYTES;
    while (position < batch->size) {
        struct record record;
        size_t taken = record_view(batch->bytes + position, batch->size - position, &record);
        assert(taken > 0);
        record_add_salt(batch->bytes + position, segment->salt);
        record_place(journal, batch, position, &record);
        position += taken;
    }
    journal->placing = NULL;
    memset(batch->bytes + batch->size, 0, batch->padded_bytes - batch->size);
    struct batch_header header = {
        .sequence = batch->sequence,
        .durable = journal->durable_batch,
        .generation = journal->generation,
        .segment = segment->sequence,
        .lane = segment->lane,
        .size_bytes = (uint32_t)batch->size,
        .record_count = batch->record_count,
        .flags = batch->flags,
        .time_ms = clock_now_ms(journal->environment->clock),
    };
    batch_header_encode(&header, segment->salt, batch->bytes);
    segment->last_batch = batch->sequence;
}

static void batch_written(struct disk_write *write, const struct error *error);

static void batch_write(struct journal *journal, struct batch *batch)
{
    struct segment *segment = journal->current;
    batch_place(journal, batch);
    batch->vector = (struct disk_vector){batch->bytes, batch->padded_bytes};
    batch->write = (struct disk_write){
        .file = segment->file,
        .offset_bytes = segment->write_offset,
        .vectors = &batch->vector,
        .vector_count = 1,
        .mode =
            journal->options.durability == JOURNAL_DURABLE ? DISK_WRITE_DURABLE : DISK_WRITE_PLAIN,
        .done = batch_written,
    };
    segment->write_offset += batch->padded_bytes;
    journal->written_bytes += batch->padded_bytes;
    batch_push(&journal->in_flight, batch);
    disk_write(journal->environment->disk, &batch->write);
}

/* Grow while segments fill fast, so that they are few; shrink when it is quiet again. */
static void size_adapt(struct journal *journal, uint64_t filled_ns)
{
    enum { FAST_MS = 1000, SLOW_MS = 60000 };
    uint64_t wanted = journal->wanted_bytes;
    if (journal->lean && filled_ns > (uint64_t)SLOW_MS * 1000000)
        return;
    journal->lean = false;
    if (filled_ns < (uint64_t)FAST_MS * 1000000)
        wanted *= 2;
    else if (filled_ns > (uint64_t)SLOW_MS * 1000000)
        wanted /= 2;
    if (wanted < journal->options.segment_bytes_min)
        wanted = journal->options.segment_bytes_min;
    if (wanted > journal->options.segment_bytes_max)
        wanted = journal->options.segment_bytes_max;
    journal->wanted_bytes = wanted;
}

bool segment_roll(struct journal *journal, uint64_t bytes_needed)
{
    struct segment *next =
        supply_take(journal, bytes_needed + round_to_block(checkpoint_bytes(journal)));
    if (next == NULL)
        return false;
    struct batch *checkpoint = batch_take(journal);
    if (checkpoint == NULL || !checkpoint_fill(journal, checkpoint)) {
        batch_free(checkpoint);
        supply_retire(journal, next);
        return false;
    }
    struct segment *old = journal->current;
    old->closed_at_bytes = journal->written_bytes;
    struct segment **tail = &journal->used;
    while (*tail != NULL)
        tail = &(*tail)->next;
    *tail = old;
    old->next = NULL;
    journal->current = next;
    next->opened_ns = clock_monotonic_ns(journal->environment->clock);
    /* In use no longer, as soon as the checkpoint after it is durable. */
    release_add(journal, checkpoint, old, 1, 0);
    batch_write(journal, checkpoint);
    supply_top_up(journal);
    copier_look(journal);
    return !journal->failed;
}

/* False when the batch must wait. */
static bool batch_start(struct journal *journal, struct batch *batch)
{
    uint64_t padded = round_to_block(batch->size);
    struct segment *current = journal->current;
    if (current->write_offset + padded > current->size_bytes) {
        bool stalled_before = journal->stalled;
        if (!stalled_before)
            size_adapt(journal,
                       clock_monotonic_ns(journal->environment->clock) - current->opened_ns);
        journal->stalled = true; /* a closing journal, too, is given a segment then */
        if (!segment_roll(journal, padded)) {
            journal->statistics.stalls += !stalled_before;
            return false;
        }
        journal->stalled = false;
    }
    if (batch == journal->open)
        journal->open = NULL;
    else
        batch_pop(&journal->closed);
    batch_write(journal, batch);
    return !journal->failed;
}

static void idle_requests_finish(struct journal *journal)
{
    struct journal_request *request = journal->idle_first;
    journal->idle_first = NULL;
    journal->idle_last = NULL;
    while (request != NULL) {
        struct journal_request *next = request->next;
        request->done(request);
        request = next;
    }
}

/* The last batch of a clean end: tells that everything before it had been durable. */
static void close_mark(struct journal *journal)
{
    journal->close_written = true;
    struct batch *batch = batch_take(journal);
    if (batch == NULL)
        return;
    batch->flags = BATCH_CLOSE;
    batch_push(&journal->closed, batch);
    journal_wake(journal);
}

void journal_pump(struct task *task)
{
    struct journal *journal = (struct journal *)((char *)task - offsetof(struct journal, pump));
    journal->pump_deferred = false;
    idle_requests_finish(journal);
    while (!journal->failed && journal->in_flight.count < journal->options.in_flight_max) {
        struct batch *batch = journal->closed.first;
        if (batch == NULL) {
            batch = journal->open;
            if (batch == NULL || batch->record_count == 0 ||
                (journal->in_flight.count > 0 && batch->size < BATCH_EAGER_BYTES))
                break;
        }
        if (!batch_start(journal, batch))
            break;
    }
    bool waiting =
        journal->closed.count > 0 || (journal->open != NULL && journal->open->record_count > 0);
    bool trims = !waiting && journal->in_flight.count == 0 && trim_step(journal);
    if (!journal->closing || trims || journal->pump_deferred || journal->in_flight.count > 0 ||
        journal->jobs > 0)
        return;
    bool stuck = journal->failed || (journal->stalled && journal->space == JOURNAL_SPACE_LOW);
    if (waiting && !stuck)
        return;
    if (!stuck && !journal->close_written)
        close_mark(journal); /* comes back here when it is written */
    else
        journal_free(journal);
}

/* --- Completing ------------------------------------------------------------------------------ */

void segment_release(struct journal *journal, struct segment *segment, int64_t holds, int64_t bytes)
{
    atomic_fetch_sub(&segment->live_bytes, bytes);
    int64_t before = atomic_fetch_sub(&segment->holds, holds);
    assert(before >= holds);
    if (before == holds)
        supply_retire(journal, segment);
}

static void latency_count(struct journal_statistics *statistics, uint64_t latency_us)
{
    size_t bucket = latency_us == 0 ? 0 : (size_t)(64 - __builtin_clzll(latency_us));
    if (bucket >= JOURNAL_LATENCY_BUCKETS)
        bucket = JOURNAL_LATENCY_BUCKETS - 1;
    statistics->write_latency_us[bucket]++;
    statistics->write_latency_us_sum += latency_us;
}

static void batch_finish(struct journal *journal, struct batch *batch)
{
    assert(batch->sequence == journal->durable_batch + 1);
    journal->durable_batch = batch->sequence;
    struct journal_statistics *statistics = &journal->statistics;
    statistics->batches++;
    statistics->batch_bytes += batch->padded_bytes;
    statistics->records += batch->record_count;
    statistics->payload_bytes += batch->payload_bytes;
    latency_count(statistics,
                  (clock_monotonic_ns(journal->environment->clock) - batch->placed_ns) / 1000);
    if (!(batch->flags & (BATCH_CHECKPOINT | BATCH_CLOSE)))
        journal->queued_bytes -= batch->size - BATCH_HEADER_BYTES;
    for (size_t i = 0; i < batch->release_count; i++) {
        const struct release *release = &batch->releases[i];
        statistics->live_bytes -= (uint64_t)release->bytes;
        segment_release(journal, release->segment, release->holds, release->bytes);
    }
    struct journal_request *request = batch->first_request;
    batch_give_back(journal, batch);
    while (request != NULL) {
        struct journal_request *next = request->next;
        request->done(request);
        request = next;
    }
}

static void batch_written(struct disk_write *write, const struct error *error)
{
    struct batch *batch = (struct batch *)((char *)write - offsetof(struct batch, write));
    struct journal *journal = batch->journal;
    batch->durable = true;
    if (error->code != ERROR_NONE)
        journal_fail(journal, error);
    while (journal->in_flight.first != NULL && journal->in_flight.first->durable) {
        batch = batch_pop(&journal->in_flight);
        if (journal->failed)
            batch_free(batch);
        else
            batch_finish(journal, batch);
    }
    journal_wake(journal);
}
