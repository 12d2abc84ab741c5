#include <stdlib.h>

#include "codec/histogram_codec.h"
#include "codec/timestamp_codec.h"
#include "codec/value_codec.h"

#include "promql/series_format.h"
#include "series_flags.h"

static void encode_labels(struct series_writer *writer, struct byte_buffer *buffer,
                          struct labels labels)
{
    size_t shared = 0;
    size_t most = labels.size < writer->previous.size ? labels.size : writer->previous.size;
    while (shared < most && labels.bytes[shared] == writer->previous.bytes[shared])
        shared++;
    byte_buffer_varint(buffer, shared);
    byte_buffer_varint(buffer, labels.size - shared);
    byte_buffer_append(buffer, labels.bytes + shared, labels.size - shared);
    byte_buffer_reset(&writer->previous);
    byte_buffer_append(&writer->previous, labels.bytes, labels.size);
    buffer->failed |= writer->previous.failed;
}

/* The number of a column that was written a moment ago; false: it is new, and noted. */
static bool find_column(struct series_writer *writer, uint64_t timestamps_id, uint32_t *number_out)
{
    for (size_t i = 0; timestamps_id != 0 && i < SERIES_COLUMNS_KEPT; i++)
        if (writer->columns[i].timestamps_id == timestamps_id) {
            *number_out = writer->columns[i].number;
            return true;
        }
    size_t place = writer->column_count % SERIES_COLUMNS_KEPT;
    writer->columns[place].timestamps_id = timestamps_id;
    writer->columns[place].number = writer->column_count;
    *number_out = writer->column_count++;
    return false;
}

static void encode_values(struct series_writer *writer, struct byte_buffer *buffer,
                          const double *values, size_t count)
{
    if (!byte_buffer_reserve(buffer, 2 + value_codec_size_max(count)))
        return;
    /* The size takes two bytes, and is known afterwards. */
    uint8_t *target = buffer->bytes + buffer->size;
    size_t size = value_codec_encode(values, count, writer->scratch, target + 2);
    store_u16(target, (uint16_t)size);
    buffer->size += 2 + size;
}

/* A chunk in which some samples are histograms: which, the floats, the histograms. */
static enum error_code encode_mixed(struct series_writer *writer, struct byte_buffer *buffer,
                                    const struct sample_columns *columns, size_t first,
                                    size_t count, struct error *error)
{
    uint8_t marks[(CHUNK_SAMPLES_MAX + 7) / 8] = {0};
    double floats[CHUNK_SAMPLES_MAX];
    const struct histogram *histograms[CHUNK_SAMPLES_MAX];
    size_t float_count = 0, histogram_count = 0;
    for (size_t i = 0; i < count; i++) {
        const struct histogram *histogram = columns->histograms[first + i];
        if (histogram == NULL) {
            floats[float_count++] = columns->values[first + i];
            continue;
        }
        marks[i / 8] |= (uint8_t)(1u << i % 8);
        histograms[histogram_count++] = histogram;
    }
    byte_buffer_append(buffer, marks, (count + 7) / 8);
    if (float_count > 0)
        encode_values(writer, buffer, floats, float_count);
    if (histogram_count == 0)
        return ERROR_NONE;
    size_t at = buffer->size;
    byte_buffer_u32(buffer, 0);
    arena_reset(writer->arena);
    enum error_code code = histogram_codec_encode(histograms, histogram_count, writer->scratch,
                                                  writer->arena, buffer, error);
    if (code == ERROR_NONE && !buffer->failed)
        store_u32(buffer->bytes + at, (uint32_t)(buffer->size - at - 4));
    return code;
}

static void encode_starts(struct byte_buffer *buffer, const int64_t *starts_ms, size_t count)
{
    uint64_t previous = 0;
    for (size_t i = 0; i < count; i++) {
        byte_buffer_zigzag(buffer, (int64_t)((uint64_t)starts_ms[i] - previous));
        previous = (uint64_t)starts_ms[i];
    }
}

