/*
 * text_set - distinct texts, copied into an arena.
 */
#ifndef BASE_TEXT_SET_H
#define BASE_TEXT_SET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/text.h"

/* Zero-initialise but for the arena, which pays for everything. */
struct text_set {
    struct arena *arena;
    struct text *table; /* [capacity], open addressing, data NULL: empty */
    size_t capacity;
    size_t count;
};

enum text_set_outcome { TEXT_SET_NEW, TEXT_SET_KNOWN, TEXT_SET_OUT_OF_MEMORY };

enum text_set_outcome text_set_add(struct text_set *set, struct text text);

bool text_set_contains(const struct text_set *set, struct text text);

/* The texts in byte order, in the set's arena; NULL when memory is out. */
struct text *text_set_sorted(const struct text_set *set);

#endif
