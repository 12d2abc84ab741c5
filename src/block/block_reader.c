#include "block/block_reader.h"

#include <assert.h>
#include <stdlib.h>

#include "block_file.h"
#include "block_format.h"
#include "block_opening.h"
#include "metadata_table.h"

/* Pairs that a walk over all labels remembers before it starts anew. */
enum { PAIR_TEXTS_MAX = 64 * 1024 };

struct block_reader {
    struct block *block;
    struct sample_reader samples;
    struct label_rows rows;
    struct pair_texts texts;
    struct arena *labels; /* of the last series */
};

/* --- The open file ---------------------------------------------------------------------------- */

static enum error_code check_sections(struct block *block, struct error *error)
{
    if (!block_properties_decode(page_file_section(&block->file, TOC_PROPERTIES),
                                 &block->properties))
        return page_file_corrupt(&block->file, "properties", error);
    if (block->file.sections[TOC_SLOTS].size != SLOT_COUNT / 8)
        return page_file_corrupt(&block->file, "slots", error);
    if (block->samples.directory.entry_count != block->index.series_count)
        return page_file_corrupt(&block->file, "index and directory differ", error);
    return ERROR_NONE;
}

enum error_code block_open(struct page_cache *cache, struct page_source *source,
                           struct block **block_out, struct error *error)
{
    struct block *block = calloc(1, sizeof *block);
    if (block == NULL) {
        page_source_close(source);
        return error_set(error, ERROR_OUT_OF_MEMORY, "block");
    }
    atomic_init(&block->references, 1);
    enum error_code code = page_file_open(&block->file, cache, source, FILE_KIND_BLOCK, error);
    if (code == ERROR_NONE)
        code = tenant_list_read(&block->tenants, &block->file, error);
    if (code == ERROR_NONE)
        code = label_index_open(&block->index, &block->file, &block->tenants, LABEL_COLUMNS_BLOCK,
                                error);
    if (code == ERROR_NONE)
        code = sample_store_open(&block->samples, &block->file, error);
    if (code == ERROR_NONE)
        code = table_open(&block->marks, &block->file, TOC_ORDER, error);
    if (code == ERROR_NONE)
        code = check_sections(block, error);
    if (code != ERROR_NONE) {
        block_unref(block);
        return code;
    }
    *block_out = block;
    return ERROR_NONE;
}

/* --- A block that cannot be opened ------------------------------------------------------------ */

static enum error_code refuse(const struct block *block, struct error *error)
{
    *error = block->unreadable;
    return error->code;
}

static enum error_code refuse_index(const struct index_source *self, struct error *error)
{
    return refuse((const struct block *)((const char *)self - offsetof(struct block, index.source)),
                  error);
}

static enum error_code refuse_all(struct index_source *self, struct text tenant,
                                  struct arena *arena, struct positions *positions_out,
                                  struct error *error)
{
    (void)tenant, (void)arena, (void)positions_out;
    return refuse_index(self, error);
}

static enum error_code refuse_names(struct index_source *self, struct text tenant,
                                    index_name_visit *visit, void *context, struct error *error)
{
    (void)tenant, (void)visit, (void)context;
    return refuse_index(self, error);
}

static enum error_code refuse_values(struct index_source *self, struct text tenant,
                                     struct text name, struct text prefix, index_value_visit *visit,
                                     void *context, struct error *error)
{
    (void)tenant, (void)name, (void)prefix, (void)visit, (void)context;
    return refuse_index(self, error);
}

static enum error_code refuse_find(struct index_source *self, struct text tenant, struct text name,
                                   struct text value, struct index_postings *postings_out,
                                   struct error *error)
{
    (void)tenant, (void)name, (void)value, (void)postings_out;
    return refuse_index(self, error);
}

static enum error_code refuse_read(struct index_source *self, struct text tenant,
                                   struct index_postings postings, struct arena *arena,
                                   struct positions *positions_out, struct error *error)
{
    (void)tenant, (void)postings, (void)arena, (void)positions_out;
    return refuse_index(self, error);
}

static enum error_code refuse_walk(struct index_source *self, struct text tenant,
                                   struct index_postings postings, index_positions_visit *visit,
                                   void *context, struct error *error)
{
    (void)tenant, (void)postings, (void)visit, (void)context;
    return refuse_index(self, error);
}

static uint32_t no_positions(struct index_source *self)
{
    (void)self;
    return 0;
}

static enum error_code refuse_labels(struct index_source *self, struct positions positions,
                                     struct arena *arena, struct labels *labels_out,
                                     struct error *error)
{
    (void)positions, (void)arena, (void)labels_out;
    return refuse_index(self, error);
}

