/*
 * parser - text to syntax tree and back.
 *
 * Time is linear in the text; memory comes from the caller's arena, except for the matchers, which
 * the query owns. Nesting deeper than PROMQL_DEPTH_MAX and texts longer than PROMQL_TEXT_BYTES_MAX
 * are refused, so that neither the parser nor whoever walks a tree can exhaust the stack.
 * Thread-safe: no state but the arguments.
 */
#ifndef PROMQL_PARSER_H
#define PROMQL_PARSER_H

#include <stddef.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/text.h"
#include "promql/ast.h"

enum {
    PROMQL_TEXT_BYTES_MAX = 1024 * 1024,
    PROMQL_DEPTH_MAX = 1000, /* of the tree, root to leaf */
};

/* Prometheus' feature flags of the language as one (setting query.experimental). */
enum promql_features {
    PROMQL_STABLE,       /* duration expressions and all that Prometheus 3.14 has on by default */
    PROMQL_EXPERIMENTAL, /* experimental functions and aggregations, anchored and smoothed
                            selectors, fill modifiers as well */
};

struct promql_options {
    enum promql_features features;
};

struct promql_query {
    struct text text; /* a copy in the arena; positions point into it */
    const struct expression *root;
    struct matcher **matchers; /* [matcher_count], every matcher of the tree, owned */
    size_t matcher_count;
    const struct duration_expression *durations; /* NULL: all are literals */
};

/*
 * Parse and type-check a query. Call promql_query_clear before the arena goes.
 *
 * Errors: INVALID with "line:column: parse error: reason" in the words of Prometheus, columns
 * counted in bytes from 1; LIMIT (too long, too deep); OUT_OF_MEMORY.
 */
enum error_code promql_parse(struct text text, const struct promql_options *options,
                             struct arena *arena, struct promql_query *query_out,
                             struct error *error);

/*
 * Parse a series selector alone, as match[] takes it: no offset, no @, no range. The root is an
 * EXPRESSION_SELECTOR. It may select every series ({}): whoever minds asks promql_refuses_empty
 * (promql/selectors.h). As promql_parse otherwise.
 */
enum error_code promql_parse_selector(struct text text, struct arena *arena,
                                      struct promql_query *query_out, struct error *error);

/* Destroys the matchers; the tree must not be used afterwards. An empty query is fine. */
void promql_query_clear(struct promql_query *query);

/*
 * The canonical text of an expression on one line, appended to `buffer` (whose `failed` tells when
 * memory is out). Parsing it gives an equal tree but for the positions.
 */
void promql_print(const struct expression *expression, struct byte_buffer *buffer);

/*
 * The same on several lines, as Prometheus' format_query lays it out: what is longer than a line
 * of 100 bytes is split where its operands begin, and these are indented. What would pass
 * PROMQL_PRETTY_BYTES_MAX (deep trees are mostly indentation) is cut there, of no use.
 */
enum { PROMQL_PRETTY_BYTES_MAX = 16 * 1024 * 1024 };
void promql_print_pretty(const struct expression *expression, struct byte_buffer *buffer);

/* Same tree: kinds, types, values by their bits, names, matchers; positions and the + before a
 * duration aside. */
bool promql_equal(const struct expression *left, const struct expression *right);

/* "line:column", both from 1, of a byte offset in `text`; written to `target`, returned. */
enum { PROMQL_POSITION_BYTES = 24 };
const char *promql_position(char target[PROMQL_POSITION_BYTES], struct text text, uint32_t offset);

#endif
