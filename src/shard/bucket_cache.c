#include "shard/bucket_cache.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bucket_extents.h"

enum {
    /* After a write that failed so many extents are not written: a disk that is full costs
     * little, and is used again when it has room. */
    WRITES_SKIPPED = 256,
    /* An extent that left between its coming and its use is fetched again so often; then it is
     * read past the cache. */
    READ_ATTEMPTS = 3,
    /* How often it is seen to, when the file grows, that the disk has room for what matters. */
    ROOM_EXTENTS = 256,
    ROOM_FRACTION = 10,
};

/* --- The file --------------------------------------------------------------------------------- */

static uint64_t slot_offset(uint32_t slot)
{
    return (uint64_t)slot * BUCKET_EXTENT_BYTES;
}

/* Lock held. The file does not grow any more when the disk has little room. */
static void check_room(struct bucket_cache *cache)
{
    uint64_t free_bytes, total_bytes;
    struct error ignored; /* a disk that can't tell refuses writes when it is full */
    struct extent_table *table = &cache->table;
    if (table->slot_used == table->slot_count || table->slot_used % ROOM_EXTENTS != 0)
        return;
    if (disk_free_bytes(cache->disk, &free_bytes, &total_bytes, &ignored) == ERROR_NONE &&
        free_bytes < total_bytes / ROOM_FRACTION)
        table->slot_count = table->slot_used;
}

/* Lock held. */
static bool may_write(struct bucket_cache *cache)
{
    if (cache->file == NULL)
        return false;
    check_room(cache);
    if (cache->write_failed && cache->writes_skipped < WRITES_SKIPPED) {
        cache->writes_skipped++;
        return false;
    }
    return true;
}

void bucket_cache_spill(struct bucket_cache *cache, struct extent *extent)
{
    uint32_t slot = EXTENT_NO_SLOT;
    pthread_mutex_lock(&cache->lock);
    if (extent->slot == EXTENT_NO_SLOT && extent->bytes != NULL && may_write(cache))
        slot = extent_take_slot(&cache->table, extent);
    const uint8_t *bytes = extent->bytes; /* pinned: they stay */
    pthread_mutex_unlock(&cache->lock);
    if (slot == EXTENT_NO_SLOT)
        return;
    struct error ignored; /* counted; a query lacks nothing */
    uint64_t hash = hash64(bytes, extent->size_bytes, HASH_SEED_STORED);
    enum error_code code = disk_write_at(cache->disk, cache->file, slot_offset(slot), bytes,
                                         extent->size_bytes, &ignored);
    pthread_mutex_lock(&cache->lock);
    cache->write_failed = code != ERROR_NONE;
    cache->writes_skipped = 0;
    if (code == ERROR_NONE) {
        extent_place(&cache->table, extent, slot, hash);
    } else {
        extent_give_back_slot(&cache->table, slot);
        cache->counted.disk_failures++;
    }
    pthread_mutex_unlock(&cache->lock);
}

/* Bring an extent of the file, which is pinned, to memory. False: it isn't there as it was. */
static bool recall(struct bucket_cache *cache, struct extent *extent, uint32_t slot)
{
    struct error ignored; /* counted; the store has it */
    uint8_t *bytes = malloc(extent->size_bytes);
    if (bytes == NULL)
        return false;
    enum error_code code = disk_read_at(cache->disk, cache->file, slot_offset(slot), bytes,
                                        extent->size_bytes, &ignored);
    bool is_whole =
        code == ERROR_NONE && hash64(bytes, extent->size_bytes, HASH_SEED_STORED) == extent->hash;
    pthread_mutex_lock(&cache->lock);
    cache->counted.disk_failures += code != ERROR_NONE;
    cache->counted.disk_corrupt += code == ERROR_NONE && !is_whole;
    if (is_whole && extent->bytes == NULL) {
        extent_keep(&cache->table, extent, bytes);
        bytes = NULL;
    }
    pthread_mutex_unlock(&cache->lock);
    free(bytes);
    return is_whole;
}

/* --- Reading ---------------------------------------------------------------------------------- */

/* Pin an extent that is there, waiting for who reads it; NULL: nobody has it. */
static struct extent *pin_extent(struct bucket_cache *cache, struct hash128 object, uint32_t number,
                                 uint32_t *slot_out)
{
    pthread_mutex_lock(&cache->lock);
    struct extent *extent = extent_find(&cache->table, object, number);
    while (extent != NULL && extent->state == EXTENT_FILLING) {
        pthread_cond_wait(&cache->filled, &cache->lock);
        extent = extent_find(&cache->table, object, number);
    }
    *slot_out = EXTENT_NO_SLOT;
    if (extent != NULL && extent->bytes == NULL && extent->slot == EXTENT_NO_SLOT)
        extent = NULL; /* it leaves as soon as others let it go */
    if (extent != NULL) {
        extent->pins++;
        extent_touch(&cache->table, extent);
        if (extent->bytes == NULL)
            *slot_out = extent->slot;
        cache->counted.memory_hits += extent->bytes != NULL;
        cache->counted.disk_hits += extent->bytes == NULL;
    }
    pthread_mutex_unlock(&cache->lock);
    return extent;
}

