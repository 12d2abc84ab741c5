#include "shard/bucket_source.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bucket_extents.h"
#include "object/object_store.h"

/* Who reads a file from end to end waits once for so much. */
enum { AHEAD_BYTES = 32 * BUCKET_EXTENT_BYTES };

struct object_source {
    struct page_source base;
    struct bucket_cache *cache; /* NULL: each read is a request */
    struct object_part whole;
    _Atomic uint64_t next_offset; /* behind the last read */
    char key_bytes[OBJECT_KEY_MAX];
};

static struct object_part range_of(const struct page_source *base, uint64_t offset_bytes,
                                   uint64_t size_bytes)
{
    struct object_part range = ((const struct object_source *)base)->whole;
    range.offset_bytes = offset_bytes;
    range.size_bytes = size_bytes;
    return range;
}

static enum error_code object_source_read(struct page_source *self, uint64_t offset_bytes,
                                          uint8_t *target, size_t size_bytes, struct error *error)
{
    struct object_part range = range_of(self, offset_bytes, size_bytes);
    return size_bytes == 0 ? ERROR_NONE : object_part_read(&range, target, error);
}

static enum error_code near_source_read(struct page_source *self, uint64_t offset_bytes,
                                        uint8_t *target, size_t size_bytes, struct error *error)
{
    struct object_source *source = (struct object_source *)self;
    if (size_bytes == 0)
        return ERROR_NONE;
    if (offset_bytes > self->size_bytes || size_bytes > self->size_bytes - offset_bytes)
        return error_set(error, ERROR_CORRUPT, "object '%s' ends before byte %llu", self->name,
                         (unsigned long long)(offset_bytes + size_bytes));
    struct object_part range = range_of(self, offset_bytes, size_bytes);
    bool goes_on = atomic_exchange(&source->next_offset, offset_bytes + size_bytes) == offset_bytes;
    return bucket_cache_read(source->cache, &range, goes_on ? AHEAD_BYTES : 0, target, error);
}

static enum error_code near_source_fetch(const struct page_range *ranges, size_t count,
                                         struct error *error)
{
    struct object_part *converted = malloc(count * sizeof *converted);
    if (converted == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "read objects");
    for (size_t i = 0; i < count; i++)
        converted[i] = range_of(ranges[i].source, ranges[i].offset_bytes, ranges[i].size_bytes);
    struct bucket_cache *cache = ((const struct object_source *)ranges[0].source)->cache;
    enum error_code code = bucket_cache_fetch(cache, converted, count, error);
    free(converted);
    return code;
}

static void object_source_close(struct page_source *self)
{
    free(self);
}

static const struct page_source_operations OBJECT_SOURCE_OPERATIONS = {
    .read = object_source_read,
    .close = object_source_close,
};

static const struct page_source_operations NEAR_SOURCE_OPERATIONS = {
    .read = near_source_read,
    .close = object_source_close,
    .fetch = near_source_fetch,
};

enum error_code bucket_source_open(const struct bucket_source_options *options,
                                   struct page_source **source_out, struct error *error)
{
    enum error_code code = object_key_check(options->key, error);
    if (code != ERROR_NONE)
        return code;
    if (options->size_bytes / BUCKET_EXTENT_BYTES >= UINT32_MAX)
        return error_set(error, ERROR_INVALID, "an object of %llu bytes",
                         (unsigned long long)options->size_bytes);
    struct object_source *source = calloc(1, sizeof *source);
    if (source == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "source of an object");
    source->base.operations =
        options->cache == NULL ? &OBJECT_SOURCE_OPERATIONS : &NEAR_SOURCE_OPERATIONS;
    source->base.size_bytes = options->size_bytes;
    snprintf(source->base.name, sizeof source->base.name, "%.*s", (int)options->key.size,
             options->key.data);
    memcpy(source->key_bytes, options->key.data, options->key.size);
    source->cache = options->cache;
    atomic_init(&source->next_offset, UINT64_MAX);
    source->whole = (struct object_part){
        .store = options->store,
        .key = {source->key_bytes, options->key.size},
        .object = hash128(options->key.data, options->key.size, 0),
        .object_bytes = options->size_bytes,
    };
    *source_out = &source->base;
    return ERROR_NONE;
}
