#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "columns_source.h"
#include "function.h"
#include "label_table.h"
#include "store.h"

/*
 * info(v, {selector}): series get the labels of the info series (target_info, or what the
 * selector names) that shares their instance and job. Which info series that is may change from
 * step to step: of several the one with the newest sample counts.
 */
enum { INFO_METRICS_MAX = 16 };

#define NO_INFO UINT32_MAX

enum info_names {
    NAMES_DEFAULT, /* none was asked for: target_info */
    NAMES_ANY,     /* only what they are not: all that end in _info */
    NAMES_GIVEN,
};

struct info_work {
    struct evaluation *evaluation;
    struct arena *arena;
    const struct matcher *const *matchers; /* of the second argument */
    size_t matcher_count;
    enum info_names asked_for;
    struct stream *base;                 /* stored */
    struct stream *infos;                /* stored; values are the timestamps of the samples */
    struct label_table signatures;       /* name, instance and job of info series */
    uint32_t *first;                     /* [signatures.count] */
    uint32_t *next;                      /* [infos->count] */
    struct text names[INFO_METRICS_MAX]; /* of the info metrics found */
    size_t name_count;
    struct store store;
};

static bool is_name_matcher(const struct matcher *matcher)
{
    return text_equal(matcher->name, LABEL_METRIC_NAME);
}

/* --- Info series ----------------------------------------------------------------------------- */

static enum info_names names_asked_for(const struct info_work *work)
{
    enum info_names names = NAMES_DEFAULT;
    for (size_t i = 0; i < work->matcher_count; i++) {
        const struct matcher *matcher = work->matchers[i];
        if (!is_name_matcher(matcher))
            continue;
        if (matcher->type == MATCHER_EQUAL || matcher->type == MATCHER_REGEX)
            return NAMES_GIVEN;
        names = NAMES_ANY;
    }
    return names;
}

/* What goes without saying about the names; NULL when nothing does. */
static enum error_code implied_matcher(enum info_names names, struct matcher **matcher_out,
                                       struct error *error)
{
    *matcher_out = NULL;
    switch (names) {
    case NAMES_DEFAULT:
        return matcher_create(MATCHER_EQUAL, LABEL_METRIC_NAME, TEXT("target_info"), matcher_out,
                              error);
    case NAMES_ANY:
        return matcher_create(MATCHER_REGEX, LABEL_METRIC_NAME, TEXT(".+_info"), matcher_out,
                              error);
    case NAMES_GIVEN:
        break;
    }
    return ERROR_NONE;
}

/* A selector of the info series: the matchers given, and the one implied. */
static enum error_code infos_select(struct info_work *work, const struct step_range *steps,
                                    struct error *error)
{
    const struct matcher **matchers =
        arena_array(work->arena, work->matcher_count + 1, sizeof *matchers);
    if (matchers == NULL)
        return evaluation_out_of_memory(work->evaluation, error);
    for (size_t i = 0; i < work->matcher_count; i++)
        matchers[i] = work->matchers[i];
    struct matcher *implied;
    enum error_code code = implied_matcher(work->asked_for, &implied, error);
    if (code != ERROR_NONE)
        return code;
    matchers[work->matcher_count] = implied;
    struct expression selector = {
        .kind = EXPRESSION_SELECTOR,
        .type = VALUE_VECTOR,
        .selector = {.matchers = matchers,
                     .matcher_count = work->matcher_count + (implied != NULL)},
    };
    struct stream *stream;
    code = selector_stream(work->evaluation, &selector, SELECTOR_TIMESTAMP, steps, &stream, error);
    if (code == ERROR_NONE)
        code = vector_stream_store(stream, &work->infos, error);
    matcher_destroy(implied);
    return code;
}

static bool name_add(struct info_work *work, struct text name)
{
    for (size_t i = 0; i < work->name_count; i++)
        if (text_equal(work->names[i], name))
            return true;
    if (work->name_count == INFO_METRICS_MAX)
        return false;
    work->names[work->name_count++] = name;
    return true;
}

