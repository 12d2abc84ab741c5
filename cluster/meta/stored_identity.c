#include "base/checksum.h"
#include "message.h"

static const uint8_t MAGIC[4] = {'G', 'N', 'I', 'D'};
enum { FORMAT = 1, CHECKSUM_BYTES = 4 };

void stored_identity_encode(const struct stored_identity *stored, struct byte_buffer *buffer)
{
    size_t start = buffer->size;
    byte_buffer_append(buffer, MAGIC, sizeof MAGIC);
    byte_buffer_u8(buffer, FORMAT);
    byte_buffer_append(buffer, stored->cluster_id, CLUSTER_ID_BYTES);
    byte_buffer_varint(buffer, stored->node_id);
    byte_buffer_text(buffer, text_of(stored->identity.name));
    byte_buffer_append(buffer, stored->identity.directory_id, CLUSTER_DIRECTORY_ID_BYTES);
    byte_buffer_varint(buffer, stored->founding.size);
    byte_buffer_append(buffer, stored->founding.data, stored->founding.size);
    if (!buffer->failed)
        byte_buffer_u32(buffer, crc32c(0, buffer->bytes + start, buffer->size - start));
}

void meta_founder_encode(const struct meta_founder *founder, struct byte_buffer *buffer)
{
    struct stored_identity stored = {
        .node_id = 1,
        .identity = founder->identity,
        .founding = {founder->founding, founder->founding_bytes},
    };
    memcpy(stored.cluster_id, founder->cluster_id, CLUSTER_ID_BYTES);
    stored_identity_encode(&stored, buffer);
}

static bool read_body(struct byte_reader *reader, struct stored_identity *stored)
{
    static const uint8_t NONE[CLUSTER_ID_BYTES];
    const uint8_t *id = byte_reader_take(reader, CLUSTER_ID_BYTES);
    stored->node_id = byte_reader_varint(reader);
    struct text name = byte_reader_text(reader);
    const uint8_t *directory_id = byte_reader_take(reader, CLUSTER_DIRECTORY_ID_BYTES);
    struct text founding = byte_reader_text(reader);
    if (reader->failed || byte_reader_left(reader) > 0 || stored->node_id == 0 || name.size == 0 ||
        name.size > CLUSTER_NAME_BYTES_MAX || memchr(name.data, 0, name.size) != NULL ||
        memcmp(id, NONE, sizeof NONE) == 0)
        return false;
    memcpy(stored->cluster_id, id, CLUSTER_ID_BYTES);
    memcpy(stored->identity.name, name.data, name.size);
    memcpy(stored->identity.directory_id, directory_id, CLUSTER_DIRECTORY_ID_BYTES);
    stored->founding = (struct bytes){(const uint8_t *)founding.data, founding.size};
    return true;
}

enum error_code stored_identity_decode(const uint8_t *bytes, size_t size_bytes,
                                       struct stored_identity *stored_out, struct error *error)
{
    if (size_bytes < sizeof MAGIC + 1 + CHECKSUM_BYTES || memcmp(bytes, MAGIC, sizeof MAGIC) != 0)
        return error_set(error, ERROR_CORRUPT, "identity: not one");
    size_t body_bytes = size_bytes - CHECKSUM_BYTES;
    if (crc32c(0, bytes, body_bytes) != load_u32(bytes + body_bytes))
        return error_set(error, ERROR_CORRUPT, "identity: checksum");
    struct byte_reader reader = byte_reader_over(bytes + sizeof MAGIC, body_bytes - sizeof MAGIC);
    uint8_t format = byte_reader_u8(&reader);
    if (format != FORMAT)
        return error_set(error, ERROR_UNSUPPORTED, "identity: format %u", format);
    struct stored_identity stored = {0};
    if (!read_body(&reader, &stored))
        return error_set(error, ERROR_CORRUPT, "identity: cut, or out of range");
    *stored_out = stored;
    return ERROR_NONE;
}
