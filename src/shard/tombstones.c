#include "tombstones.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/limits.h"

enum { MATCHERS_MAX = 256 };

/* Tombstones are shared by the lists that have them in common. */
struct shared_tombstone {
    atomic_size_t references;
    struct tombstone tombstone;
};

struct tombstones {
    atomic_size_t references;
    size_t count;
    struct shared_tombstone *items[];
};

/* --- One tombstone -------------------------------------------------------------------------- */

void tombstone_clear(struct tombstone *tombstone)
{
    for (size_t i = 0; i < tombstone->matcher_count; i++)
        matcher_destroy(tombstone->matchers[i]);
    free(tombstone->matchers);
    free((char *)tombstone->tenant.data);
    *tombstone = (struct tombstone){0};
}

bool tombstone_matches(const struct tombstone *tombstone, struct text tenant, struct labels labels)
{
    if (!text_equal(tombstone->tenant, tenant))
        return false;
    for (size_t i = 0; i < tombstone->matcher_count; i++) {
        const struct matcher *matcher = tombstone->matchers[i];
        if (!matcher_matches(matcher, labels_get(labels, matcher->name)))
            return false;
    }
    return true;
}

bool tombstone_is_of_tenant(const struct tombstone *tombstone)
{
    return tombstone->matcher_count == 0 && tombstone->start_ms == INT64_MIN &&
           tombstone->end_ms == INT64_MAX;
}

void tombstone_encode(struct byte_buffer *buffer, const struct tombstone *tombstone)
{
    byte_buffer_text(buffer, tombstone->tenant);
    byte_buffer_zigzag(buffer, tombstone->start_ms);
    byte_buffer_zigzag(buffer, tombstone->end_ms);
    byte_buffer_varint(buffer, tombstone->matcher_count);
    for (size_t i = 0; i < tombstone->matcher_count; i++) {
        byte_buffer_u8(buffer, (uint8_t)tombstone->matchers[i]->type);
        byte_buffer_text(buffer, tombstone->matchers[i]->name);
        byte_buffer_text(buffer, tombstone->matchers[i]->value);
    }
}

static enum error_code decode_matcher(struct byte_reader *reader, struct matcher **matcher_out,
                                      struct error *error)
{
    uint8_t type = byte_reader_u8(reader);
    struct text name = byte_reader_text(reader);
    struct text value = byte_reader_text(reader);
    if (reader->failed || type > MATCHER_NOT_REGEX)
        return error_set(error, ERROR_CORRUPT, "tombstone: matcher");
    return matcher_create((enum matcher_type)type, name, value, matcher_out, error);
}

enum error_code tombstone_decode(struct byte_reader *reader, struct tombstone *tombstone_out,
                                 struct error *error)
{
    struct tombstone decoded = {0};
    struct text tenant = byte_reader_text(reader);
    decoded.start_ms = byte_reader_zigzag(reader);
    decoded.end_ms = byte_reader_zigzag(reader);
    uint64_t count = byte_reader_varint(reader);
    if (reader->failed || tenant.size > TENANT_ID_BYTES_MAX || count > MATCHERS_MAX)
        return error_set(error, ERROR_CORRUPT, "tombstone: header");
    char *tenant_copy = malloc(tenant.size + 1);
    decoded.matchers = calloc(count + 1, sizeof *decoded.matchers);
    if (tenant_copy == NULL || decoded.matchers == NULL) {
        free(tenant_copy);
        free(decoded.matchers);
        return error_set(error, ERROR_OUT_OF_MEMORY, "tombstone");
    }
    memcpy(tenant_copy, tenant.data, tenant.size);
    decoded.tenant = (struct text){tenant_copy, tenant.size};
    for (uint64_t i = 0; i < count; i++) {
        enum error_code code = decode_matcher(reader, &decoded.matchers[i], error);
        if (code != ERROR_NONE) {
            tombstone_clear(&decoded);
            return code;
        }
        decoded.matcher_count++;
    }
    *tombstone_out = decoded;
    return ERROR_NONE;
}

/* --- Lists ---------------------------------------------------------------------------------- */

