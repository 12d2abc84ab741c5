#include "histogram_layout.h"

#include <assert.h>

bool histogram_layouts_init(struct histogram_layouts *layouts, size_t count, struct arena *arena)
{
    *layouts = (struct histogram_layouts){
        .families = arena_array(arena, count, sizeof *layouts->families),
        .layouts = arena_array(arena, count, sizeof *layouts->layouts),
        .layout_of = arena_array(arena, count, sizeof *layouts->layout_of),
        .cursors = arena_array(arena, count, sizeof *layouts->cursors),
        .ordinals = arena_array(arena, count, sizeof *layouts->ordinals),
    };
    return layouts->families != NULL && layouts->layouts != NULL && layouts->layout_of != NULL &&
           layouts->cursors != NULL && layouts->ordinals != NULL;
}

bool spans_are_sound(const struct histogram_span *spans, uint32_t span_count,
                     uint32_t *bucket_count_out)
{
    if (span_count > HISTOGRAM_BUCKETS_MAX)
        return false;
    uint64_t buckets = 0;
    for (uint32_t i = 0; i < span_count; i++) {
        if (i > 0 && spans[i].offset < 0)
            return false;
        buckets += spans[i].length;
    }
    if (buckets > HISTOGRAM_BUCKETS_MAX)
        return false;
    *bucket_count_out = (uint32_t)buckets;
    return true;
}

/* --- Sets of buckets ---------------------------------------------------------------------- */

/* Append an interval whose begin is not before that of the last one. */
static void append_interval(struct bucket_set *set, struct bucket_interval interval)
{
    if (interval.begin == interval.end)
        return;
    struct bucket_interval *last = set->count > 0 ? &set->intervals[set->count - 1] : NULL;
    if (last != NULL && interval.begin <= last->end) {
        if (interval.end > last->end) {
            set->bucket_count += (uint64_t)(interval.end - last->end);
            last->end = interval.end;
        }
        return;
    }
    set->bucket_count += (uint64_t)(interval.end - interval.begin);
    set->intervals[set->count++] = interval;
}

bool bucket_set_join(const struct bucket_set *set, const struct layout_side *side,
                     struct arena *arena, struct bucket_set *joined_out)
{
    struct bucket_set joined = {0};
    joined.intervals = arena_array(arena, set->count + side->span_count, sizeof *joined.intervals);
    if (joined.intervals == NULL)
        return false;

    size_t taken = 0;
    int64_t end = 0;
    for (uint32_t i = 0; i < side->span_count; i++) {
        struct bucket_interval span = {.begin = end + side->spans[i].offset};
        span.end = span.begin + side->spans[i].length;
        end = span.end;
        while (taken < set->count && set->intervals[taken].begin <= span.begin)
            append_interval(&joined, set->intervals[taken++]);
        append_interval(&joined, span);
    }
    while (taken < set->count)
        append_interval(&joined, set->intervals[taken++]);
    *joined_out = joined;
    return true;
}

/* --- Samples of a family ------------------------------------------------------------------ */

bool histogram_layouts_assign(struct histogram_layouts *layouts, size_t count, struct arena *arena)
{
    for (size_t i = 0; i < layouts->family_count; i++)
        layouts->families[i].sample_count = 0;
    for (size_t i = 0; i < count; i++)
        layouts->families[layouts->layouts[layouts->layout_of[i]].family].sample_count++;
    for (size_t i = 0; i < layouts->family_count; i++) {
        struct histogram_family *family = &layouts->families[i];
        family->samples = arena_array(arena, family->sample_count, sizeof *family->samples);
        if (family->samples == NULL)
            return false;
        family->sample_count = 0;
    }
    for (size_t i = 0; i < count; i++) {
        struct histogram_family *family =
            &layouts->families[layouts->layouts[layouts->layout_of[i]].family];
        family->samples[family->sample_count++] = (uint16_t)i;
    }
    return true;
}

/* --- Walking ------------------------------------------------------------------------------ */

struct column_walk column_walk_begin(const struct histogram_layouts *layouts, uint32_t family,
                                     enum histogram_side side)
{
    const struct bucket_set *columns = &layouts->families[family].columns[side];
    for (size_t i = 0; i < layouts->layout_count; i++) {
        const struct layout_side *spans = &layouts->layouts[i].sides[side];
        layouts->cursors[i] = (struct column_cursor){
            .begin = spans->span_count > 0 ? spans->spans[0].offset : 0,
        };
    }
    return (struct column_walk){
        .layouts = layouts,
        .family = family,
        .side = side,
        .index = columns->count > 0 ? columns->intervals[0].begin - 1 : 0,
        .ordinals = layouts->ordinals,
    };
}

/* Indexes only ascend. */
static int32_t cursor_ordinal(struct column_cursor *cursor, const struct layout_side *side,
                              int64_t index)
{
    while (cursor->span < side->span_count) {
        uint32_t length = side->spans[cursor->span].length;
        if (index < cursor->begin)
            return BUCKET_ABSENT;
        if (index < cursor->begin + length)
            return (int32_t)(cursor->ordinal + (uint32_t)(index - cursor->begin));
        cursor->ordinal += length;
        cursor->begin += length;
        if (++cursor->span < side->span_count)
            cursor->begin += side->spans[cursor->span].offset;
    }
    return BUCKET_ABSENT;
}

bool column_walk_next(struct column_walk *walk)
{
    const struct histogram_layouts *layouts = walk->layouts;
    const struct bucket_set *columns = &layouts->families[walk->family].columns[walk->side];
    if (walk->interval == columns->count)
        return false;
    walk->index++;
    if (walk->index == columns->intervals[walk->interval].end) {
        if (++walk->interval == columns->count)
            return false;
        walk->index = columns->intervals[walk->interval].begin;
    }
    for (size_t i = 0; i < layouts->layout_count; i++)
        if (layouts->layouts[i].family == walk->family)
            layouts->ordinals[i] = cursor_ordinal(
                &layouts->cursors[i], &layouts->layouts[i].sides[walk->side], walk->index);
    return true;
}
