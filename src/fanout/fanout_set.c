#include "fanout_set.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "platform/no_wait.h"
#include "platform/parallel.h"

/* --- Types ----------------------------------------------------------------------------------- */

/* Of one shard: either is NULL. */
struct part {
    struct series_set *local;
    struct arena *arena; /* of the local set, when it was selected beside others */
    struct series_list *remote;
    size_t end; /* index behind its last series in the whole */
};

struct fanout_set {
    struct series_set base;               /* first */
    const struct series_request *request; /* until it is complete */
    struct arena *arena;
    struct exchange *exchange;
    struct fanout_windows *windows; /* NULL: nobody wants to know */
    struct fanout *fanout;          /* with it */
    struct read_span span;
    struct part *parts; /* [part_count] */
    size_t part_count;
};

/* What reads one shard. */
struct part_reader {
    struct series_reader *local;
    struct answer_decoder *remote;
};

struct fanout_reader {
    struct series_reader base;  /* first */
    struct part_reader parts[]; /* [part_count], opened when they are first needed */
};

/* --- Finding --------------------------------------------------------------------------------- */

/* The part that `index` is in; *index becomes that in the part. */
static size_t part_of(const struct fanout_set *set, size_t *index)
{
    size_t low = 0, high = set->part_count;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (set->parts[middle - 1].end <= *index)
            low = middle;
        else
            high = middle;
    }
    if (low > 0)
        *index -= set->parts[low - 1].end;
    return low;
}

static size_t part_count_of(const struct fanout_set *set, size_t part)
{
    return set->parts[part].end - (part == 0 ? 0 : set->parts[part - 1].end);
}

/* --- Operations ------------------------------------------------------------------------------ */

static enum error_code set_labels(struct series_set *self, size_t first, size_t count,
                                  struct arena *arena, struct labels *labels_out,
                                  struct error *error)
{
    struct fanout_set *set = (struct fanout_set *)self;
    assert(first <= self->count && count <= self->count - first);
    while (count > 0) {
        size_t index = first;
        size_t number = part_of(set, &index);
        const struct part *part = &set->parts[number];
        size_t left = part_count_of(set, number) - index;
        size_t taken = count < left ? count : left;
        enum error_code code = ERROR_NONE;
        if (part->local != NULL)
            code = series_set_labels(part->local, index, taken, arena, labels_out, error);
        for (size_t i = 0; part->local == NULL && i < taken; i++)
            labels_out[i] = part->remote->entries[index + i].labels;
        if (code != ERROR_NONE)
            return code;
        first += taken;
        count -= taken;
        labels_out += taken;
    }
    return ERROR_NONE;
}

static bool list_may_have(const struct series_list *list, struct text name)
{
    for (size_t i = 0; i < list->count; i++)
        if (labels_get(list->entries[i].labels, name).size > 0)
            return true;
    return false;
}

static bool set_may_have(struct series_set *self, struct text name)
{
    struct fanout_set *set = (struct fanout_set *)self;
    for (size_t i = 0; i < set->part_count; i++) {
        const struct part *part = &set->parts[i];
        if (part->local != NULL ? series_set_may_have(part->local, name)
                                : list_may_have(part->remote, name))
            return true;
    }
    return false;
}

static enum error_code set_reader_open(struct series_set *self, struct series_reader **reader_out,
                                       struct error *error)
{
    struct fanout_set *set = (struct fanout_set *)self;
    struct fanout_reader *reader =
        calloc(1, sizeof *reader + set->part_count * sizeof reader->parts[0]);
    if (reader == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "reader of series");
    reader->base.set = self;
    *reader_out = &reader->base;
    return ERROR_NONE;
}

static enum error_code part_read(const struct part *part, struct part_reader *reader, size_t index,
                                 struct sample_columns *columns_out, struct error *error)
{
    enum error_code code = ERROR_NONE;
    if (part->local != NULL && reader->local == NULL)
        code = series_reader_open(part->local, &reader->local, error);
    if (part->local == NULL && reader->remote == NULL)
        code = answer_decoder_create(&reader->remote, error);
    if (code != ERROR_NONE)
        return code;
    return part->local != NULL
               ? series_reader_read(reader->local, index, columns_out, error)
               : answer_decoder_read(reader->remote, part->remote, index, columns_out, error);
}

