#include "block/verification.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <xxhash.h>

#include "block/block_inspect.h"
#include "block/block_reader.h"
#include "block/part_reader.h"
#include "block/series_segment_reader.h"
#include "block_format.h"
#include "content_hash.h"
#include "inspect_footer.h"
#include "page_format.h"
#include "part_identity.h"
#include "segment_format.h"

enum {
    CACHE_BYTES = 32 * 1024 * 1024,
    SERIES_BATCH = 4096,
};

/* What was found, to be compared with the footer. */
struct findings {
    struct content_hash hash;
    uint64_t series_count;
    uint64_t sample_count;
    int64_t min_time_ms;
    int64_t max_time_ms;
    bool out_of_memory;
};

/*
 *   bytes -> content -> done
 */
struct verification {
    enum { VERIFIES_BYTES, VERIFIES_CONTENT, VERIFIED } phase;
    struct page_source *source; /* NULL: the opened file has it */
    struct file_footer footer;

    /* Bytes. */
    uint64_t at; /* of the next page */
    XXH3_state_t *hash;
    uint8_t *bytes; /* [capacity_bytes], of a page */
    size_t capacity_bytes;

    /* Content: one of three. */
    struct page_cache *cache;
    struct part *part;
    struct part_reader *part_reader;
    struct block *block;
    struct block_reader *block_reader;
    struct series_segment *segment;
    uint64_t next; /* id of a part, position of others */
    bool is_read;  /* but for metadata */
    struct file_summary summary;
    struct findings findings;
    struct byte_buffer identity;
    struct arena *arena;
};

/* --- Bytes ------------------------------------------------------------------------------------ */

static enum error_code read_to_hash(struct verification *verification, uint64_t at, size_t size,
                                    struct error *error)
{
    if (size > verification->capacity_bytes) {
        uint8_t *bytes = realloc(verification->bytes, size);
        if (bytes == NULL)
            return error_set(error, ERROR_OUT_OF_MEMORY, "page of %zu bytes", size);
        verification->bytes = bytes;
        verification->capacity_bytes = size;
    }
    enum error_code code =
        page_source_read(verification->source, at, verification->bytes, size, error);
    if (code == ERROR_NONE)
        XXH3_128bits_update(verification->hash, verification->bytes, size);
    return code;
}

/* Pages lie one behind the other from the header to the footer. */
static enum error_code verify_page(struct verification *verification, uint64_t end,
                                   struct error *error)
{
    uint8_t head_bytes[PAGE_HEAD_BYTES];
    struct page_head head;
    size_t size = 0;
    uint64_t at = verification->at;
    enum error_code code =
        end - at < PAGE_HEAD_BYTES
            ? error_set(error, ERROR_CORRUPT, "half a page")
            : page_source_read(verification->source, at, head_bytes, sizeof head_bytes, error);
    if (code == ERROR_NONE) {
        size = PAGE_HEAD_BYTES + (size_t)load_u32(head_bytes);
        if (size > end - at)
            code = error_set(error, ERROR_CORRUPT, "a page that reaches into the footer");
    }
    if (code == ERROR_NONE)
        code = read_to_hash(verification, at, size, error);
    if (code == ERROR_NONE)
        code = page_head_decode(verification->bytes, size, &head, error);
    if (code != ERROR_NONE)
        return error_wrap(error, "'%s' at %" PRIu64, verification->source->name, at);
    verification->at = at + size;
    return ERROR_NONE;
}

static enum error_code check_hash(struct verification *verification, struct error *error)
{
    XXH128_hash_t digest = XXH3_128bits_digest(verification->hash);
    struct hash128 hash = {digest.low64, digest.high64};
    if (hash128_equal(hash, verification->footer.summary.file_hash))
        return ERROR_NONE;
    return error_set(error, ERROR_CORRUPT, "'%s': wrong hash of the file",
                     verification->source->name);
}

static enum error_code open_content(struct verification *verification, struct error *error)
{
    struct page_source *source = verification->source;
    enum error_code code = page_cache_create(CACHE_BYTES, &verification->cache, error);
    if (code != ERROR_NONE)
        return code;
    verification->source = NULL;
    verification->phase = VERIFIES_CONTENT;
    switch (verification->footer.summary.kind) {
    case FILE_KIND_PART:
        code = part_open(verification->cache, source, &verification->part, error);
        if (code == ERROR_NONE)
            verification->summary = part_summary(verification->part);
        return code == ERROR_NONE
                   ? part_reader_create(verification->part, &verification->part_reader, error)
                   : code;
    case FILE_KIND_BLOCK:
        code = block_open(verification->cache, source, &verification->block, error);
        if (code == ERROR_NONE)
            verification->summary = block_summary(verification->block);
        return code == ERROR_NONE
                   ? block_reader_create(verification->block, &verification->block_reader, error)
                   : code;
    default:
        code = series_segment_open(verification->cache, source, &verification->segment, error);
        if (code != ERROR_NONE)
            return code;
        verification->summary = series_segment_summary(verification->segment);
        verification->arena = arena_create(0);
        return verification->arena == NULL ? error_set(error, ERROR_OUT_OF_MEMORY, "verify") : code;
    }
}

