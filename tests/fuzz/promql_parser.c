/*
 * Any text as a query: refused, or a tree whose printed form parses back to an equal tree, in the
 * same form. The first byte chooses the features and the entry point.
 */
#include <stdlib.h>

#include "promql/parser.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum error_code parse(uint8_t choice, struct text text, struct arena *arena,
                             struct promql_query *query_out)
{
    struct error error;
    struct promql_options options = {choice & 1 ? PROMQL_EXPERIMENTAL : PROMQL_STABLE};
    return choice & 2 ? promql_parse_selector(text, arena, query_out, &error)
                      : promql_parse(text, &options, arena, query_out, &error);
}

static void evaluate_durations(const struct promql_query *query,
                               const struct expression *expression)
{
    static const struct duration_environment ENVIRONMENT = {.step_ms = 15000, .range_ms = 3600000};
    struct error error;
    int64_t milliseconds;
    if (expression->kind == EXPRESSION_MATRIX &&
        duration_evaluate(&expression->matrix.range, DURATION_POSITIVE, &ENVIRONMENT, &milliseconds,
                          &error) == ERROR_NONE &&
        milliseconds <= 0)
        abort();
    const struct expression *child;
    for (size_t i = 0; expression_child(expression, i, &child); i++) {
        if (child->depth >= expression->depth || child->position.end > query->text.size ||
            child->position.start > child->position.end)
            abort();
        evaluate_durations(query, child);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    uint8_t choice = data[0];
    struct text text = {(const char *)data + 1, size - 1};
    struct arena *arena = arena_create(64 * 1024 * 1024);
    struct promql_query query = {0};
    if (parse(choice, text, arena, &query) == ERROR_NONE) {
        evaluate_durations(&query, query.root);
        struct byte_buffer first = {0};
        struct byte_buffer second = {0};
        struct promql_query again = {0};
        promql_print(query.root, &first);
        if (parse(choice, (struct text){(const char *)first.bytes, first.size}, arena, &again) !=
            ERROR_NONE)
            abort();
        promql_print(again.root, &second);
        if (!promql_equal(query.root, again.root) || first.size != second.size ||
            memcmp(first.bytes, second.bytes, first.size) != 0)
            abort();
        promql_query_clear(&again);

        /* Laid out on lines it is the same query; one of mostly indentation may be cut. */
        byte_buffer_reset(&first);
        promql_print_pretty(query.root, &first);
        if (first.size <= PROMQL_TEXT_BYTES_MAX) {
            if (parse(choice, (struct text){(const char *)first.bytes, first.size}, arena,
                      &again) != ERROR_NONE ||
                !promql_equal(query.root, again.root))
                abort();
            promql_query_clear(&again);
        }
        byte_buffer_clear(&first);
        byte_buffer_clear(&second);
    }
    promql_query_clear(&query);
    arena_destroy(arena);
    return 0;
}
