/* Names and values of labels, for who does not know their alias. */
#include "plain_series.h"
#include "symbol_alias.h"

/* --- 1.0: label fields ------------------------------------------------------------------------ */

static struct label decode_label(struct byte_reader message)
{
    struct label label = {0};
    struct protobuf_field part;
    while (protobuf_next(&message, &part)) {
        if (protobuf_is(&part, 1, PROTOBUF_BYTES))
            label.name = protobuf_text(&part);
        else if (protobuf_is(&part, 2, PROTOBUF_BYTES))
            label.value = protobuf_text(&part);
    }
    return label;
}

/* At most LABELS_PER_SERIES_MAX; false when there are more. */
static bool decode_fields(const struct write_labels *labels, struct label *array, size_t *count)
{
    struct byte_reader fields = byte_reader_over(labels->fields, labels->size);
    struct protobuf_field field;
    for (*count = 0; byte_reader_left(&fields) > 0; (*count)++) {
        if (*count == LABELS_PER_SERIES_MAX)
            return false;
        if (plain_label_next(&fields, &array[*count]))
            continue;
        if (!protobuf_next(&fields, &field))
            break;
        array[*count] = decode_label(field.bytes);
    }
    return true;
}

/* --- 2.0: references -------------------------------------------------------------------------- */

static enum error_code resolve_references(const struct write_request *request,
                                          const struct write_labels *labels, struct label *array,
                                          size_t *count, struct error *error)
{
    struct byte_reader packed = byte_reader_over(labels->fields, labels->size);
    for (*count = 0; byte_reader_left(&packed) > 0; (*count)++) {
        uint32_t pair[2];
        if (*count == LABELS_PER_SERIES_MAX)
            return error_set(error, ERROR_LIMIT, "more than %d labels", LABELS_PER_SERIES_MAX);
        for (size_t i = 0; i < 2; i++) {
            if (byte_reader_left(&packed) == 0)
                return error_set(error, ERROR_INVALID, "an odd number of label references");
            pair[i] = reference_next(&packed);
            if (pair[i] >= request->symbol_count)
                return error_set(error, ERROR_INVALID,
                                 "label reference %u is outside the %zu symbols", pair[i],
                                 request->symbol_count);
        }
        array[*count] = (struct label){request->symbols[pair[0]], request->symbols[pair[1]]};
    }
    return ERROR_NONE;
}

static size_t readable_references(const struct write_request *request,
                                  const struct write_labels *labels, struct label *array)
{
    struct byte_reader packed = byte_reader_over(labels->fields, labels->size);
    size_t count = 0;
    while (byte_reader_left(&packed) > 0 && count < LABELS_PER_SERIES_MAX) {
        uint32_t name = reference_next(&packed);
        if (byte_reader_left(&packed) == 0)
            break;
        uint32_t value = reference_next(&packed);
        if (name < request->symbol_count && value < request->symbol_count)
            array[count++] = (struct label){request->symbols[name], request->symbols[value]};
    }
    return count;
}

/* --- Public ----------------------------------------------------------------------------------- */

size_t write_labels_readable(const struct write_request *request, const struct write_labels *labels,
                             struct label array[LABELS_PER_SERIES_MAX])
{
    size_t count;
    if (request->version == WRITE_VERSION_2)
        return readable_references(request, labels, array);
    (void)decode_fields(labels, array, &count); /* the first ones, whatever follows */
    return count;
}

enum error_code write_labels_decode(const struct write_request *request,
                                    const struct write_labels *labels,
                                    struct label array[LABELS_PER_SERIES_MAX], size_t *count_out,
                                    struct error *error)
{
    size_t count;
    if (request->version == WRITE_VERSION_2) {
        enum error_code code = resolve_references(request, labels, array, &count, error);
        if (code != ERROR_NONE)
            return code;
    } else if (!decode_fields(labels, array, &count))
        return error_set(error, ERROR_LIMIT, "more than %d labels", LABELS_PER_SERIES_MAX);
    *count_out = count;
    return ERROR_NONE;
}
