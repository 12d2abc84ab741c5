#include "block/block_writer.h"

#include <assert.h>
#include <stdlib.h>

#include "base/limits.h"
#include "block_format.h"
#include "content_writer.h"
#include "label_index_writer.h"
#include "order_marks.h"

struct block_writer {
    struct content_writer content;
    struct block_properties properties;
    struct label_index_writer index;
    struct order_marks_writer marks;
    struct byte_buffer identity;
    struct series_decoder *decoder; /* for chunks that are copied */
    struct byte_buffer previous_labels;
    struct block_order_key previous_key; /* points into them and the tenants */
    uint32_t previous_tenant;
};

/* Which time columns a series shares. Two targets of one number would only share them. */
static uint64_t target_of(uint32_t tenant, const struct block_order_key *key)
{
    struct text job = key->texts[ORDER_JOB].text;
    struct text instance = key->texts[ORDER_INSTANCE].text;
    return hash64(instance.data, instance.size, hash64(job.data, job.size, tenant));
}

/* --- Adding ----------------------------------------------------------------------------------- */

static enum error_code out_of_memory(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "block writer");
}

static enum error_code check_order(const struct block_writer *writer,
                                   const struct block_order_key *key, struct error *error)
{
    if (writer->content.series_count == 0 || block_order_compare(&writer->previous_key, key) < 0)
        return ERROR_NONE;
    char text[128];
    return error_set(error, ERROR_INVALID, "block: series out of order: %s",
                     labels_format(text, sizeof text, key->labels));
}

/* Keep the labels and the key of the series, which points into them. */
static bool remember_series(struct block_writer *writer, const struct block_order_key *key,
                            uint32_t tenant)
{
    struct byte_buffer *labels = &writer->previous_labels;
    byte_buffer_reset(labels);
    byte_buffer_append(labels, key->labels.bytes, key->labels.size);
    if (labels->failed)
        return false;
    writer->previous_key = *key;
    writer->previous_key.labels.bytes = labels->bytes;
    writer->previous_key.texts[ORDER_TENANT].text = writer->content.tenants.tenants[tenant];
    for (size_t i = ORDER_NAME; i < ORDER_TEXTS; i++) {
        struct text *text = &writer->previous_key.texts[i].text;
        if (text->size > 0)
            text->data =
                (const char *)labels->bytes + (text->data - (const char *)key->labels.bytes);
    }
    writer->previous_tenant = tenant;
    return true;
}

/* Everything about a series but its samples. */
static enum error_code begin_series(struct block_writer *writer, const struct block_series *series,
                                    const int64_t *timestamps_ms, size_t count,
                                    struct sample_series *entry_out, struct error *error)
{
    const struct block_properties *properties = &writer->properties;
    if (series->slot >= SLOT_COUNT)
        return error_set(error, ERROR_INVALID, "block: slot %u", series->slot);
    if (count > 0 &&
        (timestamps_ms[0] < properties->start_ms || timestamps_ms[count - 1] >= properties->end_ms))
        return error_set(error, ERROR_INVALID, "block: a sample outside of the window");
    uint32_t tenant;
    struct block_order_key key = block_order_key(series);
    enum error_code code = check_order(writer, &key, error);
    if (code == ERROR_NONE)
        code = tenant_list_add(&writer->content.tenants, series->tenant, &tenant, error);
    if (code != ERROR_NONE)
        return code;
    /* Time columns of a tenant lie together, and not in memory longer than that. */
    if (writer->content.series_count > 0 && tenant != writer->previous_tenant)
        code = time_columns_flush(&writer->content.samples.columns, error);
    struct label_series labels = {.tenant = tenant, .slot = series->slot, .labels = series->labels};
    if (code == ERROR_NONE)
        code = label_index_writer_add(&writer->index, &labels, error);
    if (code != ERROR_NONE)
        return code;
    if (!remember_series(writer, &key, tenant))
        return out_of_memory(error);
    order_marks_add(&writer->marks, (uint32_t)writer->content.series_count, tenant, &key);
    *entry_out = (struct sample_series){.key = writer->content.series_count,
                                        .target = target_of(tenant, &key),
                                        .tenant = tenant,
                                        .slot = series->slot};
    writer->content.series_count++;
    return ERROR_NONE;
}

static enum error_code hash_series(struct block_writer *writer, const struct block_series *series,
                                   const struct sample_columns *columns,
                                   const struct exemplar *exemplars, size_t exemplar_count,
                                   struct error *error)
{
    struct text identity = block_identity(series, &writer->identity);
    if (writer->identity.failed ||
        !content_hash_series(&writer->content.hash, identity, columns, exemplars, exemplar_count))
        return out_of_memory(error);
    return ERROR_NONE;
}

