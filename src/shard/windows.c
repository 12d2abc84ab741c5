#include "windows.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { CAPACITY_MIN = 64, TOUCHED_MIN = 16 };

static enum error_code no_room(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "versions of windows");
}

/* --- The table ------------------------------------------------------------------------------- */

static struct window_table *table_create(uint64_t base, size_t count, int64_t end)
{
    size_t capacity = CAPACITY_MIN;
    while (capacity < 2 * (count + 1))
        capacity *= 2;
    struct window_table *table = calloc(1, sizeof *table + capacity * sizeof table->slots[0]);
    if (table == NULL)
        return NULL;
    atomic_init(&table->references, 1);
    atomic_init(&table->end, end);
    table->base = base;
    table->capacity = capacity;
    return table;
}

struct window_table *window_table_ref(struct window_table *table)
{
    if (table != NULL)
        atomic_fetch_add_explicit(&table->references, 1, memory_order_relaxed);
    return table;
}

void window_table_unref(struct window_table *table)
{
    if (table != NULL &&
        atomic_fetch_sub_explicit(&table->references, 1, memory_order_acq_rel) == 1)
        free(table);
}

/* Where it is, or would be. */
static size_t place_of(const struct window_table *table, int64_t window)
{
    size_t place = (size_t)((uint64_t)window * UINT64_C(0x9e3779b97f4a7c15) >> 32);
    while (true) {
        const struct window_slot *slot = &table->slots[place &= table->capacity - 1];
        if (atomic_load_explicit(&slot->index, memory_order_acquire) == 0 ||
            atomic_load_explicit(&slot->window, memory_order_relaxed) == window)
            return place;
        place++;
    }
}

uint64_t window_table_version(const struct window_table *table, int64_t window)
{
    if (table == NULL || window < atomic_load_explicit(&table->end, memory_order_acquire))
        return SHARD_WINDOW_UNVERSIONED;
    const struct window_slot *slot = &table->slots[place_of(table, window)];
    uint64_t index = atomic_load_explicit(&slot->index, memory_order_acquire);
    return index == 0 ? table->base : index;
}

/* There is room. Readers see the index last. */
static struct window_slot *table_add(struct window_table *table, int64_t window, uint64_t index,
                                     uint64_t touched)
{
    struct window_slot *slot = &table->slots[place_of(table, window)];
    assert(slot->index == 0 && 2 * (table->count + 1) <= table->capacity);
    table->count++;
    slot->touched = touched;
    atomic_store_explicit(&slot->window, window, memory_order_relaxed);
    atomic_store_explicit(&slot->index, index, memory_order_release);
    return slot;
}

/* --- Life ------------------------------------------------------------------------------------ */

enum error_code windows_init(struct windows *windows, uint64_t base,
                             const struct window_version *versions, size_t count,
                             struct error *error)
{
    assert(base > 0);
    struct window_table *table = table_create(base, count, INT64_MIN);
    if (table == NULL)
        return no_room(error);
    for (size_t i = 0; i < count; i++)
        table_add(table, versions[i].window, versions[i].index, 0);
    *windows = (struct windows){.table = table};
    return ERROR_NONE;
}

void windows_clear(struct windows *windows)
{
    window_table_unref(windows->table);
    free(windows->touched);
    *windows = (struct windows){0};
}

/* --- While an entry is applied --------------------------------------------------------------- */

/* So far from any time that no sample is taken for being in it. */
#define NEAR_NOTHING INT64_MIN

void windows_begin(struct windows *windows, uint64_t index)
{
    windows->entry = index;
    windows->touched_count = 0;
    windows->touched_all = false;
    windows->near_start_ms = NEAR_NOTHING;
}

static enum error_code note_touched(struct windows *windows, int64_t window, struct error *error)
{
    if (windows->touched_count == windows->touched_capacity) {
        size_t capacity =
            windows->touched_capacity == 0 ? TOUCHED_MIN : windows->touched_capacity * 2;
        int64_t *grown = realloc(windows->touched, capacity * sizeof *grown);
        if (grown == NULL)
            return no_room(error);
        windows->touched = grown;
        windows->touched_capacity = capacity;
    }
    windows->touched[windows->touched_count++] = window;
    return ERROR_NONE;
}

/* Twice the room; readers keep the table that they have. */
static enum error_code grow(struct windows *windows, struct error *error)
{
    struct window_table *before = windows->table;
    struct window_table *table = table_create(before->base, before->capacity, before->end);
    if (table == NULL)
        return no_room(error);
    for (size_t i = 0; i < before->capacity; i++) {
        const struct window_slot *slot = &before->slots[i];
        if (slot->index != 0)
            table_add(table, slot->window, slot->index, slot->touched);
    }
    windows->table = table;
    window_table_unref(before);
    return ERROR_NONE;
}

/* A window that is not in the table comes in with the version that it had outside. */
static enum error_code touch(struct windows *windows, int64_t window, struct error *error)
{
    struct window_slot *slot = &windows->table->slots[place_of(windows->table, window)];
    if (slot->index != 0 && slot->touched == windows->entry)
        return ERROR_NONE;
    enum error_code code = note_touched(windows, window, error);
    if (code == ERROR_NONE && slot->index == 0 &&
        2 * (windows->table->count + 1) > windows->table->capacity)
        code = grow(windows, error);
    if (code != ERROR_NONE)
        return code;
    slot = &windows->table->slots[place_of(windows->table, window)];
    if (slot->index == 0)
        table_add(windows->table, window, windows->table->base, windows->entry);
    slot->touched = windows->entry;
    return ERROR_NONE;
}

