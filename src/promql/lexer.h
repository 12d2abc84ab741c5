/*
 * lexer - the tokens of PromQL.
 *
 * Braces and brackets change what a character means: inside braces there are only matchers, and
 * words are label names; inside brackets ':' separates range and step, and the few words that there
 * are belong to durations. A word keeps its keyword beside its text, because nearly every keyword
 * may also be a name: the parser decides.
 */
#ifndef PROMQL_LEXER_H
#define PROMQL_LEXER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"
#include "promql/ast.h"

enum token_kind {
    TOKEN_END,
    TOKEN_ERROR, /* see lexer.message */
    TOKEN_WORD,  /* identifiers, with or without ':', and keywords */
    TOKEN_NUMBER,
    TOKEN_DURATION,
    TOKEN_STRING, /* quotes and escapes still on */
    TOKEN_LEFT_PARENTHESIS,
    TOKEN_RIGHT_PARENTHESIS,
    TOKEN_LEFT_BRACE,
    TOKEN_RIGHT_BRACE,
    TOKEN_LEFT_BRACKET,
    TOKEN_RIGHT_BRACKET,
    TOKEN_COMMA,
    TOKEN_COLON,
    TOKEN_ASSIGN,          /* = */
    TOKEN_REGEX_MATCH,     /* =~ */
    TOKEN_REGEX_NOT_MATCH, /* !~ */
    TOKEN_AT,
    TOKEN_OPERATOR, /* token.operation */
};

enum keyword {
    KEYWORD_NONE,
    KEYWORD_AGGREGATION, /* token.aggregation */
    KEYWORD_OPERATOR,    /* and, or, unless, atan2: token.operation */
    KEYWORD_NUMBER,      /* inf, nan */
    KEYWORD_OFFSET,
    KEYWORD_ANCHORED,
    KEYWORD_SMOOTHED,
    KEYWORD_BY,
    KEYWORD_WITHOUT,
    KEYWORD_ON,
    KEYWORD_IGNORING,
    KEYWORD_GROUP_LEFT,
    KEYWORD_GROUP_RIGHT,
    KEYWORD_BOOL,
    KEYWORD_FILL,
    KEYWORD_FILL_LEFT,
    KEYWORD_FILL_RIGHT,
    KEYWORD_START,
    KEYWORD_END,
    KEYWORD_STEP,
    KEYWORD_RANGE,
};

struct token {
    enum token_kind kind;
    enum keyword keyword; /* of words */
    enum binary_operator operation;
    enum aggregation aggregation;
    struct text_range position;
};

enum { LEXER_MESSAGE_BYTES = 96 };

struct lexer {
    struct text text;
    size_t offset;
    unsigned parenthesis_depth;
    bool in_braces;
    bool in_brackets;
    bool at_duration; /* in brackets: where a duration or its operator has to come */
    bool seen_duration;
    bool seen_colon;
    char message[LEXER_MESSAGE_BYTES]; /* of the TOKEN_ERROR */
};

/* After TOKEN_END the same comes again; after TOKEN_ERROR nothing may be asked for. */
struct token lexer_next(struct lexer *lexer);

/* The keyword that `word` is, in any case; fills token->keyword, operation, aggregation. */
void lexer_classify_word(struct text word, struct token *token);

/* Whether `word` may stand as a metric's name without quotes. */
bool lexer_word_is_metric_name(struct text word);

#endif
