/*
 * ast - the syntax tree of a PromQL expression.
 *
 * A tree is made by promql/parser.h in an arena, complete and type-checked, and never changes
 * afterwards; any number of threads may read it. Its texts and nodes live as long as the arena,
 * its matchers as long as the struct promql_query that owns them. A node tells its kind and
 * carries the member of the union named after it.
 *
 * Durations, offsets and timestamps are milliseconds. Positions are byte offsets into the text
 * that was parsed, [start, end).
 */
#ifndef PROMQL_AST_H
#define PROMQL_AST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "model/matcher.h"
#include "promql/functions.h"
#include "promql/value_type.h"

struct text_range {
    uint32_t start;
    uint32_t end;
};

/* --- Durations ------------------------------------------------------------------------------- */

enum duration_operator {
    DURATION_LITERAL,
    DURATION_STEP,        /* step(): the step of the query, 0 for an instant query */
    DURATION_RANGE,       /* range(): end - start of the query */
    DURATION_MINUS,       /* unary, left only */
    DURATION_PLUS,        /* unary, left only */
    DURATION_PARENTHESES, /* left only */
    DURATION_ADD,
    DURATION_SUBTRACT,
    DURATION_MULTIPLY,
    DURATION_DIVIDE,
    DURATION_MODULO,
    DURATION_POWER,
    DURATION_MIN, /* min_of(left, right) */
    DURATION_MAX, /* max_of(left, right) */
    DURATION_OPERATORS
};

/* "+", "step", "min_of" ... */
const char *duration_operator_text(enum duration_operator operation);

enum duration_sign { DURATION_POSITIVE, DURATION_ANY_SIGN };

/* An experimental duration expression, `[5m * 2]`, `offset -step()`. */
struct duration_expression {
    enum duration_operator operation;
    struct text_range position;
    double seconds;   /* DURATION_LITERAL */
    bool is_duration; /* a literal written 5m, not 300 */
    const struct duration_expression *left;
    const struct duration_expression *right;
    /* Of those that stand in a selector or sub-query as a whole. */
    enum duration_sign sign;
    const struct duration_expression *next; /* in the query */
};

/* A range, a sub-query step or an offset. */
struct duration {
    int64_t milliseconds; /* when `expression` is NULL */
    const struct duration_expression *expression;
};

/* What duration expressions may refer to. */
struct duration_environment {
    int64_t step_ms;  /* 0 for an instant query */
    int64_t range_ms; /* end - start of the query */
};

/*
 * The value for one query, rounded to milliseconds. A literal costs nothing. Errors: INVALID, with
 * start and end in the query's text (division by zero, out of range, not positive).
 */
enum error_code duration_evaluate(const struct duration *duration, enum duration_sign sign,
                                  const struct duration_environment *environment,
                                  int64_t *milliseconds_out, struct error *error);

/* --- Selectors ------------------------------------------------------------------------------- */

enum at_modifier { AT_NONE, AT_TIMESTAMP, AT_START, AT_END };

/* `offset` and `@`, of selectors and sub-queries. */
struct time_shift {
    struct duration offset; /* positive looks back; 0 when absent */
    enum at_modifier at;
    int64_t at_timestamp_ms; /* AT_TIMESTAMP */
};

enum range_mode { RANGE_PLAIN, RANGE_ANCHORED, RANGE_SMOOTHED };

/* metric{matchers} offset 5m @ end(); an anchored or smoothed one may stand in a matrix. */
struct selector_node {
    struct text metric_name; /* as written before the braces; empty: none */
    /* [matcher_count], as their printed texts sort; that of `metric_name` last. */
    const struct matcher *const *matchers;
    /* The same but for that of `metric_name`, as they were written: absent() goes by it. Not part
     * of what makes selectors equal, nor of the printed text. */
    const struct matcher *const *written;
    size_t matcher_count;
    size_t written_count;
    struct time_shift shift;
    enum range_mode mode;
};

/* selector[range]; the shift and the mode stand in the selector. */
struct matrix_node {
    const struct expression *selector; /* EXPRESSION_SELECTOR */
    struct duration range;
};

/* expression[range:step] offset ... */
struct subquery_node {
    const struct expression *operand; /* an instant vector */
    struct duration range;
    struct duration step; /* when `has_step` */
    bool has_step;        /* false: the default step of the query settings */
    struct time_shift shift;
};

/* --- Operators ------------------------------------------------------------------------------- */

enum unary_operator { UNARY_MINUS, UNARY_PLUS };

struct unary_node {
    enum unary_operator operation;
    const struct expression *operand; /* scalar or vector */
};

enum binary_operator {
    BINARY_ADD,
    BINARY_SUBTRACT,
    BINARY_MULTIPLY,
    BINARY_DIVIDE,
    BINARY_MODULO,
    BINARY_POWER,
    BINARY_ATAN2,
    BINARY_EQUAL,
    BINARY_NOT_EQUAL,
    BINARY_LESS,
    BINARY_LESS_EQUAL,
    BINARY_GREATER,
    BINARY_GREATER_EQUAL,
    BINARY_TRIM_UPPER, /* </ : histogram without what is above the bound */
    BINARY_TRIM_LOWER, /* >/ */
    BINARY_AND,
    BINARY_OR,
    BINARY_UNLESS,
    BINARY_OPERATORS
};

