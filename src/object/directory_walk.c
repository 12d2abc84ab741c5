#include "directory_walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- Types --------------------------------------------------------------------------------- */

/* What a folder has, by the order of the keys below it. */
struct folder {
    char **names; /* [count]; those of folders end with "/" */
    size_t count;
    size_t capacity;
};

struct walker {
    const struct directory_walk *walk;
    char path[DIRECTORY_PATH_MAX + 1]; /* of the folder that is walked: "" or ending with "/" */
    size_t size;
    bool is_stopped;
    struct error *error;
};

/* --- One folder ---------------------------------------------------------------------------- */

static void folder_clear(struct folder *folder)
{
    for (size_t i = 0; i < folder->count; i++)
        free(folder->names[i]);
    free(folder->names);
}

static bool folder_add(struct folder *folder, const char *name, bool is_directory)
{
    if (folder->count == folder->capacity) {
        size_t capacity = folder->capacity == 0 ? 32 : folder->capacity * 2;
        char **names = reallocarray(folder->names, capacity, sizeof *names);
        if (names == NULL)
            return false;
        folder->names = names;
        folder->capacity = capacity;
    }
    size_t size = strlen(name);
    char *copy = malloc(size + 2);
    if (copy == NULL)
        return false;
    memcpy(copy, name, size);
    memcpy(copy + size, is_directory ? "/" : "", is_directory ? 2 : 1);
    folder->names[folder->count++] = copy;
    return true;
}

/* Bytes as unsigned: strcmp compares so. */
static int compare_names(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

static bool is_directory(int folder_descriptor, const struct dirent *entry)
{
    struct stat status;
    if (entry->d_type != DT_UNKNOWN && entry->d_type != DT_LNK)
        return entry->d_type == DT_DIR;
    return fstatat(folder_descriptor, entry->d_name, &status, 0) == 0 && S_ISDIR(status.st_mode);
}

static enum error_code folder_read(struct walker *walker, struct folder *folder)
{
    const char *path = walker->size == 0 ? "." : walker->path;
    int descriptor = openat(walker->walk->root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0 && (errno == ENOENT || errno == ENOTDIR))
        return ERROR_NONE;
    DIR *stream = descriptor < 0 ? NULL : fdopendir(descriptor);
    if (stream == NULL) {
        int reason = errno;
        if (descriptor >= 0)
            close(descriptor);
        return error_set_errno(walker->error, reason, "folder '%s'", path);
    }
    enum error_code code = ERROR_NONE;
    const struct dirent *entry;
    while (code == ERROR_NONE && (errno = 0, entry = readdir(stream)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (!folder_add(folder, entry->d_name, is_directory(descriptor, entry)))
            code = error_set(walker->error, ERROR_OUT_OF_MEMORY, "folder '%s'", path);
    }
    if (code == ERROR_NONE && errno != 0)
        code = error_set_errno(walker->error, errno, "folder '%s'", path);
    closedir(stream);
    if (code == ERROR_NONE && folder->count > 0)
        qsort(folder->names, folder->count, sizeof *folder->names, compare_names);
    return code;
}

/* --- The walk ------------------------------------------------------------------------------ */

bool unfinished_name_parse(struct text name, struct text *segment_out)
{
    if (name.size <= UNFINISHED_MARK_BYTES || name.data[0] != '~' ||
        name.data[UNFINISHED_MARK_BYTES - 1] != '~')
        return false;
    *segment_out =
        (struct text){name.data + UNFINISHED_MARK_BYTES, name.size - UNFINISHED_MARK_BYTES};
    return true;
}

/* The key of a file with this name in the folder of the walker; false when it has none. */
static bool key_of(const struct walker *walker, struct text name, char *target,
                   struct text *key_out)
{
    struct text segment = name;
    if (walker->walk->kind == DIRECTORY_WALK_UNFINISHED && !unfinished_name_parse(name, &segment))
        return false;
    if (walker->size + segment.size > OBJECT_KEY_MAX)
        return false;
    memcpy(target, walker->path, walker->size);
    memcpy(target + walker->size, segment.data, segment.size);
    *key_out = (struct text){target, walker->size + segment.size};
    return object_key_is_valid(*key_out);
}

static void visit_file(struct walker *walker, struct text name)
{
    const struct directory_walk *walk = walker->walk;
    char target[OBJECT_KEY_MAX], path[DIRECTORY_PATH_MAX + 1];
    struct text key;
    struct stat status;
    if (!key_of(walker, name, target, &key) || !text_starts_with(key, walk->prefix) ||
        (walk->start_after.size > 0 && text_compare(key, walk->start_after) <= 0))
        return;
    snprintf(path, sizeof path, "%.*s%.*s", (int)walker->size, walker->path, TEXT_ARGUMENTS(name));
    if (fstatat(walk->root, path, &status, 0) != 0 || !S_ISREG(status.st_mode))
        return;
    walker->is_stopped = !walk->visit(walk->context, path, key, &status);
}

/* Whether keys that begin with `path`, which ends with "/", may be wanted. */
static bool is_wanted(const struct directory_walk *walk, struct text path)
{
    if (!text_starts_with(path, walk->prefix) && !text_starts_with(walk->prefix, path))
        return false;
    return text_compare(path, walk->start_after) > 0 || text_starts_with(walk->start_after, path);
}

static enum error_code walk_folder(struct walker *walker)
{
    struct folder folder = {0};
    enum error_code code = folder_read(walker, &folder);
    size_t size = walker->size;
    for (size_t i = 0; i < folder.count && code == ERROR_NONE && !walker->is_stopped; i++) {
        struct text name = text_of(folder.names[i]);
        if (name.data[name.size - 1] != '/') {
            visit_file(walker, name);
            continue;
        }
        if (name.data[0] == '~' || size + name.size > OBJECT_KEY_MAX)
            continue;
        memcpy(walker->path + size, name.data, name.size + 1);
        walker->size = size + name.size;
        if (is_wanted(walker->walk, (struct text){walker->path, walker->size}))
            code = walk_folder(walker);
        walker->size = size;
        walker->path[size] = '\0';
    }
    folder_clear(&folder);
    return code;
}

enum error_code directory_walk(const struct directory_walk *walk, struct error *error)
{
    struct walker walker = {.walk = walk, .error = error};
    return walk_folder(&walker);
}
