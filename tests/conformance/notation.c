#include "notation.h"

#include <ctype.h>
#include <stdlib.h>

#include "promql/parser.h"

/* --- The series ------------------------------------------------------------------------------ */

/* Where the labels end: the first blank outside of braces and quotes. */
static size_t labels_end(struct text line)
{
    bool in_quotes = false;
    int depth = 0;
    for (size_t i = 0; i < line.size; i++) {
        char character = line.data[i];
        if (in_quotes) {
            if (character == '\\')
                i++;
            else if (character == '"')
                in_quotes = false;
        } else if (character == '"') {
            in_quotes = true;
        } else if (character == '{') {
            depth++;
        } else if (character == '}') {
            depth--;
        } else if (isspace((unsigned char)character) && depth == 0) {
            return i;
        }
    }
    return line.size;
}

/* The labels are read as a selector, whose matchers are the labels. */
static enum error_code labels_parse(struct text text, struct arena *arena,
                                    struct labels *labels_out, struct error *error)
{
    *labels_out = (struct labels){0};
    if (text_equal(text, TEXT("{}")))
        return ERROR_NONE;
    struct promql_query query = {0};
    enum error_code code = promql_parse_selector(text, arena, &query, error);
    if (code != ERROR_NONE)
        return code;
    const struct selector_node *selector = &query.root->selector;
    struct label *array = arena_array(arena, selector->matcher_count + 1, sizeof *array);
    for (size_t i = 0; i < selector->matcher_count; i++)
        array[i] = (struct label){arena_copy_text(arena, selector->matchers[i]->name),
                                  arena_copy_text(arena, selector->matchers[i]->value)};
    *labels_out = labels_build(arena, array, selector->matcher_count);
    promql_query_clear(&query);
    return ERROR_NONE;
}

/* --- Histograms ------------------------------------------------------------------------------ */

struct histogram_text {
    struct text rest;
    bool has_reset_hint;
};

static void skip_blanks(struct text *text)
{
    while (text->size > 0 && isspace((unsigned char)text->data[0])) {
        text->data++;
        text->size--;
    }
}

static bool take(struct text *text, const char *prefix)
{
    if (!text_starts_with(*text, text_of(prefix)))
        return false;
    size_t size = strlen(prefix);
    *text = (struct text){text->data + size, text->size - size};
    return true;
}

/* Characters of a word or number. */
static struct text take_word(struct text *text)
{
    size_t size = 0;
    while (size < text->size && !isspace((unsigned char)text->data[size]) &&
           strchr("[]{}:", text->data[size]) == NULL)
        size++;
    struct text word = {text->data, size};
    *text = (struct text){text->data + size, text->size - size};
    return word;
}

static bool take_number(struct text *text, double *number_out)
{
    skip_blanks(text);
    return text_to_double(take_word(text), number_out);
}

static bool take_numbers(struct text *text, struct arena *arena, double **numbers_out,
                         size_t *count_out)
{
    enum { NUMBERS_MAX = 512 };
    double *numbers = arena_array(arena, NUMBERS_MAX, sizeof *numbers);
    size_t count = 0;
    if (!take(text, "["))
        return false;
    for (;;) {
        skip_blanks(text);
        if (take(text, "]"))
            break;
        if (count == NUMBERS_MAX || !take_number(text, &numbers[count++]))
            return false;
    }
    *numbers_out = numbers;
    *count_out = count;
    return true;
}

static void side_set(struct arena *arena, const double *numbers, size_t count, double offset,
                     const struct histogram_span **spans_out, uint32_t *span_count_out,
                     const union histogram_number **buckets_out, uint32_t *bucket_count_out)
{
    struct histogram_span *span = arena_array(arena, 1, sizeof *span);
    union histogram_number *buckets = arena_array(arena, count, sizeof *buckets);
    *span = (struct histogram_span){(int32_t)offset, (uint32_t)count};
    for (size_t i = 0; i < count; i++)
        buckets[i].real = numbers[i];
    *spans_out = span;
    *span_count_out = count > 0;
    *buckets_out = buckets;
    *bucket_count_out = (uint32_t)count;
}

