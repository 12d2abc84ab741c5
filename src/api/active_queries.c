/* status/active_queries: what is being asked now; and how to end one of it. */
#include "api_private.h"
#include "wire/json_field.h"

struct listing {
    struct byte_buffer json;
    const struct text *tenant; /* NULL: all */
    int64_t now_ms;
};

static void append_seconds(struct byte_buffer *json, const char *name, uint64_t nanoseconds)
{
    json_field_name(json, name);
    json_double(json, (double)nanoseconds / 1e9);
}

static void append_times(struct byte_buffer *json, const struct frontend_subject *subject)
{
    if (subject->start_ms > API_TIME_MIN) {
        json_field_name(json, "start");
        json_timestamp(json, subject->start_ms);
    }
    if (subject->end_ms < API_TIME_MAX) {
        json_field_name(json, "end");
        json_timestamp(json, subject->end_ms);
    }
    if (subject->step_ms > 0) {
        json_field_name(json, "step");
        json_timestamp(json, subject->step_ms);
    }
}

static void append(void *context, const struct frontend_active *active)
{
    struct listing *listing = context;
    struct byte_buffer *json = &listing->json;
    const struct frontend_subject *subject = active->subject;
    if (subject->kind == NULL ||
        (listing->tenant != NULL && !text_equal(*listing->tenant, subject->tenant)))
        return;
    uint64_t age_ns = active->waited_ns + active->ran_ns;
    bool is_first = json->bytes != NULL && json->bytes[json->size - 1] == '[';
    json_raw(json, is_first ? TEXT("{") : TEXT(",{"));
    json_integer_field(json, "id", (int64_t)active->id);
    json_string_field(json, "kind", subject->kind);
    json_field_name(json, "tenant");
    json_string(json, subject->tenant);
    json_field_name(json, "query");
    json_string(json, subject->text);
    append_times(json, subject);
    json_string_field(json, "state", active->is_running ? "running" : "waiting");
    json_field_name(json, "receivedAt");
    json_timestamp(json, listing->now_ms - (int64_t)(age_ns / NANOSECONDS_PER_MILLISECOND));
    append_seconds(json, "waitedSeconds", active->waited_ns);
    append_seconds(json, "ranSeconds", active->ran_ns);
    json_integer_field(json, "memoryBytes", (int64_t)active->memory_bytes);
    json_raw(json, TEXT("}"));
}

/* A tenant sees its own; who administers the node, and names none, all. */
static bool whose(struct http_request *request, struct text *tenant, const struct text **out)
{
    const struct api_options *options = &api_of(request)->options;
    struct text header;
    bool is_named =
        http_request_identity(request).tenant.size > 0 ||
        (http_request_header(request, TEXT("X-Scope-OrgID"), &header) && header.size > 0);
    *out = NULL;
    if (!options->tenants_enabled || (options->admin_enabled && !is_named))
        return true;
    *out = tenant;
    return api_tenant(request, tenant);
}

void api_active_queries(struct http_request *request)
{
    struct api *api = api_of(request);
    struct text tenant;
    struct listing listing = {.now_ms = clock_now_ms(api->options.clock)};
    if (!whose(request, &tenant, &listing.tenant))
        return;
    json_raw(&listing.json, TEXT("{\"queries\":["));
    frontend_visit_active(api->options.frontend, append, &listing);
    json_raw(&listing.json, TEXT("]}"));
    api_respond_data(request, &listing.json);
}

void api_kill_query(struct http_request *request)
{
    struct text tenant;
    const struct text *named;
    int64_t id;
    if (!whose(request, &tenant, &named))
        return;
    if (!text_to_int64(http_request_segment(request, TEXT("id")), &id) || id < 0)
        api_respond_error(request, API_BAD_DATA,
                          "the id of a query is a number: see status/active_queries");
    else if (!frontend_kill(api_of(request)->options.frontend, (uint64_t)id, named))
        api_respond_error(request, API_NOT_FOUND, "no query of that id is under way");
    else
        api_respond_status(request, 204);
}
