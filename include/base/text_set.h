/*
 * text_set - distinct texts, copied into an arena.
 *
 * Made for uniting sorted lists that are nearly the same: a text that comes behind the same one as
 * last time is found without hashing, and sorting begins with the ascending runs that were added.
 */
#ifndef BASE_TEXT_SET_H
#define BASE_TEXT_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/text.h"

/* Zero-initialise but for the arena, which pays for everything. */
struct text_set {
    struct arena *arena;
    struct text *texts; /* [count], as they came */
    size_t count;
    size_t texts_capacity;
    uint32_t *table; /* [table_capacity], open addressing: number of the text + 1, 0: empty */
    size_t table_capacity;
    size_t next; /* behind the text that was found or added last */
};

enum text_set_outcome { TEXT_SET_NEW, TEXT_SET_KNOWN, TEXT_SET_OUT_OF_MEMORY };

enum text_set_outcome text_set_add(struct text_set *set, struct text text);

/* Notes where the text was found, for the next one. */
bool text_set_contains(struct text_set *set, struct text text);

/* The texts in byte order, in the set's arena; NULL when memory is out. */
struct text *text_set_sorted(const struct text_set *set);

#endif
