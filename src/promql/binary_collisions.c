#include <assert.h>
#include <string.h>

#include "binary_match.h"

static bool group_is_single(const struct match_side *side, size_t group)
{
    return side->first[group] == side->last[group] || side->first[group] == NO_SERIES;
}

struct presence_sum {
    struct stream *stream;
    struct partition partition;
    uint64_t *presence;
};

static enum error_code any_visit(void *context, struct lane *lane, size_t index,
                                 const struct step_vector *vector, struct error *error)
{
    (void)lane, (void)index, (void)error;
    struct presence_sum *sum = context;
    for (size_t word = 0; word < step_words(sum->stream->steps.count); word++)
        if (vector->present[word] != 0)
            __atomic_fetch_or(&sum->presence[word], vector->present[word], __ATOMIC_RELAXED);
    return ERROR_NONE;
}

static enum error_code any_part(void *context, struct lane *lane, size_t part, struct error *error)
{
    struct presence_sum *sum = context;
    return vector_stream_visit_part(sum->stream, lane, sum->partition, part, any_visit, sum, error);
}

/* {a="b", c="d"} as Go prints labels. */
static struct text labels_text(struct arena *arena, struct labels labels)
{
    struct text text = TEXT("{");
    struct labels_cursor cursor = labels_begin(labels);
    struct label label;
    bool is_first = true;
    while (labels_next(&cursor, &label)) {
        struct text quoted = text_quote(arena, label.value);
        text = arena_format(arena, "%.*s%s%.*s=%.*s", TEXT_ARGUMENTS(text), is_first ? "" : ", ",
                            TEXT_ARGUMENTS(label.name), TEXT_ARGUMENTS(quoted));
        is_first = false;
    }
    return arena_format(arena, "%.*s}", TEXT_ARGUMENTS(text));
}

/* --- What was found ----------------------------------------------------------------------------
 */

#define STEP_NONE SIZE_MAX

/* Prometheus goes step by step, and at each looks at the one side first. */
struct collisions {
    size_t one_step;    /* the earliest at which two of the one side collide */
    size_t many_step;   /* ... two of the many side, one to one */
    size_t result_step; /* ... two results */
};

static void note_earliest(size_t *earliest, const uint64_t *steps, size_t count)
{
    size_t step = step_next(steps, count, 0);
    if (step < count && step < *earliest)
        *earliest = step;
}

struct kinds;

struct collision_work {
    struct lane *lane;
    struct collisions found;
    uint64_t *seen;      /* of the series looked at so far */
    uint64_t *overlap;   /* steps at which two had a value */
    uint64_t *any_other; /* of the whole other side; NULL until needed */
    uint64_t *one;       /* where the group's one side has a value */
    struct kinds *kinds; /* what that is */
};

/* --- Types -------------------------------------------------------------------------------------
 */

/* What is in a word of steps. */
struct kinds {
    uint64_t histograms;
    uint64_t custom; /* of these, with custom buckets */
};

static struct kinds kinds_of(const struct step_vector *vector, size_t word)
{
    struct kinds kinds = {0};
    if (vector->histograms == NULL)
        return kinds;
    for (uint64_t left = vector->present[word]; left != 0; left &= left - 1) {
        const struct histogram *histogram =
            vector->histograms[word * 64 + (size_t)__builtin_ctzll(left)];
        if (histogram == NULL)
            continue;
        kinds.histograms |= left & -left;
        if (histogram->schema == HISTOGRAM_SCHEMA_CUSTOM)
            kinds.custom |= left & -left;
    }
    return kinds;
}

/* The steps of a word at which the operator has a result for both kinds: where it has none that is
 * noted, and collides with nothing. */
static uint64_t fitting_word(const struct match_stream *match, struct kinds many_kinds,
                             struct kinds one_kinds)
{
    enum binary_operator operation = match->expression->binary.operation;
    uint64_t fitting = 0;
    for (int many = 0; many < 2; many++)
        for (int one = 0; one < 2; one++)
            if (match->is_swapped ? binary_types_fit(operation, one, many)
                                  : binary_types_fit(operation, many, one))
                fitting |= (many ? many_kinds.histograms : ~many_kinds.histograms) &
                           (one ? one_kinds.histograms : ~one_kinds.histograms);
    if (operation == BINARY_ADD || operation == BINARY_SUBTRACT)
        fitting &= ~(many_kinds.histograms & one_kinds.histograms &
                     (many_kinds.custom ^ one_kinds.custom));
    return fitting;
}

