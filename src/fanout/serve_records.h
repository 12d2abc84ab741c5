/*
 * serve_records - what a shard answers to a question, record by record.
 *
 *   open ──▶ fill, fill ... until it says that nothing is left ──▶ close
 */
#ifndef FANOUT_SERVE_RECORDS_H
#define FANOUT_SERVE_RECORDS_H

#include "fanout_private.h"
#include "question.h"

struct serve_records;

struct serve_records_options {
    struct fanout *fanout;
    const struct question *question;
    const struct fanout_replica *replica; /* held until it is closed */
    const atomic_bool *canceled;
    uint64_t deadline_ns;
    struct arena *arena; /* until it is closed */
};

/* Errors: those of the source. */
enum error_code serve_records_open(const struct serve_records_options *options,
                                   struct serve_records **records_out, struct error *error);

/* Append records until the buffer has `target_bytes`, or all: *finished_out. */
enum error_code serve_records_fill(struct serve_records *records, struct byte_buffer *buffer,
                                   size_t target_bytes, bool *finished_out, struct error *error);

bool serve_records_are_truncated(const struct serve_records *records);
bool serve_records_are_damaged(const struct serve_records *records);

void serve_records_close(struct serve_records *records); /* NULL is fine */

#endif
