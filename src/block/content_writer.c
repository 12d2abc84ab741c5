#include "content_writer.h"

enum error_code content_writer_open(struct content_writer *writer, struct disk *disk,
                                    const char *path, enum file_kind kind, enum target_order order,
                                    int64_t chunk_window_ms, struct error *error)
{
    *writer = (struct content_writer){0};
    enum error_code code = page_writer_create(disk, path, kind, &writer->pages, error);
    if (code == ERROR_NONE)
        code = sample_writer_init(&writer->samples, writer->pages, order, chunk_window_ms, error);
    return code;
}

enum error_code content_writer_add_metadata(struct content_writer *writer, struct text tenant,
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

enum error_code content_writer_finish(struct content_writer *writer,
                                      struct file_summary *summary_out, struct error *error)
{
    enum error_code code = metadata_writer_finish(&writer->metadata, &writer->tenants,
                                                  &writer->hash, writer->pages, error);
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

void content_writer_close(struct content_writer *writer)
{
    sample_writer_clear(&writer->samples);
    tenant_list_clear(&writer->tenants);
    metadata_writer_clear(&writer->metadata);
    content_hash_clear(&writer->hash);
    page_writer_destroy(writer->pages);
}
