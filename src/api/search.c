/*
 * search/...: names and values that fit what somebody is typing, best first, in lines of JSON:
 * batches of results, then a trailer.
 */
#include <stdlib.h>

#include "base/text_set.h"
#include "promql/selectors.h"
#include "wire/json_field.h"

#include "api_private.h"
#include "search_score.h"

enum { LIMIT_DEFAULT = 100, LIMIT_MAX = 10000, BATCH_DEFAULT = 100 };
enum { ONE_HOUR_MS = 3600 * 1000 };

enum search_order { ORDER_BY_VALUE, ORDER_BY_VALUE_DESCENDING, ORDER_BY_SCORE };

struct match {
    struct text value;
    double score;
    const struct metric_metadata *metadata; /* in the arena; NULL: none */
};

struct search {
    struct search_filter filter;
    enum search_order order;
    bool with_score;
    bool with_metadata;
    bool has_more;
    size_t batch;
    const char *field;     /* what a result is called */
    struct match *matches; /* what is shown, in its order */
};

/* --- Parameters --------------------------------------------------------------------------------
 */

/* As Go's ParseBool. */
static enum error_code read_truth(const struct http_parameters *parameters, const char *name,
                                  bool default_value, bool *value_out, struct error *error)
{
    static const char *const TRUE_TEXTS[] = {"1", "t", "T", "TRUE", "true", "True"};
    static const char *const FALSE_TEXTS[] = {"0", "f", "F", "FALSE", "false", "False"};
    struct text text;
    *value_out = default_value;
    if (!http_parameters_find(parameters, text_of(name), &text) || text.size == 0)
        return ERROR_NONE;
    for (size_t i = 0; i < sizeof TRUE_TEXTS / sizeof TRUE_TEXTS[0]; i++) {
        *value_out = text_equal(text, text_of(TRUE_TEXTS[i]));
        if (*value_out || text_equal(text, text_of(FALSE_TEXTS[i])))
            return ERROR_NONE;
    }
    return error_set(error, ERROR_INVALID, "invalid %s \"%.*s\": must be boolean", name,
                     TEXT_ARGUMENTS(text));
}

/* A positive number. */
static enum error_code read_count(const struct http_parameters *parameters, const char *name,
                                  int64_t default_value, int64_t *count_out, struct error *error)
{
    struct text text;
    *count_out = default_value;
    if (!http_parameters_find(parameters, text_of(name), &text) || text.size == 0)
        return ERROR_NONE;
    if (!text_to_int64(text, count_out) || *count_out <= 0)
        return error_set(error, ERROR_INVALID, "invalid %s \"%.*s\": must be a positive integer",
                         name, TEXT_ARGUMENTS(text));
    return ERROR_NONE;
}

static enum error_code read_selection(struct api_lookup *lookup,
                                      const struct http_parameters *parameters, struct error *error)
{
    int64_t now_ms = clock_now_ms(lookup->api->options.clock);
    enum error_code code =
        api_time(parameters, TEXT("start"), now_ms - ONE_HOUR_MS, &lookup->start_ms, error);
    if (code == ERROR_NONE)
        code = api_time(parameters, TEXT("end"), now_ms, &lookup->end_ms, error);
    if (code == ERROR_NONE && lookup->end_ms < lookup->start_ms)
        code = error_set(error, ERROR_INVALID, "end timestamp must not be before start timestamp");
    if (code == ERROR_NONE)
        code = api_selectors_parse(parameters, TEXT("match[]"), lookup->arena, &lookup->selectors,
                                   error);
    for (size_t i = 0; code == ERROR_NONE && i < lookup->selectors.count; i++)
        if (!promql_refuses_empty(&lookup->selectors.queries[i].root->selector))
            code = error_set(error, ERROR_INVALID,
                             "match[] must contain at least one non-empty matcher");
    return code;
}

