/*
 * backup_parts - what backups and restores have in common. Private to backup.
 */
#ifndef BACKUP_BACKUP_PARTS_H
#define BACKUP_BACKUP_PARTS_H

#include "backup/backup_point.h"

#include "block_copies.h"

/* What begins anew when a restore is broken off: the point that is being restored. */
#define BACKUP_RESTORING_KEY "restoring"

/* Whether there is such an object. Errors: those of the store. */
enum error_code backup_has_object(struct object_store *store, struct text key, bool *has_out,
                                  struct error *error);

/* Lists, metadata and the meta object of a point from store to store, byte for byte. Errors: those
 * of both stores, OUT_OF_MEMORY. */
enum error_code backup_copy_named(struct object_store *source, struct object_store *target,
                                  const struct backup_point *point, struct error *error);

/* Errors: those of the store, CORRUPT, OUT_OF_MEMORY. */
enum error_code backup_read_list(struct object_store *store, const struct bucket_list_key *key,
                                 struct bucket_list *list_out, struct error *error);

/* Of all points of the target the newest `keep` stay, and what they name. Errors: those of the
 * store; CORRUPT (a point that stays, or a list of one: nothing is removed then);
 * OUT_OF_MEMORY. */
enum error_code backup_prune(struct object_store *target, uint32_t keep,
                             struct backup_result *result, struct error *error);

#endif
