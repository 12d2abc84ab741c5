/*
 * A page goes through these states, under the lock of its shard:
 *
 *   (absent) -- first pin --> FILLING -- read and verified --> READY -- clock hand --> (absent)
 *                                |
 *                                +----- failed --> (absent); those who waited try themselves
 *
 * Only READY pages that nobody pins are evicted. `pins` rises under the lock and falls without.
 * The pages of a file go when it is closed: what a merge read would stay for nobody otherwise.
 */
#include "block/page_cache.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "page_filling.h"
#include "page_pin.h"
#include "platform/no_wait.h"

enum { SHARD_COUNT = 16, BUCKETS_FIRST = 64 };

/* Pages made of others stand where no file has bytes: | 1 | kind, 7 bits | number |. */
enum { MADE_NUMBER_BITS = 56 };
#define MADE_OFFSET (UINT64_C(1) << 63)

enum entry_state { ENTRY_FILLING, ENTRY_READY };

struct page_entry {
    uint64_t file_number;
    uint64_t offset_bytes;
    enum entry_state state;
    enum page_kind kind;
    bool referenced; /* since the clock hand was here */
    atomic_uint pins;
    uint8_t *memory; /* owned; `bytes` points into it */
    const uint8_t *bytes;
    size_t size;
    size_t cost_bytes;
    struct page_entry *chain; /* next in the bucket */
    struct page_entry *before;
    struct page_entry *after; /* ring of the clock, READY entries only */
    struct page_entry *next_of_file;
    struct page_entry **link_of_file; /* what points to this one; NULL: not in the list */
};

/* READY pages of one file, by shard, under its lock. */
struct page_cache_file {
    uint64_t number;
    struct page_entry *first[SHARD_COUNT];
};

struct shard {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct page_entry **buckets; /* [bucket_count], a power of two */
    size_t bucket_count;
    size_t entry_count;
    struct page_entry *hand;
    size_t ring_count;
    size_t size_bytes;
    size_t budget_bytes;
    uint64_t hits;
    uint64_t misses;
    uint64_t evictions;
    uint64_t read_bytes;
    uint64_t corrupt_pages;
};

struct page_cache {
    struct shard shards[SHARD_COUNT];
    atomic_uint_least64_t next_file_number;
    struct decompressor_pool decompressors;
};

/* --- Table of a shard, lock held -------------------------------------------------------------- */

static uint64_t page_hash(uint64_t file_number, uint64_t offset_bytes)
{
    uint64_t key[2] = {file_number, offset_bytes};
    return hash64(key, sizeof key, HASH_SEED_STORED);
}

/* The low bits choose the shard. */
static size_t bucket_of(uint64_t hash, size_t bucket_count)
{
    return (hash / SHARD_COUNT) & (bucket_count - 1);
}

static struct page_entry *table_find(struct shard *shard, uint64_t hash, uint64_t file_number,
                                     uint64_t offset_bytes)
{
    if (shard->bucket_count == 0)
        return NULL;
    struct page_entry *entry = shard->buckets[bucket_of(hash, shard->bucket_count)];
    while (entry != NULL &&
           (entry->file_number != file_number || entry->offset_bytes != offset_bytes))
        entry = entry->chain;
    return entry;
}

static bool table_grow(struct shard *shard)
{
    size_t bucket_count = shard->bucket_count == 0 ? BUCKETS_FIRST : shard->bucket_count * 2;
    struct page_entry **buckets = calloc(bucket_count, sizeof(struct page_entry *));
    if (buckets == NULL)
        return shard->bucket_count > 0; /* longer chains will do */
    for (size_t i = 0; i < shard->bucket_count; i++) {
        struct page_entry *entry = shard->buckets[i];
        while (entry != NULL) {
            struct page_entry *next = entry->chain;
            size_t at = bucket_of(page_hash(entry->file_number, entry->offset_bytes), bucket_count);
            entry->chain = buckets[at];
            buckets[at] = entry;
            entry = next;
        }
    }
    free(shard->buckets);
    shard->buckets = buckets;
    shard->bucket_count = bucket_count;
    return true;
}