static enum error_code refuse_slots(struct index_source *self, struct positions positions,
                                    uint16_t *slots_out, struct error *error)
{
    (void)positions, (void)slots_out;
    return refuse_index(self, error);
}

static const struct index_source_operations REFUSING = {
    .all = refuse_all,
    .names = refuse_names,
    .values = refuse_values,
    .find = refuse_find,
    .read = refuse_read,
    .walk = refuse_walk,
    .position_end = no_positions,
    .labels = refuse_labels,
    .slots = refuse_slots,
};

enum error_code block_create_unreadable(const struct error *reason, struct block **block_out,
                                        struct error *error)
{
    assert(reason->code != ERROR_NONE);
    struct block *block = calloc(1, sizeof *block);
    if (block == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "block");
    atomic_init(&block->references, 1);
    block->index.source.operations = &REFUSING;
    block->unreadable = *reason;
    *block_out = block;
    return ERROR_NONE;
}

/* --- A block that is opened later ------------------------------------------------------------- */

struct block_opening *block_opening_of_index(struct index_source *index)
{
    return ((struct block *)((char *)index - offsetof(struct block, index.source)))->opening;
}

enum error_code deferred_block_create(struct page_cache *cache, struct block_opener *opener,
                                      const struct file_summary *summary, struct block **block_out,
                                      struct error *error)
{
    struct block_opening *opening;
    enum error_code code = block_opening_create(cache, opener, summary, &opening, error);
    if (code != ERROR_NONE)
        return code;
    struct block *block = calloc(1, sizeof *block);
    if (block == NULL) {
        block_opening_destroy(opening);
        return error_set(error, ERROR_OUT_OF_MEMORY, "block");
    }
    atomic_init(&block->references, 1);
    block->index.source.operations = &DEFERRED_INDEX_OPERATIONS;
    block->opening = opening;
    *block_out = block;
    return ERROR_NONE;
}

enum error_code block_need_open(struct block *block, struct block **opened_out, struct error *error)
{
    if (block->opening != NULL)
        return block_opening_wait(block->opening, opened_out, error);
    if (block->unreadable.code != ERROR_NONE)
        return refuse(block, error);
    *opened_out = block;
    return ERROR_NONE;
}

/* Itself, or what is open of it; NULL: nothing yet. */
static const struct block *peek_block(const struct block *block)
{
    return block->opening == NULL ? block : block_opening_peek(block->opening);
}

bool block_is_open(const struct block *block)
{
    return peek_block(block) != NULL;
}

/* --- Life ------------------------------------------------------------------------------------- */

struct block *block_ref(struct block *block)
{
    atomic_fetch_add_explicit(&block->references, 1, memory_order_relaxed);
    return block;
}

void block_unref(struct block *block)
{
    if (block == NULL)
        return;
    if (atomic_fetch_sub_explicit(&block->references, 1, memory_order_acq_rel) > 1)
        return;
    if (block->opening == NULL) {
        tenant_list_clear(&block->tenants);
        page_file_close(&block->file);
    }
    block_opening_destroy(block->opening);
    free(block);
}

struct file_summary block_summary(const struct block *block)
{
    return block->opening == NULL ? block->file.footer.summary : block->opening->summary;
}

struct block_properties block_properties(const struct block *block)
{
    assert(block->opening == NULL);
    return block->properties;
}

struct index_source *block_index(struct block *block)
{
    return &block->index.source;
}

size_t block_tenant_count(const struct block *block)
{
    assert(block->opening == NULL);
    return block->tenants.count;
}

struct text block_tenant(const struct block *block, size_t index)
{
    assert(index < block->tenants.count);
    return block->tenants.tenants[index];
}

bool block_has_tenant(const struct block *block, struct text tenant)
{
    block = peek_block(block);
    for (size_t i = 0; block != NULL && i < block->tenants.count; i++)
        if (text_equal(block->tenants.tenants[i], tenant))
            return true;
    return block == NULL;
}

bool block_has_slot(const struct block *block, uint16_t slot)
{
    assert(slot < SLOT_COUNT);
    block = peek_block(block);
    if (block == NULL)
        return true;
    if (block->unreadable.code != ERROR_NONE)
        return false;
    return (unsigned char)block->file.sections[TOC_SLOTS].data[slot / 8] >> (slot % 8) & 1;
}

bool block_has_slot_outside(const struct block *block, const uint64_t slots[SLOT_COUNT / 64])
{
    block = peek_block(block);
    return block == NULL || (block->unreadable.code == ERROR_NONE &&
                             page_file_has_slot_outside(&block->file, slots));
}

enum error_code block_visit_metadata(struct block *block, const struct text *tenant,
                                     metadata_visit *visit, void *context, struct error *error)
{
    enum error_code code = block_need_open(block, &block, error);
    if (code != ERROR_NONE)
        return code;
    return metadata_table_visit(&block->file, &block->tenants, tenant, visit, context, error);
}

