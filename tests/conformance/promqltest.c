/*
 * promqltest FILE.test ... - run PromQL cases in the format of Prometheus' promqltest.
 *
 * Prints each failure with its line, and a count per file. -q prints the counts only. --places N
 * spreads the series over N places, in which is evaluated what distributes. --json runs nothing,
 * and prints what the files say as JSON.
 */
#include <stdio.h>
#include <stdlib.h>

#include "cases.h"
#include "split_places.h"

struct run_options {
    bool is_quiet;
    size_t place_count; /* 0: all is in one place, this one */
};

struct file_run {
    const char *path;
    struct arena *arena;
    struct series_memory *memory;  /* what queries see */
    struct series_memory *loading; /* the current load */
    const struct run_options *options;
    size_t passed;
    size_t failed;
    size_t distributed; /* sub-expressions that were evaluated in places */
};

static void run_clear(void *context)
{
    struct file_run *run = context;
    series_memory_destroy(run->memory);
    run->memory = series_memory_create();
}

void notation_load(struct series_memory *memory, const struct notation *notation, int64_t step_ms)
{
    for (size_t i = 0; i < notation->point_count; i++) {
        const struct point *point = &notation->points[i];
        int64_t timestamp_ms = (int64_t)i * step_ms;
        if (point->kind == POINT_MISSING)
            continue;
        if (notation->kind == NOTATION_START_OFFSETS)
            series_memory_add_start(memory, notation->labels, timestamp_ms,
                                    timestamp_ms + (int64_t)point->value);
        else
            series_memory_add(
                memory, notation->labels,
                (struct memory_sample){timestamp_ms, point->value, point->histogram, 0});
    }
}

static void run_load(void *context, const struct notation *notation, int64_t step_ms)
{
    struct file_run *run = context;
    notation_load(run->memory, notation, step_ms);
    notation_load(run->loading, notation, step_ms);
}

static void run_load_end(void *context, bool with_custom_buckets)
{
    struct file_run *run = context;
    size_t classic_count = series_memory_count(run->loading);
    if (with_custom_buckets) {
        classic_buckets_convert(run->loading, run->arena);
        for (size_t i = classic_count; i < series_memory_count(run->loading); i++) {
            struct sample_columns columns = series_memory_columns(run->loading, i);
            for (size_t j = 0; j < columns.count; j++)
                series_memory_add(
                    run->memory, series_memory_labels(run->loading, i),
                    (struct memory_sample){columns.timestamps_ms[j], 0, columns.histograms[j], 0});
        }
    }
    series_memory_destroy(run->loading);
    run->loading = series_memory_create();
}

static void run_evaluate(void *context, const struct evaluation_case *evaluation)
{
    struct file_run *run = context;
    struct split_places *places = NULL;
    struct promql_distributor *distributor = NULL;
    if (run->options->place_count > 0) {
        places = split_places_create(run->memory, run->options->place_count, NULL);
        distributor = split_places_distributor(places);
    }
    struct case_result result = case_run(evaluation, run->memory, distributor, run->arena);
    run->distributed += places == NULL ? 0 : split_places_request_count(places);
    split_places_destroy(places);
    if (result.has_passed) {
        run->passed++;
        return;
    }
    run->failed++;
    if (!run->options->is_quiet)
        printf("%s:%zu: %.*s\n    %s\n", run->path, evaluation->line,
               TEXT_ARGUMENTS(evaluation->query), result.reason);
}

static bool file_read(const char *path, struct byte_buffer *buffer)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return false;
    char block[65536];
    size_t size;
    while ((size = fread(block, 1, sizeof block, file)) > 0)
        byte_buffer_append(buffer, block, size);
    fclose(file);
    return !buffer->failed;
}

/* Read and walk; false when it can't be, which is said. */
static bool file_walk(const char *path, struct arena *arena, const struct case_visitor *visitor)
{
    struct byte_buffer buffer = {0};
    struct error error = {0};
    bool is_read = file_read(path, &buffer);
    if (!is_read)
        error_set(&error, ERROR_IO, "can't be read");
    struct text text = {(const char *)buffer.bytes, buffer.size};
    bool is_walked = is_read && case_file_walk(text, arena, visitor, &error) == ERROR_NONE;
    if (!is_walked)
        fprintf(stderr, "%s: %s\n", path, error.message);
    byte_buffer_clear(&buffer);
    return is_walked;
}

/* Failures of a file, its own among them. */
static size_t file_run(const char *path, const struct run_options *options)
{
    struct file_run run = {
        .path = path,
        .arena = arena_create(0),
        .memory = series_memory_create(),
        .loading = series_memory_create(),
        .options = options,
    };
    struct case_visitor visitor = {
        .context = &run,
        .clear = run_clear,
        .load = run_load,
        .load_end = run_load_end,
        .evaluate = run_evaluate,
    };
    run.failed += !file_walk(path, run.arena, &visitor);
    const char *name = strrchr(path, '/');
    printf("%-28s %4zu passed, %4zu failed", name == NULL ? path : name + 1, run.passed,
           run.failed);
    if (options->place_count > 0)
        printf(", %4zu evaluated in %zu places", run.distributed, options->place_count);
    printf("\n");
    series_memory_destroy(run.memory);
    series_memory_destroy(run.loading);
    arena_destroy(run.arena);
    return run.failed;
}

static size_t file_print(const char *path)
{
    struct case_printer printer = {.loading = series_memory_create(), .arena = arena_create(0)};
    struct case_visitor visitor = CASE_PRINTER;
    visitor.context = &printer;
    bool is_walked = file_walk(path, printer.arena, &visitor);
    series_memory_destroy(printer.loading);
    arena_destroy(printer.arena);
    return !is_walked;
}

int main(int argument_count, char **arguments)
{
    size_t failed = 0;
    struct run_options options = {0};
    bool is_printed = false;
    for (int i = 1; i < argument_count; i++) {
        if (strcmp(arguments[i], "-q") == 0)
            options.is_quiet = true;
        else if (strcmp(arguments[i], "--places") == 0 && i + 1 < argument_count)
            options.place_count = strtoul(arguments[++i], NULL, 10);
        else if (strcmp(arguments[i], "--json") == 0)
            is_printed = true;
        else
            failed += is_printed ? file_print(arguments[i]) : file_run(arguments[i], &options);
    }
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
