#include "block/block_inspect.h"

#include <inttypes.h>
#include <stdlib.h>
#include <xxhash.h>

#include "base/limits.h"
#include "block/block_reader.h"
#include "block/part_reader.h"
#include "block/series_segment_reader.h"
#include "block_format.h"
#include "content_hash.h"
#include "page_census.h"
#include "page_file.h"
#include "part_identity.h"
#include "segment_format.h"
#include "tenant_list.h"

enum {
    INSPECT_CACHE_BYTES = 32 * 1024 * 1024,
    READ_BYTES = 1024 * 1024,
    SERIES_BATCH = 4096,
};

static const char *const KIND_NAMES[] = {"?", "part", "series segment", "block"};

static enum error_code read_footer(struct page_source *source, struct file_footer *footer_out,
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
    enum error_code code = read_footer(source, &footer, error);
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
    enum error_code code = read_footer(source, &footer, error);
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

/* --- Verifying bytes -------------------------------------------------------------------------- */

static enum error_code verify_hash(struct page_source *source, struct hash128 expected,
                                   struct error *error)
{
    XXH3_state_t *state = XXH3_createState();
    uint8_t *bytes = malloc(READ_BYTES);
    enum error_code code = ERROR_NONE;
    if (state == NULL || bytes == NULL)
        code = error_set(error, ERROR_OUT_OF_MEMORY, "verify");
    else
        XXH3_128bits_reset(state);
    uint64_t end = source->size_bytes - FILE_FOOTER_BYTES;
    for (uint64_t at = 0; code == ERROR_NONE && at < end; at += READ_BYTES) {
        size_t size = end - at < READ_BYTES ? (size_t)(end - at) : READ_BYTES;
        code = page_source_read(source, at, bytes, size, error);
        if (code == ERROR_NONE)
            XXH3_128bits_update(state, bytes, size);
    }
    if (code == ERROR_NONE) {
        XXH128_hash_t digest = XXH3_128bits_digest(state);
        struct hash128 hash = {digest.low64, digest.high64};
        if (!hash128_equal(hash, expected))
            code = error_set(error, ERROR_CORRUPT, "'%s': wrong hash of the file", source->name);
    }
    XXH3_freeState(state);
    free(bytes);
    return code;
}

/* Pages lie one behind the other from the header to the footer: check each. */
static enum error_code verify_pages(struct page_source *source, struct error *error)
{
    uint64_t end = source->size_bytes - FILE_FOOTER_BYTES;
    uint64_t at = FILE_HEADER_BYTES;
    uint8_t *bytes = NULL;
    enum error_code code = ERROR_NONE;
    while (code == ERROR_NONE && at < end) {
        uint8_t head_bytes[PAGE_HEAD_BYTES];
        size_t size = 0;
        code = end - at < PAGE_HEAD_BYTES
                   ? error_set(error, ERROR_CORRUPT, "half a page")
                   : page_source_read(source, at, head_bytes, sizeof head_bytes, error);
        if (code == ERROR_NONE) {
            size = PAGE_HEAD_BYTES + (size_t)load_u32(head_bytes);
            if (size > end - at)
                code = error_set(error, ERROR_CORRUPT, "a page that reaches into the footer");
        }
        if (code == ERROR_NONE) {
            free(bytes);
            bytes = malloc(size);
            code = bytes == NULL ? error_set(error, ERROR_OUT_OF_MEMORY, "page of %zu bytes", size)
                                 : page_source_read(source, at, bytes, size, error);
        }
        struct page_head head;
        if (code == ERROR_NONE)
            code = page_head_decode(bytes, size, &head, error);
        if (code != ERROR_NONE)
            error_wrap(error, "'%s' at %" PRIu64, source->name, at);
        at += size;
    }
    free(bytes);
    return code;
}

/* --- Verifying content ------------------------------------------------------------------------ */

/* What was found, to be compared with the footer. */
struct findings {
    struct content_hash hash;
    uint64_t series_count;
    uint64_t sample_count;
    int64_t min_time_ms;
    int64_t max_time_ms;
    bool out_of_memory;
};

static enum error_code found_series(struct findings *findings, struct text identity,
                                    const struct sample_columns *columns,
                                    const struct exemplar *exemplars, size_t exemplar_count,
                                    struct error *error)
{
    findings->series_count++;
    findings->sample_count += columns->count;
    if (columns->count > 0) {
        int64_t last_ms = columns->timestamps_ms[columns->count - 1];
        if (columns->timestamps_ms[0] < findings->min_time_ms)
            findings->min_time_ms = columns->timestamps_ms[0];
        if (last_ms > findings->max_time_ms)
            findings->max_time_ms = last_ms;
    }
    if (!content_hash_series(&findings->hash, identity, columns, exemplars, exemplar_count))
        return error_set(error, ERROR_OUT_OF_MEMORY, "verify");
    return ERROR_NONE;
}

static bool found_metadata(void *context, struct text tenant, struct text metric_name,
                           const struct metric_metadata *metadata)
{
    struct findings *findings = context;
    findings->out_of_memory =
        !content_hash_metadata(&findings->hash, tenant, metric_name, metadata);
    return !findings->out_of_memory;
}

static enum error_code compare_findings(const struct findings *findings,
                                        const struct file_summary *summary, struct error *error)
{
    if (findings->out_of_memory)
        return error_set(error, ERROR_OUT_OF_MEMORY, "verify");
    if (findings->series_count != summary->series_count ||
        findings->sample_count != summary->sample_count)
        return error_set(error, ERROR_CORRUPT, "other numbers of series or samples");
    if (findings->min_time_ms != summary->min_time_ms ||
        findings->max_time_ms != summary->max_time_ms)
        return error_set(error, ERROR_CORRUPT, "samples outside of the stated times");
    if (!hash128_equal(findings->hash.sum, summary->content_checksum))
        return error_set(error, ERROR_CORRUPT, "wrong content checksum");
    return ERROR_NONE;
}

static enum error_code walk_part(struct part_reader *reader, struct findings *findings,
                                 struct error *error)
{
    uint64_t from_id = 0;
    for (;;) {
        struct part_entry entry;
        struct sample_columns columns = {0};
        const struct exemplar *list = NULL;
        size_t count = 0;
        bool found = false;
        enum error_code code = part_reader_next(reader, from_id, &entry, &found, error);
        if (code != ERROR_NONE || !found)
            return code;
        code = part_reader_read(reader, entry.id, INT64_MIN, INT64_MAX, &columns, error);
        if (code == ERROR_NONE)
            code = part_reader_read_exemplars(reader, entry.id, INT64_MIN, INT64_MAX, &list, &count,
                                              error);
        if (code != ERROR_NONE)
            return code;
        struct part_identity identity = part_identity(entry.id, entry.tenant, entry.slot);
        code = found_series(findings, part_identity_text(&identity), &columns, list, count, error);
        if (code != ERROR_NONE)
            return code;
        from_id = entry.id + 1;
    }
}

static enum error_code verify_part(struct page_cache *cache, struct page_source *source,
                                   struct findings *findings, struct file_summary *summary_out,
                                   struct error *error)
{
    struct part *part;
    enum error_code code = part_open(cache, source, &part, error);
    if (code != ERROR_NONE)
        return code;
    struct part_reader *reader = NULL;
    code = part_reader_create(part, &reader, error);
    if (code == ERROR_NONE)
        code = walk_part(reader, findings, error);
    if (code == ERROR_NONE)
        code = part_visit_metadata(part, NULL, found_metadata, findings, error);
    *summary_out = part_summary(part);
    part_reader_destroy(reader);
    part_unref(part);
    return code;
}

static enum error_code walk_block(struct block *block, struct block_reader *reader,
                                  struct findings *findings, struct error *error)
{
    struct byte_buffer identity = {0};
    struct block_properties properties = block_properties(block);
    uint64_t series_count = block_summary(block).series_count;
    enum error_code code = ERROR_NONE;
    for (uint32_t position = 0; code == ERROR_NONE && position < series_count; position++) {
        struct block_series series;
        struct sample_columns columns = {0};
        const struct exemplar *list = NULL;
        size_t count = 0;
        code = block_reader_series(reader, position, &series, error);
        if (code == ERROR_NONE)
            code = block_reader_read(reader, position, INT64_MIN, INT64_MAX, &columns, error);
        if (code == ERROR_NONE)
            code = block_reader_read_exemplars(reader, position, INT64_MIN, INT64_MAX, &list,
                                               &count, error);
        if (code != ERROR_NONE)
            break;
        struct text text = block_identity(&series, &identity);
        code = identity.failed ? error_set(error, ERROR_OUT_OF_MEMORY, "verify")
                               : found_series(findings, text, &columns, list, count, error);
    }
    if (code == ERROR_NONE && findings->sample_count > 0 &&
        (findings->min_time_ms < properties.start_ms || findings->max_time_ms >= properties.end_ms))
        code = error_set(error, ERROR_CORRUPT, "samples outside of the window");
    byte_buffer_clear(&identity);
    return code;
}

static enum error_code verify_block(struct page_cache *cache, struct page_source *source,
                                    struct findings *findings, struct file_summary *summary_out,
                                    struct error *error)
{
    struct block *block;
    enum error_code code = block_open(cache, source, &block, error);
    if (code != ERROR_NONE)
        return code;
    struct block_reader *reader = NULL;
    code = block_reader_create(block, &reader, error);
    if (code == ERROR_NONE)
        code = walk_block(block, reader, findings, error);
    if (code == ERROR_NONE)
        code = block_visit_metadata(block, NULL, found_metadata, findings, error);
    *summary_out = block_summary(block);
    block_reader_destroy(reader);
    block_unref(block);
    return code;
}

static enum error_code walk_batch(struct series_segment *segment, struct positions positions,
                                  struct arena *arena, struct findings *findings,
                                  struct byte_buffer *identity, struct error *error)
{
    struct segment_series *series = arena_array(arena, positions.count, sizeof *series);
    struct segment_lookup *lookups = arena_array(arena, positions.count, sizeof *lookups);
    if (series == NULL || lookups == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "verify");
    enum error_code code = series_segment_read_at(segment, positions, arena, series, error);
    for (size_t i = 0; code == ERROR_NONE && i < positions.count; i++) {
        struct sample_columns nothing = {0};
        struct text text = segment_identity(&series[i], identity);
        code = identity->failed ? error_set(error, ERROR_OUT_OF_MEMORY, "verify")
                                : found_series(findings, text, &nothing, NULL, 0, error);
        lookups[i] = (struct segment_lookup){
            .tenant = series[i].tenant,
            .labels = series[i].labels,
            .hash = series_segment_hash(series[i].tenant, series[i].labels)};
    }
    /* And back: from the labels to the id. */
    if (code == ERROR_NONE)
        code = series_segment_find(segment, lookups, positions.count, error);
    for (size_t i = 0; code == ERROR_NONE && i < positions.count; i++)
        if (!lookups[i].found || lookups[i].id != series[i].id)
            code =
                error_set(error, ERROR_CORRUPT, "labels do not lead to id %" PRIu64, series[i].id);
    return code;
}

static enum error_code verify_segment(struct page_cache *cache, struct page_source *source,
                                      struct findings *findings, struct file_summary *summary_out,
                                      struct error *error)
{
    struct series_segment *segment;
    enum error_code code = series_segment_open(cache, source, &segment, error);
    if (code != ERROR_NONE)
        return code;
    *summary_out = series_segment_summary(segment);
    struct byte_buffer identity = {0};
    struct arena *arena = arena_create(0);
    if (arena == NULL)
        code = error_set(error, ERROR_OUT_OF_MEMORY, "verify");
    for (uint64_t first = 0; code == ERROR_NONE && first < summary_out->series_count;
         first += SERIES_BATCH) {
        uint64_t left = summary_out->series_count - first;
        struct positions positions;
        arena_reset(arena);
        if (!positions_range(arena, (uint32_t)first, left < SERIES_BATCH ? left : SERIES_BATCH,
                             &positions))
            code = error_set(error, ERROR_OUT_OF_MEMORY, "verify");
        else
            code = walk_batch(segment, positions, arena, findings, &identity, error);
    }
    byte_buffer_clear(&identity);
    arena_destroy(arena);
    series_segment_unref(segment);
    return code;
}

enum error_code block_verify(struct page_source *source, struct file_summary *summary_out,
                             struct error *error)
{
    struct page_cache *cache = NULL;
    struct findings findings = {.min_time_ms = INT64_MAX, .max_time_ms = INT64_MIN};
    struct file_summary summary;
    struct file_footer footer;
    enum error_code code = read_footer(source, &footer, error);
    if (code == ERROR_NONE)
        code = verify_pages(source, error);
    if (code == ERROR_NONE)
        code = verify_hash(source, footer.summary.file_hash, error);
    if (code == ERROR_NONE)
        code = page_cache_create(INSPECT_CACHE_BYTES, &cache, error);
    if (code != ERROR_NONE) {
        page_source_close(source);
        return code;
    }
    if (footer.summary.kind == FILE_KIND_PART)
        code = verify_part(cache, source, &findings, &summary, error);
    else if (footer.summary.kind == FILE_KIND_BLOCK)
        code = verify_block(cache, source, &findings, &summary, error);
    else
        code = verify_segment(cache, source, &findings, &summary, error);
    if (code == ERROR_NONE)
        code = compare_findings(&findings, &summary, error);
    if (code == ERROR_NONE)
        *summary_out = summary;
    content_hash_clear(&findings.hash);
    page_cache_destroy(cache);
    return code;
}
