#include "block/block_fetch.h"

#include <stdlib.h>

#include "block_file.h"
#include "block_opening.h"
#include "label_fetch.h"
#include "order_marks.h"
#include "sample_fetch.h"

enum {
    /* The index of a block up to this size costs about as much as a look into it. */
    INDEX_SMALL_BYTES = 1024 * 1024,
    /* Up to this it is less than what another round trip is worth. */
    INDEX_MEDIUM_BYTES = 8 * 1024 * 1024,
    /* Of pages of directory and labels that the marks name. */
    PLACES_BYTES_MAX = 4 * 1024 * 1024,
};

struct block_fetch {
    struct range_list list;
    struct page_source **sources; /* [source_count], of blocks to be opened, until the next run */
    size_t source_count;
};

/* --- Life ------------------------------------------------------------------------------------- */

enum error_code block_fetch_create(struct block_fetch **fetch_out, struct error *error)
{
    struct block_fetch *fetch = calloc(1, sizeof *fetch);
    if (fetch == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "ranges to be fetched");
    *fetch_out = fetch;
    return ERROR_NONE;
}

static void close_sources(struct block_fetch *fetch)
{
    while (fetch->source_count > 0)
        page_source_close(fetch->sources[--fetch->source_count]);
}

void block_fetch_destroy(struct block_fetch *fetch)
{
    if (fetch == NULL)
        return;
    close_sources(fetch);
    range_list_clear(&fetch->list);
    free(fetch->sources);
    free(fetch);
}

bool block_is_remote(const struct block *block)
{
    if (block->opening != NULL && (block = block_opening_peek(block->opening)) == NULL)
        return true;
    return block->unreadable.code == ERROR_NONE && page_source_is_remote(block->file.source);
}

/* --- Ends ------------------------------------------------------------------------------------- */

void block_fetch_add_end(struct block_fetch *fetch, struct page_source *source)
{
    struct page_file file = {.source = source};
    uint64_t tail = page_file_tail_bytes(source->size_bytes);
    range_list_add(&fetch->list, &file, source->size_bytes - tail, source->size_bytes);
}

enum error_code block_fetch_add_opening(struct block_fetch *fetch, struct block *block,
                                        struct error *error)
{
    struct page_source *source;
    if (block->opening == NULL || block_opening_peek(block->opening) != NULL)
        return ERROR_NONE;
    struct page_source **grown =
        realloc(fetch->sources, (fetch->source_count + 1) * sizeof(struct page_source *));
    if (grown == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "ranges to be fetched");
    fetch->sources = grown;
    const struct block_opener *opener = block->opening->opener;
    enum error_code code = opener->open_source(opener, &source, error);
    if (code != ERROR_NONE)
        return code;
    grown[fetch->source_count++] = source;
    if (page_source_is_remote(source))
        block_fetch_add_end(fetch, source);
    return ERROR_NONE;
}

/* --- Index ------------------------------------------------------------------------------------ */

static uint64_t index_bytes(const struct block *block)
{
    return block->file.late_start - block->file.index_start;
}

static void add_whole_index(struct block_fetch *fetch, const struct block *block)
{
    range_list_add(&fetch->list, &block->file, block->file.index_start, block->file.late_start);
}

/* What the matchers say of the first labels in the order of a block; false: not even the metric. */
static bool prefix_of(const struct block *block, const struct index_query *query,
                      struct order_prefix *prefix_out)
{
    static const char *const NAMES[] = {"__name__", "job", "instance"};
    *prefix_out = (struct order_prefix){0};
    if (!tenant_list_find(&block->tenants, query->tenant, &prefix_out->tenant))
        return false;
    for (size_t name = 0; name < 3; name++) {
        const struct matcher *equal = NULL;
        for (size_t i = 0; i < query->matcher_count; i++)
            if (query->matchers[i]->type == MATCHER_EQUAL &&
                text_equal(query->matchers[i]->name, text_of(NAMES[name])))
                equal = query->matchers[i];
        if (equal == NULL)
            break;
        prefix_out->texts[prefix_out->count++] = equal->value;
    }
    return prefix_out->count > 0;
}

/* The pages of directory and labels of all series between two marks; *are_few_out is false when
 * they are too many to be guessed. */
