/*
 * frame - an answer is a row of frames; on its way it is cut anywhere.
 *
 * Bytes: docs/protocols/select.md.
 */
#ifndef FANOUT_FRAME_H
#define FANOUT_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"

#include "windows.h"

enum frame_type {
    FRAME_SHARD = 1, /* what follows is of this shard; or why nothing does */
    FRAME_DATA = 2,
    FRAME_SHARD_END = 3,
    FRAME_ALIVE = 4,   /* it is being worked on; no payload */
    FRAME_WINDOWS = 5, /* versions of what was read of a shard: windows.h; when asked for */
};

enum {
    FRAME_HEAD_BYTES = 5,
    /* A frame holds at least one series, however long. */
    FRAME_PAYLOAD_BYTES_MAX = 256 * 1024 * 1024,
};

enum frame_status {
    FRAME_STATUS_OK = 0,
    FRAME_STATUS_UNREADABLE = 1, /* not from this replica now */
    FRAME_STATUS_ABSENT = 2,     /* no replica of it here */
    FRAME_STATUS_SPLIT = 3,      /* it was split since the asker knew of it */
};

struct frame_shard {
    uint32_t shard_id;
    enum frame_status status;
    uint64_t leader; /* the node, as far as is known there; 0: not known. SPLIT: how often it was */
};

struct frame_shard_end {
    uint32_t shard_id;
    bool truncated;   /* there were more than were asked for */
    bool damaged;     /* of metadata: something is missing */
    uint64_t version; /* log index: all up to it is in what was read */
};

/* --- Writing --------------------------------------------------------------------------------- */

/* Begin a frame, append its payload, end it; the buffer's `failed` tells at the end. */
size_t frame_begin(struct byte_buffer *buffer, enum frame_type type);
void frame_end(struct byte_buffer *buffer, size_t begun);

void frame_shard_encode(struct byte_buffer *buffer, const struct frame_shard *shard);
void frame_windows_encode(struct byte_buffer *buffer, uint32_t shard_id,
                          const struct told_windows *told);
void frame_shard_end_encode(struct byte_buffer *buffer, const struct frame_shard_end *end);

/* --- Reading --------------------------------------------------------------------------------- */

struct frame {
    enum frame_type type;
    const uint8_t *payload; /* [size], in the arena */
    size_t size;
};

/* Zero-initialise. */
struct frame_reader {
    uint8_t head[FRAME_HEAD_BYTES];
    size_t head_bytes;
    uint8_t *payload;
    size_t size;
    size_t payload_bytes;
};

/*
 * Take bytes up to the end of a frame: *taken_out of them; *complete_out tells whether `frame_out`
 * is set. Errors: CORRUPT, UNSUPPORTED (type), OUT_OF_MEMORY.
 */
enum error_code frame_reader_feed(struct frame_reader *reader, struct arena *arena,
                                  const uint8_t *bytes, size_t size, size_t *taken_out,
                                  struct frame *frame_out, bool *complete_out, struct error *error);

/* Whether all bytes that were fed made whole frames. */
static inline bool frame_reader_is_between(const struct frame_reader *reader)
{
    return reader->head_bytes == 0;
}

/* Errors: CORRUPT, UNSUPPORTED. */
enum error_code frame_shard_decode(const uint8_t *bytes, size_t size, struct frame_shard *shard_out,
                                   struct error *error);
enum error_code frame_shard_end_decode(const uint8_t *bytes, size_t size,
                                       struct frame_shard_end *end_out, struct error *error);

#endif