static enum error_code read_algorithm(const struct http_parameters *parameters,
                                      struct search_filter *filter, struct error *error)
{
    struct text text;
    int64_t percent = 0;
    if (http_parameters_find(parameters, TEXT("fuzz_threshold"), &text) && text.size > 0 &&
        (!text_to_int64(text, &percent) || percent < 0 || percent > 100))
        return error_set(error, ERROR_INVALID, "invalid fuzz_threshold \"%.*s\": must be 0-100",
                         TEXT_ARGUMENTS(text));
    filter->threshold = (double)percent / 100;
    if (!http_parameters_find(parameters, TEXT("fuzz_alg"), &text) || text.size == 0 ||
        text_equal(text, TEXT("subsequence"))) {
        filter->algorithm = SEARCH_SUBSEQUENCE;
    } else {
        filter->algorithm = SEARCH_SUBSTRING;
        if (!text_equal(text, TEXT("jarowinkler")))
            return error_set(
                error, ERROR_INVALID,
                "unsupported fuzz_alg \"%.*s\": must be one of [subsequence jarowinkler]",
                TEXT_ARGUMENTS(text));
    }
    return ERROR_NONE;
}

static enum error_code read_terms(const struct http_parameters *parameters,
                                  struct search_filter *filter, size_t *given_out,
                                  struct error *error)
{
    struct text term;
    size_t count = 0;
    for (size_t at = 0; http_parameters_next(parameters, TEXT("search[]"), &at, &term);)
        count++;
    if (count > SEARCH_TERMS_MAX)
        return error_set(error, ERROR_INVALID, "too many search[] terms: got %zu, maximum is %d",
                         count, SEARCH_TERMS_MAX);
    *given_out = count;
    for (size_t at = 0; http_parameters_next(parameters, TEXT("search[]"), &at, &term);)
        if (!search_filter_add(filter, term))
            return api_memory_error(error);
    return ERROR_NONE;
}

static enum error_code read_order(const struct http_parameters *parameters, size_t term_count,
                                  struct text *by_out, enum search_order *order_out,
                                  struct error *error)
{
    struct text by, direction;
    http_parameters_find(parameters, TEXT("sort_by"), &by);
    http_parameters_find(parameters, TEXT("sort_dir"), &direction);
    bool by_score = text_equal(by, TEXT("score"));
    bool descends = text_equal(direction, TEXT("dsc"));
    if (direction.size > 0 && by.size == 0)
        return error_set(error, ERROR_INVALID, "sort_dir is only valid when sort_by is set");
    if (direction.size > 0 && by_score)
        return error_set(error, ERROR_INVALID, "sort_dir is not supported for sort_by=score");
    if (direction.size > 0 && !descends && !text_equal(direction, TEXT("asc")))
        return error_set(error, ERROR_INVALID,
                         "invalid sort_dir \"%.*s\": must be \"asc\" or \"dsc\"",
                         TEXT_ARGUMENTS(direction));
    if (by_score && term_count == 0)
        return error_set(error, ERROR_INVALID, "sort_by=score requires search[] to be set");
    *by_out = by;
    *order_out = by_score ? ORDER_BY_SCORE : descends ? ORDER_BY_VALUE_DESCENDING : ORDER_BY_VALUE;
    return ERROR_NONE;
}

static enum error_code read_sizes(struct api_lookup *lookup,
                                  const struct http_parameters *parameters, struct error *error)
{
    struct search *search = lookup->state;
    int64_t limit, batch;
    enum error_code code = read_count(parameters, "limit", LIMIT_DEFAULT, &limit, error);
    if (code == ERROR_NONE && limit > LIMIT_MAX)
        code = error_set(error, ERROR_INVALID, "limit %lld exceeds the configured maximum (%d)",
                         (long long)limit, LIMIT_MAX);
    if (code == ERROR_NONE)
        code = read_count(parameters, "batch_size", BATCH_DEFAULT, &batch, error);
    if (code != ERROR_NONE)
        return code;
    lookup->limit = (uint64_t)limit;
    search->batch = (size_t)batch;
    return ERROR_NONE;
}

