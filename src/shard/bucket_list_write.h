/* bucket_list_write - the list of what of a shard is in the bucket. Private to shard. */
#ifndef SHARD_BUCKET_LIST_WRITE_H
#define SHARD_BUCKET_LIST_WRITE_H

#include "shard/bucket_list.h"

#include "bucket.h"
#include "retention_cut.h"
#include "tombstones.h"

/* What a list says, at one entry of the log. */
struct bucket_list_source {
    struct bucket_list_key key;
    int64_t retention_cutoff_ms;
    const struct retention_cut *retention;
    const struct slot_set *slots;
    const struct tombstones *tombstones;
    const struct bucket *bucket;
};

/* The same state gives the same bytes. */
void bucket_list_encode(const struct bucket_list_source *source, struct byte_buffer *buffer);

#endif
