/*
 * limits - the named bounds of inputs, queues and caches that are not settings.
 *
 * A module adds its own here when another one must know it; private bounds stay private.
 */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

enum {
    /* Names and values of labels; beyond is refused at ingestion and by every decoder. */
    LABELS_PER_SERIES_MAX = 256,
    LABEL_SET_BYTES_MAX = 64 * 1024,
    TENANT_ID_BYTES_MAX = 150,

    /* Slots of the slot map; a shard is a set of slots. */
    SLOT_COUNT = 4096,

    /* Samples of one encoded chunk. */
    CHUNK_SAMPLES_MAX = 480,

    /* Buckets of one native histogram, both signs. */
    HISTOGRAM_BUCKETS_MAX = 4096,
};

#endif
