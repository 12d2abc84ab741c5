#include "lexer.h"

#include <stdarg.h>
#include <stdio.h>

/* --- Characters ------------------------------------------------------------------------------ */

static bool is_digit(int character)
{
    return character >= '0' && character <= '9';
}

static bool is_hexadecimal(int character)
{
    return is_digit(character) || (character >= 'a' && character <= 'f') ||
           (character >= 'A' && character <= 'F');
}

static bool is_letter(int character)
{
    return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') ||
           character == '_';
}

/* The character `ahead` places on, -1 at the end. */
static int peek(const struct lexer *lexer, size_t ahead)
{
    size_t offset = lexer->offset + ahead;
    return offset < lexer->text.size ? (unsigned char)lexer->text.data[offset] : -1;
}

static bool accept(struct lexer *lexer, const char *any_of)
{
    int character = peek(lexer, 0);
    if (character <= 0 || strchr(any_of, character) == NULL)
        return false;
    lexer->offset++;
    return true;
}

/* The whole character at the cursor (of UTF-8: all its bytes), for messages. */
static struct text character_at(const struct lexer *lexer)
{
    int lead = peek(lexer, 0);
    size_t size = lead < 0 ? 0 : lead < 0xc0 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (size > lexer->text.size - lexer->offset)
        size = lexer->text.size - lexer->offset;
    return (struct text){lexer->text.data + lexer->offset, size};
}

/* --- Making tokens --------------------------------------------------------------------------- */

static struct token make_token(const struct lexer *lexer, enum token_kind kind, size_t start)
{
    return (struct token){.kind = kind, .position = {(uint32_t)start, (uint32_t)lexer->offset}};
}

