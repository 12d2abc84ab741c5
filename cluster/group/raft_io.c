/*
 * raft_io - what libraft asks of the world, on the shared journal and the transport.
 *
 * Rules 8, 9 and 11 are here: no function fails synchronously and no completion reports an
 * error, because libraft mishandles both. The journal ends the process when it cannot write;
 * consensus' own allocations end it when memory is out (raft_memory.c). No completion runs
 * inside the call that submitted it.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "group_private.h"
#include "log_view.h"

enum {
    ENTRY_PAYLOAD_VERSION = 1,
    ENTRY_OVERHEAD_BYTES = 64, /* counted for each, so that tiny entries fill a log too */
};

static struct group *group_of(struct raft_io *io)
{
    return io->impl;
}

/* --- Writes -------------------------------------------------------------------------------- */

static void unlink_write(struct group_write *write)
{
    if (write->previous != NULL)
        write->previous->next = write->next;
    else
        write->group->writes = write->next;
    if (write->next != NULL)
        write->next->previous = write->previous;
}

static void write_done(struct journal_request *base)
{
    struct group_write *write = (struct group_write *)base;
    struct group *group = write->group;
    unlink_write(write);
    write->finish(write, 0);
    group_after_step(group);
    group_io_check_closed(group);
}

static void write_begin(struct group *group, struct group_write *write,
                        void (*finish)(struct group_write *write, int status))
{
    *write = (struct group_write){
        .base.done = write_done,
        .group = group,
        .next = group->writes,
        .finish = finish,
    };
    if (group->writes != NULL)
        group->writes->previous = write;
    group->writes = write;
}

void group_writes_cancel(struct group *group)
{
    /* The list has the newest first, but they end in order. */
    while (group->writes != NULL) {
        struct group_write *oldest = group->writes;
        while (oldest->next != NULL)
            oldest = oldest->next;
        unlink_write(oldest);
        oldest->finish(oldest, RAFT_CANCELED);
    }
    group_io_check_closed(group);
}

/* --- Metadata ------------------------------------------------------------------------------ */

static void metadata_finish(struct group_write *write, int status)
{
    struct group *group = write->group;
    raft_free(write);
    assert(group->metadata_in_flight > 0);
    if (--group->metadata_in_flight == 0 && status == 0)
        outbox_flush(group);
}

void group_store_metadata(struct group *group, uint64_t term, uint64_t vote)
{
    struct group_write *write = raft_malloc(sizeof *write);
    write_begin(group, write, metadata_finish);
    group->metadata_in_flight++;
    group->stored_term = term;
    journal_set_metadata(group->host->options.journal, group->id, term, vote, &write->base);
}

static int io_set_term(struct raft_io *io, raft_term term)
{
    group_store_metadata(group_of(io), term, 0); /* a vote is of one term */
    return 0;
}

static int io_set_vote(struct raft_io *io, raft_id server_id)
{
    /* Of the term set last: libraft takes a new term over after both calls. */
    struct group *group = group_of(io);
    group_store_metadata(group, group->stored_term, server_id);
    return 0;
}

/* --- Entries ------------------------------------------------------------------------------- */

struct append_write {
    struct group_write base;
    struct raft_io_append *append;
    struct filter_append filter;
};

static void append_finish(struct group_write *base, int status)
{
    struct append_write *write = (struct append_write *)base;
    struct group *group = base->group;
    assert(group->appends_in_flight > 0);
    group->appends_in_flight--;
    /* Rule 8. When the write was cancelled consensus is closed, and only releases its entries;
     * told of a failure it would truncate a log that it releases too. */
    assert(status == 0 || group->raft.state == RAFT_UNAVAILABLE);
    (void)status;
    filter_append_begin(group, &write->filter);
    write->append->cb(write->append, 0);
    filter_append_end(group);
    raft_free(write);
}

static void append_to_journal(struct group *group, const struct raft_entry *entries, unsigned n,
                              struct journal_request *request)
{
    struct journal_entry *records = raft_malloc(n * sizeof *records);
    for (unsigned i = 0; i < n; i++) {
        assert(entries[i].buf.len <= JOURNAL_PAYLOAD_BYTES_MAX);
        records[i] = (struct journal_entry){
            .index = group->next_index + i,
            .term = entries[i].term,
            .kind = (uint8_t)entries[i].type,
            .version = ENTRY_PAYLOAD_VERSION,
            .payload = entries[i].buf.base,
            .payload_bytes = (uint32_t)entries[i].buf.len,
        };
        group->bytes_since_snapshot += entries[i].buf.len + ENTRY_OVERHEAD_BYTES;
    }
    group->next_index += n;
    journal_append(group->host->options.journal, group->id, records, n, request);
    raft_free(records);
}

static int io_append(struct raft_io *io, struct raft_io_append *append,
                     const struct raft_entry entries[], unsigned n, raft_io_append_cb done)
{
    struct group *group = group_of(io);
    struct append_write *write = raft_malloc(sizeof *write);
    write_begin(group, &write->base, append_finish);
    write->append = append;
    write->filter = filter_append_submitted(group);
    append->cb = done;
    group->appends_in_flight++;
    append_to_journal(group, entries, n, &write->base.base);
    return 0;
}

