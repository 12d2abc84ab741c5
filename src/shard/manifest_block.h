/*
 * manifest_block - a block as the log describes it: in manifests, entries and lists of the bucket.
 * Private to shard.
 */
#ifndef SHARD_MANIFEST_BLOCK_H
#define SHARD_MANIFEST_BLOCK_H

#include <stdint.h>

#include "base/bytes.h"
#include "block/file_summary.h"

struct manifest_block {
    uint64_t index;
    uint32_t number;
    int64_t window_start_ms;
    int64_t window_end_ms;
    int64_t stamp_ms; /* of the entry that decided it */
    struct file_summary summary;
};

/* One block, as in manifests and in the entry that ends a merge. A reader that failed gives one of
 * no meaning. */
void manifest_encode_block(struct byte_buffer *buffer, const struct manifest_block *block);
struct manifest_block manifest_decode_block(struct byte_reader *reader);

#endif
