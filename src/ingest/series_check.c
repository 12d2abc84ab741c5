#include "series_check.h"

#include "base/limits.h"

/* OpenMetrics, "Exemplars": names and values of the labels together. */
enum { EXEMPLAR_CHARACTERS_MAX = 128, METADATA_TEXT_BYTES_MAX = 4096 };

static enum error_code check_array(const struct label *labels, size_t count,
                                   enum ingest_reason *reason, struct error *error)
{
    *reason = INGEST_REASON_LABELS;
    for (size_t i = 0; i < count; i++) {
        const struct label *label = &labels[i];
        if (label->name.size == 0)
            return error_set(error, ERROR_INVALID, "a label without a name");
        if (!text_is_utf8(label->name))
            return error_set(error, ERROR_INVALID, "a label name is not UTF-8");
        if (!text_is_utf8(label->value))
            return error_set(error, ERROR_INVALID, "the value of label \"%.*s\" is not UTF-8",
                             TEXT_ARGUMENTS(label->name));
        if (i > 0 && text_equal(labels[i - 1].name, label->name))
            return error_set(error, ERROR_INVALID, "duplicate label \"%.*s\"",
                             TEXT_ARGUMENTS(label->name));
    }
    return ERROR_NONE;
}

static enum error_code check_size(const struct label *labels, size_t count,
                                  const struct ingest_limits *limits, enum ingest_reason *reason,
                                  struct error *error)
{
    size_t bytes = 0;
    *reason = INGEST_REASON_LABEL_LIMIT;
    if (count > limits->labels_max)
        return error_set(error, ERROR_LIMIT, "%zu labels, more than %zu", count,
                         limits->labels_max);
    for (size_t i = 0; i < count; i++)
        bytes += labels[i].name.size + labels[i].value.size;
    if (bytes > limits->label_bytes_max)
        return error_set(error, ERROR_LIMIT, "labels of %zu bytes, more than %zu", bytes,
                         limits->label_bytes_max);
    return ERROR_NONE;
}

/* Duplicates are looked for before empty values leave, as in the reference. By insertion: labels
 * mostly come sorted. */
static void sort_by_name(struct label *labels, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct label moved = labels[i];
        size_t j = i;
        for (; j > 0 && text_compare(labels[j - 1].name, moved.name) > 0; j--)
            labels[j] = labels[j - 1];
        labels[j] = moved;
    }
}

enum error_code series_check_labels(struct ingest_request *request, uint32_t series,
                                    const struct ingest_limits *limits, struct labels *labels_out,
                                    enum ingest_reason *reason_out, struct error *error)
{
    struct label labels[LABELS_PER_SERIES_MAX];
    size_t count;
    *reason_out = INGEST_REASON_LABELS;
    enum error_code code = write_labels_decode(
        &request->decoded, &request->decoded.series[series].labels, labels, &count, error);
    if (code != ERROR_NONE) {
        if (code == ERROR_LIMIT)
            *reason_out = INGEST_REASON_LABEL_LIMIT;
        return code;
    }
    sort_by_name(labels, count);
    code = check_array(labels, count, reason_out, error);
    if (code == ERROR_NONE)
        code = check_size(labels, count, limits, reason_out, error);
    if (code != ERROR_NONE)
        return code;
    struct labels built = labels_build(request->arena, labels, count);
    if (built.bytes == NULL && count > 0)
        return error_set(error, ERROR_OUT_OF_MEMORY, "labels of a series");
    if (labels_get(built, LABEL_METRIC_NAME).size == 0) {
        *reason_out = INGEST_REASON_LABELS;
        return error_set(error, ERROR_INVALID, "missing metric name");
    }
    *labels_out = built;
    return ERROR_NONE;
}

/* Of UTF-8: bytes that do not continue a character. */
static size_t count_characters(struct text text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.size; i++)
        count += ((unsigned char)text.data[i] & 0xc0) != 0x80;
    return count;
}

enum error_code series_check_exemplar(struct ingest_request *request,
                                      const struct write_exemplar *sent,
                                      struct exemplar *exemplar_out, struct error *error)
{
    struct label labels[LABELS_PER_SERIES_MAX];
    size_t count, characters = 0;
    enum ingest_reason reason;
    enum error_code code =
        write_labels_decode(&request->decoded, &sent->labels, labels, &count, error);
    if (code != ERROR_NONE)
        return code;
    sort_by_name(labels, count);
    code = check_array(labels, count, &reason, error);
    if (code != ERROR_NONE)
        return code;
    for (size_t i = 0; i < count; i++)
        characters += count_characters(labels[i].name) + count_characters(labels[i].value);
    if (characters > EXEMPLAR_CHARACTERS_MAX)
        return error_set(error, ERROR_INVALID, "labels of an exemplar with %zu characters",
                         characters);
    struct labels built = labels_build(request->arena, labels, count);
    if (built.bytes == NULL && count > 0 && characters > 0)
        return error_set(error, ERROR_OUT_OF_MEMORY, "labels of an exemplar");
    *exemplar_out = (struct exemplar){built, sent->value, sent->timestamp_ms};
    return ERROR_NONE;
}

static struct text cut(struct text text)
{
    while (text.size > METADATA_TEXT_BYTES_MAX ||
           (text.size > 0 && text.size == METADATA_TEXT_BYTES_MAX && !text_is_utf8(text)))
        text.size--;
    return text_is_utf8(text) ? text : (struct text){0};
}

bool series_check_metadata(struct ingest_request *request, const struct write_metadata *sent,
                           struct entry_metadata *metadata_out)
{
    struct text name = sent->metric_family;
    if (request->decoded.version == WRITE_VERSION_2) {
        struct label labels[LABELS_PER_SERIES_MAX];
        size_t count;
        struct error error;
        const struct write_series *series = &request->decoded.series[sent->series];
        if (sent->status != ERROR_NONE || series->reference_invalid ||
            (sent->type == 0 && sent->help.size == 0 && sent->unit.size == 0) ||
            write_labels_decode(&request->decoded, &series->labels, labels, &count, &error) !=
                ERROR_NONE)
            return false;
        for (size_t i = 0; i < count; i++)
            if (text_equal(labels[i].name, LABEL_METRIC_NAME))
                name = labels[i].value;
    }
    if (name.size == 0 || name.size > METADATA_TEXT_BYTES_MAX || !text_is_utf8(name))
        return false;
    *metadata_out = (struct entry_metadata){
        .metric_name = name,
        .metadata = {.type = sent->type < METRIC_TYPES ? (enum metric_type)sent->type
                                                       : METRIC_UNSPECIFIED,
                     .help = cut(sent->help),
                     .unit = cut(sent->unit)},
    };
    return true;
}
