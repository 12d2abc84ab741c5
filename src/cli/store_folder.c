#include "store_folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A block is read from front to back, in small pieces: more is fetched than is asked for. */
enum { AHEAD_BYTES = 4 * 1024 * 1024 };

struct entry {
    char *key;
    uint64_t size_bytes;
};

struct store_folder {
    struct tsdb_folder base;
    struct object_store *store;
    char *name;
    struct entry *entries; /* [count], by key */
    size_t count;
    size_t capacity;
    bool failed; /* memory */
};

struct store_file {
    struct tsdb_file base;
    const char *key;
    uint8_t *ahead; /* [ahead_size] from ahead_offset on */
    uint64_t ahead_offset;
    size_t ahead_size;
};

/* --- Names -------------------------------------------------------------------------------------
 */

static bool note_object(void *context, const struct object_info *object)
{
    struct store_folder *folder = context;
    if (folder->count == folder->capacity) {
        size_t capacity = folder->capacity == 0 ? 256 : 2 * folder->capacity;
        struct entry *entries = reallocarray(folder->entries, capacity, sizeof *entries);
        if (entries == NULL) {
            folder->failed = true;
            return false;
        }
        folder->entries = entries;
        folder->capacity = capacity;
    }
    char *key = strndup(object->key.data, object->key.size);
    folder->failed = key == NULL;
    if (key != NULL)
        folder->entries[folder->count++] = (struct entry){key, object->size_bytes};
    return !folder->failed;
}

