#include "base/text.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>

/* --- Comparing and cutting ------------------------------------------------------------------ */

int text_compare(struct text left, struct text right)
{
    size_t common = left.size < right.size ? left.size : right.size;
    int order = common == 0 ? 0 : memcmp(left.data, right.data, common);
    if (order != 0)
        return order;
    return left.size < right.size ? -1 : left.size > right.size;
}

static char lower(char character)
{
    return character >= 'A' && character <= 'Z' ? (char)(character - 'A' + 'a') : character;
}

bool text_equal_ignoring_case(struct text left, struct text right)
{
    if (left.size != right.size)
        return false;
    for (size_t i = 0; i < left.size; i++)
        if (lower(left.data[i]) != lower(right.data[i]))
            return false;
    return true;
}

bool text_starts_with(struct text whole, struct text prefix)
{
    return whole.size >= prefix.size && text_equal((struct text){whole.data, prefix.size}, prefix);
}

bool text_ends_with(struct text whole, struct text suffix)
{
    return whole.size >= suffix.size &&
           text_equal((struct text){whole.data + (whole.size - suffix.size), suffix.size}, suffix);
}

static bool is_space(char character)
{
    return character == ' ' || (character >= '\t' && character <= '\r');
}

struct text text_trim(struct text whole)
{
    while (whole.size > 0 && is_space(whole.data[0])) {
        whole.data++;
        whole.size--;
    }
    while (whole.size > 0 && is_space(whole.data[whole.size - 1]))
        whole.size--;
    return whole;
}

bool text_split(struct text whole, char separator, struct text *head_out, struct text *rest_out)
{
    const char *found = whole.size == 0 ? NULL : memchr(whole.data, separator, whole.size);
    if (found == NULL) {
        *head_out = whole;
        *rest_out = (struct text){0};
        return false;
    }
    size_t before = (size_t)(found - whole.data);
    *head_out = (struct text){whole.data, before};
    *rest_out = (struct text){found + 1, whole.size - before - 1};
    return true;
}

/* --- UTF-8 (RFC 3629) ----------------------------------------------------------------------- */

static bool is_continuation(unsigned char byte)
{
    return (byte & 0xc0) == 0x80;
}

/* Bytes of the well-formed character at `bytes`, 0 when there is none. */
static size_t utf8_character(const unsigned char *bytes, size_t left)
{
    unsigned char first = bytes[0];
    if (first < 0x80)
        return 1;
    if (first >= 0xc2 && first <= 0xdf)
        return left >= 2 && is_continuation(bytes[1]) ? 2 : 0;
    if (first >= 0xe0 && first <= 0xef) {
        if (left < 3 || !is_continuation(bytes[1]) || !is_continuation(bytes[2]))
            return 0;
        bool overlong = first == 0xe0 && bytes[1] < 0xa0;
        bool surrogate = first == 0xed && bytes[1] > 0x9f;
        return overlong || surrogate ? 0 : 3;
    }
    if (first >= 0xf0 && first <= 0xf4) {
        if (left < 4 || !is_continuation(bytes[1]) || !is_continuation(bytes[2]) ||
            !is_continuation(bytes[3]))
            return 0;
        bool overlong = first == 0xf0 && bytes[1] < 0x90;
        bool beyond = first == 0xf4 && bytes[1] > 0x8f;
        return overlong || beyond ? 0 : 4;
    }
    return 0;
}

/* Fewer than eight bytes. */
static bool is_ascii(const unsigned char *bytes, size_t size)
{
    unsigned char all = 0;
    for (size_t i = 0; i < size; i++)
        all |= bytes[i];
    return all < 0x80;
}

bool text_is_utf8(struct text whole)
{
    const unsigned char *bytes = (const unsigned char *)whole.data;
    size_t i = 0;
    while (i < whole.size) {
        uint64_t word;
        if (whole.size - i >= 8) {
            memcpy(&word, bytes + i, 8);
            if ((word & 0x8080808080808080u) == 0) {
                i += 8;
                continue;
            }
        } else if (is_ascii(bytes + i, whole.size - i))
            return true;
        size_t length = utf8_character(bytes + i, whole.size - i);
        if (length == 0)
            return false;
        i += length;
    }
    return true;
}

/* --- Numbers -------------------------------------------------------------------------------- */

bool text_to_uint64(struct text whole, uint64_t *value_out)
{
    uint64_t value = 0;
    if (whole.size == 0)
        return false;
    for (size_t i = 0; i < whole.size; i++) {
        char digit = whole.data[i];
        if (digit < '0' || digit > '9')
            return false;
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(digit - '0'), &value))
            return false;
    }
    *value_out = value;
    return true;
}

bool text_to_int64(struct text whole, int64_t *value_out)
{
    bool negative = whole.size > 0 && whole.data[0] == '-';
    if (whole.size > 0 && (whole.data[0] == '-' || whole.data[0] == '+')) {
        whole.data++;
        whole.size--;
    }
    uint64_t magnitude;
    if (!text_to_uint64(whole, &magnitude) || magnitude > (uint64_t)INT64_MAX + negative)
        return false;
    *value_out = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return true;
}

