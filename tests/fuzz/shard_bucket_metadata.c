/* Metadata of metrics in the bucket: what is understood is written and read alike. The checksum is
 * made good, so that what is behind it is reached. */
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "bucket_metadata.h"

enum { HEADER_BYTES = 21, METRICS_MAX = 10000 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(struct metadata_store *store)
{
    struct byte_buffer buffer = {0}, again = {0};
    struct error error;
    struct metadata_store *other = metadata_store_create(METRICS_MAX);
    bucket_metadata_encode(store, &buffer);
    if (other != NULL && !buffer.failed) {
        if (bucket_metadata_decode(buffer.bytes, buffer.size, other, &error) != ERROR_NONE)
            abort();
        bucket_metadata_encode(other, &again);
        if (!again.failed &&
            (again.size != buffer.size || memcmp(again.bytes, buffer.bytes, buffer.size) != 0))
            abort();
    }
    metadata_store_destroy(other);
    byte_buffer_clear(&buffer);
    byte_buffer_clear(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct error error;
    uint8_t *copy = malloc(size + 1);
    struct metadata_store *store = metadata_store_create(METRICS_MAX);
    if (copy != NULL && store != NULL) {
        if (size > 0)
            memcpy(copy, bytes, size);
        if (size >= HEADER_BYTES) {
            struct hash128 hash =
                hash128(copy + HEADER_BYTES, size - HEADER_BYTES, HASH_SEED_STORED);
            store_u64(copy + 5, hash.low);
            store_u64(copy + 13, hash.high);
        }
        if (bucket_metadata_decode(copy, size, store, &error) == ERROR_NONE)
            check(store);
    }
    metadata_store_destroy(store);
    free(copy);
    return 0;
}