/* --- The one side ------------------------------------------------------------------------------
 */

static enum error_code find_any_other(struct match_stream *match, struct collision_work *work,
                                      struct error *error)
{
    size_t words = step_words(match->stream.steps.count);
    if (work->any_other != NULL)
        return ERROR_NONE;
    work->any_other = arena_array(match->arena, words, sizeof *work->any_other);
    if (work->any_other == NULL)
        return evaluation_out_of_memory(match->stream.evaluation, error);
    struct presence_sum sum = {match->many.stream, vector_stream_partition(match->many.stream),
                               work->any_other};
    return evaluation_run_parts(match->stream.evaluation, sum.partition, any_part, &sum, error);
}

/* Where the group's one side has values, histograms, and two values. */
static enum error_code read_one_side(struct match_stream *match, size_t group,
                                     struct collision_work *work, struct error *error)
{
    size_t count = match->stream.steps.count;
    steps_clear(work->one, count);
    memset(work->kinds, 0, step_words(count) * sizeof *work->kinds);
    steps_clear(work->overlap, count);
    for (uint32_t one = match->one.first[group]; one != NO_SERIES; one = match->one.next[one]) {
        struct step_vector vector;
        enum error_code code =
            vector_stream_read(match->one.stream, work->lane, one, &vector, error);
        if (code != ERROR_NONE)
            return code;
        for (size_t word = 0; word < step_words(count); word++) {
            work->overlap[word] |= work->one[word] & vector.present[word];
            work->one[word] |= vector.present[word];
            struct kinds kinds = kinds_of(&vector, word);
            work->kinds[word].histograms |= kinds.histograms;
            work->kinds[word].custom |= kinds.custom;
        }
    }
    return ERROR_NONE;
}

/* Two series of the one side with a value at the same step are an error, unless the other side
 * has nothing at all at that step. */
static enum error_code find_one_overlap(struct match_stream *match, size_t group,
                                        struct collision_work *work, struct error *error)
{
    size_t count = match->stream.steps.count;
    enum error_code code = read_one_side(match, group, work, error);
    if (code != ERROR_NONE || match->has_many_fill || match->has_one_fill ||
        !steps_any(work->overlap, count))
        return code;
    code = find_any_other(match, work, error);
    for (size_t word = 0; code == ERROR_NONE && word < step_words(count); word++)
        work->overlap[word] &= work->any_other[word];
    return code;
}

static enum error_code one_side_check(struct match_stream *match, size_t group,
                                      struct collision_work *work, struct error *error)
{
    enum error_code code = find_one_overlap(match, group, work, error);
    if (code == ERROR_NONE)
        note_earliest(&work->found.one_step, work->overlap, match->stream.steps.count);
    return code;
}

/* Two series of the one side, in the order of their labels. */
struct duplicate {
    struct labels first;
    struct labels second; /* no bytes: there are not two */
};

static void duplicate_add(struct duplicate *duplicate, struct labels labels)
{
    if (duplicate->first.bytes == NULL) {
        duplicate->first = labels;
    } else if (labels_compare(labels, duplicate->first) < 0) {
        duplicate->second = duplicate->first;
        duplicate->first = labels;
    } else if (duplicate->second.bytes == NULL || labels_compare(labels, duplicate->second) < 0) {
        duplicate->second = labels;
    }
}

/* The two first series of the group that have a value at the step. */
static enum error_code find_duplicate(struct match_stream *match, size_t group, size_t step,
                                      struct lane *lane, struct duplicate *duplicate,
                                      struct error *error)
{
    *duplicate = (struct duplicate){0};
    for (uint32_t one = match->one.first[group]; one != NO_SERIES; one = match->one.next[one]) {
        struct step_vector vector;
        enum error_code code = vector_stream_read(match->one.stream, lane, one, &vector, error);
        if (code != ERROR_NONE)
            return code;
        if (step_is_present(vector.present, step))
            duplicate_add(
                duplicate,
                vector_stream_identity(match->one.stream, NULL, one, match->arena).labels);
    }
    return ERROR_NONE;
}

/* Prometheus goes through the series of the step and stops at the first that is the second of its
 * group. It names both in the order of their labels. */