/* "+", "==", "and" ... */
const char *binary_operator_text(enum binary_operator operation);

static inline bool binary_operator_is_comparison(enum binary_operator operation)
{
    return operation >= BINARY_EQUAL && operation <= BINARY_GREATER_EQUAL;
}

static inline bool binary_operator_is_trim(enum binary_operator operation)
{
    return operation == BINARY_TRIM_UPPER || operation == BINARY_TRIM_LOWER;
}

static inline bool binary_operator_is_set(enum binary_operator operation)
{
    return operation >= BINARY_AND && operation <= BINARY_UNLESS;
}

enum matching_cardinality {
    MATCH_ONE_TO_ONE,
    MATCH_MANY_TO_ONE,  /* group_left */
    MATCH_ONE_TO_MANY,  /* group_right */
    MATCH_MANY_TO_MANY, /* set operators */
};

enum matching_labels { MATCH_IGNORING, MATCH_ON };

/* How series of two vectors find each other. Without a modifier: ignoring no label. */
struct vector_matching {
    enum matching_cardinality cardinality;
    enum matching_labels labels_mode;
    const struct text *labels; /* [label_count], as written */
    size_t label_count;
    const struct text *included_labels; /* of group_left/group_right, taken from the one side */
    size_t included_label_count;
    bool has_fill_left; /* the value of a left sample that is missing */
    bool has_fill_right;
    double fill_left;
    double fill_right;
};

struct binary_node {
    enum binary_operator operation;
    bool returns_bool; /* comparisons only */
    const struct expression *left;
    const struct expression *right;
    /* NULL when not both sides are vectors. */
    const struct vector_matching *matching;
};

/* --- Aggregations and calls ------------------------------------------------------------------ */

enum aggregation {
    AGGREGATE_AVG,
    AGGREGATE_BOTTOMK,
    AGGREGATE_COUNT,
    AGGREGATE_COUNT_VALUES,
    AGGREGATE_GROUP,
    AGGREGATE_LIMIT_RATIO, /* experimental */
    AGGREGATE_LIMITK,      /* experimental */
    AGGREGATE_MAX,
    AGGREGATE_MIN,
    AGGREGATE_QUANTILE,
    AGGREGATE_STDDEV,
    AGGREGATE_STDVAR,
    AGGREGATE_SUM,
    AGGREGATE_TOPK,
    AGGREGATIONS
};

/* "avg", "topk" ... */
const char *aggregation_name(enum aggregation operation);

enum grouping { GROUP_BY, GROUP_WITHOUT };

struct aggregation_node {
    enum aggregation operation;
    enum grouping grouping;    /* without a clause: by no label */
    const struct text *labels; /* [label_count], as written */
    size_t label_count;
    const struct expression *operand;   /* an instant vector */
    const struct expression *parameter; /* topk's k, quantile's q, count_values' label; or NULL */
};

struct call_node {
    enum function_id function;
    const struct expression *const *arguments; /* [argument_count] */
    size_t argument_count;
};

/* --- Expressions ----------------------------------------------------------------------------- */

struct number_node {
    double value;     /* a duration: seconds */
    bool is_duration; /* written 5m */
};

struct string_node {
    struct text value; /* unescaped; may hold any byte */
};

struct parentheses_node {
    const struct expression *operand;
};

enum expression_kind {
    EXPRESSION_NUMBER,
    EXPRESSION_STRING,
    EXPRESSION_SELECTOR,
    EXPRESSION_MATRIX,
    EXPRESSION_SUBQUERY,
    EXPRESSION_UNARY,
    EXPRESSION_BINARY,
    EXPRESSION_AGGREGATION,
    EXPRESSION_CALL,
    EXPRESSION_PARENTHESES,
    EXPRESSION_KINDS
};

struct expression {
    enum expression_kind kind;
    enum value_type type;
    struct text_range position;
    uint16_t depth; /* of the tree below and with this node, at most PROMQL_DEPTH_MAX */
    /*
     * The value is the same at every step of a query, because everything below is literal or
     * pinned by @: evaluate once. A matrix or sub-query pinned by @ is step-invariant too; what is
     * inside a sub-query is judged for the steps of the sub-query.
     */
    bool step_invariant;
    union {
        struct number_node number;
        struct string_node string;
        struct selector_node selector;
        struct matrix_node matrix;
        struct subquery_node subquery;
        struct unary_node unary;
        struct binary_node binary;
        struct aggregation_node aggregation;
        struct call_node call;
        struct parentheses_node parentheses;
    };
};

/* The operand of nested parentheses, the expression itself without any. */
const struct expression *expression_unwrap(const struct expression *expression);

/* Sub-expressions of `expression` in the order of the text: *child_out and true while `index` is
 * in range. Parameters of aggregations come first; a matrix has its selector. */
bool expression_child(const struct expression *expression, size_t index,
                      const struct expression **child_out);

#endif
