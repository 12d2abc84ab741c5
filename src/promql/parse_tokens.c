#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "model/quote.h"
#include "parse.h"

/* --- The cursor ------------------------------------------------------------------------------ */

void parser_advance(struct parser *parser)
{
    parser->previous_end = parser->token.position.end;
    parser->token = parser->ahead;
    if (parser->token.kind != TOKEN_ERROR && parser->token.kind != TOKEN_END)
        parser->ahead = lexer_next(&parser->lexer);
}

struct text parser_token_text(const struct parser *parser, struct token token)
{
    return (struct text){parser->lexer.text.data + token.position.start,
                         token.position.end - token.position.start};
}

bool parser_accept(struct parser *parser, enum token_kind kind)
{
    if (parser->token.kind != kind)
        return false;
    parser_advance(parser);
    return true;
}

bool parser_expect(struct parser *parser, enum token_kind kind, const char *context,
                   const char *expected)
{
    if (parser_accept(parser, kind))
        return true;
    parser_unexpected(parser, context, expected);
    return false;
}

bool parser_enter(struct parser *parser)
{
    if (parser->nesting == PROMQL_DEPTH_MAX) {
        error_set(parser->error, ERROR_LIMIT, "query nests deeper than %d levels",
                  PROMQL_DEPTH_MAX);
        return false;
    }
    parser->nesting++;
    return true;
}

void parser_leave(struct parser *parser)
{
    parser->nesting--;
}

/* --- Messages -------------------------------------------------------------------------------- */