/* What a series and its info series share, under the info metric's name. */
static struct labels signature_of(struct arena *arena, struct labels labels, struct text info_name)
{
    struct label array[] = {
        {LABEL_METRIC_NAME, info_name},
        {TEXT("instance"), labels_get(labels, TEXT("instance"))},
        {TEXT("job"), labels_get(labels, TEXT("job"))},
    };
    return labels_build(arena, array, sizeof array / sizeof array[0]);
}

static enum error_code infos_index(struct info_work *work, struct error *error)
{
    size_t count = work->infos->count;
    work->first = arena_array(work->arena, count, sizeof *work->first);
    work->next = arena_array(work->arena, count, sizeof *work->next);
    if (work->first == NULL || work->next == NULL)
        return evaluation_out_of_memory(work->evaluation, error);
    label_table_init(&work->signatures, work->arena);
    for (uint32_t i = 0; i < count; i++) {
        struct series_identity identity;
        struct step_vector vector;
        stored_series_get(work->infos, i, &identity, &vector);
        struct text name = labels_get(identity.labels, LABEL_METRIC_NAME);
        if (!name_add(work, name))
            return error_set(error, ERROR_LIMIT, "info(): more than %d info metrics",
                             INFO_METRICS_MAX);
        size_t known = work->signatures.count;
        size_t number;
        if (!label_table_add(&work->signatures, signature_of(work->arena, identity.labels, name),
                             &number))
            return evaluation_out_of_memory(work->evaluation, error);
        work->next[i] = number == known ? NO_INFO : work->first[number];
        work->first[number] = i;
    }
    return ERROR_NONE;
}

/* --- Choosing -------------------------------------------------------------------------------- */

static enum error_code duplicate_error(struct info_work *work, uint32_t first, uint32_t second,
                                       double seconds, struct error *error)
{
    char left[128];
    char right[128];
    struct series_identity identity;
    struct step_vector vector;
    stored_series_get(work->infos, first, &identity, &vector);
    labels_format(left, sizeof left, identity.labels);
    stored_series_get(work->infos, second, &identity, &vector);
    labels_format(right, sizeof right, identity.labels);
    int64_t timestamp_ms = (int64_t)(seconds * 1000);
    return error_set(error, ERROR_INVALID,
                     "found duplicate series for info metric: existing %s @ %" PRId64
                     ", new %s @ %" PRId64,
                     left, timestamp_ms, right, timestamp_ms);
}

/* The info series with the newest sample at a step; NO_INFO: none has one. */
static enum error_code info_choose(struct info_work *work, size_t signature, size_t step,
                                   uint32_t *chosen_out, struct error *error)
{
    *chosen_out = NO_INFO;
    double newest = 0;
    if (signature == LABEL_TABLE_NONE)
        return ERROR_NONE;
    for (uint32_t info = work->first[signature]; info != NO_INFO; info = work->next[info]) {
        struct series_identity identity;
        struct step_vector vector;
        stored_series_get(work->infos, info, &identity, &vector);
        if (!step_is_present(vector.present, step))
            continue;
        double timestamp = vector.values[step];
        if (*chosen_out != NO_INFO && timestamp == newest)
            return duplicate_error(work, *chosen_out, info, timestamp, error);
        if (*chosen_out == NO_INFO || timestamp > newest) {
            *chosen_out = info;
            newest = timestamp;
        }
    }
    return ERROR_NONE;
}

/* --- Labels ---------------------------------------------------------------------------------- */

/* Whether the second argument asks for this label; without data labels all are wanted. */
static bool label_is_wanted(const struct info_work *work, struct text name)
{
    bool has_data_matcher = false;
    for (size_t i = 0; i < work->matcher_count; i++) {
        if (is_name_matcher(work->matchers[i]))
            continue;
        has_data_matcher = true;
        if (text_equal(work->matchers[i]->name, name))
            return true;
    }
    return !has_data_matcher;
}

