#include "block/part_reader.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/limits.h"
#include "metadata_table.h"
#include "page_file.h"
#include "sample_reader.h"
#include "tenant_list.h"

struct part {
    atomic_size_t references;
    struct page_file file;
    struct sample_store samples;
    struct tenant_list tenants;
    struct error unreadable; /* why nothing of it can be read; no error: it can */
};

struct part_reader {
    struct part *part;
    struct sample_reader samples;
};

/* --- The open file ---------------------------------------------------------------------------- */

static enum error_code check_slots(const struct part *part, struct error *error)
{
    if (part->file.sections[TOC_SLOTS].size != SLOT_COUNT / 8)
        return page_file_corrupt(&part->file, "slots", error);
    return ERROR_NONE;
}

enum error_code part_open(struct page_cache *cache, struct page_source *source,
                          struct part **part_out, struct error *error)
{
    struct part *part = calloc(1, sizeof *part);
    if (part == NULL) {
        page_source_close(source);
        return error_set(error, ERROR_OUT_OF_MEMORY, "part");
    }
    atomic_init(&part->references, 1);
    enum error_code code = page_file_open(&part->file, cache, source, FILE_KIND_PART, error);
    if (code == ERROR_NONE)
        code = sample_store_open(&part->samples, &part->file, error);
    if (code == ERROR_NONE)
        code = tenant_list_read(&part->tenants, &part->file, error);
    if (code == ERROR_NONE)
        code = check_slots(part, error);
    if (code != ERROR_NONE) {
        part_unref(part);
        return code;
    }
    *part_out = part;
    return ERROR_NONE;
}

enum error_code part_create_unreadable(const struct error *reason, struct part **part_out,
                                       struct error *error)
{
    assert(reason->code != ERROR_NONE);
    struct part *part = calloc(1, sizeof *part);
    if (part == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "part");
    atomic_init(&part->references, 1);
    part->unreadable = *reason;
    *part_out = part;
    return ERROR_NONE;
}

struct part *part_ref(struct part *part)
{
    atomic_fetch_add_explicit(&part->references, 1, memory_order_relaxed);
    return part;
}

void part_unref(struct part *part)
{
    if (part == NULL)
        return;
    if (atomic_fetch_sub_explicit(&part->references, 1, memory_order_acq_rel) > 1)
        return;
    tenant_list_clear(&part->tenants);
    page_file_close(&part->file);
    free(part);
}

struct file_summary part_summary(const struct part *part)
{
    return part->file.footer.summary;
}

size_t part_tenant_count(const struct part *part)
{
    return part->tenants.count;
}

struct text part_tenant(const struct part *part, size_t index)
{
    assert(index < part->tenants.count);
    return part->tenants.tenants[index];
}

bool part_has_slot(const struct part *part, uint16_t slot)
{
    assert(slot < SLOT_COUNT);
    if (part->unreadable.code != ERROR_NONE)
        return false;
    return (unsigned char)part->file.sections[TOC_SLOTS].data[slot / 8] >> (slot % 8) & 1;
}

bool part_has_slot_outside(const struct part *part, const uint64_t slots[SLOT_COUNT / 64])
{
    return part->unreadable.code == ERROR_NONE && page_file_has_slot_outside(&part->file, slots);
}

enum error_code part_visit_metadata(struct part *part, const struct text *tenant,
                                    metadata_visit *visit, void *context, struct error *error)
{
    if (part->unreadable.code != ERROR_NONE) {
        *error = part->unreadable;
        return error->code;
    }
    return metadata_table_visit(&part->file, &part->tenants, tenant, visit, context, error);
}

/* --- Readers ---------------------------------------------------------------------------------- */

enum error_code part_reader_create(struct part *part, struct part_reader **reader_out,
                                   struct error *error)
{
    if (part->unreadable.code != ERROR_NONE) {
        *error = part->unreadable;
        return error->code;
    }
    struct part_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "part reader");
    reader->part = part_ref(part);
    enum error_code code = sample_reader_init(&reader->samples, &part->samples, error);
    if (code != ERROR_NONE) {
        part_reader_destroy(reader);
        return code;
    }
    *reader_out = reader;
    return ERROR_NONE;
}

