#include "model/quote.h"

static const char HEXADECIMAL[] = "0123456789abcdef";

/* The letter of a short escape, or 0. */
static char escape_letter(unsigned char character)
{
    static const char LETTERS[] = {
        ['\a'] = 'a', ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n',  ['\r'] = 'r',
        ['\t'] = 't', ['\v'] = 'v', ['"'] = '"',  ['\\'] = '\\',
    };
    return character < sizeof LETTERS ? LETTERS[character] : 0;
}

/* Bytes of the well-formed UTF-8 sequence at the start of `value`; 0 when there is none. */
static size_t sequence_size(struct text value)
{
    unsigned char lead = (unsigned char)value.data[0];
    size_t size = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (size > value.size)
        return 0;
    return text_is_utf8((struct text){value.data, size}) ? size : 0;
}

void text_append_quoted(struct byte_buffer *buffer, struct text value)
{
    byte_buffer_u8(buffer, '"');
    size_t plain_start = 0; /* what needs no escape is appended in runs */
    size_t position = 0;
    while (position < value.size) {
        unsigned char character = (unsigned char)value.data[position];
        char letter = escape_letter(character);
        size_t size = sequence_size((struct text){value.data + position, value.size - position});
        if (letter == 0 && character >= 0x20 && character != 0x7f && size > 0) {
            position += size;
            continue;
        }
        byte_buffer_append(buffer, value.data + plain_start, position - plain_start);
        byte_buffer_u8(buffer, '\\');
        if (letter != 0) {
            byte_buffer_u8(buffer, (uint8_t)letter);
        } else {
            byte_buffer_u8(buffer, 'x');
            byte_buffer_u8(buffer, (uint8_t)HEXADECIMAL[character >> 4]);
            byte_buffer_u8(buffer, (uint8_t)HEXADECIMAL[character & 15]);
        }
        plain_start = ++position;
    }
    if (position > plain_start) /* an empty text may be NULL */
        byte_buffer_append(buffer, value.data + plain_start, position - plain_start);
    byte_buffer_u8(buffer, '"');
}
