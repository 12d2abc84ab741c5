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
 * Buffers given up and taken while a state is changed. They are recycled when the new state is
 * stored (the old buffers) or dropped (the new ones).
 */
struct buffer_changes {
    struct buffer_change {
        uint8_t *buffer;
        unsigned buffer_class;
    } retired[4], taken[4];
    unsigned retired_count;
    unsigned taken_count;
};

uint8_t *buffer_take(struct buffer_changes *changes, struct pool *pool, unsigned buffer_class);
void buffer_retire(struct buffer_changes *changes, uint8_t *buffer, unsigned buffer_class);
void buffer_changes_commit(struct buffer_changes *changes, struct pool *pool);
void buffer_changes_abort(struct buffer_changes *changes, struct pool *pool);

/* Room for `needed` bytes in the open buffer, which keeps its `used` bytes. */
enum run_outcome { RUN_DONE, RUN_FULL, RUN_OUT_OF_MEMORY };
enum run_outcome run_reserve(struct series_state *state, struct buffer_changes *changes,
                             struct pool *pool, size_t needed_bytes);

/* Store 8 bytes, aligned, at the end of the buffer; there is room. */
void run_append_word(struct series_state *state, uint64_t word);

/* An empty run of the same series; its buffer is retired. */
void run_reset(struct series_state *state, struct buffer_changes *changes);

/*
 * Append a value to the run, whose newest sample has state->newest_bits when count > 0; changes
 * count, pending, used, buffer and newest_bits. FULL: nothing changed; close the run.
 */
enum run_outcome value_run_append(struct series_state *state, struct buffer_changes *changes,
                                  struct pool *pool, uint64_t bits);

/* Take the newest value out again, count > 0. newest_bits becomes that of the one before, if any.
 */
enum run_outcome value_run_pop(struct series_state *state, struct buffer_changes *changes,
                               struct pool *pool);

/*
 * The values of a run, [state->count]; `bytes` is the buffer or a copy of its `used` bytes.
 * False: the bytes are damaged.
 */
bool value_run_decode(const struct series_state *state, const uint8_t *bytes, double *values_out);

#endif
