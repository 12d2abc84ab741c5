#include "block_options.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/text.h"

enum { TIMEOUT_SECONDS = 120, WINDOW_MS = 2 * 3600 * 1000, PATIENCE_MS = 5 * 60 * 1000 };

/* --- Values ----------------------------------------------------------------------------------- */

/* "2026-11-22T14:00:00Z", with a fraction or an offset. */
static bool parse_date(const char *text, int64_t *time_ms_out)
{
    struct tm calendar = {0};
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &calendar);
    double fraction = 0;
    int hours = 0, minutes = 0, used = 0;
    char sign;
    if (rest == NULL)
        return false;
    int64_t seconds = timegm(&calendar);
    if (*rest == '.') {
        size_t digits = strspn(rest + 1, "0123456789");
        if (digits == 0 || !text_to_double((struct text){rest, digits + 1}, &fraction))
            return false;
        rest += digits + 1;
    }
    if (strcmp(rest, "Z") != 0) {
        if (sscanf(rest, "%c%2d:%2d%n", &sign, &hours, &minutes, &used) != 3 ||
            rest[used] != '\0' || (sign != '+' && sign != '-') || hours < 0 || minutes < 0)
            return false;
        seconds -= (sign == '+' ? 1 : -1) * (hours * 3600 + minutes * 60);
    }
    *time_ms_out = seconds * 1000 + llround(fraction * 1000);
    return true;
}

/* A date, or seconds since 1970. */
static bool parse_time(const char *text, int64_t *time_ms_out)
{
    static const double SECONDS_MAX = 9e12;
    double seconds;
    if (!text_to_double(text_of(text), &seconds))
        return parse_date(text, time_ms_out);
    if (!(fabs(seconds) <= SECONDS_MAX))
        return false;
    *time_ms_out = llround(seconds * 1000);
    return true;
}

const char *block_time_format(int64_t time_ms, char text[BLOCK_TIME_CHARACTERS])
{
    struct tm calendar;
    int64_t thousandth = time_ms % 1000;
    if (thousandth < 0)
        thousandth += 1000;
    time_t seconds = (time_t)(time_ms / 1000 - (time_ms % 1000 < 0));
    char date[BLOCK_TIME_CHARACTERS - 6];
    if (gmtime_r(&seconds, &calendar) == NULL ||
        strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &calendar) == 0)
        snprintf(text, BLOCK_TIME_CHARACTERS, "%lld ms", (long long)time_ms);
    else if (thousandth == 0)
        snprintf(text, BLOCK_TIME_CHARACTERS, "%sZ", date);
    else
        snprintf(text, BLOCK_TIME_CHARACTERS, "%s.%03lldZ", date, (long long)thousandth);
    return text;
}

const char *block_size_format(uint64_t bytes, char text[BLOCK_NUMBER_CHARACTERS])
{
    static const char *const UNITS[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t unit = 0;
    for (; value >= 1024 && unit + 1 < sizeof UNITS / sizeof UNITS[0]; unit++)
        value /= 1024;
    snprintf(text, BLOCK_NUMBER_CHARACTERS, unit == 0 ? "%.0f %s" : "%.1f %s", value, UNITS[unit]);
    return text;
}

static enum error_code read_token(struct block_options *options, const char *path,
                                  struct error *error)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return error_set(error, ERROR_IO, "no token in '%s'", path);
    size_t size = fread(options->token, 1, sizeof options->token - 1, file);
    fclose(file);
    options->token[size] = '\0';
    options->token[strcspn(options->token, "\r\n")] = '\0';
    options->client.token = options->token;
    return size > 0 ? ERROR_NONE : error_set(error, ERROR_IO, "no token in '%s'", path);
}

