/*
 * content_hash - the checksum over decoded content that replicas compare.
 *
 * Definition: docs/formats/pages.md, "Content checksum".
 */
#ifndef BLOCK_CONTENT_HASH_H
#define BLOCK_CONTENT_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/text.h"
#include "model/columns.h"
#include "model/sample.h"

struct XXH3_state_s;

/* The sum so far. Zero-initialise; clear at the end. */
struct content_hash {
    struct hash128 sum;
    struct XXH3_state_s *state;
    struct byte_buffer values; /* where samples are not plain floats */
};

/* Add one series: what identifies it, and everything it has. False: out of memory. */
bool content_hash_series(struct content_hash *hash, struct text identity,
                         const struct sample_columns *columns, const struct exemplar *exemplars,
                         size_t exemplar_count);

/* Add the metadata of one metric. False: out of memory. */
bool content_hash_metadata(struct content_hash *hash, struct text tenant, struct text metric_name,
                           const struct metric_metadata *metadata);

void content_hash_clear(struct content_hash *hash);

#endif
