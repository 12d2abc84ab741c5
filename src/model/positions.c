#include "model/positions.h"

#include <assert.h>
#include <string.h>

/* From this ratio of lengths on, searching in the longer list beats walking it. */
enum { GALLOP_RATIO = 16 };

/* The first index >= `from` whose position is >= `wanted`: doubling steps, then a binary search,
 * so that a walk with ascending `wanted` is cheap. */
static size_t gallop(struct positions list, size_t from, uint32_t wanted)
{
    size_t step = 1;
    size_t low = from;
    while (low + step <= list.count && list.items[low + step - 1] < wanted) {
        low += step;
        step *= 2;
    }
    size_t high = low + step <= list.count ? low + step : list.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (list.items[middle] < wanted)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint32_t *allocate(struct arena *arena, size_t count)
{
    if (count > SIZE_MAX / sizeof(uint32_t))
        return NULL;
    return arena_allocate(arena, count * sizeof(uint32_t));
}

static size_t intersect_galloping(struct positions few, struct positions many, uint32_t *target)
{
    size_t count = 0;
    size_t at = 0;
    for (size_t i = 0; i < few.count && at < many.count; i++) {
        at = gallop(many, at, few.items[i]);
        if (at < many.count && many.items[at] == few.items[i])
            target[count++] = few.items[i];
    }
    return count;
}

static size_t intersect_walking(struct positions left, struct positions right, uint32_t *target)
{
    size_t count = 0;
    size_t i = 0;
    size_t j = 0;
    while (i < left.count && j < right.count) {
        uint32_t a = left.items[i];
        uint32_t b = right.items[j];
        /* Written always and kept when equal: no branch to mispredict. */
        target[count] = a;
        count += a == b;
        i += a <= b;
        j += b <= a;
    }
    return count;
}

bool positions_intersect(struct arena *arena, struct positions left, struct positions right,
                         struct positions *out)
{
    struct positions few = left.count <= right.count ? left : right;
    struct positions many = left.count <= right.count ? right : left;
    if (few.count == 0) {
        *out = (struct positions){0};
        return true;
    }
    uint32_t *items = allocate(arena, few.count);
    if (items == NULL)
        return false;
    size_t count = many.count / few.count >= GALLOP_RATIO ? intersect_galloping(few, many, items)
                                                          : intersect_walking(few, many, items);
    *out = (struct positions){.items = items, .count = count};
    return true;
}

bool positions_subtract(struct arena *arena, struct positions left, struct positions right,
                        struct positions *out)
{
    if (left.count == 0 || right.count == 0) {
        *out = left;
        return true;
    }
    uint32_t *items = allocate(arena, left.count);
    if (items == NULL)
        return false;
    size_t count = 0;
    size_t at = 0;
    for (size_t i = 0; i < left.count; i++) {
        at = gallop(right, at, left.items[i]);
        if (at == right.count || right.items[at] != left.items[i])
            items[count++] = left.items[i];
    }
    *out = (struct positions){.items = items, .count = count};
    return true;
}

void positions_mark(struct positions list, struct positions found, bool *marks)
{
    size_t at = 0;
    if (list.count <= found.count) {
        for (size_t i = 0; i < list.count && at < found.count; i++) {
            at = gallop(found, at, list.items[i]);
            marks[i] |= at < found.count && found.items[at] == list.items[i];
        }
        return;
    }
    for (size_t i = 0; i < found.count && at < list.count; i++) {
        at = gallop(list, at, found.items[i]);
        if (at < list.count && list.items[at] == found.items[i])
            marks[at] = true;
    }
}

static size_t merge_two(struct positions left, struct positions right, uint32_t *target)
{
    size_t count = 0;
    size_t i = 0;
    size_t j = 0;
    while (i < left.count && j < right.count) {
        uint32_t a = left.items[i];
        uint32_t b = right.items[j];
        target[count++] = a <= b ? a : b;
        i += a <= b;
        j += b <= a;
    }
    for (; i < left.count; i++)
        target[count++] = left.items[i];
    for (; j < right.count; j++)
        target[count++] = right.items[j];
    return count;
}

/* Lists of one position each, as a label with a value per series has: sort instead of merging. */
static bool union_of_ends(struct arena *arena, const struct positions *lists, size_t list_count,
                          struct positions *out)
{
    size_t total = 0;
    bool ordered = true;
    uint32_t previous_last = 0;
    for (size_t i = 0; i < list_count; i++) {
        if (lists[i].count == 0)
            continue;
        ordered = ordered && (total == 0 || lists[i].items[0] > previous_last);
        previous_last = lists[i].items[lists[i].count - 1];
        total += lists[i].count;
    }
    if (!ordered)
        return false;
    uint32_t *items = allocate(arena, total);
    if (items == NULL)
        return false;
    size_t count = 0;
    for (size_t i = 0; i < list_count; i++) {
        if (lists[i].count > 0)
            memcpy(items + count, lists[i].items, lists[i].count * sizeof *items);
        count += lists[i].count;
    }
    *out = (struct positions){.items = items, .count = count};
    return true;
}

bool positions_union(struct arena *arena, const struct positions *lists, size_t list_count,
                     struct positions *out)
{
    if (list_count == 0) {
        *out = (struct positions){0};
        return true;
    }
    if (list_count == 1) {
        *out = lists[0];
        return true;
    }
    if (union_of_ends(arena, lists, list_count, out))
        return true;

    size_t total = 0;
    for (size_t i = 0; i < list_count; i++)
        total += lists[i].count;
    struct positions *level = arena_array(arena, list_count, sizeof *level);
    uint32_t *spaces[2] = {allocate(arena, total), allocate(arena, total)};
    if (level == NULL || spaces[0] == NULL || spaces[1] == NULL)
        return false;
    memcpy(level, lists, list_count * sizeof *level);
    /* Each round merges pairs from one space into the other. */
    for (unsigned round = 0; list_count > 1; round++) {
        uint32_t *target = spaces[round % 2];
        size_t merged = 0;
        for (size_t i = 0; i < list_count; i += 2) {
            struct positions second = i + 1 < list_count ? level[i + 1] : (struct positions){0};
            size_t count = merge_two(level[i], second, target);
            level[merged++] = (struct positions){.items = target, .count = count};
            target += count;
        }
        list_count = merged;
    }
    *out = level[0];
    return true;
}

bool positions_range(struct arena *arena, uint32_t first, size_t count, struct positions *out)
{
    assert(count <= (size_t)UINT32_MAX - first + 1);
    uint32_t *items = allocate(arena, count);
    if (items == NULL)
        return false;
    for (size_t i = 0; i < count; i++)
        items[i] = first + (uint32_t)i;
    *out = (struct positions){.items = items, .count = count};
    return true;
}

bool positions_overlap(struct positions left, struct positions right)
{
    struct positions few = left.count <= right.count ? left : right;
    struct positions many = left.count <= right.count ? right : left;
    size_t at = 0;
    for (size_t i = 0; i < few.count && at < many.count; i++) {
        at = gallop(many, at, few.items[i]);
        if (at < many.count && many.items[at] == few.items[i])
            return true;
    }
    return false;
}

bool positions_contain(struct positions list, uint32_t position)
{
    size_t at = gallop(list, 0, position);
    return at < list.count && list.items[at] == position;
}