/* Copy what of the range is in an extent. False: it is not near. */
static bool copy_from(struct bucket_cache *cache, const struct object_part *range, uint32_t number,
                      uint8_t *target)
{
    uint32_t slot;
    struct extent *extent = pin_extent(cache, range->object, number, &slot);
    if (extent == NULL)
        return false;
    bool is_near = slot == EXTENT_NO_SLOT || recall(cache, extent, slot);
    if (is_near) {
        uint64_t start = (uint64_t)number * BUCKET_EXTENT_BYTES;
        uint64_t from = range->offset_bytes > start ? range->offset_bytes : start;
        uint64_t end = range->offset_bytes + range->size_bytes;
        if (end > start + extent->size_bytes)
            end = start + extent->size_bytes;
        memcpy(target + (from - range->offset_bytes), extent->bytes + (from - start), end - from);
    }
    pthread_mutex_lock(&cache->lock);
    if (is_near)
        extent_unpin(&cache->table, extent);
    else
        extent_drop(&cache->table, extent);
    pthread_mutex_unlock(&cache->lock);
    return is_near;
}

/* Have the rest of a range in the cache, from an extent of it on. */
static enum error_code fetch_rest(struct bucket_cache *cache, const struct object_part *range,
                                  uint32_t number, uint64_t ahead_bytes, struct error *error)
{
    struct object_part rest = *range;
    uint64_t end = range->offset_bytes + range->size_bytes;
    uint64_t ahead = range->object_bytes - end;
    end += ahead < ahead_bytes ? ahead : ahead_bytes;
    uint64_t start = (uint64_t)number * BUCKET_EXTENT_BYTES;
    if (start > rest.offset_bytes)
        rest.offset_bytes = start;
    rest.size_bytes = end - rest.offset_bytes;
    return bucket_cache_fetch(cache, &rest, 1, error);
}

enum error_code bucket_cache_read(struct bucket_cache *cache, const struct object_part *range,
                                  uint64_t ahead_bytes, uint8_t *target, struct error *error)
{
    uint32_t first = (uint32_t)(range->offset_bytes / BUCKET_EXTENT_BYTES);
    uint32_t last = (uint32_t)((range->offset_bytes + range->size_bytes - 1) / BUCKET_EXTENT_BYTES);
    unsigned attempts = 0;
    for (uint32_t number = first; number <= last;) {
        if (copy_from(cache, range, number, target)) {
            number++;
            attempts = 0;
            continue;
        }
        if (attempts++ == READ_ATTEMPTS)
            return object_part_read(range, target, error);
        enum error_code code = fetch_rest(cache, range, number, ahead_bytes, error);
        if (code != ERROR_NONE)
            return code;
    }
    return ERROR_NONE;
}

/* --- Lifecycle -------------------------------------------------------------------------------- */

static enum error_code open_file(struct bucket_cache *cache,
                                 const struct bucket_cache_options *options, struct error *error)
{
    char path[DISK_PATH_MAX + 1];
    int length = snprintf(path, sizeof path, "%s/extents", options->directory);
    if (length < 0 || (size_t)length >= sizeof path)
        return error_set(error, ERROR_INVALID, "the name of the cache's directory is too long");
    enum error_code code = disk_make_directory(options->disk, options->directory, error);
    if (code == ERROR_NONE)
        code = disk_open(options->disk, path, DISK_OPEN_REPLACE, &cache->file, error);
    return code;
}

enum error_code bucket_cache_create(const struct bucket_cache_options *options,
                                    struct bucket_cache **cache_out, struct error *refusal_out,
                                    struct error *error)
{
    uint64_t slots = options->disk == NULL ? 0 : options->disk_bytes / BUCKET_EXTENT_BYTES;
    if (slots >= EXTENT_NO_SLOT)
        slots = EXTENT_NO_SLOT - 1;
    error_clear(refusal_out);
    struct bucket_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "cache of the bucket");
    pthread_mutex_init(&cache->lock, NULL);
    pthread_cond_init(&cache->filled, NULL);
    cache->disk = options->disk;
    if (slots > 0 && open_file(cache, options, refusal_out) != ERROR_NONE)
        slots = 0;
    if (!extent_table_init(&cache->table, options->memory_bytes, (uint32_t)slots)) {
        bucket_cache_destroy(cache);
        return error_set(error, ERROR_OUT_OF_MEMORY, "cache of the bucket");
    }
    *cache_out = cache;
    return ERROR_NONE;
}

void bucket_cache_destroy(struct bucket_cache *cache)
{
    if (cache == NULL)
        return;
    extent_table_clear(&cache->table);
    if (cache->file != NULL)
        disk_close(cache->disk, cache->file);
    pthread_mutex_destroy(&cache->lock);
    pthread_cond_destroy(&cache->filled);
    free(cache);
}

struct bucket_cache_statistics bucket_cache_statistics(struct bucket_cache *cache)
{
    pthread_mutex_lock(&cache->lock);
    struct bucket_cache_statistics statistics = cache->counted;
    statistics.memory_bytes = cache->table.memory_bytes;
    statistics.disk_bytes = cache->table.slot_bytes;
    statistics.disk_evictions = cache->table.slot_evictions;
    pthread_mutex_unlock(&cache->lock);
    return statistics;
}