/* --- Readers ---------------------------------------------------------------------------------- */

enum error_code block_reader_create(struct block *block, struct block_reader **reader_out,
                                    struct error *error)
{
    enum error_code code = block_need_open(block, &block, error);
    if (code != ERROR_NONE)
        return code;
    struct block_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "block reader");
    reader->block = block_ref(block);
    reader->rows.index = &block->index;
    reader->texts.index = &block->index;
    reader->labels = arena_create(0);
    code = sample_reader_init(&reader->samples, &block->samples, error);
    if (code == ERROR_NONE && reader->labels == NULL)
        code = error_set(error, ERROR_OUT_OF_MEMORY, "block reader");
    if (code != ERROR_NONE) {
        block_reader_destroy(reader);
        return code;
    }
    *reader_out = reader;
    return ERROR_NONE;
}

void block_reader_destroy(struct block_reader *reader)
{
    if (reader == NULL)
        return;
    sample_reader_clear(&reader->samples);
    label_rows_clear(&reader->rows);
    pair_texts_clear(&reader->texts);
    arena_destroy(reader->labels);
    block_unref(reader->block);
    free(reader);
}

static enum error_code seek(struct block_reader *reader, uint32_t position, struct error *error)
{
    const struct block *block = reader->block;
    if (position >= block->index.series_count)
        return error_set(error, ERROR_NOT_FOUND, "series at position %u of %u", position,
                         block->index.series_count);
    bool found;
    enum error_code code = sample_reader_seek(&reader->samples, position, &found, error);
    if (code == ERROR_NONE && (!found || reader->samples.cursor.series.key != position))
        return page_file_corrupt(&block->file, "a series without directory", error);
    return code;
}

enum error_code block_reader_read(struct block_reader *reader, uint32_t position, int64_t start_ms,
                                  int64_t end_ms, struct sample_columns *columns_out,
                                  struct error *error)
{
    enum error_code code = seek(reader, position, error);
    if (code != ERROR_NONE)
        return code;
    return sample_reader_range(&reader->samples, start_ms, end_ms, columns_out, error);
}

enum error_code block_reader_read_latest(struct block_reader *reader, uint32_t position,
                                         int64_t start_ms, int64_t end_ms,
                                         struct sample_columns *columns_out, struct error *error)
{
    enum error_code code = seek(reader, position, error);
    if (code != ERROR_NONE)
        return code;
    return sample_reader_latest(&reader->samples, start_ms, end_ms, columns_out, error);
}

enum error_code block_reader_has_samples(struct block_reader *reader, uint32_t position,
                                         int64_t start_ms, int64_t end_ms, bool *has_out,
                                         struct error *error)
{
    enum error_code code = seek(reader, position, error);
    if (code != ERROR_NONE)
        return code;
    return sample_reader_has_samples(&reader->samples, start_ms, end_ms, has_out, error);
}

enum error_code block_reader_read_encoded(struct block_reader *reader, uint32_t position,
                                          struct encoded_series *encoded_out, struct error *error)
{
    enum error_code code = seek(reader, position, error);
    if (code != ERROR_NONE)
        return code;
    return sample_reader_encoded(&reader->samples, INT64_MIN, INT64_MAX, encoded_out, error);
}

enum error_code block_reader_read_exemplars(struct block_reader *reader, uint32_t position,
                                            int64_t start_ms, int64_t end_ms,
                                            const struct exemplar **exemplars_out,
                                            size_t *count_out, struct error *error)
{
    enum error_code code = seek(reader, position, error);
    if (code != ERROR_NONE)
        return code;
    return sample_reader_exemplars(&reader->samples, start_ms, end_ms, exemplars_out, count_out,
                                   error);
}

enum error_code block_reader_series(struct block_reader *reader, uint32_t position,
                                    struct block_series *series_out, struct error *error)
{
    arena_reset(reader->labels);
    if (reader->texts.count > PAIR_TEXTS_MAX) {
        pair_texts_clear(&reader->texts);
        reader->texts.index = &reader->block->index;
    }
    enum error_code code = label_rows_seek(&reader->rows, position, error);
    struct labels labels;
    if (code == ERROR_NONE)
        code = pair_texts_labels(&reader->texts, &reader->rows.row, reader->labels, &labels, error);
    if (code != ERROR_NONE)
        return code;
    const struct label_row *row = &reader->rows.row;
    *series_out = (struct block_series){
        .tenant = reader->block->tenants.tenants[row->tenant],
        .slot = row->slot,
        .labels = labels,
    };
    return ERROR_NONE;
}
