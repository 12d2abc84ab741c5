/* The state of a cluster has one encoding. The fuzzer cannot guess checksums, so the right one is
 * put at the end. */
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "membership/cluster_state.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(const uint8_t *bytes, size_t size)
{
    struct cluster_state *state, *again;
    struct byte_buffer once = {0}, twice = {0};
    struct error error;
    if (cluster_state_decode(bytes, size, CLUSTER_VERSION_MAX, &state, &error) != ERROR_NONE)
        return;
    cluster_state_encode(state, &once);
    cluster_state_destroy(state);
    if (once.failed)
        abort();
    if (cluster_state_decode(once.bytes, once.size, CLUSTER_VERSION_MAX, &again, &error) !=
        ERROR_NONE)
        abort();
    cluster_state_encode(again, &twice);
    cluster_state_destroy(again);
    if (once.size > size || once.size != twice.size ||
        memcmp(once.bytes, twice.bytes, once.size) != 0)
        abort(); /* integers may have been written longer than needed, nothing else */
    byte_buffer_clear(&once);
    byte_buffer_clear(&twice);
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
