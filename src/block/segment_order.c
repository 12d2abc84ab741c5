/*
 * Label pairs of a segment are numbered by tenant, name and value, so comparing numbers compares
 * texts: series are sorted without looking at one.
 */
#include "block/segment_order.h"

#include <assert.h>
#include <stdlib.h>

#include "series_segment.h"

struct ordered_series {
    uint64_t id;
    uint32_t tenant;
    uint32_t first_pair; /* in `pairs` */
    uint16_t pair_count;
    uint16_t slot;
};

struct segment_order {
    struct series_segment *segment;
    struct ordered_series *series; /* [count] */
    size_t count;
    uint32_t *pairs; /* [pair_count], in the order of ids; numbers of texts once all are known */
    size_t pair_count;
    size_t pair_capacity;
    struct text *texts; /* [text_count], as they stand in canonical labels, by number of the pair */
    size_t text_count;
    struct pair_texts memory; /* of the texts */
};

_Static_assert(LABELS_PER_SERIES_MAX <= UINT16_MAX, "the count of pairs of a series");

static enum error_code out_of_memory(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "order of series");
}

/* --- Rows ------------------------------------------------------------------------------------- */

static enum error_code add_row(struct segment_order *order, const struct label_row *row,
                               struct error *error)
{
    if (order->pair_count + row->pair_count > UINT32_MAX)
        return error_set(error, ERROR_LIMIT, "too many labels for one merge");
    if (order->pair_capacity - order->pair_count < row->pair_count) {
        size_t capacity = 2 * order->pair_capacity + LABELS_PER_SERIES_MAX;
        uint32_t *grown = realloc(order->pairs, capacity * sizeof *grown);
        if (grown == NULL)
            return out_of_memory(error);
        order->pairs = grown;
        order->pair_capacity = capacity;
    }
    for (uint32_t i = 1; i < row->pair_count; i++)
        if (row->pairs[i] <= row->pairs[i - 1])
            return page_file_corrupt(&order->segment->file, "labels out of order", error);
    order->series[order->count++] = (struct ordered_series){
        .id = row->id,
        .tenant = row->tenant,
        .first_pair = (uint32_t)order->pair_count,
        .pair_count = (uint16_t)row->pair_count,
        .slot = row->slot,
    };
    memcpy(order->pairs + order->pair_count, row->pairs, row->pair_count * sizeof *row->pairs);
    order->pair_count += row->pair_count;
    return ERROR_NONE;
}

static enum error_code read_rows(struct segment_order *order, const uint64_t *ids, size_t count,
                                 struct error *error)
{
    const struct series_segment *segment = order->segment;
    struct label_rows rows = {.index = &segment->index};
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < count; i++) {
        assert(i == 0 || ids[i] > ids[i - 1]);
        if (ids[i] < segment->first_id || ids[i] - segment->first_id >= segment->span)
            continue;
        code = label_rows_seek_id(&rows, ids[i], error);
        if (code == ERROR_NONE && rows.valid)
            code = add_row(order, &rows.row, error);
    }
    label_rows_clear(&rows);
    return code;
}

/* --- Sorting ---------------------------------------------------------------------------------- */

/* Numbers of the pairs of one name: [first, end). */
struct pair_range {
    uint32_t first;
    uint32_t end;
};

/* What decides in a tenant before the labels as a whole. */
enum { RANGE_NAME, RANGE_JOB, RANGE_INSTANCE, RANGES };

struct tenant_ranges {
    struct pair_range ranges[RANGES];
    uint32_t rank; /* among the tenants of the segment */
    bool known;
};

struct sort_key {
    uint64_t high; /* rank of the tenant, metric name */
    uint64_t low;  /* job, instance */
    uint32_t series;
};

