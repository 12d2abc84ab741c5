#include "block_sources.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/disk_uring.h"
#include "tsdb/tsdb_block.h"

#include "store_folder.h"

struct block_root {
    struct disk *disk; /* NULL: it is a store */
    struct tsdb_disk_folder folder;
    struct store_folder *store;
};

/* --- Names of a folder ------------------------------------------------------------------------ */

struct listing {
    struct arena *arena;
    const char **names; /* [count] */
    size_t count;
    size_t capacity;
    bool folders; /* what is listed */
    bool failed;
};

static bool add_name(void *context, const char *name, bool is_folder)
{
    struct listing *listing = context;
    if (is_folder != listing->folders)
        return true;
    if (listing->count == listing->capacity) {
        size_t capacity = listing->capacity == 0 ? 16 : 2 * listing->capacity;
        const char **names = arena_grow(listing->arena, listing->names, listing->capacity, capacity,
                                        sizeof(const char *));
        if (names == NULL) {
            listing->failed = true;
            return false;
        }
        listing->names = names;
        listing->capacity = capacity;
    }
    struct text copy = arena_copy_text(listing->arena, text_of(name));
    listing->names[listing->count++] = copy.data;
    listing->failed |= copy.data == NULL;
    return !listing->failed;
}

enum wanted { FILES, FOLDERS };

static enum error_code list(struct block_sources *sources, struct tsdb_folder *folder,
                            const char *path, enum wanted wanted, struct listing *listing_out,
                            struct error *error)
{
    struct listing listing = {.arena = sources->arena, .folders = wanted == FOLDERS};
    enum error_code code = tsdb_folder_list(folder, path, add_name, &listing, error);
    if (code == ERROR_NONE && listing.failed)
        code = error_set(error, ERROR_OUT_OF_MEMORY, "names of '%s'", path);
    if (code == ERROR_NONE)
        *listing_out = listing;
    return code;
}

static bool has_name(const struct listing *listing, const char *name)
{
    for (size_t i = 0; i < listing->count; i++)
        if (strcmp(listing->names[i], name) == 0)
            return true;
    return false;
}

/* --- Blocks ----------------------------------------------------------------------------------- */

static enum error_code join(struct block_sources *sources, const char *folder, const char *name,
                            const char **path_out, struct error *error)
{
    struct text path =
        arena_format(sources->arena, "%s%s%s", folder, folder[0] == '\0' ? "" : "/", name);
    if (path.data == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "a path");
    *path_out = path.data;
    return ERROR_NONE;
}

static enum error_code measure(struct block_sources *sources, struct block_source *source,
                               struct error *error)
{
    struct listing files;
    const char *chunks, *path;
    enum error_code code = join(sources, source->path, "chunks", &chunks, error);
    if (code == ERROR_NONE)
        code = list(sources, source->folder, chunks, FILES, &files, error);
    for (size_t i = 0; code == ERROR_NONE && i < files.count; i++) {
        struct tsdb_file *file;
        code = join(sources, chunks, files.names[i], &path, error);
        if (code == ERROR_NONE)
            code = tsdb_folder_open(source->folder, path, &file, error);
        if (code != ERROR_NONE)
            break;
        source->chunk_bytes += file->size_bytes;
        tsdb_folder_close(source->folder, file);
    }
    return code;
}

static struct block_source *add_source(struct block_sources *sources)
{
    if (sources->count == sources->capacity) {
        size_t capacity = sources->capacity == 0 ? 16 : 2 * sources->capacity;
        struct block_source *grown = arena_grow(sources->arena, sources->sources, sources->capacity,
                                                capacity, sizeof *grown);
        if (grown == NULL)
            return NULL;
        sources->sources = grown;
        sources->capacity = capacity;
    }
    return &sources->sources[sources->count++];
}

/* The folder holds a block. */
static enum error_code take_block(struct block_sources *sources, struct tsdb_folder *folder,
                                  const char *path, const char *tenant, const struct listing *files,
                                  struct error *error)
{
    struct block_source *source = add_source(sources);
    if (source == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "blocks");
    *source = (struct block_source){.folder = folder, .path = path, .tenant = tenant};
    enum error_code code = tsdb_block_load_meta(folder, path, sources->arena, &source->meta, error);
    if (code != ERROR_NONE)
        return code;
    if (has_name(files, "deletion-mark.json"))
        source->skipped = "it is marked for deletion";
    else if (source->meta.is_deletable)
        source->skipped = "its samples are in a larger block";
    else if (source->meta.resolution_ms > 0)
        source->skipped = "it is downsampled and holds no samples";
    return source->skipped != NULL ? ERROR_NONE : measure(sources, source, error);
}

