#include "base/text_set.h"

#include <assert.h>
#include <string.h>

#include "base/checksum.h"

enum { CAPACITY_FIRST = 32 };

/* --- Finding ---------------------------------------------------------------------------------- */

/* The seed is unknown to who sends the texts: the system places memory at random. */
static uint64_t hash_of(const struct text_set *set, struct text text)
{
    return hash64(text.data, text.size, (uintptr_t)set->arena);
}

/* Where the text is in the table, or belongs. The table has an empty place. */
static uint32_t *place_of(const struct text_set *set, struct text text)
{
    size_t mask = set->table_capacity - 1;
    for (size_t i = hash_of(set, text) & mask;; i = (i + 1) & mask) {
        uint32_t number = set->table[i];
        if (number == 0 || text_equal(set->texts[number - 1], text))
            return &set->table[i];
    }
}

static bool is_next(const struct text_set *set, struct text text)
{
    return set->next < set->count && text_equal(set->texts[set->next], text);
}

bool text_set_contains(struct text_set *set, struct text text)
{
    if (set->count == 0)
        return false;
    if (is_next(set, text)) {
        set->next++;
        return true;
    }
    uint32_t number = *place_of(set, text);
    if (number != 0)
        set->next = number; /* the one behind it */
    return number != 0;
}

/* --- Adding ----------------------------------------------------------------------------------- */

static bool grow_texts(struct text_set *set)
{
    size_t capacity = set->texts_capacity == 0 ? CAPACITY_FIRST / 2 : set->texts_capacity * 2;
    struct text *texts =
        arena_grow(set->arena, set->texts, set->texts_capacity, capacity, sizeof *texts);
    if (texts == NULL)
        return false;
    set->texts = texts;
    set->texts_capacity = capacity;
    return true;
}

static bool grow_table(struct text_set *set)
{
    size_t capacity = set->table_capacity == 0 ? CAPACITY_FIRST : set->table_capacity * 2;
    uint32_t *table = arena_array(set->arena, capacity, sizeof *table);
    if (table == NULL)
        return false;
    set->table = table;
    set->table_capacity = capacity;
    for (size_t i = 0; i < set->count; i++)
        *place_of(set, set->texts[i]) = (uint32_t)i + 1;
    return true;
}

enum text_set_outcome text_set_add(struct text_set *set, struct text text)
{
    if (is_next(set, text)) {
        set->next++;
        return TEXT_SET_KNOWN;
    }
    if (set->count >= UINT32_MAX - 1 ||
        ((set->count + 1) * 2 > set->table_capacity && !grow_table(set)) ||
        (set->count == set->texts_capacity && !grow_texts(set)))
        return TEXT_SET_OUT_OF_MEMORY;
    uint32_t *place = place_of(set, text);
    if (*place != 0) {
        set->next = *place;
        return TEXT_SET_KNOWN;
    }
    struct text copy = arena_copy_text(set->arena, text);
    if (copy.data == NULL)
        return TEXT_SET_OUT_OF_MEMORY;
    set->texts[set->count++] = copy;
    set->next = set->count;
    *place = (uint32_t)set->count;
    return TEXT_SET_NEW;
}

/* --- Sorting ---------------------------------------------------------------------------------- */

/* A merge sort that begins with the ascending runs it finds. */
struct sorting {
    size_t *ends; /* [run_count], of the runs */
    size_t run_count;
};

static size_t count_runs(const struct text *texts, size_t count, size_t *ends)
{
    size_t runs = 0;
    for (size_t i = 1; i <= count; i++) {
        if (i < count && text_compare(texts[i - 1], texts[i]) < 0)
            continue;
        if (ends != NULL)
            ends[runs] = i;
        runs++;
    }
    return runs;
}

/* Two neighbouring runs into one. */
static void merge_runs(const struct text *source, size_t start, size_t middle, size_t end,
                       struct text *target)
{
    size_t left = start, right = middle, at = start;
    while (left < middle && right < end)
        target[at++] =
            text_compare(source[left], source[right]) < 0 ? source[left++] : source[right++];
    memcpy(target + at, source + left, (middle - left) * sizeof *target);
    memcpy(target + at + (middle - left), source + right, (end - right) * sizeof *target);
}

/* Halves the number of runs; an odd one is copied. */
static void merge_pass(struct sorting *sorting, const struct text *source, struct text *target)
{
    size_t start = 0, kept = 0;
    for (size_t run = 0; run < sorting->run_count; run += 2) {
        size_t middle = sorting->ends[run];
        size_t end = run + 1 < sorting->run_count ? sorting->ends[run + 1] : middle;
        merge_runs(source, start, middle, end, target);
        sorting->ends[kept++] = end;
        start = end;
    }
    sorting->run_count = kept;
}

struct text *text_set_sorted(const struct text_set *set)
{
    struct sorting sorting = {.run_count = count_runs(set->texts, set->count, NULL)};
    struct text *sorted = arena_array(set->arena, set->count, sizeof *sorted);
    struct text *other = arena_array(set->arena, set->count, sizeof *other);
    sorting.ends = arena_array(set->arena, sorting.run_count, sizeof *sorting.ends);
    if (sorted == NULL || other == NULL || sorting.ends == NULL)
        return NULL;
    count_runs(set->texts, set->count, sorting.ends);
    if (set->count > 0)
        memcpy(sorted, set->texts, set->count * sizeof *sorted);
    while (sorting.run_count > 1) {
        merge_pass(&sorting, sorted, other);
        struct text *merged = other;
        other = sorted;
        sorted = merged;
    }
    return sorted;
}
