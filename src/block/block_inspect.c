#include "block/block_inspect.h"

#include <inttypes.h>

#include "block_format.h"
#include "inspect_footer.h"
#include "page_census.h"
#include "page_file.h"
#include "segment_format.h"
#include "tenant_list.h"

enum { INSPECT_CACHE_BYTES = 32 * 1024 * 1024 };

static const char *const KIND_NAMES[] = {"?", "part", "series segment", "block"};

enum error_code inspect_read_footer(struct page_source *source, struct file_footer *footer_out,
                                    struct error *error)
{
    if (source->size_bytes < FILE_HEADER_BYTES + FILE_FOOTER_BYTES)
        return error_set(error, ERROR_CORRUPT, "'%s': only %" PRIu64 " bytes", source->name,
                         source->size_bytes);
    uint8_t bytes[FILE_FOOTER_BYTES];
    enum error_code code = page_source_read(source, source->size_bytes - FILE_FOOTER_BYTES, bytes,
                                            sizeof bytes, error);
    if (code == ERROR_NONE)
        code = file_footer_decode(bytes, source->size_bytes, footer_out, error);
    return code == ERROR_NONE ? code : error_wrap(error, "'%s'", source->name);
}

enum error_code block_read_summary(struct page_source *source, struct file_summary *summary_out,
                                   struct error *error)
{
    struct file_footer footer;
    enum error_code code = inspect_read_footer(source, &footer, error);
    if (code == ERROR_NONE)
        *summary_out = footer.summary;
    return code;
}

/* --- Inspecting ------------------------------------------------------------------------------- */

static void print_summary(FILE *output, const struct file_summary *summary)
{
    fprintf(output, "kind: %s\nformat version: %u\nsize: %" PRIu64 " bytes\n",
            KIND_NAMES[summary->kind], summary->format_version, summary->size_bytes);
    fprintf(output, "series: %" PRIu64 "\nsamples: %" PRIu64 "\n", summary->series_count,
            summary->sample_count);
    if (summary->sample_count > 0) {
        fprintf(output, "first sample: %" PRId64 " ms\nlast sample: %" PRId64 " ms\n",
                summary->min_time_ms, summary->max_time_ms);
        fprintf(output, "bytes a sample: %.4f\n",
                (double)summary->size_bytes / (double)summary->sample_count);
    }
    fprintf(output, "content checksum: %016" PRIx64 "%016" PRIx64 "\n",
            summary->content_checksum.high, summary->content_checksum.low);
    fprintf(output, "file hash: %016" PRIx64 "%016" PRIx64 "\n", summary->file_hash.high,
            summary->file_hash.low);
}

static enum error_code print_tenants(FILE *output, const struct page_file *file,
                                     struct error *error)
{
    struct tenant_list tenants = {0};
    enum error_code code = tenant_list_read(&tenants, file, error);
    if (code == ERROR_NONE)
        fprintf(output, "tenants: %zu\n", tenants.count);
    tenant_list_clear(&tenants);
    return code;
}

static void print_slots(FILE *output, const struct page_file *file)
{
    struct text slots = file->sections[TOC_SLOTS];
    size_t count = 0;
    for (size_t i = 0; i < slots.size; i++)
        count += (size_t)__builtin_popcount((unsigned char)slots.data[i]);
    if (slots.size > 0)
        fprintf(output, "slots: %zu\n", count);
}

static void print_properties(FILE *output, const struct page_file *file)
{
    struct byte_reader reader = page_file_section(file, TOC_PROPERTIES);
    struct block_properties block;
    if (file->footer.summary.kind == FILE_KIND_BLOCK && block_properties_decode(reader, &block)) {
        fprintf(output, "window: [%" PRId64 ", %" PRId64 ") ms\n", block.start_ms, block.end_ms);
        fprintf(output, "resolution: %u ms\nshard: %u\nblock id: %" PRIu64 "\n",
                block.resolution_ms, block.shard, block.block_id);
        fprintf(output, "tombstone mark: %" PRIu64 "\n", block.tombstone_mark);
    }
    if (file->footer.summary.kind == FILE_KIND_SEGMENT) {
        uint64_t first_id = byte_reader_u64(&reader);
        uint64_t span = byte_reader_u64(&reader);
        fprintf(output, "first id: %" PRIu64 "\nids spanned: %" PRIu64 "\n", first_id, span);
    }
}

enum error_code block_inspect(struct page_source *source, FILE *output, struct error *error)
{
    struct page_cache *cache = NULL;
    struct page_file file = {0};
    struct file_footer footer;
    enum error_code code = inspect_read_footer(source, &footer, error);
    if (code == ERROR_NONE)
        code = page_cache_create(INSPECT_CACHE_BYTES, &cache, error);
    if (code != ERROR_NONE) {
        page_source_close(source);
        return code;
    }
    code = page_file_open(&file, cache, source, footer.summary.kind, error);
    if (code == ERROR_NONE) {
        print_summary(output, &file.footer.summary);
        print_properties(output, &file);
        print_slots(output, &file);
        code = print_tenants(output, &file, error);
    }
    if (code == ERROR_NONE)
        code = page_census_print(source, output, error);
    page_file_close(&file);
    page_cache_destroy(cache);
    return code;
}
