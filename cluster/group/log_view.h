/*
 * log_view - look into the log that libraft holds in memory (struct raft_log is public).
 */
#ifndef GROUP_LOG_VIEW_H
#define GROUP_LOG_VIEW_H

#include <raft.h>
#include <stddef.h>

/* NULL when the entry is not in memory. */
const struct raft_entry *log_view_entry(const struct raft *raft, raft_index index);

/* Of an entry, or of the last entry of the snapshot; 0 when unknown. */
raft_term log_view_term(const struct raft *raft, raft_index index);

raft_index log_view_last_index(const struct raft *raft);

/* Index of the first entry in memory (last + 1 when there is none). */
raft_index log_view_first_index(const struct raft *raft);

/* Payload bytes of entries [first, last] that are in memory. */
size_t log_view_bytes(const struct raft *raft, raft_index first, raft_index last);

#endif
