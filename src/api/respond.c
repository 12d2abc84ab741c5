/* Answers, and who asks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/tenant.h"

#include "api_private.h"

/* --- Answers ---------------------------------------------------------------------------------- */

struct error_form {
    unsigned status;
    const char *name;
};

static const struct error_form ERROR_FORMS[API_ERRORS] = {
    [API_BAD_DATA] = {400, "bad_data"},    [API_EXECUTION] = {422, "execution"},
    [API_CANCELED] = {499, "canceled"},    [API_TIMEOUT] = {503, "timeout"},
    [API_INTERNAL] = {500, "internal"},    [API_UNAVAILABLE] = {503, "unavailable"},
    [API_NOT_FOUND] = {404, "not_found"},  [API_UNAUTHORIZED] = {401, "unauthorized"},
    [API_DISABLED] = {500, "unavailable"}, [API_FORBIDDEN] = {403, "forbidden"},
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
        return API_EXECUTION;
    case ERROR_TIMEOUT:
        return API_TIMEOUT;
    case ERROR_CANCELED:
        return API_CANCELED;
    case ERROR_UNAVAILABLE:
    case ERROR_OUT_OF_MEMORY:
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

void api_respond_plain_error(struct http_request *request, const struct error *error,
                             enum api_error invalid_kind)
{
    char line[sizeof error->message + 1];
    snprintf(line, sizeof line, "%s\n", error->message);
    struct text message = arena_copy_text(http_request_arena(request), text_of(line));
    http_respond(request, &(struct http_response){
                              .status = ERROR_FORMS[api_error_of(error->code, invalid_kind)].status,
                              .content_type = TEXT("text/plain; charset=utf-8"),
                              .body = message,
                              .body_life = HTTP_BODY_BORROWED,
                          });
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

bool api_tenant(struct http_request *request, struct text *tenant_out)
{
    *tenant_out = TEXT("anonymous");
    if (!api_of(request)->options.tenants_enabled)
        return true;
    struct text bound = http_request_identity(request).tenant;
    if (bound.size > 0) { /* the guard has refused it with the header of another */
        *tenant_out = bound;
        return true;
    }
    if (!http_request_header(request, TEXT("X-Scope-OrgID"), tenant_out) || tenant_out->size == 0) {
        api_respond_error(request, API_UNAUTHORIZED,
                          "no org id: the header X-Scope-OrgID must name the tenant");
        return false;
    }
    if (!tenant_id_is_valid(*tenant_out)) {
        api_respond_error(request, API_BAD_DATA,
                          "the tenant in X-Scope-OrgID is too long or has characters other "
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
