#include "manifest.h"

#include <assert.h>
#include <stdlib.h>

#include "base/state_version.h"

static const uint8_t MAGIC[4] = {'G', 'M', 'A', 'N'};
/* Which of them is written, the state-machine version decides: what was written before it rose can
 * be read by programs that know no more. */
enum { FORMAT_UNVERSIONED = 2, FORMAT_VERSIONED = 3, FORMAT_WITH_BUCKET = 4 };

/* --- In memory ------------------------------------------------------------------------------ */

void manifest_clear(struct manifest *manifest)
{
    free(manifest->segments);
    free(manifest->parts);
    free(manifest->blocks);
    tombstones_unref(manifest->tombstones);
    id_set_unref(manifest->forgotten);
    byte_buffer_clear(&manifest->merge_body);
    free(manifest->windows);
    bucket_clear(&manifest->bucket);
    retention_cut_clear(&manifest->retention);
    retention_cut_clear(&manifest->merge_retention);
    *manifest = (struct manifest){0};
}

/* Room for one element more at the end of `*array`. */
static bool grow_by_one(void *array, size_t count, size_t element_bytes)
{
    void *old;
    memcpy(&old, array, sizeof old);
    void *grown = realloc(old, (count + 1) * element_bytes);
    if (grown == NULL)
        return false;
    memcpy(array, &grown, sizeof grown);
    return true;
}

static enum error_code no_room(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "manifest");
}

enum error_code manifest_add_part(struct manifest *manifest, const struct manifest_part *part,
                                  struct error *error)
{
    if (!grow_by_one(&manifest->parts, manifest->part_count, sizeof *part))
        return no_room(error);
    manifest->parts[manifest->part_count++] = *part;
    return ERROR_NONE;
}

enum error_code manifest_add_block(struct manifest *manifest, const struct manifest_block *block,
                                   struct error *error)
{
    if (!grow_by_one(&manifest->blocks, manifest->block_count, sizeof *block))
        return no_room(error);
    manifest->blocks[manifest->block_count++] = *block;
    return ERROR_NONE;
}

enum error_code manifest_add_segment(struct manifest *manifest, uint64_t index, struct error *error)
{
    if (!grow_by_one(&manifest->segments, manifest->segment_count, sizeof index))
        return no_room(error);
    manifest->segments[manifest->segment_count++] = index;
    return ERROR_NONE;
}

/* --- Encoding ------------------------------------------------------------------------------- */

static void encode_summary(struct byte_buffer *buffer, const struct file_summary *summary)
{
    byte_buffer_varint(buffer, summary->size_bytes);
    byte_buffer_varint(buffer, summary->series_count);
    byte_buffer_varint(buffer, summary->sample_count);
    byte_buffer_zigzag(buffer, summary->min_time_ms);
    byte_buffer_zigzag(buffer, summary->max_time_ms);
    byte_buffer_u64(buffer, summary->content_checksum.low);
    byte_buffer_u64(buffer, summary->content_checksum.high);
}

void manifest_encode_block(struct byte_buffer *buffer, const struct manifest_block *block)
{
    byte_buffer_varint(buffer, block->index);
    byte_buffer_varint(buffer, block->number);
    byte_buffer_zigzag(buffer, block->window_start_ms);
    byte_buffer_zigzag(buffer, block->window_end_ms);
    byte_buffer_zigzag(buffer, block->stamp_ms);
    encode_summary(buffer, &block->summary);
}

static void encode_windows(struct byte_buffer *buffer, const struct manifest *manifest)
{
    int64_t previous = 0;
    byte_buffer_varint(buffer, manifest->windows_base);
    byte_buffer_varint(buffer, manifest->window_count);
    for (size_t i = 0; i < manifest->window_count; i++) {
        const struct window_version *version = &manifest->windows[i];
        assert(version->index >= manifest->windows_base);
        if (i == 0)
            byte_buffer_zigzag(buffer, version->window);
        else
            byte_buffer_varint(buffer, (uint64_t)version->window - (uint64_t)previous);
        byte_buffer_varint(buffer, version->index - manifest->windows_base);
        previous = version->window;
    }
}

void manifest_encode_split(struct byte_buffer *buffer, const struct manifest_split *split)
{
    byte_buffer_varint(buffer, split->child_id);
    slot_set_encode(&split->slots, buffer);
    byte_buffer_varint(buffer, split->founder_count);
    for (size_t i = 0; i < split->founder_count; i++)
        byte_buffer_varint(buffer, split->founders[i]);
}

static void encode_ownership(struct byte_buffer *buffer, const struct manifest *manifest)
{
    slot_set_encode(&manifest->owned, buffer);
    byte_buffer_varint(buffer, manifest->split_count);
    if (manifest->split_count == 0)
        return;
    byte_buffer_varint(buffer, manifest->split.index);
    manifest_encode_split(buffer, &manifest->split);
}

