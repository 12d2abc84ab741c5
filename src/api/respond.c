/* Answers, parameters and what else all endpoints need. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/limits.h"

#include "api_private.h"

/* --- Answers -------------------------------------------------------------------------------- */

struct error_form {
    unsigned status;
    const char *name;
};

static const struct error_form ERROR_FORMS[API_ERRORS] = {
    [API_BAD_DATA] = {400, "bad_data"},       [API_EXECUTION] = {422, "execution"},
    [API_CANCELED] = {499, "canceled"},       [API_TIMEOUT] = {503, "timeout"},
    [API_INTERNAL] = {500, "internal"},       [API_UNAVAILABLE] = {503, "unavailable"},
    [API_NOT_FOUND] = {404, "not_found"},
};

unsigned api_error_status(enum api_error kind)
{
    return ERROR_FORMS[kind].status;
}

void api_respond_json(struct http_request *request, unsigned status, struct byte_buffer *body)
{
    if (body->failed) {
        byte_buffer_clear(body);
        api_respond_status(request, 503);
        return;
    }
    struct http_response response = {
        .status = status,
        .content_type = TEXT("application/json"),
        .body = {(char *)body->bytes, body->size},
        .body_life = HTTP_BODY_OWNED,
    };
    *body = (struct byte_buffer){0};
    http_respond(request, &response);
}

void api_respond_error(struct http_request *request, enum api_error kind, const char *message)
{
    struct byte_buffer body = {0};
    json_raw(&body, TEXT("{\"status\":\"error\",\"errorType\":"));
    json_string(&body, text_of(ERROR_FORMS[kind].name));
    json_raw(&body, TEXT(",\"error\":"));
    json_string(&body, text_of(message));
    json_raw(&body, TEXT("}"));
    api_respond_json(request, ERROR_FORMS[kind].status, &body);
}

enum api_error api_error_of(enum error_code code, enum api_error invalid_kind)
{
    switch (code) {
    case ERROR_INVALID:
        return invalid_kind;
    case ERROR_LIMIT:
    case ERROR_OUT_OF_MEMORY:
        return API_EXECUTION;
    case ERROR_TIMEOUT:
        return API_TIMEOUT;
    case ERROR_CANCELED:
        return API_CANCELED;
    case ERROR_UNAVAILABLE:
        return API_UNAVAILABLE;
    case ERROR_NOT_FOUND:
        return API_NOT_FOUND;
    default:
        return API_INTERNAL;
    }
}

void api_respond_code(struct http_request *request, const struct error *error,
                      enum api_error invalid_kind)
{
    api_respond_error(request, api_error_of(error->code, invalid_kind), error->message);
}

void api_respond_data(struct http_request *request, struct byte_buffer *data)
{
    struct byte_buffer body = {0};
    json_raw(&body, TEXT("{\"status\":\"success\",\"data\":"));
    byte_buffer_append(&body, data->bytes, data->size);
    json_raw(&body, TEXT("}"));
    body.failed |= data->failed;
    byte_buffer_clear(data);
    api_respond_json(request, 200, &body);
}

void api_respond_status(struct http_request *request, unsigned status)
{
    http_respond(request, &(struct http_response){.status = status});
}

void api_respond_text(struct http_request *request, unsigned status, const char *text)
{
    http_respond(request, &(struct http_response){
                              .status = status,
                              .content_type = TEXT("text/plain; charset=utf-8"),
                              .body = text_of(text),
                              .body_life = HTTP_BODY_BORROWED,
                          });
}

/* --- Tenant and parameters -------------------------------------------------------------------- */

/* The characters that Mimir allows, so that tenants can move here. */
static bool tenant_is_valid(struct text tenant)
{
    if (tenant.size == 0 || tenant.size > TENANT_ID_BYTES_MAX ||
        text_equal(tenant, TEXT(".")) || text_equal(tenant, TEXT("..")))
        return false;
    for (size_t i = 0; i < tenant.size; i++) {
        char c = tenant.data[i];
        bool alphanumeric = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                            (c >= 'A' && c <= 'Z');
        if (!alphanumeric && (c == '\0' || strchr("!-_.*'()", c) == NULL))
            return false;
    }
    return true;
}

