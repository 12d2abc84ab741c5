#include "backup/backup_point.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"

enum { LINE_BYTES_MAX = 200 };

/* --- Names -------------------------------------------------------------------------------------
 */

struct text backup_point_key_format(int64_t time_ms, char text[BUCKET_KEY_MAX])
{
    int size = snprintf(text, BUCKET_KEY_MAX, BACKUP_POINT_PREFIX "%016" PRIx64, (uint64_t)time_ms);
    return (struct text){text, (size_t)size};
}

bool backup_point_key_parse(struct text key, int64_t *time_ms_out)
{
    const struct text PREFIX = TEXT(BACKUP_POINT_PREFIX);
    char expected[BUCKET_KEY_MAX];
    uint64_t time_ms = 0;
    if (key.size != PREFIX.size + 16 || !text_starts_with(key, PREFIX))
        return false;
    for (size_t i = PREFIX.size; i < key.size; i++) {
        char digit = key.data[i];
        unsigned value = digit >= '0' && digit <= '9'   ? (unsigned)(digit - '0')
                         : digit >= 'a' && digit <= 'f' ? (unsigned)(digit - 'a') + 10
                                                        : 16;
        if (value > 15)
            return false;
        time_ms = time_ms << 4 | value;
    }
    *time_ms_out = (int64_t)time_ms;
    return *time_ms_out >= 0 && text_equal(key, backup_point_key_format(*time_ms_out, expected));
}

/* --- Bytes -------------------------------------------------------------------------------------
 */