void *parser_fail(struct parser *parser, uint32_t offset, const char *format, ...)
{
    char message[ERROR_MESSAGE_MAX];
    char position[PROMQL_POSITION_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    error_set(parser->error, ERROR_INVALID, "%s: parse error: %s",
              promql_position(position, parser->lexer.text, offset), message);
    return NULL;
}

void *parser_out_of_memory(struct parser *parser)
{
    error_set(parser->error, ERROR_OUT_OF_MEMORY, "query");
    return NULL;
}

void *parser_grow(struct parser *parser, void *array, size_t count, size_t *capacity,
                  size_t element_bytes)
{
    if (count < *capacity)
        return array;
    size_t grown = *capacity == 0 ? 4 : *capacity * 2;
    array = arena_grow(parser->arena, array, *capacity, grown, element_bytes);
    if (array == NULL)
        return parser_out_of_memory(parser);
    *capacity = grown;
    return array;
}

enum { DESCRIPTION_BYTES = 64 };

static void describe_word(struct token token, struct text word, char target[DESCRIPTION_BYTES])
{
    const char *format = "identifier \"%.*s\"";
    switch (token.keyword) {
    case KEYWORD_AGGREGATION:
        format = "<aggr:%.*s>";
        break;
    case KEYWORD_OPERATOR:
        format = "<op:%.*s>";
        break;
    case KEYWORD_NUMBER:
        format = "number \"%.*s\"";
        break;
    case KEYWORD_NONE:
        if (memchr(word.data, ':', word.size) != NULL)
            format = "metric identifier \"%.*s\"";
        break;
    case KEYWORD_START:
    case KEYWORD_END:
    case KEYWORD_STEP:
    case KEYWORD_RANGE:
        format = "\"%.*s\"";
        break;
    default:
        format = "<%.*s>";
        break;
    }
    snprintf(target, DESCRIPTION_BYTES, format, TEXT_ARGUMENTS(word));
}

/* A token in the words of Prometheus. */
static void describe_token(const struct parser *parser, char target[DESCRIPTION_BYTES])
{
    enum { SHOWN_BYTES = 10 };
    struct text word = parser_token_text(parser, parser->token);
    const char *kind = "";
    switch (parser->token.kind) {
    case TOKEN_END:
        snprintf(target, DESCRIPTION_BYTES, "end of input");
        return;
    case TOKEN_WORD:
        describe_word(parser->token, word, target);
        return;
    case TOKEN_OPERATOR:
    case TOKEN_REGEX_MATCH:
    case TOKEN_REGEX_NOT_MATCH:
    case TOKEN_AT:
        snprintf(target, DESCRIPTION_BYTES, "<op:%.*s>", TEXT_ARGUMENTS(word));
        return;
    case TOKEN_NUMBER:
        kind = "number ";
        break;
    case TOKEN_DURATION:
        kind = "duration ";
        break;
    case TOKEN_STRING:
        kind = "string ";
        break;
    default:
        break;
    }
    struct byte_buffer quoted = {0};
    bool cut = word.size > SHOWN_BYTES;
    text_append_quoted(&quoted, (struct text){word.data, cut ? SHOWN_BYTES : word.size});
    snprintf(target, DESCRIPTION_BYTES, "%s%.*s%s", kind, (int)quoted.size,
             (const char *)quoted.bytes, cut ? "..." : "");
    byte_buffer_clear(&quoted);
}

void *parser_unexpected(struct parser *parser, const char *context, const char *expected)
{
    uint32_t offset = parser->token.position.start;
    if (parser->token.kind == TOKEN_ERROR)
        return parser_fail(parser, offset, "%s", parser->lexer.message);
    char description[DESCRIPTION_BYTES];
    describe_token(parser, description);
    if (context == NULL)
        context = parser->enclosing;
    return parser_fail(parser, offset, "unexpected %s%s%s%s%s", description,
                       context == NULL ? "" : " in ", context == NULL ? "" : context,
                       expected == NULL ? "" : ", expected ", expected == NULL ? "" : expected);
}

/* --- Numbers --------------------------------------------------------------------------------- */

/* Prometheus keeps durations as 64-bit nanoseconds. */
static const int64_t DURATION_MS_MAX = INT64_MAX / 1000000;

bool parser_at_number(const struct parser *parser)
{
    return parser->token.kind == TOKEN_NUMBER || parser->token.kind == TOKEN_DURATION ||
           (parser->token.kind == TOKEN_WORD && parser->token.keyword == KEYWORD_NUMBER);
}

int parser_take_sign(struct parser *parser)
{
    if (parser->token.kind != TOKEN_OPERATOR ||
        (parser->token.operation != BINARY_ADD && parser->token.operation != BINARY_SUBTRACT))
        return 0;
    int sign = parser->token.operation == BINARY_ADD ? 1 : -1;
    parser_advance(parser);
    return sign;
}

double parser_apply_sign(int sign, double value)
{
    return sign < 0 && !isnan(value) ? -value : value;
}

/* 0x1f, and 017 as the reference reads it; false when it is neither or passes 63 bits. */
static bool read_prefixed_integer(struct text digits, double *value_out)
{
    if (digits.size < 2 || digits.data[0] != '0')
        return false;
    uint64_t base = digits.data[1] == 'x' || digits.data[1] == 'X' ? 16 : 8;
    uint64_t value = 0;
    for (size_t i = base == 16 ? 2 : 1; i < digits.size; i++) {
        unsigned char character = (unsigned char)digits.data[i];
        unsigned digit = character <= '9' ? character - '0' + 0u : (character | 0x20) - 'a' + 10u;
        if (digit >= base || value > (INT64_MAX - digit) / base)
            return false;
        value = value * base + digit;
    }
    *value_out = (double)value;
    return true;
}

static bool read_number(struct text word, double *value_out)
{
    enum { DIGITS_MAX = 511 };
    char characters[DIGITS_MAX];
    struct text digits = {characters, 0};
    for (size_t i = 0; i < word.size; i++) {
        if (word.data[i] == '_')
            continue;
        if (digits.size == DIGITS_MAX)
            return false;
        characters[digits.size++] = word.data[i];
    }
    if (read_prefixed_integer(digits, value_out))
        return true;
    if (digits.size > 1 && (characters[1] | 0x20) == 'x')
        return false;
    bool infinite = digits.size > 0 && (characters[0] | 0x20) == 'i';
    return text_to_double(digits, value_out) && (infinite || !isinf(*value_out));
}

bool parser_take_number(struct parser *parser, double *value_out, bool *is_duration_out)
{
    struct text word = parser_token_text(parser, parser->token);
    uint32_t start = parser->token.position.start;
    *is_duration_out = parser->token.kind == TOKEN_DURATION;
    if (*is_duration_out) {
        int64_t milliseconds;
        struct error reason;
        if (text_to_duration_ms(word, &milliseconds, &reason) != ERROR_NONE)
            return parser_fail(parser, start, "not a valid duration string: \"%.*s\"",
                               TEXT_ARGUMENTS(word));
        if (milliseconds > DURATION_MS_MAX)
            return parser_fail(parser, start, "duration out of range");
        *value_out = (double)milliseconds / 1000;
    } else if (!read_number(word, value_out)) {
        return parser_fail(parser, start, "error parsing number: \"%.*s\": value out of range",
                           TEXT_ARGUMENTS(word));
    }
    parser_advance(parser);
    return true;
}

/* --- Strings --------------------------------------------------------------------------------- */

static int digit_value(char character)
{
    if (character >= '0' && character <= '9')
        return character - '0';
    character |= 0x20;
    return character >= 'a' && character <= 'f' ? character - 'a' + 10 : -1;
}

static char *store_rune(char *target, uint32_t rune)
{
    if (rune < 0x80) {
        *target++ = (char)rune;
    } else if (rune < 0x800) {
        *target++ = (char)(0xc0 | rune >> 6);
        *target++ = (char)(0x80 | (rune & 0x3f));
    } else if (rune < 0x10000) {
        *target++ = (char)(0xe0 | rune >> 12);
        *target++ = (char)(0x80 | (rune >> 6 & 0x3f));
        *target++ = (char)(0x80 | (rune & 0x3f));
    } else {
        *target++ = (char)(0xf0 | rune >> 18);
        *target++ = (char)(0x80 | (rune >> 12 & 0x3f));
        *target++ = (char)(0x80 | (rune >> 6 & 0x3f));
        *target++ = (char)(0x80 | (rune & 0x3f));
    }
    return target;
}

/*
 * One escape after its backslash: \n, \', \xff, \377, \u20ac, \U0001f600. What it makes is never
 * longer than what it is written as. NULL: unknown or malformed.
 */
static const char *unescape(const char *source, const char *end, char quote, char **target)
{
    static const char LETTERS[] = "abfnrtv\\";
    static const char VALUES[] = "\a\b\f\n\r\t\v\\";
    const char *letter = *source == '\0' ? NULL : strchr(LETTERS, *source);
    if (letter != NULL || *source == quote) {
        *(*target)++ = letter == NULL ? quote : VALUES[letter - LETTERS];
        return source + 1;
    }
    enum { BYTE_DIGITS_MAX = 3 };
    int base = 16;
    int digits = *source == 'x' ? 2 : *source == 'u' ? 4 : *source == 'U' ? 8 : BYTE_DIGITS_MAX;
    if (digits == BYTE_DIGITS_MAX)
        base = 8;
    else
        source++;
    if (end - source < digits)
        return NULL;
    uint32_t value = 0;
    for (int i = 0; i < digits; i++) {
        int digit = digit_value(*source++);
        if (digit < 0 || digit >= base)
            return NULL;
        value = value * (uint32_t)base + (uint32_t)digit;
    }
    if (digits <= BYTE_DIGITS_MAX) {
        *(*target)++ = (char)value;
        return value > 0xff ? NULL : source;
    }
    if (value > 0x10ffff || (value >= 0xd800 && value < 0xe000))
        return NULL;
    *target = store_rune(*target, value);
    return source;
}

/* Fails at the start of the string; `escape` is behind the backslash. */
static bool fail_escape(struct parser *parser, const char *escape, char quote)
{
    bool numeric = *escape != quote && strchr("xuU01234567", *escape) != NULL;
    uint32_t start = parser->token.position.start;
    if (numeric)
        return parser_fail(parser, start, "escape sequence is an invalid Unicode code point");
    unsigned char character = (unsigned char)*escape;
    return parser_fail(parser, start, "unknown escape sequence U+%04X '%c'", character,
                       character < 0x20 || character >= 0x7f ? '?' : character);
}

bool parser_take_string(struct parser *parser, struct text *value_out)
{
    struct text quoted = parser_token_text(parser, parser->token);
    struct text body = {quoted.data + 1, quoted.size - 2};
    char quote = quoted.data[0];
    *value_out = body;
    if (quote != '`' && memchr(body.data, '\\', body.size) != NULL) {
        char *value = arena_allocate(parser->arena, body.size);
        if (value == NULL)
            return parser_out_of_memory(parser);
        char *target = value;
        const char *source = body.data;
        const char *end = body.data + body.size;
        while (source < end) {
            if (*source != '\\') {
                *target++ = *source++;
                continue;
            }
            const char *escape = source + 1;
            source = unescape(escape, end, quote, &target);
            if (source == NULL)
                return fail_escape(parser, escape, quote);
        }
        *value_out = (struct text){value, (size_t)(target - value)};
    }
    parser_advance(parser);
    return true;
}
