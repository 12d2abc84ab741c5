#include "simulated_disk_private.h"
#include "simulated_memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* --- Types ----------------------------------------------------------------------------------- */

struct simulated_file {
    struct simulated_node *node;
};

/* A request on its way; its memory is its own because the request may be reused after `done`. */
struct flight {
    struct simulated_disk *disk;
    struct disk_write *write;
    struct disk_read *read;
    size_t applied_bytes;
};

static struct simulated_disk *disk_of(struct disk *self)
{
    return (struct simulated_disk *)self;
}

static struct simulated_node *node_of(struct file *file)
{
    return ((struct simulated_file *)file)->node;
}

/* --- Faults ---------------------------------------------------------------------------------- */

static enum error_code operation_begin(struct simulated_disk *disk, const char *what,
                                       struct error *error)
{
    struct simulated_disk_settings *settings = &disk->settings;
    disk->operations++;
    if (settings->crash_at_operation != 0 && disk->operations >= settings->crash_at_operation &&
        (!settings->crash_at_sync || strcmp(what, "sync") == 0) && !disk->crashed) {
        settings->crash_at_operation = 0;
        disk->counts.crashes_in_operation++;
        simulated_disk_crash(disk, disk->settings.crash);
    }
    if (disk->crashed)
        return error_set(error, ERROR_IO, "%s: the machine crashed", what);
    bool chosen = disk->operations == disk->settings.fail_at_operation;
    if (disk->settings.failure_per_million > 0 &&
        random_below(&disk->random.base, 1000000) < disk->settings.failure_per_million)
        chosen = true;
    if (!chosen)
        return ERROR_NONE;
    disk->counts.failed_operations++;
    return error_set(error, ERROR_IO, "%s: injected failure", what);
}

/* --- Names ----------------------------------------------------------------------------------- */

struct simulated_name *simulated_name_find(struct simulated_name *names, size_t count,
                                           const char *path)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i].path, path) == 0)
            return &names[i];
    return NULL;
}

void simulated_name_set(struct simulated_name **names, size_t *count, size_t *capacity,
                        const char *path, struct simulated_node *node)
{
    struct simulated_name *name = simulated_name_find(*names, *count, path);
    if (node == NULL) {
        if (name != NULL)
            *name = (*names)[--*count];
        return;
    }
    if (name == NULL) {
        if (*count == *capacity) {
            *capacity = *capacity * 2 + 16;
            *names = simulated_grow(*names, *count * sizeof **names, *capacity * sizeof **names);
        }
        name = &(*names)[(*count)++];
        memcpy(name->path, path, strlen(path) + 1);
    }
    name->node = node;
}

struct simulated_node *simulated_node_find(struct simulated_disk *disk, const char *path)
{
    struct simulated_name *name = simulated_name_find(disk->names, disk->name_count, path);
    return name == NULL ? NULL : name->node;
}

static void parent_of(const char *path, char *parent)
{
    const char *slash = strrchr(path, '/');
    size_t size = slash == NULL ? 0 : (size_t)(slash - path);
    memcpy(parent, path, size);
    parent[size] = '\0';
}

static void change_apply_durable(struct simulated_disk *disk, const struct simulated_change *change)
{
    if (change->from[0] != '\0')
        simulated_name_set(&disk->durable_names, &disk->durable_count, &disk->durable_capacity,
                           change->from, NULL);
    simulated_name_set(&disk->durable_names, &disk->durable_count, &disk->durable_capacity,
                       change->path, change->node);
}

static void change_add(struct simulated_disk *disk, const char *path, const char *from,
                       struct simulated_node *node)
{
    struct simulated_change *change = simulated_allocate(sizeof *change);
    parent_of(path, change->directory);
    memcpy(change->path, path, strlen(path) + 1);
    memcpy(change->from, from, strlen(from) + 1);
    change->node = node;
    if (disk->last_change == NULL)
        disk->first_change = change;
    else
        disk->last_change->next = change;
    disk->last_change = change;
    if (from[0] != '\0')
        simulated_name_set(&disk->names, &disk->name_count, &disk->name_capacity, from, NULL);
    simulated_name_set(&disk->names, &disk->name_count, &disk->name_capacity, path, node);
}

