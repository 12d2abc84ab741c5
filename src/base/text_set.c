#include "base/text_set.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/checksum.h"

enum { CAPACITY_FIRST = 256 };

/* The seed is unknown to who sends the texts: the system places memory at random. */
static struct text *place_of(const struct text_set *set, struct text *table, size_t capacity,
                             struct text text)
{
    for (size_t i = hash64(text.data, text.size, (uintptr_t)set->arena) & (capacity - 1);;
         i = (i + 1) & (capacity - 1))
        if (table[i].data == NULL || text_equal(table[i], text))
            return &table[i];
}

static bool grow(struct text_set *set)
{
    size_t capacity = set->capacity == 0 ? CAPACITY_FIRST : set->capacity * 2;
    struct text *table = arena_array(set->arena, capacity, sizeof *table);
    if (table == NULL)
        return false;
    for (size_t i = 0; i < set->capacity; i++)
        if (set->table[i].data != NULL)
            *place_of(set, table, capacity, set->table[i]) = set->table[i];
    set->table = table;
    set->capacity = capacity;
    return true;
}

enum text_set_outcome text_set_add(struct text_set *set, struct text text)
{
    if ((set->count + 1) * 2 > set->capacity && !grow(set))
        return TEXT_SET_OUT_OF_MEMORY;
    struct text *place = place_of(set, set->table, set->capacity, text);
    if (place->data != NULL)
        return TEXT_SET_KNOWN;
    *place = arena_copy_text(set->arena, text);
    if (place->data == NULL)
        return TEXT_SET_OUT_OF_MEMORY;
    set->count++;
    return TEXT_SET_NEW;
}

bool text_set_contains(const struct text_set *set, struct text text)
{
    return set->count > 0 && place_of(set, set->table, set->capacity, text)->data != NULL;
}

static int compare(const void *left, const void *right)
{
    return text_compare(*(const struct text *)left, *(const struct text *)right);
}

struct text *text_set_sorted(const struct text_set *set)
{
    struct text *sorted = arena_array(set->arena, set->count, sizeof *sorted);
    if (sorted == NULL)
        return NULL;
    size_t count = 0;
    for (size_t i = 0; i < set->capacity; i++)
        if (set->table[i].data != NULL)
            sorted[count++] = set->table[i];
    if (count > 0)
        qsort(sorted, count, sizeof *sorted, compare);
    return sorted;
}
