#include <math.h>

#include "parse.h"

/* Prometheus keeps durations as 64-bit nanoseconds. */
static const double DURATION_SECONDS_MAX = 9223372036.854775807;

/* What is wrong anywhere in a duration is told of the place of the whole. */
static const struct {
    const char *context;
    const char *expected;
} PLACES[] = {
    [DURATION_OF_RANGE] = {"subquery or range selector", "number, duration, step(), or range()"},
    [DURATION_OF_STEP] = {"subquery selector", "number, duration, step(), range(), or \"]\""},
    [DURATION_OF_OFFSET] = {"offset", "number, duration, step(), or range()"},
};

static void *unexpected(struct parser *parser)
{
    return parser_unexpected(parser, PLACES[parser->duration_place].context,
                             PLACES[parser->duration_place].expected);
}

static bool expect(struct parser *parser, enum token_kind kind)
{
    return parser_accept(parser, kind) || unexpected(parser) != NULL;
}

static struct duration_expression *parse_sum(struct parser *parser);

/* --- Nodes ----------------------------------------------------------------------------------- */

static struct duration_expression *create(struct parser *parser, enum duration_operator operation,
                                          uint32_t start, struct duration_expression *left,
                                          struct duration_expression *right)
{
    struct duration_expression *node = arena_array(parser->arena, 1, sizeof *node);
    if (node == NULL)
        return parser_out_of_memory(parser);
    *node = (struct duration_expression){
        .operation = operation,
        .position = {start, parser->previous_end},
        .left = left,
        .right = right,
    };
    return node;
}

/* A sign before a literal is part of it; elsewhere it is a node. */
static struct duration_expression *apply_sign(struct parser *parser, int sign, uint32_t start,
                                              struct duration_expression *operand)
{
    if (operand == NULL)
        return NULL;
    if (operand->operation != DURATION_LITERAL)
        return create(parser, sign < 0 ? DURATION_MINUS : DURATION_PLUS, start, operand, NULL);
    operand->seconds = parser_apply_sign(sign, operand->seconds);
    operand->position.start = start;
    return operand;
}

/* --- Operands -------------------------------------------------------------------------------- */

static struct duration_expression *parse_literal(struct parser *parser)
{
    uint32_t start = parser->token.position.start;
    double seconds;
    bool is_duration;
    if (!parser_take_number(parser, &seconds, &is_duration))
        return NULL;
    struct duration_expression *node = create(parser, DURATION_LITERAL, start, NULL, NULL);
    if (node == NULL)
        return NULL;
    node->seconds = seconds;
    node->is_duration = is_duration;
    return node;
}

/* step(), range(), behind the left parenthesis. */
static struct duration_expression *
parse_query_value(struct parser *parser, enum duration_operator operation, uint32_t start)
{
    return expect(parser, TOKEN_RIGHT_PARENTHESIS) ? create(parser, operation, start, NULL, NULL)
                                                   : NULL;
}

/* min_of(a, b), max_of(a, b), behind the left parenthesis. */
static struct duration_expression *parse_minimum(struct parser *parser,
                                                 enum duration_operator operation, uint32_t start)
{
    struct duration_expression *left = parse_sum(parser);
    if (left == NULL || !expect(parser, TOKEN_COMMA))
        return NULL;
    struct duration_expression *right = parse_sum(parser);
    if (right == NULL || !expect(parser, TOKEN_RIGHT_PARENTHESIS))
        return NULL;
    return create(parser, operation, start, left, right);
}

/* Around a literal they mean nothing, and are forgotten. */
static struct duration_expression *parse_parentheses(struct parser *parser)
{
    uint32_t start = parser->token.position.start;
    parser_advance(parser);
    struct duration_expression *inner = parse_sum(parser);
    if (inner == NULL || !expect(parser, TOKEN_RIGHT_PARENTHESIS))
        return NULL;
    return inner->operation == DURATION_LITERAL
               ? inner
               : create(parser, DURATION_PARENTHESES, start, inner, NULL);
}

/* A literal, a function or parentheses, without sign. */
static struct duration_expression *parse_atom(struct parser *parser)
{
    if (parser_at_number(parser))
        return parse_literal(parser);
    if (parser->token.kind == TOKEN_LEFT_PARENTHESIS)
        return parse_parentheses(parser);
    if (parser->token.kind != TOKEN_WORD)
        return unexpected(parser);
    struct text word = parser_token_text(parser, parser->token);
    enum duration_operator operation =
        parser->token.keyword == KEYWORD_STEP            ? DURATION_STEP
        : parser->token.keyword == KEYWORD_RANGE         ? DURATION_RANGE
        : text_equal_ignoring_case(word, TEXT("min_of")) ? DURATION_MIN
        : text_equal_ignoring_case(word, TEXT("max_of")) ? DURATION_MAX
                                                         : DURATION_LITERAL;
    if (operation == DURATION_LITERAL)
        return unexpected(parser);
    uint32_t start = parser->token.position.start;
    parser_advance(parser);
    if (!expect(parser, TOKEN_LEFT_PARENTHESIS))
        return NULL;
    return operation == DURATION_STEP || operation == DURATION_RANGE
               ? parse_query_value(parser, operation, start)
               : parse_minimum(parser, operation, start);
}

