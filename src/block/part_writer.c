#include "block/part_writer.h"

#include <assert.h>
#include <stdlib.h>

#include "base/limits.h"
#include "content_hash.h"
#include "metadata_table.h"
#include "page_writer.h"
#include "part_identity.h"
#include "sample_writer.h"
#include "tenant_list.h"

struct part_writer {
    struct page_writer *pages;
    struct sample_writer samples;
    struct tenant_list tenants;
    struct metadata_writer metadata;
    struct content_hash hash;
    uint64_t series_count;
};

enum error_code part_writer_create(struct disk *disk, const char *path,
                                   struct part_writer **writer_out, struct error *error)
{
    struct part_writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "part writer");
    enum error_code code = page_writer_create(disk, path, FILE_KIND_PART, &writer->pages, error);
    if (code == ERROR_NONE)
        code = sample_writer_init(&writer->samples, writer->pages, TARGETS_ADJACENT, 0, error);
    if (code != ERROR_NONE) {
        part_writer_destroy(writer);
        return code;
    }
    *writer_out = writer;
    return ERROR_NONE;
}

enum error_code part_writer_add(struct part_writer *writer, const struct part_series *series,
                                const struct sample_columns *columns,
                                const struct exemplar *exemplars, size_t exemplar_count,
                                struct error *error)
{
    if (columns->count == 0 && exemplar_count == 0)
        return ERROR_NONE;
    if (series->slot >= SLOT_COUNT || series->id == UINT64_MAX)
        return error_set(error, ERROR_INVALID, "part: slot %u, id %llu", series->slot,
                         (unsigned long long)series->id);
    struct sample_series entry = {
        .key = series->id, .target = series->target, .slot = series->slot};
    enum error_code code = tenant_list_add(&writer->tenants, series->tenant, &entry.tenant, error);
    if (code == ERROR_NONE)
        code =
            sample_writer_add(&writer->samples, &entry, columns, exemplars, exemplar_count, error);
    if (code != ERROR_NONE)
        return code;
    struct part_identity identity = part_identity(series->id, series->tenant, series->slot);
    if (!content_hash_series(&writer->hash, part_identity_text(&identity), columns, exemplars,
                             exemplar_count))
        return error_set(error, ERROR_OUT_OF_MEMORY, "part writer");
    writer->series_count++;
    return ERROR_NONE;
}

enum error_code part_writer_add_metadata(struct part_writer *writer, struct text tenant,
                                         struct text metric_name,
                                         const struct metric_metadata *metadata,
                                         struct error *error)
{
    uint32_t number;
    enum error_code code = tenant_list_add(&writer->tenants, tenant, &number, error);
    if (code != ERROR_NONE)
        return code;
    return metadata_writer_add(&writer->metadata, number, metric_name, metadata, error);
}

enum error_code part_writer_finish(struct part_writer *writer, struct file_summary *summary_out,
                                   struct error *error)
{
    enum error_code code = sample_writer_finish(&writer->samples, error);
    if (code == ERROR_NONE)
        code = metadata_writer_finish(&writer->metadata, &writer->tenants, &writer->hash,
                                      writer->pages, error);
    if (code == ERROR_NONE)
        code = tenant_list_write(&writer->tenants, writer->pages, error);
    struct file_summary summary = {
        .series_count = writer->series_count,
        .sample_count = writer->samples.sample_count,
        .min_time_ms = writer->samples.min_time_ms,
        .max_time_ms = writer->samples.max_time_ms,
        .content_checksum = writer->hash.sum,
    };
    if (code == ERROR_NONE)
        code = page_writer_finish(writer->pages, &summary, error);
    if (code == ERROR_NONE)
        *summary_out = summary;
    return code;
}

void part_writer_destroy(struct part_writer *writer)
{
    if (writer == NULL)
        return;
    sample_writer_clear(&writer->samples);
    tenant_list_clear(&writer->tenants);
    metadata_writer_clear(&writer->metadata);
    content_hash_clear(&writer->hash);
    page_writer_destroy(writer->pages);
    free(writer);
}
