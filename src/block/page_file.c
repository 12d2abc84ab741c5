#include "page_file.h"

#include <assert.h>
#include <stdlib.h>

enum {
    /* An end of a thousandth of a file holds the nodes of its trees, and the names. */
    TAIL_FRACTION = 1024,
    TAIL_BYTES_MIN = 256 * 1024,
    TAIL_BYTES_MAX = 1024 * 1024,
};

/* --- Opening ---------------------------------------------------------------------------------- */

uint64_t page_file_tail_bytes(uint64_t size_bytes)
{
    uint64_t tail = size_bytes / TAIL_FRACTION;
    if (tail < TAIL_BYTES_MIN)
        tail = TAIL_BYTES_MIN;
    if (tail > TAIL_BYTES_MAX)
        tail = TAIL_BYTES_MAX;
    return tail < size_bytes ? tail : size_bytes;
}

static enum error_code fetch_tail(struct page_source *source, struct error *error)
{
    uint64_t tail = page_file_tail_bytes(source->size_bytes);
    struct page_range range = {source, source->size_bytes - tail, tail};
    return page_source_is_remote(source) && tail > 0 ? page_source_fetch(&range, 1, error)
                                                     : ERROR_NONE;
}

/* What of the end the tail did not bring. */
static enum error_code fetch_late(const struct page_file *file, struct error *error)
{
    struct page_source *source = file->source;
    uint64_t tail_start = source->size_bytes - page_file_tail_bytes(source->size_bytes);
    if (!page_source_is_remote(source) || file->late_start >= tail_start)
        return ERROR_NONE;
    struct page_range range = {source, file->late_start, tail_start - file->late_start};
    return page_source_fetch(&range, 1, error);
}

/* A file of before has no such section: its index begins nowhere, and is read page by page. */
static enum error_code read_regions(struct page_file *file, struct error *error)
{
    file->index_start = file->late_start = file->footer.toc.offset_bytes;
    struct text section = file->sections[TOC_REGIONS];
    if (section.size == 0)
        return ERROR_NONE;
    const uint8_t *bytes = (const uint8_t *)section.data;
    if (section.size != FILE_REGIONS_BYTES || load_u64(bytes) < FILE_HEADER_BYTES ||
        load_u64(bytes) > load_u64(bytes + 8) || load_u64(bytes + 8) > file->late_start)
        return error_set(error, ERROR_CORRUPT, "regions");
    file->index_start = load_u64(bytes);
    file->late_start = load_u64(bytes + 8);
    return ERROR_NONE;
}

static enum error_code read_footer(struct page_source *source, struct file_footer *footer_out,
                                   struct error *error)
{
    if (source->size_bytes < FILE_HEADER_BYTES + FILE_FOOTER_BYTES)
        return error_set(error, ERROR_CORRUPT, "only %llu bytes",
                         (unsigned long long)source->size_bytes);
    uint8_t bytes[FILE_FOOTER_BYTES];
    enum error_code code = page_source_read(source, source->size_bytes - FILE_FOOTER_BYTES, bytes,
                                            sizeof bytes, error);
    if (code != ERROR_NONE)
        return code;
    return file_footer_decode(bytes, source->size_bytes, footer_out, error);
}

static enum error_code split_sections(struct page_file *file, struct error *error)
{
    struct byte_reader reader = byte_reader_over(file->toc, file->toc_size);
    uint64_t count = byte_reader_varint(&reader);
    for (uint64_t i = 0; i < count && !reader.failed; i++) {
        uint64_t section = byte_reader_varint(&reader);
        struct text bytes = byte_reader_text(&reader);
        if (!reader.failed && section < TOC_SECTIONS)
            file->sections[section] = bytes;
    }
    if (reader.failed || byte_reader_left(&reader) > 0)
        return error_set(error, ERROR_CORRUPT, "table of contents");
    return ERROR_NONE;
}

