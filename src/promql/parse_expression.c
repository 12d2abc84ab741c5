#include <math.h>

#include "parse.h"

/* --- Nodes ----------------------------------------------------------------------------------- */

struct expression *parse_create(struct parser *parser, enum expression_kind kind,
                                enum value_type type, struct text_range position,
                                unsigned child_depth)
{
    if (child_depth >= PROMQL_DEPTH_MAX) {
        error_set(parser->error, ERROR_LIMIT, "query nests deeper than %d levels",
                  PROMQL_DEPTH_MAX);
        return NULL;
    }
    struct expression *expression = arena_array(parser->arena, 1, sizeof *expression);
    if (expression == NULL)
        return parser_out_of_memory(parser);
    expression->kind = kind;
    expression->type = type;
    expression->position = position;
    expression->depth = (uint16_t)(child_depth + 1);
    return expression;
}

static struct expression *parse_number(struct parser *parser)
{
    uint32_t start = parser->token.position.start;
    struct number_node number;
    if (!parser_take_number(parser, &number.value, &number.is_duration))
        return NULL;
    struct text_range position = {start, parser->previous_end};
    struct expression *expression =
        parse_create(parser, EXPRESSION_NUMBER, VALUE_SCALAR, position, 0);
    if (expression == NULL)
        return NULL;
    expression->step_invariant = true;
    expression->number = number;
    return expression;
}

static struct expression *parse_string(struct parser *parser)
{
    uint32_t start = parser->token.position.start;
    struct text value;
    if (!parser_take_string(parser, &value))
        return NULL;
    struct text_range position = {start, parser->previous_end};
    struct expression *expression =
        parse_create(parser, EXPRESSION_STRING, VALUE_STRING, position, 0);
    if (expression == NULL)
        return NULL;
    expression->step_invariant = true;
    expression->string.value = value;
    return expression;
}

static struct expression *parse_parentheses(struct parser *parser)
{
    uint32_t start = parser->token.position.start;
    parser_advance(parser);
    struct expression *operand = parse_expression(parser, PRECEDENCE_LOWEST);
    if (operand == NULL || !parser_expect(parser, TOKEN_RIGHT_PARENTHESIS, NULL, NULL))
        return NULL;
    struct text_range position = {start, parser->previous_end};
    struct expression *expression =
        parse_create(parser, EXPRESSION_PARENTHESES, operand->type, position, operand->depth);
    if (expression == NULL)
        return NULL;
    expression->step_invariant = operand->step_invariant;
    expression->parentheses.operand = operand;
    return expression;
}

/* A sign binds weaker than ^ only. Before a literal it belongs to the literal. */
static struct expression *parse_unary(struct parser *parser)
{
    uint32_t start = parser->token.position.start;
    int sign = parser_take_sign(parser);
    struct expression *operand = parse_expression(parser, PRECEDENCE_POWER);
    if (operand == NULL)
        return NULL;
    if (operand->kind == EXPRESSION_NUMBER) {
        operand->number.value = parser_apply_sign(sign, operand->number.value);
        operand->position.start = start;
        return operand;
    }
    struct text_range position = {start, operand->position.end};
    struct expression *expression =
        parse_create(parser, EXPRESSION_UNARY, operand->type, position, operand->depth);
    if (expression == NULL)
        return NULL;
    expression->step_invariant = operand->step_invariant;
    expression->unary = (struct unary_node){sign < 0 ? UNARY_MINUS : UNARY_PLUS, operand};
    return expression;
}

/* --- Ranges ---------------------------------------------------------------------------------- */

static struct expression *finish_matrix(struct parser *parser, struct expression *operand,
                                        uint32_t bracket, struct duration range)
{
    if (operand->kind != EXPRESSION_SELECTOR)
        return parser_fail(parser, bracket, "ranges only allowed for vector selectors");
    const struct time_shift *shift = &operand->selector.shift;
    if (shift->offset.milliseconds != 0 || shift->offset.expression != NULL)
        return parser_fail(parser, bracket, "no offset modifiers allowed before range");
    if (shift->at != AT_NONE)
        return parser_fail(parser, bracket, "no @ modifiers allowed before range");

    struct text_range position = {operand->position.start, parser->previous_end};
    struct expression *expression =
        parse_create(parser, EXPRESSION_MATRIX, VALUE_MATRIX, position, operand->depth);
    if (expression != NULL)
        expression->matrix = (struct matrix_node){.selector = operand, .range = range};
    return expression;
}

