/* hash_stream - the 128-bit hash of bytes that come piece by piece: as hash128 of all of them with
 * HASH_SEED_STORED. Not thread-safe. */
#ifndef BASE_HASH_STREAM_H
#define BASE_HASH_STREAM_H

#include "base/checksum.h"

struct hash_stream;

/* NULL: memory is out. */
struct hash_stream *hash_stream_create(void);
void hash_stream_destroy(struct hash_stream *stream); /* NULL is fine */

void hash_stream_add(struct hash_stream *stream, const void *bytes, size_t size);

/* Of what was added so far. */
struct hash128 hash_stream_result(const struct hash_stream *stream);

#endif