/* Series without info series stay unless a data label is asked for. */
static bool stays_without_info(const struct info_work *work)
{
    for (size_t i = 0; i < work->matcher_count; i++)
        if (!is_name_matcher(work->matchers[i]) && !matcher_matches_empty(work->matchers[i]))
            return false;
    return true;
}

struct label_list {
    struct label *labels;
    size_t count;
    size_t capacity;
};

static enum error_code labels_take(struct info_work *work, struct labels base, uint32_t info,
                                   struct label_list *list, struct error *error)
{
    struct series_identity identity;
    struct step_vector vector;
    stored_series_get(work->infos, info, &identity, &vector);
    struct labels_cursor cursor = labels_begin(identity.labels);
    struct label label;
    while (labels_next(&cursor, &label)) {
        bool is_known = false;
        if (text_equal(label.name, LABEL_METRIC_NAME) || !label_is_wanted(work, label.name))
            continue;
        for (size_t i = 0; i < list->count; i++) {
            if (!text_equal(list->labels[i].name, label.name))
                continue;
            is_known = true;
            if (!text_equal(list->labels[i].value, label.value))
                return error_set(error, ERROR_INVALID, "conflicting label: %.*s",
                                 TEXT_ARGUMENTS(label.name));
        }
        if (is_known || labels_get(base, label.name).size > 0)
            continue;
        if (list->count == list->capacity) {
            size_t capacity = list->capacity == 0 ? 16 : list->capacity * 2;
            list->labels = arena_grow(work->arena, list->labels, list->capacity, capacity,
                                      sizeof *list->labels);
            if (list->labels == NULL)
                return evaluation_out_of_memory(work->evaluation, error);
            list->capacity = capacity;
        }
        list->labels[list->count++] = label;
    }
    return ERROR_NONE;
}

static enum error_code labels_enrich(struct info_work *work, struct labels base,
                                     const uint32_t *chosen, struct labels *labels_out,
                                     struct error *error)
{
    struct label_list list = {0};
    for (size_t i = 0; i < work->name_count; i++) {
        if (chosen[i] == NO_INFO)
            continue;
        enum error_code code = labels_take(work, base, chosen[i], &list, error);
        if (code != ERROR_NONE)
            return code;
    }
    size_t base_count = labels_count(base);
    struct label *array = arena_array(work->arena, list.count + base_count, sizeof *array);
    if (array == NULL)
        return evaluation_out_of_memory(work->evaluation, error);
    struct labels_cursor cursor = labels_begin(base);
    for (size_t i = 0; i < base_count && labels_next(&cursor, &array[i]); i++)
        continue;
    for (size_t i = 0; i < list.count; i++)
        array[base_count + i] = list.labels[i];
    *labels_out = labels_build(work->arena, array, base_count + list.count);
    return ERROR_NONE;
}

/* --- Enriching ------------------------------------------------------------------------------- */

/* Info series are not enriched themselves. */
static bool is_info_series(const struct info_work *work, struct labels labels)
{
    struct text name = labels_get(labels, LABEL_METRIC_NAME);
    if (work->asked_for == NAMES_DEFAULT)
        return text_equal(name, TEXT("target_info"));
    if (work->asked_for == NAMES_ANY &&
        (name.size <= sizeof "_info" - 1 || !text_ends_with(name, TEXT("_info"))))
        return false;
    for (size_t i = 0; i < work->matcher_count; i++)
        if (is_name_matcher(work->matchers[i]) && !matcher_matches(work->matchers[i], name))
            return false;
    return true;
}

static enum error_code step_copy(struct info_work *work, const struct step_vector *source,
                                 size_t step, struct step_vector *target, struct error *error)
{
    const struct histogram *histogram = step_histogram(source, step);
    if (histogram != NULL)
        return store_set_histogram(&work->store, target, step, histogram, error);
    target->values[step] = source->values[step];
    step_set_present(target->present, step);
    return ERROR_NONE;
}

