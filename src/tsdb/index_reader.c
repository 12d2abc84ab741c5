#include "index_reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "big_endian.h"
#include "file_window.h"
#include "index_format.h"

/* Symbols are at most as large as what a file of the format can say, but for a memory's sake. */
#define SYMBOLS_BYTES_MAX (UINT64_C(2) << 30)

enum { SERIES_BYTES_MAX = 64 * 1024 * 1024, LENGTH_BYTES_MAX = 5 };

struct index_reader {
    struct tsdb_folder *folder;
    struct tsdb_file *file;
    char path[TSDB_PATH_MAX + 1];
    unsigned version;
    uint64_t places[INDEX_SECTIONS];
    uint64_t series_end;
    uint64_t at;              /* of the next series */
    uint64_t series_count;    /* so far */
    uint64_t series_expected; /* UINT64_MAX: the index does not say */
    struct file_window window;
    uint8_t *symbols; /* the section, from its length to its checksum */
    uint64_t symbols_bytes;
    uint32_t *symbol_offsets; /* [symbol_count] in `symbols`; version 2 */
    uint32_t symbol_count;
};

static enum error_code corrupt(const struct index_reader *reader, uint64_t offset, const char *what,
                               struct error *error)
{
    return error_set(error, ERROR_CORRUPT, "%s at %llu: %s", reader->path,
                     (unsigned long long)offset, what);
}

static enum error_code at_place(const struct index_reader *reader, uint64_t offset,
                                struct error *error)
{
    return error_wrap(error, "%s at %llu", reader->path, (unsigned long long)offset);
}

/* --- Head and contents ------------------------------------------------------------------------
 */

static enum error_code read_head(struct index_reader *reader, struct error *error)
{
    const uint8_t *bytes;
    enum error_code code = file_window_get(&reader->window, 0, INDEX_HEAD_BYTES, &bytes, error);
    if (code != ERROR_NONE)
        return at_place(reader, 0, error);
    if (load_big_u32(bytes) != INDEX_MAGIC)
        return corrupt(reader, 0, "that is no index of a block", error);
    reader->version = bytes[INDEX_MAGIC_BYTES];
    if (reader->version != 1 && reader->version != 2)
        return error_set(error, ERROR_UNSUPPORTED, "%s at %d: version %u of the index",
                         reader->path, INDEX_MAGIC_BYTES, reader->version);
    return ERROR_NONE;
}

/* Where the section behind that of the series begins. */
static uint64_t end_of_series(const struct index_reader *reader, uint64_t contents)
{
    uint64_t end = contents;
    for (int i = 0; i < INDEX_SECTIONS; i++)
        if (reader->places[i] > reader->places[INDEX_SERIES] && reader->places[i] < end)
            end = reader->places[i];
    return end;
}

static enum error_code read_contents(struct index_reader *reader, struct error *error)
{
    uint8_t bytes[INDEX_CONTENTS_BYTES];
    uint64_t size = reader->file->size_bytes;
    if (size < INDEX_HEAD_BYTES + INDEX_CONTENTS_BYTES)
        return corrupt(reader, size, "the file is too short", error);
    uint64_t contents = size - INDEX_CONTENTS_BYTES;
    if (tsdb_folder_read(reader->folder, reader->file, contents, bytes, sizeof bytes, error) !=
        ERROR_NONE)
        return at_place(reader, contents, error);
    size_t checked = INDEX_CONTENTS_BYTES - INDEX_CHECKSUM_BYTES;
    if (crc32c(0, bytes, checked) != load_big_u32(bytes + checked))
        return corrupt(reader, contents, "the checksum of the contents is wrong", error);
    for (size_t i = 0; i < INDEX_SECTIONS; i++) {
        reader->places[i] = load_big_u64(bytes + 8 * i);
        if (reader->places[i] > contents)
            return corrupt(reader, contents + 8 * i, "a section behind the end", error);
    }
    reader->series_end = end_of_series(reader, contents);
    reader->at = reader->places[INDEX_SERIES];
    return ERROR_NONE;
}

/* --- Symbols ----------------------------------------------------------------------------------
 */

