/*
 * matcher - selects series by one label: =, !=, =~, !~.
 *
 * Regular expressions are Go's syntax (RE2), matched against the whole value, `.` matches a
 * newline. Literals, alternations of literals, prefixes, suffixes and infixes never reach RE2.
 * Immutable after creation; any number of threads may match.
 */
#ifndef MODEL_MATCHER_H
#define MODEL_MATCHER_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/text.h"
#include "model/labels.h"

enum matcher_type { MATCHER_EQUAL, MATCHER_NOT_EQUAL, MATCHER_REGEX, MATCHER_NOT_REGEX };

struct matcher_pattern; /* a compiled regular expression */

struct matcher {
    enum matcher_type type;
    struct text name;
    struct text value;               /* the literal or the expression */
    struct matcher_pattern *pattern; /* NULL for = and != */
};

/*
 * Copies name and value to the heap. Errors: INVALID (the expression, with RE2's reason), LIMIT
 * (the compiled expression is too large), OUT_OF_MEMORY.
 */
enum error_code matcher_create(enum matcher_type type, struct text name, struct text value,
                               struct matcher **matcher_out, struct error *error);
void matcher_destroy(struct matcher *matcher);

/* Whether a series whose label `name` has `value` (empty: no such label) is selected. */
bool matcher_matches(const struct matcher *matcher, struct text value);

/* Whether a series without the label is selected; such a matcher can't be answered by the
 * postings of its matching values alone. */
static inline bool matcher_matches_empty(const struct matcher *matcher)
{
    return matcher_matches(matcher, (struct text){0});
}

/*
 * When the matcher selects just literal values (= or an alternation), those, sorted; the array
 * lives as long as the matcher. The empty value may be among them: series without the label. False
 * when values must be tried one by one. Negated types: false.
 */
bool matcher_literals(const struct matcher *matcher, const struct text **values_out,
                      size_t *count_out);

/* A literal prefix that every matching value has; may be empty. Negated types: empty. */
struct text matcher_prefix(const struct matcher *matcher);

#endif
