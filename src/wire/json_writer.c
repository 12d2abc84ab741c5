#include "wire/json_writer.h"

#include <string.h>

/* --- Strings ---------------------------------------------------------------------------------- */

static void escape_byte(struct byte_buffer *buffer, unsigned char byte)
{
    static const char HEX[] = "0123456789abcdef";
    char escaped[6] = {'\\', 'u', '0', '0', HEX[byte >> 4], HEX[byte & 15]};
    switch (byte) {
    case '"':
    case '\\':
        escaped[1] = (char)byte;
        break;
    case '\n':
        escaped[1] = 'n';
        break;
    case '\r':
        escaped[1] = 'r';
        break;
    case '\t':
        escaped[1] = 't';
        break;
    default:
        byte_buffer_append(buffer, escaped, 6);
        return;
    }
    byte_buffer_append(buffer, escaped, 2);
}

static bool is_plain(unsigned char byte)
{
    return byte >= 0x20 && byte != '"' && byte != '\\';
}

/* Well-formed UTF-8 is copied in runs. */
static void append_escaped(struct byte_buffer *buffer, struct text value)
{
    size_t start = 0;
    for (size_t i = 0; i < value.size; i++) {
        unsigned char byte = (unsigned char)value.data[i];
        if (is_plain(byte))
            continue;
        byte_buffer_append(buffer, value.data + start, i - start);
        escape_byte(buffer, byte);
        start = i + 1;
    }
    byte_buffer_append(buffer, value.data + start, value.size - start);
}

static size_t longest_character(struct text value, size_t at)
{
    for (size_t length = 4; length >= 1; length--)
        if (at + length <= value.size && text_is_utf8((struct text){value.data + at, length}))
            return length;
    return 0;
}

/* Byte by byte, for the rare text that is not UTF-8. */
static void append_repaired(struct byte_buffer *buffer, struct text value)
{
    size_t at = 0;
    while (at < value.size) {
        size_t length = longest_character(value, at);
        if (length == 0) {
            byte_buffer_append(buffer, "\xef\xbf\xbd", 3);
            at++;
            continue;
        }
        append_escaped(buffer, (struct text){value.data + at, length});
        at += length;
    }
}

/* Whether a byte of the word is below 0x20, a quote, a backslash or beyond ASCII. Exact as a whole:
 * borrows only begin at a byte for which it is true. */
static bool word_is_special(uint64_t word)
{
    const uint64_t ONES = 0x0101010101010101u, HIGHS = 0x8080808080808080u;
    uint64_t quotes = word ^ (ONES * '"');
    uint64_t slashes = word ^ (ONES * '\\');
    uint64_t found = (word - ONES * 0x20) | (quotes - ONES) | (slashes - ONES) | word;
    return (found & HIGHS) != 0;
}

/* Nearly all texts: nothing to escape, nothing beyond ASCII. */
static bool is_plain_text(struct text value)
{
    size_t i = 0;
    uint64_t word;
    for (; i + sizeof word <= value.size; i += sizeof word) {
        memcpy(&word, value.data + i, sizeof word);
        if (word_is_special(word))
            return false;
    }
    for (; i < value.size; i++)
        if (!is_plain((unsigned char)value.data[i]) || (unsigned char)value.data[i] >= 0x80)
            return false;
    return true;
}

static void append_quoted(struct byte_buffer *buffer, struct text value)
{
    if (!byte_buffer_reserve(buffer, value.size + 2))
        return;
    uint8_t *target = buffer->bytes + buffer->size;
    target[0] = '"';
    if (value.size > 0)
        memcpy(target + 1, value.data, value.size);
    target[value.size + 1] = '"';
    buffer->size += value.size + 2;
}

void json_string(struct byte_buffer *buffer, struct text value)
{
    if (is_plain_text(value)) {
        append_quoted(buffer, value);
        return;
    }
    byte_buffer_u8(buffer, '"');
    if (text_is_utf8(value))
        append_escaped(buffer, value);
    else
        append_repaired(buffer, value);
    byte_buffer_u8(buffer, '"');
}

/* --- Labels ----------------------------------------------------------------------------------- */

void json_labels(struct byte_buffer *buffer, struct labels labels)
{
    struct labels_cursor cursor = labels_begin(labels);
    struct label label;
    bool first = true;
    byte_buffer_u8(buffer, '{');
    while (labels_next(&cursor, &label)) {
        if (!first)
            byte_buffer_u8(buffer, ',');
        first = false;
        json_string(buffer, label.name);
        byte_buffer_u8(buffer, ':');
        json_string(buffer, label.value);
    }
    byte_buffer_u8(buffer, '}');
}
