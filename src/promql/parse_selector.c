#include <stdlib.h>

#include "parse.h"

static const char CONTEXT[] = "label matching";

/* The matchers of the selector being read. */
struct selection {
    const struct matcher **matchers;
    size_t count;
    size_t capacity;
    struct text metric_name;
    uint32_t start;
};

/* --- Matchers -------------------------------------------------------------------------------- */

static bool add_matcher(struct parser *parser, struct selection *selection, enum matcher_type type,
                        struct text name, struct text value, uint32_t position)
{
    struct matcher **owned = parser_grow(parser, parser->matchers, parser->matcher_count,
                                         &parser->matcher_capacity, sizeof *owned);
    if (owned == NULL)
        return false;
    parser->matchers = owned;
    const struct matcher **matchers = parser_grow(parser, selection->matchers, selection->count,
                                                  &selection->capacity, sizeof *matchers);
    if (matchers == NULL)
        return false;
    selection->matchers = matchers;

    struct matcher *matcher;
    struct error reason;
    switch (matcher_create(type, name, value, &matcher, &reason)) {
    case ERROR_NONE:
        break;
    case ERROR_INVALID:
        return parser_fail(parser, position, "%s", reason.message);
    default:
        *parser->error = reason;
        return false;
    }
    parser->matchers[parser->matcher_count++] = matcher;
    selection->matchers[selection->count++] = matcher;
    return true;
}

/* The operator between a label and its value; false when something else is there. */
static bool matcher_type_of(struct token token, enum matcher_type *type_out)
{
    switch (token.kind) {
    case TOKEN_ASSIGN:
        *type_out = MATCHER_EQUAL;
        return true;
    case TOKEN_REGEX_MATCH:
        *type_out = MATCHER_REGEX;
        return true;
    case TOKEN_REGEX_NOT_MATCH:
        *type_out = MATCHER_NOT_REGEX;
        return true;
    case TOKEN_OPERATOR:
        *type_out = MATCHER_NOT_EQUAL;
        return token.operation == BINARY_NOT_EQUAL;
    default:
        return false;
    }
}

/* operator "value", after the name. */
static bool parse_condition(struct parser *parser, struct selection *selection, struct text name,
                            uint32_t start)
{
    enum matcher_type type;
    struct text value;
    if (!matcher_type_of(parser->token, &type))
        return parser_unexpected(parser, CONTEXT, "label matching operator");
    parser_advance(parser);
    if (parser->token.kind != TOKEN_STRING)
        return parser_unexpected(parser, CONTEXT, "string");
    return parser_take_string(parser, &value) &&
           add_matcher(parser, selection, type, name, value, start);
}

/* label="value", "label name"="value" or "metric name". */
static bool parse_item(struct parser *parser, struct selection *selection)
{
    uint32_t start = parser->token.position.start;
    struct text name;
    if (parser->token.kind == TOKEN_WORD) {
        name = parser_token_text(parser, parser->token);
        parser_advance(parser);
        return parse_condition(parser, selection, name, start);
    }
    if (parser->token.kind != TOKEN_STRING)
        return parser_unexpected(parser, CONTEXT, "identifier or \"}\"");

    enum matcher_type type;
    if (!parser_take_string(parser, &name))
        return false;
    bool is_label = matcher_type_of(parser->token, &type);
    if (!is_label && parser->token.kind != TOKEN_COMMA && parser->token.kind != TOKEN_RIGHT_BRACE)
        return parser_unexpected(parser, CONTEXT, "\",\" or \"}\"");
    if (!is_label)
        return add_matcher(parser, selection, MATCHER_EQUAL, LABEL_METRIC_NAME, name, start);
    return parse_condition(parser, selection, name, start);
}

/* { item, item, } */
static bool parse_braces(struct parser *parser, struct selection *selection)
{
    parser_advance(parser);
    while (parser->token.kind != TOKEN_RIGHT_BRACE) {
        if (!parse_item(parser, selection))
            return false;
        if (parser->token.kind != TOKEN_RIGHT_BRACE &&
            !parser_expect(parser, TOKEN_COMMA, CONTEXT, "\",\" or \"}\""))
            return false;
    }
    parser_advance(parser);
    return true;
}

/* --- Selectors ------------------------------------------------------------------------------- */

/* What is printed behind the name. */
static unsigned char end_of_name(const struct matcher *matcher)
{
    if (!label_name_is_legacy(matcher->name))
        return '"';
    return matcher->type == MATCHER_NOT_EQUAL || matcher->type == MATCHER_NOT_REGEX ? '!' : '=';
}

static int compare_names(const struct matcher *left, const struct matcher *right)
{
    bool left_quoted = !label_name_is_legacy(left->name);
    if (left_quoted != !label_name_is_legacy(right->name))
        return left_quoted ? -1 : 1;
    size_t left_size = left->name.size, right_size = right->name.size;
    size_t shared = left_size < right_size ? left_size : right_size;
    int order = memcmp(left->name.data, right->name.data, shared);
    if (order != 0 || left_size == right_size)
        return order;
    if (left_size > shared)
        return (unsigned char)left->name.data[shared] < end_of_name(right) ? -1 : 1;
    return end_of_name(left) <= (unsigned char)right->name.data[shared] ? -1 : 1;
}

/* As their texts sort, so that queries that mean the same read the same. */
static int compare_matchers(const void *left_item, const void *right_item)
{
    static const int RANKS[] = {
        [MATCHER_NOT_EQUAL] = 0,
        [MATCHER_NOT_REGEX] = 1,
        [MATCHER_EQUAL] = 2,
        [MATCHER_REGEX] = 3,
    };
    const struct matcher *left = *(const struct matcher *const *)left_item;
    const struct matcher *right = *(const struct matcher *const *)right_item;
    int order = compare_names(left, right);
    if (order == 0)
        order = RANKS[left->type] - RANKS[right->type];
    return order != 0 ? order : text_compare(left->value, right->value);
}

struct expression *parse_selector(struct parser *parser)
{
    struct selection selection = {.start = parser->token.position.start};
    if (parser->token.kind == TOKEN_WORD) {
        selection.metric_name = parser_token_text(parser, parser->token);
        if (!lexer_word_is_metric_name(selection.metric_name))
            return parser_unexpected(parser, NULL, NULL);
        parser_advance(parser);
    }
    if (parser->token.kind == TOKEN_LEFT_BRACE && !parse_braces(parser, &selection))
        return NULL;
    size_t written_count = selection.count;
    const struct matcher **written = arena_array(parser->arena, written_count, sizeof *written);
    if (written == NULL)
        return parser_out_of_memory(parser);
    if (written_count > 0)
        memcpy(written, selection.matchers, written_count * sizeof *written);
    if (selection.count > 1)
        qsort(selection.matchers, selection.count, sizeof *selection.matchers, compare_matchers);
    if (selection.metric_name.size > 0 &&
        !add_matcher(parser, &selection, MATCHER_EQUAL, LABEL_METRIC_NAME, selection.metric_name,
                     selection.start))
        return NULL;

    struct text_range position = {selection.start, parser->previous_end};
    struct expression *expression =
        parse_create(parser, EXPRESSION_SELECTOR, VALUE_VECTOR, position, 0);
    if (expression == NULL)
        return NULL;
    expression->selector = (struct selector_node){
        .metric_name = selection.metric_name,
        .matchers = selection.matchers,
        .written = written,
        .written_count = written_count,
        .matcher_count = selection.count,
    };
    return expression;
}