static bool table_add(struct shard *shard, uint64_t hash, struct page_entry *entry)
{
    if (shard->entry_count >= shard->bucket_count && !table_grow(shard))
        return false;
    size_t at = bucket_of(hash, shard->bucket_count);
    entry->chain = shard->buckets[at];
    shard->buckets[at] = entry;
    shard->entry_count++;
    return true;
}

static void table_remove(struct shard *shard, struct page_entry *entry)
{
    uint64_t hash = page_hash(entry->file_number, entry->offset_bytes);
    struct page_entry **link = &shard->buckets[bucket_of(hash, shard->bucket_count)];
    while (*link != entry)
        link = &(*link)->chain;
    *link = entry->chain;
    shard->entry_count--;
}

static void ring_add(struct shard *shard, struct page_entry *entry)
{
    if (shard->hand == NULL) {
        entry->before = entry->after = entry;
        shard->hand = entry;
    } else { /* just behind the hand: the last to be looked at */
        entry->after = shard->hand;
        entry->before = shard->hand->before;
        entry->before->after = entry;
        entry->after->before = entry;
    }
    shard->ring_count++;
    shard->size_bytes += entry->cost_bytes;
}

static void ring_remove(struct shard *shard, struct page_entry *entry)
{
    if (entry->after == entry) {
        shard->hand = NULL;
    } else {
        entry->before->after = entry->after;
        entry->after->before = entry->before;
        if (shard->hand == entry)
            shard->hand = entry->after;
    }
    shard->ring_count--;
    shard->size_bytes -= entry->cost_bytes;
}

/* --- Pages of a file, lock held --------------------------------------------------------------- */

static void file_list_add(struct page_entry **first, struct page_entry *entry)
{
    entry->next_of_file = *first;
    entry->link_of_file = first;
    if (*first != NULL)
        (*first)->link_of_file = &entry->next_of_file;
    *first = entry;
}

static void file_list_remove(struct page_entry *entry)
{
    if (entry->link_of_file == NULL)
        return;
    *entry->link_of_file = entry->next_of_file;
    if (entry->next_of_file != NULL)
        entry->next_of_file->link_of_file = entry->link_of_file;
    entry->link_of_file = NULL;
}

/* --- Eviction, lock held ---------------------------------------------------------------------- */

static void entry_free(struct page_entry *entry)
{
    free(entry->memory);
    free(entry);
}

static void shard_remove(struct shard *shard, struct page_entry *entry)
{
    ring_remove(shard, entry);
    table_remove(shard, entry);
    file_list_remove(entry);
}

static void shard_evict(struct shard *shard)
{
    /* Twice around at most: once to take the marks away, once to evict. */
    size_t steps = 2 * shard->ring_count;
    while (shard->size_bytes > shard->budget_bytes && steps-- > 0) {
        struct page_entry *entry = shard->hand;
        shard->hand = entry->after;
        if (atomic_load_explicit(&entry->pins, memory_order_acquire) > 0)
            continue;
        if (entry->referenced) {
            entry->referenced = false;
            continue;
        }
        shard_remove(shard, entry);
        entry_free(entry);
        shard->evictions++;
    }
}

/* --- Pins ------------------------------------------------------------------------------------- */

static enum error_code pin_entry(struct page_entry *entry, enum page_kind kind,
                                 struct page_pin *pin, struct error *error)
{
    if (entry->kind != kind)
        return error_set(error, ERROR_CORRUPT, "page: of kind %d, not %d", entry->kind, kind);
    atomic_fetch_add_explicit(&entry->pins, 1, memory_order_relaxed);
    entry->referenced = true;
    *pin = (struct page_pin){.bytes = entry->bytes, .size = entry->size, .entry = entry};
    return ERROR_NONE;
}