/* Take every change out of the list that `directory` (NULL: any) covers; make it durable as long
 * as `keep` says so, which a crash decides anew for each directory. */
void simulated_changes_settle(struct simulated_disk *disk, const char *directory,
                              bool (*keep)(struct simulated_disk *, const char *directory))
{
    struct simulated_change **link = &disk->first_change;
    disk->last_change = NULL;
    while (*link != NULL) {
        struct simulated_change *change = *link;
        if (directory != NULL && strcmp(directory, change->directory) != 0) {
            disk->last_change = change;
            link = &change->next;
            continue;
        }
        *link = change->next;
        if (keep(disk, change->directory))
            change_apply_durable(disk, change);
        else
            disk->counts.lost_names++;
        free(change);
    }
}

static bool keep_always(struct simulated_disk *disk, const char *directory)
{
    (void)disk;
    (void)directory;
    return true;
}

/* --- Files ----------------------------------------------------------------------------------- */

size_t simulated_sector_count(uint64_t size)
{
    return (size_t)((size + SIMULATED_SECTOR_BYTES - 1) / SIMULATED_SECTOR_BYTES);
}

static struct simulated_node *node_create(struct simulated_disk *disk)
{
    struct simulated_node *node = simulated_allocate(sizeof *node);
    node->number = ++disk->last_file;
    node->next = disk->nodes;
    disk->nodes = node;
    return node;
}

void simulated_node_free(struct simulated_node *node)
{
    free(node->seen);
    free(node->durable);
    free(node->dirty);
    free(node);
}

uint64_t simulated_disk_used_bytes(const struct simulated_disk *disk)
{
    uint64_t used = 0;
    for (size_t i = 0; i < disk->name_count; i++)
        used += disk->names[i].node->size;
    return used;
}

static enum error_code node_grow(struct simulated_disk *disk, struct simulated_node *node,
                                 uint64_t size, struct error *error)
{
    if (size <= node->size)
        return ERROR_NONE;
    if (simulated_disk_used_bytes(disk) + (size - node->size) > disk->settings.capacity_bytes) {
        disk->counts.no_space++;
        return error_set(error, ERROR_NO_SPACE, "the simulated disk is full");
    }
    if (size > node->capacity) {
        uint64_t capacity = size > node->capacity * 2 ? size : node->capacity * 2;
        node->seen = simulated_grow(node->seen, node->capacity, capacity);
        node->durable = simulated_grow(node->durable, node->capacity, capacity);
        node->dirty = simulated_grow(node->dirty, simulated_sector_count(node->capacity),
                                     simulated_sector_count(capacity));
        memset(node->seen + node->capacity, 0, capacity - node->capacity);
        memset(node->durable + node->capacity, 0, capacity - node->capacity);
        memset(node->dirty + simulated_sector_count(node->capacity), 0,
               simulated_sector_count(capacity) - simulated_sector_count(node->capacity));
        node->capacity = capacity;
    }
    node->size = size;
    return ERROR_NONE;
}

static void node_cut(struct simulated_node *node, uint64_t size)
{
    if (node->size > size)
        memset(node->seen + size, 0, node->size - size);
    for (size_t i = size / SIMULATED_SECTOR_BYTES; i < simulated_sector_count(node->size); i++)
        node->dirty[i] = 1;
    node->size = size;
}

static void node_write(struct simulated_node *node, uint64_t offset, const uint8_t *bytes,
                       size_t size)
{
    if (size == 0)
        return;
    memcpy(node->seen + offset, bytes, size);
    memset(node->dirty + offset / SIMULATED_SECTOR_BYTES, 1,
           simulated_sector_count(offset + size) - offset / SIMULATED_SECTOR_BYTES);
}

static void node_sync_range(struct simulated_disk *disk, struct simulated_node *node,
                            uint64_t offset, uint64_t size)
{
    if (disk->settings.ignore_sync)
        return;
    node->durable_size = node->size;
    for (size_t i = offset / SIMULATED_SECTOR_BYTES; i < simulated_sector_count(offset + size);
         i++) {
        if (!node->dirty[i])
            continue;
        uint64_t start = (uint64_t)i * SIMULATED_SECTOR_BYTES;
        uint64_t end = start + SIMULATED_SECTOR_BYTES;
        if (end > node->capacity)
            end = node->capacity;
        memcpy(node->durable + start, node->seen + start, end - start);
        node->dirty[i] = 0;
    }
}

