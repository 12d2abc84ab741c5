/* What a .test file says, as lines of JSON. */
#include <inttypes.h>
#include <stdio.h>

#include "cases.h"

/* --- Values ---------------------------------------------------------------------------------- */

static void print_text(struct text text)
{
    putchar('"');
    for (size_t i = 0; i < text.size; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        if (byte == '"' || byte == '\\' || byte < ' ')
            printf("\\u%04x", byte);
        else
            putchar(byte);
    }
    putchar('"');
}

static void print_number(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    printf("\"%016" PRIx64 "\"", bits);
}

static double number_of(const struct histogram *histogram, union histogram_number number)
{
    return histogram->kind == HISTOGRAM_FLOAT ? number.real : (double)number.integer;
}

/* [[bucket, count], ...] */
static void print_buckets(const struct histogram *histogram, const struct histogram_span *spans,
                          size_t span_count, const union histogram_number *counts)
{
    int32_t bucket = 0;
    size_t position = 0;
    putchar('[');
    for (size_t i = 0; i < span_count; i++) {
        bucket += spans[i].offset;
        for (uint32_t j = 0; j < spans[i].length; j++, bucket++, position++) {
            printf("%s[%" PRId32 ",", position > 0 ? "," : "", bucket);
            print_number(number_of(histogram, counts[position]));
            putchar(']');
        }
    }
    putchar(']');
}

static void print_histogram(const struct histogram *histogram)
{
    printf("{\"schema\":%" PRId32 ",\"reset\":%d,\"count\":", histogram->schema,
           (int)histogram->reset);
    print_number(number_of(histogram, histogram->count));
    printf(",\"sum\":");
    print_number(histogram->sum);
    printf(",\"zero_threshold\":");
    print_number(histogram->zero_threshold);
    printf(",\"zero_count\":");
    print_number(number_of(histogram, histogram->zero_count));
    printf(",\"positive\":");
    print_buckets(histogram, histogram->positive_spans, histogram->positive_span_count,
                  histogram->positive_buckets);
    printf(",\"negative\":");
    print_buckets(histogram, histogram->negative_spans, histogram->negative_span_count,
                  histogram->negative_buckets);
    printf(",\"bounds\":[");
    for (uint32_t i = 0; i < histogram->custom_bound_count; i++) {
        printf("%s", i > 0 ? "," : "");
        print_number(histogram->custom_bounds[i]);
    }
    printf("]}");
}

static void print_labels(struct labels labels)
{
    struct labels_cursor cursor = labels_begin(labels);
    struct label label;
    const char *separator = "";
    printf("\"labels\":[");
    while (labels_next(&cursor, &label)) {
        printf("%s[", separator);
        print_text(label.name);
        putchar(',');
        print_text(label.value);
        putchar(']');
        separator = ",";
    }
    putchar(']');
}

/* --- Loads ----------------------------------------------------------------------------------- */

static void print_clear(void *context)
{
    (void)context;
    printf("{\"clear\":true}\n");
}

static void print_load(void *context, const struct notation *notation, int64_t step_ms)
{
    struct case_printer *printer = context;
    notation_load(printer->loading, notation, step_ms);
}

/* {"labels":..., "samples":[[time, start, number or histogram], ...]} */
static void print_series(struct series_memory *memory, size_t index)
{
    struct sample_columns columns = series_memory_columns(memory, index);
    putchar('{');
    print_labels(series_memory_labels(memory, index));
    printf(",\"samples\":[");
    for (size_t i = 0; i < columns.count; i++) {
        printf("%s[%" PRId64 ",%" PRId64 ",", i > 0 ? "," : "", columns.timestamps_ms[i],
               columns.start_timestamps_ms == NULL ? 0 : columns.start_timestamps_ms[i]);
        if (columns.histograms != NULL && columns.histograms[i] != NULL)
            print_histogram(columns.histograms[i]);
        else
            print_number(columns.values[i]);
        putchar(']');
    }
    printf("]}");
}

static void print_load_end(void *context, bool with_custom_buckets)
{
    struct case_printer *printer = context;
    if (with_custom_buckets)
        classic_buckets_convert(printer->loading, printer->arena);
    printf("{\"load\":[");
    for (size_t i = 0; i < series_memory_count(printer->loading); i++) {
        printf("%s", i > 0 ? "," : "");
        print_series(printer->loading, i);
    }
    printf("]}\n");
    series_memory_destroy(printer->loading);
    printer->loading = series_memory_create();
}

/* --- Evaluations ----------------------------------------------------------------------------- */

static void print_expectations(const char *name, const struct expectation_list *list)
{
    static const char *const KINDS[] = {"any", "exact", "regex"};
    printf(",\"%s\":{\"expected\":%s,\"forbidden\":%s,\"messages\":[", name,
           list->is_expected ? "true" : "false", list->is_forbidden ? "true" : "false");
    for (size_t i = 0; i < list->count; i++) {
        printf("%s[\"%s\",", i > 0 ? "," : "", KINDS[list->entries[i].kind]);
        print_text(list->entries[i].message);
        putchar(']');
    }
    printf("]}");
}

static void print_points(const struct notation *notation)
{
    putchar('{');
    print_labels(notation->labels);
    printf(",\"points\":[");
    for (size_t i = 0; i < notation->point_count; i++) {
        const struct point *point = &notation->points[i];
        printf("%s", i > 0 ? "," : "");
        if (point->kind == POINT_MISSING)
            printf("null");
        else if (point->kind == POINT_HISTOGRAM)
            print_histogram(point->histogram);
        else
            print_number(point->value);
    }
    printf("]}");
}

static void print_evaluation(void *context, const struct evaluation_case *evaluation)
{
    (void)context;
    printf("{\"line\":%zu,\"query\":", evaluation->line);
    print_text(evaluation->query);
    printf(",\"is_range\":%s,\"start_ms\":%" PRId64 ",\"end_ms\":%" PRId64 ",\"step_ms\":%" PRId64
           ",\"is_ordered\":%s",
           evaluation->is_range ? "true" : "false", evaluation->start_ms, evaluation->end_ms,
           evaluation->step_ms, evaluation->is_ordered ? "true" : "false");
    print_expectations("fail", &evaluation->fail);
    print_expectations("warn", &evaluation->warn);
    print_expectations("info", &evaluation->info);
    if (evaluation->expects_string) {
        printf(",\"string\":");
        print_text(evaluation->string);
    }
    if (evaluation->expects_scalar) {
        printf(",\"scalar\":");
        print_number(evaluation->scalar);
    }
    if (evaluation->expects_matrix)
        printf(",\"matrix_start_ms\":%" PRId64 ",\"matrix_step_ms\":%" PRId64,
               evaluation->matrix_start_ms, evaluation->matrix_step_ms);
    printf(",\"series\":[");
    for (size_t i = 0; i < evaluation->series_count; i++) {
        printf("%s", i > 0 ? "," : "");
        print_points(&evaluation->series[i]);
    }
    printf("]}\n");
}

const struct case_visitor CASE_PRINTER = {
    .clear = print_clear,
    .load = print_load,
    .load_end = print_load_end,
    .evaluate = print_evaluation,
};
