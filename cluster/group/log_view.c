#include "log_view.h"

/* raft_last_index takes its argument without const, but only reads. */
raft_index log_view_last_index(const struct raft *raft)
{
    const struct raft_log *log = &raft->log;
    size_t count =
        log->back >= log->front ? log->back - log->front : log->size - log->front + log->back;
    raft_index last = log->offset + count;
    return last > log->snapshot.last_index ? last : log->snapshot.last_index;
}

raft_index log_view_first_index(const struct raft *raft)
{
    return raft->log.offset + 1;
}

const struct raft_entry *log_view_entry(const struct raft *raft, raft_index index)
{
    const struct raft_log *log = &raft->log;
    size_t count =
        log->back >= log->front ? log->back - log->front : log->size - log->front + log->back;
    if (index <= log->offset || index > log->offset + count)
        return NULL;
    return &log->entries[(log->front + (index - 1 - log->offset)) % log->size];
}

raft_term log_view_term(const struct raft *raft, raft_index index)
{
    const struct raft_entry *entry = log_view_entry(raft, index);
    if (entry != NULL)
        return entry->term;
    return index != 0 && index == raft->log.snapshot.last_index ? raft->log.snapshot.last_term : 0;
}

size_t log_view_bytes(const struct raft *raft, raft_index first, raft_index last)
{
    size_t bytes = 0;
    for (raft_index index = first; index <= last; index++) {
        const struct raft_entry *entry = log_view_entry(raft, index);
        if (entry != NULL)
            bytes += entry->buf.len;
    }
    return bytes;
}
