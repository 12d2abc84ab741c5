#include "metadata_store.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/checksum.h"
#include "base/limits.h"

struct metadata_item {
    uint64_t hash;
    struct text tenant; /* the texts stand behind the item, in this order */
    struct text metric_name;
    struct metric_metadata metadata;
    uint32_t turns_unheard;
    bool leaving;
};

struct metadata_store {
    pthread_mutex_t lock;
    struct metadata_item **table; /* [capacity], open addressing, a power of two */
    size_t capacity;
    size_t count;
    size_t entries_max;
    uint64_t refused; /* statements that found it full */
};

/* --- Table ---------------------------------------------------------------------------------- */

static uint64_t key_hash(struct text tenant, struct text metric_name)
{
    return hash64(metric_name.data, metric_name.size,
                  hash64(tenant.data, tenant.size, HASH_SEED_STORED));
}

static struct metadata_item **find_place(struct metadata_item **table, size_t capacity,
                                         uint64_t hash, struct text tenant, struct text metric_name)
{
    for (size_t i = hash & (capacity - 1);; i = (i + 1) & (capacity - 1)) {
        struct metadata_item *item = table[i];
        if (item == NULL || (item->hash == hash && text_equal(item->tenant, tenant) &&
                             text_equal(item->metric_name, metric_name)))
            return &table[i];
    }
}

/* Those behind move up, so that no look-up ends too early at the hole. */
static void close_hole(struct metadata_store *store, size_t hole)
{
    size_t mask = store->capacity - 1;
    for (size_t i = (hole + 1) & mask; store->table[i] != NULL; i = (i + 1) & mask) {
        if (((i - store->table[i]->hash) & mask) < ((i - hole) & mask))
            continue; /* it would come to stand before its home */
        store->table[hole] = store->table[i];
        hole = i;
    }
    store->table[hole] = NULL;
}

static bool table_grow(struct metadata_store *store)
{
    size_t capacity = store->capacity == 0 ? 64 : store->capacity * 2;
    struct metadata_item **table = calloc(capacity, sizeof *table);
    if (table == NULL)
        return false;
    for (size_t i = 0; i < store->capacity; i++) {
        struct metadata_item *item = store->table[i];
        if (item != NULL)
            *find_place(table, capacity, item->hash, item->tenant, item->metric_name) = item;
    }
    free(store->table);
    store->table = table;
    store->capacity = capacity;
    return true;
}

static struct text place_text(char **room, struct text source)
{
    struct text placed = {*room, source.size};
    if (source.size > 0)
        memcpy(*room, source.data, source.size);
    *room += source.size;
    return placed;
}

static struct metadata_item *item_create(uint64_t hash, struct text tenant, struct text metric_name,
                                         const struct metric_metadata *metadata)
{
    struct metadata_item *item = malloc(sizeof *item + tenant.size + metric_name.size +
                                        metadata->help.size + metadata->unit.size);
    if (item == NULL)
        return NULL;
    char *room = (char *)(item + 1);
    *item = (struct metadata_item){.hash = hash};
    item->tenant = place_text(&room, tenant);
    item->metric_name = place_text(&room, metric_name);
    item->metadata.type = metadata->type;
    item->metadata.help = place_text(&room, metadata->help);
    item->metadata.unit = place_text(&room, metadata->unit);
    return item;
}

/* --- Public --------------------------------------------------------------------------------- */

struct metadata_store *metadata_store_create(size_t entries_max)
{
    struct metadata_store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return NULL;
    pthread_mutex_init(&store->lock, NULL);
    store->entries_max = entries_max;
    if (!table_grow(store)) {
        free(store);
        return NULL;
    }
    return store;
}

void metadata_store_destroy(struct metadata_store *store)
{
    if (store == NULL)
        return;
    for (size_t i = 0; i < store->capacity; i++)
        free(store->table[i]);
    free(store->table);
    pthread_mutex_destroy(&store->lock);
    free(store);
}

static bool metadata_equal(const struct metric_metadata *left, const struct metric_metadata *right)
{
    return left->type == right->type && text_equal(left->help, right->help) &&
           text_equal(left->unit, right->unit);
}