/* Free what no name, no pending change and no open file leads to. */
void simulated_nodes_collect(struct simulated_disk *disk)
{
    for (struct simulated_node *node = disk->nodes; node != NULL; node = node->next)
        node->marked = node->open_count > 0;
    for (size_t i = 0; i < disk->name_count; i++)
        disk->names[i].node->marked = true;
    for (size_t i = 0; i < disk->durable_count; i++)
        disk->durable_names[i].node->marked = true;
    for (struct simulated_change *change = disk->first_change; change != NULL;
         change = change->next)
        if (change->node != NULL)
            change->node->marked = true;
    struct simulated_node **link = &disk->nodes;
    while (*link != NULL) {
        struct simulated_node *node = *link;
        if (node->marked) {
            link = &node->next;
            continue;
        }
        *link = node->next;
        simulated_node_free(node);
    }
}

/* --- Blocking operations --------------------------------------------------------------------- */

static enum error_code simulated_open(struct disk *self, const char *path, enum disk_open_mode mode,
                                      struct file **file_out, struct error *error)
{
    struct simulated_disk *disk = disk_of(self);
    enum error_code code = operation_begin(disk, path, error);
    if (code != ERROR_NONE)
        return code;
    assert(strlen(path) <= DISK_PATH_MAX);
    struct simulated_node *node = simulated_node_find(disk, path);
    bool may_create = mode == DISK_OPEN_CREATE || mode == DISK_OPEN_REPLACE;
    if (node == NULL && !may_create)
        return error_set(error, ERROR_NOT_FOUND, "open '%s'", path);
    if (node != NULL && (mode == DISK_OPEN_CREATE || node->is_directory))
        return error_set(error, ERROR_EXISTS, "open '%s'", path);
    if (node == NULL) {
        char parent[DISK_PATH_MAX + 1];
        parent_of(path, parent);
        if (parent[0] != '\0' && simulated_node_find(disk, parent) == NULL)
            return error_set(error, ERROR_NOT_FOUND, "open '%s': no directory", path);
        node = node_create(disk);
        change_add(disk, path, "", node);
    } else if (mode == DISK_OPEN_REPLACE) {
        node_cut(node, 0);
    }
    struct simulated_file *file = simulated_allocate(sizeof *file);
    file->node = node;
    node->open_count++;
    disk->open_files++;
    *file_out = (struct file *)file;
    return ERROR_NONE;
}

static void simulated_close(struct disk *self, struct file *file)
{
    struct simulated_disk *disk = disk_of(self);
    if (file == NULL)
        return;
    node_of(file)->open_count--;
    disk->open_files--;
    free(file);
}

static enum error_code simulated_size(struct disk *self, struct file *file,
                                      uint64_t *size_bytes_out, struct error *error)
{
    enum error_code code = operation_begin(disk_of(self), "size", error);
    if (code == ERROR_NONE)
        *size_bytes_out = node_of(file)->size;
    return code;
}

static enum error_code node_read(struct simulated_node *node, uint64_t offset, uint8_t *target,
                                 size_t size, struct error *error)
{
    if (offset > node->size || size > node->size - offset)
        return error_set(error, ERROR_CORRUPT, "file of %llu bytes ends within %zu at %llu",
                         (unsigned long long)node->size, size, (unsigned long long)offset);
    if (size > 0)
        memcpy(target, node->seen + offset, size);
    return ERROR_NONE;
}

static enum error_code simulated_read_at(struct disk *self, struct file *file, uint64_t offset,
                                         uint8_t *target, size_t size, struct error *error)
{
    enum error_code code = operation_begin(disk_of(self), "read", error);
    return code != ERROR_NONE ? code : node_read(node_of(file), offset, target, size, error);
}

