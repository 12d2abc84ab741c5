#include "parse.h"

/* --- Labels ---------------------------------------------------------------------------------- */

static const char GROUPING[] = "grouping opts";

static bool take_label(struct parser *parser, struct text *label_out)
{
    uint32_t start = parser->token.position.start;
    if (parser->token.kind == TOKEN_STRING) {
        if (!parser_take_string(parser, label_out))
            return false;
        if (label_out->size == 0 || !text_is_utf8(*label_out))
            return parser_fail(parser, start, "invalid label name: \"%.*s\"",
                               TEXT_ARGUMENTS(*label_out));
        return true;
    }
    *label_out = parser_token_text(parser, parser->token);
    if (parser->token.kind != TOKEN_WORD || parser->token.keyword == KEYWORD_NUMBER ||
        parser->token.keyword == KEYWORD_WITHOUT)
        return parser_unexpected(parser, GROUPING, "label");
    parser_advance(parser);
    return true;
}

bool parse_labels(struct parser *parser, const struct text **labels_out, size_t *count_out)
{
    struct text *labels = NULL;
    size_t count = 0;
    size_t capacity = 0;
    if (!parser_expect(parser, TOKEN_LEFT_PARENTHESIS, GROUPING, "\"(\""))
        return false;
    while (parser->token.kind != TOKEN_RIGHT_PARENTHESIS) {
        labels = parser_grow(parser, labels, count, &capacity, sizeof *labels);
        if (labels == NULL || !take_label(parser, &labels[count]))
            return false;
        count++;
        if (parser->token.kind != TOKEN_RIGHT_PARENTHESIS &&
            !parser_expect(parser, TOKEN_COMMA, GROUPING, "\",\" or \")\""))
            return false;
    }
    parser_advance(parser);
    *labels_out = labels;
    *count_out = count;
    return true;
}

/* --- Vector matching ------------------------------------------------------------------------- */

static bool at_keyword(const struct parser *parser, enum keyword keyword)
{
    return parser->token.kind == TOKEN_WORD && parser->token.keyword == keyword;
}

/* group_left, group_right, each with labels or without. */
static bool parse_group(struct parser *parser, struct vector_matching *matching)
{
    if (at_keyword(parser, KEYWORD_GROUP_LEFT))
        matching->cardinality = MATCH_MANY_TO_ONE;
    else if (at_keyword(parser, KEYWORD_GROUP_RIGHT))
        matching->cardinality = MATCH_ONE_TO_MANY;
    else
        return true;
    parser_advance(parser);
    if (parser->token.kind == TOKEN_LEFT_PARENTHESIS)
        return parse_labels(parser, &matching->included_labels, &matching->included_label_count);
    return parse_at_operand(parser) || parser_unexpected(parser, GROUPING, "\"(\"") != NULL;
}

/* ( number ) behind fill, fill_left or fill_right. */
static bool parse_fill_value(struct parser *parser, double *value_out)
{
    uint32_t start = parser->token.position.start;
    bool is_duration;
    if (parser->features != PROMQL_EXPERIMENTAL)
        return parser_fail(parser, start, "fill modifiers are experimental and not enabled");
    parser_advance(parser);
    parser_advance(parser);
    int sign = parser_take_sign(parser);
    if (!parser_at_number(parser))
        return parser_unexpected(parser, NULL, NULL);
    if (!parser_take_number(parser, value_out, &is_duration))
        return false;
    *value_out = parser_apply_sign(sign, *value_out);
    return parser_expect(parser, TOKEN_RIGHT_PARENTHESIS, NULL, NULL);
}

/* fill(both), or fill_left and fill_right in any order. As names they have no parenthesis. */
static bool parse_fill(struct parser *parser, struct vector_matching *matching)
{
    if (parser->ahead.kind != TOKEN_LEFT_PARENTHESIS)
        return true;
    if (at_keyword(parser, KEYWORD_FILL)) {
        matching->has_fill_left = true;
        matching->has_fill_right = true;
        if (!parse_fill_value(parser, &matching->fill_left))
            return false;
        matching->fill_right = matching->fill_left;
        return true;
    }
    while (parser->ahead.kind == TOKEN_LEFT_PARENTHESIS) {
        if (at_keyword(parser, KEYWORD_FILL_LEFT) && !matching->has_fill_left) {
            matching->has_fill_left = true;
            if (!parse_fill_value(parser, &matching->fill_left))
                return false;
        } else if (at_keyword(parser, KEYWORD_FILL_RIGHT) && !matching->has_fill_right) {
            matching->has_fill_right = true;
            if (!parse_fill_value(parser, &matching->fill_right))
                return false;
        } else {
            break;
        }
    }
    return true;
}

bool parse_matching(struct parser *parser, bool *returns_bool_out,
                    struct vector_matching *matching_out)
{
    struct vector_matching matching = {0};
    *returns_bool_out = at_keyword(parser, KEYWORD_BOOL);
    if (*returns_bool_out)
        parser_advance(parser);
    if (at_keyword(parser, KEYWORD_ON) || at_keyword(parser, KEYWORD_IGNORING)) {
        matching.labels_mode = at_keyword(parser, KEYWORD_ON) ? MATCH_ON : MATCH_IGNORING;
        parser_advance(parser);
        if (!parse_labels(parser, &matching.labels, &matching.label_count) ||
            !parse_group(parser, &matching))
            return false;
    }
    if (!parse_fill(parser, &matching))
        return false;
    *matching_out = matching;
    return true;
}

/* --- Arguments ------------------------------------------------------------------------------- */

struct arguments {
    const struct expression **items;
    size_t count;
    unsigned depth;
    bool step_invariant; /* all of them */
};

