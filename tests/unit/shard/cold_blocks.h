/*
 * cold_blocks - blocks made of numbers, put into a store as objects. Each series and sample can be
 * told from its labels.
 */
#ifndef COLD_BLOCKS_H
#define COLD_BLOCKS_H

#include <inttypes.h>
#include <stdio.h>

#include "base/limits.h"
#include "block/block_writer.h"
#include "model/labels.h"
#include "platform/disk.h"

enum {
    COLD_LABELS = 6,
    COLD_SAMPLES_MAX = 8192,
    COLD_STEP_MS = 15000,
};

/* What a block has: tenants x metrics x instances series, in this order. */
struct cold_shape {
    unsigned tenants;
    unsigned metrics;
    unsigned instances;
    unsigned samples; /* of each series */
};

static const int64_t COLD_START_MS = INT64_C(1699999200000);

static void cold_tenant(char text[32], unsigned tenant)
{
    snprintf(text, 32, "tenant-%03u", tenant);
}

static double cold_value(uint64_t number, size_t sample)
{
    uint64_t mixed = (number * 8192 + sample + 1) * UINT64_C(0x9e3779b97f4a7c15);
    return (double)((mixed ^ mixed >> 29) % 100003); /* as little alike as samples are */
}

static void cold_pod(char text[64], unsigned instance)
{
    snprintf(text, 64, "pod-%05u-%08x", instance, instance * 2654435761u);
}

/* `number` is that within the tenant. */
static struct labels cold_labels(const struct cold_shape *shape, uint64_t number,
                                 char texts[COLD_LABELS][64], struct arena *arena)
{
    unsigned metric = (unsigned)(number / shape->instances);
    unsigned instance = (unsigned)(number % shape->instances);
    snprintf(texts[0], 64, "metric_%05u", metric);
    snprintf(texts[1], 64, "host-%05u:9100", instance);
    snprintf(texts[2], 64, "job-%02u", instance * 8 / shape->instances);
    cold_pod(texts[3], instance);
    snprintf(texts[4], 64, "%08x-%06" PRIu64, (unsigned)(number * 2654435761u), number);
    snprintf(texts[5], 64, "zone-%u", instance % 3);
    struct label labels[COLD_LABELS] = {
        {TEXT("__name__"), text_of(texts[0])}, {TEXT("instance"), text_of(texts[1])},
        {TEXT("job"), text_of(texts[2])},      {TEXT("pod"), text_of(texts[3])},
        {TEXT("uid"), text_of(texts[4])},      {TEXT("zone"), text_of(texts[5])},
    };
    return labels_build(arena, labels, COLD_LABELS);
}

static int64_t cold_window_ms(const struct cold_shape *shape)
{
    int64_t length = (int64_t)shape->samples * COLD_STEP_MS;
    return (length + BLOCK_CHUNK_WINDOW_MS - 1) / BLOCK_CHUNK_WINDOW_MS * BLOCK_CHUNK_WINDOW_MS;
}

/* The samples of windows follow each other. */
static void cold_columns(const struct cold_shape *shape, unsigned window, uint64_t number,
                         int64_t *timestamps_ms, double *values)
{
    int64_t start_ms = COLD_START_MS + (int64_t)window * cold_window_ms(shape);
    for (size_t i = 0; i < shape->samples; i++) {
        timestamps_ms[i] = start_ms + (int64_t)i * COLD_STEP_MS;
        values[i] = cold_value(number, i);
    }
}

static enum error_code cold_add_tenant(struct block_writer *writer, const struct cold_shape *shape,
                                       unsigned tenant, unsigned window, struct error *error)
{
    static int64_t timestamps_ms[COLD_SAMPLES_MAX];
    static double values[COLD_SAMPLES_MAX];
    struct arena *arena = arena_create(0);
    char name[32], texts[COLD_LABELS][64];
    enum error_code code = ERROR_NONE;
    cold_tenant(name, tenant);
    uint64_t count = (uint64_t)shape->metrics * shape->instances;
    for (uint64_t number = 0; code == ERROR_NONE && number < count; number++) {
        arena_reset(arena);
        cold_columns(shape, window, number, timestamps_ms, values);
        struct block_series series = {
            .tenant = text_of(name),
            .slot = (uint16_t)(number % SLOT_COUNT),
            .labels = cold_labels(shape, number, texts, arena),
        };
        struct sample_columns columns = {
            .count = shape->samples, .timestamps_ms = timestamps_ms, .values = values};
        code = block_writer_add(writer, &series, &columns, NULL, 0, error);
    }
    arena_destroy(arena);
    return code;
}

/* Window `window` as a file. */
static enum error_code cold_write_block(struct disk *disk, const char *path,
                                        const struct cold_shape *shape, unsigned window,
                                        struct file_summary *summary_out, struct error *error)
{
    int64_t start_ms = COLD_START_MS + (int64_t)window * cold_window_ms(shape);
    struct block_properties properties = {
        .start_ms = start_ms, .end_ms = start_ms + cold_window_ms(shape), .block_id = window + 1};
    struct block_writer *writer;
    enum error_code code = block_writer_create(disk, path, &properties, &writer, error);
    if (code != ERROR_NONE)
        return code;
    for (unsigned tenant = 0; code == ERROR_NONE && tenant < shape->tenants; tenant++)
        code = cold_add_tenant(writer, shape, tenant, window, error);
    if (code == ERROR_NONE)
        code = block_writer_finish(writer, summary_out, error);
    block_writer_destroy(writer);
    return code;
}

#endif
