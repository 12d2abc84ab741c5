#include "model/position_set.h"

#include <assert.h>
#include <string.h>

enum { WORD_BITS = 64, LIST_BITS = 32 };

bool position_set_begin(struct position_set_builder *builder, struct arena *arena, size_t count_max,
                        uint32_t limit)
{
    *builder = (struct position_set_builder){.count_max = count_max, .limit = limit};
    struct position_set *set = &builder->set;
    if (count_max <= limit / LIST_BITS) {
        set->items = arena_allocate(arena, count_max * sizeof *set->items);
        return set->items != NULL;
    }
    set->words = ((size_t)limit + WORD_BITS - 1) / WORD_BITS;
    set->bits = arena_array(arena, set->words, sizeof *set->bits);
    set->before = arena_array(arena, set->words / POSITION_GROUP_WORDS + 2, sizeof *set->before);
    return set->bits != NULL && set->before != NULL;
}

void position_set_add(struct position_set_builder *builder, struct positions positions)
{
    struct position_set *set = &builder->set;
    while (positions.count > 0 && positions.items[positions.count - 1] >= builder->limit)
        positions.count--;
    assert(positions.count <= builder->count_max - set->count);
    if (positions.count == 0)
        return;
    if (set->items != NULL)
        memcpy(set->items + set->count, positions.items, positions.count * sizeof *set->items);
    for (size_t i = 0; set->items == NULL && i < positions.count; i++) {
        uint32_t position = positions.items[i];
        set->bits[position / WORD_BITS] |= UINT64_C(1) << (position % WORD_BITS);
    }
    set->count += positions.count;
}

/* Count anew what is before each group of words. */
static void count_groups(struct position_set *set)
{
    uint32_t count = 0;
    for (size_t word = 0; word < set->words; word++) {
        if (word % POSITION_GROUP_WORDS == 0)
            set->before[word / POSITION_GROUP_WORDS] = count;
        count += (uint32_t)__builtin_popcountll(set->bits[word]);
    }
    set->count = count;
}

struct position_set position_set_finish(struct position_set_builder *builder)
{
    if (builder->set.bits != NULL)
        count_groups(&builder->set);
    return builder->set;
}

/* The last group with at most `index` positions before it. */
static size_t group_of(const struct position_set *set, size_t index)
{
    size_t low = 0;
    size_t high = (set->words + POSITION_GROUP_WORDS - 1) / POSITION_GROUP_WORDS;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (set->before[middle] <= index)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* `word` without its lowest `count` bits that are set. */
static uint64_t without_lowest(uint64_t word, size_t count)
{
    while (count-- > 0)
        word &= word - 1;
    return word;
}

void position_set_read(const struct position_set *set, size_t index, size_t count,
                       uint32_t *positions_out)
{
    assert(index <= set->count && count <= set->count - index);
    if (count == 0)
        return;
    if (set->items != NULL) {
        memcpy(positions_out, set->items + index, count * sizeof *positions_out);
        return;
    }
    size_t group = group_of(set, index);
    size_t word = group * POSITION_GROUP_WORDS;
    size_t skipped = index - set->before[group];
    while (skipped >= (size_t)__builtin_popcountll(set->bits[word]))
        skipped -= (size_t)__builtin_popcountll(set->bits[word++]);
    uint64_t left = without_lowest(set->bits[word], skipped);
    for (size_t i = 0; i < count; i++, left &= left - 1) {
        while (left == 0)
            left = set->bits[++word];
        positions_out[i] = (uint32_t)(word * WORD_BITS + (unsigned)__builtin_ctzll(left));
    }
}

void position_set_keep(struct position_set *set, const bool *marks)
{
    size_t kept = 0;
    for (size_t i = 0; set->items != NULL && i < set->count; i++)
        if (marks[i])
            set->items[kept++] = set->items[i];
    if (set->items != NULL) {
        set->count = kept;
        return;
    }
    for (size_t word = 0; word < set->words; word++)
        for (uint64_t left = set->bits[word]; left != 0; left &= left - 1)
            if (!*marks++)
                set->bits[word] ^= left & -left;
    if (set->words > 0)
        count_groups(set);
}
