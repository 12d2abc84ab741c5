#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "evaluation.h"
#include "model/quote.h"

enum {
    ANNOTATIONS_MAX = 1000, /* a query that annotates more than this has said enough */
    FORCED_MAX = 100,
};

struct text text_quote(struct arena *arena, struct text value)
{
    struct byte_buffer buffer = {0};
    text_append_quoted(&buffer, value);
    struct text quoted = {0};
    if (!buffer.failed)
        quoted = arena_copy_text(arena, (struct text){(const char *)buffer.bytes, buffer.size});
    byte_buffer_clear(&buffer);
    return quoted;
}

static bool annotation_is_known(const struct annotations *annotations, struct text message)
{
    for (size_t i = 0; i < annotations->count; i++)
        if (text_equal(annotations->entries[i].message, message))
            return true;
    return false;
}

static void annotation_store(struct evaluation *evaluation, enum promql_annotation_kind kind,
                             struct text message)
{
    struct annotations *annotations = &evaluation->annotations;
    if (annotations->count == ANNOTATIONS_MAX || annotation_is_known(annotations, message))
        return;
    if (annotations->arena == NULL)
        annotations->arena = evaluation_arena_create(evaluation);
    if (annotations->arena == NULL)
        return;
    if (annotations->count == annotations->capacity) {
        size_t capacity = annotations->capacity == 0 ? 8 : annotations->capacity * 2;
        struct promql_annotation *entries =
            arena_grow(annotations->arena, annotations->entries, annotations->capacity, capacity,
                       sizeof *entries);
        if (entries == NULL)
            return;
        annotations->entries = entries;
        annotations->capacity = capacity;
    }
    struct text copy = arena_copy_text(annotations->arena, message);
    if (copy.data != NULL)
        annotations->entries[annotations->count++] = (struct promql_annotation){kind, copy};
}

void evaluation_annotate_text(struct evaluation *evaluation, enum promql_annotation_kind kind,
                              struct text message)
{
    pthread_mutex_lock(&evaluation->annotations.lock);
    annotation_store(evaluation, kind, message);
    pthread_mutex_unlock(&evaluation->annotations.lock);
}

struct text_place evaluation_place(const struct evaluation *evaluation, struct text_range position)
{
    struct text text = evaluation->query.text;
    struct text_place place = {1, 1};
    if (position.end == 0)
        return place;
    place = (struct text_place){evaluation->text_line, evaluation->text_column};
    for (uint32_t i = 0; i < position.start && i < text.size; i++) {
        place.column++;
        if (text.data[i] == '\n') {
            place.line++;
            place.column = 1;
        }
    }
    return place;
}

void evaluation_annotate(struct evaluation *evaluation, enum promql_annotation_kind kind,
                         struct text_range position, const char *format, ...)
{
    /* A lost annotation (too long, no memory) never fails the query. */
    enum { MESSAGE_BYTES_MAX = 2048 };
    char message[MESSAGE_BYTES_MAX];
    size_t used = (size_t)snprintf(message, sizeof message,
                                   "PromQL %s: ", kind == PROMQL_WARNING ? "warning" : "info");
    va_list arguments;
    va_start(arguments, format);
    int written = vsnprintf(message + used, sizeof message - used, format, arguments);
    va_end(arguments);
    if (written < 0)
        return;
    used += (size_t)written < sizeof message - used ? (size_t)written : sizeof message - used - 1;
    struct text_place place = evaluation_place(evaluation, position);
    written = snprintf(message + used, sizeof message - used, " (%u:%u)", place.line, place.column);
    if (written > 0)
        used +=
            (size_t)written < sizeof message - used ? (size_t)written : sizeof message - used - 1;

    evaluation_annotate_text(evaluation, kind, (struct text){message, used});
}

void evaluation_annotate_quantile(struct evaluation *evaluation, double quantile,
                                  struct text_range position)
{
    char text[NUMBER_TEXT_BYTES];
    evaluation_annotate(evaluation, PROMQL_WARNING, position,
                        "quantile value should be between 0 and 1, got %s",
                        number_text(text, quantile));
}