static enum error_code load_symbols(struct index_reader *reader, struct error *error)
{
    enum { LENGTH_BYTES = 4 };
    uint64_t place = reader->places[INDEX_SYMBOLS];
    uint8_t head[LENGTH_BYTES];
    enum error_code code =
        tsdb_folder_read(reader->folder, reader->file, place, head, sizeof head, error);
    if (code != ERROR_NONE)
        return at_place(reader, place, error);
    uint64_t size = LENGTH_BYTES + (uint64_t)load_big_u32(head) + INDEX_CHECKSUM_BYTES;
    if (size > reader->file->size_bytes - place || size > SYMBOLS_BYTES_MAX)
        return corrupt(reader, place, "symbols of an impossible length", error);
    reader->symbols = malloc((size_t)size);
    if (reader->symbols == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "%llu bytes of symbols",
                         (unsigned long long)size);
    reader->symbols_bytes = size;
    code =
        tsdb_folder_read(reader->folder, reader->file, place, reader->symbols, (size_t)size, error);
    if (code != ERROR_NONE)
        return at_place(reader, place, error);
    size_t checked = (size_t)size - LENGTH_BYTES - INDEX_CHECKSUM_BYTES;
    if (crc32c(0, reader->symbols + LENGTH_BYTES, checked) !=
        load_big_u32(reader->symbols + LENGTH_BYTES + checked))
        return corrupt(reader, place, "the checksum of the symbols is wrong", error);
    return ERROR_NONE;
}

static struct byte_reader symbols_from(const struct index_reader *reader, uint64_t offset)
{
    uint64_t end = reader->symbols_bytes - INDEX_CHECKSUM_BYTES;
    return offset <= end ? byte_reader_over(reader->symbols + offset, (size_t)(end - offset))
                         : (struct byte_reader){.failed = true};
}

/* In version 2 references count the symbols. */
static enum error_code number_symbols(struct index_reader *reader, struct error *error)
{
    enum { FIRST = 8 /* behind length and count */ };
    uint64_t place = reader->places[INDEX_SYMBOLS];
    struct byte_reader bytes = symbols_from(reader, 4);
    uint32_t count = byte_reader_big_u32(&bytes);
    if (bytes.failed || count > byte_reader_left(&bytes))
        return corrupt(reader, place, "an impossible number of symbols", error);
    reader->symbol_offsets = calloc((size_t)count + 1, sizeof *reader->symbol_offsets);
    if (reader->symbol_offsets == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "%u symbols", count);
    reader->symbol_count = count;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t offset = (uint64_t)(bytes.position - reader->symbols);
        byte_reader_text(&bytes);
        if (bytes.failed)
            return corrupt(reader, place + offset, "that is no symbol", error);
        reader->symbol_offsets[i] = (uint32_t)offset;
    }
    return ERROR_NONE;
}

/* False: there is none. */
static bool symbol_of(const struct index_reader *reader, uint64_t reference, struct text *text_out)
{
    uint64_t offset;
    if (reader->symbols == NULL)
        return false; /* an index without the section */
    if (reader->version == 1) {
        if (reference < reader->places[INDEX_SYMBOLS])
            return false;
        offset = reference - reader->places[INDEX_SYMBOLS];
    } else {
        if (reference >= reader->symbol_count)
            return false;
        offset = reader->symbol_offsets[reference];
    }
    struct byte_reader bytes = symbols_from(reader, offset);
    if (bytes.failed)
        return false;
    *text_out = byte_reader_text(&bytes);
    return !bytes.failed;
}

/* --- How many series there are ----------------------------------------------------------------
 */

/* The place of the list of all series: that of the empty pair, the first of the table. *place_out
 * 0: there is none. */
static enum error_code find_list_of_all(struct index_reader *reader, uint64_t *place_out,
                                        struct error *error)
{
    enum { HEAD_BYTES = 8 /* length and count */, ENTRY_BYTES_MAX = 3 + VARINT_MAX_BYTES };
    uint64_t table = reader->places[INDEX_POSTINGS_OFFSETS];
    const uint8_t *bytes;
    size_t size;
    *place_out = 0;
    if (table == 0)
        return ERROR_NONE;
    if (file_window_peek(&reader->window, table, HEAD_BYTES + ENTRY_BYTES_MAX, &bytes, &size,
                         error) != ERROR_NONE)
        return at_place(reader, table, error);
    struct byte_reader entry = byte_reader_over(bytes, size);
    byte_reader_take(&entry, HEAD_BYTES);
    uint8_t text_count = byte_reader_u8(&entry);
    size_t text_bytes = byte_reader_text(&entry).size + byte_reader_text(&entry).size;
    uint64_t place = byte_reader_varint(&entry);
    if (!entry.failed && text_count == 2 && text_bytes == 0)
        *place_out = place;
    return ERROR_NONE;
}

