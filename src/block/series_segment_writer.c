#include "block/series_segment_writer.h"

#include <stdlib.h>

#include "base/limits.h"
#include "content_hash.h"
#include "label_index_writer.h"
#include "page_tree.h"
#include "segment_format.h"
#include "tenant_list.h"

struct hash_entry {
    struct hash128 hash;
    uint32_t position;
};

struct series_segment_writer {
    struct page_writer *pages;
    struct tenant_list tenants;
    struct label_index_writer index;
    struct content_hash content;
    struct byte_buffer identity;
    struct hash_entry *entries; /* [entry_count] */
    size_t entry_count;
    size_t entry_capacity;
    uint64_t first_id;
    uint64_t last_id;
};

static enum error_code out_of_memory(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "series segment");
}

enum error_code series_segment_writer_create(struct disk *disk, const char *path,
                                             struct series_segment_writer **writer_out,
                                             struct error *error)
{
    struct series_segment_writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL)
        return out_of_memory(error);
    enum error_code code = page_writer_create(disk, path, FILE_KIND_SEGMENT, &writer->pages, error);
    if (code != ERROR_NONE) {
        series_segment_writer_destroy(writer);
        return code;
    }
    writer->index =
        (struct label_index_writer){.pages = writer->pages, .columns = LABEL_COLUMNS_SEGMENT};
    *writer_out = writer;
    return ERROR_NONE;
}

static bool entries_add(struct series_segment_writer *writer, struct hash128 hash)
{
    if (writer->entry_count == writer->entry_capacity) {
        size_t capacity = writer->entry_capacity == 0 ? 1024 : writer->entry_capacity * 2;
        struct hash_entry *grown = realloc(writer->entries, capacity * sizeof *grown);
        if (grown == NULL)
            return false;
        writer->entries = grown;
        writer->entry_capacity = capacity;
    }
    writer->entries[writer->entry_count] =
        (struct hash_entry){.hash = hash, .position = (uint32_t)writer->entry_count};
    writer->entry_count++;
    return true;
}

enum error_code series_segment_writer_add(struct series_segment_writer *writer,
                                          const struct segment_series *series, struct error *error)
{
    if (series->slot >= SLOT_COUNT || series->id == UINT64_MAX)
        return error_set(error, ERROR_INVALID, "series segment: slot %u, id %llu", series->slot,
                         (unsigned long long)series->id);
    struct label_series entry = {
        .slot = series->slot, .id = series->id, .target = series->target, .labels = series->labels};
    enum error_code code = tenant_list_add(&writer->tenants, series->tenant, &entry.tenant, error);
    if (code == ERROR_NONE)
        code = label_index_writer_add(&writer->index, &entry, error);
    if (code != ERROR_NONE)
        return code;
    struct text identity = segment_identity(series, &writer->identity);
    struct sample_columns nothing = {0};
    if (writer->identity.failed ||
        !entries_add(writer, series_segment_hash(series->tenant, series->labels)) ||
        !content_hash_series(&writer->content, identity, &nothing, NULL, 0))
        return out_of_memory(error);
    if (writer->entry_count == 1)
        writer->first_id = series->id;
    writer->last_id = series->id;
    return ERROR_NONE;
}

/* --- Hash buckets ----------------------------------------------------------------------------- */

static int entry_order(const void *left, const void *right)
{
    const struct hash_entry *a = left;
    const struct hash_entry *b = right;
    if (a->hash.high != b->hash.high)
        return a->hash.high < b->hash.high ? -1 : 1;
    return a->hash.low < b->hash.low ? -1 : a->hash.low > b->hash.low;
}

static enum error_code sort_entries(struct series_segment_writer *writer, struct error *error)
{
    if (writer->entry_count > 1)
        qsort(writer->entries, writer->entry_count, sizeof *writer->entries, entry_order);
    for (size_t i = 1; i < writer->entry_count; i++)
        if (hash128_equal(writer->entries[i - 1].hash, writer->entries[i].hash))
            return error_set(error, ERROR_INVALID, "series at positions %u and %u are the same",
                             writer->entries[i - 1].position, writer->entries[i].position);
    return ERROR_NONE;
}

