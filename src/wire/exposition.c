#include "wire/exposition.h"

#include "exposition_private.h"

/* A long family is cut, so that it need not be in memory as a whole. */
enum { FAMILY_BYTES_MAX = 64 * 1024 };

double classic_buckets_next(struct classic_buckets *buckets, uint32_t i)
{
    const struct histogram *histogram = buckets->histogram;
    while (buckets->span < histogram->positive_span_count &&
           buckets->in_span == histogram->positive_spans[buckets->span].length) {
        buckets->in_span = 0;
        if (++buckets->span < histogram->positive_span_count)
            buckets->index += histogram->positive_spans[buckets->span].offset;
    }
    if (buckets->span < histogram->positive_span_count && buckets->index == i) {
        union histogram_number count = histogram->positive_buckets[buckets->bucket++];
        buckets->below += histogram_number_value(histogram, count);
        buckets->index++;
        buckets->in_span++;
    }
    return buckets->below;
}

static enum family_type type_of(const struct exposition_sample *sample)
{
    if (sample->histogram == NULL)
        return FAMILY_UNTYPED;
    return sample->histogram->reset == HISTOGRAM_RESET_GAUGE ? FAMILY_GAUGE_HISTOGRAM
                                                             : FAMILY_HISTOGRAM;
}

static bool can_be_told(const struct exposition *exposition, const struct exposition_sample *sample)
{
    return exposition->form.format == EXPOSITION_PROTOBUF || sample->histogram == NULL ||
           sample->histogram->schema == HISTOGRAM_SCHEMA_CUSTOM;
}

static void begin_family(struct exposition *exposition, struct text name, enum family_type type,
                         struct byte_buffer *target)
{
    exposition_protobuf_end(exposition, target);
    byte_buffer_reset(&exposition->name);
    byte_buffer_append(&exposition->name, name.data, name.size);
    target->failed |= exposition->name.failed;
    exposition->kind = (int)type;
    if (exposition->form.format == EXPOSITION_TEXT)
        exposition_text_begin(exposition, type, target);
}

bool exposition_append(struct exposition *exposition, const struct exposition_sample *sample,
                       struct byte_buffer *target)
{
    struct text name = labels_get(sample->labels, LABEL_METRIC_NAME);
    enum family_type type = type_of(sample);
    if (name.size == 0 || !can_be_told(exposition, sample))
        return false;
    if (exposition->kind != (int)type || !text_equal(name, exposition_text_of(&exposition->name)))
        begin_family(exposition, name, type, target);
    if (exposition->form.format == EXPOSITION_TEXT) {
        exposition_text_append(exposition, sample, target);
    } else {
        exposition_protobuf_append(exposition, sample);
        if (exposition->family.size > FAMILY_BYTES_MAX)
            exposition_protobuf_end(exposition, target);
    }
    return true;
}

void exposition_finish(struct exposition *exposition, struct byte_buffer *target)
{
    exposition_protobuf_end(exposition, target);
}

void exposition_clear(struct exposition *exposition)
{
    byte_buffer_clear(&exposition->name);
    byte_buffer_clear(&exposition->family);
    for (size_t i = 0; i < sizeof exposition->scratch / sizeof exposition->scratch[0]; i++)
        byte_buffer_clear(&exposition->scratch[i]);
}
