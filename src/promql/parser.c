#include "promql/parser.h"

#include <assert.h>
#include <stdio.h>

#include "parse.h"

const char *promql_position(char target[PROMQL_POSITION_BYTES], struct text text, uint32_t offset)
{
    uint32_t line = 1;
    uint32_t column = 1;
    if (text.size == 0) {
        snprintf(target, PROMQL_POSITION_BYTES, "unknown position");
        return target;
    }
    for (uint32_t i = 0; i < offset && i < text.size; i++) {
        column++;
        if (text.data[i] == '\n') {
            line++;
            column = 1;
        }
    }
    snprintf(target, PROMQL_POSITION_BYTES, "%u:%u", line, column);
    return target;
}

static void destroy_matchers(struct matcher **matchers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        matcher_destroy(matchers[i]);
}

/* A copy of the text and the first two tokens. */
static enum error_code start(struct parser *parser, struct text text)
{
    if (text.size > PROMQL_TEXT_BYTES_MAX)
        return error_set(parser->error, ERROR_LIMIT, "query of %zu bytes, at most %d", text.size,
                         PROMQL_TEXT_BYTES_MAX);
    parser->lexer.text = arena_copy_text(parser->arena, text);
    if (parser->lexer.text.data == NULL) {
        parser_out_of_memory(parser);
        return ERROR_OUT_OF_MEMORY;
    }
    parser->token = lexer_next(&parser->lexer);
    parser->ahead = parser->token;
    if (parser->token.kind != TOKEN_ERROR)
        parser->ahead = lexer_next(&parser->lexer);
    return ERROR_NONE;
}

/* Ownership of the matchers moves to the query, or they go. */
static enum error_code finish(struct parser *parser, const struct expression *root,
                              struct promql_query *query_out)
{
    if (root == NULL) {
        destroy_matchers(parser->matchers, parser->matcher_count);
        return parser->error->code;
    }
    *query_out = (struct promql_query){
        .text = parser->lexer.text,
        .root = root,
        .matchers = parser->matchers,
        .matcher_count = parser->matcher_count,
        .durations = parser->durations,
    };
    return ERROR_NONE;
}

static const struct expression *parse_whole(struct parser *parser)
{
    if (parser->token.kind == TOKEN_END)
        return parser_fail(parser, 0, "no expression found in input");
    const struct expression *root = parse_expression(parser, PRECEDENCE_LOWEST);
    if (root == NULL || !parser_expect(parser, TOKEN_END, NULL, NULL) || !parse_check(parser, root))
        return NULL;
    return root;
}

enum error_code promql_parse(struct text text, const struct promql_options *options,
                             struct arena *arena, struct promql_query *query_out,
                             struct error *error)
{
    assert(options != NULL && arena != NULL && query_out != NULL);

    struct parser parser = {.features = options->features, .arena = arena, .error = error};
    enum error_code code = start(&parser, text);
    return code == ERROR_NONE ? finish(&parser, parse_whole(&parser), query_out) : code;
}

static const struct expression *parse_selector_alone(struct parser *parser)
{
    if (parser->token.kind != TOKEN_WORD && parser->token.kind != TOKEN_LEFT_BRACE)
        return parser_unexpected(parser, NULL, NULL);
    const struct expression *root = parse_selector(parser);
    if (root == NULL || !parser_expect(parser, TOKEN_END, NULL, NULL) || !parse_check(parser, root))
        return NULL;
    return root;
}

enum error_code promql_parse_selector(struct text text, struct arena *arena,
                                      struct promql_query *query_out, struct error *error)
{
    assert(arena != NULL && query_out != NULL);

    struct parser parser = {
        .features = PROMQL_STABLE, .arena = arena, .error = error, .is_selector_alone = true};
    enum error_code code = start(&parser, text);
    return code == ERROR_NONE ? finish(&parser, parse_selector_alone(&parser), query_out) : code;
}

void promql_query_clear(struct promql_query *query)
{
    if (query == NULL)
        return;
    destroy_matchers(query->matchers, query->matcher_count);
    *query = (struct promql_query){0};
}
