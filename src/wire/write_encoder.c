#include "wire/write_encoder.h"

#include "histogram_message.h"
#include "protobuf_writer.h"

enum { REQUEST_SYMBOLS = 4, REQUEST_SERIES = 5 };
enum { SERIES_LABELS = 1, SERIES_SAMPLES = 2, SERIES_HISTOGRAMS = 3 };
enum { SAMPLE_VALUE = 1, SAMPLE_TIMESTAMP = 2, SAMPLE_START_TIMESTAMP = 3 };
enum { HISTOGRAM_START_TIMESTAMP = 17 };

/* --- Life -------------------------------------------------------------------------------------
 */

bool write_encoder_init(struct write_encoder *encoder)
{
    *encoder = (struct write_encoder){.arena = arena_create(0)};
    write_encoder_reset(encoder);
    return encoder->arena != NULL;
}

void write_encoder_clear(struct write_encoder *encoder)
{
    arena_destroy(encoder->arena);
    byte_buffer_clear(&encoder->series);
    byte_buffer_clear(&encoder->one);
    byte_buffer_clear(&encoder->part);
    byte_buffer_clear(&encoder->smaller_part);
    *encoder = (struct write_encoder){0};
}

void write_encoder_reset(struct write_encoder *encoder)
{
    if (encoder->arena != NULL)
        arena_reset(encoder->arena);
    encoder->symbols = (struct text_set){.arena = encoder->arena};
    byte_buffer_reset(&encoder->series);
    encoder->series_count = 0;
    encoder->sample_count = 0;
    encoder->histogram_count = 0;
}

/* --- Series -----------------------------------------------------------------------------------
 */

/* The first symbol of a request is the empty text, which the set does not hold. */
static void put_reference(struct write_encoder *encoder, struct text symbol)
{
    if (text_set_add(&encoder->symbols, symbol) == TEXT_SET_OUT_OF_MEMORY)
        encoder->series.failed = true;
    byte_buffer_varint(&encoder->part, encoder->symbols.next);
}

static void put_labels(struct write_encoder *encoder, struct labels labels)
{
    struct labels_cursor cursor = labels_begin(labels);
    struct label label;
    byte_buffer_reset(&encoder->part);
    while (labels_next(&cursor, &label)) {
        put_reference(encoder, label.name);
        put_reference(encoder, label.value);
    }
    protobuf_put_message(&encoder->one, SERIES_LABELS, &encoder->part);
}

static void put_sample(struct write_encoder *encoder, const struct sample_columns *columns,
                       size_t i)
{
    const struct histogram *histogram = columns->histograms == NULL ? NULL : columns->histograms[i];
    int64_t start_ms = columns->start_timestamps_ms == NULL ? 0 : columns->start_timestamps_ms[i];
    struct byte_buffer *part = &encoder->part;
    byte_buffer_reset(part);
    if (histogram != NULL) {
        histogram_put_message(part, &encoder->smaller_part, columns->timestamps_ms[i], histogram);
        if (start_ms != 0)
            protobuf_put_varint(part, HISTOGRAM_START_TIMESTAMP, (uint64_t)start_ms);
        encoder->histogram_count++;
    } else {
        protobuf_put_double(part, SAMPLE_VALUE, columns->values[i]);
        protobuf_put_varint(part, SAMPLE_TIMESTAMP, (uint64_t)columns->timestamps_ms[i]);
        if (start_ms != 0)
            protobuf_put_varint(part, SAMPLE_START_TIMESTAMP, (uint64_t)start_ms);
        encoder->sample_count++;
    }
    protobuf_put_message(&encoder->one, histogram != NULL ? SERIES_HISTOGRAMS : SERIES_SAMPLES,
                         part);
}

void write_encoder_add(struct write_encoder *encoder, struct labels labels,
                       const struct sample_columns *columns, size_t first, size_t count)
{
    byte_buffer_reset(&encoder->one);
    put_labels(encoder, labels);
    for (size_t i = first; i < first + count; i++)
        put_sample(encoder, columns, i);
    protobuf_put_message(&encoder->series, REQUEST_SERIES, &encoder->one);
    encoder->series_count++;
}

/* --- The request ------------------------------------------------------------------------------
 */

size_t write_encoder_size_bytes(const struct write_encoder *encoder)
{
    return encoder->series.size + arena_size_bytes(encoder->arena);
}

void write_encoder_finish(const struct write_encoder *encoder, struct byte_buffer *body)
{
    protobuf_put_text(body, REQUEST_SYMBOLS, (struct text){0});
    for (size_t i = 0; i < encoder->symbols.count; i++)
        protobuf_put_text(body, REQUEST_SYMBOLS, encoder->symbols.texts[i]);
    byte_buffer_append(body, encoder->series.bytes, encoder->series.size);
    body->failed |= encoder->series.failed;
}
