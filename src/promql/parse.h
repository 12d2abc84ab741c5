/*
 * parse - the parts of the parser among themselves.
 *
 * A recursive descent over the expression grammar with precedence climbing for binary operators.
 * Functions that parse return NULL (or false) once parser->error is set; nothing is undone then,
 * the arena and the list of matchers hold what was made so far. Types of whole expressions are
 * set as nodes are made, and judged afterwards by parse_check.
 *
 *   parser.c            entry points
 *   parse_tokens.c      the cursor, messages, literals
 *   parse_expression.c  operators, operands, modifiers behind them
 *   parse_call.c        functions, aggregations, label lists, vector matching
 *   parse_selector.c    names and matchers
 *   parse_duration.c    ranges and offsets
 *   parse_check.c       types and rules
 */
#ifndef PROMQL_PARSE_H
#define PROMQL_PARSE_H

#include "base/arena.h"
#include "lexer.h"
#include "promql/parser.h"

enum duration_place { DURATION_OF_RANGE, DURATION_OF_STEP, DURATION_OF_OFFSET };

struct parser {
    struct lexer lexer;
    struct token token;    /* the next to be taken */
    struct token ahead;    /* the one after */
    uint32_t previous_end; /* of the last taken */
    enum promql_features features;
    struct arena *arena;
    struct error *error;
    bool is_selector_alone; /* which may select everything */
    const char *enclosing;  /* what an unexpected token is in when nothing nearer is; or NULL */
    unsigned nesting;       /* of the recursion, at most PROMQL_DEPTH_MAX */
    struct matcher **matchers;
    size_t matcher_count;
    size_t matcher_capacity;
    enum duration_place duration_place;          /* of the one being parsed */
    const struct duration_expression *durations; /* to be evaluated, the last one first */
};

/* --- Tokens (parse_tokens.c) ----------------------------------------------------------------- */

void parser_advance(struct parser *parser);
struct text parser_token_text(const struct parser *parser, struct token token);

/* Take the token if it is of `kind`. */
bool parser_accept(struct parser *parser, enum token_kind kind);

/* Take it, or fail as parser_unexpected does. */
bool parser_expect(struct parser *parser, enum token_kind kind, const char *context,
                   const char *expected);

/* Set the error "line:column: parse error: ...". NULL, for `return parser_fail(...)`, which is
 * false where a bool is returned. */
void *parser_fail(struct parser *parser, uint32_t offset, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* "unexpected <what> in <context>, expected <expected>"; either may be NULL, and then the context
 * is parser->enclosing. NULL. */
void *parser_unexpected(struct parser *parser, const char *context, const char *expected);

void *parser_out_of_memory(struct parser *parser);

/* Room for one more in an array of the arena; NULL and the error when memory is out. */
void *parser_grow(struct parser *parser, void *array, size_t count, size_t *capacity,
                  size_t element_bytes);

/* Count one level of recursion; false and the error LIMIT when it is too deep. */
bool parser_enter(struct parser *parser);
void parser_leave(struct parser *parser);

/* Whether the token is a number, a duration, inf or nan; its value, a duration in seconds. */
bool parser_at_number(const struct parser *parser);
bool parser_take_number(struct parser *parser, double *value_out, bool *is_duration_out);

/* + or -, when one is there: 1 or -1; 0 otherwise. */
int parser_take_sign(struct parser *parser);

/* `value` with the sign in front of it; there is one NaN only. */
double parser_apply_sign(int sign, double value);

/* The characters of a TOKEN_STRING, unescaped. */
bool parser_take_string(struct parser *parser, struct text *value_out);

/* --- Grammar --------------------------------------------------------------------------------- */

/* The lowest first; parse_expression reads operators of at least `precedence`. */
enum precedence {
    PRECEDENCE_LOWEST = 1,
    PRECEDENCE_OR = 1,
    PRECEDENCE_AND,
    PRECEDENCE_COMPARISON,
    PRECEDENCE_ADD,
    PRECEDENCE_MULTIPLY,
    PRECEDENCE_POWER,
};

/* A node without its member; children of `depth` at most. */
struct expression *parse_create(struct parser *parser, enum expression_kind kind,
                                enum value_type type, struct text_range position,
                                unsigned child_depth);

struct expression *parse_expression(struct parser *parser, enum precedence precedence);

/* Whether an expression may begin here; an error of the lexer counts as one. */
bool parse_at_operand(const struct parser *parser);

/* At a word or a brace. */
struct expression *parse_selector(struct parser *parser);
struct expression *parse_call(struct parser *parser);
struct expression *parse_aggregation(struct parser *parser);

/* ( label, "quoted label", ... ) */
bool parse_labels(struct parser *parser, const struct text **labels_out, size_t *count_out);

/* What may follow a binary operator: bool, on/ignoring, group_left/right, fill. */
bool parse_matching(struct parser *parser, bool *returns_bool_out,
                    struct vector_matching *matching_out);

/* Inside brackets: greater than 0. After offset: of any sign, an expression in parentheses. */
bool parse_range_duration(struct parser *parser, enum duration_place place,
                          struct duration *duration_out);
bool parse_offset_duration(struct parser *parser, struct duration *duration_out);

/* The rules of types, arguments and matchers, over the whole tree. */
bool parse_check(struct parser *parser, const struct expression *expression);

#endif
