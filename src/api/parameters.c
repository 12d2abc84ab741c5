/* Parameters of query and form: times, durations, limits, selectors, escaped names. */
#include <math.h>
#include <time.h>

#include "api_private.h"

/* --- Times ------------------------------------------------------------------------------------ */

static bool digits(struct text *rest, size_t count, int *value_out)
{
    *value_out = 0;
    if (rest->size < count)
        return false;
    for (size_t i = 0; i < count; i++) {
        char digit = rest->data[i];
        if (digit < '0' || digit > '9')
            return false;
        *value_out = *value_out * 10 + (digit - '0');
    }
    rest->data += count;
    rest->size -= count;
    return true;
}

static bool character(struct text *rest, char expected)
{
    if (rest->size == 0 || rest->data[0] != expected)
        return false;
    rest->data++;
    rest->size--;
    return true;
}

static bool zone(struct text *rest, int *minutes_out)
{
    int hours, minutes, sign;
    *minutes_out = 0;
    if (character(rest, 'Z'))
        return true;
    if (rest->size == 0 || (rest->data[0] != '+' && rest->data[0] != '-'))
        return false;
    sign = rest->data[0] == '-' ? -1 : 1;
    rest->data++;
    rest->size--;
    if (!digits(rest, 2, &hours) || !character(rest, ':') || !digits(rest, 2, &minutes) ||
        hours > 23 || minutes > 59)
        return false;
    *minutes_out = sign * (hours * 60 + minutes);
    return true;
}

/* RFC 3339, section 5.6, with any number of decimals behind a point or a comma, as Go reads it. */
static bool parse_rfc3339(struct text text, int64_t *time_ms_out)
{
    struct tm calendar = {0};
    int milliseconds = 0, zone_minutes;
    if (!digits(&text, 4, &calendar.tm_year) || !character(&text, '-') ||
        !digits(&text, 2, &calendar.tm_mon) || !character(&text, '-') ||
        !digits(&text, 2, &calendar.tm_mday) || !character(&text, 'T') ||
        !digits(&text, 2, &calendar.tm_hour) || !character(&text, ':') ||
        !digits(&text, 2, &calendar.tm_min) || !character(&text, ':') ||
        !digits(&text, 2, &calendar.tm_sec))
        return false;
    int day = calendar.tm_mday;
    if (calendar.tm_mon < 1 || calendar.tm_mon > 12 || day < 1 || calendar.tm_hour > 23 ||
        calendar.tm_min > 59 || calendar.tm_sec > 59)
        return false;
    if (character(&text, '.') || character(&text, ',')) {
        int digit, scale = 100;
        if (!digits(&text, 1, &digit))
            return false;
        do {
            milliseconds += digit * scale;
            scale /= 10;
        } while (digits(&text, 1, &digit));
    }
    if (!zone(&text, &zone_minutes) || text.size > 0)
        return false;
    calendar.tm_year -= 1900;
    calendar.tm_mon -= 1;
    int64_t seconds = timegm(&calendar);
    if (calendar.tm_mday != day)
        return false; /* the month has no such day: it was taken for one of the next */
    *time_ms_out = (seconds - zone_minutes * 60) * 1000 + milliseconds;
    return true;
}

/* Within what ranges can be made of, so that differences of two times fit as well. The fraction is
 * rounded on its own, as Prometheus does. */
static int64_t milliseconds_of(double seconds)
{
    double whole;
    double fraction = modf(seconds, &whole);
    double milliseconds = whole * 1000 + round(fraction * 1000);
    if (milliseconds <= (double)API_TIME_MIN)
        return API_TIME_MIN;
    return milliseconds >= (double)API_TIME_MAX ? API_TIME_MAX : (int64_t)milliseconds;
}

/* What Go's clients send for "since ever" and "for ever", where years have more than four digits.
 */
static bool parse_end_of_time(struct text text, int64_t *time_ms_out)
{
    bool is_first = text_equal(text, TEXT("-292273086-05-16T16:47:06Z"));
    if (!is_first && !text_equal(text, TEXT("292277025-08-18T07:12:54.999999999Z")))
        return false;
    *time_ms_out = is_first ? API_TIME_MIN : API_TIME_MAX;
    return true;
}

