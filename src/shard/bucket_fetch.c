/* Extents that are not near, from the store. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "bucket_extents.h"

enum {
    /* So few extents between two that are missing are read along: it costs less than a request. */
    GAP_EXTENTS_MAX = 2,
    /* Of one request. Larger ranges come faster as several requests at once. */
    RUN_EXTENTS_MAX = 32,
};

/* --- Types ------------------------------------------------------------------------------------ */

struct wanted_extent {
    const struct object_part *range;
    uint32_t number;
};

/* What this call reads: extents of the table, FILLING and pinned. */
struct claim {
    const struct object_part *range;
    struct extent *extent;
};

/* Claims that follow each other in one object. */
struct run {
    size_t first;
    size_t count;
    struct object_read read;
};

struct fetch {
    struct bucket_cache *cache;
    struct claim claims[FETCH_EXTENTS_MAX];
    size_t claim_count;
    struct run runs[FETCH_EXTENTS_MAX];
    size_t run_count;
};

/* --- Single ranges ---------------------------------------------------------------------------- */

/* To who reads a block nothing is forbidden or unknown: the log has it, so it can't be read now. A
 * store that is not mounted shows nothing either. */
static enum error_code code_of(enum error_code code)
{
    switch (code) {
    case ERROR_NOT_FOUND:
    case ERROR_DENIED:
    case ERROR_TIMEOUT:
    case ERROR_IO:
        return ERROR_UNAVAILABLE;
    default:
        return code;
    }
}

enum error_code object_part_check(const struct object_part *range, const struct object_read *read,
                                  struct error *error)
{
    if (read->error.code != ERROR_NONE) {
        *error = read->error;
        error->code = code_of(error->code);
        return error_wrap(error, "read object '%.*s'", (int)range->key.size, range->key.data);
    }
    if (read->read_bytes < read->size_bytes || read->object_bytes != range->object_bytes)
        return error_set(error, ERROR_CORRUPT, "object '%.*s' has %llu bytes, and should have %llu",
                         (int)range->key.size, range->key.data,
                         (unsigned long long)read->object_bytes,
                         (unsigned long long)range->object_bytes);
    return ERROR_NONE;
}

enum error_code object_part_read(const struct object_part *range, uint8_t *target,
                                 struct error *error)
{
    struct object_read read = {.key = range->key,
                               .place = OBJECT_READ_AT,
                               .offset_bytes = range->offset_bytes,
                               .target = target,
                               .size_bytes = range->size_bytes};
    (void)object_store_read(range->store, NULL, &read); /* its outcome is in `read` */
    return object_part_check(range, &read, error);
}

/* --- What is wanted --------------------------------------------------------------------------- */

static int wanted_order(const void *left, const void *right)
{
    const struct wanted_extent *a = left;
    const struct wanted_extent *b = right;
    const struct hash128 *first = &a->range->object;
    const struct hash128 *second = &b->range->object;
    if (first->high != second->high)
        return first->high < second->high ? -1 : 1;
    if (first->low != second->low)
        return first->low < second->low ? -1 : 1;
    return a->number < b->number ? -1 : a->number > b->number;
}

static uint32_t first_extent(const struct object_part *range)
{
    return (uint32_t)(range->offset_bytes / BUCKET_EXTENT_BYTES);
}

static uint32_t last_extent(const struct object_part *range)
{
    return (uint32_t)((range->offset_bytes + range->size_bytes - 1) / BUCKET_EXTENT_BYTES);
}

static uint32_t extent_size(const struct object_part *range, uint32_t number)
{
    uint64_t left = range->object_bytes - (uint64_t)number * BUCKET_EXTENT_BYTES;
    return left < BUCKET_EXTENT_BYTES ? (uint32_t)left : (uint32_t)BUCKET_EXTENT_BYTES;
}

/* The extents of all ranges in order; the caller's to free. NULL: out of memory. */
static struct wanted_extent *list_wanted(const struct object_part *ranges, size_t count,
                                         size_t *wanted_count_out)
{
    size_t wanted_count = 0;
    for (size_t i = 0; i < count; i++) {
        assert(ranges[i].store == ranges[0].store && ranges[i].size_bytes > 0);
        assert(ranges[i].offset_bytes + ranges[i].size_bytes <= ranges[i].object_bytes);
        wanted_count += last_extent(&ranges[i]) - first_extent(&ranges[i]) + 1;
    }
    struct wanted_extent *wanted = malloc((wanted_count + 1) * sizeof *wanted);
    if (wanted == NULL)
        return NULL;
    size_t at = 0;
    for (size_t i = 0; i < count; i++)
        for (uint32_t number = first_extent(&ranges[i]); number <= last_extent(&ranges[i]);
             number++)
            wanted[at++] = (struct wanted_extent){&ranges[i], number};
    qsort(wanted, wanted_count, sizeof *wanted, wanted_order);
    *wanted_count_out = wanted_count;
    return wanted;
}

