/* metadata, from what senders told of their metrics. */
#include <stdlib.h>

#include "base/text_set.h"

#include "api_private.h"

struct metric_entry {
    struct text metric_name;
    struct metric_metadata metadata;
};

struct metadata_list {
    struct arena *arena;
    struct text metric; /* empty: all */
    struct metric_entry *entries;
    size_t count;
    size_t capacity;
    bool out_of_memory;
};

static bool collect(void *context, struct text metric_name, const struct metric_metadata *metadata)
{
    struct metadata_list *list = context;
    if (list->metric.size > 0 && !text_equal(list->metric, metric_name))
        return true;
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 64 : list->capacity * 2;
        struct metric_entry *grown =
            arena_grow(list->arena, list->entries, list->count, capacity, sizeof *grown);
        list->out_of_memory = grown == NULL;
        if (grown == NULL)
            return false;
        list->entries = grown;
        list->capacity = capacity;
    }
    struct metric_entry *entry = &list->entries[list->count++];
    entry->metric_name = arena_copy_text(list->arena, metric_name);
    entry->metadata.type = metadata->type;
    entry->metadata.help = arena_copy_text(list->arena, metadata->help);
    entry->metadata.unit = arena_copy_text(list->arena, metadata->unit);
    return true;
}

static int compare_entries(const void *left, const void *right)
{
    return text_compare(((const struct metric_entry *)left)->metric_name,
                        ((const struct metric_entry *)right)->metric_name);
}

static void append_entries(struct byte_buffer *data, const struct metadata_list *list,
                           uint64_t limit)
{
    json_raw(data, TEXT("{"));
    for (size_t i = 0; i < list->count && i < limit; i++) {
        const struct metric_entry *entry = &list->entries[i];
        if (i > 0)
            json_raw(data, TEXT(","));
        json_string(data, entry->metric_name);
        json_raw(data, TEXT(":[{\"type\":"));
        json_string(data, text_of(metric_type_name(entry->metadata.type)));
        json_raw(data, TEXT(",\"help\":"));
        json_string(data, entry->metadata.help);
        json_raw(data, TEXT(",\"unit\":"));
        json_string(data, entry->metadata.unit);
        json_raw(data, TEXT("}]"));
    }
    json_raw(data, TEXT("}"));
}

static enum error_code run(struct api_lookup *lookup, struct byte_buffer *data, struct error *error)
{
    struct metadata_list list = {.arena = lookup->arena, .metric = lookup->name};
    bool is_damaged = false;
    enum error_code code = api_visit_metadata(lookup, collect, &list, &is_damaged, error);
    if (code != ERROR_NONE)
        return code;
    if (is_damaged)
        lookup->warning = "a file of metadata is damaged: what senders did not state again "
                          "since the start is missing";
    if (list.out_of_memory)
        return api_memory_error(error);
    if (list.count > 0)
        qsort(list.entries, list.count, sizeof *list.entries, compare_entries);
    append_entries(data, &list, lookup->limit);
    return data->failed ? api_memory_error(error) : ERROR_NONE;
}

/* Here a limit of 0 shows nothing and a negative one everything, as in Prometheus. */
static enum error_code read_limit(const struct http_parameters *parameters, const char *name,
                                  uint64_t *limit_out, struct error *error)
{
    struct text text;
    int64_t limit = -1;
    if (http_parameters_find(parameters, text_of(name), &text) && text.size > 0 &&
        !text_to_int64(text, &limit))
        return error_set(error, ERROR_INVALID, "%s must be a number", name);
    *limit_out = limit < 0 ? API_NO_LIMIT : (uint64_t)limit;
    return ERROR_NONE;
}

static enum error_code read(struct api_lookup *lookup, const struct http_parameters *parameters,
                            struct error *error)
{
    uint64_t limit_per_metric; /* there is one entry of each: only checked */
    enum error_code code = read_limit(parameters, "limit", &lookup->limit, error);
    if (code == ERROR_NONE)
        code = read_limit(parameters, "limit_per_metric", &limit_per_metric, error);
    http_parameters_find(parameters, TEXT("metric"), &lookup->name);
    return code;
}

void api_metadata(struct http_request *request)
{
    static const struct api_lookup_kind KIND = {.name = "metadata", .read = read, .run = run};
    api_lookup_start(request, (struct text){0}, &KIND);
}