static enum error_code find_ordinal(const struct table *table, struct text key,
                                    uint64_t *ordinal_out, struct error *error)
{
    struct table_cursor cursor = {.table = table};
    enum error_code code = table_cursor_seek(&cursor, key, error);
    *ordinal_out = cursor.valid ? cursor.ordinal : table_count(table);
    table_cursor_clear(&cursor);
    return code;
}

/* The pairs of a name of a tenant; none: an empty range. */
static enum error_code find_range(const struct label_index *index, uint32_t tenant,
                                  struct text name, struct pair_range *range_out,
                                  struct error *error)
{
    uint8_t bytes[4 + sizeof "__name__"];
    struct table_entry entry;
    bool found;
    assert(4 + name.size <= sizeof bytes);
    key_store_be32(bytes, tenant);
    memcpy(bytes + 4, name.data, name.size);
    *range_out = (struct pair_range){0};
    enum error_code code = table_find(
        &index->names, (struct text){(const char *)bytes, 4 + name.size}, &entry, &found, error);
    if (code != ERROR_NONE || !found)
        return code;
    page_unpin(&entry.pin);
    uint64_t first = 0, end = 0;
    key_store_be32(bytes, (uint32_t)entry.ordinal);
    code = find_ordinal(&index->pairs, (struct text){(const char *)bytes, 4}, &first, error);
    key_store_be32(bytes, (uint32_t)entry.ordinal + 1);
    if (code == ERROR_NONE)
        code = find_ordinal(&index->pairs, (struct text){(const char *)bytes, 4}, &end, error);
    *range_out = (struct pair_range){(uint32_t)first, (uint32_t)end};
    return code;
}

static enum error_code find_ranges(const struct label_index *index, uint32_t tenant,
                                   struct tenant_ranges *ranges, struct error *error)
{
    static const struct text NAMES[RANGES] = {
        [RANGE_NAME] = {"__name__", 8},
        [RANGE_JOB] = {"job", 3},
        [RANGE_INSTANCE] = {"instance", 8},
    };
    enum error_code code = ERROR_NONE;
    for (int i = 0; code == ERROR_NONE && i < RANGES; i++)
        code = find_range(index, tenant, NAMES[i], &ranges->ranges[i], error);
    ranges->known = code == ERROR_NONE;
    return code;
}

static int compare_tenants(const void *left, const void *right, void *context)
{
    const struct text *tenants = context;
    return text_compare(tenants[*(const uint32_t *)left], tenants[*(const uint32_t *)right]);
}

/* Tenants are numbered as they came. */
static bool rank_tenants(const struct tenant_list *tenants, struct tenant_ranges *ranges)
{
    uint32_t *sorted = calloc(tenants->count + 1, sizeof *sorted);
    if (sorted == NULL)
        return false;
    for (uint32_t i = 0; i < tenants->count; i++)
        sorted[i] = i;
    qsort_r(sorted, tenants->count, sizeof *sorted, compare_tenants, tenants->tenants);
    for (uint32_t i = 0; i < tenants->count; i++)
        ranges[sorted[i]].rank = i;
    free(sorted);
    return true;
}

static struct sort_key sort_key(const struct segment_order *order, uint32_t number,
                                const struct tenant_ranges *tenant)
{
    const struct ordered_series *series = &order->series[number];
    const uint32_t *pairs = order->pairs + series->first_pair;
    uint32_t found[RANGES] = {0}; /* 0: the series has no such label */
    for (size_t i = 0; i < series->pair_count; i++)
        for (int k = 0; k < RANGES; k++)
            if (pairs[i] >= tenant->ranges[k].first && pairs[i] < tenant->ranges[k].end)
                found[k] = pairs[i] + 1;
    return (struct sort_key){
        .high = (uint64_t)tenant->rank << 32 | found[RANGE_NAME],
        .low = (uint64_t)found[RANGE_JOB] << 32 | found[RANGE_INSTANCE],
        .series = number,
    };
}