/* [range], [range:], [range:step] behind `operand`. */
static struct expression *parse_range(struct parser *parser, struct expression *operand)
{
    uint32_t bracket = parser->token.position.start;
    struct subquery_node node = {.operand = operand};
    parser_advance(parser);
    if (!parse_range_duration(parser, DURATION_OF_RANGE, &node.range))
        return NULL;
    if (parser_accept(parser, TOKEN_RIGHT_BRACKET))
        return finish_matrix(parser, operand, bracket, node.range);
    if (!parser_expect(parser, TOKEN_COLON, "subquery or range", "\":\" or \"]\""))
        return NULL;
    node.has_step = parser->token.kind != TOKEN_RIGHT_BRACKET;
    if (node.has_step && !parse_range_duration(parser, DURATION_OF_STEP, &node.step))
        return NULL;
    if (!parser_expect(parser, TOKEN_RIGHT_BRACKET, "subquery selector", "\"]\""))
        return NULL;

    struct text_range position = {operand->position.start, parser->previous_end};
    struct expression *expression =
        parse_create(parser, EXPRESSION_SUBQUERY, VALUE_MATRIX, position, operand->depth);
    if (expression != NULL)
        expression->subquery = node;
    return expression;
}

/* --- Modifiers behind an operand ------------------------------------------------------------- */

/*
 * The selector whose modifiers those of `expression` are; NULL when it has none. The parser made
 * it, and nobody else has seen it yet, so it may be completed.
 */
static struct selector_node *selector_of(struct expression *expression)
{
    if (expression->kind == EXPRESSION_MATRIX)
        return &((struct expression *)expression->matrix.selector)->selector;
    return expression->kind == EXPRESSION_SELECTOR ? &expression->selector : NULL;
}

static struct time_shift *shift_of(struct expression *expression)
{
    if (expression->kind == EXPRESSION_SUBQUERY)
        return &expression->subquery.shift;
    struct selector_node *selector = selector_of(expression);
    return selector == NULL ? NULL : &selector->shift;
}

static bool parse_offset(struct parser *parser, struct expression *operand)
{
    struct duration offset;
    parser_advance(parser);
    if (!parse_offset_duration(parser, &offset))
        return false;
    struct time_shift *shift = shift_of(operand);
    if (shift == NULL)
        return parser_fail(parser, operand->position.start,
                           "offset modifier must be preceded by an instant vector selector or "
                           "range vector selector or a subquery");
    if (shift->offset.milliseconds != 0 || shift->offset.expression != NULL)
        return parser_fail(parser, operand->position.start, "offset may not be set multiple times");
    shift->offset = offset;
    return true;
}

/* Milliseconds have to fit 64 bits. */
static const double TIMESTAMP_SECONDS_MAX = 9223372036854774.0;

/* start(), end() or seconds since the epoch, of the selector that starts at `start`. */
static bool parse_at_value(struct parser *parser, uint32_t start, struct time_shift *shift_out)
{
    if (parser->token.kind == TOKEN_WORD &&
        (parser->token.keyword == KEYWORD_START || parser->token.keyword == KEYWORD_END)) {
        shift_out->at = parser->token.keyword == KEYWORD_START ? AT_START : AT_END;
        parser_advance(parser);
        return parser_expect(parser, TOKEN_LEFT_PARENTHESIS, "@", "timestamp") &&
               parser_expect(parser, TOKEN_RIGHT_PARENTHESIS, "@", "timestamp");
    }
    int sign = parser_take_sign(parser);
    double seconds;
    bool is_duration;
    if (!parser_at_number(parser))
        return parser_unexpected(parser, "@", "timestamp");
    if (!parser_take_number(parser, &seconds, &is_duration))
        return false;
    seconds = parser_apply_sign(sign, seconds);
    if (!isfinite(seconds))
        return parser_fail(parser, start, "timestamp out of bounds for @ modifier: %s",
                           isnan(seconds) ? "NaN"
                           : seconds > 0  ? "+Inf"
                                          : "-Inf");
    if (!(fabs(seconds) < TIMESTAMP_SECONDS_MAX))
        return parser_fail(parser, start, "timestamp out of bounds for @ modifier: %f", seconds);
    shift_out->at = AT_TIMESTAMP;
    shift_out->at_timestamp_ms = (int64_t)round(seconds * 1000);
    return true;
}