static void share(struct tombstones *list, struct shared_tombstone *item)
{
    atomic_fetch_add_explicit(&item->references, 1, memory_order_relaxed);
    list->items[list->count++] = item;
}

static struct tombstones *create_list(size_t capacity, struct error *error)
{
    struct tombstones *list = malloc(sizeof *list + capacity * sizeof list->items[0]);
    if (list == NULL) {
        error_set(error, ERROR_OUT_OF_MEMORY, "tombstones: %zu", capacity);
        return NULL;
    }
    atomic_init(&list->references, 1);
    list->count = 0;
    return list;
}

enum error_code tombstones_add(const struct tombstones *previous, struct tombstone *added,
                               struct tombstones **tombstones_out, struct error *error)
{
    size_t count = tombstones_count(previous);
    struct shared_tombstone *item = malloc(sizeof *item);
    if (item == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "tombstone");
    struct tombstones *list = create_list(count + 1, error);
    if (list == NULL) {
        free(item);
        return error->code;
    }
    for (size_t i = 0; i < count; i++)
        share(list, previous->items[i]);
    atomic_init(&item->references, 1);
    item->tombstone = *added;
    *added = (struct tombstone){0};
    list->items[list->count++] = item;
    *tombstones_out = list;
    return ERROR_NONE;
}

enum error_code tombstones_remove(const struct tombstones *previous, uint64_t index,
                                  struct tombstones **tombstones_out, struct error *error)
{
    size_t count = tombstones_count(previous);
    struct tombstones *list = create_list(count, error);
    if (list == NULL)
        return error->code;
    for (size_t i = 0; i < count; i++)
        if (previous->items[i]->tombstone.index != index)
            share(list, previous->items[i]);
    if (list->count == 0) {
        free(list);
        list = NULL;
    }
    *tombstones_out = list;
    return ERROR_NONE;
}

struct tombstones *tombstones_ref(struct tombstones *tombstones)
{
    if (tombstones != NULL)
        atomic_fetch_add_explicit(&tombstones->references, 1, memory_order_relaxed);
    return tombstones;
}

void tombstones_unref(struct tombstones *tombstones)
{
    if (tombstones == NULL ||
        atomic_fetch_sub_explicit(&tombstones->references, 1, memory_order_acq_rel) > 1)
        return;
    for (size_t i = 0; i < tombstones->count; i++) {
        struct shared_tombstone *item = tombstones->items[i];
        if (atomic_fetch_sub_explicit(&item->references, 1, memory_order_acq_rel) == 1) {
            tombstone_clear(&item->tombstone);
            free(item);
        }
    }
    free(tombstones);
}

size_t tombstones_count(const struct tombstones *tombstones)
{
    return tombstones == NULL ? 0 : tombstones->count;
}

const struct tombstone *tombstones_at(const struct tombstones *tombstones, size_t position)
{
    assert(position < tombstones->count);
    return &tombstones->items[position]->tombstone;
}

bool tombstones_cover_tenant(const struct tombstones *tombstones, struct text tenant,
                             uint64_t file_index, uint64_t until_index)
{
    for (size_t i = 0; i < tombstones_count(tombstones); i++) {
        const struct tombstone *tombstone = tombstones_at(tombstones, i);
        if (tombstone->index > file_index && tombstone->index <= until_index &&
            tombstone_is_of_tenant(tombstone) && text_equal(tombstone->tenant, tenant))
            return true;
    }
    return false;
}

enum error_code tombstones_decode_indexed(struct byte_reader *reader, size_t count,
                                          struct tombstones **tombstones, struct error *error)
{
    for (size_t i = 0; i < count; i++) {
        struct tombstone tombstone = {0};
        struct tombstones *longer;
        uint64_t index = byte_reader_varint(reader);
        enum error_code code = tombstone_decode(reader, &tombstone, error);
        if (code != ERROR_NONE)
            return code;
        tombstone.index = index;
        code = tombstones_add(*tombstones, &tombstone, &longer, error);
        if (code != ERROR_NONE) {
            tombstone_clear(&tombstone);
            return code;
        }
        tombstones_unref(*tombstones);
        *tombstones = longer;
    }
    return ERROR_NONE;
}