/* --- Claims ----------------------------------------------------------------------------------- */

/* Lock held. False: out of memory. */
static bool claim(struct fetch *fetch, const struct object_part *range, uint32_t number)
{
    struct extent_table *table = &fetch->cache->table;
    struct extent *extent = extent_find(table, range->object, number);
    if (extent != NULL) {
        if (extent->state == EXTENT_READY)
            extent_touch(table, extent);
        return true;
    }
    extent = extent_claim(table, range->object, number, extent_size(range, number));
    if (extent == NULL)
        return false;
    fetch->claims[fetch->claim_count++] = (struct claim){range, extent};
    return true;
}

/* Claim of those that are wanted as many as there is room for. Returns how many were looked at;
 * *failed_out: memory is out. */
static size_t claim_wanted(struct fetch *fetch, const struct wanted_extent *wanted, size_t count,
                           bool *failed_out)
{
    size_t i = 0;
    bool failed = false;
    pthread_mutex_lock(&fetch->cache->lock);
    for (; i < count && !failed && fetch->claim_count + GAP_EXTENTS_MAX < FETCH_EXTENTS_MAX; i++) {
        const struct wanted_extent *next = &wanted[i];
        const struct claim *last =
            fetch->claim_count > 0 ? &fetch->claims[fetch->claim_count - 1] : NULL;
        bool is_near = last != NULL && hash128_equal(last->extent->object, next->range->object) &&
                       last->extent->number < next->number &&
                       next->number - last->extent->number <= GAP_EXTENTS_MAX + 1;
        bool is_missing =
            extent_find(&fetch->cache->table, next->range->object, next->number) == NULL;
        uint32_t number = is_near && is_missing ? last->extent->number + 1 : next->number;
        for (; number <= next->number && !failed; number++)
            failed = !claim(fetch, next->range, number);
    }
    pthread_mutex_unlock(&fetch->cache->lock);
    *failed_out = failed;
    return i;
}

/* --- Reading ---------------------------------------------------------------------------------- */

static bool follows(const struct claim *before, const struct claim *after)
{
    return hash128_equal(before->extent->object, after->extent->object) &&
           after->extent->number == before->extent->number + 1;
}

/* One request for claims that lie side by side. False: out of memory. */
static bool make_runs(struct fetch *fetch)
{
    for (size_t i = 0; i < fetch->claim_count; i++) {
        struct claim *claim = &fetch->claims[i];
        struct run *run = fetch->run_count > 0 ? &fetch->runs[fetch->run_count - 1] : NULL;
        if (run == NULL || run->count == RUN_EXTENTS_MAX ||
            !follows(&fetch->claims[i - 1], claim)) {
            run = &fetch->runs[fetch->run_count++];
            *run = (struct run){
                .first = i,
                .read = {.key = claim->range->key,
                         .place = OBJECT_READ_AT,
                         .offset_bytes = (uint64_t)claim->extent->number * BUCKET_EXTENT_BYTES}};
        }
        run->count++;
        run->read.size_bytes += claim->extent->size_bytes;
    }
    for (size_t i = 0; i < fetch->run_count; i++) {
        struct object_read *read = &fetch->runs[i].read;
        read->target = malloc(read->size_bytes);
        if (read->target == NULL)
            return false;
    }
    return true;
}