static enum error_code add_marked_places(struct block_fetch *fetch, const struct block *block,
                                         const struct index_query *query, bool *are_few_out,
                                         struct error *error)
{
    struct order_prefix prefix;
    uint32_t first, end;
    *are_few_out = false;
    if (table_count(&block->marks) == 0 || !prefix_of(block, query, &prefix))
        return ERROR_NONE;
    enum error_code code = order_marks_find(&block->marks, &prefix, &first, &end, error);
    struct range_list *list = &fetch->list;
    struct range_list places = {0};
    if (code == ERROR_NONE)
        code = tree_fetch_ordinals(&block->samples.directory, first, end, &places, error);
    if (code == ERROR_NONE)
        code = tree_fetch_ordinals(&block->index.labels, first, end, &places, error);
    *are_few_out = places.size_bytes <= PLACES_BYTES_MAX;
    for (size_t i = 0; code == ERROR_NONE && *are_few_out && i < places.count; i++)
        range_list_add(list, &block->file, places.items[i].offset_bytes,
                       places.items[i].offset_bytes + places.items[i].size_bytes);
    list->failed |= places.failed;
    range_list_clear(&places);
    return code;
}

/* Whether some matcher selects by lists of values; without one all series are gone through. */
static bool is_selective(const struct index_query *query)
{
    for (size_t i = 0; i < query->matcher_count; i++)
        if (!matcher_matches_empty(query->matchers[i]))
            return true;
    return false;
}

enum error_code block_fetch_add_query(struct block_fetch *fetch, struct block *block,
                                      const struct index_query *query, struct error *error)
{
    if (!block_is_remote(block))
        return ERROR_NONE;
    bool are_few = false;
    enum error_code code = block_need_open(block, &block, error);
    if (code != ERROR_NONE)
        return code;
    if (index_bytes(block) > INDEX_SMALL_BYTES)
        code = add_marked_places(fetch, block, query, &are_few, error);
    if (code != ERROR_NONE)
        return code;
    if (!are_few && index_bytes(block) <= INDEX_MEDIUM_BYTES) {
        add_whole_index(fetch, block);
        return ERROR_NONE;
    }
    for (size_t i = 0; code == ERROR_NONE && i < query->matcher_count; i++)
        code = label_fetch_matcher(&block->index, query->tenant, query->matchers[i], &fetch->list,
                                   error);
    if (code == ERROR_NONE && !is_selective(query))
        code = label_fetch_values(&block->index, query->tenant, (struct text){0}, (struct text){0},
                                  &fetch->list, error);
    return code;
}

enum error_code block_fetch_add_values(struct block_fetch *fetch, struct block *block,
                                       struct text tenant, struct text name, struct error *error)
{
    if (!block_is_remote(block))
        return ERROR_NONE;
    enum error_code code = block_need_open(block, &block, error);
    return code == ERROR_NONE ? label_fetch_values(&block->index, tenant, name, (struct text){0},
                                                   &fetch->list, error)
                              : code;
}

/* --- Series ----------------------------------------------------------------------------------- */

enum error_code block_fetch_add_places(struct block_fetch *fetch, struct block *block,
                                       struct positions positions, struct error *error)
{
    if (!block_is_remote(block))
        return ERROR_NONE;
    enum error_code code = block_need_open(block, &block, error);
    if (code == ERROR_NONE)
        code = tree_fetch_positions(&block->samples.directory, positions, &fetch->list, error);
    if (code == ERROR_NONE)
        code = tree_fetch_positions(&block->index.labels, positions, &fetch->list, error);
    return code;
}

enum error_code block_fetch_add_labels(struct block_fetch *fetch, struct block *block,
                                       struct positions positions, struct error *error)
{
    if (!block_is_remote(block))
        return ERROR_NONE;
    enum error_code code = block_need_open(block, &block, error);
    return code == ERROR_NONE ? label_fetch_texts(&block->index, positions, &fetch->list, error)
                              : code;
}

enum error_code block_fetch_add_samples(struct block_fetch *fetch, struct block *block,
                                        struct positions positions, enum block_fetch_samples what,
                                        uint64_t bytes_max, size_t *done_out, struct error *error)
{
    *done_out = positions.count;
    if (!block_is_remote(block) || positions.count == 0)
        return ERROR_NONE;
    enum error_code code = block_need_open(block, &block, error);
    if (code != ERROR_NONE)
        return code;
    return sample_fetch_pages(&block->samples, positions,
                              what == BLOCK_FETCH_SAMPLES ? SAMPLE_FETCH_ALL : SAMPLE_FETCH_TIMES,
                              bytes_max, &fetch->list, done_out, error);
}

uint64_t block_fetch_bytes(const struct block_fetch *fetch)
{
    return fetch->list.size_bytes;
}

enum error_code block_fetch_run(struct block_fetch *fetch, struct error *error)
{
    enum error_code code = range_list_run(&fetch->list, error);
    close_sources(fetch);
    return code;
}