/* What all three take, in the order in which Prometheus looks at it. */
static enum error_code read_common(struct api_lookup *lookup,
                                   const struct http_parameters *parameters, struct error *error)
{
    struct search *search = arena_array(lookup->arena, 1, sizeof *search);
    if (search == NULL)
        return api_memory_error(error);
    *search = (struct search){.filter = {.arena = lookup->arena}, .field = "name"};
    lookup->state = search;
    lookup->content_type = TEXT("application/x-ndjson; charset=utf-8");
    struct text by = {0};
    bool case_counts;
    size_t given = 0;
    enum error_code code = read_selection(lookup, parameters, error);
    if (code == ERROR_NONE) /* first, since terms are folded as they come */
        code = read_truth(parameters, "case_sensitive", true, &case_counts, error);
    if (code != ERROR_NONE)
        return code;
    search->filter.folding = case_counts ? SEARCH_CASE_COUNTS : SEARCH_CASE_FOLDED;
    code = read_terms(parameters, &search->filter, &given, error);
    if (code == ERROR_NONE)
        code = read_algorithm(parameters, &search->filter, error);
    if (code == ERROR_NONE)
        code = read_truth(parameters, "include_score", false, &search->with_score, error);
    if (code == ERROR_NONE)
        code = read_order(parameters, given, &by, &search->order, error);
    if (code == ERROR_NONE)
        code = read_sizes(lookup, parameters, error);
    if (code == ERROR_NONE && by.size > 0 && !text_equal(by, TEXT("alpha")) &&
        !text_equal(by, TEXT("score")))
        code = error_set(error, ERROR_INVALID,
                         "invalid sort_by \"%.*s\" for %s: must be \"alpha\" or \"score\"",
                         TEXT_ARGUMENTS(by), lookup->kind->name);
    return code;
}

static enum error_code read_metric_names(struct api_lookup *lookup,
                                         const struct http_parameters *parameters,
                                         struct error *error)
{
    enum error_code code = read_common(lookup, parameters, error);
    if (code != ERROR_NONE)
        return code;
    struct search *search = lookup->state;
    lookup->name = LABEL_METRIC_NAME;
    return read_truth(parameters, "include_metadata", false, &search->with_metadata, error);
}

static enum error_code read_label_values(struct api_lookup *lookup,
                                         const struct http_parameters *parameters,
                                         struct error *error)
{
    enum error_code code = read_common(lookup, parameters, error);
    if (code != ERROR_NONE)
        return code;
    struct search *search = lookup->state;
    search->field = "value";
    http_parameters_find(parameters, TEXT("label"), &lookup->name);
    return lookup->name.size > 0
               ? ERROR_NONE
               : error_set(error, ERROR_INVALID, "missing required parameter \"label\"");
}

/* --- Searching ---------------------------------------------------------------------------------
 */

static int compare_scores(const void *left_item, const void *right_item)
{
    const struct match *left = left_item, *right = right_item;
    if (left->score != right->score)
        return left->score > right->score ? -1 : 1;
    return text_compare(left->value, right->value);
}

/* `values` by value. As many as are shown, and whether there were more. */
static enum error_code find_matches(struct api_lookup *lookup, const struct text *values,
                                    size_t count, struct error *error)
{
    struct search *search = lookup->state;
    struct match *matches = arena_array(lookup->arena, count + 1, sizeof *matches);
    if (matches == NULL)
        return api_memory_error(error);
    size_t found = 0, wanted = (size_t)lookup->limit + 1;
    bool by_score = search->order == ORDER_BY_SCORE;
    for (size_t i = 0; i < count && (by_score || found < wanted); i++) {
        struct text value = values[search->order == ORDER_BY_VALUE_DESCENDING ? count - 1 - i : i];
        double score;
        if (search_filter_accepts(&search->filter, value, &score))
            matches[found++] = (struct match){value, score, NULL};
        if (search->filter.out_of_memory)
            return api_memory_error(error);
    }
    if (by_score)
        qsort(matches, found, sizeof *matches, compare_scores);
    search->has_more = found > lookup->limit;
    search->matches = matches;
    lookup->items = matches;
    lookup->item_count = search->has_more ? (size_t)lookup->limit : found;
    return ERROR_NONE;
}

static int compare_values(const void *left, const void *right)
{
    return text_compare((*(struct match *const *)left)->value,
                        (*(struct match *const *)right)->value);
}

struct metadata_search {
    struct api_lookup *lookup;
    struct match **by_name; /* [item_count] */
    bool out_of_memory;
};