/* A number as Go's strconv.ParseFloat takes it: hexadecimal digits need an exponent. */
static bool parse_number(struct text text, double *number_out)
{
    bool is_hexadecimal = false, has_exponent = false;
    for (size_t i = 0; i < text.size; i++) {
        char lower = (char)(text.data[i] | 0x20);
        is_hexadecimal = is_hexadecimal || lower == 'x';
        has_exponent = has_exponent || lower == 'p';
    }
    return (!is_hexadecimal || has_exponent) && text_to_double(text, number_out);
}

static bool parse_time(struct text text, int64_t *time_ms_out)
{
    double seconds;
    if (parse_number(text, &seconds) && fabs(seconds) < 1e18) {
        *time_ms_out = milliseconds_of(seconds);
        return true;
    }
    return parse_rfc3339(text, time_ms_out) || parse_end_of_time(text, time_ms_out);
}

enum error_code api_time(const struct http_parameters *parameters, struct text name,
                         int64_t default_ms, int64_t *time_ms_out, struct error *error)
{
    struct text text;
    if (!http_parameters_find(parameters, name, &text) || text.size == 0) {
        *time_ms_out = default_ms;
        return ERROR_NONE;
    }
    if (parse_time(text, time_ms_out))
        return ERROR_NONE;
    return error_set(error, ERROR_INVALID,
                     "invalid parameter \"%.*s\": invalid time value for '%.*s': cannot parse "
                     "\"%.*s\" to a valid timestamp",
                     TEXT_ARGUMENTS(name), TEXT_ARGUMENTS(name), TEXT_ARGUMENTS(text));
}

enum error_code api_required_time(const struct http_parameters *parameters, struct text name,
                                  int64_t *time_ms_out, struct error *error)
{
    struct text text = {0};
    if (http_parameters_find(parameters, name, &text) && parse_time(text, time_ms_out))
        return ERROR_NONE;
    return error_set(error, ERROR_INVALID,
                     "invalid parameter \"%.*s\": cannot parse \"%.*s\" to a valid timestamp",
                     TEXT_ARGUMENTS(name), TEXT_ARGUMENTS(text));
}

/* --- Durations -------------------------------------------------------------------------------- */

static enum error_code parse_duration(struct text text, int64_t *duration_ns_out,
                                      struct error *error)
{
    double seconds;
    int64_t milliseconds;
    if (parse_number(text, &seconds) && !isnan(seconds)) {
        double nanoseconds = seconds * 1e9;
        if (fabs(nanoseconds) >= 0x1p63)
            return error_set(error, ERROR_INVALID,
                             "cannot parse \"%.*s\" to a valid duration. It overflows int64",
                             TEXT_ARGUMENTS(text));
        *duration_ns_out = (int64_t)nanoseconds;
        return ERROR_NONE;
    }
    if (text_to_duration_ms(text, &milliseconds, error) != ERROR_NONE ||
        __builtin_mul_overflow(milliseconds, NANOSECONDS_PER_MILLISECOND, duration_ns_out))
        return error_set(error, ERROR_INVALID, "cannot parse \"%.*s\" to a valid duration",
                         TEXT_ARGUMENTS(text));
    return ERROR_NONE;
}

enum error_code api_duration(const struct http_parameters *parameters, struct text name,
                             int64_t default_ns, int64_t *duration_ns_out, struct error *error)
{
    struct text text;
    if (!http_parameters_find(parameters, name, &text) || text.size == 0) {
        *duration_ns_out = default_ns;
        return ERROR_NONE;
    }
    return parse_duration(text, duration_ns_out, error);
}

enum error_code api_required_duration(const struct http_parameters *parameters, struct text name,
                                      int64_t *duration_ns_out, struct error *error)
{
    struct text text = {0};
    http_parameters_find(parameters, name, &text);
    if (parse_duration(text, duration_ns_out, error) == ERROR_NONE)
        return ERROR_NONE;
    return error_wrap(error, "invalid parameter \"%.*s\"", TEXT_ARGUMENTS(name));
}

/* --- Limits ----------------------------------------------------------------------------------- */