static enum error_code series_enrich(struct info_work *work, struct labels labels,
                                     const struct step_vector *vector, struct error *error)
{
    size_t count = work->base->steps.count;
    size_t signatures[INFO_METRICS_MAX];
    uint32_t latest[INFO_METRICS_MAX];
    struct step_vector *target = NULL;
    bool has_latest = false;
    for (size_t i = 0; i < work->name_count; i++)
        signatures[i] =
            label_table_find(&work->signatures, signature_of(work->arena, labels, work->names[i]));
    for (size_t step = step_next(vector->present, count, 0); step < count;
         step = step_next(vector->present, count, step + 1)) {
        uint32_t chosen[INFO_METRICS_MAX];
        bool has_info = false;
        enum error_code code = ERROR_NONE;
        for (size_t i = 0; code == ERROR_NONE && i < work->name_count; i++) {
            code = info_choose(work, signatures[i], step, &chosen[i], error);
            has_info |= chosen[i] != NO_INFO;
        }
        if (code != ERROR_NONE)
            return code;
        if (!has_info && !stays_without_info(work))
            continue;
        if (!has_latest || memcmp(latest, chosen, work->name_count * sizeof *chosen) != 0) {
            struct series_identity identity = {0};
            code = labels_enrich(work, labels, chosen, &identity.labels, error);
            if (code == ERROR_NONE)
                code = store_add(&work->store, identity, &target, error);
            if (code != ERROR_NONE)
                return code;
            memcpy(latest, chosen, work->name_count * sizeof *chosen);
            has_latest = true;
        }
        code = step_copy(work, vector, step, target, error);
        if (code != ERROR_NONE)
            return code;
    }
    return ERROR_NONE;
}

static enum error_code all_enrich(struct info_work *work, struct error *error)
{
    for (size_t i = 0; i < work->base->count; i++) {
        struct series_identity identity;
        struct step_vector vector;
        stored_series_get(work->base, i, &identity, &vector);
        enum error_code code = evaluation_check(work->evaluation, error);
        if (code != ERROR_NONE)
            return code;
        identity.drops_name = false;
        if (is_info_series(work, identity.labels))
            code = store_add_copy(&work->store, identity, &vector, error);
        else
            code = series_enrich(work, identity.labels, &vector, error);
        if (code != ERROR_NONE)
            return code;
    }
    return ERROR_NONE;
}

enum error_code function_info_stream(struct evaluation *evaluation,
                                     const struct expression *expression,
                                     const struct step_range *steps, struct stream **stream_out,
                                     struct error *error)
{
    const struct call_node *call = &expression->call;
    struct info_work work = {.evaluation = evaluation};
    if (call->argument_count > 1) {
        const struct expression *selector = expression_unwrap(call->arguments[1]);
        assert(selector->kind == EXPRESSION_SELECTOR);
        work.matchers = selector->selector.matchers;
        work.matcher_count = selector->selector.matcher_count;
    }
    struct stream *input;
    enum error_code code = evaluate_vector(evaluation, call->arguments[0], steps, &input, error);
    if (code == ERROR_NONE)
        code = vector_stream_store(input, &work.base, error);
    if (code != ERROR_NONE)
        return code;
    work.arena = evaluation_arena_create(evaluation);
    if (work.arena == NULL)
        return evaluation_out_of_memory(evaluation, error);
    work.asked_for = names_asked_for(&work);
    code = infos_select(&work, steps, error);
    if (code == ERROR_NONE)
        code = infos_index(&work, error);
    if (code == ERROR_NONE)
        code = store_init(&work.store, evaluation, steps, error);
    if (code == ERROR_NONE)
        code = all_enrich(&work, error);
    struct stream *stored = NULL;
    if (code == ERROR_NONE)
        code = store_stream(&work.store, &stored, error);
    else if (work.store.evaluation != NULL)
        store_clear(&work.store);
    arena_destroy(work.arena);
    vector_stream_close(work.base);
    vector_stream_close(work.infos);
    return code == ERROR_NONE ? vector_stream_merge_equal_labels(stored, stream_out, error) : code;
}