/* ( expression, expression ) */
static bool parse_arguments(struct parser *parser, struct arguments *arguments_out)
{
    struct arguments arguments = {.step_invariant = true};
    size_t capacity = 0;
    if (!parser_expect(parser, TOKEN_LEFT_PARENTHESIS, NULL, NULL))
        return false;
    while (parser->token.kind != TOKEN_RIGHT_PARENTHESIS) {
        arguments.items = parser_grow(parser, arguments.items, arguments.count, &capacity,
                                      sizeof *arguments.items);
        if (arguments.items == NULL)
            return false;
        const struct expression *argument = parse_expression(parser, PRECEDENCE_LOWEST);
        if (argument == NULL)
            return false;
        arguments.items[arguments.count++] = argument;
        arguments.step_invariant = arguments.step_invariant && argument->step_invariant;
        if (argument->depth > arguments.depth)
            arguments.depth = argument->depth;

        uint32_t comma = parser->token.position.start;
        if (parser->token.kind == TOKEN_RIGHT_PARENTHESIS)
            break;
        if (!parser_expect(parser, TOKEN_COMMA, NULL, NULL))
            return false;
        if (!parse_at_operand(parser))
            return parser_fail(parser, comma, "trailing commas not allowed in function call args");
    }
    parser_advance(parser);
    *arguments_out = arguments;
    return true;
}

/* --- Functions ------------------------------------------------------------------------------- */

struct expression *parse_call(struct parser *parser)
{
    uint32_t start = parser->token.position.start;
    struct text name = parser_token_text(parser, parser->token);
    struct arguments arguments;
    enum function_id id;
    parser_advance(parser);
    if (!parse_arguments(parser, &arguments))
        return NULL;
    if (!function_find(name, &id))
        return parser_fail(parser, start, "unknown function with name \"%.*s\"",
                           TEXT_ARGUMENTS(name));
    const struct function *function = function_describe(id);
    if (function->experimental && parser->features != PROMQL_EXPERIMENTAL)
        return parser_fail(parser, start, "function \"%.*s\" is not enabled", TEXT_ARGUMENTS(name));
    struct text_range position = {start, parser->previous_end};
    struct expression *expression =
        parse_create(parser, EXPRESSION_CALL, function->result, position, arguments.depth);
    if (expression == NULL)
        return NULL;
    expression->step_invariant = arguments.step_invariant && !function->step_dependent;
    expression->call = (struct call_node){
        .function = id,
        .arguments = arguments.items,
        .argument_count = arguments.count,
    };
    return expression;
}

/* --- Aggregations ---------------------------------------------------------------------------- */

static bool has_parameter(enum aggregation operation)
{
    switch (operation) {
    case AGGREGATE_BOTTOMK:
    case AGGREGATE_COUNT_VALUES:
    case AGGREGATE_LIMIT_RATIO:
    case AGGREGATE_LIMITK:
    case AGGREGATE_QUANTILE:
    case AGGREGATE_TOPK:
        return true;
    default:
        return false;
    }
}

/* by (...) or without (...); nothing is fine. */
static bool parse_grouping(struct parser *parser, struct aggregation_node *node)
{
    if (at_keyword(parser, KEYWORD_WITHOUT))
        node->grouping = GROUP_WITHOUT;
    else if (!at_keyword(parser, KEYWORD_BY))
        return true;
    parser_advance(parser);
    return parse_labels(parser, &node->labels, &node->label_count);
}

static bool check_arguments(struct parser *parser, enum aggregation operation, size_t count,
                            uint32_t start)
{
    bool experimental = operation == AGGREGATE_LIMITK || operation == AGGREGATE_LIMIT_RATIO;
    size_t expected = has_parameter(operation) ? 2 : 1;
    if (count == 0)
        return parser_fail(parser, start, "no arguments for aggregate expression provided");
    if (experimental && parser->features != PROMQL_EXPERIMENTAL)
        return parser_fail(parser, start, "%s() is experimental and not enabled",
                           aggregation_name(operation));
    if (count != expected)
        return parser_fail(parser, start,
                           "wrong number of arguments for aggregate expression provided, "
                           "expected %zu, got %zu",
                           expected, count);
    return true;
}

struct expression *parse_aggregation(struct parser *parser)
{
    uint32_t start = parser->token.position.start;
    struct aggregation_node node = {.operation = parser->token.aggregation};
    parser_advance(parser);

    bool grouping_first = parser->token.kind == TOKEN_WORD;
    struct arguments arguments;
    if (grouping_first && !parse_grouping(parser, &node))
        return NULL;
    const char *outside = parser->enclosing;
    parser->enclosing = "aggregation";
    if (!parse_arguments(parser, &arguments))
        return NULL;
    parser->enclosing = outside;
    /* Whether a grouping follows must be known before the arguments are judged. */
    if (!grouping_first && parser->token.kind == TOKEN_ERROR)
        return parser_unexpected(parser, NULL, NULL);
    if (!grouping_first && !parse_grouping(parser, &node))
        return NULL;
    if (!check_arguments(parser, node.operation, arguments.count, start))
        return NULL;

    node.operand = arguments.items[arguments.count - 1];
    node.parameter = arguments.count == 2 ? arguments.items[0] : NULL;
    struct text_range position = {start, parser->previous_end};
    struct expression *expression =
        parse_create(parser, EXPRESSION_AGGREGATION, VALUE_VECTOR, position, arguments.depth);
    if (expression == NULL)
        return NULL;
    expression->step_invariant = arguments.step_invariant;
    expression->aggregation = node;
    return expression;
}
