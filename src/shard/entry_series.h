/*
 * entry_series - the new series of a write: docs/formats/entry.md.
 */
#ifndef SHARD_ENTRY_SERIES_H
#define SHARD_ENTRY_SERIES_H

#include "shard/entry.h"

void entry_encode_series(struct byte_buffer *buffer, const struct entry_part *part);

/* Labels point into the reader's bytes or into `arena`. Errors: CORRUPT, LIMIT, OUT_OF_MEMORY. */
enum error_code entry_decode_series(struct byte_reader *reader, struct arena *arena,
                                    struct entry_part *part, struct error *error);

#endif
