/* A snapshot of a group. The fuzzer cannot guess checksums, so the right one is put at the end. */
#include <stdlib.h>
#include <string.h>

#include "../../cluster/group/snapshot_format.h"
#include "base/checksum.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(const uint8_t *bytes, size_t size)
{
    struct snapshot_view view;
    struct error error;
    if (snapshot_decode(bytes, size, &view, &error) != ERROR_NONE)
        return;
    struct byte_buffer buffer = {0};
    snapshot_encode_head(&view.header, &view.membership, &view.frozen_membership, &buffer);
    byte_buffer_append(&buffer, view.state, view.state_bytes);
    snapshot_encode_end(&buffer, 0);
    if (buffer.failed || buffer.size != size || memcmp(buffer.bytes, bytes, size) != 0)
        abort(); /* there is one encoding of a snapshot */
    byte_buffer_clear(&buffer);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    check(bytes, size);
    if (size < 4)
        return 0;
    uint8_t *signed_bytes = malloc(size);
    if (signed_bytes == NULL)
        return 0;
    memcpy(signed_bytes, bytes, size);
    store_u32(signed_bytes + size - 4, crc32c(0, signed_bytes, size - 4));
    check(signed_bytes, size);
    free(signed_bytes);
    return 0;
}