static void add_line(struct byte_buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void add_line(struct byte_buffer *buffer, const char *format, ...)
{
    char line[LINE_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    byte_buffer_append(buffer, line, (size_t)size);
}

static void add_checksum(struct byte_buffer *buffer, size_t from)
{
    if (!buffer->failed)
        add_line(buffer, "checksum %08" PRIx32 "\n",
                 crc32c(0, buffer->bytes + from, buffer->size - from));
}

void backup_point_encode(const struct backup_point *point, struct byte_buffer *buffer)
{
    char text[BUCKET_KEY_MAX];
    size_t from = buffer->size;
    bucket_owner_format(point->owner, text);
    add_line(buffer, "gnomon backup 1\ncluster %s\nincarnation %" PRIu64 "\ntime %" PRId64 "\n",
             text, point->incarnation, point->time_ms);
    add_line(buffer, "blocks %" PRIu64 " bytes %" PRIu64 " samples %" PRIu64 "\n", point->blocks,
             point->bytes, point->samples);
    if (point->has_meta)
        add_line(buffer, "meta %s\n", bucket_meta_key_format(&point->meta, text).data);
    for (size_t i = 0; i < point->shard_count; i++) {
        const struct backup_shard *shard = &point->shards[i];
        add_line(buffer, "list %s\n", bucket_list_key_format(&shard->list, text).data);
        if (shard->has_metadata)
            add_line(buffer, "metadata %s\n",
                     bucket_metadata_key_format(&shard->metadata, text).data);
    }
    add_checksum(buffer, from);
}

static enum error_code not_one(struct error *error)
{
    return error_set(error, ERROR_CORRUPT, "it is not a point of a backup, or damaged");
}

/* The next line without its end. */
static bool next_line(struct text *rest, struct text *line_out)
{
    const char *end = rest->size == 0 ? NULL : memchr(rest->data, '\n', rest->size);
    if (end == NULL)
        return false;
    *line_out = (struct text){rest->data, (size_t)(end - rest->data)};
    rest->data = end + 1;
    rest->size -= line_out->size + 1;
    return true;
}

/* What follows a word and a space; false: the line begins otherwise. */
static bool take(struct text line, struct text word, struct text *rest_out)
{
    if (!text_starts_with(line, word) || line.size == word.size || line.data[word.size] != ' ')
        return false;
    *rest_out = (struct text){line.data + word.size + 1, line.size - word.size - 1};
    return true;
}

static bool take_owner(struct text digits, uint8_t owner[BUCKET_OWNER_BYTES])
{
    if (digits.size != 2 * BUCKET_OWNER_BYTES)
        return false;
    for (size_t i = 0; i < BUCKET_OWNER_BYTES; i++) {
        char pair[3] = {digits.data[2 * i], digits.data[2 * i + 1], '\0'};
        unsigned value;
        if (strspn(pair, "0123456789abcdef") != 2 || sscanf(pair, "%2x", &value) != 1)
            return false;
        owner[i] = (uint8_t)value;
    }
    return true;
}

static bool take_counts(struct text line, struct backup_point *point)
{
    struct text blocks, bytes, samples;
    const struct text BYTES = TEXT(" bytes "), SAMPLES = TEXT(" samples ");
    if (!take(line, TEXT("blocks"), &blocks))
        return false;
    const char *at = memmem(blocks.data, blocks.size, BYTES.data, BYTES.size);
    if (at == NULL)
        return false;
    bytes = (struct text){at + BYTES.size, (size_t)(blocks.data + blocks.size - at) - BYTES.size};
    blocks.size = (size_t)(at - blocks.data);
    at = memmem(bytes.data, bytes.size, SAMPLES.data, SAMPLES.size);
    if (at == NULL)
        return false;
    samples =
        (struct text){at + SAMPLES.size, (size_t)(bytes.data + bytes.size - at) - SAMPLES.size};
    bytes.size = (size_t)(at - bytes.data);
    return text_to_uint64(blocks, &point->blocks) && text_to_uint64(bytes, &point->bytes) &&
           text_to_uint64(samples, &point->samples);
}

static bool take_head(struct text *rest, struct backup_point *point)
{
    struct text line, value;
    uint64_t time_ms;
    bool is_sound = next_line(rest, &line) && text_equal(line, TEXT("gnomon backup 1")) &&
                    next_line(rest, &line) && take(line, TEXT("cluster"), &value) &&
                    take_owner(value, point->owner) && next_line(rest, &line) &&
                    take(line, TEXT("incarnation"), &value) &&
                    text_to_uint64(value, &point->incarnation) && next_line(rest, &line) &&
                    take(line, TEXT("time"), &value) && text_to_uint64(value, &time_ms) &&
                    time_ms <= INT64_MAX && next_line(rest, &line) && take_counts(line, point);
    if (is_sound)
        point->time_ms = (int64_t)time_ms;
    return is_sound;
}

static enum error_code take_list(struct backup_point *point, struct text value, struct error *error)
{
    struct bucket_list_key key;
    size_t count = point->shard_count;
    if (!bucket_list_key_parse(value, &key) || count == BACKUP_POINT_SHARDS_MAX ||
        (count > 0 && point->shards[count - 1].list.shard_id >= key.shard_id))
        return not_one(error);
    struct backup_shard *shards = realloc(point->shards, (count + 1) * sizeof *shards);
    if (shards == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "point of a backup");
    point->shards = shards;
    shards[point->shard_count++] = (struct backup_shard){.list = key};
    return ERROR_NONE;
}

/* Of the shard whose list came last. */
static bool take_metadata(struct backup_point *point, struct text value)
{
    struct backup_shard *shard =
        point->shard_count == 0 ? NULL : &point->shards[point->shard_count - 1];
    if (shard == NULL || shard->has_metadata ||
        !bucket_metadata_key_parse(value, &shard->metadata) ||
        shard->metadata.shard_id != shard->list.shard_id)
        return false;
    shard->has_metadata = true;
    return true;
}

static bool take_meta(struct backup_point *point, struct text value)
{
    if (point->has_meta || point->shard_count > 0 || !bucket_meta_key_parse(value, &point->meta))
        return false;
    point->has_meta = true;
    return true;
}

static enum error_code take_objects(struct text rest, struct backup_point *point,
                                    struct error *error)
{
    struct text line, value;
    enum error_code code = ERROR_NONE;
    while (code == ERROR_NONE && next_line(&rest, &line)) {
        bool is_sound = true;
        if (take(line, TEXT("list"), &value))
            code = take_list(point, value, error);
        else if (take(line, TEXT("metadata"), &value))
            is_sound = take_metadata(point, value);
        else if (take(line, TEXT("meta"), &value))
            is_sound = take_meta(point, value);
        else
            is_sound = take(line, TEXT("checksum"), &value) && rest.size == 0;
        if (!is_sound)
            code = not_one(error);
    }
    return code;
}

/* Only what would be written is taken, so that each point has one form. */
static enum error_code check_form(const struct backup_point *point, const uint8_t *bytes,
                                  size_t size_bytes, struct error *error)
{
    struct byte_buffer expected = {0};
    backup_point_encode(point, &expected);
    enum error_code code = ERROR_NONE;
    if (expected.failed)
        code = error_set(error, ERROR_OUT_OF_MEMORY, "point of a backup");
    else if (expected.size != size_bytes || memcmp(expected.bytes, bytes, size_bytes) != 0)
        code = not_one(error);
    byte_buffer_clear(&expected);
    return code;
}

enum error_code backup_point_decode(const uint8_t *bytes, size_t size_bytes,
                                    struct backup_point *point_out, struct error *error)
{
    struct backup_point point = {0};
    struct text rest = {(const char *)bytes, size_bytes};
    enum error_code code = take_head(&rest, &point) ? ERROR_NONE : not_one(error);
    if (code == ERROR_NONE)
        code = take_objects(rest, &point, error);
    if (code == ERROR_NONE)
        code = check_form(&point, bytes, size_bytes, error);
    if (code == ERROR_NONE)
        *point_out = point;
    else
        backup_point_clear(&point);
    return code;
}

void backup_point_clear(struct backup_point *point)
{
    free(point->shards);
    point->shards = NULL;
    point->shard_count = 0;
}

/* --- In a store --------------------------------------------------------------------------------
 */

struct point_times {
    int64_t *times;
    size_t count;
    bool failed;
};

static bool note_point(void *context, const struct object_info *object)
{
    struct point_times *found = context;
    int64_t time_ms;
    if (!backup_point_key_parse(object->key, &time_ms))
        return true;
    int64_t *times = realloc(found->times, (found->count + 1) * sizeof *times);
    found->failed = times == NULL;
    if (times == NULL)
        return false;
    found->times = times;
    times[found->count++] = time_ms; /* keys come in the order of their times */
    return true;
}

enum error_code backup_points_list(struct object_store *store, int64_t **times_out,
                                   size_t *count_out, struct error *error)
{
    struct point_times found = {0};
    struct object_range range = {.prefix = TEXT(BACKUP_POINT_PREFIX)};
    enum error_code code = object_store_list(store, NULL, &range, note_point, &found, error);
    if (code == ERROR_NONE && found.failed)
        code = error_set(error, ERROR_OUT_OF_MEMORY, "points of a backup");
    if (code != ERROR_NONE) {
        free(found.times);
        return code;
    }
    *times_out = found.times;
    *count_out = found.count;
    return ERROR_NONE;
}

enum error_code backup_point_read(struct object_store *store, int64_t time_ms,
                                  struct backup_point *point_out, struct error *error)
{
    char text[BUCKET_KEY_MAX];
    struct byte_buffer bytes = {0};
    struct text key = backup_point_key_format(time_ms, text);
    enum error_code code =
        object_store_read_whole(store, NULL, key, BACKUP_POINT_BYTES_MAX, &bytes, error);
    if (code == ERROR_NONE) {
        code = backup_point_decode(bytes.bytes, bytes.size, point_out, error);
        if (code == ERROR_NONE && point_out->time_ms != time_ms) {
            backup_point_clear(point_out);
            code = not_one(error);
        }
        if (code != ERROR_NONE)
            error_wrap(error, "'%s'", text);
    }
    byte_buffer_clear(&bytes);
    return code;
}