static enum error_code simulated_write_at(struct disk *self, struct file *file, uint64_t offset,
                                          const uint8_t *bytes, size_t size, struct error *error)
{
    struct simulated_disk *disk = disk_of(self);
    enum error_code code = operation_begin(disk, "write", error);
    if (code == ERROR_NONE)
        code = node_grow(disk, node_of(file), offset + size, error);
    if (code == ERROR_NONE)
        node_write(node_of(file), offset, bytes, size);
    return code;
}

static bool sync_is_ignored(const struct simulated_disk *disk, const struct simulated_node *node)
{
    const char *ignored = disk->settings.ignore_sync_of;
    for (size_t i = 0; ignored != NULL && i < disk->name_count; i++)
        if (disk->names[i].node == node && strstr(disk->names[i].path, ignored) != NULL)
            return true;
    return false;
}

static enum error_code simulated_sync(struct disk *self, struct file *file, struct error *error)
{
    struct simulated_disk *disk = disk_of(self);
    enum error_code code = operation_begin(disk, "sync", error);
    if (code == ERROR_NONE && !sync_is_ignored(disk, node_of(file)))
        node_sync_range(disk, node_of(file), 0, node_of(file)->capacity);
    return code;
}

static enum error_code simulated_resize(struct disk *self, struct file *file, uint64_t size,
                                        struct error *error)
{
    struct simulated_disk *disk = disk_of(self);
    enum error_code code = operation_begin(disk, "resize", error);
    if (code != ERROR_NONE)
        return code;
    if (size < node_of(file)->size)
        node_cut(node_of(file), size);
    return node_grow(disk, node_of(file), size, error);
}

static enum error_code simulated_rename(struct disk *self, const char *from, const char *to,
                                        struct error *error)
{
    struct simulated_disk *disk = disk_of(self);
    enum error_code code = operation_begin(disk, from, error);
    if (code != ERROR_NONE)
        return code;
    struct simulated_node *node = simulated_node_find(disk, from);
    if (node == NULL)
        return error_set(error, ERROR_NOT_FOUND, "rename '%s'", from);
    assert(!node->is_directory); /* nobody here renames directories */
    change_add(disk, to, from, node);
    return ERROR_NONE;
}

static enum error_code simulated_link(struct disk *self, const char *from, const char *to,
                                      struct error *error)
{
    struct simulated_disk *disk = disk_of(self);
    enum error_code code = operation_begin(disk, from, error);
    if (code != ERROR_NONE)
        return code;
    struct simulated_node *node = simulated_node_find(disk, from);
    if (node == NULL || node->is_directory)
        return error_set(error, ERROR_NOT_FOUND, "link '%s'", from);
    if (simulated_node_find(disk, to) != NULL)
        return error_set(error, ERROR_EXISTS, "link '%s'", to);
    change_add(disk, to, "", node);
    return ERROR_NONE;
}

static enum error_code simulated_remove(struct disk *self, const char *path, struct error *error)
{
    struct simulated_disk *disk = disk_of(self);
    enum error_code code = operation_begin(disk, path, error);
    if (code != ERROR_NONE)
        return code;
    struct simulated_node *node = simulated_node_find(disk, path);
    if (node == NULL || node->is_directory)
        return error_set(error, ERROR_NOT_FOUND, "remove '%s'", path);
    change_add(disk, path, "", NULL);
    return ERROR_NONE;
}

static enum error_code simulated_make_directory(struct disk *self, const char *path,
                                                struct error *error)
{
    struct simulated_disk *disk = disk_of(self);
    enum error_code code = operation_begin(disk, path, error);
    if (code != ERROR_NONE)
        return code;
    char partial[DISK_PATH_MAX + 1];
    for (size_t end = 1; end <= strlen(path); end++) {
        if (path[end] != '/' && path[end] != '\0')
            continue;
        memcpy(partial, path, end);
        partial[end] = '\0';
        struct simulated_node *node = simulated_node_find(disk, partial);
        if (node != NULL && !node->is_directory)
            return error_set(error, ERROR_EXISTS, "make directory '%s'", partial);
        if (node != NULL)
            continue;
        node = node_create(disk);
        node->is_directory = true;
        simulated_name_set(&disk->names, &disk->name_count, &disk->name_capacity, partial, node);
        simulated_name_set(&disk->durable_names, &disk->durable_count, &disk->durable_capacity,
                           partial, node);
    }
    return ERROR_NONE;
}

