/*
 * directory_walk - the files of a directory store in byte order of their keys.
 *
 * Beside objects there are unfinished files, "~" + 16 hexadecimal digits + "~" + the last segment
 * of the key, in the folder where the object will be.
 */
#ifndef OBJECT_DIRECTORY_WALK_H
#define OBJECT_DIRECTORY_WALK_H

#include <stdbool.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/text.h"
#include "object/object_store.h"

enum {
    UNFINISHED_MARK_BYTES = 18,
    DIRECTORY_PATH_MAX = OBJECT_KEY_MAX + UNFINISHED_MARK_BYTES + 2
};

enum directory_walk_kind { DIRECTORY_WALK_OBJECTS, DIRECTORY_WALK_UNFINISHED };

struct directory_walk {
    int root; /* open folder */
    enum directory_walk_kind kind;
    struct text prefix; /* of keys */
    struct text start_after;
    /* `path` is where the file is, `key` what it is or will be; false stops. */
    bool (*visit)(void *context, const char *path, struct text key, const struct stat *status);
    void *context;
};

/* Folders and files that vanish meanwhile are passed over. Errors: IO, LIMIT, OUT_OF_MEMORY. */
enum error_code directory_walk(const struct directory_walk *walk, struct error *error);

/* The last segment of the key that an unfinished file is for; false: no such file. */
bool unfinished_name_parse(struct text name, struct text *segment_out);

#endif