struct histogram_fields {
    double *buckets;
    double *negative_buckets;
    double *bounds;
    size_t bucket_count;
    size_t negative_bucket_count;
    size_t bound_count;
    double offset;
    double negative_offset;
    double schema;
};

static bool hint_parse(struct text word, enum histogram_reset *reset_out)
{
    static const struct {
        const char *word;
        enum histogram_reset reset;
    } HINTS[] = {{"unknown", HISTOGRAM_RESET_UNKNOWN},
                 {"reset", HISTOGRAM_RESET_YES},
                 {"not_reset", HISTOGRAM_RESET_NO},
                 {"gauge", HISTOGRAM_RESET_GAUGE}};
    for (size_t i = 0; i < sizeof HINTS / sizeof HINTS[0]; i++)
        if (text_equal(word, text_of(HINTS[i].word))) {
            *reset_out = HINTS[i].reset;
            return true;
        }
    return false;
}

static bool field_parse(struct text *text, struct text name, struct arena *arena,
                        struct histogram *histogram, struct histogram_fields *fields,
                        bool *has_hint)
{
    if (text_equal(name, TEXT("schema")))
        return take_number(text, &fields->schema);
    if (text_equal(name, TEXT("sum")))
        return take_number(text, &histogram->sum);
    if (text_equal(name, TEXT("count")))
        return take_number(text, &histogram->count.real);
    if (text_equal(name, TEXT("z_bucket")))
        return take_number(text, &histogram->zero_count.real);
    if (text_equal(name, TEXT("z_bucket_w")))
        return take_number(text, &histogram->zero_threshold);
    if (text_equal(name, TEXT("offset")))
        return take_number(text, &fields->offset);
    if (text_equal(name, TEXT("n_offset")))
        return take_number(text, &fields->negative_offset);
    if (text_equal(name, TEXT("buckets")))
        return take_numbers(text, arena, &fields->buckets, &fields->bucket_count);
    if (text_equal(name, TEXT("n_buckets")))
        return take_numbers(text, arena, &fields->negative_buckets, &fields->negative_bucket_count);
    if (text_equal(name, TEXT("custom_values")))
        return take_numbers(text, arena, &fields->bounds, &fields->bound_count);
    if (text_equal(name, TEXT("counter_reset_hint"))) {
        *has_hint = true;
        return hint_parse(take_word(text), &histogram->reset);
    }
    return false;
}

/* {{schema:0 sum:1 ...}}, at whose start `text` stands. */
static bool take_histogram(struct text *text, struct arena *arena, struct histogram **histogram_out,
                           bool *has_hint)
{
    struct histogram *histogram = arena_array(arena, 1, sizeof *histogram);
    struct histogram_fields fields = {0};
    histogram->kind = HISTOGRAM_FLOAT;
    *has_hint = false;
    if (!take(text, "{{"))
        return false;
    for (;;) {
        skip_blanks(text);
        if (take(text, "}}"))
            break;
        struct text name = take_word(text);
        if (!take(text, ":") || !field_parse(text, name, arena, histogram, &fields, has_hint))
            return false;
    }
    histogram->schema = (int32_t)fields.schema;
    histogram->custom_bounds = fields.bounds;
    histogram->custom_bound_count = (uint32_t)fields.bound_count;
    side_set(arena, fields.buckets, fields.bucket_count, fields.offset, &histogram->positive_spans,
             &histogram->positive_span_count, &histogram->positive_buckets,
             &histogram->positive_bucket_count);
    side_set(arena, fields.negative_buckets, fields.negative_bucket_count, fields.negative_offset,
             &histogram->negative_spans, &histogram->negative_span_count,
             &histogram->negative_buckets, &histogram->negative_bucket_count);
    *histogram_out = histogram;
    return true;
}

/* --- Values ---------------------------------------------------------------------------------- */

struct point_list {
    struct arena *arena;
    struct point *points;
    size_t count;
    size_t capacity;
};

static void point_add(struct point_list *list, struct point point)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 16 : list->capacity * 2;
        list->points =
            arena_grow(list->arena, list->points, list->capacity, capacity, sizeof *list->points);
        list->capacity = capacity;
    }
    list->points[list->count++] = point;
}

