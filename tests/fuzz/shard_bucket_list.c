/* A list of the bucket: what is understood has blocks and deletions of sane sizes. The checksum is
 * made good, so that what is behind it is reached. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "shard/bucket_list.h"

enum { HEADER_BYTES = 21 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct bucket_list list;
    struct error error;
    uint8_t *copy = malloc(size + 1);
    if (copy == NULL)
        return 0;
    if (size > 0)
        memcpy(copy, bytes, size);
    if (size >= HEADER_BYTES) {
        struct hash128 hash = hash128(copy + HEADER_BYTES, size - HEADER_BYTES, HASH_SEED_STORED);
        store_u64(copy + 5, hash.low);
        store_u64(copy + 13, hash.high);
    }
    if (bucket_list_decode(copy, size, &list, &error) == ERROR_NONE) {
        char key[BUCKET_KEY_MAX];
        struct bucket_block_key back;
        for (size_t i = 0; i < list.block_count; i++)
            if (!bucket_block_key_parse(bucket_block_key_format(&list.blocks[i].key, key), &back))
                abort();
        for (size_t i = 0; i < list.deletion_count; i++)
            if (list.deletions[i].matcher_count > 0 && list.deletions[i].matchers[0] == NULL)
                abort();
        bucket_list_clear(&list);
    }
    free(copy);
    return 0;
}
