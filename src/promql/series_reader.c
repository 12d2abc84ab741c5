#include <stdlib.h>

#include "codec/histogram_codec.h"
#include "codec/timestamp_codec.h"
#include "codec/value_codec.h"

#include "promql/series_format.h"
#include "series_flags.h"

static enum error_code corrupt(struct error *error, const char *what)
{
    return error_set(error, ERROR_CORRUPT, "series of another node: %s", what);
}

static enum error_code out_of_memory(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "the query needs too much memory");
}

/* --- The list -------------------------------------------------------------------------------- */

static enum error_code read_labels(struct series_list *list, struct byte_reader *reader,
                                   struct labels *labels_out, struct error *error)
{
    uint64_t shared = byte_reader_varint(reader);
    struct text rest = byte_reader_text(reader);
    struct labels previous = {0};
    if (list->count > 0)
        previous = list->entries[list->count - 1].labels;
    if (reader->failed || shared > previous.size || rest.size > LABEL_SET_BYTES_MAX)
        return corrupt(error, "labels");
    size_t size = (size_t)shared + rest.size;
    uint8_t *bytes = arena_allocate(list->arena, size);
    if (bytes == NULL)
        return out_of_memory(error);
    if (shared > 0)
        memcpy(bytes, previous.bytes, (size_t)shared);
    if (rest.size > 0)
        memcpy(bytes + shared, rest.data, rest.size);
    return labels_decode(bytes, size, labels_out, error);
}

/* The doubled capacity of an array, or NULL. */
static void *more(struct arena *arena, void *old, size_t *capacity, size_t element_bytes)
{
    size_t grown = *capacity == 0 ? 64 : *capacity * 2;
    void *array = arena_grow(arena, old, *capacity, grown, element_bytes);
    if (array != NULL)
        *capacity = grown;
    return array;
}

static enum error_code add_column(struct series_list *list, struct series_entry *entry,
                                  struct byte_reader *body, struct error *error)
{
    uint32_t size = byte_reader_u32(body);
    const uint8_t *bytes = byte_reader_take(body, size);
    if (bytes == NULL)
        return corrupt(error, "timestamps");
    if (list->column_count == list->column_capacity) {
        struct series_column *columns =
            more(list->arena, list->columns, &list->column_capacity, sizeof *columns);
        if (columns == NULL)
            return out_of_memory(error);
        list->columns = columns;
    }
    entry->column = (uint32_t)list->column_count;
    list->columns[list->column_count++] =
        (struct series_column){.bytes = bytes, .size = size, .count = entry->sample_count};
    return ERROR_NONE;
}

static enum error_code find_column(const struct series_list *list, struct series_entry *entry,
                                   struct byte_reader *body, struct error *error)
{
    uint64_t back = byte_reader_varint(body);
    if (body->failed || back >= list->column_count)
        return corrupt(error, "timestamps that were not sent");
    entry->column = (uint32_t)(list->column_count - 1 - back);
    if (list->columns[entry->column].count != entry->sample_count)
        return corrupt(error, "other timestamps than samples");
    return ERROR_NONE;
}

static enum error_code read_samples(struct series_list *list, struct byte_reader *reader,
                                    struct series_entry *entry, struct error *error)
{
    uint64_t count = byte_reader_varint(reader);
    if (reader->failed || count > TIMESTAMP_COLUMN_MAX)
        return corrupt(error, "the number of samples");
    entry->sample_count = (uint32_t)count;
    entry->column = SERIES_COLUMN_NONE;
    if (count == 0)
        return ERROR_NONE;
    entry->flags = byte_reader_u8(reader);
    if ((entry->flags & ~SERIES_FLAGS) != 0)
        return error_set(error, ERROR_UNSUPPORTED, "series of another node: flags %u",
                         entry->flags);
    if ((entry->flags & SERIES_SINGLE) != 0) {
        entry->body = reader->position;
        byte_reader_varint(reader);
        byte_reader_u64(reader);
        if ((entry->flags & SERIES_HAS_STARTS) != 0)
            byte_reader_varint(reader);
        entry->body_bytes = (uint32_t)(reader->position - entry->body);
        bool agrees = count == 1 && (entry->flags & ~(SERIES_SINGLE | SERIES_HAS_STARTS)) == 0;
        return reader->failed || !agrees ? corrupt(error, "a sample") : ERROR_NONE;
    }
    uint32_t size = byte_reader_u32(reader);
    const uint8_t *bytes = byte_reader_take(reader, size);
    if (bytes == NULL)
        return corrupt(error, "cut off");
    struct byte_reader body = byte_reader_over(bytes, size);
    enum error_code code = (entry->flags & SERIES_NEW_COLUMN) != 0
                               ? add_column(list, entry, &body, error)
                               : find_column(list, entry, &body, error);
    entry->body = body.position;
    entry->body_bytes = (uint32_t)byte_reader_left(&body);
    return code;
}