static bool is_whole(const struct manifest *manifest)
{
    return manifest->split_count == 0 && slot_set_count(&manifest->owned) == SLOT_COUNT;
}

static uint8_t format_of(uint32_t state_version)
{
    if (state_version >= STATE_VERSION_BUCKET)
        return FORMAT_WITH_BUCKET;
    return state_version >= STATE_VERSION_WINDOWS ? FORMAT_VERSIONED : FORMAT_UNVERSIONED;
}

/* What came with the bucket. */
static void encode_bucket(struct byte_buffer *buffer, const struct manifest *manifest)
{
    bucket_encode(&manifest->bucket, buffer);
    retention_cut_encode(&manifest->retention, buffer);
    if (manifest->merge_index != 0)
        retention_cut_encode(&manifest->merge_retention, buffer);
}

void manifest_encode(const struct manifest *manifest, struct byte_buffer *buffer)
{
    byte_buffer_append(buffer, MAGIC, sizeof MAGIC);
    bool is_versioned = manifest->state_version >= STATE_VERSION_WINDOWS;
    byte_buffer_u8(buffer, format_of(manifest->state_version));
    if (is_versioned)
        byte_buffer_varint(buffer, manifest->state_version);
    byte_buffer_varint(buffer, manifest->frozen_index);
    byte_buffer_varint(buffer, manifest->next_id);
    byte_buffer_zigzag(buffer, manifest->retention_cutoff_ms);
    byte_buffer_varint(buffer, manifest->metadata_index);
    byte_buffer_varint(buffer, manifest->segment_count);
    for (size_t i = 0; i < manifest->segment_count; i++)
        byte_buffer_varint(buffer, manifest->segments[i]);
    id_set_encode(manifest->forgotten, buffer);
    byte_buffer_varint(buffer, manifest->part_count);
    for (size_t i = 0; i < manifest->part_count; i++) {
        byte_buffer_varint(buffer, manifest->parts[i].index);
        byte_buffer_varint(buffer, manifest->parts[i].number);
        byte_buffer_zigzag(buffer, manifest->parts[i].merged_until_ms);
        byte_buffer_zigzag(buffer, manifest->parts[i].stamp_ms);
        encode_summary(buffer, &manifest->parts[i].summary);
    }
    byte_buffer_varint(buffer, manifest->block_count);
    for (size_t i = 0; i < manifest->block_count; i++)
        manifest_encode_block(buffer, &manifest->blocks[i]);
    size_t tombstone_count = tombstones_count(manifest->tombstones);
    byte_buffer_varint(buffer, tombstone_count);
    for (size_t i = 0; i < tombstone_count; i++) {
        const struct tombstone *tombstone = tombstones_at(manifest->tombstones, i);
        byte_buffer_varint(buffer, tombstone->index);
        tombstone_encode(buffer, tombstone);
    }
    byte_buffer_varint(buffer, manifest->merge_index);
    if (manifest->merge_index != 0)
        byte_buffer_text(buffer, (struct text){(const char *)manifest->merge_body.bytes,
                                               manifest->merge_body.size});
    assert(is_versioned || is_whole(manifest));
    if (is_versioned) {
        encode_windows(buffer, manifest);
        byte_buffer_u8(buffer, is_whole(manifest));
    }
    if (!is_whole(manifest))
        encode_ownership(buffer, manifest);
    if (manifest->state_version >= STATE_VERSION_BUCKET)
        encode_bucket(buffer, manifest);
    if (manifest->state_version >= STATE_VERSION_REHEARSAL)
        byte_buffer_varint(buffer, manifest->rehearsed_count);
}

/* --- Decoding ------------------------------------------------------------------------------- */

static struct file_summary decode_summary(struct byte_reader *reader, enum file_kind kind)
{
    struct file_summary summary = {.kind = kind};
    summary.size_bytes = byte_reader_varint(reader);
    summary.series_count = byte_reader_varint(reader);
    summary.sample_count = byte_reader_varint(reader);
    summary.min_time_ms = byte_reader_zigzag(reader);
    summary.max_time_ms = byte_reader_zigzag(reader);
    summary.content_checksum.low = byte_reader_u64(reader);
    summary.content_checksum.high = byte_reader_u64(reader);
    return summary;
}

static uint32_t decode_number(struct byte_reader *reader)
{
    uint64_t number = byte_reader_varint(reader);
    if (number > UINT32_MAX)
        reader->failed = true;
    return (uint32_t)number;
}

struct manifest_block manifest_decode_block(struct byte_reader *reader)
{
    struct manifest_block block = {.index = byte_reader_varint(reader)};
    block.number = decode_number(reader);
    block.window_start_ms = byte_reader_zigzag(reader);
    block.window_end_ms = byte_reader_zigzag(reader);
    block.stamp_ms = byte_reader_zigzag(reader);
    block.summary = decode_summary(reader, FILE_KIND_BLOCK);
    return block;
}

