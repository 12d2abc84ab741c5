#include <ctype.h>
#include <string.h>

#include "cases.h"

struct lines {
    struct text rest;
    size_t number; /* of the latest line */
};

static struct text line_next(struct lines *lines)
{
    struct text line;
    text_split(lines->rest, '\n', &line, &lines->rest);
    lines->number++;
    line = text_trim(line);
    return line.size > 0 && line.data[0] == '#' ? (struct text){0} : line;
}

/* The next line without taking it. */
static struct text line_peek(const struct lines *lines)
{
    struct lines copy = *lines;
    return line_next(&copy);
}

static struct text word_next(struct text *text)
{
    *text = text_trim(*text);
    size_t size = 0;
    while (size < text->size && !isspace((unsigned char)text->data[size]))
        size++;
    struct text word = {text->data, size};
    *text = text_trim((struct text){text->data + size, text->size - size});
    return word;
}

static enum error_code duration_parse(struct text word, int64_t *duration_ms_out,
                                      struct error *error)
{
    double seconds;
    bool is_negative = word.size > 0 && word.data[0] == '-';
    if (is_negative)
        word = (struct text){word.data + 1, word.size - 1};
    if (text_to_double(word, &seconds)) {
        *duration_ms_out = (int64_t)(seconds * 1000);
    } else {
        enum error_code code = text_to_duration_ms(word, duration_ms_out, error);
        if (code != ERROR_NONE)
            return code;
    }
    if (is_negative)
        *duration_ms_out = -*duration_ms_out;
    return ERROR_NONE;
}

/* --- load ------------------------------------------------------------------------------------ */

static enum error_code load_walk(struct lines *lines, struct text rest, bool with_custom_buckets,
                                 struct arena *arena, const struct case_visitor *visitor,
                                 struct error *error)
{
    int64_t step_ms;
    enum error_code code = duration_parse(word_next(&rest), &step_ms, error);
    while (code == ERROR_NONE && lines->rest.size > 0) {
        struct text line = line_next(lines);
        if (line.size == 0)
            break;
        struct notation notation;
        code = notation_parse(line, arena, &notation, error);
        if (code == ERROR_NONE)
            visitor->load(visitor->context, &notation, step_ms);
    }
    if (code == ERROR_NONE)
        visitor->load_end(visitor->context, with_custom_buckets);
    return code;
}

/* --- eval ------------------------------------------------------------------------------------ */

static void expectation_add(struct expectation_list *list, struct text rest)
{
    struct expectation expectation = {0};
    if (text_starts_with(rest, TEXT("msg:"))) {
        expectation.kind = MESSAGE_EXACT;
        expectation.message = text_trim((struct text){rest.data + 4, rest.size - 4});
    } else if (text_starts_with(rest, TEXT("regex:"))) {
        expectation.kind = MESSAGE_REGEX;
        expectation.message = text_trim((struct text){rest.data + 6, rest.size - 6});
    }
    list->is_expected = true;
    if (list->count < EXPECTATIONS_MAX)
        list->entries[list->count++] = expectation;
}

static struct text unquoted(struct text text)
{
    return text.size >= 2 ? (struct text){text.data + 1, text.size - 2} : text;
}

/* expect range vector from 10s to 1m step 10s */
static enum error_code expect_matrix(struct text rest, struct evaluation_case *evaluation,
                                     struct error *error)
{
    int64_t end_ms;
    evaluation->expects_matrix = true;
    word_next(&rest); /* vector */
    word_next(&rest); /* from */
    enum error_code code = duration_parse(word_next(&rest), &evaluation->matrix_start_ms, error);
    word_next(&rest); /* to */
    if (code == ERROR_NONE)
        code = duration_parse(word_next(&rest), &end_ms, error);
    word_next(&rest); /* step */
    if (code == ERROR_NONE)
        code = duration_parse(word_next(&rest), &evaluation->matrix_step_ms, error);
    return code;
}

static enum error_code expect_parse(struct text rest, struct evaluation_case *evaluation,
                                    struct error *error)
{
    struct text word = word_next(&rest);
    if (text_equal(word, TEXT("ordered")))
        evaluation->is_ordered = true;
    else if (text_equal(word, TEXT("fail")))
        expectation_add(&evaluation->fail, rest);
    else if (text_equal(word, TEXT("warn")))
        expectation_add(&evaluation->warn, rest);
    else if (text_equal(word, TEXT("info")))
        expectation_add(&evaluation->info, rest);
    else if (text_equal(word, TEXT("no_warn")))
        evaluation->warn.is_forbidden = true;
    else if (text_equal(word, TEXT("no_info")))
        evaluation->info.is_forbidden = true;
    else if (text_equal(word, TEXT("string"))) {
        evaluation->expects_string = true;
        evaluation->string = unquoted(rest);
    } else if (text_equal(word, TEXT("range")))
        return expect_matrix(rest, evaluation, error);
    else
        return error_set(error, ERROR_INVALID, "expect '%.*s'", TEXT_ARGUMENTS(word));
    return ERROR_NONE;
}

