#include "part_split.h"

/* How many samples are before the time. */
static size_t count_before(const struct sample_columns *columns, int64_t time_ms)
{
    size_t from = 0, to = columns->count;
    /* Nearly always all of them are on one side. */
    if (to == 0 || columns->timestamps_ms[0] >= time_ms)
        return 0;
    if (columns->timestamps_ms[to - 1] < time_ms)
        return to;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (columns->timestamps_ms[middle] < time_ms)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

static struct sample_columns slice(const struct sample_columns *columns, size_t from, size_t to)
{
    struct sample_columns part = *columns;
    if (from == 0 && to == columns->count)
        return part;
    part.count = to - from;
    part.timestamps_ms += from;
    part.values += from;
    if (part.histograms != NULL)
        part.histograms += from;
    if (part.start_timestamps_ms != NULL)
        part.start_timestamps_ms += from;
    part.timestamps_id = 0;
    return part;
}

static struct sample_columns side_of(const struct part_split *split,
                                     const struct sample_columns *columns)
{
    size_t late = count_before(columns, split->late_before_ms);
    return split->number == PART_LATE ? slice(columns, 0, late)
                                      : slice(columns, late, columns->count);
}

static void exemplars_of(const struct part_split *split, const struct head_series_content *content,
                         const struct exemplar **exemplars_out, size_t *count_out)
{
    size_t late = 0;
    while (late < content->exemplar_count &&
           content->exemplars[late].timestamp_ms < split->late_before_ms)
        late++;
    bool of_late = split->number == PART_LATE;
    *exemplars_out =
        content->exemplar_count == 0 ? NULL : content->exemplars + (of_late ? 0 : late);
    *count_out = of_late ? late : content->exemplar_count - late;
}

enum error_code part_split_take(struct part_split *split, const struct head_series_content *content,
                                struct sample_columns *columns_out,
                                const struct exemplar **exemplars_out, size_t *exemplar_count_out,
                                struct error *error)
{
    struct sample_columns pieces[] = {
        side_of(split, &content->current),
        side_of(split, &content->late),
    };
    exemplars_of(split, content, exemplars_out, exemplar_count_out);
    return column_merge(&split->merge, pieces, sizeof pieces / sizeof pieces[0], columns_out,
                        error);
}

void part_split_clear(struct part_split *split)
{
    column_merge_clear(&split->merge);
}