/* --- Operators ------------------------------------------------------------------------------- */

/* The operator at the cursor and its precedence; 0 when there is none of durations. */
static enum precedence operator_at(const struct parser *parser, enum duration_operator *out)
{
    if (parser->token.kind != TOKEN_OPERATOR)
        return 0;
    switch (parser->token.operation) {
    case BINARY_ADD:
        *out = DURATION_ADD;
        return PRECEDENCE_ADD;
    case BINARY_SUBTRACT:
        *out = DURATION_SUBTRACT;
        return PRECEDENCE_ADD;
    case BINARY_MULTIPLY:
        *out = DURATION_MULTIPLY;
        return PRECEDENCE_MULTIPLY;
    case BINARY_DIVIDE:
        *out = DURATION_DIVIDE;
        return PRECEDENCE_MULTIPLY;
    case BINARY_MODULO:
        *out = DURATION_MODULO;
        return PRECEDENCE_MULTIPLY;
    case BINARY_POWER:
        *out = DURATION_POWER;
        return PRECEDENCE_POWER;
    default:
        return 0;
    }
}

static struct duration_expression *parse_operators(struct parser *parser, enum precedence minimum);

static struct duration_expression *parse_operand(struct parser *parser)
{
    uint32_t start = parser->token.position.start;
    int sign = parser_take_sign(parser);
    if (sign == 0)
        return parse_atom(parser);
    return apply_sign(parser, sign, start, parse_operators(parser, PRECEDENCE_POWER));
}

/*
 * Each operator counts as a level while its chain is read, so that neither this recursion nor the
 * depth of what it makes passes PROMQL_DEPTH_MAX.
 */
static struct duration_expression *parse_operators(struct parser *parser, enum precedence minimum)
{
    unsigned nesting = parser->nesting;
    if (!parser_enter(parser))
        return NULL;
    struct duration_expression *left = parse_operand(parser);
    enum duration_operator operation = DURATION_ADD;
    enum precedence precedence;
    while (left != NULL && (precedence = operator_at(parser, &operation)) >= minimum &&
           precedence != 0) {
        if (!parser_enter(parser))
            return NULL;
        uint32_t start = parser->token.position.start;
        parser_advance(parser);
        struct duration_expression *right =
            parse_operators(parser, precedence == PRECEDENCE_POWER ? precedence : precedence + 1);
        if (right == NULL)
            return NULL;
        bool by_zero = right->operation == DURATION_LITERAL && right->seconds == 0;
        if (by_zero && (operation == DURATION_DIVIDE || operation == DURATION_MODULO))
            return parser_fail(parser, start, "%s by zero",
                               operation == DURATION_DIVIDE ? "division" : "modulo");
        left = create(parser, operation, left->position.start, left, right);
    }
    parser->nesting = nesting;
    return left;
}

static struct duration_expression *parse_sum(struct parser *parser)
{
    return parse_operators(parser, PRECEDENCE_ADD);
}

/* --- Ranges and offsets ---------------------------------------------------------------------- */

/* A literal becomes milliseconds at once. */
static bool finish(struct parser *parser, struct duration_expression *node, enum duration_sign sign,
                   struct duration *duration_out)
{
    if (node->operation != DURATION_LITERAL) {
        node->sign = sign;
        node->next = parser->durations;
        parser->durations = node;
        *duration_out = (struct duration){.expression = node};
        return true;
    }
    if (!(fabs(node->seconds) < DURATION_SECONDS_MAX))
        return parser_fail(parser, node->position.start, "duration out of range");
    int64_t nanoseconds = (int64_t)round(node->seconds * 1e9);
    int64_t milliseconds = nanoseconds / 1000000;
    if (sign == DURATION_POSITIVE && milliseconds <= 0)
        return parser_fail(parser, node->position.start, "duration must be greater than 0");
    *duration_out = (struct duration){.milliseconds = milliseconds};
    return true;
}

bool parse_range_duration(struct parser *parser, enum duration_place place,
                          struct duration *duration_out)
{
    parser->duration_place = place;
    struct duration_expression *node = parse_sum(parser);
    return node != NULL && finish(parser, node, DURATION_POSITIVE, duration_out);
}

bool parse_offset_duration(struct parser *parser, struct duration *duration_out)
{
    parser->duration_place = DURATION_OF_OFFSET;
    uint32_t start = parser->token.position.start;
    int sign = parser_take_sign(parser);
    struct duration_expression *node = parse_atom(parser);
    if (sign != 0)
        node = apply_sign(parser, sign, start, node);
    return node != NULL && finish(parser, node, DURATION_ANY_SIGN, duration_out);
}