static enum error_code bucket_write(struct series_segment_writer *writer, uint32_t bucket,
                                    uint32_t bucket_count, const struct hash_entry *entries,
                                    size_t count, struct tree_writer *tree, struct error *error)
{
    struct byte_buffer bytes = {0};
    for (size_t i = 0; i < count; i++)
        byte_buffer_u32(&bytes, segment_fingerprint(entries[i].hash, bucket_count));
    for (size_t i = 0; i < count; i++)
        byte_buffer_u32(&bytes, entries[i].position);
    struct page_reference page;
    enum error_code code = bytes.failed ? out_of_memory(error)
                                        : page_writer_append(writer->pages, PAGE_HASH_BUCKET,
                                                             bytes.bytes, bytes.size, &page, error);
    byte_buffer_clear(&bytes);
    uint8_t key[4];
    key_store_be32(key, bucket);
    if (code == ERROR_NONE)
        code = tree_writer_add(tree, (struct text){(const char *)key, sizeof key}, 1, page, error);
    return code;
}

static enum error_code write_buckets(struct series_segment_writer *writer, uint32_t bucket_count,
                                     struct error *error)
{
    struct tree_writer tree = {.pages = writer->pages};
    enum error_code code = sort_entries(writer, error);
    size_t first = 0;
    for (uint32_t bucket = 0; code == ERROR_NONE && bucket < bucket_count; bucket++) {
        size_t end = first;
        while (end < writer->entry_count &&
               segment_bucket(writer->entries[end].hash, bucket_count) == bucket)
            end++;
        code = bucket_write(writer, bucket, bucket_count, writer->entries + first, end - first,
                            &tree, error);
        first = end;
    }
    if (code == ERROR_NONE)
        code = tree_writer_finish(&tree, TOC_HASH, error);
    tree_writer_clear(&tree);
    return code;
}

static enum error_code write_properties(struct series_segment_writer *writer, uint32_t bucket_count,
                                        struct error *error)
{
    uint8_t bytes[20];
    store_u64(bytes, writer->first_id);
    store_u64(bytes + 8, writer->entry_count == 0 ? 0 : writer->last_id - writer->first_id + 1);
    store_u32(bytes + 16, bucket_count);
    return page_writer_section(writer->pages, TOC_PROPERTIES, bytes, sizeof bytes, error);
}

enum error_code series_segment_writer_finish(struct series_segment_writer *writer,
                                             struct file_summary *summary_out, struct error *error)
{
    uint32_t bucket_count =
        (uint32_t)((writer->entry_count + SEGMENT_BUCKET_SERIES - 1) / SEGMENT_BUCKET_SERIES);
    enum error_code code = label_index_writer_finish(&writer->index, error);
    if (code == ERROR_NONE)
        code = write_buckets(writer, bucket_count, error);
    if (code == ERROR_NONE)
        code = tenant_list_write(&writer->tenants, writer->pages, error);
    if (code == ERROR_NONE)
        code = write_properties(writer, bucket_count, error);
    struct file_summary summary = {
        .series_count = writer->entry_count,
        .min_time_ms = INT64_MAX,
        .max_time_ms = INT64_MIN,
        .content_checksum = writer->content.sum,
    };
    if (code == ERROR_NONE)
        code = page_writer_finish(writer->pages, &summary, error);
    if (code == ERROR_NONE)
        *summary_out = summary;
    return code;
}

void series_segment_writer_destroy(struct series_segment_writer *writer)
{
    if (writer == NULL)
        return;
    tenant_list_clear(&writer->tenants);
    label_index_writer_clear(&writer->index);
    content_hash_clear(&writer->content);
    byte_buffer_clear(&writer->identity);
    page_writer_destroy(writer->pages);
    free(writer->entries);
    free(writer);
}