static int compare_keys(const void *left, const void *right, void *context)
{
    const struct sort_key *a = left;
    const struct sort_key *b = right;
    if (a->high != b->high)
        return a->high < b->high ? -1 : 1;
    if (a->low != b->low)
        return a->low < b->low ? -1 : 1;
    const struct segment_order *order = context;
    const struct ordered_series *first = &order->series[a->series];
    const struct ordered_series *second = &order->series[b->series];
    const uint32_t *first_pairs = order->pairs + first->first_pair;
    const uint32_t *second_pairs = order->pairs + second->first_pair;
    for (size_t i = 0; i < first->pair_count && i < second->pair_count; i++)
        if (first_pairs[i] != second_pairs[i])
            return first_pairs[i] < second_pairs[i] ? -1 : 1;
    return (int)first->pair_count - (int)second->pair_count;
}

static bool arrange(struct segment_order *order, const struct sort_key *keys)
{
    struct ordered_series *arranged = calloc(order->count + 1, sizeof *arranged);
    if (arranged == NULL)
        return false;
    for (size_t i = 0; i < order->count; i++)
        arranged[i] = order->series[keys[i].series];
    free(order->series);
    order->series = arranged;
    return true;
}

static enum error_code sort_series(struct segment_order *order, struct error *error)
{
    const struct series_segment *segment = order->segment;
    struct tenant_ranges *tenants = calloc(segment->tenants.count + 1, sizeof *tenants);
    struct sort_key *keys = calloc(order->count + 1, sizeof *keys);
    enum error_code code = ERROR_NONE;
    if (tenants == NULL || keys == NULL || !rank_tenants(&segment->tenants, tenants))
        code = out_of_memory(error);
    for (uint32_t i = 0; code == ERROR_NONE && i < order->count; i++) {
        struct tenant_ranges *tenant = &tenants[order->series[i].tenant];
        if (!tenant->known)
            code = find_ranges(&segment->index, order->series[i].tenant, tenant, error);
        if (code == ERROR_NONE)
            keys[i] = sort_key(order, i, tenant);
    }
    if (code == ERROR_NONE) {
        qsort_r(keys, order->count, sizeof *keys, compare_keys, order);
        if (!arrange(order, keys))
            code = out_of_memory(error);
    }
    free(tenants);
    free(keys);
    return code;
}

/* --- Texts ------------------------------------------------------------------------------------ */

/* Which pairs occur, and how many before a word of them. */
struct pair_set {
    uint64_t *words; /* [word_count] */
    uint32_t *before;
    size_t word_count;
};

static uint32_t set_rank(const struct pair_set *set, uint32_t pair)
{
    uint64_t below = set->words[pair / 64] & ((UINT64_C(1) << pair % 64) - 1);
    return set->before[pair / 64] + (uint32_t)__builtin_popcountll(below);
}

/* Number the pairs that occur by their order, without gaps. */
static bool number_pairs(struct segment_order *order, struct pair_set *set)
{
    set->word_count = (size_t)table_count(&order->segment->index.pairs) / 64 + 1;
    set->words = calloc(set->word_count, sizeof *set->words);
    set->before = calloc(set->word_count, sizeof *set->before);
    if (set->words == NULL || set->before == NULL)
        return false;
    for (size_t i = 0; i < order->pair_count; i++)
        set->words[order->pairs[i] / 64] |= UINT64_C(1) << order->pairs[i] % 64;
    uint32_t count = 0;
    for (size_t i = 0; i < set->word_count; i++) {
        set->before[i] = count;
        count += (uint32_t)__builtin_popcountll(set->words[i]);
    }
    for (size_t i = 0; i < order->pair_count; i++)
        order->pairs[i] = set_rank(set, order->pairs[i]);
    order->text_count = count;
    return true;
}

