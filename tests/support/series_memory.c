#include "series_memory.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* --- Series ---------------------------------------------------------------------------------- */

struct memory_series {
    struct labels labels;
    int64_t *timestamps_ms;
    double *values;
    const struct histogram **histograms;
    int64_t *starts_ms;
    size_t count;
    size_t capacity;
    bool has_histograms;
    bool has_starts;
    /* Start timestamps of samples, which may come before the samples. */
    int64_t *known_timestamps_ms;
    int64_t *known_starts_ms;
    size_t known_count;
};

struct series_memory {
    struct series_source source;
    struct arena *arena;
    struct memory_series *series;
    size_t count;
    size_t capacity;
    bool has_spoiled_labels;
};

static void *grow(void *old, size_t count, size_t element_bytes)
{
    void *memory = realloc(old, count * element_bytes);
    if (memory == NULL)
        abort();
    return memory;
}

static struct memory_series *series_of(struct series_memory *memory, struct labels labels)
{
    for (size_t i = memory->count; i > 0; i--)
        if (labels_equal(memory->series[i - 1].labels, labels))
            return &memory->series[i - 1];
    if (memory->count == memory->capacity) {
        memory->capacity = memory->capacity == 0 ? 16 : memory->capacity * 2;
        memory->series = grow(memory->series, memory->capacity, sizeof *memory->series);
    }
    struct memory_series *series = &memory->series[memory->count++];
    *series = (struct memory_series){.labels = labels_copy(memory->arena, labels)};
    return series;
}