bool metadata_store_touch(struct metadata_store *store, struct text tenant, struct text metric_name,
                          const struct metric_metadata *metadata)
{
    pthread_mutex_lock(&store->lock);
    struct metadata_item *item = *find_place(store->table, store->capacity,
                                             key_hash(tenant, metric_name), tenant, metric_name);
    bool has = item != NULL ? metadata_equal(&item->metadata, metadata) && !item->leaving
                            : store->count >= store->entries_max; /* it would be ignored */
    if (item != NULL)
        item->turns_unheard = 0;
    else
        store->refused += has;
    pthread_mutex_unlock(&store->lock);
    return has;
}

static enum error_code set_locked(struct metadata_store *store, struct text tenant,
                                  struct text metric_name, const struct metric_metadata *metadata,
                                  struct error *error)
{
    uint64_t hash = key_hash(tenant, metric_name);
    struct metadata_item **place =
        find_place(store->table, store->capacity, hash, tenant, metric_name);
    if (*place != NULL && metadata_equal(&(*place)->metadata, metadata))
        return ERROR_NONE;
    if (*place == NULL && store->count >= store->entries_max) {
        store->refused++;
        return ERROR_NONE;
    }
    struct metadata_item *item = item_create(hash, tenant, metric_name, metadata);
    if (item == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "metadata");
    if (*place != NULL) {
        free(*place);
        *place = item;
        return ERROR_NONE;
    }
    if ((store->count + 1) * 2 > store->capacity) {
        if (!table_grow(store)) {
            free(item);
            return error_set(error, ERROR_OUT_OF_MEMORY, "metadata table");
        }
        place = find_place(store->table, store->capacity, hash, tenant, metric_name);
    }
    *place = item;
    store->count++;
    return ERROR_NONE;
}

enum error_code metadata_store_set(struct metadata_store *store, struct text tenant,
                                   struct text metric_name, const struct metric_metadata *metadata,
                                   struct error *error)
{
    pthread_mutex_lock(&store->lock);
    enum error_code code = set_locked(store, tenant, metric_name, metadata, error);
    pthread_mutex_unlock(&store->lock);
    return code;
}

/* --- Leaving -------------------------------------------------------------------------------- */

void metadata_store_turn(struct metadata_store *store)
{
    pthread_mutex_lock(&store->lock);
    for (size_t i = 0; i < store->capacity; i++)
        if (store->table[i] != NULL && store->table[i]->turns_unheard < UINT32_MAX)
            store->table[i]->turns_unheard++;
    pthread_mutex_unlock(&store->lock);
}

void metadata_store_set_unheard(struct metadata_store *store, uint32_t turns)
{
    pthread_mutex_lock(&store->lock);
    for (size_t i = 0; i < store->capacity; i++)
        if (store->table[i] != NULL)
            store->table[i]->turns_unheard = turns;
    pthread_mutex_unlock(&store->lock);
}

size_t metadata_store_take_quiet(struct metadata_store *store, uint32_t turns, size_t count,
                                 struct byte_buffer *buffer)
{
    size_t taken = 0;
    pthread_mutex_lock(&store->lock);
    for (size_t i = 0; i < store->capacity && taken < count; i++) {
        struct metadata_item *item = store->table[i];
        if (item == NULL || item->turns_unheard <= turns || item->leaving)
            continue;
        byte_buffer_text(buffer, item->tenant);
        byte_buffer_text(buffer, item->metric_name);
        item->leaving = true;
        taken++;
    }
    pthread_mutex_unlock(&store->lock);
    return taken;
}

void metadata_store_clear_leaving(struct metadata_store *store)
{
    pthread_mutex_lock(&store->lock);
    for (size_t i = 0; i < store->capacity; i++)
        if (store->table[i] != NULL)
            store->table[i]->leaving = false;
    pthread_mutex_unlock(&store->lock);
}

bool metadata_store_remove(struct metadata_store *store, struct text tenant,
                           struct text metric_name)
{
    pthread_mutex_lock(&store->lock);
    struct metadata_item **place = find_place(store->table, store->capacity,
                                              key_hash(tenant, metric_name), tenant, metric_name);
    bool found = *place != NULL;
    if (found) {
        free(*place);
        close_hole(store, (size_t)(place - store->table));
        store->count--;
    }
    pthread_mutex_unlock(&store->lock);
    return found;
}