/* So that a hole in the series is not taken for their end. */
static enum error_code count_series(struct index_reader *reader, struct error *error)
{
    enum { LENGTH_BYTES = 4, REFERENCE_BYTES = 4 };
    uint64_t place;
    const uint8_t *bytes;
    reader->series_expected = UINT64_MAX;
    enum error_code code = find_list_of_all(reader, &place, error);
    if (code != ERROR_NONE || place == 0)
        return code;
    if (file_window_get(&reader->window, place, LENGTH_BYTES, &bytes, error) != ERROR_NONE)
        return at_place(reader, place, error);
    uint64_t length = load_big_u32(bytes);
    if (length < REFERENCE_BYTES || length > reader->file->size_bytes - place)
        return corrupt(reader, place, "a list of series of an impossible length", error);
    if (file_window_get(&reader->window, place + LENGTH_BYTES,
                        (size_t)length + INDEX_CHECKSUM_BYTES, &bytes, error) != ERROR_NONE)
        return at_place(reader, place, error);
    if (crc32c(0, bytes, (size_t)length) != load_big_u32(bytes + length))
        return corrupt(reader, place, "the checksum of the list of series is wrong", error);
    reader->series_expected = load_big_u32(bytes);
    if (length != REFERENCE_BYTES * (reader->series_expected + 1))
        return corrupt(reader, place, "a list of series of an impossible length", error);
    return ERROR_NONE;
}

/* --- Life -------------------------------------------------------------------------------------
 */

enum error_code index_reader_open(struct tsdb_folder *folder, const char *path,
                                  struct index_reader **reader_out, struct error *error)
{
    struct index_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "index '%s'", path);
    reader->folder = folder;
    snprintf(reader->path, sizeof reader->path, "%s", path);
    enum error_code code = tsdb_folder_open(folder, path, &reader->file, error);
    file_window_turn(&reader->window, folder, reader->file);
    if (code == ERROR_NONE)
        code = read_head(reader, error);
    if (code == ERROR_NONE)
        code = read_contents(reader, error);
    if (code == ERROR_NONE && reader->places[INDEX_SYMBOLS] != 0) {
        code = load_symbols(reader, error);
        if (code == ERROR_NONE && reader->version > 1)
            code = number_symbols(reader, error);
    }
    if (code == ERROR_NONE)
        code = count_series(reader, error);
    if (code != ERROR_NONE) {
        index_reader_close(reader);
        return code;
    }
    *reader_out = reader;
    return ERROR_NONE;
}

void index_reader_close(struct index_reader *reader)
{
    if (reader == NULL)
        return;
    tsdb_folder_close(reader->folder, reader->file);
    file_window_clear(&reader->window);
    free(reader->symbols);
    free(reader->symbol_offsets);
    free(reader);
}

/* --- Series -----------------------------------------------------------------------------------
 */

static enum error_code take_labels(struct index_reader *reader, struct byte_reader *bytes,
                                   struct arena *arena, struct labels *labels_out,
                                   struct error *error)
{
    uint64_t count = byte_reader_varint(bytes);
    if (bytes->failed || count > byte_reader_left(bytes) / 2)
        return corrupt(reader, reader->at, "an impossible number of labels", error);
    struct label *labels = arena_array(arena, (size_t)count + 1, sizeof *labels);
    if (labels == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "labels of a series");
    for (uint64_t i = 0; i < count; i++) {
        uint64_t name = byte_reader_varint(bytes), value = byte_reader_varint(bytes);
        if (bytes->failed || !symbol_of(reader, name, &labels[i].name) ||
            !symbol_of(reader, value, &labels[i].value) || labels[i].name.size == 0)
            return corrupt(reader, reader->at, "a label that is no symbol", error);
    }
    *labels_out = labels_build(arena, labels, (size_t)count);
    return labels_out->bytes == NULL ? error_set(error, ERROR_OUT_OF_MEMORY, "labels of a series")
                                     : ERROR_NONE;
}

