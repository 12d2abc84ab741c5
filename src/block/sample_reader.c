#include "sample_reader.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "codec/timestamp_codec.h"

/* Of one series: what a hostile file may make of a few bytes ends here. */
enum { EXEMPLARS_BYTES_MAX = 256 * 1024 * 1024 };

/* --- Directory -------------------------------------------------------------------------------- */

enum error_code sample_store_open(struct sample_store *store, const struct page_file *file,
                                  struct error *error)
{
    store->file = file;
    return tree_open(&store->directory, file, TOC_DIRECTORY, error);
}

enum error_code sample_reader_init(struct sample_reader *reader, const struct sample_store *store,
                                   struct error *error)
{
    *reader = (struct sample_reader){.store = store};
    reader->exemplars = arena_create(EXEMPLARS_BYTES_MAX);
    if (reader->exemplars == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "read samples");
    return chunk_decoder_init(&reader->decoder, error);
}

void sample_reader_clear(struct sample_reader *reader)
{
    page_unpin(&reader->times_page.pin);
    page_unpin(&reader->values_page.pin);
    page_unpin(&reader->page);
    directory_cursor_clear(&reader->cursor);
    chunk_decoder_clear(&reader->decoder);
    byte_buffer_clear(&reader->encoded_bytes);
    arena_destroy(reader->exemplars);
    free(reader->encoded);
    *reader = (struct sample_reader){0};
}

static enum error_code open_page(struct sample_reader *reader, struct page_reference reference,
                                 struct error *error)
{
    static const struct page_preparation PREPARATION = {PAGE_DIRECTORY, PAGE_PREPARED_DIRECTORY,
                                                        directory_page_prepare};
    page_unpin(&reader->page);
    reader->on_series = false;
    enum error_code code =
        page_file_pin_prepared(reader->store->file, reference, &PREPARATION, &reader->page, error);
    if (code == ERROR_NONE)
        directory_cursor_open(&reader->cursor, reader->page.bytes);
    return code;
}

/* Step through the open page to the first key >= `key`. */
static enum error_code advance(struct sample_reader *reader, uint64_t key, struct error *error)
{
    enum error_code code = ERROR_NONE;
    if (reader->on_series && reader->cursor.series.key >= key)
        return code;
    code = directory_cursor_next(&reader->cursor, key, &reader->on_series, error);
    if (code != ERROR_NONE)
        reader->on_series = false;
    return code;
}

static enum error_code seek_in_tree(struct sample_reader *reader, uint64_t key, struct error *error)
{
    const struct tree *tree = &reader->store->directory;
    uint8_t bytes[8];
    key_store_be64(bytes, key);
    struct tree_leaf leaf;
    bool found;
    enum error_code code =
        tree_find_key(tree, (struct text){(const char *)bytes, sizeof bytes}, &leaf, &found, error);
    if (code == ERROR_NONE && !found)
        code = tree_find_ordinal(tree, 0, &leaf, error);
    if (code == ERROR_NONE)
        code = open_page(reader, leaf.page, error);
    uint64_t series_count = reader->cursor.series_left;
    if (code == ERROR_NONE)
        code = advance(reader, key, error);
    if (code != ERROR_NONE || reader->on_series)
        return code;

    /* All of the page is below: the next page begins above. */
    uint64_t next = leaf.first_ordinal + series_count;
    if (next >= tree->entry_count)
        return ERROR_NONE;
    code = tree_find_ordinal(tree, next, &leaf, error);
    if (code == ERROR_NONE)
        code = open_page(reader, leaf.page, error);
    if (code == ERROR_NONE)
        code = advance(reader, key, error);
    if (code == ERROR_NONE && !reader->on_series)
        code = page_file_corrupt(reader->store->file, "series directory out of order", error);
    return code;
}

enum error_code sample_reader_seek(struct sample_reader *reader, uint64_t key, bool *found_out,
                                   struct error *error)
{
    enum error_code code = ERROR_NONE;
    bool ahead = reader->on_series && key >= reader->cursor.series.key;
    if (ahead)
        code = advance(reader, key, error);
    if (code == ERROR_NONE && (!ahead || !reader->on_series)) {
        reader->on_series = false;
        if (reader->store->directory.entry_count > 0)
            code = seek_in_tree(reader, key, error);
    }
    *found_out = code == ERROR_NONE && reader->on_series;
    return code;
}

/* --- Pages of data ---------------------------------------------------------------------------- */

