#include "tenant_numbers.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"

enum { CAPACITY_FIRST = 16 };

/* --- Table ---------------------------------------------------------------------------------- */

static size_t home_of(size_t capacity, struct text tenant)
{
    return hash64(tenant.data, tenant.size, HASH_SEED_STORED) & (capacity - 1);
}

/* Where the tenant is, or would go. */
static size_t table_find(const struct tenant_numbers *numbers, struct text tenant)
{
    size_t mask = numbers->capacity - 1, i = home_of(numbers->capacity, tenant);
    while (numbers->table[i] != 0 &&
           !text_equal(text_of(numbers->items[numbers->table[i] - 1].name), tenant))
        i = (i + 1) & mask;
    return i;
}

/* Those behind move up, so that no look-up ends too early at the hole. */
static void table_remove(struct tenant_numbers *numbers, size_t hole)
{
    size_t mask = numbers->capacity - 1;
    for (size_t i = (hole + 1) & mask; numbers->table[i] != 0; i = (i + 1) & mask) {
        size_t home =
            home_of(numbers->capacity, text_of(numbers->items[numbers->table[i] - 1].name));
        if (((i - home) & mask) < ((i - hole) & mask))
            continue; /* it would come to stand before its home */
        numbers->table[hole] = numbers->table[i];
        hole = i;
    }
    numbers->table[hole] = 0;
}

static bool table_grow(struct tenant_numbers *numbers)
{
    size_t capacity = numbers->capacity == 0 ? CAPACITY_FIRST : numbers->capacity * 2;
    uint32_t *table = calloc(capacity, sizeof *table);
    struct tenant_item *items = realloc(numbers->items, capacity / 2 * sizeof *items);
    if (items != NULL)
        numbers->items = items;
    if (table == NULL || items == NULL) {
        free(table);
        return false;
    }
    free(numbers->table);
    numbers->table = table;
    numbers->capacity = capacity;
    for (uint32_t i = 0; i < numbers->count; i++)
        if (items[i].name != NULL)
            table[table_find(numbers, text_of(items[i].name))] = i + 1;
    return true;
}

/* --- Public --------------------------------------------------------------------------------- */

void tenant_numbers_clear(struct tenant_numbers *numbers)
{
    for (uint32_t i = 0; i < numbers->count; i++)
        free(numbers->items[i].name);
    free(numbers->items);
    free(numbers->table);
    *numbers = (struct tenant_numbers){0};
}

static enum error_code add(struct tenant_numbers *numbers, struct text tenant, uint32_t *number_out,
                           struct error *error)
{
    if ((size_t)numbers->used_count * 2 >= numbers->capacity && !table_grow(numbers))
        return error_set(error, ERROR_OUT_OF_MEMORY, "registry: tenants");
    char *name = strndup(tenant.data, tenant.size);
    if (name == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "registry: tenant");
    uint32_t number = numbers->count;
    if (numbers->free_first > 0) {
        number = numbers->free_first - 1;
        numbers->free_first = (uint32_t)numbers->items[number].series_count;
    } else {
        numbers->count++;
    }
    numbers->table[table_find(numbers, tenant)] = number + 1;
    numbers->items[number] = (struct tenant_item){.name = name};
    numbers->used_count++;
    *number_out = number;
    return ERROR_NONE;
}

enum error_code tenant_numbers_take(struct tenant_numbers *numbers, struct text tenant,
                                    uint32_t *number_out, struct error *error)
{
    uint32_t number = numbers->latest; /* neighbours are of one tenant */
    if (number >= numbers->count || numbers->items[number].name == NULL ||
        !text_equal(text_of(numbers->items[number].name), tenant)) {
        uint32_t entry = numbers->capacity == 0 ? 0 : numbers->table[table_find(numbers, tenant)];
        number = entry - 1;
        if (entry == 0) {
            enum error_code code = add(numbers, tenant, &number, error);
            if (code != ERROR_NONE)
                return code;
        }
    }
    numbers->items[number].series_count++;
    numbers->latest = number;
    *number_out = number;
    return ERROR_NONE;
}

void tenant_numbers_release(struct tenant_numbers *numbers, uint32_t number)
{
    assert(number < numbers->count);
    struct tenant_item *item = &numbers->items[number];
    assert(item->name != NULL && item->series_count > 0);
    if (--item->series_count > 0)
        return;
    table_remove(numbers, table_find(numbers, text_of(item->name)));
    free(item->name);
    *item = (struct tenant_item){.series_count = numbers->free_first};
    numbers->free_first = number + 1;
    numbers->used_count--;
}