static struct token fail(struct lexer *lexer, size_t start, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static struct token fail(struct lexer *lexer, size_t start, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(lexer->message, sizeof lexer->message, format, arguments);
    va_end(arguments);
    return make_token(lexer, TOKEN_ERROR, start);
}

/* The cursor is at the character; the token that it spoils starts at `start`. */
static struct token fail_at_character(struct lexer *lexer, size_t start, const char *what)
{
    struct text character = character_at(lexer);
    if (character.size == 0)
        character = TEXT("\xef\xbf\xbd"); /* the end, as Go prints it */
    if (character.size == 1 && (unsigned char)character.data[0] < 0x20)
        return fail(lexer, start, "%s: '\\x%02x'", what, (unsigned char)character.data[0]);
    bool escaped = character.data[0] == '\\' || character.data[0] == '\'';
    return fail(lexer, start, "%s: '%s%.*s'", what, escaped ? "\\" : "", TEXT_ARGUMENTS(character));
}

static struct token take(struct lexer *lexer, enum token_kind kind, size_t size)
{
    size_t start = lexer->offset;
    lexer->offset += size;
    return make_token(lexer, kind, start);
}

static struct token take_operator(struct lexer *lexer, enum binary_operator operation, size_t size)
{
    struct token token = take(lexer, TOKEN_OPERATOR, size);
    token.operation = operation;
    return token;
}

static struct token take_word(struct lexer *lexer)
{
    size_t start = lexer->offset;
    bool colons = !lexer->in_braces && !lexer->in_brackets;
    for (;;) {
        int character = peek(lexer, 0);
        if (!is_letter(character) && !is_digit(character) && !(character == ':' && colons))
            break;
        lexer->offset++;
    }
    struct token token = make_token(lexer, TOKEN_WORD, start);
    if (!lexer->in_braces) {
        struct text word = {lexer->text.data + start, lexer->offset - start};
        lexer_classify_word(word, &token);
    }
    return token;
}

/* --- Numbers --------------------------------------------------------------------------------- */

/* After '.', 'e' and '_', what may not follow; each of '.' and 'e' once. */
static bool scan_number(struct lexer *lexer)
{
    bool hexadecimal = false;
    bool point = false;
    bool exponent = false;
    if (peek(lexer, 0) == '0' && (peek(lexer, 1) == 'x' || peek(lexer, 1) == 'X')) {
        lexer->offset += 2;
        hexadecimal = true;
        accept(lexer, "_");
    }
    size_t start = lexer->offset;
    for (;;) {
        int character = peek(lexer, 0);
        if (hexadecimal ? is_hexadecimal(character) : is_digit(character)) {
            lexer->offset++;
        } else if (character == '.') {
            lexer->offset++;
            if (point || exponent || hexadecimal || accept(lexer, "_."))
                return false;
            point = true;
        } else if ((character == 'e' || character == 'E') && !hexadecimal) {
            lexer->offset++;
            if (exponent)
                return false;
            exponent = true;
            accept(lexer, "+-");
            if (!is_digit(peek(lexer, 0)))
                return false;
        } else if (character == '_') {
            lexer->offset++;
            if (accept(lexer, "._eE") || peek(lexer, 0) < 0)
                return false;
        } else {
            break;
        }
    }
    int next = peek(lexer, 0);
    return lexer->offset > start && !is_letter(next) && !is_digit(next);
}

/* Behind the first digits: a unit, then more digits with units. */
static bool scan_duration_behind_number(struct lexer *lexer)
{
    const char *units = "smhdwy";
    bool more = true;
    while (more) {
        if (!accept(lexer, units))
            return false;
        accept(lexer, "s"); /* ms; what else ends so is refused when it is read */
        units = "smhdw";    /* years come first */
        more = is_digit(peek(lexer, 0));
        while (is_digit(peek(lexer, 0)))
            lexer->offset++;
    }
    if (!is_letter(peek(lexer, 0)))
        return true;
    lexer->offset++; /* shown as what was too much */
    return false;
}

static struct token take_number_or_duration(struct lexer *lexer)
{
    size_t start = lexer->offset;
    if (scan_number(lexer))
        return make_token(lexer, TOKEN_NUMBER, start);
    if (scan_duration_behind_number(lexer))
        return make_token(lexer, TOKEN_DURATION, start);
    return fail(lexer, start, "bad number or duration syntax: \"%.*s\"",
                (int)(lexer->offset - start), lexer->text.data + start);
}

/* --- Strings --------------------------------------------------------------------------------- */

static struct token scan_string(struct lexer *lexer)
{
    size_t start = lexer->offset;
    char quote = lexer->text.data[lexer->offset++];
    for (;;) {
        int character = peek(lexer, 0);
        if (character < 0 || (character == '\n' && quote != '`'))
            return fail(lexer, start, "unterminated %s string", quote == '`' ? "raw" : "quoted");
        lexer->offset++;
        if (character == quote)
            return make_token(lexer, TOKEN_STRING, start);
        if (character == '\\' && quote != '`') {
            if (peek(lexer, 0) < 0)
                return fail(lexer, start, "escape sequence not terminated");
            lexer->offset += peek(lexer, 0) != '\n';
        }
    }
}

static struct token take_string(struct lexer *lexer)
{
    size_t start = lexer->offset;
    struct token token = scan_string(lexer);
    if (!text_is_utf8((struct text){lexer->text.data + start, lexer->offset - start}))
        return fail(lexer, start, "invalid UTF-8 rune");
    return token;
}

/* --- The three modes ------------------------------------------------------------------------- */

static void skip_space_and_comments(struct lexer *lexer)
{
    for (;;) {
        int character = peek(lexer, 0);
        if (character == '#') {
            while (peek(lexer, 0) >= 0 && peek(lexer, 0) != '\n')
                lexer->offset++;
        } else if (character == ' ' || character == '\t' || character == '\n' ||
                   character == '\r') {
            lexer->offset++;
        } else {
            return;
        }
    }
}

static struct token next_in_braces(struct lexer *lexer)
{
    int character = peek(lexer, 0);
    int following = peek(lexer, 1);
    if (is_letter(character))
        return take_word(lexer);
    switch (character) {
    case -1:
        return fail(lexer, lexer->offset, "unexpected end of input inside braces");
    case ',':
        return take(lexer, TOKEN_COMMA, 1);
    case '"':
    case '\'':
    case '`':
        return take_string(lexer);
    case '=':
        if (following == '~')
            return take(lexer, TOKEN_REGEX_MATCH, 2);
        return take(lexer, TOKEN_ASSIGN, 1);
    case '!':
        if (following == '~')
            return take(lexer, TOKEN_REGEX_NOT_MATCH, 2);
        if (following == '=')
            return take_operator(lexer, BINARY_NOT_EQUAL, 2);
        lexer->offset++;
        return fail_at_character(lexer, lexer->offset - 1,
                                 "unexpected character after '!' inside braces");
    case '{':
        return fail(lexer, lexer->offset, "unexpected left brace '{'");
    case '}':
        lexer->in_braces = false;
        return take(lexer, TOKEN_RIGHT_BRACE, 1);
    default:
        return fail_at_character(lexer, lexer->offset, "unexpected character inside braces");
    }
}

static struct token next_operator(struct lexer *lexer)
{
    int following = peek(lexer, 1);
    switch (peek(lexer, 0)) {
    case '+':
        return take_operator(lexer, BINARY_ADD, 1);
    case '-':
        return take_operator(lexer, BINARY_SUBTRACT, 1);
    case '*':
        return take_operator(lexer, BINARY_MULTIPLY, 1);
    case '/':
        return take_operator(lexer, BINARY_DIVIDE, 1);
    case '%':
        return take_operator(lexer, BINARY_MODULO, 1);
    case '^':
        return take_operator(lexer, BINARY_POWER, 1);
    case '=':
        if (following == '=')
            return take_operator(lexer, BINARY_EQUAL, 2);
        if (following != '~')
            return take(lexer, TOKEN_ASSIGN, 1);
        lexer->offset++;
        return fail_at_character(lexer, lexer->offset - 1, "unexpected character after '='");
    case '!':
        if (following == '=')
            return take_operator(lexer, BINARY_NOT_EQUAL, 2);
        lexer->offset++;
        return fail_at_character(lexer, lexer->offset - 1, "unexpected character after '!'");
    case '<':
        if (following == '=')
            return take_operator(lexer, BINARY_LESS_EQUAL, 2);
        if (following == '/')
            return take_operator(lexer, BINARY_TRIM_UPPER, 2);
        return take_operator(lexer, BINARY_LESS, 1);
    case '>':
        if (following == '=')
            return take_operator(lexer, BINARY_GREATER_EQUAL, 2);
        if (following == '/')
            return take_operator(lexer, BINARY_TRIM_LOWER, 2);
        return take_operator(lexer, BINARY_GREATER, 1);
    default:
        return fail_at_character(lexer, lexer->offset, "unexpected character");
    }
}

static struct token next_bracketing(struct lexer *lexer)
{
    switch (peek(lexer, 0)) {
    case '(':
        lexer->parenthesis_depth++;
        return take(lexer, TOKEN_LEFT_PARENTHESIS, 1);
    case ')':
        if (lexer->parenthesis_depth == 0)
            return fail(lexer, ++lexer->offset, "unexpected right parenthesis ')'");
        lexer->parenthesis_depth--;
        return take(lexer, TOKEN_RIGHT_PARENTHESIS, 1);
    case '{':
        lexer->in_braces = true;
        return take(lexer, TOKEN_LEFT_BRACE, 1);
    case '}':
        return fail_at_character(lexer, lexer->offset, "unexpected character");
    case '[':
        if (lexer->in_brackets)
            return fail(lexer, lexer->offset, "unexpected left bracket '['");
        lexer->in_brackets = lexer->at_duration = true;
        lexer->seen_duration = lexer->seen_colon = false;
        return take(lexer, TOKEN_LEFT_BRACKET, 1);
    default:
        if (!lexer->in_brackets)
            return fail(lexer, lexer->offset, "unexpected right bracket ']'");
        lexer->in_brackets = lexer->at_duration = false;
        return take(lexer, TOKEN_RIGHT_BRACKET, 1);
    }
}

/* step, range, min_of or max_of; `expected` is part of the error. */
static struct token take_duration_word(struct lexer *lexer, const char *expected)
{
    struct token token = take_word(lexer);
    struct text word = {lexer->text.data + token.position.start,
                        token.position.end - token.position.start};
    if (token.keyword == KEYWORD_STEP || token.keyword == KEYWORD_RANGE ||
        text_equal_ignoring_case(word, TEXT("min_of")) ||
        text_equal_ignoring_case(word, TEXT("max_of")))
        return token;
    char letter = lexer->text.data[token.position.start];
    return fail(lexer, token.position.start, "unexpected character%s: '%c'%s",
                lexer->at_duration ? " in duration expression" : "", letter, expected);
}

/* A duration, what it begins with, or what binds it to another. */
static struct token next_in_duration(struct lexer *lexer)
{
    int character = peek(lexer, 0);
    if (is_digit(character) || (character == '.' && is_digit(peek(lexer, 1)))) {
        lexer->at_duration = false;
        lexer->seen_duration = true;
        return take_number_or_duration(lexer);
    }
    if (is_letter(character))
        return take_duration_word(lexer, "");
    switch (character) {
    case -1:
        return fail(lexer, lexer->offset, "unexpected end of input in duration expression");
    case ':':
        if (!lexer->seen_duration)
            return fail(lexer, ++lexer->offset,
                        "unexpected colon before duration in duration expression");
        if (lexer->seen_colon)
            return fail(lexer, ++lexer->offset, "unexpected repeated colon in duration expression");
        lexer->seen_colon = true;
        return take(lexer, TOKEN_COLON, 1);
    case ',':
        return take(lexer, TOKEN_COMMA, 1);
    case '(':
    case ')':
    case ']':
        return next_bracketing(lexer);
    case '+':
    case '-':
    case '*':
    case '/':
    case '%':
    case '^':
        return next_operator(lexer);
    default:
        return fail_at_character(lexer, lexer->offset,
                                 "unexpected character in duration expression");
    }
}

static struct token take_colon(struct lexer *lexer)
{
    if (lexer->seen_colon)
        return fail(lexer, lexer->offset, "unexpected colon ':'");
    lexer->seen_colon = true;
    return take(lexer, TOKEN_COLON, 1);
}

struct token lexer_next(struct lexer *lexer)
{
    skip_space_and_comments(lexer);
    if (lexer->in_braces)
        return next_in_braces(lexer);
    if (lexer->at_duration)
        return next_in_duration(lexer);

    int character = peek(lexer, 0);
    if (is_digit(character) || (character == '.' && is_digit(peek(lexer, 1))))
        return take_number_or_duration(lexer);
    if (is_letter(character) && lexer->in_brackets)
        return take_duration_word(lexer, ", expected ':'");
    if (is_letter(character) || (character == ':' && !lexer->in_brackets))
        return take_word(lexer);
    switch (character) {
    case -1:
        if (lexer->parenthesis_depth > 0)
            return fail(lexer, lexer->offset, "unclosed left parenthesis");
        if (lexer->in_brackets)
            return fail(lexer, lexer->offset, "unclosed left bracket");
        return make_token(lexer, TOKEN_END, lexer->offset);
    case ',':
        return take(lexer, TOKEN_COMMA, 1);
    case ':':
        return take_colon(lexer);
    case '@':
        return take(lexer, TOKEN_AT, 1);
    case '"':
    case '\'':
    case '`':
        return take_string(lexer);
    case '(':
    case ')':
    case '{':
    case '}':
    case '[':
    case ']':
        return next_bracketing(lexer);
    default:
        return next_operator(lexer);
    }
}