static enum error_code result_line_parse(struct text line, struct evaluation_case *evaluation,
                                         struct arena *arena, struct error *error)
{
    static const struct {
        const char *text;
        bool is_fail;
    } MESSAGES[] = {{"expected_fail_message", true}, {"expected_fail_regexp", true}};
    struct text rest = line;
    struct text word = word_next(&rest);
    if (text_equal(word, TEXT("expect")))
        return expect_parse(rest, evaluation, error);
    for (size_t i = 0; i < sizeof MESSAGES / sizeof MESSAGES[0]; i++) {
        if (!text_equal(word, text_of(MESSAGES[i].text)))
            continue;
        evaluation->fail.entries[0] =
            (struct expectation){i == 0 ? MESSAGE_EXACT : MESSAGE_REGEX, rest};
        evaluation->fail.count = 1;
        return ERROR_NONE;
    }
    if (rest.size == 0 && text_to_double(word, &evaluation->scalar)) {
        evaluation->expects_scalar = true;
        return ERROR_NONE;
    }
    evaluation->series = arena_grow(arena, evaluation->series, evaluation->series_count,
                                    evaluation->series_count + 1, sizeof *evaluation->series);
    return notation_parse(line, arena, &evaluation->series[evaluation->series_count++], error);
}

static enum error_code times_parse(struct text *rest, struct evaluation_case *evaluation,
                                   struct error *error)
{
    struct text kind = word_next(rest);
    evaluation->is_range = text_equal(kind, TEXT("range"));
    word_next(rest); /* at, from */
    enum error_code code = duration_parse(word_next(rest), &evaluation->start_ms, error);
    evaluation->end_ms = evaluation->start_ms;
    if (code != ERROR_NONE || !evaluation->is_range)
        return code;
    word_next(rest); /* to */
    code = duration_parse(word_next(rest), &evaluation->end_ms, error);
    word_next(rest); /* step */
    if (code == ERROR_NONE)
        code = duration_parse(word_next(rest), &evaluation->step_ms, error);
    return code;
}

static enum error_code eval_walk(struct lines *lines, struct text command, struct text rest,
                                 struct arena *arena, const struct case_visitor *visitor,
                                 struct error *error)
{
    struct evaluation_case evaluation = {.line = lines->number};
    evaluation.is_ordered = text_equal(command, TEXT("eval_ordered"));
    if (text_equal(command, TEXT("eval_fail")))
        evaluation.fail.is_expected = true;
    if (text_equal(command, TEXT("eval_warn")))
        evaluation.warn.is_expected = true;
    if (text_equal(command, TEXT("eval_info")))
        evaluation.info.is_expected = true;
    enum error_code code = times_parse(&rest, &evaluation, error);
    evaluation.query = rest;
    while (code == ERROR_NONE && lines->rest.size > 0 && line_peek(lines).size > 0)
        code = result_line_parse(line_next(lines), &evaluation, arena, error);
    if (code == ERROR_NONE)
        visitor->evaluate(visitor->context, &evaluation);
    return code;
}

/* --- Files ----------------------------------------------------------------------------------- */

enum error_code case_file_walk(struct text text, struct arena *arena,
                               const struct case_visitor *visitor, struct error *error)
{
    struct lines lines = {.rest = text};
    enum error_code code = ERROR_NONE;
    while (code == ERROR_NONE && lines.rest.size > 0) {
        struct text rest = line_next(&lines);
        if (rest.size == 0)
            continue;
        struct text command = word_next(&rest);
        if (text_equal(command, TEXT("clear")))
            visitor->clear(visitor->context);
        else if (text_equal(command, TEXT("load")))
            code = load_walk(&lines, rest, false, arena, visitor, error);
        else if (text_equal(command, TEXT("load_with_nhcb")))
            code = load_walk(&lines, rest, true, arena, visitor, error);
        else if (text_starts_with(command, TEXT("eval")))
            code = eval_walk(&lines, command, rest, arena, visitor, error);
        else
            code = error_set(error, ERROR_INVALID, "command '%.*s'", TEXT_ARGUMENTS(command));
    }
    return code == ERROR_NONE ? code : error_wrap(error, "line %zu", lines.number);
}
