/*
 * metadata_file - type, help and unit of the metrics of a shard, as they lie on disk.
 *
 * Byte layout: docs/formats/manifest.md.
 */
#ifndef SHARD_METADATA_FILE_H
#define SHARD_METADATA_FILE_H

#include <stddef.h>

#include "base/error.h"
#include "platform/disk.h"

/* Read all of it and check it; *count_out is how many metrics it describes. Blocking. Errors:
 * CORRUPT, NOT_FOUND, IO, OUT_OF_MEMORY; they name the file. */
enum error_code metadata_file_verify(struct disk *disk, const char *path, size_t *count_out,
                                     struct error *error);

#endif
