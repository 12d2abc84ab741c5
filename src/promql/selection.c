/*
 * Series of a selector as they come from storage. Their labels stay there until somebody asks: then
 * a lane reads those of the next series with them, or all lanes read all.
 */
#include <assert.h>
#include <stdlib.h>

#include "columns_source.h"

/* Labels are read ahead as long as series are asked for in order. */
enum { LABELS_AHEAD_MIN = 16, LABELS_AHEAD_MAX = 512 };

/* What a lane has read ahead. */
struct label_window {
    struct arena *arena;
    size_t first;
    size_t count;
    struct labels labels[LABELS_AHEAD_MAX];
};

struct selection {
    struct columns_source source;
    struct evaluation *evaluation;
    struct series_set *set;
    struct series_reader **readers; /* [lane_count], NULL until a lane first reads */
    struct label_window **windows;  /* [lane_count], NULL until a lane first asks for labels */
    struct labels *labels;          /* [count], loaded; NULL: they are not */
    struct arena **label_arenas;    /* [lane_count] of what was loaded */
    struct selection *next_open;
};

/* --- Labels ----------------------------------------------------------------------------------- */

static struct label_window *window_of(struct selection *selection, struct lane *lane)
{
    struct label_window **window = &selection->windows[lane->index];
    if (*window == NULL)
        *window = arena_array(lane->memory, 1, sizeof **window);
    if (*window != NULL && (*window)->arena == NULL)
        (*window)->arena = evaluation_arena_create(selection->evaluation);
    return *window == NULL || (*window)->arena == NULL ? NULL : *window;
}

static enum error_code window_fill(struct selection *selection, struct label_window *window,
                                   size_t index, struct error *error)
{
    size_t count = LABELS_AHEAD_MIN;
    if (window->count > 0 && index == window->first + window->count)
        count = 2 * window->count;
    if (count > LABELS_AHEAD_MAX)
        count = LABELS_AHEAD_MAX;
    if (count > selection->set->count - index)
        count = selection->set->count - index;
    window->count = 0;
    arena_reset(window->arena);
    enum error_code code =
        series_set_labels(selection->set, index, count, window->arena, window->labels, error);
    if (code != ERROR_NONE)
        return code;
    window->first = index;
    window->count = count;
    return ERROR_NONE;
}

static struct series_identity selection_identity(struct columns_source *self, struct lane *lane,
                                                 size_t index, struct arena *arena)
{
    struct selection *selection = (struct selection *)self;
    if (selection->labels != NULL)
        return (struct series_identity){.labels = selection->labels[index]};
    assert(lane != NULL);
    struct error error;
    struct label_window *window = window_of(selection, lane);
    enum error_code code = ERROR_NONE;
    if (window == NULL)
        code = evaluation_out_of_memory(selection->evaluation, &error);
    else if (index < window->first || index - window->first >= window->count)
        code = window_fill(selection, window, index, &error);
    if (code != ERROR_NONE) {
        evaluation_fail(selection->evaluation, &error);
        return (struct series_identity){0};
    }
    return (struct series_identity){.labels =
                                        labels_copy(arena, window->labels[index - window->first])};
}

static enum error_code load_part(void *context, struct lane *lane, size_t part, struct error *error)
{
    struct selection *selection = context;
    struct evaluation *evaluation = selection->evaluation;
    struct arena **arena = &selection->label_arenas[lane->index];
    size_t first = part * LABELS_AHEAD_MAX;
    size_t count = selection->set->count - first;
    if (*arena == NULL)
        *arena = evaluation_arena_create(evaluation);
    if (*arena == NULL)
        return evaluation_out_of_memory(evaluation, error);
    enum error_code code = evaluation_check(evaluation, error);
    if (code != ERROR_NONE)
        return code;
    return series_set_labels(selection->set, first,
                             count < LABELS_AHEAD_MAX ? count : LABELS_AHEAD_MAX, *arena,
                             selection->labels + first, error);
}

static enum error_code selection_load(struct selection *selection, struct error *error)
{
    struct evaluation *evaluation = selection->evaluation;
    size_t count = selection->set->count;
    struct partition partition = {
        .size = LABELS_AHEAD_MAX,
        .count = (count + LABELS_AHEAD_MAX - 1) / LABELS_AHEAD_MAX,
        .lanes = count <= 4 * LABELS_AHEAD_MAX ? PARTS_IN_ONE_LANE : PARTS_IN_ALL_LANES,
    };
    selection->label_arenas =
        arena_array(evaluation->arena, evaluation->lane_count, sizeof *selection->label_arenas);
    if (selection->label_arenas != NULL)
        selection->labels = arena_array(evaluation->arena, count, sizeof *selection->labels);
    if (selection->labels == NULL)
        return evaluation_out_of_memory(evaluation, error);
    return evaluation_run_parts(evaluation, partition, load_part, selection, error);
}

