#include <math.h>

#include "promql/parser.h"

/* Prometheus keeps durations as 64-bit nanoseconds. */
static const double DURATION_SECONDS_MAX = 9223372036.0;

struct evaluation {
    const struct duration_environment *environment;
    struct error *error; /* .code tells whether one was set */
};

static double fail(struct evaluation *evaluation, const struct duration_expression *at,
                   const char *reason)
{
    /* Prometheus gives the offsets here, not line and column. */
    if (evaluation->error->code == ERROR_NONE)
        error_set(evaluation->error, ERROR_INVALID, "%u:%u: %s", at->position.start,
                  at->position.end, reason);
    return 0;
}

/* In seconds. */
static double evaluate(struct evaluation *evaluation, const struct duration_expression *node)
{
    double left = node->left == NULL ? 0 : evaluate(evaluation, node->left);
    double right = node->right == NULL ? 0 : evaluate(evaluation, node->right);
    switch (node->operation) {
    case DURATION_LITERAL:
        return node->seconds;
    case DURATION_STEP:
        return (double)evaluation->environment->step_ms / 1000;
    case DURATION_RANGE:
        return (double)evaluation->environment->range_ms / 1000;
    case DURATION_MINUS:
        return -left;
    case DURATION_PLUS:
    case DURATION_PARENTHESES:
        return left;
    case DURATION_ADD:
        return left + right;
    case DURATION_SUBTRACT:
        return left - right;
    case DURATION_MULTIPLY:
        return left * right;
    case DURATION_DIVIDE:
        return right == 0 ? fail(evaluation, node, "division by zero") : left / right;
    case DURATION_MODULO:
        return right == 0 ? fail(evaluation, node, "modulo by zero") : fmod(left, right);
    case DURATION_POWER:
        return pow(left, right);
    case DURATION_MIN:
        return left < right ? left : right;
    case DURATION_MAX:
        return left > right ? left : right;
    case DURATION_OPERATORS:
        break;
    }
    return 0;
}

enum error_code duration_evaluate(const struct duration *duration, enum duration_sign sign,
                                  const struct duration_environment *environment,
                                  int64_t *milliseconds_out, struct error *error)
{
    if (duration->expression == NULL) {
        *milliseconds_out = duration->milliseconds;
        return ERROR_NONE;
    }
    error_clear(error);
    struct evaluation evaluation = {environment, error};
    double seconds = evaluate(&evaluation, duration->expression);
    if (error->code == ERROR_NONE && !isfinite(seconds))
        fail(&evaluation, duration->expression, "duration is NaN or infinite");
    if (error->code == ERROR_NONE && sign == DURATION_POSITIVE && !(seconds >= 0.001))
        fail(&evaluation, duration->expression, "duration must be greater than 0");
    if (error->code == ERROR_NONE && !(fabs(seconds) < DURATION_SECONDS_MAX))
        fail(&evaluation, duration->expression, "duration is out of range");
    if (error->code != ERROR_NONE)
        return error->code;
    *milliseconds_out = (int64_t)(seconds * 1000);
    return ERROR_NONE;
}
