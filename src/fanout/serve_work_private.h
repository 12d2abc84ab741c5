/* What the two ways of answering share. */
#ifndef FANOUT_SERVE_WORK_PRIVATE_H
#define FANOUT_SERVE_WORK_PRIVATE_H

#include "frame.h"
#include "serve_work.h"

struct serve_records;

struct serve_work {
    struct serve_work_options options;
    struct arena *arena; /* the question */
    struct question question;
    struct serve_confirm *confirms; /* [shard_count]; strong reads */
    size_t next;                    /* shard */
    size_t piece_bytes;
    struct byte_buffer buffer;
    /* Of the shard that is being sent. */
    struct fanout_replica replica;
    bool is_held;
    uint64_t version;
    struct arena *shard_arena; /* NULL: none is */
    struct serve_records *records;
};

/* What was read is of the shard as the asker knows it: it was so before, and is so still. Errors:
 * UNAVAILABLE. */
enum error_code serve_check_splits(const struct serve_work *work,
                                   const struct fanout_replica *replica, struct error *error);

struct arena *serve_arena(struct fanout *fanout);

/* Append what the shard at a position is to the asker; true: it may be read, and is held. */
bool serve_hold(struct serve_work *work, size_t index, struct byte_buffer *buffer,
                struct fanout_replica *replica_out);

/* Append the versions of what was read of a replica, if the asker wants them. */
void serve_windows(struct serve_work *work, const struct fanout_replica *replica,
                   uint64_t applied_index, const struct read_span *span,
                   struct byte_buffer *buffer);

#endif