/* Make and pin a page that is not there; the shard's lock is held at both ends, not in between. */
static enum error_code shard_fill(struct shard *shard, uint64_t hash, struct page_entry *entry,
                                  struct page_entry **first_of_file, enum page_kind kind,
                                  struct page_maker *maker, struct page_pin *pin,
                                  struct error *error)
{
    struct page_made made;
    if (!table_add(shard, hash, entry)) {
        free(entry);
        return error_set(error, ERROR_OUT_OF_MEMORY, "page cache");
    }
    shard->misses++;
    pthread_mutex_unlock(&shard->lock);
    enum error_code code = maker->make(maker, &made, error);
    pthread_mutex_lock(&shard->lock);
    pthread_cond_broadcast(&shard->filled);
    if (code != ERROR_NONE) {
        shard->corrupt_pages += code == ERROR_CORRUPT && entry->offset_bytes < MADE_OFFSET;
        table_remove(shard, entry);
        entry_free(entry);
        return code;
    }
    shard->read_bytes += made.read_bytes;
    entry->memory = made.memory;
    entry->bytes = made.bytes;
    entry->size = made.size;
    entry->kind = made.kind;
    entry->cost_bytes = made.allocated_bytes + sizeof *entry;
    entry->state = ENTRY_READY;
    ring_add(shard, entry);
    file_list_add(first_of_file, entry);
    return pin_entry(entry, kind, pin, error);
}

static enum error_code pin_or_make(struct page_cache *cache, struct page_cache_file *file,
                                   uint64_t offset_bytes, enum page_kind kind,
                                   struct page_maker *maker, struct page_pin *pin,
                                   struct error *error)
{
    uint64_t hash = page_hash(file->number, offset_bytes);
    struct shard *shard = &cache->shards[hash % SHARD_COUNT];
    enum error_code code;

    pthread_mutex_lock(&shard->lock);
    struct page_entry *entry = table_find(shard, hash, file->number, offset_bytes);
    while (entry != NULL && entry->state == ENTRY_FILLING && !no_wait_applies()) {
        pthread_cond_wait(&shard->filled, &shard->lock);
        entry = table_find(shard, hash, file->number, offset_bytes);
    }
    if (entry != NULL && entry->state == ENTRY_READY) {
        shard->hits++;
        code = pin_entry(entry, kind, pin, error);
    } else if (no_wait_applies()) {
        code = error_set(error, ERROR_WOULD_WAIT, "page: not in memory");
    } else if ((entry = calloc(1, sizeof *entry)) == NULL) {
        code = error_set(error, ERROR_OUT_OF_MEMORY, "page cache");
    } else {
        entry->file_number = file->number;
        entry->offset_bytes = offset_bytes;
        code = shard_fill(shard, hash, entry, &file->first[hash % SHARD_COUNT], kind, maker, pin,
                          error);
        shard_evict(shard);
    }
    pthread_mutex_unlock(&shard->lock);
    return code;
}

enum error_code page_cache_pin(struct page_cache *cache, struct page_source *source,
                               struct page_cache_file *file, struct page_reference reference,
                               enum page_kind kind, const struct page_preparation *preparation,
                               struct page_pin *pin, struct error *error)
{
    assert(page_reference_is_inside(reference, source->size_bytes));
    assert(reference.offset_bytes < MADE_OFFSET);
    struct file_page page = {
        {file_page_make}, &cache->decompressors, source, reference, preparation};
    enum error_code code =
        pin_or_make(cache, file, reference.offset_bytes, kind, &page.maker, pin, error);
    if (code != ERROR_NONE)
        return error_wrap(error, "'%s' at %llu", source->name,
                          (unsigned long long)reference.offset_bytes);
    return code;
}

enum error_code page_cache_pin_made(struct page_cache *cache, struct page_cache_file *file,
                                    enum page_kind kind, uint64_t number, struct page_maker *maker,
                                    struct page_pin *pin, struct error *error)
{
    assert(kind >= PAGE_KINDS && number < UINT64_C(1) << MADE_NUMBER_BITS);
    uint64_t offset_bytes = MADE_OFFSET | (uint64_t)kind << MADE_NUMBER_BITS | number;
    return pin_or_make(cache, file, offset_bytes, kind, maker, pin, error);
}

bool page_cache_has(struct page_cache *cache, const struct page_cache_file *file,
                    uint64_t offset_bytes)
{
    uint64_t hash = page_hash(file->number, offset_bytes);
    struct shard *shard = &cache->shards[hash % SHARD_COUNT];
    pthread_mutex_lock(&shard->lock);
    const struct page_entry *entry = table_find(shard, hash, file->number, offset_bytes);
    bool is_there = entry != NULL && entry->state == ENTRY_READY;
    pthread_mutex_unlock(&shard->lock);
    return is_there;
}