static void encode_timestamps(struct series_writer *writer, struct byte_buffer *buffer,
                              const struct sample_columns *columns, uint32_t number, bool is_known)
{
    if (is_known) {
        byte_buffer_varint(buffer, writer->column_count - 1 - number);
        return;
    }
    size_t at = buffer->size;
    byte_buffer_u32(buffer, 0);
    timestamp_codec_encode(columns->timestamps_ms, columns->count, writer->scratch, buffer);
    if (!buffer->failed)
        store_u32(buffer->bytes + at, (uint32_t)(buffer->size - at - 4));
}

static enum error_code encode_body(struct series_writer *writer, struct byte_buffer *buffer,
                                   const struct sample_columns *columns, struct error *error)
{
    uint32_t number;
    bool is_known = find_column(writer, columns->timestamps_id, &number);
    byte_buffer_u8(buffer,
                   (uint8_t)((columns->histograms != NULL ? SERIES_HAS_HISTOGRAMS : 0) |
                             (columns->start_timestamps_ms != NULL ? SERIES_HAS_STARTS : 0) |
                             (is_known ? 0 : SERIES_NEW_COLUMN)));
    size_t at = buffer->size;
    byte_buffer_u32(buffer, 0);
    encode_timestamps(writer, buffer, columns, number, is_known);
    for (size_t first = 0; first < columns->count; first += CHUNK_SAMPLES_MAX) {
        size_t left = columns->count - first;
        size_t count = left < CHUNK_SAMPLES_MAX ? left : CHUNK_SAMPLES_MAX;
        enum error_code code = ERROR_NONE;
        if (columns->histograms == NULL)
            encode_values(writer, buffer, columns->values + first, count);
        else
            code = encode_mixed(writer, buffer, columns, first, count, error);
        if (code != ERROR_NONE)
            return code;
    }
    if (columns->start_timestamps_ms != NULL)
        encode_starts(buffer, columns->start_timestamps_ms, columns->count);
    size_t size = buffer->size - at - 4;
    if (size > UINT32_MAX)
        return error_set(error, ERROR_LIMIT, "a series has too many samples in the range");
    if (!buffer->failed)
        store_u32(buffer->bytes + at, (uint32_t)size);
    return ERROR_NONE;
}

static void encode_single(struct byte_buffer *buffer, const struct sample_columns *columns)
{
    bool has_start = columns->start_timestamps_ms != NULL;
    byte_buffer_u8(buffer, (uint8_t)(SERIES_SINGLE | (has_start ? SERIES_HAS_STARTS : 0)));
    byte_buffer_zigzag(buffer, columns->timestamps_ms[0]);
    byte_buffer_u64(buffer, double_to_bits(columns->values[0]));
    if (has_start)
        byte_buffer_zigzag(buffer, columns->start_timestamps_ms[0]);
}

enum error_code series_writer_add(struct series_writer *writer, struct byte_buffer *buffer,
                                  struct labels labels, const struct sample_columns *columns,
                                  struct error *error)
{
    enum error_code code = ERROR_NONE;
    encode_labels(writer, buffer, labels);
    if (columns != NULL) {
        if (columns->count > TIMESTAMP_COLUMN_MAX)
            return error_set(error, ERROR_LIMIT, "a series has too many samples in the range");
        byte_buffer_varint(buffer, columns->count);
        if (columns->count == 1 && columns->histograms == NULL)
            encode_single(buffer, columns);
        else if (columns->count > 0)
            code = encode_body(writer, buffer, columns, error);
    }
    if (code == ERROR_NONE && buffer->failed)
        code = error_set(error, ERROR_OUT_OF_MEMORY, "an answer to another node");
    return code;
}

void series_writer_clear(struct series_writer *writer)
{
    byte_buffer_clear(&writer->previous);
}
