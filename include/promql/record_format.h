/*
 * record_format - names and values of labels, exemplars and metadata as the payloads of DATA
 * frames: records one behind the other, up to the payload's end.
 *
 * Bytes: docs/protocols/select.md. Readers return false at the end, or with the reader failed when
 * the bytes are not what a writer makes. Texts point into them.
 */
#ifndef PROMQL_RECORD_FORMAT_H
#define PROMQL_RECORD_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"
#include "model/sample.h"
#include "promql/series_source.h"

bool record_read_text(struct byte_reader *reader, struct text *text_out);

void record_write_exemplars(struct byte_buffer *buffer, const struct series_exemplars *series);

/* Labels are checked; the array is in the arena. Errors: CORRUPT, LIMIT, OUT_OF_MEMORY. */
enum error_code record_read_exemplars(struct byte_reader *reader, struct arena *arena,
                                      struct series_exemplars *series_out, struct error *error);

void record_write_metadata(struct byte_buffer *buffer, struct text metric_name,
                           const struct metric_metadata *metadata);
bool record_read_metadata(struct byte_reader *reader, struct text *metric_name_out,
                          struct metric_metadata *metadata_out);

#endif