static enum error_code corrupt(const struct sample_reader *reader, const char *what,
                               struct error *error)
{
    return page_file_corrupt(reader->store->file, what, error);
}

static enum error_code find_span(const struct sample_reader *reader, const struct page_pin *pin,
                                 struct page_span span, size_t extra, const uint8_t **bytes_out,
                                 struct error *error)
{
    if (span.offset_bytes > pin->size ||
        (size_t)span.size_bytes + extra > pin->size - span.offset_bytes)
        return corrupt(reader, "bytes outside of their page", error);
    *bytes_out = pin->bytes + span.offset_bytes;
    return ERROR_NONE;
}

/* Pin the page of a span and find its bytes; `extra` more bytes are behind them. */
static enum error_code pin_span(const struct sample_reader *reader, struct page_span span,
                                size_t extra, enum page_kind kind, struct page_pin *pin,
                                const uint8_t **bytes_out, struct error *error)
{
    enum error_code code = page_file_pin(reader->store->file, span.page, kind, pin, error);
    if (code != ERROR_NONE)
        return code;
    code = find_span(reader, pin, span, extra, bytes_out, error);
    if (code != ERROR_NONE)
        page_unpin(pin);
    return code;
}

/* The same in a page that stays pinned: the bytes live until another is read. */
static enum error_code keep_span(const struct sample_reader *reader, struct page_span span,
                                 size_t extra, enum page_kind kind, struct kept_page *kept,
                                 const uint8_t **bytes_out, struct error *error)
{
    if (kept->pin.entry == NULL || kept->reference.offset_bytes != span.page.offset_bytes ||
        kept->reference.size_bytes != span.page.size_bytes) {
        page_unpin(&kept->pin);
        enum error_code code =
            page_file_pin(reader->store->file, span.page, kind, &kept->pin, error);
        if (code != ERROR_NONE)
            return code;
        kept->reference = span.page;
    }
    return find_span(reader, &kept->pin, span, extra, bytes_out, error);
}

/* Timestamps [first, first + count) of a column. */
static enum error_code read_times(struct sample_reader *reader, struct page_span span,
                                  uint32_t first, uint32_t count, int64_t *timestamps_out,
                                  struct error *error)
{
    const uint8_t *bytes = NULL;
    enum error_code code =
        keep_span(reader, span, 0, PAGE_TIME_COLUMNS, &reader->times_page, &bytes, error);
    if (code != ERROR_NONE)
        return code;
    struct timestamp_column column;
    code = timestamp_codec_open(bytes, span.size_bytes, &column, error);
    if (code == ERROR_NONE)
        code = timestamp_codec_decode(&column, first, count, reader->decoder.scratch,
                                      timestamps_out, error);
    if (code != ERROR_NONE)
        error_wrap(error, "'%s': time column", reader->store->file->source->name);
    return code;
}

static bool times_equal(const struct times_place *left, const struct times_place *right)
{
    return left->column.page.offset_bytes == right->column.page.offset_bytes &&
           left->column.offset_bytes == right->column.offset_bytes && left->first == right->first &&
           left->count == right->count;
}

/* The chunk's timestamps behind those in the decoder, and above them. */
static enum error_code append_times(struct sample_reader *reader, const struct chunk_entry *chunk,
                                    struct error *error)
{
    struct chunk_decoder *decoder = &reader->decoder;
    enum error_code code = chunk_decoder_reserve(decoder, chunk->count, error);
    if (code != ERROR_NONE)
        return code;
    struct times_place place = {chunk->column, chunk->first, chunk->count};
    bool is_first = decoder->count == 0;
    if (is_first && times_equal(&place, &reader->times))
        return ERROR_NONE;
    reader->times.count = is_first ? 0 : reader->times.count;
    int64_t *target = decoder->timestamps_ms + decoder->count;
    code = read_times(reader, chunk->column, chunk->first, chunk->count, target, error);
    if (code != ERROR_NONE)
        return code;
    if (is_first)
        reader->times = place;
    else if (target[0] <= target[-1])
        return corrupt(reader, "chunks out of order", error);
    return ERROR_NONE;
}