/* All runs at once. */
static enum error_code read_runs(struct fetch *fetch, struct error *error)
{
    struct object_read *reads = malloc((fetch->run_count + 1) * sizeof *reads);
    if (reads == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "read objects");
    for (size_t i = 0; i < fetch->run_count; i++)
        reads[i] = fetch->runs[i].read;
    object_store_read_many(fetch->claims[0].range->store, NULL, reads, fetch->run_count);
    enum error_code code = ERROR_NONE;
    struct bucket_cache_statistics counted = {.round_trips = 1, .reads = fetch->run_count};
    for (size_t i = 0; i < fetch->run_count; i++) {
        struct run *run = &fetch->runs[i];
        struct error failure;
        enum error_code outcome =
            object_part_check(fetch->claims[run->first].range, &reads[i], &failure);
        run->read.error.code = outcome;
        counted.read_bytes += outcome == ERROR_NONE ? reads[i].read_bytes : 0;
        counted.read_failures += outcome != ERROR_NONE;
        if (outcome != ERROR_NONE && code == ERROR_NONE) {
            code = outcome;
            *error = failure;
        }
    }
    free(reads);
    pthread_mutex_lock(&fetch->cache->lock);
    struct bucket_cache_statistics *total = &fetch->cache->counted;
    total->round_trips += counted.round_trips;
    total->reads += counted.reads;
    total->read_bytes += counted.read_bytes;
    total->read_failures += counted.read_failures;
    pthread_mutex_unlock(&fetch->cache->lock);
    return code;
}

/* --- Handing over ----------------------------------------------------------------------------- */

static uint8_t *copy_extent(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size);
    if (copy != NULL)
        memcpy(copy, bytes, size);
    return copy;
}

/* Let who waits have the extents of a run; they stay pinned if they are there. */
static bool hand_over(struct fetch *fetch, struct run *run, bool is_read)
{
    struct bucket_cache *cache = fetch->cache;
    uint8_t *copies[RUN_EXTENTS_MAX] = {0};
    const uint8_t *from = run->read.target;
    bool has_memory = true;
    for (size_t i = 0; is_read && i < run->count; i++) {
        uint32_t size = fetch->claims[run->first + i].extent->size_bytes;
        copies[i] = copy_extent(from, size);
        has_memory = has_memory && copies[i] != NULL;
        from += size;
    }
    pthread_mutex_lock(&cache->lock);
    for (size_t i = 0; i < run->count; i++) {
        struct claim *claim = &fetch->claims[run->first + i];
        if (copies[i] != NULL) {
            extent_keep(&cache->table, claim->extent, copies[i]);
            cache->counted.misses++;
        } else {
            extent_drop(&cache->table, claim->extent);
            claim->extent = NULL;
        }
    }
    pthread_cond_broadcast(&cache->filled);
    pthread_mutex_unlock(&cache->lock);
    return has_memory;
}

/* The same of all; then write to the file what came. */
static bool settle(struct fetch *fetch, bool were_asked)
{
    bool has_memory = true;
    for (size_t i = 0; i < fetch->run_count; i++) {
        struct run *run = &fetch->runs[i];
        bool is_read = were_asked && run->read.error.code == ERROR_NONE;
        has_memory &= hand_over(fetch, run, is_read);
        free(run->read.target);
    }
    for (size_t i = 0; i < fetch->claim_count; i++) {
        struct extent *extent = fetch->claims[i].extent;
        if (extent == NULL)
            continue;
        bucket_cache_spill(fetch->cache, extent);
        pthread_mutex_lock(&fetch->cache->lock);
        extent_unpin(&fetch->cache->table, extent);
        pthread_mutex_unlock(&fetch->cache->lock);
    }
    return has_memory;
}

/* What was claimed, in one round trip. */
static enum error_code fetch_claims(struct fetch *fetch, bool has_memory, struct error *error)
{
    has_memory = make_runs(fetch) && has_memory;
    enum error_code code = ERROR_NONE;
    if (has_memory && fetch->run_count > 0)
        code = read_runs(fetch, error);
    bool were_asked = has_memory && code != ERROR_OUT_OF_MEMORY;
    if (!settle(fetch, were_asked) || !has_memory)
        return error_set(error, ERROR_OUT_OF_MEMORY, "read objects");
    return code;
}

enum error_code bucket_cache_fetch(struct bucket_cache *cache, const struct object_part *ranges,
                                   size_t count, struct error *error)
{
    size_t wanted_count;
    struct wanted_extent *wanted = list_wanted(ranges, count, &wanted_count);
    struct fetch *fetch = malloc(sizeof *fetch);
    enum error_code code = wanted == NULL || fetch == NULL
                               ? error_set(error, ERROR_OUT_OF_MEMORY, "read objects")
                               : ERROR_NONE;
    for (size_t at = 0; code == ERROR_NONE && at < wanted_count;) {
        bool failed;
        fetch->cache = cache;
        fetch->claim_count = 0;
        fetch->run_count = 0;
        at += claim_wanted(fetch, wanted + at, wanted_count - at, &failed);
        if (fetch->claim_count > 0 || failed)
            code = fetch_claims(fetch, !failed, error);
    }
    free(fetch);
    free(wanted);
    return code;
}