static bool parse_at(struct parser *parser, struct expression *operand)
{
    struct time_shift parsed = {0};
    parser_advance(parser);
    if (!parse_at_value(parser, operand->position.start, &parsed))
        return false;
    struct time_shift *shift = shift_of(operand);
    if (shift == NULL)
        return parser_fail(parser, operand->position.start,
                           "@ modifier must be preceded by an instant vector selector or range "
                           "vector selector or a subquery");
    if (shift->at != AT_NONE)
        return parser_fail(parser, operand->position.start,
                           "@ <timestamp> may not be set multiple times");
    shift->at = parsed.at;
    shift->at_timestamp_ms = parsed.at_timestamp_ms;
    return true;
}

static bool parse_mode(struct parser *parser, struct expression *operand, enum range_mode mode)
{
    const char *name = mode == RANGE_ANCHORED ? "anchored" : "smoothed";
    uint32_t start = operand->position.start;
    if (parser->features != PROMQL_EXPERIMENTAL)
        return parser_fail(parser, parser->token.position.start,
                           "%s modifier is experimental and not enabled", name);
    parser_advance(parser);
    struct selector_node *selector = selector_of(operand);
    if (operand->kind == EXPRESSION_SUBQUERY)
        return parser_fail(parser, start, "%s modifier is not supported for subqueries", name);
    if (selector == NULL)
        return parser_fail(parser, start,
                           "%s modifier must be preceded by an instant vector selector or range "
                           "vector selector",
                           name);
    if (selector->mode != RANGE_PLAIN && selector->mode != mode)
        return parser_fail(parser, start,
                           "anchored and smoothed modifiers cannot be used together");
    selector->mode = mode;
    return true;
}

/* A pinned selector is the same at every step, and so is what has it as a whole. */
static void update(struct parser *parser, struct expression *operand)
{
    const struct time_shift *shift = shift_of(operand);
    bool pinned = shift != NULL && shift->at != AT_NONE;
    operand->position.end = parser->previous_end;
    operand->step_invariant = pinned;
    if (operand->kind == EXPRESSION_MATRIX)
        ((struct expression *)operand->matrix.selector)->step_invariant = pinned;
}

static struct expression *parse_modifiers(struct parser *parser, struct expression *operand)
{
    while (operand != NULL) {
        enum keyword keyword =
            parser->token.kind == TOKEN_WORD ? parser->token.keyword : KEYWORD_NONE;
        bool parsed;
        if (parser->token.kind == TOKEN_LEFT_BRACKET) {
            operand = parse_range(parser, operand);
            continue;
        }
        if (keyword == KEYWORD_OFFSET)
            parsed = parse_offset(parser, operand);
        else if (parser->token.kind == TOKEN_AT)
            parsed = parse_at(parser, operand);
        else if (keyword == KEYWORD_ANCHORED)
            parsed = parse_mode(parser, operand, RANGE_ANCHORED);
        else if (keyword == KEYWORD_SMOOTHED)
            parsed = parse_mode(parser, operand, RANGE_SMOOTHED);
        else
            break;
        if (!parsed)
            return NULL;
        update(parser, operand);
    }
    return operand;
}

/* --- Operands and operators ------------------------------------------------------------------ */

/* A word: an aggregation, a call, or the name of a metric. */
static struct expression *parse_word(struct parser *parser)
{
    bool called = parser->ahead.kind == TOKEN_LEFT_PARENTHESIS;
    bool grouped = parser->ahead.kind == TOKEN_WORD && (parser->ahead.keyword == KEYWORD_BY ||
                                                        parser->ahead.keyword == KEYWORD_WITHOUT);
    switch (parser->token.keyword) {
    case KEYWORD_NUMBER:
        return parse_number(parser);
    case KEYWORD_AGGREGATION:
        return called || grouped ? parse_aggregation(parser) : parse_selector(parser);
    case KEYWORD_NONE:
        called = called && label_name_is_legacy(parser_token_text(parser, parser->token));
        return called ? parse_call(parser) : parse_selector(parser);
    case KEYWORD_START:
    case KEYWORD_END:
    case KEYWORD_STEP:
    case KEYWORD_RANGE:
        return called ? parse_call(parser) : parse_selector(parser);
    default:
        return parse_selector(parser);
    }
}