/* The first entry that is not before `size` bytes of `prefix`. */
static size_t first_from(const struct store_folder *folder, const char *prefix, size_t size)
{
    size_t low = 0, high = folder->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strncmp(folder->entries[middle].key, prefix, size) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static enum error_code folder_list(struct tsdb_folder *base, const char *path,
                                   tsdb_list_visit *visit, void *context, struct error *error)
{
    struct store_folder *folder = (struct store_folder *)base;
    char prefix[TSDB_PATH_MAX + 1], name[TSDB_PATH_MAX], before[TSDB_PATH_MAX] = "";
    int written = snprintf(prefix, sizeof prefix, "%s%s", path, path[0] == '\0' ? "" : "/");
    if (written < 0 || (size_t)written >= sizeof prefix)
        return error_set(error, ERROR_NOT_FOUND, "'%s' is too long a path", path);
    size_t size = (size_t)written, at = first_from(folder, prefix, size);
    bool is_there = path[0] == '\0';
    for (; at < folder->count && strncmp(folder->entries[at].key, prefix, size) == 0; at++) {
        const char *rest = folder->entries[at].key + size;
        size_t name_size = strcspn(rest, "/");
        is_there = true;
        if (name_size == 0 || name_size >= sizeof name)
            continue;
        memcpy(name, rest, name_size);
        name[name_size] = '\0';
        bool is_folder = rest[name_size] == '/';
        if (is_folder && strcmp(name, before) == 0)
            continue;
        if (is_folder)
            memcpy(before, name, name_size + 1);
        if (!visit(context, name, is_folder))
            break;
    }
    return is_there ? ERROR_NONE
                    : error_set(error, ERROR_NOT_FOUND, "%s: no '%s'", folder->name, path);
}

/* --- Files -------------------------------------------------------------------------------------
 */

static enum error_code folder_open(struct tsdb_folder *base, const char *path,
                                   struct tsdb_file **file_out, struct error *error)
{
    struct store_folder *folder = (struct store_folder *)base;
    size_t at = first_from(folder, path, strlen(path));
    if (at == folder->count || strcmp(folder->entries[at].key, path) != 0)
        return error_set(error, ERROR_NOT_FOUND, "%s: no '%s'", folder->name, path);
    struct store_file *file = calloc(1, sizeof *file);
    if (file == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "file '%s'", path);
    file->base.size_bytes = folder->entries[at].size_bytes;
    file->key = folder->entries[at].key;
    *file_out = &file->base;
    return ERROR_NONE;
}

static void folder_close(struct tsdb_folder *base, struct tsdb_file *file_base)
{
    struct store_file *file = (struct store_file *)file_base;
    (void)base;
    free(file->ahead);
    free(file);
}

static enum error_code fetch(struct store_folder *folder, const struct store_file *file,
                             uint64_t offset_bytes, uint8_t *target, size_t size_bytes,
                             struct error *error)
{
    struct object_read read = {.key = text_of(file->key),
                               .place = OBJECT_READ_AT,
                               .offset_bytes = offset_bytes,
                               .target = target,
                               .size_bytes = size_bytes};
    if (object_store_read(folder->store, NULL, &read) != ERROR_NONE)
        *error = read.error;
    else if (read.read_bytes != size_bytes || read.object_bytes != file->base.size_bytes)
        error_set(error, ERROR_IO, "it has changed while it was read");
    else
        return ERROR_NONE;
    return error_wrap(error, "%s: '%s'", folder->name, file->key);
}

static enum error_code fill_ahead(struct store_folder *folder, struct store_file *file,
                                  uint64_t offset_bytes, struct error *error)
{
    uint64_t left = file->base.size_bytes - offset_bytes;
    size_t size = left < AHEAD_BYTES ? (size_t)left : AHEAD_BYTES;
    if (file->ahead == NULL)
        file->ahead = malloc(AHEAD_BYTES);
    if (file->ahead == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "file '%s'", file->key);
    file->ahead_size = 0;
    enum error_code code = fetch(folder, file, offset_bytes, file->ahead, size, error);
    if (code == ERROR_NONE) {
        file->ahead_offset = offset_bytes;
        file->ahead_size = size;
    }
    return code;
}

static enum error_code folder_read(struct tsdb_folder *base, struct tsdb_file *file_base,
                                   uint64_t offset_bytes, uint8_t *target, size_t size_bytes,
                                   struct error *error)
{
    struct store_folder *folder = (struct store_folder *)base;
    struct store_file *file = (struct store_file *)file_base;
    if (size_bytes == 0)
        return ERROR_NONE;
    if (size_bytes > AHEAD_BYTES)
        return fetch(folder, file, offset_bytes, target, size_bytes, error);
    bool is_near = offset_bytes >= file->ahead_offset &&
                   offset_bytes + size_bytes <= file->ahead_offset + file->ahead_size;
    if (!is_near) {
        enum error_code code = fill_ahead(folder, file, offset_bytes, error);
        if (code != ERROR_NONE)
            return code;
    }
    memcpy(target, file->ahead + (offset_bytes - file->ahead_offset), size_bytes);
    return ERROR_NONE;
}

static const struct tsdb_folder_operations OPERATIONS = {
    .open = folder_open,
    .read = folder_read,
    .close = folder_close,
    .list = folder_list,
};

/* --- Life --------------------------------------------------------------------------------------
 */

enum error_code store_folder_create(struct object_store *store, const char *name,
                                    struct store_folder **folder_out, struct error *error)
{
    struct object_range everything = {0};
    struct store_folder *folder = calloc(1, sizeof *folder);
    if (folder == NULL) {
        object_store_destroy(store);
        return error_set(error, ERROR_OUT_OF_MEMORY, "'%s'", name);
    }
    folder->store = store;
    folder->name = strdup(name);
    folder->base = (struct tsdb_folder){&OPERATIONS, folder->name};
    enum error_code code = ERROR_NONE;
    if (folder->name != NULL)
        code = object_store_list(store, NULL, &everything, note_object, folder, error);
    if (code == ERROR_NONE && (folder->name == NULL || folder->failed))
        code = error_set(error, ERROR_OUT_OF_MEMORY, "names of '%s'", name);
    if (code != ERROR_NONE) {
        store_folder_destroy(folder);
        return code;
    }
    *folder_out = folder;
    return ERROR_NONE;
}

void store_folder_destroy(struct store_folder *folder)
{
    if (folder == NULL)
        return;
    for (size_t i = 0; i < folder->count; i++)
        free(folder->entries[i].key);
    free(folder->entries);
    free(folder->name);
    object_store_destroy(folder->store);
    free(folder);
}

struct tsdb_folder *store_folder_base(struct store_folder *folder)
{
    return &folder->base;
}