enum error_code windows_touch(struct windows *windows, const int64_t *timestamps_ms, size_t count,
                              struct error *error)
{
    if (windows->table == NULL)
        return ERROR_NONE;
    int64_t near_start_ms = windows->near_start_ms;
    bool is_near = near_start_ms != NEAR_NOTHING;
    for (size_t i = 0; i < count; i++) {
        if (is_near && (uint64_t)timestamps_ms[i] - (uint64_t)near_start_ms < SHARD_WINDOW_MS)
            continue;
        int64_t window = shard_window_of(timestamps_ms[i]);
        enum error_code code = touch(windows, window, error);
        if (code != ERROR_NONE)
            return code;
        is_near = window > INT64_MIN / SHARD_WINDOW_MS; /* else its start is no number */
        near_start_ms = is_near ? window * SHARD_WINDOW_MS : NEAR_NOTHING;
    }
    windows->near_start_ms = near_start_ms;
    return ERROR_NONE;
}

enum error_code windows_touch_range(struct windows *windows, int64_t start_ms, int64_t end_ms,
                                    struct error *error)
{
    const struct window_table *table = windows->table;
    if (table == NULL)
        return ERROR_NONE;
    int64_t first = shard_window_of(start_ms), last = shard_window_of(end_ms);
    if ((uint64_t)last - (uint64_t)first >= WINDOWS_DELETED_MAX) {
        windows_touch_all(windows);
        return ERROR_NONE;
    }
    enum error_code code = ERROR_NONE;
    for (int64_t window = first; code == ERROR_NONE && window <= last; window++)
        code = touch(windows, window, error);
    return code;
}

void windows_touch_all(struct windows *windows)
{
    windows->touched_all = windows->table != NULL;
}

/* --- When it is applied ---------------------------------------------------------------------- */

static int by_window(const void *left, const void *right)
{
    const struct window_version *one = left, *other = right;
    return one->window < other->window ? -1 : one->window > other->window;
}

/* The newest first; windows tell those of one entry apart. */
static int by_change(const void *left, const void *right)
{
    const struct window_version *one = left, *other = right;
    if (one->index != other->index)
        return one->index > other->index ? -1 : 1;
    return by_window(right, left);
}

enum error_code windows_list(const struct windows *windows, struct window_version **versions_out,
                             size_t *count_out, struct error *error)
{
    const struct window_table *table = windows->table;
    size_t count = 0;
    struct window_version *versions =
        malloc(((table == NULL ? 0 : table->count) + 1) * sizeof *versions);
    if (versions == NULL)
        return no_room(error);
    for (size_t i = 0; table != NULL && i < table->capacity; i++)
        if (table->slots[i].index != 0)
            versions[count++] =
                (struct window_version){table->slots[i].window, table->slots[i].index};
    qsort(versions, count, sizeof *versions, by_window);
    *versions_out = versions;
    *count_out = count;
    return ERROR_NONE;
}

static enum error_code replace(struct windows *windows, uint64_t base,
                               const struct window_version *versions, size_t count,
                               struct error *error)
{
    struct window_table *table = table_create(base, count, windows->table->end);
    if (table == NULL)
        return no_room(error);
    for (size_t i = 0; i < count; i++)
        table_add(table, versions[i].window, versions[i].index, 0);
    window_table_unref(windows->table);
    windows->table = table;
    return ERROR_NONE;
}

/* Half of them become like all others: the version of these rises to theirs. */
static enum error_code merge_oldest(struct windows *windows, struct error *error)
{
    struct window_version *versions;
    size_t count;
    enum error_code code = windows_list(windows, &versions, &count, error);
    if (code != ERROR_NONE)
        return code;
    qsort(versions, count, sizeof *versions, by_change);
    size_t kept = WINDOWS_MAX / 2;
    uint64_t base = windows->table->base;
    if (versions[kept].index > base)
        base = versions[kept].index;
    code = replace(windows, base, versions, kept, error);
    free(versions);
    return code;
}

enum error_code windows_commit(struct windows *windows, struct error *error)
{
    struct window_table *table = windows->table;
    if (table == NULL)
        return ERROR_NONE;
    if (windows->touched_all)
        return replace(windows, windows->entry, NULL, 0, error);
    for (size_t i = 0; i < windows->touched_count; i++) {
        struct window_slot *slot = &table->slots[place_of(table, windows->touched[i])];
        atomic_store_explicit(&slot->index, windows->entry, memory_order_release);
    }
    return table->count > WINDOWS_MAX ? merge_oldest(windows, error) : ERROR_NONE;
}

void windows_end_before(struct windows *windows, int64_t cutoff_ms)
{
    if (windows->table == NULL)
        return;
    /* The window that the cutoff is in goes with them. */
    int64_t end = shard_window_of(cutoff_ms) + (cutoff_ms % SHARD_WINDOW_MS != 0);
    atomic_store_explicit(&windows->table->end, end, memory_order_release);
}