/* --- Forced monotonicity --------------------------------------------------------------------- */

static void forced_add(struct forced_entry *entry, const struct forced_monotonicity *forced)
{
    if (forced->bucket_min < entry->sum.bucket_min)
        entry->sum.bucket_min = forced->bucket_min;
    if (forced->bucket_max > entry->sum.bucket_max)
        entry->sum.bucket_max = forced->bucket_max;
    if (forced->difference_max > entry->sum.difference_max)
        entry->sum.difference_max = forced->difference_max;
    if (forced->timestamp_ms > entry->sum.timestamp_ms)
        entry->sum.timestamp_ms = forced->timestamp_ms;
    if (forced->timestamp_ms < entry->timestamp_min_ms)
        entry->timestamp_min_ms = forced->timestamp_ms;
    entry->count++;
}

static void forced_store(struct evaluation *evaluation, struct text_range position,
                         struct text name, const struct forced_monotonicity *forced)
{
    struct annotations *annotations = &evaluation->annotations;
    for (size_t i = 0; i < annotations->forced_count; i++) {
        struct forced_entry *entry = &annotations->forced[i];
        if (entry->position.start == position.start && text_equal(entry->message, name)) {
            forced_add(entry, forced);
            return;
        }
    }
    if (annotations->arena == NULL)
        annotations->arena = evaluation_arena_create(evaluation);
    if (annotations->forced == NULL && annotations->arena != NULL)
        annotations->forced =
            arena_array(annotations->arena, FORCED_MAX, sizeof *annotations->forced);
    if (annotations->forced == NULL || annotations->forced_count == FORCED_MAX)
        return;
    struct text copy = arena_copy_text(annotations->arena, name);
    if (copy.data != NULL)
        annotations->forced[annotations->forced_count++] =
            (struct forced_entry){copy, position, *forced, forced->timestamp_ms, 1};
}

void evaluation_annotate_forced(struct evaluation *evaluation, struct text_range position,
                                struct text quoted_name, const struct forced_monotonicity *forced)
{
    pthread_mutex_lock(&evaluation->annotations.lock);
    forced_store(evaluation, position, quoted_name, forced);
    pthread_mutex_unlock(&evaluation->annotations.lock);
}

/* 2026-11-20T23:00:00Z */
static const char *time_text(char target[40], int64_t timestamp_ms)
{
    time_t seconds = (time_t)(timestamp_ms / 1000);
    struct tm parts;
    if (gmtime_r(&seconds, &parts) == NULL ||
        strftime(target, 40, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        snprintf(target, 40, "%" PRId64, timestamp_ms);
    return target;
}

void evaluation_annotate_finish(struct evaluation *evaluation)
{
    struct annotations *annotations = &evaluation->annotations;
    for (size_t i = 0; i < annotations->forced_count; i++) {
        const struct forced_entry *entry = &annotations->forced[i];
        char lowest[NUMBER_TEXT_BYTES];
        char highest[NUMBER_TEXT_BYTES];
        char first[40];
        char last[40];
        evaluation_annotate(
            evaluation, PROMQL_INFO, entry->position,
            "input to histogram_quantile needed to be fixed for monotonicity (see "
            "https://prometheus.io/docs/prometheus/latest/querying/functions/"
            "#histogram_quantile)%s%.*s, from buckets %s to %s, with a max diff of %.2g, over "
            "%" PRIu64 " samples from %s to %s",
            entry->message.size > 0 ? " for metric name " : "", TEXT_ARGUMENTS(entry->message),
            number_text(lowest, entry->sum.bucket_min), number_text(highest, entry->sum.bucket_max),
            entry->sum.difference_max, entry->count, time_text(first, entry->timestamp_min_ms),
            time_text(last, entry->sum.timestamp_ms));
    }
    annotations->forced_count = 0;
}
