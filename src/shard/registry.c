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

/* --- Ids ------------------------------------------------------------------------------------ */

static uint64_t bit_of(uint64_t id)
{
    return UINT64_C(1) << id % 64;
}

static size_t word_of(uint64_t id)
{
    return (size_t)(id % SERIES_PAGE_SIZE / 64);
}

/* The page of the id; NULL where none is alive. */
static struct series_page *page_at(const struct registry *registry, uint64_t id)
{
    uint64_t number = id / SERIES_PAGE_SIZE;
    return number < registry->page_count ? registry->pages[number] : NULL;
}

static enum error_code page_of(struct registry *registry, uint64_t id,
                               struct series_page **page_out, struct error *error)
{
    size_t number = (size_t)(id / SERIES_PAGE_SIZE);
    if (number >= registry->page_count) {
        size_t count = registry->page_count * 2 > number ? registry->page_count * 2 : number + 16;
        struct series_page **pages = realloc(registry->pages, count * sizeof *pages);
        if (pages == NULL)
            return error_set(error, ERROR_OUT_OF_MEMORY, "registry: %zu pages of targets", count);
        memset(pages + registry->page_count, 0, (count - registry->page_count) * sizeof *pages);
        registry->pages = pages;
        registry->page_count = count;
    }
    if (registry->pages[number] == NULL) {
        struct series_page *page = malloc(sizeof *page);
        if (page == NULL)
            return error_set(error, ERROR_OUT_OF_MEMORY, "registry: a page of targets");
        memset(page->targets, 0xff, sizeof page->targets); /* TARGET_NONE */
        memset(page->heard, 0, sizeof page->heard);
        memset(page->heard_before, 0, sizeof page->heard_before);
        memset(page->leaving, 0, sizeof page->leaving);
        page->alive_count = 0;
        registry->pages[number] = page;
        registry->live_page_count++;
    }
    *page_out = registry->pages[number];
    return ERROR_NONE;
}

uint32_t registry_target(const struct registry *registry, uint64_t id)
{
    const struct series_page *page = page_at(registry, id);
    return page == NULL ? TARGET_NONE : page->targets[id % SERIES_PAGE_SIZE];
}

/* --- Coming ---------------------------------------------------------------------------------- */

enum error_code registry_revive(struct registry *registry, uint64_t id, struct text tenant,
                                uint32_t target, uint16_t slot, struct error *error)
{
    assert(target != TARGET_NONE);
    struct series_page *page = NULL;
    uint32_t number = 0;
    if (registry_target(registry, id) != TARGET_NONE)
        return error_set(error, ERROR_CORRUPT, "series %llu is there twice",
                         (unsigned long long)id);
    enum error_code code = page_of(registry, id, &page, error);
    if (code == ERROR_NONE)
        code = tenant_numbers_take(&registry->tenants, tenant, &number, error);
    if (code != ERROR_NONE)
        return code;
    size_t place = (size_t)(id % SERIES_PAGE_SIZE);
    registry->series_count++;
    page->alive_count++;
    page->targets[place] = target;
    page->tenants[place] = number;
    page->slots[place] = slot;
    page->heard_before[place / 64] |= bit_of(id);
    return ERROR_NONE;
}

/* --- For jobs ------------------------------------------------------------------------------- */

enum error_code registry_brief_create(const struct registry *registry,
                                      struct registry_brief *brief_out, struct error *error)
{
    struct registry_brief brief = {
        .pages = malloc((registry->page_count + 1) * sizeof *brief.pages),
        .page_count = registry->page_count,
        .tenants = malloc((registry->tenants.count + 1) * sizeof *brief.tenants),
    };
    if (brief.pages == NULL || brief.tenants == NULL) {
        registry_brief_clear(&brief);
        return error_set(error, ERROR_OUT_OF_MEMORY, "registry: tables for a job");
    }
    if (registry->page_count > 0)
        memcpy(brief.pages, registry->pages, registry->page_count * sizeof *brief.pages);
    for (uint32_t i = 0; i < registry->tenants.count; i++)
        brief.tenants[i] = registry->tenants.items[i].name;
    *brief_out = brief;
    return ERROR_NONE;
}