enum error_code series_list_add(struct series_list *list, const uint8_t *bytes, size_t size,
                                struct error *error)
{
    struct byte_reader reader = byte_reader_over(bytes, size);
    while (byte_reader_left(&reader) > 0) {
        struct series_entry entry = {0};
        enum error_code code = read_labels(list, &reader, &entry.labels, error);
        if (code == ERROR_NONE && list->need != SERIES_NEED_LABELS)
            code = read_samples(list, &reader, &entry, error);
        if (code != ERROR_NONE)
            return code;
        if (list->count == list->capacity) {
            struct series_entry *entries =
                more(list->arena, list->entries, &list->capacity, sizeof *entries);
            if (entries == NULL)
                return out_of_memory(error);
            list->entries = entries;
        }
        list->entries[list->count++] = entry;
    }
    return ERROR_NONE;
}

/* --- Samples --------------------------------------------------------------------------------- */

struct answer_decoder {
    struct arena *histograms_arena; /* NULL until needed */
    const struct series_list *list; /* that `column` is of */
    uint32_t column;                /* that is decoded; SERIES_COLUMN_NONE: none */
    size_t capacity;                /* of the three */
    int64_t *timestamps_ms;
    double *values;
    int64_t *starts_ms;
    const struct histogram **histograms; /* [histogram_capacity] */
    size_t histogram_capacity;
    struct codec_scratch scratch;
};

enum error_code answer_decoder_create(struct answer_decoder **decoder_out, struct error *error)
{
    struct answer_decoder *decoder = malloc(sizeof *decoder);
    if (decoder == NULL)
        return out_of_memory(error);
    /* The scratch needs nothing. */
    memset(decoder, 0, offsetof(struct answer_decoder, scratch));
    decoder->column = SERIES_COLUMN_NONE;
    *decoder_out = decoder;
    return ERROR_NONE;
}

void answer_decoder_destroy(struct answer_decoder *decoder)
{
    if (decoder == NULL)
        return;
    arena_destroy(decoder->histograms_arena);
    free(decoder->timestamps_ms);
    free(decoder->values);
    free(decoder->starts_ms);
    free(decoder->histograms);
    free(decoder);
}

static enum error_code reserve(struct answer_decoder *decoder, size_t count, struct error *error)
{
    if (count <= decoder->capacity)
        return ERROR_NONE;
    size_t capacity = count < 512 ? 512 : count + count / 2;
    free(decoder->timestamps_ms);
    free(decoder->values);
    free(decoder->starts_ms);
    decoder->capacity = 0;
    decoder->column = SERIES_COLUMN_NONE;
    decoder->timestamps_ms = malloc(capacity * sizeof(int64_t));
    decoder->values = malloc(capacity * sizeof(double));
    decoder->starts_ms = malloc(capacity * sizeof(int64_t));
    if (decoder->timestamps_ms == NULL || decoder->values == NULL || decoder->starts_ms == NULL)
        return out_of_memory(error);
    decoder->capacity = capacity;
    return ERROR_NONE;
}

static enum error_code decode_column(struct answer_decoder *decoder, const struct series_list *list,
                                     uint32_t number, struct error *error)
{
    if (decoder->list == list && decoder->column == number)
        return ERROR_NONE;
    const struct series_column *column = &list->columns[number];
    struct timestamp_column opened;
    decoder->column = SERIES_COLUMN_NONE;
    enum error_code code = timestamp_codec_open(column->bytes, column->size, &opened, error);
    if (code == ERROR_NONE && opened.count != column->count)
        code = corrupt(error, "other timestamps than samples");
    if (code == ERROR_NONE)
        code = timestamp_codec_decode(&opened, 0, column->count, &decoder->scratch,
                                      decoder->timestamps_ms, error);
    if (code == ERROR_NONE && (decoder->timestamps_ms[0] < list->start_ms ||
                               decoder->timestamps_ms[column->count - 1] > list->end_ms))
        code = corrupt(error, "samples outside of the range");
    if (code != ERROR_NONE)
        return code;
    decoder->list = list;
    decoder->column = number;
    return ERROR_NONE;
}

static enum error_code decode_values(struct answer_decoder *decoder, struct byte_reader *reader,
                                     size_t count, double *values, struct error *error)
{
    uint16_t size = byte_reader_u16(reader);
    const uint8_t *bytes = byte_reader_take(reader, size);
    if (bytes == NULL)
        return corrupt(error, "values");
    return value_codec_decode(bytes, size, count, &decoder->scratch, values, error);
}

static enum error_code decode_mixed(struct answer_decoder *decoder, struct byte_reader *reader,
                                    size_t first, size_t count, struct error *error)
{
    double floats[CHUNK_SAMPLES_MAX];
    struct histogram *histograms = NULL;
    const uint8_t *marks = byte_reader_take(reader, (count + 7) / 8);
    if (marks == NULL)
        return corrupt(error, "histograms");
    size_t histogram_count = 0;
    for (size_t i = 0; i < count; i++)
        histogram_count += marks[i / 8] >> i % 8 & 1;
    enum error_code code = ERROR_NONE;
    if (histogram_count < count)
        code = decode_values(decoder, reader, count - histogram_count, floats, error);
    if (code == ERROR_NONE && histogram_count > 0) {
        uint32_t size = byte_reader_u32(reader);
        const uint8_t *bytes = byte_reader_take(reader, size);
        code = bytes == NULL
                   ? corrupt(error, "histograms")
                   : histogram_codec_decode(bytes, size, histogram_count, &decoder->scratch,
                                            decoder->histograms_arena, &histograms, error);
    }
    if (code != ERROR_NONE)
        return code;
    size_t next_float = 0, next_histogram = 0;
    for (size_t i = first; i < first + count; i++) {
        bool is_histogram = marks[(i - first) / 8] >> (i - first) % 8 & 1;
        decoder->histograms[i] = is_histogram ? &histograms[next_histogram++] : NULL;
        decoder->values[i] = is_histogram ? 0 : floats[next_float++];
    }
    return ERROR_NONE;
}

