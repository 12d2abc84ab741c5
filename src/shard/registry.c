#include "registry.h"

#include <assert.h>
#include <stdlib.h>

/* --- Targets -------------------------------------------------------------------------------- */

uint32_t series_target(struct text tenant, struct labels labels)
{
    struct text job = labels_get(labels, TEXT("job"));
    struct text instance = labels_get(labels, TEXT("instance"));
    uint64_t hash = hash64(tenant.data, tenant.size, HASH_SEED_STORED);
    hash = hash64(job.data, job.size, hash);
    hash = hash64(instance.data, instance.size, hash);
    uint32_t target = (uint32_t)(hash ^ hash >> 32);
    return target == TARGET_NONE ? 0 : target;
}

static enum error_code page_of(struct registry *registry, uint64_t id,
                               struct target_page **page_out, struct error *error)
{
    size_t number = (size_t)(id / TARGET_PAGE_SERIES);
    if (number >= registry->page_count) {
        size_t count = registry->page_count * 2 > number ? registry->page_count * 2 : number + 16;
        struct target_page **pages = realloc(registry->pages, count * sizeof *pages);
        if (pages == NULL)
            return error_set(error, ERROR_OUT_OF_MEMORY, "registry: %zu pages of targets", count);
        memset(pages + registry->page_count, 0, (count - registry->page_count) * sizeof *pages);
        registry->pages = pages;
        registry->page_count = count;
    }
    if (registry->pages[number] == NULL) {
        struct target_page *page = malloc(sizeof *page);
        if (page == NULL)
            return error_set(error, ERROR_OUT_OF_MEMORY, "registry: a page of targets");
        memset(page, 0xff, sizeof *page); /* TARGET_NONE */
        registry->pages[number] = page;
    }
    *page_out = registry->pages[number];
    return ERROR_NONE;
}

uint32_t registry_target(const struct registry *registry, uint64_t id)
{
    size_t number = (size_t)(id / TARGET_PAGE_SERIES);
    if (number >= registry->page_count || registry->pages[number] == NULL)
        return TARGET_NONE;
    return registry->pages[number]->targets[id % TARGET_PAGE_SERIES];
}

enum error_code registry_revive(struct registry *registry, uint64_t id, uint32_t target,
                                struct error *error)
{
    assert(target != TARGET_NONE);
    struct target_page *page;
    enum error_code code = page_of(registry, id, &page, error);
    if (code != ERROR_NONE)
        return code;
    if (page->targets[id % TARGET_PAGE_SERIES] == TARGET_NONE)
        registry->series_count++;
    page->targets[id % TARGET_PAGE_SERIES] = target;
    return ERROR_NONE;
}

void registry_forget(struct registry *registry, uint64_t id)
{
    if (registry_target(registry, id) == TARGET_NONE)
        return;
    registry->pages[id / TARGET_PAGE_SERIES]->targets[id % TARGET_PAGE_SERIES] = TARGET_NONE;
    registry->series_count--;
}

/* --- Life ----------------------------------------------------------------------------------- */

static enum error_code growing_create(struct registry *registry, struct memory_index **index_out,
                                      struct error *error)
{
    struct memory_index_options options = {.first_id = registry->next_id,
                                           .hash_seed = registry->hash_seed};
    return memory_index_create(&options, index_out, error);
}

enum error_code registry_init(struct registry *registry, uint64_t hash_seed, uint64_t next_id,
                              struct error *error)
{
    *registry = (struct registry){.hash_seed = hash_seed, .next_id = next_id};
    return growing_create(registry, &registry->growing, error);
}

void registry_clear(struct registry *registry)
{
    memory_index_unref(registry->growing);
    for (size_t i = 0; i < registry->frozen_count; i++)
        memory_index_unref(registry->frozen[i]);
    for (size_t i = 0; i < registry->segment_count; i++)
        series_segment_unref(registry->segments[i]);
    free(registry->segments);
    free(registry->segment_names);
    for (size_t i = 0; i < registry->page_count; i++)
        free(registry->pages[i]);
    free(registry->pages);
    *registry = (struct registry){0};
}

