/*
 * bucket_download - a block of the bucket as a file.
 */
#ifndef SHARD_BUCKET_DOWNLOAD_H
#define SHARD_BUCKET_DOWNLOAD_H

#include <stdint.h>

#include "base/error.h"
#include "object/object_store.h"
#include "platform/disk.h"
#include "shard/bucket_list.h"

/*
 * The object, of this size, becomes the file `path`, which is replaced; its hash is compared with
 * that in its name. The file is whole and durable, or not there. Blocking; some MiB at a time.
 *
 * Errors: those of the store; CORRUPT (the object is not what its name and size say); NO_SPACE, IO,
 * OUT_OF_MEMORY.
 */
enum error_code bucket_download_block(struct object_store *store, const struct object_call *call,
                                      const struct bucket_block_key *key, uint64_t size_bytes,
                                      struct disk *disk, const char *path, struct error *error);

#endif