bool metadata_store_remove_tenant(struct metadata_store *store, struct text tenant)
{
    bool any = false;
    pthread_mutex_lock(&store->lock);
    for (size_t i = 0; i < store->capacity;) {
        struct metadata_item *item = store->table[i];
        if (item == NULL || !text_equal(item->tenant, tenant)) {
            i++;
            continue;
        }
        free(item);
        close_hole(store, i); /* another one may stand there now; or one moved to before, looked at
                                 already, and not of the tenant */
        store->count--;
        any = true;
    }
    pthread_mutex_unlock(&store->lock);
    return any;
}

/* --- Reading -------------------------------------------------------------------------------- */

void metadata_store_visit(struct metadata_store *store, struct text tenant,
                          shard_metadata_visit *visit, void *context)
{
    pthread_mutex_lock(&store->lock);
    for (size_t i = 0; i < store->capacity; i++) {
        struct metadata_item *item = store->table[i];
        if (item != NULL && text_equal(item->tenant, tenant) &&
            !visit(context, item->metric_name, &item->metadata))
            break;
    }
    pthread_mutex_unlock(&store->lock);
}

void metadata_store_swap(struct metadata_store *store, struct metadata_store *other)
{
    pthread_mutex_lock(&store->lock);
    struct metadata_item **table = store->table;
    size_t capacity = store->capacity, count = store->count;
    store->table = other->table;
    store->capacity = other->capacity;
    store->count = other->count;
    pthread_mutex_unlock(&store->lock);
    other->table = table;
    other->capacity = capacity;
    other->count = count;
}

size_t metadata_store_count(struct metadata_store *store)
{
    pthread_mutex_lock(&store->lock);
    size_t count = store->count;
    pthread_mutex_unlock(&store->lock);
    return count;
}

uint64_t metadata_store_refused(struct metadata_store *store)
{
    pthread_mutex_lock(&store->lock);
    uint64_t refused = store->refused;
    pthread_mutex_unlock(&store->lock);
    return refused;
}

/* --- File ----------------------------------------------------------------------------------- */

static int compare_items(const void *left, const void *right)
{
    const struct metadata_item *a = *(struct metadata_item *const *)left;
    const struct metadata_item *b = *(struct metadata_item *const *)right;
    int order = text_compare(a->tenant, b->tenant);
    return order != 0 ? order : text_compare(a->metric_name, b->metric_name);
}

/* In one order, whatever the order they came in: replicas write equal files. */
void metadata_store_encode(struct metadata_store *store, struct byte_buffer *buffer)
{
    pthread_mutex_lock(&store->lock);
    struct metadata_item **items = malloc((store->count + 1) * sizeof *items);
    size_t count = 0;
    if (items == NULL)
        buffer->failed = true;
    for (size_t i = 0; items != NULL && i < store->capacity; i++)
        if (store->table[i] != NULL)
            items[count++] = store->table[i];
    if (count > 0)
        qsort(items, count, sizeof *items, compare_items);
    byte_buffer_varint(buffer, count);
    for (size_t i = 0; i < count; i++) {
        const struct metadata_item *item = items[i];
        byte_buffer_text(buffer, item->tenant);
        byte_buffer_text(buffer, item->metric_name);
        byte_buffer_varint(buffer, item->metadata.type);
        byte_buffer_text(buffer, item->metadata.help);
        byte_buffer_text(buffer, item->metadata.unit);
    }
    free(items);
    pthread_mutex_unlock(&store->lock);
}

enum error_code metadata_store_decode(struct metadata_store *store, struct byte_reader *reader,
                                      struct error *error)
{
    uint64_t count = byte_reader_varint(reader);
    for (uint64_t i = 0; i < count && !reader->failed; i++) {
        struct text tenant = byte_reader_text(reader);
        struct text metric_name = byte_reader_text(reader);
        uint64_t type = byte_reader_varint(reader);
        struct metric_metadata metadata = {.type = type < METRIC_TYPES ? (enum metric_type)type
                                                                       : METRIC_UNSPECIFIED};
        metadata.help = byte_reader_text(reader);
        metadata.unit = byte_reader_text(reader);
        if (reader->failed || tenant.size > TENANT_ID_BYTES_MAX)
            break;
        enum error_code code = metadata_store_set(store, tenant, metric_name, &metadata, error);
        if (code != ERROR_NONE)
            return code;
    }
    return reader->failed ? error_set(error, ERROR_CORRUPT, "metadata: cut") : ERROR_NONE;
}