static enum error_code prepare_histograms(struct answer_decoder *decoder, size_t count,
                                          struct error *error)
{
    if (decoder->histograms_arena == NULL)
        decoder->histograms_arena = arena_create(0);
    if (decoder->histograms_arena == NULL)
        return out_of_memory(error);
    arena_reset(decoder->histograms_arena);
    if (count <= decoder->histogram_capacity)
        return ERROR_NONE;
    free(decoder->histograms);
    decoder->histogram_capacity = 0;
    decoder->histograms = malloc(count * sizeof(struct histogram *));
    if (decoder->histograms == NULL)
        return out_of_memory(error);
    decoder->histogram_capacity = count;
    return ERROR_NONE;
}

static enum error_code decode_body(struct answer_decoder *decoder, const struct series_entry *entry,
                                   struct error *error)
{
    struct byte_reader reader = byte_reader_over(entry->body, entry->body_bytes);
    bool has_histograms = (entry->flags & SERIES_HAS_HISTOGRAMS) != 0;
    enum error_code code = ERROR_NONE;
    if (has_histograms)
        code = prepare_histograms(decoder, entry->sample_count, error);
    for (size_t first = 0; code == ERROR_NONE && first < entry->sample_count;
         first += CHUNK_SAMPLES_MAX) {
        size_t left = entry->sample_count - first;
        size_t count = left < CHUNK_SAMPLES_MAX ? left : CHUNK_SAMPLES_MAX;
        code = has_histograms
                   ? decode_mixed(decoder, &reader, first, count, error)
                   : decode_values(decoder, &reader, count, decoder->values + first, error);
    }
    if (code == ERROR_NONE && (entry->flags & SERIES_HAS_STARTS) != 0) {
        uint64_t previous = 0;
        for (size_t i = 0; i < entry->sample_count; i++) {
            previous += (uint64_t)byte_reader_zigzag(&reader);
            decoder->starts_ms[i] = (int64_t)previous;
        }
    }
    if (code == ERROR_NONE && (reader.failed || byte_reader_left(&reader) > 0))
        code = corrupt(error, "bytes that do not agree");
    return code;
}

static enum error_code decode_single(struct answer_decoder *decoder, const struct series_list *list,
                                     const struct series_entry *entry, struct error *error)
{
    struct byte_reader reader = byte_reader_over(entry->body, entry->body_bytes);
    decoder->column = SERIES_COLUMN_NONE; /* its place is taken */
    decoder->timestamps_ms[0] = byte_reader_zigzag(&reader);
    decoder->values[0] = double_from_bits(byte_reader_u64(&reader));
    if ((entry->flags & SERIES_HAS_STARTS) != 0)
        decoder->starts_ms[0] = byte_reader_zigzag(&reader);
    if (decoder->timestamps_ms[0] < list->start_ms || decoder->timestamps_ms[0] > list->end_ms)
        return corrupt(error, "a sample outside of the range");
    return ERROR_NONE;
}

enum error_code answer_decoder_read(struct answer_decoder *decoder, const struct series_list *list,
                                    size_t index, struct sample_columns *columns_out,
                                    struct error *error)
{
    const struct series_entry *entry = &list->entries[index];
    if (entry->sample_count == 0) {
        *columns_out = (struct sample_columns){0};
        return ERROR_NONE;
    }
    bool is_single = (entry->flags & SERIES_SINGLE) != 0;
    enum error_code code = reserve(decoder, entry->sample_count, error);
    if (code == ERROR_NONE && is_single)
        code = decode_single(decoder, list, entry, error);
    if (code == ERROR_NONE && !is_single)
        code = decode_column(decoder, list, entry->column, error);
    if (code == ERROR_NONE && !is_single)
        code = decode_body(decoder, entry, error);
    if (code != ERROR_NONE)
        return code;
    bool has_starts = (entry->flags & SERIES_HAS_STARTS) != 0;
    bool has_histograms = (entry->flags & SERIES_HAS_HISTOGRAMS) != 0;
    *columns_out = (struct sample_columns){
        .count = entry->sample_count,
        .timestamps_ms = decoder->timestamps_ms,
        .values = decoder->values,
        .histograms = has_histograms ? decoder->histograms : NULL,
        .start_timestamps_ms = has_starts ? decoder->starts_ms : NULL,
        .timestamps_id = is_single ? 0 : (uint64_t)entry->column + 1,
    };
    return ERROR_NONE;
}