/* The first sample at or after `timestamp_ms`. */
static size_t sample_position(const struct memory_series *series, int64_t timestamp_ms)
{
    size_t low = 0;
    size_t high = series->count;
    if (high > 0 && series->timestamps_ms[high - 1] < timestamp_ms)
        return high; /* appended, most often */
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (series->timestamps_ms[middle] < timestamp_ms)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void sample_insert(struct memory_series *series, size_t position)
{
    if (series->count == series->capacity) {
        series->capacity = series->capacity == 0 ? 16 : series->capacity * 2;
        size_t capacity = series->capacity;
        series->timestamps_ms = grow(series->timestamps_ms, capacity, sizeof(int64_t));
        series->values = grow(series->values, capacity, sizeof(double));
        series->histograms = grow(series->histograms, capacity, sizeof(void *));
        series->starts_ms = grow(series->starts_ms, capacity, sizeof(int64_t));
    }
    size_t after = series->count - position;
    memmove(series->timestamps_ms + position + 1, series->timestamps_ms + position,
            after * sizeof(int64_t));
    memmove(series->values + position + 1, series->values + position, after * sizeof(double));
    memmove(series->histograms + position + 1, series->histograms + position,
            after * sizeof(void *));
    memmove(series->starts_ms + position + 1, series->starts_ms + position,
            after * sizeof(int64_t));
    series->count++;
}

static int64_t known_start(const struct memory_series *series, int64_t timestamp_ms)
{
    for (size_t i = 0; i < series->known_count; i++)
        if (series->known_timestamps_ms[i] == timestamp_ms)
            return series->known_starts_ms[i];
    return 0;
}

void series_memory_add(struct series_memory *memory, struct labels labels,
                       struct memory_sample sample)
{
    struct memory_series *series = series_of(memory, labels);
    size_t position = sample_position(series, sample.timestamp_ms);
    if (position == series->count || series->timestamps_ms[position] != sample.timestamp_ms)
        sample_insert(series, position);
    int64_t start_ms = sample.start_timestamp_ms != 0 ? sample.start_timestamp_ms
                                                      : known_start(series, sample.timestamp_ms);
    struct histogram *histogram = NULL;
    if (sample.histogram != NULL) {
        histogram = arena_allocate(memory->arena, sizeof *histogram);
        if (histogram == NULL || !histogram_copy(memory->arena, sample.histogram, histogram))
            abort();
        series->has_histograms = true;
    }
    series->timestamps_ms[position] = sample.timestamp_ms;
    series->values[position] = sample.value;
    series->histograms[position] = histogram;
    series->starts_ms[position] = start_ms;
    series->has_starts |= start_ms != 0;
}

void series_memory_add_start(struct series_memory *memory, struct labels labels,
                             int64_t timestamp_ms, int64_t start_timestamp_ms)
{
    struct memory_series *series = series_of(memory, labels);
    size_t count = series->known_count++;
    series->known_timestamps_ms = grow(series->known_timestamps_ms, count + 1, sizeof(int64_t));
    series->known_starts_ms = grow(series->known_starts_ms, count + 1, sizeof(int64_t));
    series->known_timestamps_ms[count] = timestamp_ms;
    series->known_starts_ms[count] = start_timestamp_ms;
    size_t position = sample_position(series, timestamp_ms);
    if (position < series->count && series->timestamps_ms[position] == timestamp_ms) {
        series->starts_ms[position] = start_timestamp_ms;
        series->has_starts = true;
    }
}

static struct sample_columns columns_between(const struct memory_series *series, int64_t start_ms,
                                             int64_t end_ms)
{
    size_t first = sample_position(series, start_ms);
    size_t last = end_ms == INT64_MAX ? series->count : sample_position(series, end_ms + 1);
    return (struct sample_columns){
        .count = last - first,
        .timestamps_ms = series->timestamps_ms + first,
        .values = series->values + first,
        .histograms = series->has_histograms ? series->histograms + first : NULL,
        .start_timestamps_ms = series->has_starts ? series->starts_ms + first : NULL,
    };
}

void series_memory_spoil_labels(struct series_memory *memory)
{
    memory->has_spoiled_labels = true;
}

size_t series_memory_count(const struct series_memory *memory)
{
    return memory->count;
}

struct labels series_memory_labels(const struct series_memory *memory, size_t index)
{
    return memory->series[index].labels;
}

struct sample_columns series_memory_columns(const struct series_memory *memory, size_t index)
{
    return columns_between(&memory->series[index], INT64_MIN, INT64_MAX);
}

/* --- The source ------------------------------------------------------------------------------ */

struct memory_set {
    struct series_set set;
    struct series_memory *memory;
    size_t *indices; /* [set.count] */
    int64_t start_ms;
    int64_t end_ms;
    enum series_need need;
};

static enum error_code set_labels(struct series_set *self, size_t first, size_t count,
                                  struct arena *arena, struct labels *labels_out,
                                  struct error *error)
{
    (void)arena;
    struct memory_set *set = (struct memory_set *)self;
    if (set->memory->has_spoiled_labels)
        return error_set(error, ERROR_CORRUPT, "labels are spoiled");
    for (size_t i = 0; i < count; i++)
        labels_out[i] = set->memory->series[set->indices[first + i]].labels;
    return ERROR_NONE;
}

static bool set_may_have(struct series_set *self, struct text name)
{
    struct memory_set *set = (struct memory_set *)self;
    for (size_t i = 0; i < self->count; i++)
        if (labels_get(set->memory->series[set->indices[i]].labels, name).size > 0)
            return true;
    return false;
}

static enum error_code set_reader_open(struct series_set *self, struct series_reader **reader_out,
                                       struct error *error)
{
    struct series_reader *reader = malloc(sizeof *reader);
    if (reader == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "reader");
    reader->set = self;
    *reader_out = reader;
    return ERROR_NONE;
}

static enum error_code set_read(struct series_reader *reader, size_t index,
                                struct sample_columns *columns_out, struct error *error)
{
    (void)error;
    struct memory_set *set = (struct memory_set *)reader->set;
    struct sample_columns columns =
        columns_between(&set->memory->series[set->indices[index]], set->start_ms, set->end_ms);
    if (set->need == SERIES_NEED_LATEST && columns.count > 1) {
        size_t skipped = columns.count - 1;
        columns.count = 1;
        columns.timestamps_ms += skipped;
        columns.values += skipped;
        if (columns.histograms != NULL)
            columns.histograms += skipped;
        if (columns.start_timestamps_ms != NULL)
            columns.start_timestamps_ms += skipped;
    }
    *columns_out = columns;
    return ERROR_NONE;
}

static void set_reader_close(struct series_reader *reader)
{
    free(reader);
}

static void set_close(struct series_set *self)
{
    free(((struct memory_set *)self)->indices);
    free(self);
}

static const struct series_set_operations SET_OPERATIONS = {
    .labels = set_labels,
    .may_have = set_may_have,
    .reader_open = set_reader_open,
    .read = set_read,
    .reader_close = set_reader_close,
    .close = set_close,
};

static bool series_matches(const struct memory_series *series, const struct series_request *request)
{
    for (size_t i = 0; i < request->matcher_count; i++)
        if (!matcher_matches(request->matchers[i],
                             labels_get(series->labels, request->matchers[i]->name)))
            return false;
    return true;
}

static enum error_code source_select(struct series_source *self,
                                     const struct series_request *request,
                                     struct series_set **set_out, struct error *error)
{
    struct series_memory *memory = (struct series_memory *)self;
    struct memory_set *set = calloc(1, sizeof *set);
    size_t *indices = calloc(memory->count + 1, sizeof *indices);
    if (set == NULL || indices == NULL) {
        free(set);
        free(indices);
        return error_set(error, ERROR_OUT_OF_MEMORY, "series set");
    }
    size_t count = 0;
    for (size_t i = 0; i < memory->count; i++)
        if (series_matches(&memory->series[i], request))
            indices[count++] = i;
    bool truncated = request->series_limit > 0 && count > request->series_limit;
    if (truncated)
        count = request->series_limit;
    *set = (struct memory_set){
        .set = {.operations = &SET_OPERATIONS, .count = count, .truncated = truncated},
        .memory = memory,
        .indices = indices,
        .start_ms = request->start_ms,
        .end_ms = request->end_ms,
        .need = request->need,
    };
    *set_out = &set->set;
    return ERROR_NONE;
}

static enum error_code add_text(struct text_set *texts, struct text text, struct error *error)
{
    return text_set_add(texts, text) == TEXT_SET_OUT_OF_MEMORY
               ? error_set(error, ERROR_OUT_OF_MEMORY, "texts")
               : ERROR_NONE;
}

static enum error_code source_label_names(struct series_source *self,
                                          const struct series_request *request,
                                          struct text_set *names, struct error *error)
{
    struct series_memory *memory = (struct series_memory *)self;
    enum error_code code = ERROR_NONE;
    struct label label;
    for (size_t i = 0; code == ERROR_NONE && i < memory->count; i++) {
        struct labels_cursor cursor = labels_begin(memory->series[i].labels);
        while (code == ERROR_NONE && series_matches(&memory->series[i], request) &&
               labels_next(&cursor, &label))
            code = add_text(names, label.name, error);
    }
    return code;
}

static enum error_code source_label_values(struct series_source *self,
                                           const struct series_request *request, struct text name,
                                           struct text_set *values, struct error *error)
{
    struct series_memory *memory = (struct series_memory *)self;
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < memory->count; i++) {
        struct text value = labels_get(memory->series[i].labels, name);
        if (value.size > 0 && series_matches(&memory->series[i], request))
            code = add_text(values, value, error);
    }
    return code;
}

static const struct series_source_operations SOURCE_OPERATIONS = {
    .select = source_select,
    .label_names = source_label_names,
    .label_values = source_label_values,
};

struct series_memory *series_memory_create(void)
{
    struct series_memory *memory = calloc(1, sizeof *memory);
    if (memory == NULL)
        abort();
    memory->source.operations = &SOURCE_OPERATIONS;
    memory->arena = arena_create(0);
    if (memory->arena == NULL)
        abort();
    return memory;
}

void series_memory_destroy(struct series_memory *memory)
{
    if (memory == NULL)
        return;
    for (size_t i = 0; i < memory->count; i++) {
        struct memory_series *series = &memory->series[i];
        free(series->timestamps_ms);
        free(series->values);
        free(series->histograms);
        free(series->starts_ms);
        free(series->known_timestamps_ms);
        free(series->known_starts_ms);
    }
    free(memory->series);
    arena_destroy(memory->arena);
    free(memory);
}

struct series_source *series_memory_source(struct series_memory *memory)
{
    return &memory->source;
}
