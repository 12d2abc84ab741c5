/*
 * damage - files of the shard that are damaged here. Private to shard.
 *
 * What the log says of files (the manifest) and which of them can be read here are two things. A
 * part or block that cannot be opened keeps its place in the lists with a stand-in that refuses
 * readers by name; one with a damaged page is read where it is sound. Neither is merged by this
 * leader. The reasons: docs/decisions/0017-damaged-files.md.
 */
#ifndef SHARD_DAMAGE_H
#define SHARD_DAMAGE_H

#include "merge.h"

/* Whether the error speaks of the file itself; others (memory, too many open files) say nothing
 * about it. */
bool damage_is_of_file(enum error_code code);

/* Open what a manifest names, or put a stand-in in its place and tell it in the log. Errors: those
 * that are not the file's. */
enum error_code damage_open_part(struct shard *shard, const struct manifest_part *described,
                                 struct shard_part *part_out, struct error *error);
enum error_code damage_open_block(struct shard *shard, const struct manifest_block *described,
                                  struct shard_block *block_out, struct error *error);

/* The file of metadata can't be read: the shard begins without, senders state it again. */
enum error_code damage_of_metadata(struct shard *shard, const char *path, struct error *error);

/* The log has this content of a part, held as `input` of a merge. Where there are other replicas
 * and ours is another one, a stand-in takes its place, here and there. Errors: OUT_OF_MEMORY. */
enum error_code damage_agree_on_part(struct shard *shard, struct shard_part *input,
                                     struct hash128 agreed, struct error *error);

/* The stand-in for an output that cannot be made here, as an input is damaged. Errors:
 * OUT_OF_MEMORY. */
enum error_code damage_replace_output(struct shard *shard, const struct manifest_block *described,
                                      struct shard_block *block_out, struct error *error);

/* On the worker of a merge that failed: check every file that it reads from end to end, and note in
 * the merge which are damaged; whether any is. */
bool damage_find(struct merge *merge);

/* Back on the loop: those files are not merged again, and are told in the log. */
void damage_take_over(struct shard *shard, const struct merge *merge);

/* reopening.c: now and then, look whether what could not be opened can be; cheap. */
void damage_reopen(struct shard *shard);
/* At once, or when the one that runs is over and a while later. */
void damage_reopen_soon(struct shard *shard);

/* repair.c: get a sound file in place of a damaged one from another replica, one after the other;
 * cheap. */
void repair_tend(struct shard *shard);
void repair_cancel(struct shard *shard);

/* Files that were found to be damaged, told in the log (scrub.c). */
void damage_tell(const struct shard *shard, const char *path, const struct error *reason);

/* The same of a series segment that keeps a replica from its start. */
void damage_tell_segment(const struct shard *shard, uint64_t name, const struct error *reason);

/* No parts can be merged: their series cannot be told. */
bool damage_blocks_parts(const struct shard *shard);

/* Any part is damaged: what it holds is not known. */
bool damage_has_parts(const struct shard *shard);

/* Count for the metric. */
void damage_count(struct shard *shard);

#endif
