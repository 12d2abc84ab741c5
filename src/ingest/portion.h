/*
 * portion - a large request, written piece by piece.
 *
 * What a request has for one shard becomes one entry of the log, and entries have a limit. So the
 * series of a request, then its metadata, are taken in portions that stay below it whatever they
 * hold, one after the other. Almost every request is one portion.
 */
#ifndef INGEST_PORTION_H
#define INGEST_PORTION_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/error.h"
#include "wire/remote_write.h"

/* Series [series_first, series_end) and metadata [metadata_first, metadata_end). Zero: none yet. */
struct portion {
    size_t series_first;
    size_t series_end;
    size_t metadata_first;
    size_t metadata_end;
};

/*
 * A series that is more than a portion becomes several of the same labels; the others of them
 * stand behind the last series, so that indexes stay what they are. Exemplars beyond
 * PORTION_EXEMPLARS_MAX of one series are left out, the first ones. Errors: OUT_OF_MEMORY.
 */
enum { PORTION_EXEMPLARS_MAX = 4096 };
enum error_code portion_split_series(struct write_request *request, struct arena *arena,
                                     struct error *error);

/* Labels make a portion end early: true when those of the new series up to and with `series` have
 * come to so many bytes that it does. */
bool portion_ends_at(struct portion *portion, size_t series, size_t new_label_bytes);

/* The portion behind this one; false when there is none. */
bool portion_next(struct portion *portion, const struct write_request *request);

#endif
