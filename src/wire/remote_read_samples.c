/* The answer as samples: QueryResult and TimeSeries of prompb/remote.proto and types.proto. */
#include "histogram_message.h"
#include "protobuf_writer.h"
#include "remote_read_private.h"
#include "wire/remote_read.h"

enum { SERIES_SAMPLES = 2, SERIES_HISTOGRAMS = 4 };
enum { SAMPLE_VALUE = 1, SAMPLE_TIMESTAMP = 2 };

void read_append_labels(struct labels labels, struct byte_buffer *part, struct byte_buffer *target)
{
    enum { SERIES_LABELS = 1, LABEL_NAME = 1, LABEL_VALUE = 2 };
    struct labels_cursor cursor = labels_begin(labels);
    struct label label;
    while (labels_next(&cursor, &label)) {
        byte_buffer_reset(part);
        protobuf_put_text(part, LABEL_NAME, label.name);
        protobuf_put_text(part, LABEL_VALUE, label.value);
        protobuf_put_message(target, SERIES_LABELS, part);
    }
}

void read_append_series(struct labels labels, const struct sample_columns *columns,
                        struct byte_buffer *result)
{
    enum { RESULT_SERIES = 1 };
    struct byte_buffer series = {0}, sample = {0}, part = {0};
    if (columns->count == 0)
        return;
    read_append_labels(labels, &part, &series);
    for (size_t i = 0; i < columns->count; i++) {
        const struct histogram *histogram =
            columns->histograms == NULL ? NULL : columns->histograms[i];
        byte_buffer_reset(&sample);
        if (histogram != NULL) {
            histogram_put_message(&sample, &part, columns->timestamps_ms[i], histogram);
            protobuf_put_message(&series, SERIES_HISTOGRAMS, &sample);
        } else {
            protobuf_put_double(&sample, SAMPLE_VALUE, columns->values[i]);
            protobuf_put_varint(&sample, SAMPLE_TIMESTAMP, (uint64_t)columns->timestamps_ms[i]);
            protobuf_put_message(&series, SERIES_SAMPLES, &sample);
        }
    }
    protobuf_put_message(result, RESULT_SERIES, &series);
    byte_buffer_clear(&series);
    byte_buffer_clear(&sample);
    byte_buffer_clear(&part);
}

void read_append_result(const struct byte_buffer *result, struct byte_buffer *message)
{
    enum { RESPONSE_RESULTS = 1 };
    protobuf_put_message(message, RESPONSE_RESULTS, result);
}
