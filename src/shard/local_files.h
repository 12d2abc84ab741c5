/*
 * local_files - which files of blocks are on the disk here, and which are in the bucket only.
 * Private to shard.
 *
 *   here --> uploaded, listed, older than the local retention, and seen in the store --> dropped:
 *            read from the bucket
 *        --> damaged or missing, and uploaded --> read from the bucket; fetched if it is recent
 *
 * An inventory of each replica, not of the log: nobody else learns of it. At a start it follows
 * from the folder: a block that the log has in the bucket and that has no file is absent. To open
 * such a block asks the store for nothing; who needs it first does (block/deferred_block.h).
 */
#ifndef SHARD_LOCAL_FILES_H
#define SHARD_LOCAL_FILES_H

#include "shard_private.h"

struct object_call;

/* Where the bucket has the block, if this node can read it there; size 0: nowhere. */
struct bucket_address local_address_of(const struct shard *shard,
                                       const struct manifest_block *described);

/* Have the block read from the bucket. Errors: OUT_OF_MEMORY, INVALID. */
enum error_code local_open_object(struct shard *shard, struct page_cache *cache,
                                  const struct manifest_block *described,
                                  const struct bucket_address *address, struct block **block_out,
                                  struct error *error);

/* The block from wherever it is, through another cache. Any thread. Errors: as shard_open_block,
 * and those of bucket_source.h. */
enum error_code local_open_through(struct shard *shard, struct page_cache *cache,
                                   const struct shard_block *block, struct block **block_out,
                                   struct error *error);

/* A block whose file cannot be read is read from the bucket instead. False: it is not there, and
 * nothing is changed. */
bool local_replace_damaged(struct shard *shard, struct shard_block *block);

/* The same for all that are marked as damaged. */
void local_replace_all_damaged(struct shard *shard);

/* Whether it may have series of slots that are another shard's. */
bool local_is_unsplit(const struct shard *shard, const struct shard_block *block);

/* Whether the file of the block is to be here, by the settings and the time now. */
bool local_is_recent(struct shard *shard, const struct manifest_block *described);

/* Drop what is not to be here any more, and have fetched what is missing. Cheap. */
void local_files_tend(struct shard *shard);

/* The shard closes: what is under way ends soon. */
void local_files_cancel(struct shard *shard);

/* A merge could not read an object: blocks that are absent are left out of merges for a while. */
void local_merge_failed(struct shard *shard);
bool local_may_merge(const struct shard *shard, const struct shard_block *block);

/* local_return.c: the object becomes the file `path`, verified and durable but for the name in its
 * folder; `unfinished` bears it on the way. Blocks; any thread. Errors: those of
 * object/object_store.h and of the disk, CORRUPT. */
enum error_code local_download(struct shard *shard, const struct object_call *call,
                               const struct manifest_block *described,
                               const struct bucket_address *address, const char *unfinished,
                               const char *path, struct error *error);

/* local_return.c: fetch a block that is wanted here, unless one is on its way. */
void local_return_tend(struct shard *shard);

#endif
