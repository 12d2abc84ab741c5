#include "wire/json_writer.h"

#include <math.h>
#include <stdio.h>

#include "double_digits.h"

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

void json_string(struct byte_buffer *buffer, struct text value)
{
    byte_buffer_u8(buffer, '"');
    if (text_is_utf8(value))
        append_escaped(buffer, value);
    else
        append_repaired(buffer, value);
    byte_buffer_u8(buffer, '"');
}

/* --- Numbers ---------------------------------------------------------------------------------- */

enum { UNSIGNED_DIGITS_MAX = 20 };

/* From the last digit to the first, two at a time. */
static size_t format_unsigned(char *target, uint64_t value)
{
    static const char PAIRS[] = "00010203040506070809101112131415161718192021222324"
                                "25262728293031323334353637383940414243444546474849"
                                "50515253545556575859606162636465666768697071727374"
                                "75767778798081828384858687888990919293949596979899";
    char digits[UNSIGNED_DIGITS_MAX];
    size_t at = sizeof digits;
    while (value >= 100) {
        at -= 2;
        memcpy(digits + at, PAIRS + value % 100 * 2, 2);
        value /= 100;
    }
    if (value >= 10) {
        at -= 2;
        memcpy(digits + at, PAIRS + value * 2, 2);
    } else {
        digits[--at] = (char)('0' + value);
    }
    memcpy(target, digits + at, sizeof digits - at);
    return sizeof digits - at;
}

void json_integer(struct byte_buffer *buffer, int64_t value)
{
    char text[JSON_NUMBER_BYTES_MAX];
    size_t size = 0;
    if (value < 0)
        text[size++] = '-';
    size += format_unsigned(text + size, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
    byte_buffer_append(buffer, text, size);
}

static size_t copy_characters(char *target, const char *source)
{
    size_t size = strlen(source);
    memcpy(target, source, size);
    return size;
}

/* 123.45, 0.000123, 12300 from the digits 123... and the place of the point. */
static size_t lay_out_plain(char *target, const char *digits, int count, int exponent)
{
    char *at = target;
    if (exponent <= 0) {
        *at++ = '0';
        *at++ = '.';
        for (int i = exponent; i < 0; i++)
            *at++ = '0';
        memcpy(at, digits, (size_t)count);
        return (size_t)(at + count - target);
    }
    for (int i = 0; i < exponent; i++)
        *at++ = i < count ? digits[i] : '0';
    if (count > exponent) {
        *at++ = '.';
        memcpy(at, digits + exponent, (size_t)(count - exponent));
        at += count - exponent;
    }
    return (size_t)(at - target);
}

/* 1.2345e+21: the exponent has at least two digits. */
static size_t lay_out_exponent(char *target, const char *digits, int count, int exponent)
{
    char *at = target;
    *at++ = digits[0];
    if (count > 1) {
        *at++ = '.';
        memcpy(at, digits + 1, (size_t)count - 1);
        at += count - 1;
    }
    return (size_t)(at - target) + (size_t)snprintf(at, 8, "e%c%02d", exponent - 1 < 0 ? '-' : '+',
                                                    exponent - 1 < 0 ? 1 - exponent : exponent - 1);
}

size_t double_format(char *target, double value)
{
    size_t size = 0;
    if (isnan(value))
        return copy_characters(target, "NaN");
    if (isinf(value))
        return copy_characters(target, value > 0 ? "+Inf" : "-Inf");
    if (signbit(value))
        target[size++] = '-';
    value = fabs(value);
    if (value <= 9007199254740992.0 && value == (double)(uint64_t)value)
        return size + format_unsigned(target + size, (uint64_t)value);
    char digits[DOUBLE_DIGITS_MAX];
    int exponent;
    int count = (int)double_shortest_digits(value, digits, &exponent);
    if (value < 1e-6 || value >= 1e21)
        return size + lay_out_exponent(target + size, digits, count, exponent);
    return size + lay_out_plain(target + size, digits, count, exponent);
}

static size_t format_quoted(char *target, double value)
{
    target[0] = '"';
    size_t size = 1 + double_format(target + 1, value);
    target[size++] = '"';
    return size;
}

void json_sample_value(struct byte_buffer *buffer, double value)
{
    char text[JSON_NUMBER_BYTES_MAX + 2];
    byte_buffer_append(buffer, text, format_quoted(text, value));
}

void json_double(struct byte_buffer *buffer, double value)
{
    char text[JSON_NUMBER_BYTES_MAX];
    if (!isfinite(value)) {
        json_sample_value(buffer, value);
        return;
    }
    byte_buffer_append(buffer, text, double_format(text, value));
}

static size_t format_timestamp(char *text, int64_t timestamp_ms)
{
    size_t size = 0;
    uint64_t magnitude = timestamp_ms < 0 ? 0 - (uint64_t)timestamp_ms : (uint64_t)timestamp_ms;
    if (timestamp_ms < 0)
        text[size++] = '-';
    size += format_unsigned(text + size, magnitude / 1000);
    uint64_t fraction = magnitude % 1000;
    if (fraction != 0) {
        text[size++] = '.';
        text[size++] = (char)('0' + fraction / 100);
        text[size++] = (char)('0' + fraction / 10 % 10);
        text[size++] = (char)('0' + fraction % 10);
    }
    return size;
}

void json_timestamp(struct byte_buffer *buffer, int64_t timestamp_ms)
{
    char text[JSON_NUMBER_BYTES_MAX];
    byte_buffer_append(buffer, text, format_timestamp(text, timestamp_ms));
}

void json_sample(struct byte_buffer *buffer, int64_t timestamp_ms, double value)
{
    char text[2 * JSON_NUMBER_BYTES_MAX + 5] = "[";
    size_t size = 1 + format_timestamp(text + 1, timestamp_ms);
    text[size++] = ',';
    size += format_quoted(text + size, value);
    text[size++] = ']';
    byte_buffer_append(buffer, text, size);
}

/* --- Scalars ---------------------------------------------------------------------------------- */

enum { PLAIN_BYTES_MAX = 400 }; /* a sign, 0., 323 zeros and 17 digits */

static size_t format_plain(char *target, double value)
{
    double magnitude = fabs(value);
    if (!isfinite(value) || magnitude == 0 || (magnitude >= 1e-6 && magnitude < 1e21))
        return double_format(target, value);
    size_t size = 0;
    char digits[DOUBLE_DIGITS_MAX];
    int exponent;
    int count = (int)double_shortest_digits(magnitude, digits, &exponent);
    if (value < 0)
        target[size++] = '-';
    return size + lay_out_plain(target + size, digits, count, exponent);
}

void json_scalar(struct byte_buffer *buffer, int64_t timestamp_ms, double value)
{
    char text[JSON_NUMBER_BYTES_MAX + PLAIN_BYTES_MAX] = "[";
    size_t size = 1 + format_timestamp(text + 1, timestamp_ms);
    text[size++] = ',';
    text[size++] = '"';
    size += format_plain(text + size, value);
    text[size++] = '"';
    text[size++] = ']';
    byte_buffer_append(buffer, text, size);
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