/* A count of things of at least one byte each. */
static size_t decode_count(struct byte_reader *reader)
{
    uint64_t count = byte_reader_varint(reader);
    if (count > byte_reader_left(reader))
        reader->failed = true;
    return reader->failed ? 0 : (size_t)count;
}

static enum error_code decode_segments(struct byte_reader *reader, struct manifest *manifest,
                                       struct error *error)
{
    enum error_code code = ERROR_NONE;
    size_t count = decode_count(reader);
    for (size_t i = 0; i < count && !reader->failed && code == ERROR_NONE; i++)
        code = manifest_add_segment(manifest, byte_reader_varint(reader), error);
    if (code == ERROR_NONE && !reader->failed)
        code = id_set_decode(reader, manifest->next_id, &manifest->forgotten, error);
    return code;
}

static enum error_code decode_files(struct byte_reader *reader, struct manifest *manifest,
                                    struct error *error)
{
    enum error_code code = ERROR_NONE;
    size_t count = decode_count(reader);
    for (size_t i = 0; i < count && !reader->failed && code == ERROR_NONE; i++) {
        struct manifest_part part = {.index = byte_reader_varint(reader)};
        part.number = decode_number(reader);
        part.merged_until_ms = byte_reader_zigzag(reader);
        part.stamp_ms = byte_reader_zigzag(reader);
        part.summary = decode_summary(reader, FILE_KIND_PART);
        code = manifest_add_part(manifest, &part, error);
    }
    count = decode_count(reader);
    for (size_t i = 0; i < count && !reader->failed && code == ERROR_NONE; i++) {
        struct manifest_block block = manifest_decode_block(reader);
        code = manifest_add_block(manifest, &block, error);
    }
    return code;
}

static enum error_code decode_merge(struct byte_reader *reader, struct manifest *manifest,
                                    struct error *error)
{
    manifest->merge_index = byte_reader_varint(reader);
    if (reader->failed || manifest->merge_index == 0)
        return ERROR_NONE;
    struct text body = byte_reader_text(reader);
    byte_buffer_append(&manifest->merge_body, body.data, body.size);
    return manifest->merge_body.failed ? no_room(error) : ERROR_NONE;
}

static enum error_code decode_windows(struct byte_reader *reader, struct manifest *manifest,
                                      struct error *error)
{
    manifest->windows_base = byte_reader_varint(reader);
    size_t count = decode_count(reader);
    if (reader->failed || manifest->windows_base == 0 ||
        manifest->windows_base > manifest->frozen_index || count > WINDOWS_MAX)
        return error_set(error, ERROR_CORRUPT, "manifest: versions of windows");
    manifest->windows = calloc(count + 1, sizeof *manifest->windows);
    if (manifest->windows == NULL)
        return no_room(error);
    for (; manifest->window_count < count; manifest->window_count++) {
        struct window_version *version = &manifest->windows[manifest->window_count];
        if (manifest->window_count == 0)
            version->window = byte_reader_zigzag(reader);
        else
            version->window = (int64_t)((uint64_t)version[-1].window + byte_reader_varint(reader));
        uint64_t above = byte_reader_varint(reader);
        if (reader->failed || above > manifest->frozen_index - manifest->windows_base ||
            (manifest->window_count > 0 && version->window <= version[-1].window))
            return error_set(error, ERROR_CORRUPT, "manifest: version of window %zu",
                             manifest->window_count);
        version->index = manifest->windows_base + above;
    }
    return ERROR_NONE;
}

/* The format's, and what it says of the state machine. */
static enum error_code decode_versions(struct byte_reader *reader, uint32_t *state_version_out,
                                       struct error *error)
{
    const uint8_t *magic = byte_reader_take(reader, sizeof MAGIC);
    uint8_t format = byte_reader_u8(reader);
    if (reader->failed || memcmp(magic, MAGIC, sizeof MAGIC) != 0)
        return error_set(error, ERROR_CORRUPT, "manifest: not a manifest");
    if (format < FORMAT_UNVERSIONED || format > FORMAT_WITH_BUCKET)
        return error_set(error, ERROR_UNSUPPORTED,
                         "manifest: format %u is not known to this program: run a release that "
                         "knows it",
                         format);
    *state_version_out = STATE_VERSION_FIRST;
    if (format == FORMAT_UNVERSIONED)
        return ERROR_NONE;
    *state_version_out = decode_number(reader);
    if (!reader->failed && *state_version_out > STATE_VERSION_REHEARSAL)
        return error_set(error, ERROR_UNSUPPORTED,
                         "manifest: state-machine version %u, this program knows versions up to "
                         "%d: run a release that knows version %u",
                         *state_version_out, STATE_VERSION_MAX, *state_version_out);
    if (reader->failed || format_of(*state_version_out) != format)
        return error_set(error, ERROR_CORRUPT, "manifest: state-machine version");
    return ERROR_NONE;
}

