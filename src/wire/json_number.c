/* The numbers of json_writer. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "wire/json_writer.h"

#include "double_digits.h"

/* --- Integers --------------------------------------------------------------------------------- */

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

/* --- Doubles ---------------------------------------------------------------------------------- */

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

/* `count` digits of `value`, zeros in front. */
static void format_fraction(char *target, uint32_t value, int count)
{
    for (int i = count - 1; i >= 0; i--) {
        target[i] = (char)('0' + value % 10);
        value /= 10;
    }
}

/*
 * Values with few decimals, as most that people look at have. What has at most 15 digits and reads
 * back as the value is the shortest that does: two such numbers never share a double. Millionths
 * below 1e15 are such, and the division, of two exact numbers, is rounded as reading is. 0: not so.
 */
static size_t format_millionths(char *target, double value)
{
    static const double SCALE = 1e6;
    if (!(value < 1e9))
        return 0;
    uint64_t millionths = (uint64_t)(value * SCALE + 0.5);
    if ((double)millionths / SCALE != value)
        return 0;
    size_t size = format_unsigned(target, millionths / 1000000);
    uint32_t fraction = (uint32_t)(millionths % 1000000);
    int count = 6;
    for (; fraction % 10 == 0; count--) /* a whole number was told apart before */
        fraction /= 10;
    target[size++] = '.';
    format_fraction(target + size, fraction, count);
    return size + (size_t)count;
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
    size_t few = format_millionths(target + size, value);
    if (few > 0)
        return size + few;
    char digits[DOUBLE_DIGITS_MAX];
    int exponent;
    int count = (int)double_shortest_digits(value, digits, &exponent);
    if (value < 1e-6 || value >= 1e21)
        return size + lay_out_exponent(target + size, digits, count, exponent);
    return size + lay_out_plain(target + size, digits, count, exponent);
}

/* The sign and digits of a finite value but 0. */
static size_t lay_out(char *target, double value,
                      size_t (*digits_lay_out)(char *, const char *, int, int))
{
    size_t size = 0;
    char digits[DOUBLE_DIGITS_MAX];
    int exponent;
    int count = (int)double_shortest_digits(fabs(value), digits, &exponent);
    if (value < 0)
        target[size++] = '-';
    return size + digits_lay_out(target + size, digits, count, exponent);
}

size_t double_format_general(char *target, double value)
{
    double magnitude = fabs(value);
    if (!isfinite(value) || magnitude == 0 || (magnitude >= 1e-4 && magnitude < 1e6))
        return double_format(target, value);
    return lay_out(target, value, lay_out_exponent);
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

/* --- Samples ---------------------------------------------------------------------------------- */

enum { MILLISECONDS_PER_SECOND = 1000 };

static size_t format_milliseconds(char *target, uint64_t fraction)
{
    if (fraction == 0)
        return 0;
    target[0] = '.';
    format_fraction(target + 1, (uint32_t)fraction, 3);
    return 4;
}

static size_t format_timestamp(char *target, int64_t timestamp_ms)
{
    size_t size = 0;
    uint64_t magnitude = timestamp_ms < 0 ? 0 - (uint64_t)timestamp_ms : (uint64_t)timestamp_ms;
    if (timestamp_ms < 0)
        target[size++] = '-';
    size += format_unsigned(target + size, magnitude / MILLISECONDS_PER_SECOND);
    return size + format_milliseconds(target + size, magnitude % MILLISECONDS_PER_SECOND);
}

void json_timestamp(struct byte_buffer *buffer, int64_t timestamp_ms)
{
    char text[JSON_NUMBER_BYTES_MAX];
    byte_buffer_append(buffer, text, format_timestamp(text, timestamp_ms));
}

enum {
    SAMPLE_BYTES_MAX = 2 * JSON_NUMBER_BYTES_MAX + 6,
    SAMPLES_BYTES_MAX = 1024, /* reserved at once */
    LOW_SECONDS = 100000,
    LOW_DIGITS = 5,
};

/* The first digits of a time, which its neighbours share. */
struct time_head {
    int64_t start_ms; /* of times in [start_ms, end_ms), none at first */
    int64_t end_ms;
    char digits[UNSIGNED_DIGITS_MAX];
    size_t size;
};

static void time_head_set(struct time_head *head, int64_t timestamp_ms)
{
    const int64_t SPAN_MS = (int64_t)LOW_SECONDS * MILLISECONDS_PER_SECOND;
    if (timestamp_ms < SPAN_MS || timestamp_ms > INT64_MAX - SPAN_MS)
        return; /* no digits in front of the low ones, or none behind */
    head->start_ms = timestamp_ms - timestamp_ms % SPAN_MS;
    head->end_ms = head->start_ms + SPAN_MS;
    head->size = format_unsigned(head->digits, (uint64_t)(timestamp_ms / SPAN_MS));
}

static size_t format_near_time(char *target, struct time_head *head, int64_t timestamp_ms)
{
    if (timestamp_ms < head->start_ms || timestamp_ms >= head->end_ms)
        time_head_set(head, timestamp_ms);
    if (timestamp_ms < head->start_ms || timestamp_ms >= head->end_ms)
        return format_timestamp(target, timestamp_ms);
    uint32_t low_ms = (uint32_t)(timestamp_ms - head->start_ms);
    memcpy(target, head->digits, sizeof head->digits); /* of a fixed size: one or two moves */
    format_fraction(target + head->size, low_ms / MILLISECONDS_PER_SECOND, LOW_DIGITS);
    size_t size = head->size + LOW_DIGITS;
    return size + format_milliseconds(target + size, low_ms % MILLISECONDS_PER_SECOND);
}

size_t json_samples(struct byte_buffer *buffer, const int64_t *timestamps_ms, const double *values,
                    size_t count, size_t size_bytes_max)
{
    struct time_head head = {0};
    size_t i = 0;
    for (; i < count && (i == 0 || buffer->size < size_bytes_max); i++) {
        if (buffer->capacity - buffer->size < SAMPLE_BYTES_MAX &&
            !byte_buffer_reserve(buffer, SAMPLES_BYTES_MAX))
            return i;
        char *start = (char *)buffer->bytes + buffer->size;
        char *at = start;
        if (i > 0)
            *at++ = ',';
        *at++ = '[';
        at += format_near_time(at, &head, timestamps_ms[i]);
        *at++ = ',';
        at += format_quoted(at, values[i]);
        *at++ = ']';
        buffer->size += (size_t)(at - start);
    }
    return i;
}

void json_sample(struct byte_buffer *buffer, int64_t timestamp_ms, double value)
{
    json_samples(buffer, &timestamp_ms, &value, 1, SIZE_MAX);
}

/* --- Scalars ---------------------------------------------------------------------------------- */

enum { PLAIN_BYTES_MAX = 400 }; /* a sign, 0., 323 zeros and 17 digits */

static size_t format_plain(char *target, double value)
{
    double magnitude = fabs(value);
    if (!isfinite(value) || magnitude == 0 || (magnitude >= 1e-6 && magnitude < 1e21))
        return double_format(target, value);
    return lay_out(target, value, lay_out_plain);
}

void json_plain_value(struct byte_buffer *buffer, double value)
{
    char text[PLAIN_BYTES_MAX] = "\"";
    size_t size = 1 + format_plain(text + 1, value);
    text[size++] = '"';
    byte_buffer_append(buffer, text, size);
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
