/*
 * store_folder - an object store as a folder of files, from which blocks of Prometheus are read: a
 * bucket of Thanos, Mimir or Cortex, where it lies.
 */
#ifndef CLI_STORE_FOLDER_H
#define CLI_STORE_FOLDER_H

#include "base/error.h"
#include "object/object_store.h"
#include "tsdb/tsdb_folder.h"

struct store_folder;

/*
 * Names and sizes of all objects are read now: what is put later is not seen. Takes `store` over,
 * also on an error; `name`, for messages, is copied. Errors: those of the store, OUT_OF_MEMORY.
 */
enum error_code store_folder_create(struct object_store *store, const char *name,
                                    struct store_folder **folder_out, struct error *error);
void store_folder_destroy(struct store_folder *folder); /* NULL is fine */

struct tsdb_folder *store_folder_base(struct store_folder *folder);

#endif
