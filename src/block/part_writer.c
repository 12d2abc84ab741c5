#include "block/part_writer.h"

#include <assert.h>
#include <stdlib.h>

#include "base/limits.h"
#include "content_writer.h"
#include "part_identity.h"

struct part_writer {
    struct content_writer content;
};

enum error_code part_writer_create(struct disk *disk, const char *path,
                                   struct part_writer **writer_out, struct error *error)
{
    struct part_writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "part writer");
    enum error_code code = content_writer_open(&writer->content, disk, path, FILE_KIND_PART,
                                               TARGETS_ADJACENT, 0, error);
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
    enum error_code code =
        tenant_list_add(&writer->content.tenants, series->tenant, &entry.tenant, error);
    if (code == ERROR_NONE)
        code = sample_writer_add(&writer->content.samples, &entry, columns, exemplars,
                                 exemplar_count, error);
    if (code != ERROR_NONE)
        return code;
    struct part_identity identity = part_identity(series->id, series->tenant, series->slot);
    if (!content_hash_series(&writer->content.hash, part_identity_text(&identity), columns,
                             exemplars, exemplar_count))
        return error_set(error, ERROR_OUT_OF_MEMORY, "part writer");
    writer->content.series_count++;
    return ERROR_NONE;
}

enum error_code part_writer_add_metadata(struct part_writer *writer, struct text tenant,
                                         struct text metric_name,
                                         const struct metric_metadata *metadata,
                                         struct error *error)
{
    return content_writer_add_metadata(&writer->content, tenant, metric_name, metadata, error);
}

enum error_code part_writer_finish(struct part_writer *writer, struct file_summary *summary_out,
                                   struct error *error)
{
    enum error_code code = sample_writer_finish(&writer->content.samples, error);
    if (code == ERROR_NONE)
        code = content_writer_finish(&writer->content, summary_out, error);
    return code;
}

void part_writer_destroy(struct part_writer *writer)
{
    if (writer == NULL)
        return;
    content_writer_close(&writer->content);
    free(writer);
}
