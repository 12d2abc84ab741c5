/*
 * log - the end of a group's log as it is held in memory: entries (base, last].
 *
 * What is at the base and before it is known by the base's index and term only. An entry holds a
 * reference to the memory of its bytes (consensus/entry.h).
 */
#ifndef CONSENSUS_LOG_H
#define CONSENSUS_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consensus/entry.h"

enum {
    /* Counted for each entry beside its bytes, so that tiny ones fill a budget too. */
    LOG_ENTRY_OVERHEAD_BYTES = 64,
};

struct log_item {
    struct consensus_entry entry;
    uint64_t end_offset; /* bytes of the log so far, overhead included */
    uint64_t write;      /* the number of the write that carries it to the disk; 0: it is there */
};

struct consensus_log {
    struct log_item *items; /* ring [capacity] */
    size_t capacity;        /* a power of two, or 0 */
    size_t front;
    size_t count;
    uint64_t base_index; /* 0 at the beginning of the log */
    uint64_t base_term;
    uint64_t base_offset;
    /* Of entries that are not in memory any more, and of the base: [term_count], rising. */
    struct consensus_term *terms;
    size_t term_count, term_capacity;
};

/* Empty, behind the entry (index, term). */
void consensus_log_init(struct consensus_log *log, uint64_t index, uint64_t term);
void consensus_log_clear(struct consensus_log *log);

uint64_t consensus_log_last_index(const struct consensus_log *log);
uint64_t consensus_log_last_term(const struct consensus_log *log);

/* Of an entry that is or was in memory, or of the first base; 0 when it is not known, or forgotten.
 */
uint64_t consensus_log_term(const struct consensus_log *log, uint64_t index);

/* NULL when it is not in memory. */
const struct consensus_entry *consensus_log_entry(const struct consensus_log *log, uint64_t index);

/* Bytes of entries (after_index, index] with overhead, as far as they are in memory. */
uint64_t consensus_log_bytes(const struct consensus_log *log, uint64_t after_index, uint64_t index);

/* Number of the write that carries an entry to the disk; 0 when it is there, or not in memory. */
uint64_t consensus_log_write(const struct consensus_log *log, uint64_t index);

/* Takes a reference of its own. False: no memory. */
bool consensus_log_append(struct consensus_log *log, const struct consensus_entry *entry,
                          uint64_t write);

/* Drop entries >= index, which is above the base. */
void consensus_log_truncate(struct consensus_log *log, uint64_t index);

/* Terms of entries before the base, rising and without a gap, where none is known yet. False: no
 * memory. */
bool consensus_log_recall(struct consensus_log *log, const struct consensus_term *terms,
                          size_t count);

/* Of entries before `index` not even the term is wanted any more. */
void consensus_log_forget(struct consensus_log *log, uint64_t index);

/* Drop entries <= index from memory; it becomes the base. */
void consensus_log_compact(struct consensus_log *log, uint64_t index);

#endif