static enum error_code read_toc(struct page_file *file, struct error *error)
{
    if (file->footer.toc.size_bytes > TOC_BYTES_MAX)
        return error_set(error, ERROR_CORRUPT, "table of contents: %u bytes",
                         file->footer.toc.size_bytes);
    struct page_pin pin = {0};
    enum error_code code = page_cache_pin(file->cache, file->source, file->cached, file->footer.toc,
                                          PAGE_TOC, NULL, &pin, error);
    if (code != ERROR_NONE)
        return code;
    file->toc = malloc(pin.size + 1);
    if (file->toc == NULL) {
        code = error_set(error, ERROR_OUT_OF_MEMORY, "table of contents");
    } else {
        memcpy(file->toc, pin.bytes, pin.size);
        file->toc_size = pin.size;
        code = split_sections(file, error);
    }
    page_unpin(&pin);
    return code;
}

enum error_code page_file_open(struct page_file *file, struct page_cache *cache,
                               struct page_source *source, enum file_kind kind, struct error *error)
{
    *file = (struct page_file){.cache = cache, .source = source};
    file->cached = page_cache_add_file(cache);
    enum error_code code = file->cached == NULL
                               ? error_set(error, ERROR_OUT_OF_MEMORY, "page cache")
                               : fetch_tail(source, error);
    if (code == ERROR_NONE)
        code = read_footer(source, &file->footer, error);
    if (code == ERROR_NONE && file->footer.summary.kind != kind)
        code = error_set(error, ERROR_CORRUPT, "a file of kind %d, not %d",
                         file->footer.summary.kind, kind);
    if (code == ERROR_NONE)
        code = read_toc(file, error);
    if (code == ERROR_NONE)
        code = read_regions(file, error);
    if (code == ERROR_NONE)
        code = fetch_late(file, error);
    if (code != ERROR_NONE) {
        error_wrap(error, "open '%s'", source->name);
        page_file_close(file);
    }
    return code;
}

void page_file_close(struct page_file *file)
{
    page_cache_remove_file(file->cache, file->cached);
    page_source_close(file->source);
    free(file->toc);
    *file = (struct page_file){0};
}

/* --- Reading ---------------------------------------------------------------------------------- */

struct byte_reader page_file_section(const struct page_file *file, enum toc_section section)
{
    static const uint8_t NOTHING[1] = {0};
    struct text bytes = file->sections[section];
    return byte_reader_over(bytes.size == 0 ? NOTHING : (const uint8_t *)bytes.data, bytes.size);
}

enum error_code page_file_corrupt(const struct page_file *file, const char *what,
                                  struct error *error)
{
    return error_set(error, ERROR_CORRUPT, "'%s': %s", file->source->name, what);
}

bool page_file_has_slot_outside(const struct page_file *file, const uint64_t slots[SLOT_COUNT / 64])
{
    const uint8_t *bits = (const uint8_t *)file->sections[TOC_SLOTS].data;
    for (size_t i = 0; i < SLOT_COUNT / 64; i++)
        if ((load_u64(bits + 8 * i) & ~slots[i]) != 0)
            return true;
    return false;
}

enum error_code page_file_pin(const struct page_file *file, struct page_reference reference,
                              enum page_kind kind, struct page_pin *pin, struct error *error)
{
    if (!page_reference_is_inside(reference, file->source->size_bytes))
        return page_file_corrupt(file, "a page outside of the file", error);
    return page_cache_pin(file->cache, file->source, file->cached, reference, kind, NULL, pin,
                          error);
}

enum error_code page_file_pin_prepared(const struct page_file *file,
                                       struct page_reference reference,
                                       const struct page_preparation *preparation,
                                       struct page_pin *pin, struct error *error)
{
    if (!page_reference_is_inside(reference, file->source->size_bytes))
        return page_file_corrupt(file, "a page outside of the file", error);
    return page_cache_pin(file->cache, file->source, file->cached, reference, preparation->kept,
                          preparation, pin, error);
}
