/* The words that mean something where a name does not stand. */
#include "model/labels.h"

#include "lexer.h"

struct keyword_entry {
    struct text word;
    enum keyword keyword;
    int value; /* the operator or the aggregation */
};

static const struct keyword_entry KEYWORDS[] = {
    {TEXT("sum"), KEYWORD_AGGREGATION, AGGREGATE_SUM},
    {TEXT("avg"), KEYWORD_AGGREGATION, AGGREGATE_AVG},
    {TEXT("count"), KEYWORD_AGGREGATION, AGGREGATE_COUNT},
    {TEXT("min"), KEYWORD_AGGREGATION, AGGREGATE_MIN},
    {TEXT("max"), KEYWORD_AGGREGATION, AGGREGATE_MAX},
    {TEXT("group"), KEYWORD_AGGREGATION, AGGREGATE_GROUP},
    {TEXT("stddev"), KEYWORD_AGGREGATION, AGGREGATE_STDDEV},
    {TEXT("stdvar"), KEYWORD_AGGREGATION, AGGREGATE_STDVAR},
    {TEXT("topk"), KEYWORD_AGGREGATION, AGGREGATE_TOPK},
    {TEXT("bottomk"), KEYWORD_AGGREGATION, AGGREGATE_BOTTOMK},
    {TEXT("count_values"), KEYWORD_AGGREGATION, AGGREGATE_COUNT_VALUES},
    {TEXT("quantile"), KEYWORD_AGGREGATION, AGGREGATE_QUANTILE},
    {TEXT("limitk"), KEYWORD_AGGREGATION, AGGREGATE_LIMITK},
    {TEXT("limit_ratio"), KEYWORD_AGGREGATION, AGGREGATE_LIMIT_RATIO},
    {TEXT("and"), KEYWORD_OPERATOR, BINARY_AND},
    {TEXT("or"), KEYWORD_OPERATOR, BINARY_OR},
    {TEXT("unless"), KEYWORD_OPERATOR, BINARY_UNLESS},
    {TEXT("atan2"), KEYWORD_OPERATOR, BINARY_ATAN2},
    {TEXT("inf"), KEYWORD_NUMBER, 0},
    {TEXT("nan"), KEYWORD_NUMBER, 0},
    {TEXT("offset"), KEYWORD_OFFSET, 0},
    {TEXT("anchored"), KEYWORD_ANCHORED, 0},
    {TEXT("smoothed"), KEYWORD_SMOOTHED, 0},
    {TEXT("by"), KEYWORD_BY, 0},
    {TEXT("without"), KEYWORD_WITHOUT, 0},
    {TEXT("on"), KEYWORD_ON, 0},
    {TEXT("ignoring"), KEYWORD_IGNORING, 0},
    {TEXT("group_left"), KEYWORD_GROUP_LEFT, 0},
    {TEXT("group_right"), KEYWORD_GROUP_RIGHT, 0},
    {TEXT("bool"), KEYWORD_BOOL, 0},
    {TEXT("fill"), KEYWORD_FILL, 0},
    {TEXT("fill_left"), KEYWORD_FILL_LEFT, 0},
    {TEXT("fill_right"), KEYWORD_FILL_RIGHT, 0},
    {TEXT("start"), KEYWORD_START, 0},
    {TEXT("end"), KEYWORD_END, 0},
    {TEXT("step"), KEYWORD_STEP, 0},
    {TEXT("range"), KEYWORD_RANGE, 0},
};

enum { KEYWORD_SIZE_MAX = 12 }; /* count_values */

void lexer_classify_word(struct text word, struct token *token)
{
    token->keyword = KEYWORD_NONE;
    if (word.size > KEYWORD_SIZE_MAX)
        return;
    for (size_t i = 0; i < sizeof KEYWORDS / sizeof KEYWORDS[0]; i++) {
        const struct keyword_entry *entry = &KEYWORDS[i];
        if (!text_equal_ignoring_case(entry->word, word))
            continue;
        token->keyword = entry->keyword;
        if (entry->keyword == KEYWORD_AGGREGATION)
            token->aggregation = (enum aggregation)entry->value;
        if (entry->keyword == KEYWORD_OPERATOR)
            token->operation = (enum binary_operator)entry->value;
        return;
    }
}

bool lexer_word_is_metric_name(struct text word)
{
    struct token token;
    lexer_classify_word(word, &token);
    switch (token.keyword) {
    case KEYWORD_NUMBER:
    case KEYWORD_ON:
    case KEYWORD_IGNORING:
    case KEYWORD_GROUP_LEFT:
    case KEYWORD_GROUP_RIGHT:
    case KEYWORD_BOOL:
        return false;
    case KEYWORD_OPERATOR:
        return token.operation != BINARY_ATAN2;
    default:
        return metric_name_is_legacy(word);
    }
}
