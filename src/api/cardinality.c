/*
 * status/tsdb: which metrics and labels have the most series.
 *
 * Every series is looked at, which takes its time where there are millions: an answer is kept for
 * ten times as long as it took to make, so that whoever asks again and again costs a tenth of a
 * worker. Memory is that of queries.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/checksum.h"
#include "wire/json_field.h"

#include "api_private.h"

enum { LIMIT_DEFAULT = 10, LIMIT_MAX = 10000 };

/* --- Counting --------------------------------------------------------------------------------- */

/* Counts of one kind, by name: a table in the arena. */
struct count_item {
    struct text name;
    uint64_t count;
};

struct count_table {
    struct arena *arena;
    struct count_item *items; /* [capacity], open addressing */
    size_t capacity;
    size_t count;
};

static struct count_item *count_place(struct count_item *items, size_t capacity, struct text name)
{
    for (size_t i = hash64(name.data, name.size, HASH_SEED_STORED) & (capacity - 1);;
         i = (i + 1) & (capacity - 1))
        if (items[i].name.data == NULL || text_equal(items[i].name, name))
            return &items[i];
}

static bool count_add(struct count_table *table, struct text name, uint64_t amount)
{
    if ((table->count + 1) * 2 > table->capacity) {
        size_t capacity = table->capacity == 0 ? 1024 : table->capacity * 2;
        struct count_item *items = arena_array(table->arena, capacity, sizeof *items);
        if (items == NULL)
            return false;
        for (size_t i = 0; i < table->capacity; i++)
            if (table->items[i].name.data != NULL)
                *count_place(items, capacity, table->items[i].name) = table->items[i];
        table->items = items;
        table->capacity = capacity;
    }
    struct count_item *place = count_place(table->items, table->capacity, name);
    if (place->name.data == NULL) {
        place->name = arena_copy_text(table->arena, name);
        if (place->name.data == NULL)
            return false;
        table->count++;
    }
    place->count += amount;
    return true;
}

static int compare_counts(const void *left, const void *right)
{
    const struct count_item *a = left, *b = right;
    if (a->count != b->count)
        return a->count < b->count ? 1 : -1;
    return text_compare(a->name, b->name);
}

static void append_top(struct byte_buffer *data, const char *name, struct count_table *table,
                       uint64_t limit)
{
    size_t kept = 0;
    for (size_t i = 0; i < table->capacity; i++)
        if (table->items[i].name.data != NULL)
            table->items[kept++] = table->items[i];
    if (kept > 0)
        qsort(table->items, kept, sizeof *table->items, compare_counts);
    json_field_name(data, name);
    json_raw(data, TEXT("["));
    for (size_t i = 0; i < kept && i < limit; i++) {
        json_raw(data, i > 0 ? TEXT(",{") : TEXT("{"));
        json_field_name(data, "name");
        json_string(data, table->items[i].name);
        json_integer_field(data, "value", (int64_t)table->items[i].count);
        json_raw(data, TEXT("}"));
    }
    json_raw(data, TEXT("]"));
}

struct cardinality {
    struct count_table series_by_metric;
    struct count_table values_by_label;
    struct count_table bytes_by_label;
    struct count_table series_by_pair;
};

static bool count_series(struct cardinality *cardinality, struct labels labels, struct arena *arena)
{
    struct labels_cursor cursor = labels_begin(labels);
    struct label label;
    while (labels_next(&cursor, &label)) {
        struct text pair = arena_format(arena, "%.*s=%.*s", TEXT_ARGUMENTS(label.name),
                                        TEXT_ARGUMENTS(label.value));
        if (pair.data == NULL)
            return false;
        size_t pairs = cardinality->series_by_pair.count;
        if (!count_add(&cardinality->series_by_pair, pair, 1))
            return false;
        /* The first series with this pair brings a new value. */
        if (cardinality->series_by_pair.count > pairs &&
            (!count_add(&cardinality->values_by_label, label.name, 1) ||
             !count_add(&cardinality->bytes_by_label, label.name, label.value.size)))
            return false;
        if (text_equal(label.name, LABEL_METRIC_NAME) &&
            !count_add(&cardinality->series_by_metric, label.value, 1))
            return false;
    }
    return true;
}

static enum error_code count_set(struct cardinality *cardinality, struct api_lookup *lookup,
                                 struct series_set *set, struct error *error)
{
    struct labels *labels = arena_array(lookup->arena, set->count, sizeof *labels);
    enum error_code code =
        labels == NULL ? api_memory_error(error) : api_lookup_labels(lookup, set, labels, error);
    for (size_t i = 0; code == ERROR_NONE && i < set->count; i++)
        if (!count_series(cardinality, labels[i], lookup->arena))
            code = api_memory_error(error);
    return code;
}

