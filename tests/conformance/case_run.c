#include <stdio.h>

#include "cases.h"
#include "model/matcher.h"

static bool message_matches(const struct expectation *expectation, struct text message)
{
    struct matcher *matcher;
    struct error error;
    switch (expectation->kind) {
    case MESSAGE_ANY:
        return true;
    case MESSAGE_EXACT:
        return text_equal(expectation->message, message);
    case MESSAGE_REGEX:
        break;
    }
    /* Found anywhere in the message. */
    struct byte_buffer buffer = {0};
    byte_buffer_append(&buffer, ".*(?:", 5);
    byte_buffer_append(&buffer, expectation->message.data, expectation->message.size);
    byte_buffer_append(&buffer, ").*", 3);
    bool matches = false;
    if (matcher_create(MATCHER_REGEX, TEXT("message"),
                       (struct text){(const char *)buffer.bytes, buffer.size}, &matcher,
                       &error) == ERROR_NONE) {
        matches = matcher_matches(matcher, message);
        matcher_destroy(matcher);
    }
    byte_buffer_clear(&buffer);
    return matches;
}

static const char *annotations_compare(const struct expectation_list *list,
                                       enum promql_annotation_kind kind,
                                       const struct promql_result *result, struct arena *arena)
{
    const char *word = kind == PROMQL_WARNING ? "warning" : "info";
    size_t count = 0;
    const struct promql_annotation *last = NULL;
    for (size_t i = 0; i < result->annotation_count; i++)
        if (result->annotations[i].kind == kind) {
            count++;
            last = &result->annotations[i];
        }
    if (list->is_forbidden && count > 0)
        return arena_format(arena, "unexpected %s: %.*s", word, TEXT_ARGUMENTS(last->message)).data;
    if (!list->is_expected)
        return NULL;
    if (count == 0)
        return arena_format(arena, "no %s", word).data;
    for (size_t i = 0; i < list->count; i++) {
        bool is_found = false;
        for (size_t j = 0; j < result->annotation_count; j++)
            is_found |= result->annotations[j].kind == kind &&
                        message_matches(&list->entries[i], result->annotations[j].message);
        if (!is_found)
            return arena_format(arena, "no %s '%.*s', but '%.*s'", word,
                                TEXT_ARGUMENTS(list->entries[i].message),
                                TEXT_ARGUMENTS(last->message))
                .data;
    }
    return NULL;
}

static const char *failure_compare(const struct evaluation_case *evaluation,
                                   const struct error *error, struct arena *arena)
{
    if (!evaluation->fail.is_expected)
        return arena_format(arena, "failed: %s", error->message).data;
    struct text message = text_of(error->message);
    for (size_t i = 0; i < evaluation->fail.count; i++) {
        const struct expectation *expectation = &evaluation->fail.entries[i];
        struct expectation cut = *expectation;
        /* Our messages are cut to fit. */
        if (cut.kind == MESSAGE_EXACT && message.size == ERROR_MESSAGE_MAX - 1 &&
            cut.message.size > message.size)
            cut.message.size = message.size;
        if (!message_matches(&cut, message))
            return arena_format(arena, "expected failure '%.*s', got '%s'",
                                TEXT_ARGUMENTS(expectation->message), error->message)
                .data;
    }
    return NULL;
}

static const char *run_once(const struct evaluation_case *evaluation,
                            struct promql_execution_options options, int64_t middle_ms,
                            struct arena *arena)
{
    struct promql_execution *execution = NULL;
    struct error error;
    enum error_code code = promql_execution_create(&options, &execution, &error);
    if (code == ERROR_NONE)
        code = promql_execution_run(execution, &error);
    const char *difference = NULL;
    if (code != ERROR_NONE)
        difference = failure_compare(evaluation, &error, arena);
    else if (evaluation->fail.is_expected)
        difference = "did not fail";
    else
        difference = case_compare(evaluation, promql_execution_result(execution), middle_ms, arena);
    if (code == ERROR_NONE && difference == NULL && middle_ms == INT64_MIN) {
        const struct promql_result *result = promql_execution_result(execution);
        difference = annotations_compare(&evaluation->warn, PROMQL_WARNING, result, arena);
        if (difference == NULL)
            difference = annotations_compare(&evaluation->info, PROMQL_INFO, result, arena);
    }
    promql_execution_destroy(execution);
    return difference;
}

/* Whether the value depends on the times of the whole query. */
static bool depends_on_range(struct text query)
{
    static const char *const CALLS[] = {"start()", "end()", "step()", "range()"};
    struct byte_buffer copy = {0};
    byte_buffer_append(&copy, query.data, query.size);
    byte_buffer_u8(&copy, 0);
    bool depends = false;
    for (size_t i = 0; i < sizeof CALLS / sizeof CALLS[0]; i++)
        depends |= strstr((const char *)copy.bytes, CALLS[i]) != NULL;
    byte_buffer_clear(&copy);
    return depends;
}

struct case_result case_run(const struct evaluation_case *evaluation, struct series_memory *memory,
                            struct promql_distributor *distributor, struct arena *arena)
{
    enum { MINUTE_MS = 60 * 1000 };
    struct promql_execution_options options = {
        .query = evaluation->query,
        .start_ms = evaluation->start_ms,
        .end_ms = evaluation->end_ms,
        .step_ms = evaluation->step_ms,
        .features = PROMQL_EXPERIMENTAL,
        .source = series_memory_source(memory),
        .distributor = distributor,
        .clock = clock_system(),
    };
    struct case_result result = {.has_passed = true};
    const char *difference = run_once(evaluation, options, INT64_MIN, arena);
    bool has_range = !evaluation->is_range && !evaluation->is_ordered &&
                     !evaluation->expects_matrix && !evaluation->expects_string &&
                     !evaluation->fail.is_expected && !depends_on_range(evaluation->query);
    if (difference == NULL && has_range) {
        options.start_ms -= MINUTE_MS;
        options.end_ms += MINUTE_MS;
        options.step_ms = MINUTE_MS;
        difference = run_once(evaluation, options, evaluation->start_ms, arena);
        if (difference != NULL)
            difference = arena_format(arena, "as a range: %s", difference).data;
    }
    if (difference != NULL) {
        result.has_passed = false;
        snprintf(result.reason, sizeof result.reason, "%s", difference);
    }
    return result;
}