static enum error_code add_match(struct block_options *options, const char *text,
                                 struct error *error)
{
    if (options->match_count == BLOCK_MATCHES_MAX)
        return error_set(error, ERROR_INVALID, "more than %d of --match", BLOCK_MATCHES_MAX);
    struct promql_query *query = &options->matches[options->match_count];
    enum error_code code = promql_parse_selector(text_of(text), options->arena, query, error);
    if (code != ERROR_NONE)
        return error_wrap(error, "--match '%s'", text);
    options->match_texts[options->match_count++] = text;
    return ERROR_NONE;
}

static enum error_code read_duration(const char *name, const char *value, int64_t *duration_ms_out,
                                     struct error *error)
{
    enum error_code code = text_to_duration_ms(text_of(value), duration_ms_out, error);
    return code == ERROR_NONE ? code : error_wrap(error, "%s", name);
}

static enum error_code read_time(const char *name, const char *value, int64_t *time_ms_out,
                                 bool *has_time_out, struct error *error)
{
    if (!parse_time(value, time_ms_out))
        return error_set(error, ERROR_INVALID,
                         "%s: '%s' is no time: 2026-11-22T14:00:00Z, or seconds since 1970", name,
                         value);
    *has_time_out = true;
    return ERROR_NONE;
}

/* --- Options ---------------------------------------------------------------------------------- */

enum option {
    OPTION_URL,
    OPTION_OUT,
    OPTION_DONE,
    OPTION_STORE,
    OPTION_TENANT,
    OPTION_USER,
    OPTION_TOKEN_FILE,
    OPTION_CA,
    OPTION_MATCH,
    OPTION_START,
    OPTION_END,
    OPTION_WINDOW,
    OPTION_PATIENCE,
};

static const struct {
    const char *name;
    enum option option;
    bool is_of_import;
    bool is_of_export;
} OPTIONS[] = {
    {"--to", OPTION_URL, true, false},        {"--from", OPTION_URL, false, true},
    {"--out", OPTION_OUT, false, true},       {"--done", OPTION_DONE, true, false},
    {"--store", OPTION_STORE, true, false},   {"--tenant", OPTION_TENANT, true, true},
    {"--user", OPTION_USER, true, true},      {"--token-file", OPTION_TOKEN_FILE, true, true},
    {"--ca", OPTION_CA, true, true},          {"--match", OPTION_MATCH, true, true},
    {"--start", OPTION_START, true, true},    {"--end", OPTION_END, true, true},
    {"--window", OPTION_WINDOW, false, true}, {"--retry-for", OPTION_PATIENCE, true, true},
};
enum { OPTION_COUNT = sizeof OPTIONS / sizeof OPTIONS[0] };

static enum error_code set_option(struct block_options *options, size_t which, const char *value,
                                  struct error *error)
{
    const char *name = OPTIONS[which].name;
    switch (OPTIONS[which].option) {
    case OPTION_URL:
        options->client.url = value;
        return ERROR_NONE;
    case OPTION_OUT:
        options->out = value;
        return ERROR_NONE;
    case OPTION_DONE:
        options->done = value;
        return ERROR_NONE;
    case OPTION_STORE:
        options->stores[options->store_count++] = value;
        return ERROR_NONE;
    case OPTION_TENANT:
        options->client.tenant = value;
        return ERROR_NONE;
    case OPTION_USER:
        options->client.user = value;
        return ERROR_NONE;
    case OPTION_TOKEN_FILE:
        return read_token(options, value, error);
    case OPTION_CA:
        options->client.ca_path = value;
        return ERROR_NONE;
    case OPTION_MATCH:
        return add_match(options, value, error);
    case OPTION_START:
        return read_time(name, value, &options->start_ms, &options->has_start, error);
    case OPTION_END:
        return read_time(name, value, &options->end_ms, &options->has_end, error);
    case OPTION_WINDOW:
        return read_duration(name, value, &options->window_ms, error);
    case OPTION_PATIENCE:
        return read_duration(name, value, &options->patience_ms, error);
    }
    return error_set(error, ERROR_INVALID, "%s", name);
}

