#include "log.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* --- Batches ------------------------------------------------------------------------------- */

struct consensus_batch *consensus_batch_create(size_t size_bytes)
{
    struct consensus_batch *batch = malloc(sizeof *batch + size_bytes);
    if (batch != NULL)
        batch->references = 1;
    return batch;
}

void consensus_batch_ref(struct consensus_batch *batch)
{
    if (batch != NULL)
        batch->references++;
}

void consensus_batch_unref(struct consensus_batch *batch)
{
    if (batch == NULL)
        return;
    assert(batch->references > 0);
    if (--batch->references == 0)
        free(batch);
}

/* --- Log ----------------------------------------------------------------------------------- */

enum { CAPACITY_FIRST = 16 };

static struct log_item *item_at(const struct consensus_log *log, size_t position)
{
    return &log->items[(log->front + position) & (log->capacity - 1)];
}

void consensus_log_init(struct consensus_log *log, uint64_t index, uint64_t term)
{
    *log = (struct consensus_log){.base_index = index, .base_term = term};
}

void consensus_log_clear(struct consensus_log *log)
{
    for (size_t i = 0; i < log->count; i++)
        consensus_batch_unref(item_at(log, i)->entry.batch);
    free(log->items);
    free(log->terms);
    consensus_log_init(log, 0, 0);
}

uint64_t consensus_log_last_index(const struct consensus_log *log)
{
    return log->base_index + log->count;
}

uint64_t consensus_log_last_term(const struct consensus_log *log)
{
    return consensus_log_term(log, consensus_log_last_index(log));
}

const struct consensus_entry *consensus_log_entry(const struct consensus_log *log, uint64_t index)
{
    if (index <= log->base_index || index - log->base_index > log->count)
        return NULL;
    return &item_at(log, (size_t)(index - log->base_index - 1))->entry;
}

static uint64_t former_term(const struct consensus_log *log, uint64_t index)
{
    for (size_t i = log->term_count; i > 0; i--)
        if (log->terms[i - 1].first_index <= index)
            return log->terms[i - 1].term;
    return 0;
}

uint64_t consensus_log_term(const struct consensus_log *log, uint64_t index)
{
    if (index == log->base_index)
        return log->base_term;
    if (index < log->base_index)
        return former_term(log, index);
    const struct consensus_entry *entry = consensus_log_entry(log, index);
    return entry == NULL ? 0 : entry->term;
}

uint64_t consensus_log_write(const struct consensus_log *log, uint64_t index)
{
    if (consensus_log_entry(log, index) == NULL)
        return 0;
    return item_at(log, (size_t)(index - log->base_index - 1))->write;
}

/* Where the entry ends in the count of bytes; clamped to what is in memory. */
static uint64_t end_offset(const struct consensus_log *log, uint64_t index)
{
    if (index <= log->base_index || log->count == 0)
        return log->base_offset;
    uint64_t position = index - log->base_index;
    if (position > log->count)
        position = log->count;
    return item_at(log, (size_t)position - 1)->end_offset;
}

uint64_t consensus_log_bytes(const struct consensus_log *log, uint64_t after_index, uint64_t index)
{
    return index <= after_index ? 0 : end_offset(log, index) - end_offset(log, after_index);
}

static bool grow(struct consensus_log *log)
{
    size_t capacity = log->capacity == 0 ? CAPACITY_FIRST : log->capacity * 2;
    struct log_item *items = malloc(capacity * sizeof *items);
    if (items == NULL)
        return false;
    for (size_t i = 0; i < log->count; i++)
        items[i] = *item_at(log, i);
    free(log->items);
    log->items = items;
    log->capacity = capacity;
    log->front = 0;
    return true;
}

bool consensus_log_append(struct consensus_log *log, const struct consensus_entry *entry,
                          uint64_t write)
{
    assert(entry->term > 0 && entry->term >= consensus_log_last_term(log));
    if (log->count == log->capacity && !grow(log))
        return false;
    uint64_t offset = end_offset(log, consensus_log_last_index(log));
    consensus_batch_ref(entry->batch);
    *item_at(log, log->count++) = (struct log_item){
        .entry = *entry,
        .end_offset = offset + entry->size_bytes + LOG_ENTRY_OVERHEAD_BYTES,
        .write = write,
    };
    return true;
}

void consensus_log_truncate(struct consensus_log *log, uint64_t index)
{
    assert(index > log->base_index);
    while (consensus_log_last_index(log) >= index)
        consensus_batch_unref(item_at(log, --log->count)->entry.batch);
}

/* Without memory the terms before are not known any more: who needs them gets a snapshot. */
static void note_term(struct consensus_log *log, uint64_t index, uint64_t term)
{
    if (log->term_count > 0 && log->terms[log->term_count - 1].term == term)
        return;
    if (log->term_count == log->term_capacity) {
        size_t capacity = log->term_capacity * 2 + 4;
        struct consensus_term *terms = realloc(log->terms, capacity * sizeof *terms);
        if (terms == NULL) {
            log->term_count = 0;
            return;
        }
        log->terms = terms;
        log->term_capacity = capacity;
    }
    log->terms[log->term_count++] = (struct consensus_term){.first_index = index, .term = term};
}

bool consensus_log_recall(struct consensus_log *log, const struct consensus_term *terms,
                          size_t count)
{
    assert(log->term_count == 0);
    struct consensus_term *copy = malloc((count + 1) * sizeof *copy);
    if (copy == NULL)
        return false;
    if (count > 0)
        memcpy(copy, terms, count * sizeof *copy);
    free(log->terms);
    log->terms = copy;
    log->term_count = count;
    log->term_capacity = count + 1;
    return true;
}

void consensus_log_forget(struct consensus_log *log, uint64_t index)
{
    size_t gone = 0;
    while (gone + 1 < log->term_count && log->terms[gone + 1].first_index <= index)
        gone++;
    log->term_count -= gone;
    for (size_t i = 0; gone > 0 && i < log->term_count; i++)
        log->terms[i] = log->terms[i + gone];
    if (log->term_count > 0 && log->terms[0].first_index < index)
        log->terms[0].first_index = index;
}

void consensus_log_compact(struct consensus_log *log, uint64_t index)
{
    assert(index <= consensus_log_last_index(log));
    if (log->term_count == 0 && log->base_index > 0 && index > log->base_index)
        note_term(log, log->base_index, log->base_term);
    while (log->base_index < index) {
        struct log_item *item = item_at(log, 0);
        consensus_batch_unref(item->entry.batch);
        note_term(log, log->base_index + 1, item->entry.term);
        log->base_index++;
        log->base_term = item->entry.term;
        log->base_offset = item->end_offset;
        log->front = (log->front + 1) & (log->capacity - 1);
        log->count--;
    }
}
