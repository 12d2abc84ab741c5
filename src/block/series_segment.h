/*
 * series_segment - an open segment, as the files of this module that read it see it. Private to
 * block.
 */
#ifndef BLOCK_SERIES_SEGMENT_H
#define BLOCK_SERIES_SEGMENT_H

#include <stdatomic.h>

#include "block/series_segment_reader.h"
#include "label_index.h"
#include "page_file.h"
#include "tenant_list.h"

struct series_segment {
    atomic_size_t references;
    struct page_file file;
    struct tenant_list tenants;
    struct label_index index;
    struct tree buckets;
    uint64_t first_id;
    uint64_t span;
    uint32_t bucket_count;
};

#endif