bool api_tenant(struct http_request *request, struct text *tenant_out)
{
    *tenant_out = TEXT("anonymous");
    if (!api_of(request)->options.tenants_enabled)
        return true;
    if (!http_request_header(request, TEXT("X-Scope-OrgID"), tenant_out)) {
        http_respond(request,
                     &(struct http_response){.status = 401,
                                             .content_type = TEXT("text/plain; charset=utf-8"),
                                             .body = TEXT("no org id: the header X-Scope-OrgID "
                                                          "must name the tenant\n")});
        return false;
    }
    if (!tenant_is_valid(*tenant_out)) {
        api_respond_error(request, API_BAD_DATA,
                          "the tenant in X-Scope-OrgID is empty, too long or has characters other "
                          "than letters, digits and !-_.*'()");
        return false;
    }
    return true;
}

bool api_parameters(struct http_request *request, const struct http_parameters **parameters_out)
{
    struct error error;
    if (http_request_parameters(request, parameters_out, &error) == ERROR_NONE)
        return true;
    api_respond_code(request, &error, API_BAD_DATA);
    return false;
}

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
    if (rest->size == 0 || (rest->data[0] | 0x20) != (expected | 0x20))
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

/* RFC 3339, section 5.6, with any number of decimals. */
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
    if (calendar.tm_mon < 1 || calendar.tm_mon > 12 || calendar.tm_mday < 1 ||
        calendar.tm_mday > 31 || calendar.tm_hour > 23 || calendar.tm_min > 59 ||
        calendar.tm_sec > 60)
        return false;
    if (text.size > 0 && text.data[0] == '.') {
        int digit, scale = 100;
        text.data++;
        text.size--;
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
    *time_ms_out = ((int64_t)timegm(&calendar) - zone_minutes * 60) * 1000 + milliseconds;
    return true;
}

enum error_code api_time(const struct http_parameters *parameters, struct text name,
                         int64_t default_ms, int64_t *time_ms_out, struct error *error)
{
    struct text text;
    double seconds;
    if (!http_parameters_find(parameters, name, &text) || text.size == 0) {
        *time_ms_out = default_ms;
        return ERROR_NONE;
    }
    if (text_to_double(text, &seconds) && fabs(seconds) < 9e15) {
        *time_ms_out = (int64_t)round(seconds * 1000);
        return ERROR_NONE;
    }
    if (parse_rfc3339(text, time_ms_out))
        return ERROR_NONE;
    return error_set(error, ERROR_INVALID,
                     "invalid parameter \"%.*s\": cannot parse \"%.*s\" to a valid timestamp",
                     TEXT_ARGUMENTS(name), TEXT_ARGUMENTS(text));
}

enum error_code api_duration(const struct http_parameters *parameters, struct text name,
                             int64_t default_ms, int64_t *duration_ms_out, struct error *error)
{
    struct text text;
    double seconds;
    struct error ignored;
    if (!http_parameters_find(parameters, name, &text) || text.size == 0) {
        *duration_ms_out = default_ms;
        return ERROR_NONE;
    }
    if (text_to_double(text, &seconds)) {
        if (fabs(seconds) < 9e12) {
            *duration_ms_out = (int64_t)(seconds * 1000);
            return ERROR_NONE;
        }
    } else if (text_to_duration_ms(text, duration_ms_out, &ignored) == ERROR_NONE) {
        return ERROR_NONE;
    }
    return error_set(error, ERROR_INVALID,
                     "invalid parameter \"%.*s\": cannot parse \"%.*s\" to a valid duration",
                     TEXT_ARGUMENTS(name), TEXT_ARGUMENTS(text));
}

enum error_code api_limit(const struct http_parameters *parameters, struct text name,
                          uint64_t *limit_out, struct error *error)
{
    struct text text;
    *limit_out = 0;
    if (!http_parameters_find(parameters, name, &text) || text.size == 0)
        return ERROR_NONE;
    if (text_to_uint64(text, limit_out))
        return ERROR_NONE;
    return error_set(error, ERROR_INVALID,
                     "invalid parameter \"%.*s\": limit must be a non-negative number",
                     TEXT_ARGUMENTS(name));
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
            return error_wrap(error, "invalid parameter \"%.*s\"", TEXT_ARGUMENTS(name));
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
