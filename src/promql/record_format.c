#include "promql/record_format.h"

/* --- Texts ----------------------------------------------------------------------------------- */

bool record_read_text(struct byte_reader *reader, struct text *text_out)
{
    if (byte_reader_left(reader) == 0)
        return false;
    *text_out = byte_reader_text(reader);
    return !reader->failed;
}

/* --- Exemplars ------------------------------------------------------------------------------- */

static void write_labels(struct byte_buffer *buffer, struct labels labels)
{
    byte_buffer_varint(buffer, labels.size);
    byte_buffer_append(buffer, labels.bytes, labels.size);
}

void record_write_exemplars(struct byte_buffer *buffer, const struct series_exemplars *series)
{
    write_labels(buffer, series->labels);
    byte_buffer_varint(buffer, series->count);
    for (size_t i = 0; i < series->count; i++) {
        const struct exemplar *exemplar = &series->exemplars[i];
        write_labels(buffer, exemplar->labels);
        byte_buffer_zigzag(buffer, exemplar->timestamp_ms);
        byte_buffer_u64(buffer, double_to_bits(exemplar->value));
    }
}

static enum error_code read_labels(struct byte_reader *reader, struct labels *labels_out,
                                   struct error *error)
{
    struct text bytes = byte_reader_text(reader);
    if (reader->failed)
        return error_set(error, ERROR_CORRUPT, "exemplars of another node: labels");
    return labels_decode((const uint8_t *)bytes.data, bytes.size, labels_out, error);
}

enum error_code record_read_exemplars(struct byte_reader *reader, struct arena *arena,
                                      struct series_exemplars *series_out, struct error *error)
{
    struct series_exemplars series = {0};
    enum error_code code = read_labels(reader, &series.labels, error);
    if (code != ERROR_NONE)
        return code;
    uint64_t count = byte_reader_varint(reader);
    /* Each has at least ten bytes. */
    if (reader->failed || count > byte_reader_left(reader) / 10)
        return error_set(error, ERROR_CORRUPT, "exemplars of another node: their number");
    struct exemplar *exemplars = arena_array(arena, (size_t)count, sizeof *exemplars);
    if (exemplars == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "the query needs too much memory");
    for (size_t i = 0; i < count; i++) {
        code = read_labels(reader, &exemplars[i].labels, error);
        if (code != ERROR_NONE)
            return code;
        exemplars[i].timestamp_ms = byte_reader_zigzag(reader);
        exemplars[i].value = double_from_bits(byte_reader_u64(reader));
        if (reader->failed)
            return error_set(error, ERROR_CORRUPT, "exemplars of another node: cut off");
    }
    series.exemplars = exemplars;
    series.count = (size_t)count;
    *series_out = series;
    return ERROR_NONE;
}

/* --- Metadata -------------------------------------------------------------------------------- */

void record_write_metadata(struct byte_buffer *buffer, struct text metric_name,
                           const struct metric_metadata *metadata)
{
    byte_buffer_text(buffer, metric_name);
    byte_buffer_u8(buffer, (uint8_t)metadata->type);
    byte_buffer_text(buffer, metadata->help);
    byte_buffer_text(buffer, metadata->unit);
}

bool record_read_metadata(struct byte_reader *reader, struct text *metric_name_out,
                          struct metric_metadata *metadata_out)
{
    if (byte_reader_left(reader) == 0)
        return false;
    *metric_name_out = byte_reader_text(reader);
    unsigned type = byte_reader_u8(reader);
    metadata_out->help = byte_reader_text(reader);
    metadata_out->unit = byte_reader_text(reader);
    reader->failed |= type >= METRIC_TYPES;
    metadata_out->type = (enum metric_type)type;
    return !reader->failed;
}
