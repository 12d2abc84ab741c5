/*
 * value_run - the floats of an open run as short codes in a small buffer.
 *
 * Most series count something or measure with few digits, so a value is held as the difference of
 * v * 10^exponent to that of the value before. The buffer is a row of codes:
 *
 *   varint 0, 8 bytes      the bits of a value without such a form (the next difference is to 0)
 *   varint 1, varint n     n times the value before
 *   varint u >= 2          zigzag(difference) = u - 2
 *
 * The last `pending` values, equal to the newest, are not in it yet: a constant series has no
 * buffer at all. This is memory only, never written to a file.
 */
#ifndef HEAD_VALUE_RUN_H
#define HEAD_VALUE_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "series.h"

/*
 * The bytes of a run lie in pieces of a cache line (the first is half of one), newest first, so
 * that a growing run leaves no smaller buffers behind.
 */
struct run_piece {
    struct run_piece *previous;
    uint8_t bytes[];
};

enum { RUN_BYTES_MAX = 24 + 4 * 56 };

/*
 * Pieces given up and taken while a state is changed. They are recycled when the new state is
 * stored (the old ones) or dropped (the new ones). Only the counts need to be zero at first.
 */
struct run_changes {
    unsigned retired_count;
    unsigned taken_count;
    struct {
        struct run_piece *newest;
        size_t used;
    } retired[4];
    struct {
        struct run_piece *piece;
        enum pool_buffer_class buffer_class;
    } taken[16];
};

void run_changes_commit(struct run_changes *changes, struct pool *pool);
void run_changes_abort(struct run_changes *changes, struct pool *pool);

/* DONE; FULL: the samples are as they were, close the run. */
enum run_outcome { RUN_DONE, RUN_FULL, RUN_OUT_OF_MEMORY };

/* Add bytes to the end, at most 64 of them. */
enum run_outcome run_append_bytes(struct series_state *state, struct run_changes *changes,
                                  struct pool *pool, const uint8_t *bytes, size_t size);

/* The state->used bytes of the run, rounded up to words, to `target` [RUN_BYTES_MAX]. A reader may
 * copy anything if the series was written meanwhile, but no harm comes of it. */
void run_copy_bytes(const struct series_state *state, uint8_t *target);

/* An empty run of the same series; its pieces are retired. */
void run_reset(struct series_state *state, struct run_changes *changes);

/*
 * Append a value to the run, whose newest sample has state->newest_bits when count > 0; changes
 * count, pending, used, buffer and newest_bits.
 */
enum run_outcome value_run_append(struct series_state *state, struct run_changes *changes,
                                  struct pool *pool, uint64_t bits);

/* The same where it is simple: no memory is needed and the value has the form of the run. False:
 * nothing changed. */
bool value_run_extend(struct series_state *state, uint64_t bits);

/* Take the newest value out again, count > 0. newest_bits becomes that of the one before, if any.
 */
enum run_outcome value_run_pop(struct series_state *state, struct run_changes *changes,
                               struct pool *pool);

/*
 * The values of a run, [state->count]; `bytes` is a copy of its bytes.
 * False: the bytes are damaged.
 */
bool value_run_decode(const struct series_state *state, const uint8_t *bytes, double *values_out);

#endif
