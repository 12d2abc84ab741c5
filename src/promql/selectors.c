#include "promql/selectors.h"

bool promql_refuses_empty(const struct selector_node *selector)
{
    for (size_t i = 0; i < selector->matcher_count; i++) {
        if (!matcher_matches_empty(selector->matchers[i]))
            return true;
    }
    return false;
}

struct selector_list {
    struct arena *arena;
    const struct selector_node **items;
    size_t count;
    size_t capacity;
};

static bool add(struct selector_list *list, const struct selector_node *selector)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 8 : list->capacity * 2;
        list->items =
            arena_grow(list->arena, list->items, list->count, capacity, sizeof *list->items);
        if (list->items == NULL)
            return false;
        list->capacity = capacity;
    }
    list->items[list->count++] = selector;
    return true;
}

/* The depth of a tree is bounded by the parser. */
static bool walk(struct selector_list *list, const struct expression *expression)
{
    if (expression == NULL)
        return true;
    switch (expression->kind) {
    case EXPRESSION_SELECTOR:
        return add(list, &expression->selector);
    case EXPRESSION_MATRIX:
        return walk(list, expression->matrix.selector);
    case EXPRESSION_SUBQUERY:
        return walk(list, expression->subquery.operand);
    case EXPRESSION_UNARY:
        return walk(list, expression->unary.operand);
    case EXPRESSION_BINARY:
        return walk(list, expression->binary.left) && walk(list, expression->binary.right);
    case EXPRESSION_AGGREGATION:
        return walk(list, expression->aggregation.parameter) &&
               walk(list, expression->aggregation.operand);
    case EXPRESSION_CALL:
        for (size_t i = 0; i < expression->call.argument_count; i++)
            if (!walk(list, expression->call.arguments[i]))
                return false;
        return true;
    case EXPRESSION_PARENTHESES:
        return walk(list, expression->parentheses.operand);
    default:
        return true;
    }
}

bool promql_selectors(const struct expression *root, struct arena *arena,
                      const struct selector_node ***selectors_out, size_t *count_out)
{
    struct selector_list list = {.arena = arena};
    if (!walk(&list, root))
        return false;
    *selectors_out = list.items;
    *count_out = list.count;
    return true;
}