/* What is told first of a metric is shown. */
static bool note_metadata(void *context, struct text name, const struct metric_metadata *metadata)
{
    struct metadata_search *search = context;
    struct match wanted = {.value = name}, *key = &wanted;
    struct match **found = bsearch(&key, search->by_name, search->lookup->item_count,
                                   sizeof(struct match *), compare_values);
    if (found == NULL || (*found)->metadata != NULL)
        return true;
    struct arena *arena = search->lookup->arena;
    struct metric_metadata *copy = arena_array(arena, 1, sizeof *copy);
    if (copy == NULL) {
        search->out_of_memory = true;
        return false;
    }
    *copy = (struct metric_metadata){metadata->type, arena_copy_text(arena, metadata->help),
                                     arena_copy_text(arena, metadata->unit)};
    (*found)->metadata = copy;
    return true;
}

static enum error_code find_metadata(struct api_lookup *lookup, struct error *error)
{
    struct search *search = lookup->state;
    struct metadata_search finding = {.lookup = lookup};
    if (!search->with_metadata || lookup->item_count == 0)
        return ERROR_NONE;
    finding.by_name = arena_array(lookup->arena, lookup->item_count, sizeof(struct match *));
    if (finding.by_name == NULL)
        return api_memory_error(error);
    for (size_t i = 0; i < lookup->item_count; i++)
        finding.by_name[i] = &search->matches[i];
    qsort(finding.by_name, lookup->item_count, sizeof(struct match *), compare_values);
    bool is_damaged;
    enum error_code code = api_visit_metadata(lookup, note_metadata, &finding, &is_damaged, error);
    return code == ERROR_NONE && finding.out_of_memory ? api_memory_error(error) : code;
}

static enum error_code run(struct api_lookup *lookup, struct byte_buffer *data, struct error *error)
{
    const struct text *values;
    size_t count;
    enum error_code code = api_lookup_texts(lookup, &values, &count, error);
    (void)data;
    if (code != ERROR_NONE)
        return code;
    code = find_matches(lookup, values, count, error);
    return code == ERROR_NONE ? find_metadata(lookup, error) : code;
}

/* --- Lines -------------------------------------------------------------------------------------
 */

static void append_metadata(struct byte_buffer *piece, const struct metric_metadata *metadata)
{
    json_string_field(piece, "type", metric_type_name(metadata->type));
    if (metadata->help.size > 0) {
        json_field_name(piece, "help");
        json_string(piece, metadata->help);
    }
    if (metadata->unit.size > 0) {
        json_field_name(piece, "unit");
        json_string(piece, metadata->unit);
    }
}

static void append(struct api_lookup *lookup, size_t item, struct byte_buffer *piece)
{
    const struct search *search = lookup->state;
    const struct match *match = &search->matches[item];
    if (item % search->batch == 0)
        json_raw(piece, item > 0 ? TEXT("]}\n{\"results\":[{") : TEXT("{\"results\":[{"));
    else
        json_raw(piece, TEXT(",{"));
    json_field_name(piece, search->field);
    json_string(piece, match->value);
    if (search->with_score) {
        json_field_name(piece, "score");
        json_double(piece, match->score);
    }
    if (match->metadata != NULL)
        append_metadata(piece, match->metadata);
    json_raw(piece, TEXT("}"));
}

static void finish(struct api_lookup *lookup, struct byte_buffer *piece)
{
    const struct search *search = lookup->state;
    json_raw(piece, lookup->item_count == 0 ? TEXT("{\"results\":[]}\n") : TEXT("]}\n"));
    json_raw(piece, search->has_more ? TEXT("{\"status\":\"success\",\"has_more\":true}\n")
                                     : TEXT("{\"status\":\"success\",\"has_more\":false}\n"));
}

#define KIND_OF(endpoint, reader)                                                                  \
    {                                                                                              \
        .name = endpoint, .read = reader, .run = run, .append = append, .is_plain = true,          \
        .finish = finish                                                                           \
    }

void api_search_metric_names(struct http_request *request)
{
    static const struct api_lookup_kind KIND = KIND_OF("metric_names", read_metric_names);
    api_lookup_start(request, (struct text){0}, &KIND);
}

void api_search_label_names(struct http_request *request)
{
    static const struct api_lookup_kind KIND = KIND_OF("label_names", read_common);
    api_lookup_start(request, (struct text){0}, &KIND);
}

void api_search_label_values(struct http_request *request)
{
    static const struct api_lookup_kind KIND = KIND_OF("label_values", read_label_values);
    api_lookup_start(request, (struct text){0}, &KIND);
}