/* x10 at the end of an item; 0 without. */
static bool take_times(struct text *text, uint64_t *times_out)
{
    *times_out = 0;
    if (text->size < 2 || text->data[0] != 'x' || !isdigit((unsigned char)text->data[1]))
        return true;
    take(text, "x");
    return text_to_uint64(take_word(text), times_out);
}

/* The end of a number: a sign in the middle begins the increment. */
static size_t number_size(struct text text)
{
    size_t size = 0;
    while (size < text.size && !isspace((unsigned char)text.data[size])) {
        char character = text.data[size];
        bool after_exponent =
            size > 0 && (text.data[size - 1] == 'e' || text.data[size - 1] == 'E');
        if (size > 0 && (character == '+' || character == '-') && !after_exponent)
            break;
        bool is_hexadecimal = size == 1 && text.data[0] == '0';
        if (character == 'x' && !is_hexadecimal)
            break;
        if (character == 'x' && is_hexadecimal)
            break; /* 0x10 is zero, ten times */
        size++;
    }
    return size;
}

/* A number, or with NOTATION_START_OFFSETS a signed duration in milliseconds. */
static bool item_number(struct text text, enum notation_kind kind, double *number_out)
{
    if (kind == NOTATION_VALUES)
        return text_to_double(text, number_out);
    bool is_negative = text.size > 0 && text.data[0] == '-';
    if (text.size > 0 && (text.data[0] == '-' || text.data[0] == '+'))
        text = (struct text){text.data + 1, text.size - 1};
    int64_t duration_ms;
    struct error ignored;
    if (text_to_duration_ms(text, &duration_ms, &ignored) != ERROR_NONE)
        return false;
    *number_out = (double)(is_negative ? -duration_ms : duration_ms);
    return true;
}

static struct histogram *histogram_plus(struct arena *arena, const struct histogram *left,
                                        const struct histogram *right, double sign);

static bool histogram_items(struct text *text, struct point_list *list)
{
    struct histogram *start;
    struct histogram *increment = NULL;
    bool has_hint;
    bool ignored;
    double sign = 1;
    if (!take_histogram(text, list->arena, &start, &has_hint))
        return false;
    if (text->size > 2 && (text->data[0] == '+' || text->data[0] == '-')) {
        sign = text->data[0] == '-' ? -1 : 1;
        *text = (struct text){text->data + 1, text->size - 1};
        if (!take_histogram(text, list->arena, &increment, &ignored))
            return false;
    }
    uint64_t times;
    if (!take_times(text, &times))
        return false;
    const struct histogram *current = start;
    for (uint64_t i = 0; i <= times; i++) {
        point_add(list, (struct point){POINT_HISTOGRAM, 0, current, has_hint});
        if (increment != NULL)
            current = histogram_plus(list->arena, current, increment, sign);
    }
    return true;
}

static bool float_items(struct text *text, enum notation_kind kind, struct point_list *list)
{
    double value;
    double increment = 0;
    size_t size = number_size(*text);
    if (!item_number((struct text){text->data, size}, kind, &value))
        return false;
    *text = (struct text){text->data + size, text->size - size};
    if (text->size > 0 && (text->data[0] == '+' || text->data[0] == '-')) {
        size = number_size(*text);
        if (!item_number((struct text){text->data, size}, kind, &increment))
            return false;
        *text = (struct text){text->data + size, text->size - size};
    }
    uint64_t times;
    if (!take_times(text, &times))
        return false;
    for (uint64_t i = 0; i <= times; i++) {
        point_add(list, (struct point){POINT_FLOAT, value, NULL, false});
        value += increment;
    }
    return true;
}

static bool missing_items(struct text *text, struct point_list *list)
{
    uint64_t times;
    take(text, "_");
    if (!take_times(text, &times))
        return false;
    for (uint64_t i = 0; i < (times == 0 ? 1 : times); i++)
        point_add(list, (struct point){0});
    return true;
}

