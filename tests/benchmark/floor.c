#include "floor.h"

#include <snappy-c.h>
#include <stdlib.h>
#include <time.h>

#include "base/bytes.h"

enum { PASSES = 3, SAMPLES_MAX = 2000000 };

enum step { STEP_DECOMPRESS, STEP_WALK, STEP_HASH };

struct pass {
    enum step step;
    enum bodies_protocol protocol;
    char *raw; /* [raw_capacity], owned */
    size_t raw_capacity;
    uint64_t sample_count;
    uint64_t digest; /* keeps the compiler from leaving work out */
};

static double cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* --- Walking -------------------------------------------------------------------------------- */

static struct byte_reader message(struct byte_reader *reader)
{
    size_t size = byte_reader_varint(reader);
    const uint8_t *bytes = byte_reader_take(reader, size);
    return byte_reader_over(bytes, bytes == NULL ? 0 : size);
}

/* Label: name, value, each a tag, a length and bytes. */
static void walk_label(struct byte_reader label, struct pass *pass)
{
    while (byte_reader_left(&label) > 0) {
        byte_reader_varint(&label);
        struct byte_reader text = message(&label);
        pass->digest += byte_reader_left(&text);
    }
}

static void walk_references(struct byte_reader references, struct pass *pass)
{
    while (byte_reader_left(&references) > 0)
        pass->digest += byte_reader_varint(&references);
}

static void walk_sample(struct byte_reader sample, struct pass *pass)
{
    byte_reader_varint(&sample);
    pass->digest += byte_reader_u64(&sample);
    byte_reader_varint(&sample);
    pass->digest += byte_reader_varint(&sample);
    pass->sample_count++;
}

static void walk_series(struct byte_reader series, struct pass *pass)
{
    const uint8_t *labels = series.position, *labels_end = labels;
    while (byte_reader_left(&series) > 0) {
        uint64_t tag = byte_reader_varint(&series);
        struct byte_reader field = message(&series);
        if (tag >> 3 != 1) {
            walk_sample(field, pass);
            continue;
        }
        labels_end = series.position;
        if (pass->protocol == BODIES_PROTOCOL_1)
            walk_label(field, pass);
        else
            walk_references(field, pass);
    }
    if (pass->step == STEP_HASH) {
        struct hash128 hash = hash128(labels, (size_t)(labels_end - labels), HASH_SEED_STORED);
        pass->digest += hash.low ^ hash.high;
    }
}

static void walk_request(struct byte_reader request, struct pass *pass)
{
    while (byte_reader_left(&request) > 0 && !request.failed) {
        uint64_t tag = byte_reader_varint(&request);
        struct byte_reader field = message(&request);
        if (tag >> 3 == 4) /* a symbol */
            pass->digest += byte_reader_left(&field);
        else
            walk_series(field, pass);
    }
}

/* --- Passes --------------------------------------------------------------------------------- */

static enum error_code take(struct pass *pass, struct body body, struct error *error)
{
    const char *compressed = (const char *)body.bytes;
    size_t size;
    if (snappy_uncompressed_length(compressed, body.size, &size) != SNAPPY_OK)
        return error_set(error, ERROR_CORRUPT, "a request is not snappy");
    if (size > pass->raw_capacity) {
        char *grown = realloc(pass->raw, size);
        if (grown == NULL)
            return error_set(error, ERROR_OUT_OF_MEMORY, "a request");
        pass->raw = grown;
        pass->raw_capacity = size;
    }
    if (snappy_uncompress(compressed, body.size, pass->raw, &size) != SNAPPY_OK)
        return error_set(error, ERROR_CORRUPT, "a request is not snappy");
    if (pass->step == STEP_DECOMPRESS)
        pass->sample_count += body.series_count;
    else
        walk_request(byte_reader_over((const uint8_t *)pass->raw, size), pass);
    return ERROR_NONE;
}

static enum error_code take_all(struct pass *pass, const struct bodies *bodies, struct error *error)
{
    for (uint64_t tick = 0; tick < bodies->options.tick_count; tick++) {
        for (uint32_t i = 0; i < bodies->options.connection_count; i++) {
            for (uint64_t j = 0; j < bodies->requests_per_turn; j++) {
                struct body body = bodies_at(bodies, tick, i, j);
                if (body.series_count == 0)
                    continue;
                enum error_code code = take(pass, body, error);
                if (code != ERROR_NONE || pass->sample_count >= SAMPLES_MAX)
                    return code;
            }
        }
    }
    return ERROR_NONE;
}

static enum error_code best_pass(const struct bodies *bodies, enum step step, double *seconds_out,
                                 struct error *error)
{
    enum error_code code = ERROR_NONE;
    struct pass pass = {.step = step, .protocol = bodies->options.protocol};
    double best = 0;
    for (int i = 0; i < PASSES && code == ERROR_NONE; i++) {
        pass.sample_count = 0;
        double started = cpu_seconds();
        code = take_all(&pass, bodies, error);
        double seconds = (cpu_seconds() - started) / (double)(pass.sample_count + 1) * 1e6;
        if (i == 0 || seconds < best)
            best = seconds;
    }
    free(pass.raw);
    if (code == ERROR_NONE)
        *seconds_out = best;
    return code;
}

enum error_code floor_measure(const struct bodies *bodies, struct floor_figures *figures_out,
                              struct error *error)
{
    struct floor_figures figures;
    enum error_code code = best_pass(bodies, STEP_DECOMPRESS, &figures.decompress_seconds, error);
    if (code == ERROR_NONE)
        code = best_pass(bodies, STEP_WALK, &figures.walk_seconds, error);
    if (code == ERROR_NONE)
        code = best_pass(bodies, STEP_HASH, &figures.hash_seconds, error);
    if (code == ERROR_NONE)
        *figures_out = figures;
    return code;
}