void registry_brief_clear(struct registry_brief *brief)
{
    free(brief->pages);
    free(brief->tenants);
    *brief = (struct registry_brief){0};
}

bool registry_brief_get(const struct registry_brief *brief, uint64_t id,
                        struct series_brief *series_out)
{
    size_t number = (size_t)(id / SERIES_PAGE_SIZE);
    if (number >= brief->page_count || brief->pages[number] == NULL)
        return false;
    const struct series_page *page = brief->pages[number];
    size_t place = (size_t)(id % SERIES_PAGE_SIZE);
    *series_out =
        (struct series_brief){page->targets[place], page->tenants[place], page->slots[place]};
    return series_out->target != TARGET_NONE;
}

/* --- Leaving -------------------------------------------------------------------------------- */

void registry_hear(struct registry *registry, uint64_t id)
{
    struct series_page *page = page_at(registry, id);
    if (page != NULL)
        page->heard[word_of(id)] |= bit_of(id);
}

void registry_turn(struct registry *registry)
{
    for (size_t i = 0; i < registry->page_count; i++) {
        struct series_page *page = registry->pages[i];
        if (page == NULL)
            continue;
        memcpy(page->heard_before, page->heard, sizeof page->heard_before);
        memset(page->heard, 0, sizeof page->heard);
    }
}

uint64_t registry_memory_from(const struct registry *registry)
{
    return memory_index_first_id(registry->frozen_count > 0 ? registry->frozen[0]
                                                            : registry->growing);
}

bool registry_is_quiet(const struct registry *registry, uint64_t id)
{
    const struct series_page *page = page_at(registry, id);
    return page != NULL && page->targets[id % SERIES_PAGE_SIZE] != TARGET_NONE &&
           ((page->heard[word_of(id)] | page->heard_before[word_of(id)]) & bit_of(id)) == 0;
}

size_t registry_find_quiet(const struct registry *registry, uint64_t from_id, uint64_t *ids,
                           size_t count)
{
    uint64_t end = registry_memory_from(registry);
    size_t found = 0;
    for (uint64_t id = from_id; id < end && found < count;) {
        const struct series_page *page = page_at(registry, id);
        if (page == NULL) {
            id = (id / SERIES_PAGE_SIZE + 1) * SERIES_PAGE_SIZE;
            continue;
        }
        uint64_t heard = page->heard[word_of(id)] | page->heard_before[word_of(id)];
        uint64_t quiet = ~heard & ~UINT64_C(0) << id % 64;
        for (uint64_t base = id / 64 * 64; quiet != 0 && found < count; quiet &= quiet - 1) {
            uint64_t candidate = base + (uint64_t)__builtin_ctzll(quiet);
            if (candidate < end && page->targets[candidate % SERIES_PAGE_SIZE] != TARGET_NONE)
                ids[found++] = candidate;
        }
        id = (id / 64 + 1) * 64;
    }
    return found;
}

void registry_set_leaving(struct registry *registry, uint64_t id)
{
    assert(registry_target(registry, id) != TARGET_NONE);
    page_at(registry, id)->leaving[word_of(id)] |= bit_of(id);
}

bool registry_is_leaving(const struct registry *registry, uint64_t id)
{
    const struct series_page *page = page_at(registry, id);
    return page != NULL && (page->leaving[word_of(id)] & bit_of(id)) != 0;
}

void registry_clear_leaving(struct registry *registry)
{
    for (size_t i = 0; i < registry->page_count; i++)
        if (registry->pages[i] != NULL)
            memset(registry->pages[i]->leaving, 0, sizeof registry->pages[i]->leaving);
}

uint64_t registry_count_outside(const struct registry *registry, const struct slot_set *slots)
{
    uint64_t count = 0;
    for (size_t i = 0; i < registry->page_count; i++) {
        const struct series_page *page = registry->pages[i];
        for (size_t place = 0; page != NULL && place < SERIES_PAGE_SIZE; place++)
            count +=
                page->targets[place] != TARGET_NONE && !slot_set_has(slots, page->slots[place]);
    }
    return count;
}

