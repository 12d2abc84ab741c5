#include "regex_re2.h"

#include <new>
#include <string>

#include <re2/re2.h>

namespace
{

/* The program and the automaton's cache together. */
constexpr int64_t REGEX_PROGRAM_BYTES_MAX = 8 << 20;

/* The words of Go's regexp/syntax for the reasons of RE2. */
const char *reason(RE2::ErrorCode code)
{
    switch (code) {
    case RE2::ErrorBadEscape:
        return "invalid escape sequence";
    case RE2::ErrorBadCharClass:
        return "invalid character class";
    case RE2::ErrorBadCharRange:
        return "invalid character class range";
    case RE2::ErrorMissingBracket:
        return "missing closing ]";
    case RE2::ErrorMissingParen:
        return "missing closing )";
    case RE2::ErrorUnexpectedParen:
        return "unexpected )";
    case RE2::ErrorTrailingBackslash:
        return "trailing backslash at end of expression";
    case RE2::ErrorRepeatArgument:
        return "missing argument to repetition operator";
    case RE2::ErrorRepeatSize:
        return "invalid repeat count";
    case RE2::ErrorRepeatOp:
        return "invalid nested repetition operator";
    case RE2::ErrorBadPerlOp:
        return "invalid or unsupported Perl syntax";
    case RE2::ErrorBadUTF8:
        return "invalid UTF-8";
    case RE2::ErrorBadNamedCapture:
        return "invalid named capture";
    default:
        return "internal error";
    }
}

/* What a position in an expression is part of. */
enum class Place { PLAIN, CLASS, QUOTED };

/*
 * Bridge the two differences between Go's syntax and RE2's: Go takes (?<name>...), which RE2 of
 * Debian 12 knows as (?P<name>...) only, and Go has no \C. False when \C is there.
 */
bool translate(const std::string &expression, std::string &translated)
{
    Place place = Place::PLAIN;
    size_t class_start = 0;
    for (size_t i = 0; i < expression.size(); i++) {
        char character = expression[i];
        char next = i + 1 < expression.size() ? expression[i + 1] : '\0';
        translated += character;
        if (place == Place::QUOTED) {
            if (character == '\\' && next == 'E')
                place = Place::PLAIN;
        } else if (character == '\\') {
            if (next == 'C')
                return false;
            if (next == 'Q' && place == Place::PLAIN)
                place = Place::QUOTED;
            if (i + 1 < expression.size()) {
                translated += next;
                i++;
            }
        } else if (place == Place::CLASS) {
            bool first = i == class_start || (i == class_start + 1 && expression[i - 1] == '^');
            if (character == ']' && !first)
                place = Place::PLAIN;
            else if (character == '[' && next == ':') {
                /* [[:alpha:]]: its ] does not end the class. */
                size_t end = expression.find(":]", i + 2);
                if (end != std::string::npos) {
                    translated.append(expression, i + 1, end + 1 - i);
                    i = end + 1;
                }
            }
        } else if (character == '[') {
            place = Place::CLASS;
            class_start = i + 1;
        } else if (character == '(' && next == '?' && expression.compare(i + 1, 2, "?<") == 0) {
            char name = i + 3 < expression.size() ? expression[i + 3] : '\0';
            if (name != '=' && name != '!') { /* look-behind stays an error */
                translated += "?P<";
                i += 2;
            }
        }
    }
    return true;
}

} // namespace

struct regex_re2 {
    RE2 re2;

    regex_re2(const std::string &expression, const RE2::Options &options) : re2(expression, options)
    {
    }
};

static enum error_code create(const char *expression, size_t size, bool captures,
                              struct regex_re2 **regex_out, struct error *error)
{
    try {
        std::string translated;
        if (!translate(std::string(expression, size), translated))
            return error_set(error, ERROR_INVALID,
                             "error parsing regexp: invalid escape sequence: `\\C`");
        RE2::Options options;
        options.set_dot_nl(true);
        options.set_never_capture(!captures);
        options.set_log_errors(false);
        options.set_max_mem(REGEX_PROGRAM_BYTES_MAX);

        regex_re2 *regex = new regex_re2(translated, options);
        if (regex->re2.ok()) {
            *regex_out = regex;
            return ERROR_NONE;
        }
        enum error_code code;
        if (regex->re2.error_code() == RE2::ErrorPatternTooLarge)
            code = error_set(error, ERROR_LIMIT, "error parsing regexp: expression too large");
        else
            code = error_set(error, ERROR_INVALID, "error parsing regexp: %s: `%s`",
                             reason(regex->re2.error_code()), regex->re2.error_arg().c_str());
        delete regex;
        return code;
    } catch (const std::bad_alloc &) {
        return error_set(error, ERROR_OUT_OF_MEMORY, "regular expression");
    }
}

extern "C" enum error_code regex_re2_create(const char *expression, size_t size,
                                            struct regex_re2 **regex_out, struct error *error)
{
    return create(expression, size, false, regex_out, error);
}

extern "C" enum error_code regex_re2_create_capturing(const char *expression, size_t size,
                                                      struct regex_re2 **regex_out,
                                                      struct error *error)
{
    return create(expression, size, true, regex_out, error);
}

extern "C" size_t regex_re2_group_count(const struct regex_re2 *regex)
{
    return (size_t)regex->re2.NumberOfCapturingGroups();
}

extern "C" int regex_re2_group_number(const struct regex_re2 *regex, const char *name, size_t size)
{
    const auto &groups = regex->re2.NamedCapturingGroups();
    auto found = groups.find(std::string(name, size));
    return found == groups.end() ? -1 : found->second;
}

extern "C" bool regex_re2_capture(const struct regex_re2 *regex, const char *value, size_t size,
                                  struct regex_capture *captures, size_t count)
{
    re2::StringPiece groups[128];
    if (count > sizeof groups / sizeof groups[0] ||
        !regex->re2.Match(re2::StringPiece(value, size), 0, size, RE2::ANCHOR_BOTH, groups,
                          (int)count))
        return false;
    for (size_t i = 0; i < count; i++)
        captures[i] = {groups[i].data(), groups[i].size()};
    return true;
}

extern "C" void regex_re2_destroy(struct regex_re2 *regex)
{
    delete regex;
}

extern "C" bool regex_re2_matches(const struct regex_re2 *regex, const char *value, size_t size)
{
    return regex->re2.Match(re2::StringPiece(value, size), 0, size, RE2::ANCHOR_BOTH, nullptr, 0);
}
