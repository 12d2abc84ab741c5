/* A manifest: what is understood can be written again and means the same. */
#include <stdlib.h>
#include <string.h>

#include "../../src/shard/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct manifest manifest, again;
    struct byte_buffer once = {0}, twice = {0};
    struct error error;
    if (manifest_decode(bytes, size, &manifest, &error) != ERROR_NONE)
        return 0;
    manifest_encode(&manifest, &once);
    manifest_clear(&manifest);
    if (once.failed)
        return 0;
    if (manifest_decode(once.bytes, once.size, &again, &error) != ERROR_NONE)
        abort();
    manifest_encode(&again, &twice);
    manifest_clear(&again);
    if (!twice.failed &&
        (once.size != twice.size || memcmp(once.bytes, twice.bytes, once.size) != 0))
        abort();
    byte_buffer_clear(&once);
    byte_buffer_clear(&twice);
    return 0;
}