/* --- Series --------------------------------------------------------------------------------- */

enum error_code registry_add(struct registry *registry, struct text tenant, uint16_t slot,
                             struct labels labels, uint64_t *id_out, struct error *error)
{
    for (size_t i = 0; i < registry->frozen_count; i++) {
        if (memory_index_find(registry->frozen[i], tenant, labels, id_out))
            return error_set(error, ERROR_EXISTS, "series exists");
    }
    uint32_t target = series_target(tenant, labels);
    struct target_page *page;
    enum error_code code = page_of(registry, registry->next_id, &page, error);
    if (code != ERROR_NONE)
        return code;
    struct memory_series series = {
        .tenant = tenant, .labels = labels, .target_id = target, .slot = slot};
    code = memory_index_add(registry->growing, &series, id_out, error);
    if (code != ERROR_NONE)
        return code;
    assert(*id_out == registry->next_id);
    page->targets[*id_out % TARGET_PAGE_SERIES] = target;
    registry->next_id++;
    registry->series_count++;
    return ERROR_NONE;
}

bool registry_find_in_memory(const struct registry *registry, struct text tenant,
                             struct labels labels, uint64_t *id_out)
{
    if (memory_index_find(registry->growing, tenant, labels, id_out))
        return registry_target(registry, *id_out) != TARGET_NONE;
    for (size_t i = 0; i < registry->frozen_count; i++)
        if (memory_index_find(registry->frozen[i], tenant, labels, id_out))
            return registry_target(registry, *id_out) != TARGET_NONE;
    return false;
}

/* --- Freeze --------------------------------------------------------------------------------- */

enum error_code registry_freeze(struct registry *registry, struct error *error)
{
    if (registry->frozen_count == REGISTRY_FROZEN_MAX)
        return error_set(error, ERROR_LIMIT, "registry: %d frozen indexes wait to be written",
                         REGISTRY_FROZEN_MAX);
    struct memory_index *next;
    enum error_code code = growing_create(registry, &next, error);
    if (code != ERROR_NONE)
        return code;
    registry->frozen[registry->frozen_count++] = registry->growing;
    registry->growing = next;
    return ERROR_NONE;
}

enum error_code registry_add_segment(struct registry *registry, uint64_t name,
                                     struct series_segment *segment, struct error *error)
{
    size_t count = registry->segment_count + 1;
    struct series_segment **segments = realloc(registry->segments, count * sizeof *segments);
    if (segments != NULL)
        registry->segments = segments;
    uint64_t *names = realloc(registry->segment_names, count * sizeof *names);
    if (names != NULL)
        registry->segment_names = names;
    if (segments == NULL || names == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "registry: %zu segments", count);
    segments[count - 1] = segment;
    names[count - 1] = name;
    registry->segment_count = count;
    return ERROR_NONE;
}

enum error_code registry_thaw(struct registry *registry, uint64_t name,
                              struct series_segment *segment, struct error *error)
{
    assert(registry->frozen_count > 0);
    if (segment != NULL) {
        enum error_code code = registry_add_segment(registry, name, segment, error);
        if (code != ERROR_NONE)
            return code;
    }
    memory_index_unref(registry->frozen[0]);
    registry->frozen_count--;
    memmove(registry->frozen, registry->frozen + 1,
            registry->frozen_count * sizeof registry->frozen[0]);
    return ERROR_NONE;
}

size_t registry_size_bytes(const struct registry *registry)
{
    size_t bytes = memory_index_size_bytes(registry->growing);
    for (size_t i = 0; i < registry->frozen_count; i++)
        bytes += memory_index_size_bytes(registry->frozen[i]);
    for (size_t i = 0; i < registry->page_count; i++)
        bytes += registry->pages[i] == NULL ? 0 : sizeof *registry->pages[i];
    return bytes + registry->page_count * sizeof *registry->pages;
}
