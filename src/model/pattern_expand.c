/*
 * From a regular expression to the finite set of strings that it matches. The grammar read here:
 *
 *   alternation := concatenation ('|' concatenation)*
 *   concatenation := (atom '?'?)*
 *   atom := character | '\' punctuation | '(' ['?:'] alternation ')' | '[' characters ']'
 *
 * Everything else ends the attempt, as do the limits; both only cost speed later on.
 */
#include <assert.h>

#include "pattern.h"

enum {
    STRINGS_MAX = 100000, /* of a plain alternation */
    PRODUCT_MAX = 1024,   /* strings that groups and classes multiply to */
    DEPTH_MAX = 16,
};

struct strings {
    struct text *items; /* [capacity] */
    size_t count;
    size_t capacity;
};

struct expansion {
    struct arena *arena;
    const char *position;
    const char *end;
    int depth;
};

/* --- Characters ------------------------------------------------------------------------------ */

static bool is_special(char character)
{
    return character != '\0' && strchr("\\.+*?()|[]{}^$", character) != NULL;
}

static bool is_word(char character)
{
    return (character >= '0' && character <= '9') || (character >= 'a' && character <= 'z') ||
           (character >= 'A' && character <= 'Z') || (character & 0x80) != 0;
}

/*
 * One literal character, escaped or not, at `*position`: its byte (of UTF-8: the first; the others
 * follow as literals of their own). False when something else stands there.
 */
static bool take_character(const char **position, const char *end, char *character_out)
{
    const char *at = *position;
    if (at == end)
        return false;
    if (*at == '\\') {
        if (end - at < 2 || is_word(at[1]) || (unsigned char)at[1] < 0x20)
            return false; /* a class, an assertion, a code: not a plain character */
        *character_out = at[1];
        *position = at + 2;
        return true;
    }
    if (is_special(*at) || *at == '\0')
        return false;
    *character_out = *at;
    *position = at + 1;
    return true;
}

static bool is_repetition(const char *position, const char *end)
{
    return position < end &&
           (*position == '?' || *position == '*' || *position == '+' || *position == '{');
}

/*
 * Whether what stands at `position` may change the character before it: a repetition, or something
 * that is no operand itself, behind which a repetition may follow: flags (?i), quotes \Q and \E.
 */
static bool may_change_previous(const char *position, const char *end)
{
    if (is_repetition(position, end))
        return true;
    if (end - position < 3)
        return false;
    if (position[0] == '(' && position[1] == '?')
        return position[2] != ':';
    return position[0] == '\\' && (position[1] == 'Q' || position[1] == 'E');
}

/* The characters of `raw` without their backslashes. */
static struct text unescape(struct text raw, struct arena *arena)
{
    if (memchr(raw.data, '\\', raw.size) == NULL)
        return raw;
    char *data = arena_allocate(arena, raw.size);
    if (data == NULL)
        return (struct text){0};
    size_t size = 0;
    const char *position = raw.data;
    while (take_character(&position, raw.data + raw.size, &data[size]))
        size++;
    return (struct text){data, size};
}

struct text pattern_take_literal(struct text expression, struct arena *arena, struct text *rest_out)
{
    const char *end = expression.data + expression.size;
    const char *position = expression.data;
    const char *last_position = position; /* where the last whole character starts */
    char character;
    for (;;) {
        const char *start = position;
        if (!take_character(&position, end, &character))
            break;
        if (((unsigned char)character & 0xc0) != 0x80)
            last_position = start;
    }
    if (may_change_previous(position, end))
        position = last_position;

    struct text raw = {expression.data, (size_t)(position - expression.data)};
    struct text literal = unescape(raw, arena);
    if (literal.size == 0)
        position = expression.data; /* nothing there, or no memory to take it */
    *rest_out = (struct text){position, (size_t)(end - position)};
    return literal;
}

/* --- Sets of strings ------------------------------------------------------------------------- */

static bool add(struct arena *arena, struct strings *strings, struct text item)
{
    if (strings->count == strings->capacity) {
        size_t capacity = strings->capacity == 0 ? 4 : strings->capacity * 2;
        if (capacity > 2 * (size_t)STRINGS_MAX)
            return false;
        struct text *items =
            arena_grow(arena, strings->items, strings->capacity, capacity, sizeof *items);
        if (items == NULL)
            return false;
        strings->items = items;
        strings->capacity = capacity;
    }
    strings->items[strings->count++] = item;
    return true;
}

static bool concatenate(struct arena *arena, struct text left, struct text right,
                        struct text *whole_out)
{
    if (left.size == 0 || right.size == 0) {
        *whole_out = left.size == 0 ? right : left;
        return true;
    }
    char *data = arena_allocate(arena, left.size + right.size);
    if (data == NULL)
        return false;
    memcpy(data, left.data, left.size);
    memcpy(data + left.size, right.data, right.size);
    *whole_out = (struct text){data, left.size + right.size};
    return true;
}