enum error_code notation_parse(struct text line, struct arena *arena, struct notation *notation_out,
                               struct error *error)
{
    size_t end = labels_end(line);
    struct text labels = {line.data, end};
    struct text rest = {line.data + end, line.size - end};
    struct notation notation = {0};
    if (text_ends_with(labels, TEXT("@st"))) {
        notation.kind = NOTATION_START_OFFSETS;
        labels.size -= 3;
    }
    enum error_code code = labels_parse(labels, arena, &notation.labels, error);
    if (code != ERROR_NONE)
        return code;
    struct point_list list = {.arena = arena};
    for (skip_blanks(&rest); rest.size > 0; skip_blanks(&rest)) {
        bool is_parsed;
        if (rest.data[0] == '_') {
            is_parsed = missing_items(&rest, &list);
        } else if (rest.data[0] == '{') {
            is_parsed = histogram_items(&rest, &list);
        } else if (take(&rest, "stale")) {
            point_add(&list, (struct point){POINT_FLOAT, double_from_bits(STALE_MARKER_BITS), NULL,
                                            false});
            is_parsed = true;
        } else {
            is_parsed = float_items(&rest, notation.kind, &list);
        }
        if (!is_parsed)
            return error_set(error, ERROR_INVALID, "not a value: '%.*s' in '%.*s'",
                             TEXT_ARGUMENTS(rest), TEXT_ARGUMENTS(line));
    }
    notation.points = list.points;
    notation.point_count = list.count;
    *notation_out = notation;
    return ERROR_NONE;
}

/* --- Adding histograms ----------------------------------------------------------------------- */

/* The count of the bucket with `index`; each side of ours has one span. */
static double bucket_at(const struct histogram_span *spans, uint32_t span_count,
                        const union histogram_number *buckets, int32_t index)
{
    if (span_count == 0 || index < spans[0].offset ||
        index >= spans[0].offset + (int32_t)spans[0].length)
        return 0;
    return buckets[index - spans[0].offset].real;
}

struct bucket_side {
    const struct histogram_span *spans;
    uint32_t span_count;
    const union histogram_number *buckets;
};

static void side_plus(struct arena *arena, struct bucket_side left, struct bucket_side right,
                      double sign, const struct histogram_span **spans_out,
                      uint32_t *span_count_out, const union histogram_number **buckets_out,
                      uint32_t *bucket_count_out)
{
    int32_t first = INT32_MAX;
    int32_t end = INT32_MIN;
    struct bucket_side sides[2] = {left, right};
    for (size_t i = 0; i < 2; i++) {
        if (sides[i].span_count == 0)
            continue;
        int32_t start = sides[i].spans[0].offset;
        first = start < first ? start : first;
        int32_t stop = start + (int32_t)sides[i].spans[0].length;
        end = stop > end ? stop : end;
    }
    size_t count = end > first ? (size_t)(end - first) : 0;
    double *numbers = arena_array(arena, count, sizeof *numbers);
    for (size_t i = 0; i < count; i++) {
        int32_t index = first + (int32_t)i;
        numbers[i] = bucket_at(left.spans, left.span_count, left.buckets, index) +
                     sign * bucket_at(right.spans, right.span_count, right.buckets, index);
    }
    side_set(arena, numbers, count, count > 0 ? first : 0, spans_out, span_count_out, buckets_out,
             bucket_count_out);
}

/* left + sign * right, both of the same schema, as increments are. */
static struct histogram *histogram_plus(struct arena *arena, const struct histogram *left,
                                        const struct histogram *right, double sign)
{
    struct histogram *sum = arena_allocate(arena, sizeof *sum);
    *sum = *left;
    sum->count.real += sign * right->count.real;
    sum->zero_count.real += sign * right->zero_count.real;
    sum->sum += sign * right->sum;
    struct bucket_side left_side = {left->positive_spans, left->positive_span_count,
                                    left->positive_buckets};
    struct bucket_side right_side = {right->positive_spans, right->positive_span_count,
                                     right->positive_buckets};
    side_plus(arena, left_side, right_side, sign, &sum->positive_spans, &sum->positive_span_count,
              &sum->positive_buckets, &sum->positive_bucket_count);
    left_side = (struct bucket_side){left->negative_spans, left->negative_span_count,
                                     left->negative_buckets};
    right_side = (struct bucket_side){right->negative_spans, right->negative_span_count,
                                      right->negative_buckets};
    side_plus(arena, left_side, right_side, sign, &sum->negative_spans, &sum->negative_span_count,
              &sum->negative_buckets, &sum->negative_bucket_count);
    return sum;
}
