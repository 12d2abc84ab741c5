/*
 * replayed_log - a journal in a simulated world with entries of several groups, and what a replay
 * hands out of it.
 */
#ifndef TEST_REPLAYED_LOG_H
#define TEST_REPLAYED_LOG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "journal/journal.h"
#include "journal/replay.h"
#include "simulated_environment.h"

enum {
    LOG_GROUPS = 3,
    LOG_ENTRIES = 60,          /* of each group */
    LOG_PAYLOAD_BYTES = 40000, /* 7 MiB together */
    LOG_STEPS_MAX = 1000000,
};

/* What one group's part was handed. */
struct part {
    struct replayed_log *log;
    struct journal_replay_part *base;
    uint64_t group;
    uint64_t next_index;    /* expected */
    uint64_t held_bytes;    /* handed out and not released */
    const uint8_t *payload; /* of the last one */
    bool releases;          /* each at once */
    bool ended, removed;
    struct error error;
};

struct replayed_log {
    struct simulated_environment *environment;
    struct journal *journal;
    struct journal_recovery *recovery;
    struct journal_replay *replay;
    struct part parts[LOG_GROUPS];
    uint64_t handed_count;
    bool flag;
};

static inline void log_set_flag(void *context)
{
    *(bool *)context = true;
}

static inline void log_barrier_done(struct journal_request *request)
{
    *(bool *)(request + 1) = true;
}

static inline void log_fatal(void *context, const struct error *error)
{
    (void)context;
    fail_msg("%s", error->message);
}

static inline void log_payload(uint64_t group, uint64_t index, uint8_t *payload)
{
    for (size_t i = 0; i < LOG_PAYLOAD_BYTES; i++)
        payload[i] = (uint8_t)(group * 7 + index * 31 + i);
}

static inline void log_open(struct replayed_log *log)
{
    struct error error;
    struct journal_recovery_options recovery = {.directory = "journal"};
    assert_int_equal(
        journal_recover(log->environment->base.disk, &recovery, &log->recovery, &error),
        ERROR_NONE);
    uint64_t groups[LOG_GROUPS];
    size_t count = journal_recovery_group_count(log->recovery);
    for (size_t i = 0; i < count; i++)
        groups[i] = journal_recovery_group(log->recovery, i)->group;
    struct journal_options options = {
        .directory = "journal",
        .segment_bytes_min = 1 << 20,
        .segment_bytes_max = 1 << 20,
    };
    struct journal_events events = {.fatal = log_fatal};
    assert_int_equal(journal_open(&log->environment->base, &options, &events, log->recovery, groups,
                                  count, &log->journal, &error),
                     ERROR_NONE);
}

static inline void log_close(struct replayed_log *log)
{
    log->flag = false;
    journal_close(log->journal, log_set_flag, &log->flag);
    assert_true(
        simulated_scheduler_run_until(&log->environment->scheduler, &log->flag, LOG_STEPS_MAX));
    journal_recovery_close(log->recovery);
    log->recovery = NULL;
}

/* Until nothing happens any more. */
static inline void replayed_log_run(struct replayed_log *log)
{
    for (size_t i = 0; simulated_scheduler_step(&log->environment->scheduler); i++)
        assert_true(i < LOG_STEPS_MAX);
}

/* Groups 1 to LOG_GROUPS with LOG_ENTRIES each, by turns; the journal is open anew. */
static inline struct replayed_log *replayed_log_create(void)
{
    static uint8_t payload[LOG_PAYLOAD_BYTES];
    struct replayed_log *log = calloc(1, sizeof *log);
    assert_non_null(log);
    log->environment = simulated_environment_create(11);
    log_open(log);
    for (uint64_t index = 1; index <= LOG_ENTRIES; index++) {
        for (uint64_t group = 1; group <= LOG_GROUPS; group++) {
            struct journal_entry entry = {.index = index,
                                          .term = 1,
                                          .kind = 1,
                                          .version = 1,
                                          .payload = payload,
                                          .payload_bytes = LOG_PAYLOAD_BYTES};
            log_payload(group, index, payload);
            journal_append(log->journal, group, &entry, 1, NULL);
        }
        struct {
            struct journal_request base;
            bool done;
        } durable = {.base.done = log_barrier_done};
        journal_barrier(log->journal, &durable.base);
        assert_true(simulated_scheduler_run_until(&log->environment->scheduler, &durable.done,
                                                  LOG_STEPS_MAX));
    }
    log_close(log);
    log_open(log);
    replayed_log_run(log); /* it prepares its next segments */
    return log;
}

/* Its parts are removed. */
static inline void replayed_log_destroy(struct replayed_log *log)
{
    journal_replay_destroy(log->replay);
    log_close(log);
    simulated_environment_destroy(log->environment);
    free(log);
}

/* --- Replay ---------------------------------------------------------------------------------- */

static inline void part_entry(void *context, const struct journal_entry *entry)
{
    static uint8_t expected[LOG_PAYLOAD_BYTES];
    struct part *part = context;
    assert_false(part->ended || part->removed);
    assert_int_equal(entry->index, part->next_index);
    assert_int_equal(entry->payload_bytes, LOG_PAYLOAD_BYTES);
    log_payload(part->group, entry->index, expected);
    assert_memory_equal(entry->payload, expected, LOG_PAYLOAD_BYTES);
    part->next_index++;
    part->payload = entry->payload;
    part->log->handed_count++;
    if (part->releases)
        journal_replay_release(part->base, entry->index);
    else
        part->held_bytes += entry->payload_bytes;
}

static inline void part_ended(void *context, const struct error *error)
{
    struct part *part = context;
    assert_false(part->ended || part->removed);
    part->ended = true;
    part->error = *error;
}

static inline void part_removed(void *context)
{
    struct part *part = context;
    assert_false(part->removed);
    part->removed = true;
}

static inline enum error_code replayed_log_begin(struct replayed_log *log, uint64_t window_bytes,
                                                 struct error *error)
{
    struct journal_replay_options options = {
        .journal = log->journal, .recovery = log->recovery, .window_bytes = window_bytes};
    return journal_replay_create(&options, &log->replay, error);
}

/* Entries [first_index, end_index) of `group`, which releases them as they come or not at all. */
static inline enum error_code replayed_log_add(struct replayed_log *log, uint64_t group,
                                               uint64_t first_index, uint64_t end_index,
                                               bool releases, struct error *error)
{
    struct part *part = &log->parts[group - 1];
    struct journal_replay_events events = {
        .context = part, .entry = part_entry, .ended = part_ended};
    *part =
        (struct part){.log = log, .group = group, .next_index = first_index, .releases = releases};
    return journal_replay_add(log->replay, journal_recovery_find(log->recovery, group), first_index,
                              end_index, &events, &part->base, error);
}

/* All that were added and are still there. */
static inline void replayed_log_remove(struct replayed_log *log)
{
    for (size_t i = 0; i < LOG_GROUPS; i++)
        if (log->parts[i].base != NULL && !log->parts[i].removed)
            journal_replay_remove(log->parts[i].base, part_removed);
    replayed_log_run(log);
    for (size_t i = 0; i < LOG_GROUPS; i++)
        assert_true(log->parts[i].base == NULL || log->parts[i].removed);
    assert_true(journal_replay_is_idle(log->replay));
}

#endif