/* Every string of `left` followed by every one of `right`. */
static bool multiply(struct arena *arena, struct strings *left, const struct strings *right)
{
    if (left->count * right->count > PRODUCT_MAX && left->count > 1 && right->count > 1)
        return false;
    struct strings product = {0};
    for (size_t i = 0; i < left->count; i++) {
        for (size_t j = 0; j < right->count; j++) {
            struct text whole;
            if (!concatenate(arena, left->items[i], right->items[j], &whole) ||
                !add(arena, &product, whole))
                return false;
        }
    }
    *left = product;
    return true;
}

/* --- The grammar ----------------------------------------------------------------------------- */

static bool expand_alternation(struct expansion *expansion, struct strings *strings_out);

static bool expand_group(struct expansion *expansion, struct strings *strings_out)
{
    expansion->position++; /* ( */
    if (expansion->end - expansion->position >= 2 && expansion->position[0] == '?') {
        if (expansion->position[1] != ':')
            return false; /* flags, names */
        expansion->position += 2;
    }
    if (++expansion->depth > DEPTH_MAX || !expand_alternation(expansion, strings_out))
        return false;
    expansion->depth--;
    if (expansion->position == expansion->end || *expansion->position != ')')
        return false;
    expansion->position++;
    return true;
}

/* [a-f_], of ASCII letters, digits and the harmless rest. */
static bool expand_class(struct expansion *expansion, struct strings *strings_out)
{
    expansion->position++; /* [ */
    while (expansion->position < expansion->end && *expansion->position != ']') {
        unsigned char first = (unsigned char)*expansion->position++;
        unsigned char last = first;
        if (first >= 0x80 || is_special((char)first) || first == '-' || first == '\0')
            return false;
        if (expansion->end - expansion->position >= 2 && expansion->position[0] == '-') {
            last = (unsigned char)expansion->position[1];
            expansion->position += 2;
            if (!is_word((char)first) || !is_word((char)last) || last >= 0x80 || last < first)
                return false;
        }
        for (unsigned character = first; character <= last; character++) {
            char *data = arena_allocate(expansion->arena, 1);
            if (data == NULL)
                return false;
            *data = (char)character;
            if (!add(expansion->arena, strings_out, (struct text){data, 1}))
                return false;
        }
    }
    if (expansion->position == expansion->end || strings_out->count == 0)
        return false;
    expansion->position++;
    return true;
}

/* The next literal run, group or class, and the `?` behind it. */
static bool expand_atom(struct expansion *expansion, struct strings *strings_out)
{
    struct text rest = {expansion->position, (size_t)(expansion->end - expansion->position)};
    struct text literal = pattern_take_literal(rest, expansion->arena, &rest);
    bool single = false; /* a `?` may follow */
    if (literal.size > 0) {
        expansion->position = rest.data;
        if (!add(expansion->arena, strings_out, literal))
            return false;
    } else if (*expansion->position == '(') {
        single = true;
        if (!expand_group(expansion, strings_out))
            return false;
    } else if (*expansion->position == '[') {
        single = true;
        if (!expand_class(expansion, strings_out))
            return false;
    } else {
        /* One character with a repetition behind it, or what is not in this grammar. */
        char *data = arena_allocate(expansion->arena, 4);
        size_t size = 0;
        if (data == NULL)
            return false;
        do {
            if (size == 4 || !take_character(&expansion->position, expansion->end, &data[size]))
                return false;
            size++;
        } while (expansion->position < expansion->end &&
                 ((unsigned char)*expansion->position & 0xc0) == 0x80);
        single = true;
        if (!add(expansion->arena, strings_out, (struct text){data, size}))
            return false;
    }
    if (is_repetition(expansion->position, expansion->end)) {
        if (!single || *expansion->position != '?')
            return false;
        expansion->position++;
        if (is_repetition(expansion->position, expansion->end))
            return false;
        return add(expansion->arena, strings_out, (struct text){0});
    }
    return true;
}

static bool expand_concatenation(struct expansion *expansion, struct strings *strings_out)
{
    if (!add(expansion->arena, strings_out, (struct text){0}))
        return false;
    while (expansion->position < expansion->end && *expansion->position != '|' &&
           *expansion->position != ')') {
        struct strings atom = {0};
        if (!expand_atom(expansion, &atom) || !multiply(expansion->arena, strings_out, &atom))
            return false;
    }
    return true;
}

static bool expand_alternation(struct expansion *expansion, struct strings *strings_out)
{
    for (;;) {
        struct strings alternative = {0};
        if (!expand_concatenation(expansion, &alternative))
            return false;
        for (size_t i = 0; i < alternative.count; i++) {
            if (!add(expansion->arena, strings_out, alternative.items[i]))
                return false;
        }
        if (expansion->position == expansion->end || *expansion->position != '|')
            return true;
        expansion->position++;
    }
}

bool pattern_expand(struct text expression, struct arena *arena, struct text **literals_out,
                    size_t *count_out)
{
    struct expansion expansion = {
        .arena = arena,
        .position = expression.data,
        .end = expression.data + expression.size,
    };
    struct strings strings = {0};
    if (!text_is_utf8(expression) || !expand_alternation(&expansion, &strings) ||
        expansion.position != expansion.end || strings.count > STRINGS_MAX)
        return false;
    *literals_out = strings.items;
    *count_out = strings.count;
    return true;
}