bool parse_at_operand(const struct parser *parser)
{
    switch (parser->token.kind) {
    case TOKEN_ERROR:
    case TOKEN_NUMBER:
    case TOKEN_DURATION:
    case TOKEN_STRING:
    case TOKEN_LEFT_PARENTHESIS:
    case TOKEN_LEFT_BRACE:
        return true;
    case TOKEN_WORD:
        return parser->token.keyword == KEYWORD_NUMBER ||
               lexer_word_is_metric_name(parser_token_text(parser, parser->token));
    case TOKEN_OPERATOR:
        return parser->token.operation == BINARY_ADD || parser->token.operation == BINARY_SUBTRACT;
    default:
        return false;
    }
}

static struct expression *parse_operand(struct parser *parser)
{
    switch (parser->token.kind) {
    case TOKEN_NUMBER:
    case TOKEN_DURATION:
        return parse_modifiers(parser, parse_number(parser));
    case TOKEN_STRING:
        return parse_modifiers(parser, parse_string(parser));
    case TOKEN_LEFT_PARENTHESIS:
        return parse_modifiers(parser, parse_parentheses(parser));
    case TOKEN_LEFT_BRACE:
        return parse_modifiers(parser, parse_selector(parser));
    case TOKEN_WORD:
        return parse_modifiers(parser, parse_word(parser));
    case TOKEN_OPERATOR:
        if (parser->token.operation == BINARY_ADD || parser->token.operation == BINARY_SUBTRACT)
            return parse_unary(parser);
        break;
    default:
        break;
    }
    return parser_unexpected(parser, NULL, NULL);
}

/* 0 when the token is no binary operator. */
static enum precedence precedence_at(const struct parser *parser)
{
    bool is_operator =
        parser->token.kind == TOKEN_OPERATOR ||
        (parser->token.kind == TOKEN_WORD && parser->token.keyword == KEYWORD_OPERATOR);
    if (!is_operator)
        return 0;
    switch (parser->token.operation) {
    case BINARY_OR:
        return PRECEDENCE_OR;
    case BINARY_AND:
    case BINARY_UNLESS:
        return PRECEDENCE_AND;
    case BINARY_ADD:
    case BINARY_SUBTRACT:
        return PRECEDENCE_ADD;
    case BINARY_MULTIPLY:
    case BINARY_DIVIDE:
    case BINARY_MODULO:
    case BINARY_ATAN2:
        return PRECEDENCE_MULTIPLY;
    case BINARY_POWER:
        return PRECEDENCE_POWER;
    default:
        return PRECEDENCE_COMPARISON;
    }
}

/* The operator at the cursor and its right side. */
static struct expression *parse_binary(struct parser *parser, const struct expression *left,
                                       enum precedence precedence)
{
    struct binary_node node = {.operation = parser->token.operation, .left = left};
    struct vector_matching *matching = arena_array(parser->arena, 1, sizeof *matching);
    if (matching == NULL)
        return parser_out_of_memory(parser);
    parser_advance(parser);
    if (!parse_matching(parser, &node.returns_bool, matching))
        return NULL;
    /* All but ^ group from the left. */
    node.right =
        parse_expression(parser, precedence == PRECEDENCE_POWER ? precedence : precedence + 1);
    if (node.right == NULL)
        return NULL;
    if (binary_operator_is_set(node.operation) && matching->cardinality == MATCH_ONE_TO_ONE)
        matching->cardinality = MATCH_MANY_TO_MANY;
    /* Matching means nothing without two vectors; what was asked for is kept to be refused. */
    bool vectors = left->type == VALUE_VECTOR && node.right->type == VALUE_VECTOR;
    if (vectors || matching->label_count > 0 || matching->has_fill_left || matching->has_fill_right)
        node.matching = matching;

    bool scalar = left->type == VALUE_SCALAR && node.right->type == VALUE_SCALAR;
    unsigned depth = left->depth > node.right->depth ? left->depth : node.right->depth;
    struct text_range position = {left->position.start, node.right->position.end};
    struct expression *expression = parse_create(
        parser, EXPRESSION_BINARY, scalar ? VALUE_SCALAR : VALUE_VECTOR, position, depth);
    if (expression == NULL)
        return NULL;
    expression->step_invariant = left->step_invariant && node.right->step_invariant;
    expression->binary = node;
    return expression;
}

struct expression *parse_expression(struct parser *parser, enum precedence minimum)
{
    if (!parser_enter(parser))
        return NULL;
    struct expression *expression = parse_operand(parser);
    enum precedence precedence;
    while (expression != NULL && (precedence = precedence_at(parser)) >= minimum)
        expression = parse_binary(parser, expression, precedence);
    parser_leave(parser);
    return expression;
}