static enum error_code append_chunk(struct sample_reader *reader, const struct chunk_entry *entry,
                                    struct error *error)
{
    enum error_code code = append_times(reader, entry, error);
    if (code != ERROR_NONE)
        return code;
    const uint8_t *bytes = NULL;
    code = keep_span(reader, entry->values, entry->start_timestamps_bytes, PAGE_CHUNKS,
                     &reader->values_page, &bytes, error);
    if (code != ERROR_NONE)
        return code;
    struct encoded_chunk chunk = {
        .kind = entry->kind,
        .sample_count = entry->count,
        .bytes = bytes,
        .size_bytes = entry->values.size_bytes,
        .start_timestamps = bytes + entry->values.size_bytes,
        .start_timestamps_bytes = entry->start_timestamps_bytes,
    };
    code = chunk_decoder_add(&reader->decoder, &chunk, error);
    if (code != ERROR_NONE)
        error_wrap(error, "'%s': chunk", reader->store->file->source->name);
    return code;
}

/* --- Which chunks ----------------------------------------------------------------------------- */

static enum error_code first_timestamp(struct sample_reader *reader, uint32_t chunk,
                                       int64_t *timestamp_out, struct error *error)
{
    const struct chunk_entry *entry = &reader->cursor.chunks[chunk];
    return read_times(reader, entry->column, entry->first, 1, timestamp_out, error);
}

/* The last chunk that begins at or before `wanted_ms`; the first one when none does. */
static enum error_code find_chunk(struct sample_reader *reader, int64_t wanted_ms,
                                  uint32_t *chunk_out, struct error *error)
{
    uint32_t low = 0;
    uint32_t high = reader->cursor.series.chunk_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        int64_t timestamp_ms;
        enum error_code code = first_timestamp(reader, middle, &timestamp_ms, error);
        if (code != ERROR_NONE)
            return code;
        if (timestamp_ms <= wanted_ms)
            low = middle;
        else
            high = middle;
    }
    *chunk_out = low;
    return ERROR_NONE;
}

/* Non-zero and the same only for the same range of the same column, when the chunks from `chunk`
 * on are one range. */
static uint64_t timestamps_id(const struct sample_reader *reader, uint32_t chunk, uint32_t chunks,
                              size_t first, size_t count)
{
    const struct chunk_entry *entries = reader->cursor.chunks;
    for (uint32_t i = chunk + 1; i < chunk + chunks; i++)
        if (entries[i].column.page.offset_bytes != entries[chunk].column.page.offset_bytes ||
            entries[i].column.offset_bytes != entries[chunk].column.offset_bytes ||
            entries[i].first != entries[i - 1].first + entries[i - 1].count)
            return 0;
    uint64_t place[5] = {page_cache_file_number(reader->store->file->cached),
                         entries[chunk].column.page.offset_bytes,
                         entries[chunk].column.offset_bytes, entries[chunk].first + first, count};
    return hash64(place, sizeof place, HASH_SEED_STORED) | 1;
}

/* --- Public ----------------------------------------------------------------------------------- */

enum error_code sample_reader_range(struct sample_reader *reader, int64_t start_ms, int64_t end_ms,
                                    struct sample_columns *columns_out, struct error *error)
{
    assert(reader->on_series);
    uint32_t chunk_count = reader->cursor.series.chunk_count;
    struct chunk_decoder *decoder = &reader->decoder;
    chunk_decoder_begin(decoder);
    if (chunk_count == 0 || start_ms > end_ms) {
        *columns_out = (struct sample_columns){0};
        return ERROR_NONE;
    }
    uint32_t first_chunk;
    enum error_code code = find_chunk(reader, start_ms, &first_chunk, error);
    uint32_t chunk = first_chunk;
    while (code == ERROR_NONE && chunk < chunk_count) {
        code = append_chunk(reader, &reader->cursor.chunks[chunk++], error);
        if (code == ERROR_NONE && decoder->timestamps_ms[decoder->count - 1] >= end_ms)
            break;
    }
    if (code != ERROR_NONE)
        return code;
    size_t first;
    struct sample_columns columns = chunk_decoder_columns(decoder, start_ms, end_ms, &first);
    if (columns.count > 0)
        columns.timestamps_id =
            timestamps_id(reader, first_chunk, chunk - first_chunk, first, columns.count);
    *columns_out = columns;
    return ERROR_NONE;
}

