/*
 * partial_answer - the answer to a sub-query as a row of frames, written and read piece by piece.
 *
 *   header, rows ..., annotations, statistics, end       or at any time: error
 *
 * Byte layout: docs/protocols/sub-query.md.
 */
#ifndef PROMQL_PARTIAL_ANSWER_H
#define PROMQL_PARTIAL_ANSWER_H

#include "base/memory_budget.h"
#include "evaluation.h"
#include "promql/distribution.h"
#include "promql/partial.h"

/* The numbers are those of the protocol. */
enum answer_frame {
    FRAME_HEADER = 1,
    FRAME_ROWS = 2,
    FRAME_ANNOTATIONS = 3,
    FRAME_STATISTICS = 4,
    FRAME_ERROR = 5,
    FRAME_END = 6,
};

enum {
    FRAME_HEAD_BYTES_MAX = 1 + VARINT_MAX_BYTES,
    FRAME_BYTES_MAX = 1 << 30,
    ANSWER_MESSAGE_BYTES_MAX = 4096, /* of an annotation */
};

enum answer_flags {
    /* No two series have equal labels once the metric's name is gone. */
    ANSWER_UNIQUE_WITHOUT_NAME = 1,
    /* Some series may have labels that go with the name: names that are dropped may make series of
     * different places equal. */
    ANSWER_HAS_TYPE_OR_UNIT = 2,
    /* The place was left out: it says nothing of what it has. */
    ANSWER_LEFT_OUT = 4,
    ANSWER_FLAGS_KNOWN = 7,
};

struct answer_header {
    enum promql_partial_mode mode;
    uint8_t flags;
    uint64_t step_count;
};

/* --- Writing --------------------------------------------------------------------------------- */

void answer_header_encode(const struct answer_header *header, struct byte_buffer *payload);
void answer_annotations_encode(const struct promql_annotation *annotations, size_t count,
                               struct byte_buffer *payload);
void answer_statistics_encode(const struct promql_statistics *statistics,
                              struct byte_buffer *payload);
void answer_error_encode(const struct error *failure, struct byte_buffer *payload);

/* The bytes in front of a payload; returns how many of `target` there are. */
size_t frame_head_encode(uint8_t target[FRAME_HEAD_BYTES_MAX], enum answer_frame kind,
                         size_t payload_size);

/* A frame with its payload, appended. */
void frame_append(struct byte_buffer *buffer, enum answer_frame kind,
                  const struct byte_buffer *payload);

/* --- Reading --------------------------------------------------------------------------------- */

struct answer_reader {
    struct evaluation *evaluation;
    struct promql_distribution *distribution;
    size_t place;
    uint8_t *bytes; /* [capacity], charged to the query */
    size_t first;   /* of what is not yet read */
    size_t looked;  /* frames up to here are whole */
    size_t end;
    size_t capacity;
    bool is_whole; /* nothing more will come: the last frame is there */
};

void answer_reader_init(struct answer_reader *reader, struct evaluation *evaluation,
                        struct promql_distribution *distribution, size_t place);
void answer_reader_clear(struct answer_reader *reader);

/* The next frame, if all of it is there; it lives until more is read. Errors: CORRUPT. */
enum error_code answer_next_frame(struct answer_reader *reader, bool *is_there_out,
                                  enum answer_frame *kind_out, struct byte_reader *payload_out,
                                  struct error *error);

/* Wait for some more bytes. Errors: those of the distributor, UNAVAILABLE (they have ended),
 * memory, of the query. */
enum error_code answer_read_more(struct answer_reader *reader, struct error *error);

/* Both: the next frame, waiting for its bytes. */
enum error_code answer_read_frame(struct answer_reader *reader, enum answer_frame *kind_out,
                                  struct byte_reader *payload_out, struct error *error);

/* What a frame says. Errors: CORRUPT, UNSUPPORTED (version). */
enum error_code answer_header_decode(struct byte_reader payload, struct answer_header *header_out,
                                     struct error *error);
/* Adds what it says to the query. */
enum error_code answer_annotations_decode(struct byte_reader payload, struct evaluation *evaluation,
                                          struct error *error);
enum error_code answer_statistics_decode(struct byte_reader payload, struct evaluation *evaluation,
                                         struct error *error);
/* Answers with what went wrong there. */
enum error_code answer_error_decode(struct byte_reader payload, struct error *error);

#endif
