/*
 * read_stream - the asking side of remote read: the request, and the frames of chunks that a server
 * answers with (prometheus.io/docs/prometheus/latest/querying/remote_read_api).
 */
#ifndef WIRE_READ_STREAM_H
#define WIRE_READ_STREAM_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"
#include "model/labels.h"
#include "wire/prometheus_chunk.h"
#include "wire/remote_read.h"

/* A frame larger than this is not taken. Servers cut them at about a megabyte. */
enum { READ_STREAM_FRAME_BYTES_MAX = 64 * 1024 * 1024 };

/* Append the body of a request, not compressed. READ_CHUNKS: samples are not taken instead. */
void read_request_encode(const struct read_request *request, struct byte_buffer *body);

struct read_frame {
    const uint8_t *message; /* [message_size] */
    size_t message_size;
    size_t frame_size; /* 0: the rest of it is still to come */
};

/* The frame at the start of `bytes`, its checksum verified. Errors: CORRUPT, LIMIT. */
enum error_code read_frame_decode(const uint8_t *bytes, size_t size, struct read_frame *frame_out,
                                  struct error *error);

/* A series of a frame, or a piece of one that goes on in the next frame. */
struct read_stream_series {
    struct labels labels;
    struct chunk_samples samples;
};

/*
 * The series of a frame in their order; all memory is from `arena`.
 * Errors: CORRUPT, LIMIT, UNSUPPORTED, OUT_OF_MEMORY, and what `visit` returns.
 */
typedef enum error_code read_stream_visit(void *context, const struct read_stream_series *series,
                                          struct error *error);
enum error_code read_frame_visit(const struct read_frame *frame, struct arena *arena,
                                 read_stream_visit *visit, void *context, struct error *error);

#endif
