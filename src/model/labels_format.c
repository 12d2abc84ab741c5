#include <assert.h>

#include "model/labels.h"
#include "model/quote.h"

/* --- Names ----------------------------------------------------------------------------------- */

static bool is_letter(char character)
{
    return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') ||
           character == '_';
}

/* An identifier, in which ':' counts as a letter when `colon` is ':'. */
static bool is_identifier(struct text name, char colon)
{
    if (name.size == 0)
        return false;
    for (size_t i = 0; i < name.size; i++) {
        char character = name.data[i];
        bool digit = character >= '0' && character <= '9';
        if (!is_letter(character) && character != colon && !(digit && i > 0))
            return false;
    }
    return true;
}

bool label_name_is_legacy(struct text name)
{
    return is_identifier(name, '_');
}

bool metric_name_is_legacy(struct text name)
{
    return is_identifier(name, ':');
}

/* --- Printing -------------------------------------------------------------------------------- */

static void append_characters(struct byte_buffer *buffer, const char *characters)
{
    byte_buffer_append(buffer, characters, strlen(characters));
}

static void append_labels(struct byte_buffer *buffer, struct labels labels)
{
    struct text metric_name = labels_get(labels, LABEL_METRIC_NAME);
    bool quote_metric = metric_name.size > 0 && !metric_name_is_legacy(metric_name);
    if (!quote_metric)
        byte_buffer_append(buffer, metric_name.data, metric_name.size);

    const char *separator = "{";
    if (quote_metric) {
        append_characters(buffer, separator);
        text_append_quoted(buffer, metric_name);
        separator = ", ";
    }
    struct label label;
    struct labels_cursor cursor = labels_begin(labels);
    while (labels_next(&cursor, &label)) {
        if (text_equal(label.name, LABEL_METRIC_NAME))
            continue;
        append_characters(buffer, separator);
        separator = ", ";
        if (label_name_is_legacy(label.name))
            byte_buffer_append(buffer, label.name.data, label.name.size);
        else
            text_append_quoted(buffer, label.name);
        byte_buffer_u8(buffer, '=');
        text_append_quoted(buffer, label.value);
    }
    bool opened = separator[0] == ',';
    if (opened)
        byte_buffer_u8(buffer, '}');
    else if (metric_name.size == 0)
        append_characters(buffer, "{}");
}

const char *labels_format(char *target, size_t target_bytes, struct labels labels)
{
    assert(target_bytes > 0);
    struct byte_buffer buffer = {0};
    append_labels(&buffer, labels);
    /* Out of memory cuts the text as a small target does. */
    size_t size = buffer.size < target_bytes ? buffer.size : target_bytes - 1;
    if (size > 0)
        memcpy(target, buffer.bytes, size);
    target[size] = '\0';
    byte_buffer_clear(&buffer);
    return target;
}