enum error_code evaluation_load_labels(struct evaluation *evaluation, struct error *error)
{
    enum error_code code = ERROR_NONE;
    struct selection *selection = evaluation->open_selections;
    for (; code == ERROR_NONE && selection != NULL; selection = selection->next_open)
        if (selection->labels == NULL)
            code = selection_load(selection, error);
    return code;
}

/* --- Samples ---------------------------------------------------------------------------------- */

static enum error_code selection_read(struct columns_source *self, struct lane *lane, size_t index,
                                      struct sample_columns *columns_out, struct error *error)
{
    struct selection *selection = (struct selection *)self;
    struct series_reader **reader = &selection->readers[lane->index];
    enum error_code code = ERROR_NONE;
    if (*reader == NULL)
        code = series_reader_open(selection->set, reader, error);
    if (code == ERROR_NONE)
        code = series_reader_read(*reader, index, columns_out, error);
    if (code != ERROR_NONE)
        return code;
    if (columns_out->count >= UINT32_MAX)
        return error_set(error, ERROR_LIMIT, "a series has too many samples in the range");
    return evaluation_look_at_samples(selection->evaluation, columns_out->count, error);
}

static void selection_close(struct columns_source *self)
{
    struct selection *selection = (struct selection *)self;
    struct selection **link = &selection->evaluation->open_selections;
    while (*link != selection)
        link = &(*link)->next_open;
    *link = selection->next_open;
    for (size_t lane = 0; lane < selection->evaluation->lane_count; lane++) {
        series_reader_close(selection->readers[lane]);
        if (selection->windows[lane] != NULL)
            arena_destroy(selection->windows[lane]->arena);
        if (selection->label_arenas != NULL)
            arena_destroy(selection->label_arenas[lane]);
    }
    series_set_close(selection->set);
}

static const struct columns_source_operations SELECTION_OPERATIONS = {
    .identity = selection_identity,
    .read = selection_read,
    .close = selection_close,
};

/* --- Selecting -------------------------------------------------------------------------------- */

/* The name that all series have, as a matcher says; empty when none does. */
static struct text selected_name(const struct selector_node *selector)
{
    for (size_t i = 0; i < selector->matcher_count; i++)
        if (selector->matchers[i]->type == MATCHER_EQUAL &&
            text_equal(selector->matchers[i]->name, LABEL_METRIC_NAME))
            return selector->matchers[i]->value;
    return (struct text){0};
}

/* A label that goes with the name: series of one name may be equal without it. */
static bool some_has_type_or_unit(struct series_set *set)
{
    return series_set_may_have(set, TEXT("__type__")) || series_set_may_have(set, TEXT("__unit__"));
}

enum error_code columns_select(struct evaluation *evaluation, const struct selector_node *selector,
                               const struct time_view *view, enum series_need need,
                               const struct step_range *steps, struct columns_source **source_out,
                               struct error *error)
{
    struct selection *selection = arena_array(evaluation->arena, 1, sizeof *selection);
    struct series_reader **readers =
        arena_array(evaluation->arena, evaluation->lane_count, sizeof *readers);
    struct label_window **windows =
        arena_array(evaluation->arena, evaluation->lane_count, sizeof *windows);
    if (selection == NULL || readers == NULL || windows == NULL)
        return evaluation_out_of_memory(evaluation, error);
    assert(steps->count > 0);
    int64_t first_ms = view_end(view, steps, 0) - view->range_ms + 1;
    int64_t last_ms = view_end(view, steps, steps->count - 1);
    if (selector->mode != RANGE_PLAIN)
        first_ms -= evaluation->options.lookback_ms;
    if (selector->mode == RANGE_SMOOTHED)
        last_ms += evaluation->options.lookback_ms;
    struct series_request request = {
        .tenant = evaluation->options.tenant,
        .matchers = selector->matchers,
        .matcher_count = selector->matcher_count,
        .start_ms = first_ms,
        .end_ms = last_ms,
        .need = need,
        .canceled = evaluation->options.canceled,
        .deadline_ns = evaluation->options.deadline_ns,
        .arena = evaluation->arena,
    };
    uint64_t before_ns = clock_monotonic_ns(evaluation->options.clock);
    enum error_code code =
        series_source_select(evaluation->options.source, &request, &selection->set, error);
    evaluation->select_ns += clock_monotonic_ns(evaluation->options.clock) - before_ns;
    if (code != ERROR_NONE)
        return error_wrap(error, "expanding series");
    evaluation->series_selected += selection->set->count;
    struct text name = selected_name(selector);
    bool has_type_or_unit = name.size > 0 && some_has_type_or_unit(selection->set);
    evaluation->has_type_or_unit |= has_type_or_unit;
    selection->source = (struct columns_source){
        .operations = &SELECTION_OPERATIONS,
        .count = selection->set->count,
        .metric_name = name,
        .is_unique_without_name = name.size > 0 && !has_type_or_unit,
        .mode = selector->mode,
    };
    selection->evaluation = evaluation;
    selection->readers = readers;
    selection->windows = windows;
    selection->next_open = evaluation->open_selections;
    evaluation->open_selections = selection;
    *source_out = &selection->source;
    return ERROR_NONE;
}