static enum error_code take_chunks(struct index_reader *reader, struct byte_reader *bytes,
                                   struct arena *arena, struct index_series *series,
                                   struct error *error)
{
    enum { CHUNK_BYTES_MIN = 3 };
    uint64_t count = byte_reader_varint(bytes);
    if (bytes->failed || count > byte_reader_left(bytes) / CHUNK_BYTES_MIN)
        return corrupt(reader, reader->at, "an impossible number of chunks", error);
    series->chunks = arena_array(arena, (size_t)count + 1, sizeof *series->chunks);
    if (series->chunks == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "chunks of a series");
    /* Differences may be negative where chunks overlap; then they wrap around. */
    uint64_t time = 0, reference = 0;
    for (uint64_t i = 0; i < count; i++) {
        struct index_chunk *chunk = &series->chunks[i];
        time += i == 0 ? (uint64_t)byte_reader_zigzag(bytes) : byte_reader_varint(bytes);
        chunk->start_ms = (int64_t)time;
        time += byte_reader_varint(bytes);
        chunk->end_ms = (int64_t)time;
        reference += i == 0 ? byte_reader_varint(bytes) : (uint64_t)byte_reader_zigzag(bytes);
        chunk->reference = reference;
        if (bytes->failed || chunk->end_ms < chunk->start_ms)
            return corrupt(reader, reader->at, "that is no chunk of a series", error);
    }
    series->chunk_count = (size_t)count;
    return ERROR_NONE;
}

/* The content of the entry at `at`, its checksum verified, and where it ends; *found_out false:
 * only padding is left. */
static enum error_code find_entry(struct index_reader *reader, struct byte_reader *content_out,
                                  uint64_t *end_out, bool *found_out, struct error *error)
{
    const uint8_t *bytes;
    size_t size;
    *found_out = false;
    for (;;) {
        if (reader->version > 1)
            reader->at = (reader->at + INDEX_SERIES_ALIGNMENT - 1) / INDEX_SERIES_ALIGNMENT *
                         INDEX_SERIES_ALIGNMENT;
        if (reader->at >= reader->series_end)
            return ERROR_NONE;
        size_t room = reader->series_end - reader->at < LENGTH_BYTES_MAX
                          ? (size_t)(reader->series_end - reader->at)
                          : LENGTH_BYTES_MAX;
        if (file_window_peek(&reader->window, reader->at, room, &bytes, &size, error) != ERROR_NONE)
            return at_place(reader, reader->at, error);
        if (bytes[0] != 0)
            break;
        reader->at++; /* padding before the next section */
    }
    struct byte_reader length = byte_reader_over(bytes, size);
    uint64_t content = byte_reader_varint(&length);
    uint64_t head = size - byte_reader_left(&length);
    if (length.failed || content > SERIES_BYTES_MAX ||
        head + content + INDEX_CHECKSUM_BYTES > reader->series_end - reader->at)
        return corrupt(reader, reader->at, "a series of an impossible length", error);
    if (file_window_get(&reader->window, reader->at + head, (size_t)content + INDEX_CHECKSUM_BYTES,
                        &bytes, error) != ERROR_NONE)
        return at_place(reader, reader->at, error);
    if (crc32c(0, bytes, (size_t)content) != load_big_u32(bytes + content))
        return corrupt(reader, reader->at, "the checksum of the series is wrong", error);
    *content_out = byte_reader_over(bytes, (size_t)content);
    *end_out = reader->at + head + content + INDEX_CHECKSUM_BYTES;
    *found_out = true;
    return ERROR_NONE;
}

enum error_code index_reader_next(struct index_reader *reader, struct arena *arena,
                                  struct index_series *series_out, bool *found_out,
                                  struct error *error)
{
    struct byte_reader content;
    uint64_t end;
    bool found = false;
    *found_out = false;
    enum error_code code = ERROR_NONE;
    if (reader->places[INDEX_SERIES] != 0)
        code = find_entry(reader, &content, &end, &found, error);
    if (code == ERROR_NONE && !found && reader->series_expected != UINT64_MAX &&
        reader->series_count != reader->series_expected)
        return error_set(error, ERROR_CORRUPT, "%s at %llu: %llu series, of which %llu are there",
                         reader->path, (unsigned long long)reader->places[INDEX_SERIES],
                         (unsigned long long)reader->series_expected,
                         (unsigned long long)reader->series_count);
    if (code != ERROR_NONE || !found)
        return code;
    struct index_series series = {
        .reference = reader->version > 1 ? reader->at / INDEX_SERIES_ALIGNMENT : reader->at};
    code = take_labels(reader, &content, arena, &series.labels, error);
    if (code == ERROR_NONE)
        code = take_chunks(reader, &content, arena, &series, error);
    if (code != ERROR_NONE)
        return code;
    reader->at = end;
    reader->series_count++;
    *series_out = series;
    *found_out = true;
    return ERROR_NONE;
}
