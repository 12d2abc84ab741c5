#include "tsdb/tsdb_meta.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"

/* --- Names ------------------------------------------------------------------------------------
 */

static const char ULID_DIGITS[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

void tsdb_ulid_make(int64_t now_ms, struct random *random, char ulid[TSDB_ULID_CHARACTERS + 1])
{
    enum { TIME_DIGITS = 10, RANDOM_DIGITS = 16, DIGIT_BITS = 5 };
    uint64_t time = (uint64_t)now_ms & ((UINT64_C(1) << 48) - 1);
    for (int i = 0; i < TIME_DIGITS; i++)
        ulid[i] = ULID_DIGITS[time >> (DIGIT_BITS * (TIME_DIGITS - 1 - i)) & 31];
    uint64_t numbers[2] = {random_next(random), random_next(random)};
    for (int i = 0; i < RANDOM_DIGITS; i++)
        ulid[TIME_DIGITS + i] = ULID_DIGITS[numbers[i / 8] >> (DIGIT_BITS * (i % 8)) & 31];
    ulid[TSDB_ULID_CHARACTERS] = '\0';
}

bool tsdb_ulid_is(const char *name)
{
    return strlen(name) == TSDB_ULID_CHARACTERS &&
           strspn(name, ULID_DIGITS) == TSDB_ULID_CHARACTERS;
}

/* --- Decoding ---------------------------------------------------------------------------------
 */

static uint64_t count_of(json_t *statistics, const char *name)
{
    json_int_t value = json_integer_value(json_object_get(statistics, name));
    return value < 0 ? 0 : (uint64_t)value;
}

static enum error_code take_external_labels(json_t *thanos, struct arena *arena,
                                            struct tsdb_meta *meta, struct error *error)
{
    struct label labels[LABELS_PER_SERIES_MAX];
    size_t count = 0;
    const char *name;
    json_t *value;
    json_object_foreach(json_object_get(thanos, "labels"), name, value)
    {
        if (strncmp(name, "__", 2) == 0)
            continue;
        if (!json_is_string(value) || count == LABELS_PER_SERIES_MAX)
            return error_set(error, ERROR_CORRUPT, "thanos.labels: that are no labels");
        labels[count++] =
            (struct label){text_of(name), {json_string_value(value), json_string_length(value)}};
    }
    meta->external_labels = labels_build(arena, labels, count);
    return meta->external_labels.bytes == NULL
               ? error_set(error, ERROR_OUT_OF_MEMORY, "labels of a block")
               : ERROR_NONE;
}

static enum error_code take(json_t *root, struct arena *arena, struct tsdb_meta *meta,
                            struct error *error)
{
    json_t *statistics = json_object_get(root, "stats");
    json_t *compaction = json_object_get(root, "compaction");
    json_t *thanos = json_object_get(root, "thanos");
    json_t *start = json_object_get(root, "minTime"), *end = json_object_get(root, "maxTime");
    const char *ulid = json_string_value(json_object_get(root, "ulid"));
    json_int_t version = json_integer_value(json_object_get(root, "version"));
    if (version != 1)
        return error_set(error, ERROR_UNSUPPORTED, "version %" JSON_INTEGER_FORMAT ", not 1",
                         version);
    if (ulid == NULL || !tsdb_ulid_is(ulid))
        return error_set(error, ERROR_CORRUPT, "there is no ulid");
    if (!json_is_integer(start) || !json_is_integer(end))
        return error_set(error, ERROR_CORRUPT, "there is no minTime or maxTime");
    memcpy(meta->ulid, ulid, sizeof meta->ulid);
    meta->start_ms = json_integer_value(start);
    meta->end_ms = json_integer_value(end);
    meta->sample_count = count_of(statistics, "numSamples");
    meta->series_count = count_of(statistics, "numSeries");
    meta->chunk_count = count_of(statistics, "numChunks");
    meta->compaction_level = json_integer_value(json_object_get(compaction, "level"));
    meta->is_deletable = json_is_true(json_object_get(compaction, "deletable"));
    meta->resolution_ms =
        json_integer_value(json_object_get(json_object_get(thanos, "downsample"), "resolution"));
    return take_external_labels(thanos, arena, meta, error);
}

enum error_code tsdb_meta_decode(const uint8_t *json, size_t size, struct arena *arena,
                                 struct tsdb_meta *meta_out, struct error *error)
{
    json_error_t problem;
    struct tsdb_meta meta = {0};
    json_t *root = json_loadb((const char *)json, size, JSON_REJECT_DUPLICATES, &problem);
    if (root == NULL)
        return error_set(error, ERROR_CORRUPT, "line %d: %s", problem.line, problem.text);
    enum error_code code = take(root, arena, &meta, error);
    json_decref(root);
    if (code == ERROR_NONE)
        *meta_out = meta;
    return code;
}

/* --- Encoding ---------------------------------------------------------------------------------
 */

void tsdb_meta_encode(const struct tsdb_meta *meta, struct byte_buffer *buffer)
{
    char text[1024];
    int size = snprintf(text, sizeof text,
                        "{\n"
                        "\t\"ulid\": \"%s\",\n"
                        "\t\"minTime\": %" PRId64 ",\n"
                        "\t\"maxTime\": %" PRId64 ",\n"
                        "\t\"stats\": {\n"
                        "\t\t\"numSamples\": %" PRIu64 ",\n"
                        "\t\t\"numSeries\": %" PRIu64 ",\n"
                        "\t\t\"numChunks\": %" PRIu64 "\n"
                        "\t},\n"
                        "\t\"compaction\": {\n"
                        "\t\t\"level\": %" PRId64 ",\n"
                        "\t\t\"sources\": [\n"
                        "\t\t\t\"%s\"\n"
                        "\t\t]\n"
                        "\t},\n"
                        "\t\"version\": 1\n"
                        "}\n",
                        meta->ulid, meta->start_ms, meta->end_ms, meta->sample_count,
                        meta->series_count, meta->chunk_count, meta->compaction_level, meta->ulid);
    byte_buffer_append(buffer, text, (size_t)size);
}