enum error_code block_writer_add(struct block_writer *writer, const struct block_series *series,
                                 const struct sample_columns *columns,
                                 const struct exemplar *exemplars, size_t exemplar_count,
                                 struct error *error)
{
    if (columns->count == 0 && exemplar_count == 0)
        return ERROR_NONE;
    struct sample_series entry;
    enum error_code code =
        begin_series(writer, series, columns->timestamps_ms, columns->count, &entry, error);
    if (code == ERROR_NONE)
        code = sample_writer_add(&writer->content.samples, &entry, columns, exemplars,
                                 exemplar_count, error);
    if (code == ERROR_NONE)
        code = hash_series(writer, series, columns, exemplars, exemplar_count, error);
    return code;
}

enum error_code block_writer_add_encoded(struct block_writer *writer,
                                         const struct block_series *series,
                                         const struct encoded_series *encoded,
                                         const struct exemplar *exemplars, size_t exemplar_count,
                                         struct error *error)
{
    if (encoded->sample_count == 0 && exemplar_count == 0)
        return ERROR_NONE;
    struct sample_series entry;
    struct sample_columns columns; /* the chunks prove to be chunks by that */
    enum error_code code =
        series_decoder_read(writer->decoder, encoded, INT64_MIN, INT64_MAX, &columns, error);
    if (code == ERROR_NONE)
        code = begin_series(writer, series, encoded->timestamps_ms, encoded->sample_count, &entry,
                            error);
    if (code == ERROR_NONE)
        code = sample_writer_add_encoded(&writer->content.samples, &entry, encoded, exemplars,
                                         exemplar_count, error);
    if (code == ERROR_NONE)
        code = hash_series(writer, series, &columns, exemplars, exemplar_count, error);
    return code;
}

enum error_code block_writer_add_metadata(struct block_writer *writer, struct text tenant,
                                          struct text metric_name,
                                          const struct metric_metadata *metadata,
                                          struct error *error)
{
    return content_writer_add_metadata(&writer->content, tenant, metric_name, metadata, error);
}

/* --- Lifecycle -------------------------------------------------------------------------------- */

enum error_code block_writer_create(struct disk *disk, const char *path,
                                    const struct block_properties *properties,
                                    struct block_writer **writer_out, struct error *error)
{
    if (properties->end_ms <= properties->start_ms)
        return error_set(error, ERROR_INVALID, "block: an empty window");
    struct block_writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL)
        return out_of_memory(error);
    writer->properties = *properties;
    enum error_code code = content_writer_open(&writer->content, disk, path, FILE_KIND_BLOCK,
                                               TARGETS_SCATTERED, BLOCK_CHUNK_WINDOW_MS, error);
    if (code == ERROR_NONE)
        code = series_decoder_create(&writer->decoder, error);
    if (code != ERROR_NONE) {
        block_writer_destroy(writer);
        return code;
    }
    writer->index =
        (struct label_index_writer){.pages = writer->content.pages, .columns = LABEL_COLUMNS_BLOCK};
    *writer_out = writer;
    return ERROR_NONE;
}

enum error_code block_writer_finish(struct block_writer *writer, struct file_summary *summary_out,
                                    struct error *error)
{
    uint8_t properties[BLOCK_PROPERTIES_BYTES];
    block_properties_encode(&writer->properties, properties);
    enum error_code code = sample_writer_finish(&writer->content.samples, error);
    if (code == ERROR_NONE)
        code = label_index_writer_finish(&writer->index, error);
    if (code == ERROR_NONE)
        code = order_marks_finish(&writer->marks, writer->content.pages, error);
    if (code == ERROR_NONE)
        code = page_writer_section(writer->content.pages, TOC_PROPERTIES, properties,
                                   sizeof properties, error);
    if (code == ERROR_NONE)
        code = content_writer_finish(&writer->content, summary_out, error);
    return code;
}

size_t block_writer_size_bytes(const struct block_writer *writer)
{
    return sample_writer_size_bytes(&writer->content.samples) +
           label_index_writer_size_bytes(&writer->index);
}

void block_writer_destroy(struct block_writer *writer)
{
    if (writer == NULL)
        return;
    content_writer_close(&writer->content);
    label_index_writer_clear(&writer->index);
    order_marks_clear(&writer->marks);
    byte_buffer_clear(&writer->identity);
    byte_buffer_clear(&writer->previous_labels);
    series_decoder_destroy(writer->decoder);
    free(writer);
}