static bool is_below(const char *path, const char *directory)
{
    size_t size = strlen(directory);
    if (size == 0)
        return strchr(path, '/') == NULL;
    return strncmp(path, directory, size) == 0 && path[size] == '/' &&
           strchr(path + size + 1, '/') == NULL;
}

static enum error_code simulated_remove_directory(struct disk *self, const char *path,
                                                  struct error *error)
{
    struct simulated_disk *disk = disk_of(self);
    enum error_code code = operation_begin(disk, path, error);
    if (code != ERROR_NONE)
        return code;
    struct simulated_node *node = simulated_node_find(disk, path);
    if (node == NULL || !node->is_directory)
        return error_set(error, ERROR_NOT_FOUND, "remove directory '%s'", path);
    for (size_t i = 0; i < disk->name_count; i++)
        if (is_below(disk->names[i].path, path))
            return error_set(error, ERROR_IO, "remove directory '%s': not empty", path);
    change_add(disk, path, "", NULL);
    return ERROR_NONE;
}

static enum error_code simulated_sync_directory(struct disk *self, const char *path,
                                                struct error *error)
{
    struct simulated_disk *disk = disk_of(self);
    enum error_code code = operation_begin(disk, path, error);
    if (code != ERROR_NONE)
        return code;
    const char *ignored = disk->settings.ignore_sync_directory_of;
    if (!disk->settings.ignore_sync && (ignored == NULL || strstr(path, ignored) == NULL))
        simulated_changes_settle(disk, path, keep_always);
    simulated_nodes_collect(disk);
    return ERROR_NONE;
}

struct listed {
    const char *name;
    bool is_directory;
};

static char *copy_of(const char *text)
{
    size_t bytes = strlen(text) + 1;
    return memcpy(simulated_allocate(bytes), text, bytes);
}

static int listed_compare(const void *left, const void *right)
{
    return strcmp(((const struct listed *)left)->name, ((const struct listed *)right)->name);
}

static enum error_code simulated_list(struct disk *self, const char *path, disk_list_visit *visit,
                                      void *context, struct error *error)
{
    struct simulated_disk *disk = disk_of(self);
    enum error_code code = operation_begin(disk, path, error);
    if (code != ERROR_NONE)
        return code;
    if (path[0] != '\0' && simulated_node_find(disk, path) == NULL)
        return error_set(error, ERROR_NOT_FOUND, "list '%s'", path);
    struct listed *listed = simulated_allocate((disk->name_count + 1) * sizeof *listed);
    size_t count = 0;
    size_t skip = path[0] == '\0' ? 0 : strlen(path) + 1;
    for (size_t i = 0; i < disk->name_count; i++)
        if (is_below(disk->names[i].path, path))
            listed[count++] = (struct listed){copy_of(disk->names[i].path + skip),
                                              disk->names[i].node->is_directory};
    qsort(listed, count, sizeof *listed, listed_compare);
    bool more = true;
    for (size_t i = 0; i < count; i++) {
        more = more && visit(context, listed[i].name, listed[i].is_directory);
        free((char *)listed[i].name);
    }
    free(listed);
    return ERROR_NONE;
}

static enum error_code simulated_free_bytes(struct disk *self, uint64_t *free_bytes_out,
                                            uint64_t *total_bytes_out, struct error *error)
{
    struct simulated_disk *disk = disk_of(self);
    enum error_code code = operation_begin(disk, "free space", error);
    if (code != ERROR_NONE)
        return code;
    uint64_t used = simulated_disk_used_bytes(disk);
    *total_bytes_out = disk->settings.capacity_bytes;
    *free_bytes_out =
        used > disk->settings.capacity_bytes ? 0 : disk->settings.capacity_bytes - used;
    return ERROR_NONE;
}

/* --- Asynchronous operations ----------------------------------------------------------------- */

static uint64_t flight_delay_ns(struct simulated_disk *disk)
{
    if (random_below(&disk->random.base, 1000) < disk->settings.slow_per_thousand) {
        disk->counts.slow_operations++;
        return (uint64_t)random_below(&disk->random.base, 3000) * 1000000;
    }
    return 20000 + random_below(&disk->random.base, 500000);
}