static enum error_code verify_bytes(struct verification *verification, uint64_t size_bytes,
                                    struct error *error)
{
    uint64_t end = verification->source->size_bytes - FILE_FOOTER_BYTES;
    uint64_t from = verification->at;
    enum error_code code = ERROR_NONE;
    while (code == ERROR_NONE && verification->at < end && verification->at - from < size_bytes)
        code = verify_page(verification, end, error);
    if (code != ERROR_NONE || verification->at < end)
        return code;
    code = check_hash(verification, error);
    return code == ERROR_NONE ? open_content(verification, error) : code;
}

/* --- Verifying content ------------------------------------------------------------------------ */

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

/* The next series; `is_read` when there is none. */
static enum error_code walk_part(struct verification *verification, struct error *error)
{
    struct part_reader *reader = verification->part_reader;
    struct part_entry entry;
    struct sample_columns columns = {0};
    const struct exemplar *list = NULL;
    size_t count = 0;
    bool found = false;
    enum error_code code = part_reader_next(reader, verification->next, &entry, &found, error);
    verification->is_read = code == ERROR_NONE && !found;
    if (code != ERROR_NONE || !found)
        return code;
    code = part_reader_read(reader, entry.id, INT64_MIN, INT64_MAX, &columns, error);
    if (code == ERROR_NONE)
        code = part_reader_read_exemplars(reader, entry.id, INT64_MIN, INT64_MAX, &list, &count,
                                          error);
    if (code != ERROR_NONE)
        return code;
    struct part_identity identity = part_identity(entry.id, entry.tenant, entry.slot);
    verification->next = entry.id + 1;
    return found_series(&verification->findings, part_identity_text(&identity), &columns, list,
                        count, error);
}

