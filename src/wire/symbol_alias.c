#include "symbol_alias.h"

bool symbol_alias_init(struct symbol_alias *alias, const struct write_request *request,
                       uint64_t seed, struct arena *arena)
{
    size_t count = request->symbol_count;
    uint64_t *hashes = arena_allocate(arena, 2 * count * sizeof *hashes);
    if (hashes == NULL)
        return false;
    *alias = (struct symbol_alias){.low = hashes, .high = hashes + count, .count = count};
    alias->seed = seed;
    for (size_t i = 0; i < count; i++) {
        struct hash128 hash = hash128(request->symbols[i].data, request->symbols[i].size, seed);
        alias->low[i] = hash.low;
        alias->high[i] = hash.high;
    }
    for (uint64_t i = 0; i < SYMBOL_ALIAS_FACTORS; i++) {
        struct hash128 factor = hash128(&i, sizeof i, ~seed);
        alias->low_factors[i] = factor.low | 1;
        alias->high_factors[i] = factor.high | 1;
    }
    return true;
}

/* Behind the factors: rare, and a sum of so many is no longer a hash. */
static bool chain(const struct symbol_alias *alias, struct byte_reader *packed, struct hash128 *sum)
{
    bool is_valid = true;
    while (byte_reader_left(packed) > 0) {
        uint32_t reference = reference_next(packed);
        if (reference >= alias->count) {
            is_valid = false;
            continue;
        }
        uint64_t link[] = {sum->low, sum->high, alias->low[reference], alias->high[reference]};
        *sum = hash128(link, sizeof link, alias->seed);
    }
    return is_valid;
}

/* A sum while its references are walked. */
struct sum {
    uint64_t low;
    uint64_t high;
    size_t place;
};

static inline bool sum_add(const struct symbol_alias *alias, struct sum *sum, uint32_t reference)
{
    if (reference >= alias->count)
        return false;
    sum->low += alias->low[reference] * alias->low_factors[sum->place];
    sum->high += alias->high[reference] * alias->high_factors[sum->place];
    return true;
}

/* As far as references are of one byte or two, which is mostly to the last byte. */
static inline bool sum_add_usual(const struct symbol_alias *alias, struct sum *sum,
                                 struct byte_reader *packed)
{
    const uint8_t *at = packed->position, *end = packed->end;
    bool is_valid = true;
    for (; end - at >= 2 && sum->place < SYMBOL_ALIAS_FACTORS; sum->place++) {
        uint32_t first = at[0], second = at[1];
        if (first >= 0x80) {
            if (second >= 0x80)
                break;
            first = first - 0x80 + (second << 7);
            at++;
        }
        at++;
        is_valid &= sum_add(alias, sum, first);
    }
    packed->position = at;
    return is_valid;
}

enum reference_status symbol_alias_of(const struct symbol_alias *alias,
                                      const struct write_labels *labels, struct hash128 *alias_out)
{
    struct byte_reader packed = byte_reader_over(labels->fields, labels->size);
    struct sum sum = {.low = alias->seed, .high = ~alias->seed}; /* zero is no alias */
    bool is_valid = sum_add_usual(alias, &sum, &packed);
    for (; sum.place < SYMBOL_ALIAS_FACTORS && byte_reader_left(&packed) > 0; sum.place++)
        is_valid &= sum_add(alias, &sum, reference_next(&packed));
    struct hash128 result = {sum.low, sum.high};
    if (byte_reader_left(&packed) > 0)
        is_valid &= chain(alias, &packed, &result);
    if (packed.failed)
        return REFERENCES_MALFORMED;
    if (!is_valid)
        return REFERENCES_OUTSIDE;
    *alias_out = result;
    return REFERENCES_VALID;
}
