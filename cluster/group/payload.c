#include "payload.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "base/bytes.h"
#include "group/group.h"

enum { SIZE_BYTES = 8 };

static size_t frame_bytes(size_t payload_bytes)
{
    return SIZE_BYTES + ((payload_bytes + 7) & ~(size_t)7);
}

uint8_t *group_payload_create(size_t size_bytes)
{
    if (size_bytes == 0 || size_bytes > GROUP_PAYLOAD_BYTES_MAX)
        return NULL;
    size_t frame = frame_bytes(size_bytes);
    struct consensus_batch *batch = consensus_batch_create(frame);
    if (batch == NULL)
        return NULL;
    store_u64(batch->bytes, size_bytes);
    memset(batch->bytes + frame - 8, 0, 8); /* the padding, and maybe bytes that the caller fills */
    return batch->bytes + SIZE_BYTES;
}

static struct consensus_batch *batch_of(uint8_t *payload)
{
    return (struct consensus_batch *)(payload - SIZE_BYTES -
                                      offsetof(struct consensus_batch, bytes));
}

void group_payload_destroy(uint8_t *payload)
{
    if (payload != NULL)
        consensus_batch_unref(batch_of(payload));
}

struct consensus_batch *payload_batch(uint8_t *payload, size_t *size_bytes_out)
{
    struct consensus_batch *batch = batch_of(payload);
    uint64_t size_bytes = load_u64(batch->bytes);
    assert(size_bytes > 0 && size_bytes <= GROUP_PAYLOAD_BYTES_MAX);
    *size_bytes_out = frame_bytes(size_bytes);
    return batch;
}

enum error_code payload_from_bytes(const uint8_t *bytes, size_t size_bytes,
                                   struct group_entry *entry, struct error *error)
{
    uint64_t payload_bytes = size_bytes < SIZE_BYTES ? 0 : load_u64(bytes);
    if (payload_bytes == 0 || payload_bytes > GROUP_PAYLOAD_BYTES_MAX ||
        frame_bytes(payload_bytes) != size_bytes)
        return error_set(error, ERROR_CORRUPT, "entry of %zu bytes has no payload", size_bytes);
    entry->payload = bytes + SIZE_BYTES;
    entry->size_bytes = payload_bytes;
    return ERROR_NONE;
}