static int io_truncate(struct raft_io *io, raft_index index)
{
    struct group *group = group_of(io);
    /* Ordered before later appends; nobody waits for it. */
    journal_truncate(group->host->options.journal, group->id, index, NULL);
    group->next_index = index;
    return 0;
}

/* --- Messages ------------------------------------------------------------------------------ */

struct send_deferred {
    struct group_deferred base;
    struct raft_io_send *send;
    int status;
};

static void send_done(struct group *group, struct group_deferred *base)
{
    struct send_deferred *deferred = (struct send_deferred *)base;
    struct raft_io_send *send = deferred->send;
    int status = deferred->status;
    raft_free(deferred);
    assert(group->sends_in_flight > 0);
    group->sends_in_flight--;
    send->cb(send, status);
    group_io_check_closed(group);
}

static int io_send(struct raft_io *io, struct raft_io_send *send,
                   const struct raft_message *message, raft_io_send_cb done)
{
    struct group *group = group_of(io);
    struct raft_message copy = *message;
    bool sent = true;
    if (filter_send(group, &copy))
        sent = outbox_send(group, &copy);
    else
        group->host->statistics.messages_filtered++;

    /* TimeoutNow has no callback, and its request may be gone before a later moment. */
    if (done == NULL)
        return 0;
    struct send_deferred *deferred = raft_malloc(sizeof *deferred);
    *deferred = (struct send_deferred){
        .base.run = send_done,
        .send = send,
        .status = sent ? 0 : RAFT_NOCONNECTION,
    };
    send->cb = done;
    group->sends_in_flight++;
    group_defer(group, &deferred->base);
    return 0;
}

/* --- Snapshots ----------------------------------------------------------------------------- */

struct put_write {
    struct group_write base;
    struct raft_io_snapshot_put *put;
    struct snapshot_header header;
    enum journal_snapshot_mode mode;
    struct filter_append filter;
    struct raft_buffer *buffers; /* libraft's; see put_finish */
    uint8_t *bytes;              /* of raft_malloc; kept as the last snapshot */
    size_t size_bytes;
};

static void put_stored(struct group *group, struct put_write *write)
{
    struct group_statistics *statistics = &group->host->statistics;
    group_machine_keep_snapshot(group, &write->header, write->bytes, write->size_bytes);
    write->bytes = NULL;
    statistics->snapshots_stored++;
    statistics->snapshot_bytes += write->size_bytes;
    if (write->mode == JOURNAL_SNAPSHOT_INSTALLED) {
        statistics->snapshots_installed++;
        /* No time passed for consensus meanwhile (rule 10): do not call that silence. */
        group->raft.election_timer_start = group->io.time(&group->io);
    } else if (group->phase == GROUP_PHASE_RUNNING) {
        group->machine->operations->snapshot_stored(group->machine, &write->header.position);
    }
}

static void put_finish(struct group_write *base, int status)
{
    struct put_write *write = (struct put_write *)base;
    struct group *group = base->group;
    if (write->mode == JOURNAL_SNAPSHOT_INSTALLED)
        group->install_in_flight = false;
    if (status == 0)
        put_stored(group, write);

    /* Closed in the middle of an install, libraft releases all of the snapshot but this array. */
    bool forgotten =
        write->mode == JOURNAL_SNAPSHOT_INSTALLED && group->raft.state == RAFT_UNAVAILABLE;
    filter_append_begin(group, &write->filter);
    write->put->cb(write->put, status);
    filter_append_end(group);
    if (forgotten)
        raft_free(write->buffers);
    raft_free(write->bytes);
    raft_free(write);
}

static int io_snapshot_put(struct raft_io *io, unsigned trailing, struct raft_io_snapshot_put *put,
                           const struct raft_snapshot *snapshot, raft_io_snapshot_put_cb done)
{
    struct group *group = group_of(io);
    assert(snapshot->n_bufs == 1);
    const struct raft_buffer *data = &snapshot->bufs[0];

    /* The bytes are ours (machine.c) or were checked when they arrived (receive.c). */
    struct snapshot_view view;
    struct error error;
    enum error_code code = snapshot_decode(data->base, data->len, &view, &error);
    assert(code == ERROR_NONE);
    (void)code;
    raft_configuration_close(&view.configuration);

    struct put_write *write = raft_calloc(1, sizeof *write);
    write_begin(group, &write->base, put_finish);
    write->put = put;
    write->header = view.header;
    write->buffers = snapshot->bufs;
    write->mode = trailing > 0 ? JOURNAL_SNAPSHOT_TAKEN : JOURNAL_SNAPSHOT_INSTALLED;
    write->bytes = raft_malloc(data->len);
    write->size_bytes = data->len;
    memcpy(write->bytes, data->base, data->len);
    put->cb = done;

    if (write->mode == JOURNAL_SNAPSHOT_INSTALLED) {
        group->install_in_flight = true;
        group->next_index = snapshot->index + 1;
        write->filter = (struct filter_append){
            .answers = true,
            .answer_limit = snapshot->index,
            .term = group->raft.current_term,
        };
    }
    uint64_t frozen_index = view.header.position.frozen_index;
    struct journal_snapshot record = {
        .index = snapshot->index,
        .term = snapshot->term,
        /* Entries above the frozen index are replayed, entries above the snapshot loaded. */
        .low_water = frozen_index < snapshot->index ? frozen_index : snapshot->index,
        .mode = write->mode,
        .version = SNAPSHOT_VERSION,
        .payload = write->bytes,
        .payload_bytes = (uint32_t)data->len,
    };
    group->bytes_since_snapshot =
        log_view_bytes(&group->raft, snapshot->index + 1, log_view_last_index(&group->raft));
    journal_set_snapshot(group->host->options.journal, group->id, &record, &write->base.base);
    return 0;
}