static bool is_special_number(struct text body, double *value_out)
{
    if (text_equal_ignoring_case(body, TEXT("inf")) ||
        text_equal_ignoring_case(body, TEXT("infinity"))) {
        *value_out = INFINITY;
        return true;
    }
    if (text_equal_ignoring_case(body, TEXT("nan"))) {
        *value_out = NAN;
        return true;
    }
    return false;
}

bool text_to_double(struct text whole, double *value_out)
{
    enum { NUMBER_BYTES_MAX = 512 };
    char copy[NUMBER_BYTES_MAX];
    if (whole.size == 0 || whole.size >= sizeof copy)
        return false;
    struct text body = whole;
    if (body.data[0] == '-' || body.data[0] == '+') {
        body.data++;
        body.size--;
    }
    if (body.size == 0)
        return false;
    double special;
    if (is_special_number(body, &special)) {
        *value_out = whole.data[0] == '-' ? -special : special;
        return true;
    }
    /* strtod also takes white space and nan(...), which are not ours. */
    if ((body.data[0] < '0' || body.data[0] > '9') && body.data[0] != '.')
        return false;
    memcpy(copy, whole.data, whole.size);
    copy[whole.size] = '\0';
    char *end;
    double value = strtod(copy, &end);
    if (end != copy + whole.size)
        return false;
    *value_out = value;
    return true;
}

/* --- Durations and sizes -------------------------------------------------------------------- */

struct unit {
    const char *name;
    int64_t factor;
};

static const struct unit DURATION_UNITS[] = {
    {"y", INT64_C(365) * 24 * 3600 * 1000},
    {"w", INT64_C(7) * 24 * 3600 * 1000},
    {"d", INT64_C(24) * 3600 * 1000},
    {"h", INT64_C(3600) * 1000},
    {"m", INT64_C(60) * 1000},
    {"s", 1000},
    {"ms", 1},
};
enum { DURATION_UNIT_COUNT = sizeof DURATION_UNITS / sizeof DURATION_UNITS[0] };

static size_t digits_at(struct text whole)
{
    size_t count = 0;
    while (count < whole.size && whole.data[count] >= '0' && whole.data[count] <= '9')
        count++;
    return count;
}

static size_t letters_at(struct text whole)
{
    size_t count = 0;
    while (count < whole.size && whole.data[count] >= 'a' && whole.data[count] <= 'z')
        count++;
    return count;
}

static struct text text_after(struct text whole, size_t count)
{
    return (struct text){whole.data + count, whole.size - count};
}

enum error_code text_to_duration_ms(struct text whole, int64_t *duration_ms_out,
                                    struct error *error)
{
    if (text_equal(whole, TEXT("0"))) {
        *duration_ms_out = 0;
        return ERROR_NONE;
    }
    int64_t total = 0;
    size_t unit_next = 0;
    struct text rest = whole;
    while (rest.size > 0) {
        uint64_t count;
        size_t digits = digits_at(rest);
        struct text number = {rest.data, digits};
        rest = text_after(rest, digits);
        struct text name = {rest.data, letters_at(rest)};
        rest = text_after(rest, name.size);
        size_t unit = unit_next;
        while (unit < DURATION_UNIT_COUNT && !text_equal(name, text_of(DURATION_UNITS[unit].name)))
            unit++;
        int64_t part;
        if (unit == DURATION_UNIT_COUNT || !text_to_uint64(number, &count) || count > INT64_MAX ||
            __builtin_mul_overflow((int64_t)count, DURATION_UNITS[unit].factor, &part) ||
            __builtin_add_overflow(total, part, &total))
            return error_set(error, ERROR_INVALID, "not a valid duration string: \"%.*s\"",
                             TEXT_ARGUMENTS(whole));
        unit_next = unit + 1;
    }
    if (whole.size == 0)
        return error_set(error, ERROR_INVALID, "empty duration string");
    *duration_ms_out = total;
    return ERROR_NONE;
}

enum error_code text_to_size_bytes(struct text whole, uint64_t *size_bytes_out, struct error *error)
{
    static const struct unit UNITS[] = {
        {"", 1},
        {"B", 1},
        {"KiB", 1 << 10},
        {"MiB", 1 << 20},
        {"GiB", 1 << 30},
        {"TiB", INT64_C(1) << 40},
        {"KB", 1000},
        {"MB", 1000000},
        {"GB", 1000000000},
        {"TB", INT64_C(1000000000000)},
    };
    size_t digits = digits_at(whole);
    uint64_t count;
    if (text_to_uint64((struct text){whole.data, digits}, &count)) {
        struct text name = text_trim(text_after(whole, digits));
        for (size_t i = 0; i < sizeof UNITS / sizeof UNITS[0]; i++) {
            uint64_t size;
            if (text_equal(name, text_of(UNITS[i].name)) &&
                !__builtin_mul_overflow(count, (uint64_t)UNITS[i].factor, &size)) {
                *size_bytes_out = size;
                return ERROR_NONE;
            }
        }
    }
    return error_set(error, ERROR_INVALID,
                     "not a size: \"%.*s\" (a number with B, KiB, MiB, GiB or TiB)",
                     TEXT_ARGUMENTS(whole));
}
