#include "write_builder.h"

#include <stdlib.h>

/* --- Fields --------------------------------------------------------------------------------- */

void build_varint_field(struct byte_buffer *body, uint32_t number, uint64_t value)
{
    byte_buffer_varint(body, (uint64_t)number << 3);
    byte_buffer_varint(body, value);
}

void build_bits_field(struct byte_buffer *body, uint32_t number, uint64_t bits)
{
    byte_buffer_varint(body, (uint64_t)number << 3 | 1);
    byte_buffer_u64(body, bits);
}

void build_double_field(struct byte_buffer *body, uint32_t number, double value)
{
    build_bits_field(body, number, double_to_bits(value));
}

void build_bytes_field(struct byte_buffer *body, uint32_t number, const void *bytes, size_t size)
{
    byte_buffer_varint(body, (uint64_t)number << 3 | 2);
    byte_buffer_varint(body, size);
    byte_buffer_append(body, bytes, size);
}

static void build_message_field(struct byte_buffer *body, uint32_t number,
                                struct byte_buffer *message)
{
    build_bytes_field(body, number, message->bytes, message->size);
    byte_buffer_clear(message);
}

/* --- Parts that both versions share ---------------------------------------------------------- */

static void build_span(struct byte_buffer *body, uint32_t number, const struct histogram_span *span)
{
    struct byte_buffer message = {0};
    build_varint_field(&message, 1, zigzag_encode(span->offset));
    build_varint_field(&message, 2, span->length);
    build_message_field(body, number, &message);
}

static void build_buckets(struct byte_buffer *body, uint32_t delta_number,
                          const struct histogram *histogram, const union histogram_number *buckets,
                          uint32_t count)
{
    struct byte_buffer packed = {0};
    uint64_t previous = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (histogram->kind == HISTOGRAM_INTEGER) {
            byte_buffer_varint(&packed, zigzag_encode((int64_t)(buckets[i].integer - previous)));
            previous = buckets[i].integer;
        } else {
            byte_buffer_u64(&packed, double_to_bits(buckets[i].real));
        }
    }
    if (count > 0)
        build_message_field(
            body, histogram->kind == HISTOGRAM_INTEGER ? delta_number : delta_number + 1, &packed);
}

static void build_histogram(struct byte_buffer *message, const struct histogram *histogram,
                            int64_t timestamp_ms, int64_t start_timestamp_ms)
{
    if (histogram->kind == HISTOGRAM_INTEGER)
        build_varint_field(message, 1, histogram->count.integer);
    else
        build_double_field(message, 2, histogram->count.real);
    build_double_field(message, 3, histogram->sum);
    build_varint_field(message, 4, zigzag_encode(histogram->schema));
    build_double_field(message, 5, histogram->zero_threshold);
    if (histogram->kind == HISTOGRAM_INTEGER)
        build_varint_field(message, 6, histogram->zero_count.integer);
    else
        build_double_field(message, 7, histogram->zero_count.real);
    for (uint32_t i = 0; i < histogram->negative_span_count; i++)
        build_span(message, 8, &histogram->negative_spans[i]);
    build_buckets(message, 9, histogram, histogram->negative_buckets,
                  histogram->negative_bucket_count);
    for (uint32_t i = 0; i < histogram->positive_span_count; i++)
        build_span(message, 11, &histogram->positive_spans[i]);
    build_buckets(message, 12, histogram, histogram->positive_buckets,
                  histogram->positive_bucket_count);
    build_varint_field(message, 14, histogram->reset);
    build_varint_field(message, 15, (uint64_t)timestamp_ms);
    if (histogram->custom_bound_count > 0)
        build_bytes_field(message, 16, histogram->custom_bounds,
                          histogram->custom_bound_count * sizeof(double));
    if (start_timestamp_ms != 0)
        build_varint_field(message, 17, (uint64_t)start_timestamp_ms);
}

static void build_sample(struct byte_buffer *message, double value, int64_t timestamp_ms,
                         int64_t start_timestamp_ms)
{
    build_double_field(message, 1, value);
    build_varint_field(message, 2, (uint64_t)timestamp_ms);
    if (start_timestamp_ms != 0)
        build_varint_field(message, 3, (uint64_t)start_timestamp_ms);
}

/* --- 1.0 ------------------------------------------------------------------------------------ */

static void build_label(struct byte_buffer *body, struct label label)
{
    struct byte_buffer message = {0};
    build_bytes_field(&message, 1, label.name.data, label.name.size);
    build_bytes_field(&message, 2, label.value.data, label.value.size);
    build_message_field(body, 1, &message);
}

