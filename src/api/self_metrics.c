/*
 * status/self_metrics: the node's own metrics as JSON, in the shape that Protobuf's JSON mapping
 * gives the families of client_model (metrics.proto).
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "api_private.h"
#include "wire/json_field.h"

struct families {
    struct byte_buffer json;
    const struct matcher *names; /* NULL: all */
    char family[256];            /* of the sample before; empty: none is open */
    bool is_shown;
    bool any;
    bool in_histogram; /* its metric is open */
    bool any_bucket;
};

/* The numbers of the mapping: what JSON lacks is a text. */
static void append_number(struct byte_buffer *json, double value)
{
    if (isfinite(value))
        json_double(json, value);
    else
        json_raw(json, isnan(value) ? TEXT("\"NaN\"")
                       : value > 0  ? TEXT("\"Infinity\"")
                                    : TEXT("\"-Infinity\""));
}

/* 64-bit integers are texts there. */
static void append_count(struct byte_buffer *json, const char *name, double value)
{
    json_field_name(json, name);
    json_raw(json, TEXT("\""));
    json_integer(json, (int64_t)value);
    json_raw(json, TEXT("\""));
}

static void append_labels(struct byte_buffer *json, const struct metric_sample *sample)
{
    bool any = false;
    for (size_t i = 0; i < sample->label_count; i++) {
        const struct metric_label *label = &sample->labels[i];
        if (sample->kind == METRIC_KIND_HISTOGRAM && strcmp(label->name, "le") == 0)
            continue;
        json_raw(json, any ? TEXT(",{") : TEXT("\"label\":[{"));
        json_string_field(json, "name", label->name);
        json_string_field(json, "value", label->value);
        json_raw(json, TEXT("}"));
        any = true;
    }
    if (any)
        json_raw(json, TEXT("],"));
}

static void end_family(struct families *families)
{
    if (families->family[0] != '\0' && families->is_shown)
        json_raw(&families->json, TEXT("]}"));
    families->family[0] = '\0';
}

static void begin_family(struct families *families, const struct metric_sample *sample)
{
    static const char *const KINDS[] = {"COUNTER", "GAUGE", "HISTOGRAM"};
    struct byte_buffer *json = &families->json;
    end_family(families);
    snprintf(families->family, sizeof families->family, "%s", sample->family);
    families->is_shown =
        families->names == NULL || matcher_matches(families->names, text_of(sample->family));
    if (!families->is_shown)
        return;
    json_raw(json, families->any ? TEXT(",{") : TEXT("{"));
    families->any = true;
    json_string_field(json, "name", sample->family);
    json_string_field(json, "help", sample->help);
    json_string_field(json, "type", KINDS[sample->kind]);
    json_raw(json, TEXT(",\"metric\":["));
}

static void begin_metric(struct byte_buffer *json, const struct metric_sample *sample)
{
    json_raw(json,
             json->bytes != NULL && json->bytes[json->size - 1] == '[' ? TEXT("{") : TEXT(",{"));
    append_labels(json, sample);
}

static void append_simple(struct byte_buffer *json, const struct metric_sample *sample)
{
    begin_metric(json, sample);
    json_raw(json, sample->kind == METRIC_KIND_COUNTER ? TEXT("\"counter\":{\"value\":")
                                                       : TEXT("\"gauge\":{\"value\":"));
    append_number(json, sample->value);
    json_raw(json, TEXT("}}"));
}

/* Buckets come first, then the sum and the count. */
static void append_histogram(struct families *families, const struct metric_sample *sample)
{
    struct byte_buffer *json = &families->json;
    const char *suffix = sample->name + strlen(sample->family);
    if (!families->in_histogram) {
        begin_metric(json, sample);
        json_raw(json, TEXT("\"histogram\":{\"bucket\":["));
        families->in_histogram = true;
        families->any_bucket = false;
    }
    if (strcmp(suffix, "_bucket") == 0) {
        const char *bound = sample->labels[sample->label_count - 1].value;
        if (strcmp(bound, "+Inf") == 0)
            return; /* is the count */
        json_raw(json, families->any_bucket ? TEXT(",{") : TEXT("{"));
        families->any_bucket = true;
        append_count(json, "cumulativeCount", sample->value);
        json_raw(json, TEXT(",\"upperBound\":"));
        json_raw(json, text_of(bound));
        json_raw(json, TEXT("}"));
    } else if (strcmp(suffix, "_sum") == 0) {
        json_raw(json, TEXT("],\"sampleSum\":"));
        append_number(json, sample->value);
    } else {
        append_count(json, "sampleCount", sample->value);
        json_raw(json, TEXT("}}"));
        families->in_histogram = false;
    }
}

static void visit(void *context, const struct metric_sample *sample)
{
    struct families *families = context;
    if (strcmp(families->family, sample->family) != 0)
        begin_family(families, sample);
    if (!families->is_shown)
        return;
    if (sample->kind == METRIC_KIND_HISTOGRAM)
        append_histogram(families, sample);
    else
        append_simple(&families->json, sample);
}

void api_status_self_metrics(struct http_request *request)
{
    const struct http_parameters *parameters;
    struct text pattern;
    struct matcher *names = NULL;
    struct error error;
    if (!api_parameters(request, &parameters))
        return;
    if (http_parameters_find(parameters, TEXT("metric_name_pattern"), &pattern) &&
        pattern.size > 0 &&
        matcher_create(MATCHER_REGEX, LABEL_METRIC_NAME, pattern, &names, &error) != ERROR_NONE) {
        error_wrap(&error, "invalid metric_name_pattern");
        api_respond_code(request, &error, API_BAD_DATA);
        return;
    }
    struct families families = {.names = names};
    json_raw(&families.json, TEXT("["));
    metrics_visit(api_of(request)->options.metrics, visit, &families);
    end_family(&families);
    json_raw(&families.json, TEXT("]"));
    matcher_destroy(names);
    api_respond_data(request, &families.json);
}
