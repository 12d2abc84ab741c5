/* The text format. */
#include <math.h>
#include <string.h>

#include "exposition_private.h"
#include "wire/json_writer.h"

static void append(struct byte_buffer *target, const char *characters)
{
    byte_buffer_append(target, characters, strlen(characters));
}

static void append_number(struct byte_buffer *target, double value)
{
    char text[JSON_NUMBER_BYTES_MAX];
    byte_buffer_append(target, text, double_format_general(text, value));
}

/* In quotes. */
static void append_value(struct byte_buffer *target, struct text value)
{
    byte_buffer_u8(target, '"');
    for (size_t i = 0; i < value.size; i++) {
        char c = value.data[i];
        if (c == '\n')
            append(target, "\\n");
        else if (c == '\\' || c == '"') {
            byte_buffer_u8(target, '\\');
            byte_buffer_u8(target, (uint8_t)c);
        } else
            byte_buffer_u8(target, (uint8_t)c);
    }
    byte_buffer_u8(target, '"');
}

static bool needs_quotes(enum exposition_escaping escaping, struct text name, bool is_metric)
{
    return escaping == EXPOSITION_UTF8 &&
           !(is_metric ? metric_name_is_legacy(name) : label_name_is_legacy(name));
}

static void append_label_name(struct exposition *exposition, struct text name,
                              struct byte_buffer *target)
{
    if (needs_quotes(exposition->form.escaping, name, false))
        append_value(target, name);
    else
        exposition_escape_name(exposition->form.escaping, name, target);
}

/* name_suffix{labels,le="bound"} value timestamp */
static void append_line(struct exposition *exposition, const struct exposition_sample *sample,
                        const char *suffix, const double *bound, double value,
                        struct byte_buffer *target)
{
    enum exposition_escaping escaping = exposition->form.escaping;
    struct text name = exposition_text_of(&exposition->name);
    bool quoted = needs_quotes(escaping, name, true), any = false, has_default = false;
    struct byte_buffer *full = &exposition->scratch[0];
    byte_buffer_reset(full);
    exposition_escape_name(escaping, name, full);
    append(full, suffix);
    target->failed |= full->failed;
    if (quoted) {
        append(target, "{");
        append_value(target, exposition_text_of(full));
        any = true;
    } else {
        byte_buffer_append(target, full->bytes, full->size);
    }
    struct labels_cursor cursor = labels_begin(sample->labels);
    struct label label;
    while (labels_next(&cursor, &label)) {
        if (text_equal(label.name, LABEL_METRIC_NAME))
            continue;
        append(target, any ? "," : "{");
        any = true;
        append_label_name(exposition, label.name, target);
        append(target, "=");
        append_value(target, label.value);
        has_default |= text_equal(label.name, sample->default_label);
    }
    if (sample->default_label.size > 0 && !has_default) {
        append(target, any ? "," : "{");
        any = true;
        append_label_name(exposition, sample->default_label, target);
        append(target, "=\"\"");
    }
    if (bound != NULL) {
        append(target, any ? ",le=\"" : "{le=\"");
        any = true;
        append_number(target, *bound);
        append(target, "\"");
    }
    append(target, any ? "} " : " ");
    append_number(target, value);
    append(target, " ");
    json_integer(target, sample->timestamp_ms);
    append(target, "\n");
}

/* Custom buckets are those of a classic histogram. */
static void append_classic(struct exposition *exposition, const struct exposition_sample *sample,
                           struct byte_buffer *target)
{
    const struct histogram *histogram = sample->histogram;
    double total = histogram_number_value(histogram, histogram->count);
    struct classic_buckets buckets = classic_buckets_begin(histogram);
    for (uint32_t i = 0; i < histogram->custom_bound_count; i++) {
        double below = classic_buckets_next(&buckets, i);
        append_line(exposition, sample, "_bucket", &histogram->custom_bounds[i], below, target);
    }
    static const double INFINITE = INFINITY;
    if (histogram->custom_bound_count == 0 ||
        !isinf(histogram->custom_bounds[histogram->custom_bound_count - 1]))
        append_line(exposition, sample, "_bucket", &INFINITE, total, target);
    append_line(exposition, sample, "_sum", NULL, histogram->sum, target);
    append_line(exposition, sample, "_count", NULL, total, target);
}

void exposition_text_begin(struct exposition *exposition, enum family_type type,
                           struct byte_buffer *target)
{
    struct text name = exposition_text_of(&exposition->name);
    append(target, "# TYPE ");
    if (needs_quotes(exposition->form.escaping, name, true))
        append_value(target, name);
    else
        exposition_escape_name(exposition->form.escaping, name, target);
    append(target, type == FAMILY_UNTYPED ? " untyped\n" : " histogram\n");
}

void exposition_text_append(struct exposition *exposition, const struct exposition_sample *sample,
                            struct byte_buffer *target)
{
    if (sample->histogram != NULL)
        append_classic(exposition, sample, target);
    else
        append_line(exposition, sample, "", NULL, sample->value, target);
}