void part_reader_destroy(struct part_reader *reader)
{
    if (reader == NULL)
        return;
    sample_reader_clear(&reader->samples);
    part_unref(reader->part);
    free(reader);
}

/* Stand on series `id`; *found_out is false when the part has none. */
static enum error_code find(struct part_reader *reader, uint64_t id, bool *found_out,
                            struct error *error)
{
    enum error_code code = sample_reader_seek(&reader->samples, id, found_out, error);
    if (code == ERROR_NONE && *found_out && reader->samples.cursor.series.key != id)
        *found_out = false;
    return code;
}

enum error_code part_reader_read(struct part_reader *reader, uint64_t id, int64_t start_ms,
                                 int64_t end_ms, struct sample_columns *columns_out,
                                 struct error *error)
{
    bool found;
    enum error_code code = find(reader, id, &found, error);
    if (code != ERROR_NONE)
        return code;
    if (found)
        return sample_reader_range(&reader->samples, start_ms, end_ms, columns_out, error);
    *columns_out = (struct sample_columns){0};
    return ERROR_NONE;
}

enum error_code part_reader_read_latest(struct part_reader *reader, uint64_t id, int64_t start_ms,
                                        int64_t end_ms, struct sample_columns *columns_out,
                                        struct error *error)
{
    bool found;
    enum error_code code = find(reader, id, &found, error);
    if (code != ERROR_NONE)
        return code;
    if (found)
        return sample_reader_latest(&reader->samples, start_ms, end_ms, columns_out, error);
    *columns_out = (struct sample_columns){0};
    return ERROR_NONE;
}

enum error_code part_reader_has_samples(struct part_reader *reader, uint64_t id, int64_t start_ms,
                                        int64_t end_ms, bool *has_out, struct error *error)
{
    bool found;
    *has_out = false;
    enum error_code code = find(reader, id, &found, error);
    if (code != ERROR_NONE || !found)
        return code;
    return sample_reader_has_samples(&reader->samples, start_ms, end_ms, has_out, error);
}

enum error_code part_reader_read_encoded(struct part_reader *reader, uint64_t id, int64_t start_ms,
                                         int64_t end_ms, struct encoded_series *encoded_out,
                                         struct error *error)
{
    bool found;
    enum error_code code = find(reader, id, &found, error);
    if (code != ERROR_NONE)
        return code;
    if (found)
        return sample_reader_encoded(&reader->samples, start_ms, end_ms, encoded_out, error);
    *encoded_out = (struct encoded_series){0};
    return ERROR_NONE;
}

enum error_code part_reader_read_exemplars(struct part_reader *reader, uint64_t id,
                                           int64_t start_ms, int64_t end_ms,
                                           const struct exemplar **exemplars_out, size_t *count_out,
                                           struct error *error)
{
    bool found;
    enum error_code code = find(reader, id, &found, error);
    if (code != ERROR_NONE)
        return code;
    if (found)
        return sample_reader_exemplars(&reader->samples, start_ms, end_ms, exemplars_out, count_out,
                                       error);
    *exemplars_out = NULL;
    *count_out = 0;
    return ERROR_NONE;
}

enum error_code part_reader_next(struct part_reader *reader, uint64_t from_id,
                                 struct part_entry *entry_out, bool *found_out, struct error *error)
{
    bool found;
    enum error_code code = sample_reader_seek(&reader->samples, from_id, &found, error);
    if (code != ERROR_NONE)
        return code;
    *found_out = found;
    if (!found)
        return ERROR_NONE;
    const struct series_entry *series = &reader->samples.cursor.series;
    if (series->tenant >= reader->part->tenants.count)
        return page_file_corrupt(&reader->part->file, "series of an unknown tenant", error);
    *entry_out = (struct part_entry){
        .id = series->key,
        .tenant = reader->part->tenants.tenants[series->tenant],
        .slot = series->slot,
        .sample_count = series->sample_count,
    };
    return ERROR_NONE;
}