static enum error_code count_all(struct api_lookup *lookup, struct byte_buffer *data,
                                 struct error *error)
{
    struct cardinality cardinality = {.series_by_metric.arena = lookup->arena,
                                      .values_by_label.arena = lookup->arena,
                                      .bytes_by_label.arena = lookup->arena,
                                      .series_by_pair.arena = lookup->arena};
    uint64_t limit = lookup->limit;
    struct series_request request = api_series_request(
        NULL, lookup->tenant, API_TIME_MIN, API_TIME_MAX, SERIES_NEED_ALL, lookup->arena);
    struct series_set *set;
    enum error_code code = series_source_select(lookup->source, &request, &set, error);
    if (code != ERROR_NONE)
        return code;
    size_t series_count = set->count;
    code = count_set(&cardinality, lookup, set, error);
    series_set_close(set);
    if (code != ERROR_NONE)
        return code;
    struct shard_statistics sum = api_sum_statistics(lookup->api);
    json_raw(data, TEXT("{\"headStats\":{"));
    json_integer_field(data, "numSeries", (int64_t)series_count);
    json_integer_field(data, "numLabelPairs", (int64_t)cardinality.series_by_pair.count);
    json_integer_field(data, "chunkCount", (int64_t)(sum.part_count + sum.block_count));
    json_integer_field(data, "minTime", sum.oldest_ms == INT64_MAX ? 0 : sum.oldest_ms);
    json_integer_field(data, "maxTime", sum.newest_ms == INT64_MIN ? 0 : sum.newest_ms);
    json_raw(data, TEXT("}"));
    append_top(data, "seriesCountByMetricName", &cardinality.series_by_metric, limit);
    append_top(data, "labelValueCountByLabelName", &cardinality.values_by_label, limit);
    append_top(data, "memoryInBytesByLabelName", &cardinality.bytes_by_label, limit);
    append_top(data, "seriesCountByLabelValuePair", &cardinality.series_by_pair, limit);
    json_raw(data, TEXT("}"));
    return data->failed ? api_memory_error(error) : ERROR_NONE;
}

/* --- The last answer -------------------------------------------------------------------------- */

static bool answer_fits(const struct api_cardinality *last, const struct api_lookup *lookup,
                        uint64_t now_ns)
{
    return last->json.size > 0 && now_ns < last->fresh_until_ns && last->limit == lookup->limit &&
           text_equal(text_of(last->tenant), lookup->tenant);
}

static bool append_last(struct api_lookup *lookup, struct byte_buffer *data, uint64_t now_ns)
{
    struct api_cardinality *last = &lookup->api->cardinality;
    pthread_mutex_lock(&last->lock);
    bool fits = answer_fits(last, lookup, now_ns);
    if (fits)
        byte_buffer_append(data, last->json.bytes, last->json.size);
    pthread_mutex_unlock(&last->lock);
    return fits;
}

/* Kept for ten times as long as it took to make. */
static void keep(struct api_lookup *lookup, struct text json, uint64_t began_ns)
{
    struct api_cardinality *last = &lookup->api->cardinality;
    uint64_t now_ns = clock_monotonic_ns(lookup->api->options.clock);
    pthread_mutex_lock(&last->lock);
    byte_buffer_reset(&last->json);
    byte_buffer_append(&last->json, json.data, json.size);
    if (last->json.failed)
        byte_buffer_clear(&last->json);
    snprintf(last->tenant, sizeof last->tenant, "%.*s", TEXT_ARGUMENTS(lookup->tenant));
    last->limit = lookup->limit;
    last->fresh_until_ns = now_ns + (now_ns - began_ns) * 10;
    pthread_mutex_unlock(&last->lock);
}

static enum error_code run_tsdb(struct api_lookup *lookup, struct byte_buffer *data,
                                struct error *error)
{
    uint64_t began_ns = clock_monotonic_ns(lookup->api->options.clock);
    if (append_last(lookup, data, began_ns))
        return data->failed ? api_memory_error(error) : ERROR_NONE;
    size_t begun_bytes = data->size;
    enum error_code code = count_all(lookup, data, error);
    if (code == ERROR_NONE)
        keep(lookup,
             (struct text){(const char *)data->bytes + begun_bytes, data->size - begun_bytes},
             began_ns);
    return code;
}

static enum error_code read(struct api_lookup *lookup, const struct http_parameters *parameters,
                            struct error *error)
{
    struct text text;
    lookup->limit = LIMIT_DEFAULT;
    if (http_parameters_find(parameters, TEXT("limit"), &text) && text.size > 0 &&
        (!text_to_uint64(text, &lookup->limit) || lookup->limit == 0))
        return error_set(error, ERROR_INVALID, "limit must be a positive number");
    if (lookup->limit > LIMIT_MAX)
        lookup->limit = LIMIT_MAX;
    return ERROR_NONE;
}

void api_status_tsdb(struct http_request *request)
{
    static const struct api_lookup_kind KIND = {
        .name = "status/tsdb", .read = read, .run = run_tsdb};
    api_lookup_start(request, (struct text){0}, &KIND);
}