struct get_deferred {
    struct group_deferred base;
    struct raft_io_snapshot_get *get;
};

static void get_run(struct group *group, struct group_deferred *base)
{
    struct raft_io_snapshot_get *get = ((struct get_deferred *)base)->get;
    raft_free(base);
    assert(group->sends_in_flight > 0);
    group->sends_in_flight--;
    struct raft_snapshot *snapshot = NULL;
    if (group->phase == GROUP_PHASE_RUNNING && group_machine_export(group, &snapshot))
        get->cb(get, snapshot, 0);
    else
        get->cb(get, NULL, RAFT_BUSY); /* consensus asks again with the next heartbeat */
    group_io_check_closed(group);
}

static int io_snapshot_get(struct raft_io *io, struct raft_io_snapshot_get *get,
                           raft_io_snapshot_get_cb done)
{
    struct group *group = group_of(io);
    struct get_deferred *deferred = raft_malloc(sizeof *deferred);
    *deferred = (struct get_deferred){.base.run = get_run, .get = get};
    get->cb = done;
    group->sends_in_flight++;
    group_defer(group, &deferred->base);
    return 0;
}

/* --- Life ---------------------------------------------------------------------------------- */

static int io_initialize(struct raft_io *io, raft_id id, const char *address)
{
    (void)io;
    (void)id;
    (void)address;
    return 0;
}

static int io_load(struct raft_io *io, raft_term *term, raft_id *voted_for,
                   struct raft_snapshot **snapshot, raft_index *start_index,
                   struct raft_entry *entries[], size_t *n_entries)
{
    struct group_stored *stored = &group_of(io)->stored;
    *term = stored->term;
    *voted_for = stored->vote;
    *snapshot = stored->snapshot;
    *start_index = stored->start_index;
    *entries = stored->entries;
    *n_entries = stored->entry_count;
    *stored = (struct group_stored){0};
    return 0;
}

static int io_start(struct raft_io *io, unsigned milliseconds, raft_io_tick_cb tick,
                    raft_io_recv_cb receive)
{
    struct group *group = group_of(io);
    assert(milliseconds == group->host->options.heartbeat_ms); /* the host's timer */
    (void)milliseconds;
    group->on_tick = tick;
    group->on_receive = receive;
    return 0;
}

struct close_deferred {
    struct group_deferred base;
    raft_io_close_cb closed;
};

static void close_run(struct group *group, struct group_deferred *base)
{
    raft_io_close_cb closed = ((struct close_deferred *)base)->closed;
    raft_free(base);
    assert(group->writes == NULL && group->sends_in_flight == 0);
    closed(&group->io);
}

void group_io_check_closed(struct group *group)
{
    if (group->finished)
        group_wake(group); /* a start that failed still has its founders to write */
    if (group->on_closed == NULL || group->writes != NULL || group->sends_in_flight > 0)
        return;
    struct close_deferred *deferred = raft_malloc(sizeof *deferred);
    *deferred = (struct close_deferred){.base.run = close_run, .closed = group->on_closed};
    group->on_closed = NULL;
    group_defer(group, &deferred->base);
}

static void io_close(struct raft_io *io, raft_io_close_cb closed)
{
    struct group *group = group_of(io);
    group->on_closed = closed;
    outbox_clear(group);
    group_io_check_closed(group);
}

static raft_time io_time(struct raft_io *io)
{
    return clock_monotonic_ms(group_of(io)->host->options.environment->clock);
}

static int io_random(struct raft_io *io, int minimum, int maximum)
{
    assert(minimum < maximum);
    struct random *random = group_of(io)->host->options.environment->random;
    return minimum + (int)random_below(random, (uint32_t)(maximum - minimum));
}

void group_io_init(struct group *group)
{
    /* bootstrap and recover stay NULL: raft_bootstrap and raft_recover are not used, start.c
     * writes the first entry itself. */
    group->io = (struct raft_io){
        .version = 1,
        .impl = group,
        .init = io_initialize,
        .close = io_close,
        .load = io_load,
        .start = io_start,
        .set_term = io_set_term,
        .set_vote = io_set_vote,
        .send = io_send,
        .append = io_append,
        .truncate = io_truncate,
        .snapshot_put = io_snapshot_put,
        .snapshot_get = io_snapshot_get,
        .time = io_time,
        .random = io_random,
    };
}