/* Bytes [flight->applied_bytes, end) of the write reach the file. */
static void flight_apply(struct flight *flight, size_t end)
{
    struct disk_write *write = flight->write;
    size_t position = 0;
    for (size_t i = 0; i < write->vector_count; i++) {
        size_t from = position, to = position + write->vectors[i].size;
        position = to;
        if (from < flight->applied_bytes)
            from = flight->applied_bytes;
        if (to > end)
            to = end;
        if (from >= to)
            continue;
        size_t skip = from - (position - write->vectors[i].size);
        node_write(node_of(write->file), write->offset_bytes + from, write->vectors[i].bytes + skip,
                   to - from);
    }
    flight->applied_bytes = end;
}

static size_t write_size(const struct disk_write *write)
{
    size_t size = 0;
    for (size_t i = 0; i < write->vector_count; i++)
        size += write->vectors[i].size;
    return size;
}

static void write_land(void *argument)
{
    struct flight *flight = argument;
    struct simulated_disk *disk = flight->disk;
    struct disk_write *write = flight->write;
    struct error error = {.code = ERROR_NONE};
    if (operation_begin(disk, "write", &error) == ERROR_NONE &&
        node_grow(disk, node_of(write->file), write->offset_bytes + write_size(write), &error) ==
            ERROR_NONE) {
        flight_apply(flight, write_size(write));
        if (write->mode == DISK_WRITE_DURABLE)
            node_sync_range(disk, node_of(write->file), write->offset_bytes, write_size(write));
    }
    free(flight);
    write->done(write, &error);
}

static void write_halfway(void *argument)
{
    struct flight *flight = argument;
    struct simulated_disk *disk = flight->disk;
    size_t size = write_size(flight->write);
    struct simulated_node *node = node_of(flight->write->file);
    if (!disk->crashed && flight->write->offset_bytes + size <= node->size)
        flight_apply(flight, random_below(&disk->random.base, (uint32_t)size + 1));
    simulated_scheduler_after(disk->scheduler, flight_delay_ns(disk), write_land, flight);
}

static void simulated_write(struct disk *self, struct disk_write *write)
{
    struct simulated_disk *disk = disk_of(self);
    struct flight *flight = simulated_allocate(sizeof *flight);
    *flight = (struct flight){.disk = disk, .write = write};
    simulated_scheduler_after(disk->scheduler, flight_delay_ns(disk), write_halfway, flight);
}

static void read_land(void *argument)
{
    struct flight *flight = argument;
    struct disk_read *read = flight->read;
    struct error error = {.code = ERROR_NONE};
    if (operation_begin(flight->disk, "read", &error) == ERROR_NONE)
        node_read(node_of(read->file), read->offset_bytes, read->target, read->size_bytes, &error);
    free(flight);
    read->done(read, &error);
}

static void simulated_read(struct disk *self, struct disk_read *read)
{
    struct simulated_disk *disk = disk_of(self);
    struct flight *flight = simulated_allocate(sizeof *flight);
    *flight = (struct flight){.disk = disk, .read = read};
    simulated_scheduler_after(disk->scheduler, flight_delay_ns(disk), read_land, flight);
}

static const struct disk_operations OPERATIONS = {
    .open = simulated_open,
    .close = simulated_close,
    .size = simulated_size,
    .read_at = simulated_read_at,
    .write_at = simulated_write_at,
    .sync = simulated_sync,
    .resize = simulated_resize,
    .rename = simulated_rename,
    .link = simulated_link,
    .remove = simulated_remove,
    .make_directory = simulated_make_directory,
    .remove_directory = simulated_remove_directory,
    .sync_directory = simulated_sync_directory,
    .list = simulated_list,
    .free_bytes = simulated_free_bytes,
    .write = simulated_write,
    .read = simulated_read,
};

void simulated_disk_init(struct simulated_disk *disk, struct simulated_scheduler *scheduler,
                         uint64_t seed)
{
    *disk = (struct simulated_disk){
        .base = {.operations = &OPERATIONS},
        .settings = {.capacity_bytes = UINT64_MAX},
        .scheduler = scheduler,
    };
    random_generator_init(&disk->random, seed);
}
