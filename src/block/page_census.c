#include "page_census.h"

#include <inttypes.h>

#include "base/bytes.h"
#include "page_format.h"

struct page_sum {
    uint64_t pages;
    uint64_t stored_bytes;
    uint64_t raw_bytes;
};

static const char *const KIND_NAMES[PAGE_KINDS] = {
    [PAGE_TOC] = "table of contents", [PAGE_TREE_NODE] = "tree nodes",
    [PAGE_TABLE_LEAF] = "tables",     [PAGE_POSTINGS] = "postings",
    [PAGE_LABELS] = "labels",         [PAGE_DIRECTORY] = "directory",
    [PAGE_CHUNKS] = "chunks",         [PAGE_TIME_COLUMNS] = "time columns",
    [PAGE_HASH_BUCKET] = "hashes",
};

static enum error_code count_pages(struct page_source *source, struct page_sum sums[PAGE_KINDS],
                                   struct error *error)
{
    uint64_t end = source->size_bytes - FILE_FOOTER_BYTES;
    for (uint64_t at = FILE_HEADER_BYTES; at < end;) {
        uint8_t head[PAGE_HEAD_BYTES];
        if (end - at < sizeof head)
            return error_set(error, ERROR_CORRUPT, "'%s': stray bytes before the footer",
                             source->name);
        enum error_code code = page_source_read(source, at, head, sizeof head, error);
        if (code != ERROR_NONE)
            return code;
        uint64_t stored_bytes = (uint64_t)load_u32(head) + PAGE_HEAD_BYTES;
        unsigned kind = head[9];
        if (stored_bytes > end - at || kind == 0 || kind >= PAGE_KINDS)
            return error_set(error, ERROR_CORRUPT, "'%s': no page at %" PRIu64, source->name, at);
        sums[kind].pages++;
        sums[kind].stored_bytes += stored_bytes;
        sums[kind].raw_bytes += load_u32(head + 4);
        at += stored_bytes;
    }
    return ERROR_NONE;
}

enum error_code page_census_print(struct page_source *source, FILE *output, struct error *error)
{
    if (source->size_bytes < FILE_HEADER_BYTES + FILE_FOOTER_BYTES)
        return error_set(error, ERROR_CORRUPT, "'%s': only %" PRIu64 " bytes", source->name,
                         source->size_bytes);
    struct page_sum sums[PAGE_KINDS] = {0};
    enum error_code code = count_pages(source, sums, error);
    if (code != ERROR_NONE)
        return code;
    fprintf(output, "%-18s %8s %12s %12s\n", "pages", "number", "bytes", "raw bytes");
    for (unsigned kind = 1; kind < PAGE_KINDS; kind++)
        if (sums[kind].pages > 0)
            fprintf(output, "%-18s %8" PRIu64 " %12" PRIu64 " %12" PRIu64 "\n", KIND_NAMES[kind],
                    sums[kind].pages, sums[kind].stored_bytes, sums[kind].raw_bytes);
    return ERROR_NONE;
}