/* Folders below `path` with the name of a block; one without meta.json is being written or
 * removed. */
static enum error_code take_blocks(struct block_sources *sources, struct tsdb_folder *folder,
                                   const char *path, const char *tenant, struct error *error)
{
    struct listing names, files;
    enum error_code code = list(sources, folder, path, FOLDERS, &names, error);
    for (size_t i = 0; code == ERROR_NONE && i < names.count; i++) {
        const char *block;
        if (!tsdb_ulid_is(names.names[i]))
            continue;
        code = join(sources, path, names.names[i], &block, error);
        if (code == ERROR_NONE)
            code = list(sources, folder, block, FILES, &files, error);
        if (code == ERROR_NONE && has_name(&files, "meta.json"))
            code = take_block(sources, folder, block, tenant, &files, error);
    }
    return code;
}

static enum error_code take_folder(struct block_sources *sources, struct tsdb_folder *folder,
                                   struct error *error)
{
    struct listing files, names;
    size_t before = sources->count;
    enum error_code code = list(sources, folder, "", FILES, &files, error);
    if (code == ERROR_NONE && has_name(&files, "meta.json"))
        return take_block(sources, folder, "", NULL, &files, error);
    if (code == ERROR_NONE)
        code = take_blocks(sources, folder, "", NULL, error);
    if (code == ERROR_NONE)
        code = list(sources, folder, "", FOLDERS, &names, error);
    for (size_t i = 0; code == ERROR_NONE && i < names.count; i++)
        if (!tsdb_ulid_is(names.names[i]))
            code = take_blocks(sources, folder, names.names[i], names.names[i], error);
    if (code == ERROR_NONE && sources->count == before)
        code = error_set(error, ERROR_NOT_FOUND, "there is no block in it");
    return code;
}

/* --- Public ----------------------------------------------------------------------------------- */

static int compare(const void *left_item, const void *right_item)
{
    const struct block_source *left = left_item, *right = right_item;
    if (left->meta.start_ms != right->meta.start_ms)
        return left->meta.start_ms < right->meta.start_ms ? -1 : 1;
    return strcmp(left->meta.ulid, right->meta.ulid);
}

static enum error_code open_folder(struct block_root *root, const char *path,
                                   struct tsdb_folder **folder_out, struct error *error)
{
    enum error_code code = disk_uring_create(path, NULL, DISK_ENGINE_BEST, &root->disk, error);
    if (code != ERROR_NONE)
        return code;
    tsdb_disk_folder_init(&root->folder, root->disk, path);
    *folder_out = &root->folder.base;
    return ERROR_NONE;
}

static enum error_code open_store_folder(struct block_root *root, const char *settings_path,
                                         block_open_store *open_store,
                                         struct tsdb_folder **folder_out, struct error *error)
{
    struct object_store *store;
    enum error_code code = open_store(settings_path, &store, error);
    if (code == ERROR_NONE)
        code = store_folder_create(store, settings_path, &root->store, error);
    if (code == ERROR_NONE)
        *folder_out = store_folder_base(root->store);
    return code;
}

enum error_code block_sources_find(const struct block_options *options,
                                   block_open_store *open_store, struct block_sources *sources,
                                   struct error *error)
{
    size_t count = options->source_count + options->store_count;
    *sources = (struct block_sources){.arena = arena_create(0)};
    sources->roots = calloc(count + 1, sizeof *sources->roots);
    if (sources->arena == NULL || sources->roots == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "blocks");
    for (size_t i = 0; i < count; i++) {
        bool is_folder = i < options->source_count;
        const char *name =
            is_folder ? options->sources[i] : options->stores[i - options->source_count];
        struct block_root *root = &sources->roots[sources->root_count++];
        struct tsdb_folder *folder = NULL;
        enum error_code code = is_folder
                                   ? open_folder(root, name, &folder, error)
                                   : open_store_folder(root, name, open_store, &folder, error);
        if (code != ERROR_NONE)
            return code;
        code = take_folder(sources, folder, error);
        if (code != ERROR_NONE)
            return error_wrap(error, "%s", name);
    }
    qsort(sources->sources, sources->count, sizeof *sources->sources, compare);
    return ERROR_NONE;
}

void block_sources_clear(struct block_sources *sources)
{
    for (size_t i = 0; i < sources->root_count; i++) {
        disk_uring_destroy(sources->roots[i].disk);
        store_folder_destroy(sources->roots[i].store);
    }
    free(sources->roots);
    arena_destroy(sources->arena);
    *sources = (struct block_sources){0};
}