enum error_code sample_reader_latest(struct sample_reader *reader, int64_t start_ms, int64_t end_ms,
                                     struct sample_columns *columns_out, struct error *error)
{
    assert(reader->on_series);
    chunk_decoder_begin(&reader->decoder);
    if (reader->cursor.series.chunk_count == 0 || start_ms > end_ms) {
        *columns_out = (struct sample_columns){0};
        return ERROR_NONE;
    }
    uint32_t chunk;
    enum error_code code = find_chunk(reader, end_ms, &chunk, error);
    if (code == ERROR_NONE)
        code = append_chunk(reader, &reader->cursor.chunks[chunk], error);
    if (code != ERROR_NONE)
        return code;
    size_t first;
    struct sample_columns columns =
        chunk_decoder_columns(&reader->decoder, start_ms, end_ms, &first);
    if (columns.count > 1) {
        size_t skipped = columns.count - 1;
        columns.count = 1;
        columns.timestamps_ms += skipped;
        columns.values += skipped;
        if (columns.histograms != NULL)
            columns.histograms += skipped;
        if (columns.start_timestamps_ms != NULL)
            columns.start_timestamps_ms += skipped;
        first += skipped;
    }
    if (columns.count > 0)
        columns.timestamps_id = timestamps_id(reader, chunk, 1, first, 1);
    *columns_out = columns;
    return ERROR_NONE;
}

enum error_code sample_reader_has_samples(struct sample_reader *reader, int64_t start_ms,
                                          int64_t end_ms, bool *has_out, struct error *error)
{
    assert(reader->on_series);
    struct chunk_decoder *decoder = &reader->decoder;
    *has_out = false;
    chunk_decoder_begin(decoder);
    if (reader->cursor.series.chunk_count == 0 || start_ms > end_ms)
        return ERROR_NONE;
    uint32_t chunk;
    enum error_code code = find_chunk(reader, end_ms, &chunk, error);
    if (code == ERROR_NONE)
        code = append_times(reader, &reader->cursor.chunks[chunk], error);
    if (code != ERROR_NONE)
        return code;
    const int64_t *times = decoder->timestamps_ms;
    size_t count = reader->cursor.chunks[chunk].count;
    while (count > 0 && times[count - 1] > end_ms)
        count--;
    *has_out = count > 0 && times[count - 1] >= start_ms;
    return ERROR_NONE;
}

static bool encoded_reserve(struct sample_reader *reader, size_t count)
{
    if (count <= reader->encoded_capacity)
        return true;
    struct encoded_chunk *grown = realloc(reader->encoded, count * sizeof *grown);
    if (grown == NULL)
        return false;
    reader->encoded = grown;
    reader->encoded_capacity = count;
    return true;
}

/* Copy a chunk's bytes behind the others; its pointers are set when all are there. */
static enum error_code copy_chunk(struct sample_reader *reader, const struct chunk_entry *entry,
                                  struct error *error)
{
    enum error_code code = append_times(reader, entry, error);
    if (code != ERROR_NONE)
        return code;
    struct page_pin pin = {0};
    const uint8_t *bytes = NULL;
    code = pin_span(reader, entry->values, entry->start_timestamps_bytes, PAGE_CHUNKS, &pin, &bytes,
                    error);
    if (code != ERROR_NONE)
        return code;
    byte_buffer_append(&reader->encoded_bytes, bytes,
                       (size_t)entry->values.size_bytes + entry->start_timestamps_bytes);
    page_unpin(&pin);
    if (reader->encoded_bytes.failed)
        return error_set(error, ERROR_OUT_OF_MEMORY, "read chunks");
    reader->decoder.count += entry->count;
    return ERROR_NONE;
}

/* The chunks [first, end) as they were copied one behind the other. */
static void list_chunks(struct sample_reader *reader, uint32_t first, uint32_t end)
{
    const uint8_t *bytes = reader->encoded_bytes.bytes;
    for (uint32_t i = first; i < end; i++) {
        const struct chunk_entry *entry = &reader->cursor.chunks[i];
        reader->encoded[i - first] = (struct encoded_chunk){
            .kind = entry->kind,
            .sample_count = entry->count,
            .bytes = bytes,
            .size_bytes = entry->values.size_bytes,
            .start_timestamps = bytes + entry->values.size_bytes,
            .start_timestamps_bytes = entry->start_timestamps_bytes,
        };
        bytes += entry->values.size_bytes + entry->start_timestamps_bytes;
    }
}