void registry_forget(struct registry *registry, uint64_t id)
{
    struct series_page *page = page_at(registry, id);
    if (page == NULL || page->targets[id % SERIES_PAGE_SIZE] == TARGET_NONE)
        return;
    tenant_numbers_release(&registry->tenants, page->tenants[id % SERIES_PAGE_SIZE]);
    page->targets[id % SERIES_PAGE_SIZE] = TARGET_NONE;
    page->leaving[word_of(id)] &= ~bit_of(id);
    page->alive_count--;
    registry->series_count--;
    if (page->alive_count == 0) {
        registry->pages[id / SERIES_PAGE_SIZE] = NULL;
        registry->live_page_count--;
        free(page);
    }
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
    tenant_numbers_clear(&registry->tenants);
    *registry = (struct registry){0};
}

/* --- Series --------------------------------------------------------------------------------- */

enum error_code registry_add(struct registry *registry, struct text tenant, uint16_t slot,
                             struct labels labels, uint64_t *id_out, struct error *error)
{
    /* One that was forgotten may still be in a frozen index here, and in a segment elsewhere. */
    for (size_t i = 0; i < registry->frozen_count; i++)
        if (memory_index_find(registry->frozen[i], tenant, labels, id_out) &&
            registry_target(registry, *id_out) != TARGET_NONE)
            return error_set(error, ERROR_EXISTS, "series exists");
    uint32_t target = series_target(tenant, labels);
    uint64_t id = registry->next_id;
    struct memory_series series = {
        .tenant = tenant, .labels = labels, .target_id = target, .slot = slot};
    /* The tables first: an index cannot take a series back. */
    enum error_code code = registry_revive(registry, id, tenant, target, slot, error);
    if (code != ERROR_NONE)
        return code;
    code = memory_index_add(registry->growing, &series, id_out, error);
    if (code != ERROR_NONE) {
        registry_forget(registry, id);
        return code;
    }
    assert(*id_out == id);
    registry_hear(registry, id);
    registry->next_id++;
    return ERROR_NONE;
}

void registry_prefetch(const struct registry *registry, struct labels labels)
{
    memory_index_prefetch(registry->growing, labels);
}

bool registry_find_in_memory(const struct registry *registry, struct text tenant,
                             struct labels labels, uint64_t *id_out)
{
    if (memory_index_find(registry->growing, tenant, labels, id_out))
        return true;
    for (size_t i = 0; i < registry->frozen_count; i++)
        if (memory_index_find(registry->frozen[i], tenant, labels, id_out) &&
            registry_target(registry, *id_out) != TARGET_NONE)
            return true;
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
    registry->segment_generation++;
    return ERROR_NONE;
}

void registry_reopen_segment(struct registry *registry, uint64_t name,
                             struct series_segment *segment)
{
    for (size_t i = 0; i < registry->segment_count; i++)
        if (registry->segment_names[i] == name) {
            struct series_segment *before = registry->segments[i];
            registry->segments[i] = segment;
            segment = before;
            break;
        }
    series_segment_unref(segment);
}

enum error_code registry_thaw(struct registry *registry, size_t rewritten_count, uint64_t name,
                              struct series_segment *segment, struct error *error)
{
    assert(registry->frozen_count > 0 && rewritten_count <= registry->segment_count);
    if (segment != NULL) {
        enum error_code code = registry_add_segment(registry, name, segment, error);
        if (code != ERROR_NONE)
            return code;
    }
    size_t kept = registry->segment_count - rewritten_count - (segment != NULL);
    for (size_t i = kept; i < kept + rewritten_count; i++)
        series_segment_unref(registry->segments[i]);
    registry->segment_count = kept;
    if (segment != NULL) {
        registry->segments[kept] = segment;
        registry->segment_names[kept] = name;
        registry->segment_count++;
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
    return bytes + registry->live_page_count * sizeof(struct series_page) +
           registry->page_count * sizeof *registry->pages;
}