/* In their order, so that each page of them is read once. */
static enum error_code read_texts(struct segment_order *order, const struct pair_set *set,
                                  struct error *error)
{
    order->texts = calloc(order->text_count + 1, sizeof *order->texts);
    if (order->texts == NULL)
        return out_of_memory(error);
    enum error_code code = ERROR_NONE;
    size_t at = 0;
    for (size_t i = 0; i < set->word_count; i++)
        for (uint64_t left = set->words[i]; code == ERROR_NONE && left != 0; left &= left - 1) {
            uint32_t pair = (uint32_t)(64 * i + (unsigned)__builtin_ctzll(left));
            code = pair_texts_read(&order->memory, pair, &order->texts[at++], error);
        }
    return code;
}

static enum error_code resolve_pairs(struct segment_order *order, struct error *error)
{
    struct pair_set set = {0};
    enum error_code code = ERROR_NONE;
    if (table_count(&order->segment->index.pairs) > UINT32_MAX)
        code = page_file_corrupt(&order->segment->file, "number of label pairs", error);
    else if (!number_pairs(order, &set))
        code = out_of_memory(error);
    if (code == ERROR_NONE)
        code = read_texts(order, &set, error);
    free(set.words);
    free(set.before);
    return code;
}

/* --- Public ----------------------------------------------------------------------------------- */

enum error_code segment_order_create(struct series_segment *segment, const uint64_t *ids,
                                     size_t count, struct segment_order **order_out,
                                     struct error *error)
{
    struct segment_order *order = calloc(1, sizeof *order);
    if (order == NULL)
        return out_of_memory(error);
    order->segment = series_segment_ref(segment);
    order->memory.index = &segment->index;
    order->series = calloc(count + 1, sizeof *order->series);
    enum error_code code = order->series == NULL ? out_of_memory(error) : ERROR_NONE;
    if (code == ERROR_NONE)
        code = read_rows(order, ids, count, error);
    if (code == ERROR_NONE)
        code = sort_series(order, error);
    if (code == ERROR_NONE)
        code = resolve_pairs(order, error);
    if (code != ERROR_NONE) {
        segment_order_destroy(order);
        return code;
    }
    *order_out = order;
    return ERROR_NONE;
}

void segment_order_destroy(struct segment_order *order)
{
    if (order == NULL)
        return;
    free(order->series);
    free(order->pairs);
    free(order->texts);
    pair_texts_clear(&order->memory);
    series_segment_unref(order->segment);
    free(order);
}

size_t segment_order_size_bytes(const struct segment_order *order)
{
    return order->count * sizeof *order->series + order->pair_capacity * sizeof *order->pairs +
           order->text_count * sizeof *order->texts +
           (order->memory.arena == NULL ? 0 : arena_size_bytes(order->memory.arena));
}

size_t segment_order_count(const struct segment_order *order)
{
    return order->count;
}

uint64_t segment_order_id(const struct segment_order *order, size_t place)
{
    assert(place < order->count);
    return order->series[place].id;
}

enum error_code segment_order_series(const struct segment_order *order, size_t place,
                                     struct arena *arena, struct block_series *series_out,
                                     struct error *error)
{
    assert(place < order->count);
    const struct ordered_series *series = &order->series[place];
    const uint32_t *pairs = order->pairs + series->first_pair;
    size_t size = 0;
    for (size_t i = 0; i < series->pair_count; i++)
        size += order->texts[pairs[i]].size;
    if (size > LABEL_SET_BYTES_MAX)
        return page_file_corrupt(&order->segment->file, "too many bytes of labels", error);
    uint8_t *bytes = arena_allocate(arena, size);
    if (bytes == NULL)
        return out_of_memory(error);
    *series_out = (struct block_series){
        .tenant = order->segment->tenants.tenants[series->tenant],
        .slot = series->slot,
        .labels = {.bytes = bytes, .size = (uint32_t)size},
    };
    for (size_t i = 0; i < series->pair_count; i++) {
        struct text text = order->texts[pairs[i]];
        memcpy(bytes, text.data, text.size);
        bytes += text.size;
    }
    return ERROR_NONE;
}