static enum error_code walk_block(struct verification *verification, struct error *error)
{
    struct block_reader *reader = verification->block_reader;
    struct findings *findings = &verification->findings;
    struct block_series series;
    struct sample_columns columns = {0};
    const struct exemplar *list = NULL;
    size_t count = 0;
    if (verification->next == verification->summary.series_count) {
        struct block_properties properties = block_properties(verification->block);
        verification->is_read = true;
        if (findings->sample_count > 0 && (findings->min_time_ms < properties.start_ms ||
                                           findings->max_time_ms >= properties.end_ms))
            return error_set(error, ERROR_CORRUPT, "samples outside of the window");
        return ERROR_NONE;
    }
    uint32_t position = (uint32_t)verification->next++;
    enum error_code code = block_reader_series(reader, position, &series, error);
    if (code == ERROR_NONE)
        code = block_reader_read(reader, position, INT64_MIN, INT64_MAX, &columns, error);
    if (code == ERROR_NONE)
        code = block_reader_read_exemplars(reader, position, INT64_MIN, INT64_MAX, &list, &count,
                                           error);
    if (code != ERROR_NONE)
        return code;
    struct text text = block_identity(&series, &verification->identity);
    return verification->identity.failed
               ? error_set(error, ERROR_OUT_OF_MEMORY, "verify")
               : found_series(findings, text, &columns, list, count, error);
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

static enum error_code walk_segment(struct verification *verification, struct error *error)
{
    uint64_t left = verification->summary.series_count - verification->next;
    size_t count = left < SERIES_BATCH ? (size_t)left : SERIES_BATCH;
    struct positions positions;
    verification->is_read = left == 0;
    if (left == 0)
        return ERROR_NONE;
    arena_reset(verification->arena);
    if (!positions_range(verification->arena, (uint32_t)verification->next, count, &positions))
        return error_set(error, ERROR_OUT_OF_MEMORY, "verify");
    verification->next += count;
    return walk_batch(verification->segment, positions, verification->arena,
                      &verification->findings, &verification->identity, error);
}

static enum error_code end_content(struct verification *verification, struct error *error)
{
    struct findings *findings = &verification->findings;
    enum error_code code = ERROR_NONE;
    if (verification->part != NULL)
        code = part_visit_metadata(verification->part, NULL, found_metadata, findings, error);
    else if (verification->block != NULL)
        code = block_visit_metadata(verification->block, NULL, found_metadata, findings, error);
    if (code == ERROR_NONE)
        code = compare_findings(findings, &verification->summary, error);
    if (code == ERROR_NONE)
        verification->phase = VERIFIED;
    return code;
}

/* By series, as if all were of one size. */
static uint64_t content_bytes(const struct verification *verification)
{
    uint64_t series_count = verification->summary.series_count;
    double share = verification->is_read || series_count == 0
                       ? 1
                       : (double)verification->findings.series_count / (double)series_count;
    return share >= 1 ? verification->summary.size_bytes
                      : (uint64_t)(share * (double)verification->summary.size_bytes);
}

static enum error_code verify_content(struct verification *verification, uint64_t size_bytes,
                                      struct error *error)
{
    uint64_t from = content_bytes(verification);
    enum error_code code = ERROR_NONE;
    while (code == ERROR_NONE && !verification->is_read &&
           content_bytes(verification) - from < size_bytes) {
        if (verification->part != NULL)
            code = walk_part(verification, error);
        else if (verification->block != NULL)
            code = walk_block(verification, error);
        else
            code = walk_segment(verification, error);
    }
    return code == ERROR_NONE && verification->is_read ? end_content(verification, error) : code;
}

/* --- Public ------------------------------------------------------------------------------------
 */

static enum error_code begin(struct verification *verification, struct error *error)
{
    uint8_t header[FILE_HEADER_BYTES];
    verification->findings = (struct findings){.min_time_ms = INT64_MAX, .max_time_ms = INT64_MIN};
    verification->at = FILE_HEADER_BYTES;
    verification->hash = XXH3_createState();
    if (verification->hash == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "verify");
    XXH3_128bits_reset(verification->hash);
    enum error_code code = inspect_read_footer(verification->source, &verification->footer, error);
    if (code == ERROR_NONE)
        code = page_source_read(verification->source, 0, header, sizeof header, error);
    if (code == ERROR_NONE)
        XXH3_128bits_update(verification->hash, header, sizeof header);
    return code;
}

enum error_code verification_create(struct page_source *source,
                                    struct verification **verification_out, struct error *error)
{
    struct verification *verification = calloc(1, sizeof *verification);
    if (verification == NULL) {
        page_source_close(source);
        return error_set(error, ERROR_OUT_OF_MEMORY, "verify");
    }
    verification->source = source;
    enum error_code code = begin(verification, error);
    if (code != ERROR_NONE) {
        verification_destroy(verification);
        return code;
    }
    *verification_out = verification;
    return ERROR_NONE;
}

/* Both phases are half of it. */
enum error_code verification_continue(struct verification *verification, uint64_t size_bytes,
                                      struct error *error)
{
    assert(size_bytes > 0 && verification->phase != VERIFIED);
    uint64_t phase_bytes = size_bytes > UINT64_MAX / 2 ? UINT64_MAX : size_bytes * 2;
    return verification->phase == VERIFIES_BYTES ? verify_bytes(verification, phase_bytes, error)
                                                 : verify_content(verification, phase_bytes, error);
}

bool verification_is_done(const struct verification *verification)
{
    return verification->phase == VERIFIED;
}

uint64_t verification_done_bytes(const struct verification *verification)
{
    uint64_t size_bytes = verification->footer.summary.size_bytes;
    if (verification->phase == VERIFIES_BYTES)
        return verification->at / 2;
    return verification->phase == VERIFIED ? size_bytes
                                           : size_bytes / 2 + content_bytes(verification) / 2;
}

struct file_summary verification_summary(const struct verification *verification)
{
    return verification->summary;
}

void verification_destroy(struct verification *verification)
{
    if (verification == NULL)
        return;
    part_reader_destroy(verification->part_reader);
    part_unref(verification->part);
    block_reader_destroy(verification->block_reader);
    block_unref(verification->block);
    series_segment_unref(verification->segment);
    page_source_close(verification->source);
    page_cache_destroy(verification->cache);
    content_hash_clear(&verification->findings.hash);
    byte_buffer_clear(&verification->identity);
    arena_destroy(verification->arena);
    XXH3_freeState(verification->hash);
    free(verification->bytes);
    free(verification);
}

enum error_code block_verify(struct page_source *source, struct file_summary *summary_out,
                             struct error *error)
{
    struct verification *verification;
    enum error_code code = verification_create(source, &verification, error);
    if (code != ERROR_NONE)
        return code;
    while (code == ERROR_NONE && !verification_is_done(verification))
        code = verification_continue(verification, UINT64_MAX, error);
    if (code == ERROR_NONE)
        *summary_out = verification_summary(verification);
    verification_destroy(verification);
    return code;
}
