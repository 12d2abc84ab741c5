/*
 * bucket_download - a block of the bucket as bytes of a file.
 */
#ifndef SHARD_BUCKET_DOWNLOAD_H
#define SHARD_BUCKET_DOWNLOAD_H

#include <stdint.h>

#include "base/error.h"
#include "object/object_store.h"
#include "platform/file_writer.h"
#include "shard/bucket_list.h"

/*
 * Append the object to the writer, and compare its hash with that in its name. Blocking; some MiB
 * at a time. The writer is the caller's, also after an error.
 *
 * Errors: those of the store; CORRUPT (the object is not what its name and size say); those of the
 * writer; OUT_OF_MEMORY.
 */
enum error_code bucket_download_block(struct object_store *store, const struct object_call *call,
                                      const struct bucket_block_key *key, uint64_t size_bytes,
                                      struct file_writer *writer, struct error *error);

#endif
