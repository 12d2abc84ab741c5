#include "base/hash_stream.h"

#include <stdlib.h>

#include <xxhash.h>

struct hash_stream {
    XXH3_state_t *state; /* it wants to be aligned as its own allocator does */
};

struct hash_stream *hash_stream_create(void)
{
    struct hash_stream *stream = malloc(sizeof *stream);
    if (stream == NULL)
        return NULL;
    stream->state = XXH3_createState();
    if (stream->state == NULL) {
        free(stream);
        return NULL;
    }
    XXH3_128bits_reset_withSeed(stream->state, HASH_SEED_STORED);
    return stream;
}

void hash_stream_destroy(struct hash_stream *stream)
{
    if (stream == NULL)
        return;
    XXH3_freeState(stream->state);
    free(stream);
}

void hash_stream_add(struct hash_stream *stream, const void *bytes, size_t size)
{
    XXH3_128bits_update(stream->state, bytes, size);
}

struct hash128 hash_stream_result(const struct hash_stream *stream)
{
    XXH128_hash_t digest = XXH3_128bits_digest(stream->state);
    return (struct hash128){.low = digest.low64, .high = digest.high64};
}