void page_unpin(struct page_pin *pin)
{
    if (pin->entry != NULL) {
        unsigned before = atomic_fetch_sub_explicit(&pin->entry->pins, 1, memory_order_release);
        assert(before > 0);
    }
    *pin = (struct page_pin){0};
}

/* --- Files ------------------------------------------------------------------------------------ */

struct page_cache_file *page_cache_add_file(struct page_cache *cache)
{
    struct page_cache_file *file = calloc(1, sizeof *file);
    if (file != NULL)
        file->number = atomic_fetch_add_explicit(&cache->next_file_number, 1, memory_order_relaxed);
    return file;
}

uint64_t page_cache_file_number(const struct page_cache_file *file)
{
    return file->number;
}

/* Take the pages of a file out of a shard; those that nobody pins are returned as a list. */
static struct page_entry *shard_remove_file(struct shard *shard, struct page_entry *first)
{
    struct page_entry *removed = NULL;
    while (first != NULL) {
        struct page_entry *entry = first;
        first = entry->next_of_file;
        if (atomic_load_explicit(&entry->pins, memory_order_acquire) > 0) {
            file_list_remove(entry); /* left to the clock hand */
            continue;
        }
        shard_remove(shard, entry);
        entry->next_of_file = removed;
        removed = entry;
    }
    return removed;
}

void page_cache_remove_file(struct page_cache *cache, struct page_cache_file *file)
{
    for (size_t i = 0; file != NULL && i < SHARD_COUNT; i++) {
        struct shard *shard = &cache->shards[i];
        pthread_mutex_lock(&shard->lock);
        struct page_entry *removed = shard_remove_file(shard, file->first[i]);
        pthread_mutex_unlock(&shard->lock);
        while (removed != NULL) {
            struct page_entry *next = removed->next_of_file;
            entry_free(removed);
            removed = next;
        }
    }
    free(file);
}

/* --- Lifecycle -------------------------------------------------------------------------------- */

enum error_code page_cache_create(size_t budget_bytes, struct page_cache **cache_out,
                                  struct error *error)
{
    struct page_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "page cache");
    decompressor_pool_init(&cache->decompressors);
    for (size_t i = 0; i < SHARD_COUNT; i++) {
        pthread_mutex_init(&cache->shards[i].lock, NULL);
        pthread_cond_init(&cache->shards[i].filled, NULL);
        cache->shards[i].budget_bytes = budget_bytes / SHARD_COUNT;
    }
    *cache_out = cache;
    return ERROR_NONE;
}

void page_cache_destroy(struct page_cache *cache)
{
    if (cache == NULL)
        return;
    for (size_t i = 0; i < SHARD_COUNT; i++) {
        struct shard *shard = &cache->shards[i];
        while (shard->hand != NULL) {
            struct page_entry *entry = shard->hand;
            assert(atomic_load(&entry->pins) == 0);
            ring_remove(shard, entry);
            entry_free(entry);
        }
        free(shard->buckets);
        pthread_mutex_destroy(&shard->lock);
        pthread_cond_destroy(&shard->filled);
    }
    decompressor_pool_clear(&cache->decompressors);
    free(cache);
}

void page_cache_set_budget(struct page_cache *cache, size_t budget_bytes)
{
    for (size_t i = 0; i < SHARD_COUNT; i++) {
        struct shard *shard = &cache->shards[i];
        pthread_mutex_lock(&shard->lock);
        shard->budget_bytes = budget_bytes / SHARD_COUNT;
        shard_evict(shard);
        pthread_mutex_unlock(&shard->lock);
    }
}

struct page_cache_statistics page_cache_statistics(struct page_cache *cache)
{
    struct page_cache_statistics sum = {0};
    for (size_t i = 0; i < SHARD_COUNT; i++) {
        struct shard *shard = &cache->shards[i];
        pthread_mutex_lock(&shard->lock);
        sum.hits += shard->hits;
        sum.misses += shard->misses;
        sum.evictions += shard->evictions;
        sum.read_bytes += shard->read_bytes;
        sum.size_bytes += shard->size_bytes;
        sum.page_count += shard->ring_count;
        sum.budget_bytes += shard->budget_bytes;
        sum.corrupt_pages += shard->corrupt_pages;
        pthread_mutex_unlock(&shard->lock);
    }
    return sum;
}