static enum error_code set_read(struct series_reader *self, size_t index,
                                struct sample_columns *columns_out, struct error *error)
{
    struct fanout_reader *reader = (struct fanout_reader *)self;
    struct fanout_set *set = (struct fanout_set *)self->set;
    assert(index < set->base.count);
    size_t number = part_of(set, &index);
    enum error_code code =
        part_read(&set->parts[number], &reader->parts[number], index, columns_out, error);
    /* Unique in a part; make it so in the whole. */
    if (code == ERROR_NONE && columns_out->timestamps_id != 0)
        columns_out->timestamps_id = columns_out->timestamps_id * set->part_count + number + 1;
    return code;
}

static void set_reader_close(struct series_reader *self)
{
    struct fanout_reader *reader = (struct fanout_reader *)self;
    struct fanout_set *set = (struct fanout_set *)self->set;
    for (size_t i = 0; i < set->part_count; i++) {
        series_reader_close(reader->parts[i].local);
        answer_decoder_destroy(reader->parts[i].remote);
    }
    free(reader);
}

/* While the replicas are held, and after the last reading. */
static void tell_windows(struct fanout_set *set)
{
    const struct exchange_answer *answers =
        set->windows == NULL ? NULL : exchange_answers(set->exchange);
    for (size_t i = 0; answers != NULL && i < set->part_count; i++) {
        struct told_windows told = answers[i].windows;
        if (set->parts[i].local != NULL)
            told =
                told_windows_of(set->fanout->options.replicas, exchange_replica(set->exchange, i),
                                answers[i].version, &set->span, set->arena);
        fanout_windows_add(set->windows, answers[i].shard_id, &told);
    }
}

static void part_clear(struct part *part)
{
    series_set_close(part->local);
    part->local = NULL;
    arena_destroy(part->arena);
    part->arena = NULL;
}

static void set_close(struct series_set *self)
{
    struct fanout_set *set = (struct fanout_set *)self;
    tell_windows(set);
    for (size_t i = 0; i < set->part_count; i++)
        part_clear(&set->parts[i]);
    exchange_close(set->exchange);
}

static const struct series_set_operations SET_OPERATIONS = {
    .labels = set_labels,
    .may_have = set_may_have,
    .reader_open = set_reader_open,
    .read = set_read,
    .reader_close = set_reader_close,
    .close = set_close,
};

/* --- Making ---------------------------------------------------------------------------------- */

struct fanout_set *fanout_set_create(const struct series_request *request,
                                     struct exchange *exchange, size_t count)
{
    struct fanout_set *set = arena_array(request->arena, 1, sizeof *set);
    struct part *parts = arena_array(request->arena, count, sizeof *parts);
    if (set == NULL || parts == NULL)
        return NULL;
    *set = (struct fanout_set){
        .base.operations = &SET_OPERATIONS,
        .request = request,
        .arena = request->arena,
        .exchange = exchange,
        .parts = parts,
        .part_count = count,
    };
    read_span_init(&set->span);
    read_span_note(&set->span, request->start_ms, request->end_ms);
    return set;
}

/* --- Selecting here -------------------------------------------------------------------------- */

struct selecting {
    struct fanout_set *set;
    struct fanout_replicas *replicas;
    const struct exchange_group *group;
    pthread_mutex_t mutex; /* of the rest */
    struct error error;    /* the first one */
};

static struct part *part_for(struct fanout_set *set, const struct exchange_group *group, size_t i)
{
    size_t place = group->indexes == NULL ? i : group->indexes[i];
    assert(place < set->part_count);
    return &set->parts[place];
}

static bool has_failed(struct selecting *selecting)
{
    pthread_mutex_lock(&selecting->mutex);
    bool failed = selecting->error.code != ERROR_NONE;
    pthread_mutex_unlock(&selecting->mutex);
    return failed;
}

static void note_failure(struct selecting *selecting, const struct error *error)
{
    pthread_mutex_lock(&selecting->mutex);
    if (selecting->error.code == ERROR_NONE)
        selecting->error = *error;
    pthread_mutex_unlock(&selecting->mutex);
}

