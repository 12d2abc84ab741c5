#include "transfer_format.h"

#include <assert.h>

#include "base/bytes.h"

enum { FLAG_AGREED = 1, FLAG_KNOWN = 2, FLAGS = FLAG_AGREED | FLAG_KNOWN };

#define FILE_BYTES_MAX (UINT64_MAX / 2)

/* --- Request ---------------------------------------------------------------------------------- */

void range_request_encode(const struct range_request *request, uint8_t bytes[RANGE_REQUEST_BYTES])
{
    const struct shard_file *file = &request->file;
    assert(request->size_bytes > 0 && request->size_bytes <= RANGE_BYTES_MAX);
    memset(bytes, 0, RANGE_REQUEST_BYTES);
    bytes[0] = TRANSFER_VERSION;
    bytes[1] = (uint8_t)file->kind;
    bytes[2] =
        (uint8_t)((file->is_agreed ? FLAG_AGREED : 0) | (request->is_known ? FLAG_KNOWN : 0));
    store_u32(bytes + 4, file->number);
    store_u64(bytes + 8, request->group_id);
    store_u64(bytes + 16, file->index);
    if (file->is_agreed) {
        store_u64(bytes + 24, file->content_checksum.low);
        store_u64(bytes + 32, file->content_checksum.high);
    }
    if (request->is_known) {
        store_u64(bytes + 40, request->known.size_bytes);
        store_u64(bytes + 48, request->known.hash.low);
        store_u64(bytes + 56, request->known.hash.high);
    }
    store_u64(bytes + 64, request->offset_bytes);
    store_u32(bytes + 72, request->size_bytes);
}

static bool is_sane(const struct range_request *request)
{
    if (request->file.kind < SHARD_FILE_PART || request->file.kind > SHARD_FILE_STATE ||
        request->group_id == 0 || request->size_bytes == 0 ||
        request->size_bytes > RANGE_BYTES_MAX || request->offset_bytes > FILE_BYTES_MAX)
        return false;
    return !request->is_known || (request->known.size_bytes > request->offset_bytes &&
                                  request->known.size_bytes <= FILE_BYTES_MAX);
}

enum error_code range_request_decode(const uint8_t *bytes, size_t size,
                                     struct range_request *request_out, struct error *error)
{
    if (size < 1)
        return error_set(error, ERROR_CORRUPT, "range of a file: no bytes");
    if (bytes[0] != TRANSFER_VERSION)
        return error_set(error, ERROR_UNSUPPORTED, "range of a file: version %u", bytes[0]);
    if (size != RANGE_REQUEST_BYTES || (bytes[2] & ~FLAGS) != 0 || bytes[3] != 0 ||
        load_u32(bytes + 76) != 0)
        return error_set(error, ERROR_CORRUPT, "range of a file: %zu bytes", size);
    struct range_request request = {
        .group_id = load_u64(bytes + 8),
        .file =
            {
                .kind = (enum shard_file_kind)bytes[1],
                .index = load_u64(bytes + 16),
                .number = load_u32(bytes + 4),
                .is_agreed = (bytes[2] & FLAG_AGREED) != 0,
                .content_checksum = {load_u64(bytes + 24), load_u64(bytes + 32)},
            },
        .is_known = (bytes[2] & FLAG_KNOWN) != 0,
        .known = {load_u64(bytes + 40), {load_u64(bytes + 48), load_u64(bytes + 56)}},
        .offset_bytes = load_u64(bytes + 64),
        .size_bytes = load_u32(bytes + 72),
    };
    if (!is_sane(&request))
        return error_set(error, ERROR_CORRUPT, "range of a file: out of range");
    *request_out = request;
    return ERROR_NONE;
}

/* --- Answer ----------------------------------------------------------------------------------- */

void range_head_encode(const struct file_identity *file, uint8_t bytes[RANGE_HEAD_BYTES])
{
    memset(bytes, 0, RANGE_HEAD_BYTES);
    bytes[0] = TRANSFER_VERSION;
    store_u64(bytes + 8, file->size_bytes);
    store_u64(bytes + 16, file->hash.low);
    store_u64(bytes + 24, file->hash.high);
}

enum error_code range_head_decode(const uint8_t bytes[RANGE_HEAD_BYTES],
                                  struct file_identity *file_out, struct error *error)
{
    if (bytes[0] != TRANSFER_VERSION)
        return error_set(error, ERROR_UNSUPPORTED, "answer with a file: version %u", bytes[0]);
    uint64_t size_bytes = load_u64(bytes + 8);
    if (size_bytes == 0 || size_bytes > FILE_BYTES_MAX)
        return error_set(error, ERROR_CORRUPT, "answer with a file: size");
    *file_out = (struct file_identity){size_bytes, {load_u64(bytes + 16), load_u64(bytes + 24)}};
    return ERROR_NONE;
}