void build_series_1(struct byte_buffer *body, const struct built_series *series)
{
    struct byte_buffer message = {0};
    for (size_t i = 0; i < series->label_count; i++)
        build_label(&message, series->labels[i]);
    for (size_t i = 0; i < series->sample_count; i++) {
        struct byte_buffer sample = {0};
        build_sample(&sample, series->values[i], series->timestamps_ms[i], 0);
        build_message_field(&message, 2, &sample);
    }
    for (size_t i = 0; i < series->exemplar_count; i++) {
        const struct exemplar *exemplar = &series->exemplars[i];
        struct byte_buffer part = {0};
        struct label label;
        struct labels_cursor cursor = labels_begin(exemplar->labels);
        while (labels_next(&cursor, &label))
            build_label(&part, label);
        build_double_field(&part, 2, exemplar->value);
        build_varint_field(&part, 3, (uint64_t)exemplar->timestamp_ms);
        build_message_field(&message, 3, &part);
    }
    for (size_t i = 0; i < series->histogram_count; i++) {
        struct byte_buffer part = {0};
        build_histogram(&part, &series->histograms[i], series->histogram_timestamps_ms[i], 0);
        build_message_field(&message, 4, &part);
    }
    build_message_field(body, 1, &message);
}

void build_metadata_1(struct byte_buffer *body, struct text metric_family,
                      const struct metric_metadata *metadata)
{
    struct byte_buffer message = {0};
    build_varint_field(&message, 1, metadata->type);
    build_bytes_field(&message, 2, metric_family.data, metric_family.size);
    build_bytes_field(&message, 4, metadata->help.data, metadata->help.size);
    build_bytes_field(&message, 5, metadata->unit.data, metadata->unit.size);
    build_message_field(body, 3, &message);
}

/* --- 2.0 ------------------------------------------------------------------------------------ */

/* Linear search: a test's requests are small, and load prepares its bodies beforehand. */
struct symbol_table {
    struct text *symbols;
    size_t count;
    size_t capacity;
};

static uint64_t symbol_reference(struct symbol_table *table, struct text symbol)
{
    for (size_t i = 0; i < table->count; i++)
        if (text_equal(table->symbols[i], symbol))
            return i;
    if (table->count == table->capacity) {
        table->capacity = table->capacity == 0 ? 64 : table->capacity * 2;
        table->symbols = realloc(table->symbols, table->capacity * sizeof *table->symbols);
        if (table->symbols == NULL)
            abort();
    }
    table->symbols[table->count] = symbol;
    return table->count++;
}

static void build_series_2(struct byte_buffer *body, const struct built_series *series,
                           struct symbol_table *table)
{
    struct byte_buffer message = {0};
    struct byte_buffer references = {0};
    for (size_t i = 0; i < series->label_count; i++) {
        byte_buffer_varint(&references, symbol_reference(table, series->labels[i].name));
        byte_buffer_varint(&references, symbol_reference(table, series->labels[i].value));
    }
    build_message_field(&message, 1, &references);
    for (size_t i = 0; i < series->sample_count; i++) {
        struct byte_buffer part = {0};
        build_sample(&part, series->values[i], series->timestamps_ms[i],
                     series->start_timestamp_ms);
        build_message_field(&message, 2, &part);
    }
    for (size_t i = 0; i < series->histogram_count; i++) {
        struct byte_buffer part = {0};
        build_histogram(&part, &series->histograms[i], series->histogram_timestamps_ms[i],
                        series->start_timestamp_ms);
        build_message_field(&message, 3, &part);
    }
    for (size_t i = 0; i < series->exemplar_count; i++) {
        struct byte_buffer part = {0};
        struct label label;
        struct labels_cursor cursor = labels_begin(series->exemplars[i].labels);
        while (labels_next(&cursor, &label)) {
            byte_buffer_varint(&references, symbol_reference(table, label.name));
            byte_buffer_varint(&references, symbol_reference(table, label.value));
        }
        build_message_field(&part, 1, &references);
        build_double_field(&part, 2, series->exemplars[i].value);
        build_varint_field(&part, 3, (uint64_t)series->exemplars[i].timestamp_ms);
        build_message_field(&message, 4, &part);
    }
    if (series->metadata != NULL) {
        struct byte_buffer part = {0};
        build_varint_field(&part, 1, series->metadata->type);
        build_varint_field(&part, 3, symbol_reference(table, series->metadata->help));
        build_varint_field(&part, 4, symbol_reference(table, series->metadata->unit));
        build_message_field(&message, 5, &part);
    }
    build_message_field(body, 5, &message);
}

void build_request_2(struct byte_buffer *body, const struct built_series *series, size_t count)
{
    struct symbol_table table = {0};
    struct byte_buffer all = {0};
    symbol_reference(&table, TEXT(""));
    for (size_t i = 0; i < count; i++)
        build_series_2(&all, &series[i], &table);
    for (size_t i = 0; i < table.count; i++)
        build_bytes_field(body, 4, table.symbols[i].data, table.symbols[i].size);
    byte_buffer_append(body, all.bytes, all.size);
    byte_buffer_clear(&all);
    free(table.symbols);
}