static enum error_code select_one(const struct selecting *selecting, size_t i,
                                  const struct series_request *request, struct error *error)
{
    struct fanout_replicas *replicas = selecting->replicas;
    struct part *part = part_for(selecting->set, selecting->group, i);
    assert(part->local == NULL);
    return series_source_select(
        replicas->operations->source(replicas, &selecting->group->replicas[i]), request,
        &part->local, error);
}

static void select_beside(void *context, size_t i, size_t lane)
{
    struct selecting *selecting = context;
    struct part *part = part_for(selecting->set, selecting->group, i);
    struct error error;
    (void)lane;
    if (has_failed(selecting))
        return;
    struct series_request request = *selecting->set->request;
    part->arena = request.arena = arena_create_beside(request.arena);
    if (part->arena == NULL)
        error_set(&error, ERROR_OUT_OF_MEMORY, "the query needs too much memory");
    if (part->arena == NULL || select_one(selecting, i, &request, &error) != ERROR_NONE)
        note_failure(selecting, &error);
}

static enum error_code select_in_turn(struct selecting *selecting, struct error *error)
{
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < selecting->group->count; i++)
        code = select_one(selecting, i, selecting->set->request, error);
    return code;
}

/* Shards are as large as each other, so each is a part. */
static enum error_code select_together(struct selecting *selecting, struct worker_pool *pool,
                                       struct error *error)
{
    pthread_mutex_init(&selecting->mutex, NULL);
    parallel_run(pool, selecting->group->count, select_beside, selecting);
    pthread_mutex_destroy(&selecting->mutex);
    if (selecting->error.code != ERROR_NONE)
        *error = selecting->error;
    return selecting->error.code;
}

enum error_code fanout_set_select(struct fanout_set *set, struct fanout *fanout,
                                  const struct exchange_group *group, struct error *error)
{
    struct worker_pool *pool = fanout->options.pool;
    struct selecting selecting = {.set = set, .replicas = fanout->options.replicas, .group = group};
    bool alone = group->count < 2 || pool == NULL || no_wait_applies();
    enum error_code code =
        alone ? select_in_turn(&selecting, error) : select_together(&selecting, pool, error);
    for (size_t i = 0; code != ERROR_NONE && i < group->count; i++)
        part_clear(part_for(set, group, i));
    return code;
}

/* --- Completing ------------------------------------------------------------------------------ */

static enum error_code read_answer(struct fanout_set *set, const struct exchange_answer *answer,
                                   struct series_list **list_out, struct error *error)
{
    struct series_list *list = arena_array(set->arena, 1, sizeof *list);
    if (list == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "the query needs too much memory");
    *list = (struct series_list){
        .arena = set->arena,
        .need = set->request->need,
        .start_ms = set->request->start_ms,
        .end_ms = set->request->end_ms,
    };
    enum error_code code = ERROR_NONE;
    for (struct answer_frame *frame = answer->first; code == ERROR_NONE && frame != NULL;
         frame = frame->next)
        code = series_list_add(list, frame->bytes, frame->size, error);
    *list_out = list;
    return code;
}

enum error_code fanout_set_complete(struct fanout_set *set, struct error *error)
{
    const struct exchange_answer *answers =
        set->exchange == NULL ? NULL : exchange_answers(set->exchange);
    size_t limit = set->request->series_limit == 0 ? SIZE_MAX : set->request->series_limit;
    size_t total = 0;
    for (size_t i = 0; i < set->part_count; i++) {
        struct part *part = &set->parts[i];
        if (part->local == NULL) {
            enum error_code code = read_answer(set, &answers[i], &part->remote, error);
            if (code != ERROR_NONE)
                return code;
        }
        size_t count = part->local != NULL ? part->local->count : part->remote->count;
        set->base.truncated |= part->local != NULL ? part->local->truncated : answers[i].truncated;
        if (count > limit - total) {
            count = limit - total;
            set->base.truncated = true;
        }
        total += count;
        part->end = total;
    }
    set->base.count = total;
    set->request = NULL;
    return ERROR_NONE;
}

void fanout_set_tell(struct fanout_set *set, struct fanout *fanout, struct fanout_windows *windows)
{
    set->fanout = fanout;
    set->windows = windows;
}

struct series_set *fanout_set_base(struct fanout_set *set)
{
    return &set->base;
}