enum error_code sample_reader_encoded(struct sample_reader *reader, int64_t start_ms,
                                      int64_t end_ms, struct encoded_series *encoded_out,
                                      struct error *error)
{
    assert(reader->on_series && start_ms <= end_ms);
    uint32_t chunk_count = reader->cursor.series.chunk_count;
    struct chunk_decoder *decoder = &reader->decoder;
    uint32_t first = 0;
    enum error_code code = ERROR_NONE;
    chunk_decoder_begin(decoder);
    byte_buffer_reset(&reader->encoded_bytes);
    if (chunk_count > 1 && start_ms > INT64_MIN)
        code = find_chunk(reader, start_ms, &first, error);
    if (code == ERROR_NONE && !encoded_reserve(reader, chunk_count - first))
        code = error_set(error, ERROR_OUT_OF_MEMORY, "read chunks");
    uint32_t end = first;
    while (code == ERROR_NONE && end < chunk_count) {
        code = copy_chunk(reader, &reader->cursor.chunks[end++], error);
        if (code == ERROR_NONE && decoder->timestamps_ms[decoder->count - 1] >= end_ms)
            break;
    }
    if (code != ERROR_NONE)
        return code;
    list_chunks(reader, first, end);
    *encoded_out = (struct encoded_series){
        .timestamps_ms = decoder->timestamps_ms,
        .sample_count = decoder->count,
        .chunks = reader->encoded,
        .chunk_count = end - first,
    };
    return ERROR_NONE;
}

/* --- Exemplars -------------------------------------------------------------------------------- */

static enum error_code decode_exemplars(struct sample_reader *reader, const uint8_t *bytes,
                                        size_t size, struct exemplar **exemplars_out,
                                        size_t *count_out, struct error *error)
{
    struct byte_reader input = byte_reader_over(bytes, size);
    uint64_t count = byte_reader_varint(&input);
    if (input.failed || count > byte_reader_left(&input) / 10) /* the least one takes */
        return corrupt(reader, "exemplars", error);
    struct arena *arena = reader->exemplars;
    struct exemplar *exemplars = arena_array(arena, count, sizeof *exemplars);
    if (exemplars == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "read exemplars");
    int64_t previous_ms = INT64_MIN;
    uint64_t timestamp = 0;
    for (size_t i = 0; i < count; i++) {
        timestamp += (uint64_t)byte_reader_zigzag(&input);
        uint64_t bits = byte_reader_u64(&input);
        struct text encoded = byte_reader_text(&input);
        if (input.failed || (int64_t)timestamp < previous_ms)
            return corrupt(reader, "exemplars", error);
        struct labels labels = {0};
        enum error_code code =
            labels_decode((const uint8_t *)encoded.data, encoded.size, &labels, error);
        if (code != ERROR_NONE)
            return corrupt(reader, "labels of an exemplar", error);
        exemplars[i] = (struct exemplar){.labels = labels_copy(arena, labels),
                                         .value = double_from_bits(bits),
                                         .timestamp_ms = (int64_t)timestamp};
        if (labels.size > 0 && exemplars[i].labels.bytes == NULL)
            return error_set(error, ERROR_OUT_OF_MEMORY, "read exemplars");
        previous_ms = (int64_t)timestamp;
    }
    if (byte_reader_left(&input) > 0)
        return corrupt(reader, "exemplars", error);
    *exemplars_out = exemplars;
    *count_out = count;
    return ERROR_NONE;
}

enum error_code sample_reader_exemplars(struct sample_reader *reader, int64_t start_ms,
                                        int64_t end_ms, const struct exemplar **exemplars_out,
                                        size_t *count_out, struct error *error)
{
    assert(reader->on_series);
    struct page_span span = reader->cursor.series.exemplars;
    arena_reset(reader->exemplars);
    if (span.size_bytes == 0) {
        *exemplars_out = NULL;
        *count_out = 0;
        return ERROR_NONE;
    }
    struct page_pin pin = {0};
    const uint8_t *bytes = NULL;
    enum error_code code = pin_span(reader, span, 0, PAGE_CHUNKS, &pin, &bytes, error);
    if (code != ERROR_NONE)
        return code;
    struct exemplar *exemplars = NULL;
    size_t count = 0;
    code = decode_exemplars(reader, bytes, span.size_bytes, &exemplars, &count, error);
    page_unpin(&pin);
    if (code != ERROR_NONE)
        return code;
    size_t first = 0;
    while (first < count && exemplars[first].timestamp_ms < start_ms)
        first++;
    size_t last = count;
    while (last > first && exemplars[last - 1].timestamp_ms > end_ms)
        last--;
    *exemplars_out = exemplars + first;
    *count_out = last - first;
    return ERROR_NONE;
}