enum error_code manifest_decode_split(struct byte_reader *reader, struct manifest_split *split_out,
                                      struct error *error)
{
    struct manifest_split split = {.child_id = decode_number(reader)};
    enum error_code code = slot_set_decode(reader, &split.slots, error);
    if (code != ERROR_NONE)
        return code;
    uint64_t count = byte_reader_varint(reader);
    if (reader->failed || count > SPLIT_FOUNDERS_MAX)
        return error_set(error, ERROR_CORRUPT, "split: the number of its founders");
    for (; split.founder_count < count; split.founder_count++) {
        uint64_t node_id = byte_reader_varint(reader);
        if (reader->failed || node_id == 0 ||
            (split.founder_count > 0 && node_id <= split.founders[split.founder_count - 1]))
            return error_set(error, ERROR_CORRUPT, "split: founder %zu", split.founder_count);
        split.founders[split.founder_count] = node_id;
    }
    if (slot_set_count(&split.slots) == 0)
        return error_set(error, ERROR_CORRUPT, "split: no slots");
    *split_out = split;
    return ERROR_NONE;
}

static enum error_code decode_ownership(struct byte_reader *reader, struct manifest *manifest,
                                        struct error *error)
{
    uint8_t whole = byte_reader_u8(reader);
    if (!reader->failed && whole == 1)
        return ERROR_NONE;
    if (whole > 1)
        return error_set(error, ERROR_CORRUPT, "manifest: whole or not");
    enum error_code code = slot_set_decode(reader, &manifest->owned, error);
    if (code != ERROR_NONE)
        return code;
    manifest->split_count = decode_number(reader);
    if (reader->failed || manifest->split_count == 0)
        return ERROR_NONE;
    uint64_t index = byte_reader_varint(reader);
    code = manifest_decode_split(reader, &manifest->split, error);
    manifest->split.index = index;
    return code;
}

static enum error_code decode_bucket(struct byte_reader *reader, struct manifest *manifest,
                                     struct error *error)
{
    enum error_code code = bucket_decode(reader, manifest->frozen_index, &manifest->bucket, error);
    if (code == ERROR_NONE)
        code = retention_cut_decode(reader, &manifest->retention, error);
    if (code == ERROR_NONE && manifest->merge_index != 0)
        code = retention_cut_decode(reader, &manifest->merge_retention, error);
    return code;
}

enum error_code manifest_decode(const uint8_t *bytes, size_t size_bytes,
                                struct manifest *manifest_out, struct error *error)
{
    struct byte_reader reader = byte_reader_over(bytes, size_bytes);
    struct manifest manifest = {.retention = RETENTION_CUT_NONE,
                                .merge_retention = RETENTION_CUT_NONE};
    enum error_code code = decode_versions(&reader, &manifest.state_version, error);
    if (code != ERROR_NONE)
        return code;
    manifest.frozen_index = byte_reader_varint(&reader);
    manifest.next_id = byte_reader_varint(&reader);
    manifest.retention_cutoff_ms = byte_reader_zigzag(&reader);
    manifest.metadata_index = byte_reader_varint(&reader);
    code = decode_segments(&reader, &manifest, error);
    if (code == ERROR_NONE && !reader.failed)
        code = decode_files(&reader, &manifest, error);
    if (code == ERROR_NONE && !reader.failed)
        code =
            tombstones_decode_indexed(&reader, decode_count(&reader), &manifest.tombstones, error);
    if (code == ERROR_NONE && !reader.failed)
        code = decode_merge(&reader, &manifest, error);
    slot_set_fill(&manifest.owned);
    if (code == ERROR_NONE && !reader.failed && manifest.state_version >= STATE_VERSION_WINDOWS)
        code = decode_windows(&reader, &manifest, error);
    if (code == ERROR_NONE && !reader.failed && manifest.state_version >= STATE_VERSION_WINDOWS)
        code = decode_ownership(&reader, &manifest, error);
    if (code == ERROR_NONE && !reader.failed && manifest.state_version >= STATE_VERSION_BUCKET)
        code = decode_bucket(&reader, &manifest, error);
    if (code == ERROR_NONE && manifest.state_version >= STATE_VERSION_REHEARSAL)
        manifest.rehearsed_count = byte_reader_varint(&reader);
    if (code == ERROR_NONE && (reader.failed || byte_reader_left(&reader) > 0))
        code = error_set(error, ERROR_CORRUPT, "manifest: cut, or stray bytes");
    if (code != ERROR_NONE) {
        manifest_clear(&manifest);
        return code;
    }
    *manifest_out = manifest;
    return ERROR_NONE;
}