/* Whether the argument is this option; *value_out NULL: its value is the next argument. */
static bool is_option(const char *argument, const char *name, const char **value_out)
{
    size_t size = strlen(name);
    if (strncmp(argument, name, size) != 0 || (argument[size] != '=' && argument[size] != '\0'))
        return false;
    *value_out = argument[size] == '=' ? argument + size + 1 : NULL;
    return true;
}

/* The argument at *at, and its value behind it. */
static enum error_code read_one(struct block_options *options, int count, char **arguments, int *at,
                                struct error *error)
{
    const char *argument = arguments[*at], *value;
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        bool is_here =
            options->direction == BLOCK_IMPORT ? OPTIONS[i].is_of_import : OPTIONS[i].is_of_export;
        if (!is_here || !is_option(argument, OPTIONS[i].name, &value))
            continue;
        if (value == NULL && *at + 1 == count)
            return error_set(error, ERROR_INVALID, "%s needs a value", argument);
        return set_option(options, i, value != NULL ? value : arguments[++*at], error);
    }
    if (options->direction == BLOCK_IMPORT && strcmp(argument, "--dry-run") == 0)
        options->is_dry_run = true;
    else if (argument[0] == '-' || options->direction == BLOCK_EXPORT)
        return error_set(error, ERROR_INVALID, "no such option: '%s'", argument);
    else
        options->sources[options->source_count++] = argument;
    return ERROR_NONE;
}

static enum error_code check(const struct block_options *options, struct error *error)
{
    bool is_import = options->direction == BLOCK_IMPORT;
    if (is_import && options->source_count == 0 && options->store_count == 0)
        return error_set(error, ERROR_INVALID,
                         "of which folder, or which object store (--store=FILE)?");
    if (options->client.url == NULL && !options->is_dry_run)
        return error_set(error, ERROR_INVALID, "%s which node? %s=http://127.0.0.1:9009",
                         is_import ? "to" : "from", is_import ? "--to" : "--from");
    if (!is_import && options->out == NULL)
        return error_set(error, ERROR_INVALID, "into which folder? --out=FOLDER");
    if (options->window_ms <= 0 || options->window_ms % WINDOW_MS != 0)
        return error_set(error, ERROR_INVALID, "--window is a multiple of 2h");
    if (options->has_start && options->has_end && options->start_ms > options->end_ms)
        return error_set(error, ERROR_INVALID, "--start is behind --end");
    return ERROR_NONE;
}

static bool asks_for_help(int count, char **arguments)
{
    bool asks = false;
    for (int i = 0; i < count; i++)
        asks |= strcmp(arguments[i], "--help") == 0 || strcmp(arguments[i], "-h") == 0;
    return asks;
}

enum error_code block_options_read(enum block_direction direction, int count, char **arguments,
                                   struct block_options *options, bool *wants_help,
                                   struct error *error)
{
    *options = (struct block_options){
        .direction = direction,
        .client = {.timeout_seconds = TIMEOUT_SECONDS},
        .start_ms = INT64_MIN,
        .end_ms = INT64_MAX,
        .window_ms = WINDOW_MS,
        .patience_ms = PATIENCE_MS,
        .arena = arena_create(0),
    };
    *wants_help = asks_for_help(count, arguments);
    if (*wants_help)
        return ERROR_NONE;
    for (int i = 0; options->arena != NULL && i < 2; i++)
        *(i == 0 ? &options->sources : &options->stores) =
            arena_array(options->arena, (size_t)count + 1, sizeof(const char *));
    if (options->sources == NULL || options->stores == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "arguments");
    enum error_code code = ERROR_NONE;
    for (int i = 0; code == ERROR_NONE && i < count; i++)
        code = read_one(options, count, arguments, &i, error);
    return code == ERROR_NONE ? check(options, error) : code;
}

void block_options_clear(struct block_options *options)
{
    for (size_t i = 0; i < options->match_count; i++)
        promql_query_clear(&options->matches[i]);
    arena_destroy(options->arena);
    *options = (struct block_options){0};
}
