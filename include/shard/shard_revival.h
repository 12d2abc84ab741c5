/*
 * shard_revival - a shard out of the bucket: the state from which a replica begins when nothing but
 * a list, and the objects that it names, is left (docs/decisions/0071).
 *
 * The log goes on behind the index of the list. Deletions of the list are in force; series have new
 * ids, since blocks hold none.
 */
#ifndef SHARD_SHARD_REVIVAL_H
#define SHARD_SHARD_REVIVAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "platform/disk.h"
#include "shard/bucket_list.h"

struct shard_revival {
    uint32_t shard_id;
    const struct bucket_list *list; /* its own, or, of one that was split off and has none yet, that
                                       of the shard that it came from */
    const bool *left_out;           /* [list->block_count]: not there any more; NULL: none */
    const struct slot_set *owned;
    const uint32_t *heirs; /* [heir_count], beside those of the list */
    size_t heir_count;
    bool has_metadata; /* its file is there */
    int64_t stamp_ms;  /* now */
};

/* The bytes of the state, which is of the index of the list, appended to an empty `manifest`.
 * Errors: CORRUPT (a list that no shard would write), OUT_OF_MEMORY. */
enum error_code shard_revival_encode(const struct shard_revival *revival,
                                     struct byte_buffer *manifest, struct error *error);

/* Where the shard in `directory` looks for the file of a block. */
void shard_revival_block_path(const char *directory, const struct bucket_listed *block,
                              char path[DISK_PATH_MAX]);

/* Write the metadata of metrics, which is in the object that was put with a list, to where the
 * shard in `directory` looks for that of a state of this index. *has_any_out is false, and nothing
 * is written, when it is of no metric. Errors: CORRUPT, UNSUPPORTED, NO_SPACE, IO, OUT_OF_MEMORY.
 */
enum error_code shard_revival_write_metadata(struct disk *disk, const char *directory,
                                             uint64_t index, const uint8_t *bytes,
                                             size_t size_bytes, bool *has_any_out,
                                             struct error *error);

#endif
