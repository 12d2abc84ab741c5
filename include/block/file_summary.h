/*
 * file_summary - what the footer of a part, series segment or block says of it.
 */
#ifndef BLOCK_FILE_SUMMARY_H
#define BLOCK_FILE_SUMMARY_H

#include <stdint.h>

#include "base/checksum.h"

enum file_kind { FILE_KIND_PART = 1, FILE_KIND_SEGMENT = 2, FILE_KIND_BLOCK = 3 };

struct file_summary {
    enum file_kind kind;
    uint32_t format_version;
    uint64_t size_bytes;
    uint64_t series_count;
    uint64_t sample_count;
    int64_t min_time_ms; /* of the samples; INT64_MAX when there is none */
    int64_t max_time_ms; /* of the samples; INT64_MIN when there is none */
    /*
     * Over the decoded content: for each series its id (part, segment) or tenant and labels
     * (block), timestamps, value bits, exemplars; plus metadata. The sum of a hash per item, so
     * it does not depend on compression nor on the order of writing. What replicas compare.
     */
    struct hash128 content_checksum;
    /* XXH3-128 of all bytes before the footer: equal hash and content checksum, equal files. What
     * a transfer verifies. */
    struct hash128 file_hash;
};

#endif