static enum error_code duplicate_error(struct match_stream *match, struct collision_work *work,
                                       struct error *error)
{
    struct arena *arena = match->arena;
    struct duplicate earliest = {0};
    for (size_t group = 0; group < match->groups.count; group++) {
        struct duplicate duplicate;
        if (group_is_single(&match->one, group))
            continue;
        arena_reset(work->lane->scratch);
        enum error_code code =
            find_duplicate(match, group, work->found.one_step, work->lane, &duplicate, error);
        if (code != ERROR_NONE)
            return code;
        if (duplicate.second.bytes != NULL &&
            (earliest.second.bytes == NULL ||
             labels_compare(duplicate.second, earliest.second) < 0))
            earliest = duplicate;
    }
    struct text group = labels_text(arena, matching_key_of(&match->key, earliest.first, arena));
    struct text first = labels_text(arena, earliest.first);
    struct text second = labels_text(arena, earliest.second);
    return error_set(error, ERROR_INVALID,
                     "found duplicate series for the match group %.*s on the %s hand-side of the "
                     "operation: [%.*s, %.*s];many-to-many matching not allowed: matching labels "
                     "must be unique on one side",
                     TEXT_ARGUMENTS(group), match->is_swapped ? "left" : "right",
                     TEXT_ARGUMENTS(first), TEXT_ARGUMENTS(second));
}

/* --- The many side -----------------------------------------------------------------------------
 */

/* Steps at which two series of the group's many side have a result. */
static enum error_code find_many_overlap(struct match_stream *match, size_t group,
                                         struct collision_work *work, struct error *error)
{
    size_t count = match->stream.steps.count;
    enum error_code code = read_one_side(match, group, work, error);
    if (code != ERROR_NONE)
        return code;
    steps_clear(work->seen, count);
    steps_clear(work->overlap, count);
    for (uint32_t many = match->many.first[group]; many != NO_SERIES;
         many = match->many.next[many]) {
        struct step_vector vector;
        code = vector_stream_read(match->many.stream, work->lane, many, &vector, error);
        if (code != ERROR_NONE)
            return code;
        for (size_t word = 0; word < step_words(count); word++) {
            uint64_t results = vector.present[word] &
                               fitting_word(match, kinds_of(&vector, word), work->kinds[word]);
            if (!match->has_one_fill)
                results &= work->one[word];
            work->overlap[word] |= work->seen[word] & results;
            work->seen[word] |= results;
        }
    }
    return ERROR_NONE;
}

/* One to one: two of the left side with a result. */
static enum error_code many_side_check(struct match_stream *match, size_t group,
                                       struct collision_work *work, struct error *error)
{
    if (match->one.first[group] == NO_SERIES && !match->has_one_fill)
        return ERROR_NONE;
    enum error_code code = find_many_overlap(match, group, work, error);
    if (code == ERROR_NONE)
        note_earliest(&work->found.many_step, work->overlap, match->stream.steps.count);
    return code;
}

/* The groups in which this side has several series. */
static enum error_code side_check(struct match_stream *match, const struct match_side *side,
                                  enum error_code (*check)(struct match_stream *match, size_t group,
                                                           struct collision_work *work,
                                                           struct error *error),
                                  struct collision_work *work, struct error *error)
{
    enum error_code code = ERROR_NONE;
    for (size_t group = 0; code == ERROR_NONE && group < match->groups.count; group++) {
        if (group_is_single(side, group))
            continue;
        arena_reset(work->lane->scratch);
        code = evaluation_check(match->stream.evaluation, error);
        if (code == ERROR_NONE)
            code = check(match, group, work, error);
    }
    return code;
}

/* --- Results -----------------------------------------------------------------------------------
 */

/* Where a pair gives a result; a comparison may drop it then, but not the collision. `present`
 * [step words] */
static enum error_code pair_presence(struct match_stream *match, struct collision_work *work,
                                     struct match_pair pair, uint64_t *present, struct error *error)
{
    size_t words = step_words(match->stream.steps.count);
    struct step_vector vector;
    enum error_code code =
        vector_stream_read(match->many.stream, work->lane, pair.many, &vector, error);
    if (code != ERROR_NONE)
        return code;
    for (size_t word = 0; word < words; word++) {
        present[word] = vector.present[word];
        work->kinds[word] = kinds_of(&vector, word);
    }
    code = vector_stream_read(match->one.stream, work->lane, pair.one, &vector, error);
    for (size_t word = 0; code == ERROR_NONE && word < words; word++)
        present[word] &=
            vector.present[word] & fitting_word(match, work->kinds[word], kinds_of(&vector, word));
    return code;
}

/* The results with the same labels so far. */
struct same_labels {
    uint32_t first;    /* pair */
    uint64_t *present; /* of all but the first alone; NULL: there is no other */
};

