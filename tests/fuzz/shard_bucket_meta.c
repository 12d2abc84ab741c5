/* A meta object of the bucket: what is understood is written and read alike. The checksum is made
 * good, so that what is behind it is reached. */
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "shard/bucket_meta.h"

enum { HEADER_BYTES = 21 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(const struct bucket_meta *meta)
{
    struct byte_buffer buffer = {0};
    struct bucket_meta again;
    struct error error;
    bucket_meta_encode(meta, &buffer);
    if (!buffer.failed) {
        if (bucket_meta_decode(buffer.bytes, buffer.size, &again, &error) != ERROR_NONE ||
            again.setting_count != meta->setting_count || again.spread != meta->spread ||
            memcmp(again.slots.shards, meta->slots.shards, sizeof again.slots.shards) != 0)
            abort();
        bucket_meta_clear(&again);
    }
    byte_buffer_clear(&buffer);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct bucket_meta meta;
    struct bucket_meta_key key;
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
    if (bucket_meta_decode(copy, size, &meta, &error) == ERROR_NONE) {
        char text[BUCKET_KEY_MAX];
        if (!bucket_meta_key_parse(bucket_meta_key_format(&meta.key, text), &key) ||
            key.index != meta.key.index)
            abort();
        check(&meta);
        bucket_meta_clear(&meta);
    }
    free(copy);
    return 0;
}