enum error_code api_limit(const struct http_parameters *parameters, struct text name,
                          uint64_t *limit_out, struct error *error)
{
    struct text text;
    *limit_out = API_NO_LIMIT;
    if (!http_parameters_find(parameters, name, &text) || text.size == 0)
        return ERROR_NONE;
    if (!text_to_uint64(text, limit_out))
        return error_set(error, ERROR_INVALID,
                         "invalid parameter \"%.*s\": limit must be a non-negative number",
                         TEXT_ARGUMENTS(name));
    if (*limit_out == 0)
        *limit_out = API_NO_LIMIT;
    return ERROR_NONE;
}

/* --- Selectors -------------------------------------------------------------------------------- */

enum error_code api_selectors_parse(const struct http_parameters *parameters, struct text name,
                                    struct arena *arena, struct api_selectors *selectors_out,
                                    struct error *error)
{
    struct api_selectors selectors = {0};
    struct text text;
    size_t position = 0, count = 0;
    while (http_parameters_next(parameters, name, &position, &text))
        count++;
    selectors.queries = arena_array(arena, count, sizeof *selectors.queries);
    if (selectors.queries == NULL)
        return api_memory_error(error);
    position = 0;
    while (http_parameters_next(parameters, name, &position, &text)) {
        enum error_code code =
            promql_parse_selector(text, arena, &selectors.queries[selectors.count], error);
        if (code != ERROR_NONE) {
            api_selectors_clear(&selectors);
            return code;
        }
        selectors.count++;
    }
    *selectors_out = selectors;
    return ERROR_NONE;
}

void api_selectors_clear(struct api_selectors *selectors)
{
    for (size_t i = 0; i < selectors->count; i++)
        promql_query_clear(&selectors->queries[i]);
    selectors->count = 0;
}

struct series_request api_series_request(const struct promql_query *selector, struct text tenant,
                                         int64_t start_ms, int64_t end_ms, enum series_need need,
                                         struct arena *arena)
{
    struct series_request request = {
        .tenant = tenant,
        .start_ms = start_ms,
        .end_ms = end_ms,
        .need = need,
        .arena = arena,
    };
    if (selector != NULL) {
        request.matchers = selector->root->selector.matchers;
        request.matcher_count = selector->root->selector.matcher_count;
    }
    return request;
}

/* --- Names escaped as values: U__name_2e_with_20_dots ----------------------------------------- */

static int hexadecimal(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return -1;
}

static size_t encode_utf8(char *target, uint32_t character)
{
    if (character < 0x80) {
        target[0] = (char)character;
        return 1;
    }
    if (character < 0x800) {
        target[0] = (char)(0xc0 | character >> 6);
        target[1] = (char)(0x80 | (character & 0x3f));
        return 2;
    }
    if (character < 0x10000) {
        target[0] = (char)(0xe0 | character >> 12);
        target[1] = (char)(0x80 | (character >> 6 & 0x3f));
        target[2] = (char)(0x80 | (character & 0x3f));
        return 3;
    }
    target[0] = (char)(0xf0 | character >> 18);
    target[1] = (char)(0x80 | (character >> 12 & 0x3f));
    target[2] = (char)(0x80 | (character >> 6 & 0x3f));
    target[3] = (char)(0x80 | (character & 0x3f));
    return 4;
}

struct text api_unescape_name(struct text name, struct arena *arena)
{
    if (!text_starts_with(name, TEXT("U__")))
        return name;
    char *plain = arena_allocate(arena, name.size * 2);
    size_t size = 0;
    if (plain == NULL)
        return (struct text){0};
    for (size_t i = 3; i < name.size; i++) {
        if (name.data[i] != '_') {
            plain[size++] = name.data[i];
            continue;
        }
        if (i + 1 < name.size && name.data[i + 1] == '_') {
            plain[size++] = '_';
            i++;
            continue;
        }
        uint32_t character = 0;
        size_t end = i + 1;
        while (end < name.size && end - i <= 6 && hexadecimal(name.data[end]) >= 0)
            character = character * 16 + (uint32_t)hexadecimal(name.data[end++]);
        if (end == i + 1 || end >= name.size || name.data[end] != '_' || character > 0x10ffff)
            return name; /* not an escape after all */
        size += encode_utf8(plain + size, character);
        i = end;
    }
    return (struct text){plain, size};
}