static enum error_code same_labels_add(struct match_stream *match, struct same_labels *same,
                                       uint32_t pair, struct arena *arena,
                                       struct collision_work *work, struct error *error)
{
    size_t words = step_words(match->stream.steps.count);
    if (same->present == NULL) {
        same->present = arena_array(arena, words, sizeof *same->present);
        if (same->present == NULL)
            return evaluation_out_of_memory(match->stream.evaluation, error);
        enum error_code code =
            pair_presence(match, work, match->pairs[same->first], same->present, error);
        if (code != ERROR_NONE)
            return code;
    }
    enum error_code code = pair_presence(match, work, match->pairs[pair], work->seen, error);
    for (size_t word = 0; code == ERROR_NONE && word < words; word++) {
        work->overlap[word] = same->present[word] & work->seen[word];
        same->present[word] |= work->seen[word];
    }
    if (code == ERROR_NONE)
        note_earliest(&work->found.result_step, work->overlap, match->stream.steps.count);
    return code;
}

/* Many to one: two pairs of a group that give the same labels at the same step. */
static enum error_code result_labels_check(struct match_stream *match, struct collision_work *work,
                                           struct error *error)
{
    struct evaluation *evaluation = match->stream.evaluation;
    size_t pair_count = match->stream.count;
    struct arena *arena = evaluation_arena_create(evaluation);
    struct same_labels *results =
        arena == NULL ? NULL : arena_array(arena, pair_count, sizeof *results);
    struct label_table table;
    label_table_init(&table, arena);
    enum error_code code =
        results == NULL ? evaluation_out_of_memory(evaluation, error) : ERROR_NONE;
    for (uint32_t i = 0; code == ERROR_NONE && i < pair_count; i++) {
        struct match_pair pair = match->pairs[i];
        size_t known = table.count;
        size_t number;
        if (pair.many == NO_SERIES || pair.one == NO_SERIES)
            continue;
        arena_reset(work->lane->scratch);
        if (!label_table_add(&table, match_pair_labels(match, pair, work->lane->scratch), &number))
            code = evaluation_out_of_memory(evaluation, error);
        else if (number == known)
            results[number] = (struct same_labels){.first = i};
        else if (match->many.group_of[match->pairs[results[number].first].many] ==
                 match->many.group_of[pair.many]) /* others are found when series are merged */
            code = same_labels_add(match, &results[number], i, arena, work, error);
    }
    arena_destroy(arena);
    return code;
}

/* --- Public ------------------------------------------------------------------------------------
 */

static enum error_code find_collisions(struct match_stream *match, struct collision_work *work,
                                       struct error *error)
{
    enum error_code code = side_check(match, &match->one, one_side_check, work, error);
    if (code != ERROR_NONE)
        return code;
    if (match->matching->cardinality == MATCH_ONE_TO_ONE)
        return side_check(match, &match->many, many_side_check, work, error);
    if (match->matching->included_label_count > 0 || !match->many.stream->is_unique_without_name)
        return result_labels_check(match, work, error);
    return ERROR_NONE;
}

enum error_code match_check_collisions(struct match_stream *match, struct error *error)
{
    struct evaluation *evaluation = match->stream.evaluation;
    size_t count = match->stream.steps.count;
    struct collision_work work = {
        .lane = &evaluation->lanes[0],
        .found = {STEP_NONE, STEP_NONE, STEP_NONE},
        .seen = arena_array(match->arena, step_words(count), sizeof *work.seen),
        .overlap = arena_array(match->arena, step_words(count), sizeof *work.overlap),
        .one = arena_array(match->arena, step_words(count), sizeof *work.one),
        .kinds = arena_array(match->arena, step_words(count), sizeof *work.kinds),
    };
    if (work.seen == NULL || work.overlap == NULL || work.one == NULL || work.kinds == NULL)
        return evaluation_out_of_memory(evaluation, error);
    enum error_code code = find_collisions(match, &work, error);
    if (code != ERROR_NONE)
        return code;
    struct collisions found = work.found;
    if (found.one_step != STEP_NONE && found.one_step <= found.many_step &&
        found.one_step <= found.result_step)
        return duplicate_error(match, &work, error);
    if (found.many_step != STEP_NONE)
        return error_set(error, ERROR_INVALID,
                         "multiple matches for labels: many-to-one matching must be explicit "
                         "(group_left/group_right)");
    if (found.result_step != STEP_NONE)
        return error_set(error, ERROR_INVALID,
                         "multiple matches for labels: grouping labels must ensure unique "
                         "matches");
    return ERROR_NONE;
}
