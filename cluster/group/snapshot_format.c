#include "snapshot_format.h"

#include <assert.h>

#include "base/checksum.h"

/* --- Format -------------------------------------------------------------------------------- */

enum { CHECKSUM_BYTES = 4 };
#define SNAPSHOT_MAGIC UINT32_C(0x504e5347) /* "GSNP" */
#define INDEX_MAX      (UINT64_MAX / 2)

/* --- Encoding ------------------------------------------------------------------------------ */

/* The first version is still written where nothing needs the second. */
static uint32_t version_of(const struct snapshot_header *header)
{
    return header->frozen_term > 0 ? SNAPSHOT_VERSION : 1;
}

void snapshot_encode_head(const struct snapshot_header *header, const struct membership *membership,
                          const struct membership *frozen_membership, struct byte_buffer *buffer)
{
    assert(header->membership_index <= header->index);
    assert(header->position.frozen_index <= header->position.applied_index);

    byte_buffer_u32(buffer, SNAPSHOT_MAGIC);
    byte_buffer_u32(buffer, version_of(header));
    byte_buffer_u64(buffer, header->group_id);
    byte_buffer_u64(buffer, header->index);
    byte_buffer_u64(buffer, header->term);
    byte_buffer_u64(buffer, header->membership_index);
    byte_buffer_u64(buffer, header->position.applied_index);
    byte_buffer_u64(buffer, header->position.frozen_index);
    membership_encode(membership, buffer);
    if (header->frozen_term == 0)
        return;
    assert(header->position.frozen_index < header->index);
    byte_buffer_u64(buffer, header->frozen_term);
    byte_buffer_u64(buffer, header->frozen_membership_index);
    membership_encode(frozen_membership, buffer);
}

void snapshot_encode_end(struct byte_buffer *buffer, size_t start)
{
    if (buffer->failed)
        return;
    assert(start <= buffer->size);
    byte_buffer_u32(buffer, crc32c(0, buffer->bytes + start, buffer->size - start));
}

/* --- Decoding ------------------------------------------------------------------------------ */

static enum error_code decode_frozen(struct byte_reader *reader, struct snapshot_view *view,
                                     struct error *error)
{
    struct snapshot_header *header = &view->header;
    header->frozen_term = byte_reader_u64(reader);
    header->frozen_membership_index = byte_reader_u64(reader);
    if (reader->failed || header->frozen_term == 0 || header->frozen_term > header->term ||
        header->position.frozen_index == 0 || header->position.frozen_index >= header->index ||
        header->frozen_membership_index > header->position.frozen_index ||
        header->frozen_membership_index > header->membership_index)
        return error_set(error, ERROR_CORRUPT, "snapshot: frozen position");
    enum error_code code = membership_decode(reader, &view->frozen_membership, error);
    return code == ERROR_NONE ? code : error_wrap(error, "snapshot");
}

enum error_code snapshot_decode(const uint8_t *bytes, size_t size_bytes,
                                struct snapshot_view *view_out, struct error *error)
{
    if (size_bytes < CHECKSUM_BYTES)
        return error_set(error, ERROR_CORRUPT, "snapshot: %zu bytes", size_bytes);
    size_t covered_bytes = size_bytes - CHECKSUM_BYTES;
    struct byte_reader reader = byte_reader_over(bytes, covered_bytes);
    if (byte_reader_u32(&reader) != SNAPSHOT_MAGIC)
        return error_set(error, ERROR_CORRUPT, "snapshot: not one");
    uint32_t version = byte_reader_u32(&reader);
    if (!reader.failed && (version == 0 || version > SNAPSHOT_VERSION))
        return error_set(error, ERROR_UNSUPPORTED, "snapshot: version %u", version);
    if (crc32c(0, bytes, covered_bytes) != load_u32(bytes + covered_bytes))
        return error_set(error, ERROR_CORRUPT, "snapshot: checksum");

    struct snapshot_view view = {0};
    struct snapshot_header *header = &view.header;
    header->group_id = byte_reader_u64(&reader);
    header->index = byte_reader_u64(&reader);
    header->term = byte_reader_u64(&reader);
    header->membership_index = byte_reader_u64(&reader);
    header->position.applied_index = byte_reader_u64(&reader);
    header->position.frozen_index = byte_reader_u64(&reader);
    /* A good checksum does not prove a sane writer. */
    if (reader.failed || header->group_id == 0 || header->index == 0 || header->index > INDEX_MAX ||
        header->term == 0 || header->membership_index > header->index ||
        header->position.applied_index > INDEX_MAX ||
        header->position.frozen_index > header->position.applied_index)
        return error_set(error, ERROR_CORRUPT, "snapshot: positions");
    enum error_code code = membership_decode(&reader, &view.membership, error);
    if (code != ERROR_NONE)
        return error_wrap(error, "snapshot");
    if (version > 1 && (code = decode_frozen(&reader, &view, error)) != ERROR_NONE)
        return code;

    view.state = reader.position;
    view.state_bytes = byte_reader_left(&reader);
    *view_out = view;
    return ERROR_NONE;
}
