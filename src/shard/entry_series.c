#include "entry_series.h"

#include <string.h>

#include "base/limits.h"

/* --- Format ---------------------------------------------------------------------------------- */

/*
 * Series of a target come one after the other and differ in their names only: what the labels
 * share with those before, at the front and at the end, is counted instead of repeated.
 */
enum {
    SLOT_SHARED = SLOT_COUNT, /* added to the slot of a series in this form */
    /* Less is not worth the two counts. */
    SHARED_BYTES_MIN = 8,
    /* Of one part: a few bytes that are repeated must not become gigabytes. */
    SHARED_BYTES_MAX = 16 * 1024 * 1024,
};

struct shared {
    uint32_t front;
    uint32_t back;
};

/* --- Encoding -------------------------------------------------------------------------------- */

static uint32_t common_front(const uint8_t *left, const uint8_t *right, uint32_t size)
{
    uint32_t common = 0;
    while (common < size && left[common] == right[common])
        common++;
    return common;
}

/* The same from the ends, which are given. */
static uint32_t common_back(const uint8_t *left, const uint8_t *right, uint32_t size)
{
    uint32_t common = 0;
    while (size - common >= sizeof(uint64_t) && load_u64(left - common - sizeof(uint64_t)) ==
                                                    load_u64(right - common - sizeof(uint64_t)))
        common += sizeof(uint64_t);
    while (common < size && left[-(ptrdiff_t)common - 1] == right[-(ptrdiff_t)common - 1])
        common++;
    return common;
}

static struct shared shared_of(struct labels labels, struct labels before)
{
    uint32_t size = labels.size < before.size ? labels.size : before.size;
    struct shared shared = {.front = common_front(labels.bytes, before.bytes, size)};
    shared.back =
        common_back(labels.bytes + labels.size, before.bytes + before.size, size - shared.front);
    return shared;
}

void entry_encode_series(struct byte_buffer *buffer, const struct entry_part *part)
{
    struct labels before = {0};
    size_t shared_bytes = 0;
    byte_buffer_varint(buffer, part->series_count);
    for (size_t i = 0; i < part->series_count; i++) {
        const struct labels labels = part->series[i].labels;
        struct shared shared = i == 0 ? (struct shared){0} : shared_of(labels, before);
        uint32_t size = shared.front + shared.back;
        if (size < SHARED_BYTES_MIN || shared_bytes + size > SHARED_BYTES_MAX) {
            byte_buffer_varint(buffer, part->series[i].slot);
            byte_buffer_text(buffer, (struct text){(const char *)labels.bytes, labels.size});
        } else {
            shared_bytes += size;
            byte_buffer_varint(buffer, part->series[i].slot + SLOT_SHARED);
            byte_buffer_varint(buffer, shared.front);
            byte_buffer_varint(buffer, shared.back);
            byte_buffer_text(buffer, (struct text){(const char *)labels.bytes + shared.front,
                                                   labels.size - size});
        }
        before = labels;
    }
}

/* --- Decoding -------------------------------------------------------------------------------- */

struct series_reader {
    struct byte_reader *reader;
    struct arena *arena;
    struct labels before;
    size_t shared_bytes;
};

/* The labels of a series that shares them with the one before, put together in the arena. */
static enum error_code shared_labels(struct series_reader *series, struct text *bytes_out,
                                     struct error *error)
{
    uint64_t front = byte_reader_varint(series->reader);
    uint64_t back = byte_reader_varint(series->reader);
    struct text middle = byte_reader_text(series->reader);
    const struct labels before = series->before;
    if (series->reader->failed || front > before.size || back > before.size - front)
        return error_set(error, ERROR_CORRUPT, "it shares more than there is");
    size_t size = front + middle.size + back;
    series->shared_bytes += front + back;
    if (size > LABEL_SET_BYTES_MAX || series->shared_bytes > SHARED_BYTES_MAX)
        return error_set(error, ERROR_LIMIT, "%zu bytes of labels", size);
    uint8_t *bytes = arena_allocate(series->arena, size);
    if (bytes == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "%zu bytes of labels", size);
    if (front > 0)
        memcpy(bytes, before.bytes, front);
    if (middle.size > 0)
        memcpy(bytes + front, middle.data, middle.size);
    if (back > 0)
        memcpy(bytes + front + middle.size, before.bytes + before.size - back, back);
    *bytes_out = (struct text){(const char *)bytes, size};
    return ERROR_NONE;
}

static enum error_code decode_one(struct series_reader *series, struct entry_series *series_out,
                                  struct error *error)
{
    uint64_t slot = byte_reader_varint(series->reader);
    bool shares = slot >= SLOT_SHARED;
    struct text bytes;
    enum error_code code = ERROR_NONE;
    if (shares)
        code = shared_labels(series, &bytes, error);
    else
        bytes = byte_reader_text(series->reader);
    if (code != ERROR_NONE)
        return code;
    if (series->reader->failed || slot >= 2 * SLOT_COUNT)
        return error_set(error, ERROR_CORRUPT, "slot or size");
    series_out->slot = (uint16_t)(slot - (shares ? SLOT_SHARED : 0));
    code = labels_decode((const uint8_t *)bytes.data, bytes.size, &series_out->labels, error);
    series->before = series_out->labels;
    return code;
}

enum error_code entry_decode_series(struct byte_reader *reader, struct arena *arena,
                                    struct entry_part *part, struct error *error)
{
    uint64_t count = byte_reader_varint(reader);
    if (reader->failed || count > byte_reader_left(reader))
        return error_set(error, ERROR_CORRUPT, "entry: series count");
    struct entry_series *series = arena_array(arena, count, sizeof *series);
    if (series == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "entry: series");
    struct series_reader state = {.reader = reader, .arena = arena};
    for (size_t i = 0; i < count; i++) {
        enum error_code code = decode_one(&state, &series[i], error);
        if (code != ERROR_NONE)
            return error_wrap(error, "entry: series %zu", i);
    }
    part->series = series;
    part->series_count = count;
    return ERROR_NONE;
}
