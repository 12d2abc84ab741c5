#include "store.h"

#include <assert.h>

/* --- Building -------------------------------------------------------------------------------- */

enum error_code store_init(struct store *store, struct evaluation *evaluation,
                           const struct step_range *steps, struct error *error)
{
    *store = (struct store){
        .evaluation = evaluation,
        .arena = evaluation_arena_create(evaluation),
        .steps = *steps,
    };
    return store->arena == NULL ? evaluation_out_of_memory(evaluation, error) : ERROR_NONE;
}

void store_clear(struct store *store)
{
    if (store->evaluation != NULL)
        evaluation_release_samples(store->evaluation, store->samples_held);
    arena_destroy(store->arena);
    *store = (struct store){0};
}

static bool store_reserve(struct store *store, size_t count)
{
    if (count <= store->capacity)
        return true;
    size_t capacity = store->capacity == 0 ? 16 : store->capacity * 2;
    while (capacity < count)
        capacity *= 2;
    struct stored_series *series =
        arena_grow(store->arena, store->series, store->capacity, capacity, sizeof *series);
    if (series == NULL)
        return false;
    store->series = series;
    store->capacity = capacity;
    return true;
}

enum error_code store_add(struct store *store, struct series_identity identity,
                          struct step_vector **vector_out, struct error *error)
{
    if (!store_reserve(store, store->count + 1))
        return evaluation_out_of_memory(store->evaluation, error);
    struct stored_series *series = &store->series[store->count];
    *series = (struct stored_series){.identity.drops_name = identity.drops_name};
    if (identity.labels.size > 0) {
        series->identity.labels = labels_copy(store->arena, identity.labels);
        if (series->identity.labels.bytes == NULL)
            return evaluation_out_of_memory(store->evaluation, error);
    }
    if (!step_vector_init(&series->vector, store->arena, store->steps.count))
        return evaluation_out_of_memory(store->evaluation, error);
    store->count++;
    *vector_out = &series->vector;
    return ERROR_NONE;
}

enum error_code store_set_histogram(struct store *store, struct step_vector *vector, size_t step,
                                    const struct histogram *histogram, struct error *error)
{
    if (vector->histograms == NULL)
        vector->histograms =
            arena_array(store->arena, store->steps.count, sizeof *vector->histograms);
    struct histogram *copy = arena_allocate(store->arena, sizeof *copy);
    if (vector->histograms == NULL || copy == NULL ||
        !histogram_copy(store->arena, histogram, copy))
        return evaluation_out_of_memory(store->evaluation, error);
    vector->histograms[step] = copy;
    step_set_present(vector->present, step);
    return ERROR_NONE;
}

enum error_code store_add_copy(struct store *store, struct series_identity identity,
                               const struct step_vector *vector, struct error *error)
{
    size_t count = store->steps.count;
    if (!steps_any(vector->present, count))
        return ERROR_NONE;
    struct step_vector *copy;
    enum error_code code = store_add(store, identity, &copy, error);
    if (code != ERROR_NONE)
        return code;
    memcpy(copy->values, vector->values, count * sizeof *copy->values);
    memcpy(copy->present, vector->present, step_words(count) * sizeof *copy->present);
    if (vector->histograms == NULL)
        return ERROR_NONE;
    for (size_t step = step_next(vector->present, count, 0); step < count;
         step = step_next(vector->present, count, step + 1)) {
        if (vector->histograms[step] == NULL)
            continue;
        code = store_set_histogram(store, copy, step, vector->histograms[step], error);
        if (code != ERROR_NONE)
            return code;
    }
    return ERROR_NONE;
}

enum error_code store_hold(struct store *store, struct error *error)
{
    uint64_t samples = 0;
    for (size_t i = 0; i < store->count; i++)
        samples += steps_present_count(store->series[i].vector.present, store->steps.count);
    store->samples_held += samples;
    return evaluation_hold_samples(store->evaluation, samples, error);
}

/* --- The stream ------------------------------------------------------------------------------ */

struct stored_stream {
    struct stream stream;
    struct store *stores; /* [store_count], owned; their series follow one another */
    size_t store_count;
    size_t *first_index; /* [store_count]: of the store's first series */
};

static const struct stored_series *stored_series_at(struct stream *self, size_t index)
{
    struct stored_stream *stored = (struct stored_stream *)self;
    assert(index < self->count);
    size_t low = 0;
    size_t high = stored->store_count;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (stored->first_index[middle] <= index)
            low = middle;
        else
            high = middle;
    }
    return &stored->stores[low].series[index - stored->first_index[low]];
}

static struct series_identity stored_identity(struct stream *self, struct lane *lane, size_t index,
                                              struct arena *arena)
{
    (void)lane;
    (void)arena;
    return stored_series_at(self, index)->identity;
}

static enum error_code stored_read(struct stream *self, struct lane *lane, size_t index,
                                   struct step_vector *vector_out, struct error *error)
{
    (void)lane;
    (void)error;
    *vector_out = stored_series_at(self, index)->vector;
    return ERROR_NONE;
}

static void stored_close(struct stream *self)
{
    struct stored_stream *stored = (struct stored_stream *)self;
    for (size_t i = 0; i < stored->store_count; i++)
        store_clear(&stored->stores[i]);
}

static const struct stream_operations STORED_OPERATIONS = {
    .identity = stored_identity,
    .read = stored_read,
    .close = stored_close,
};

enum error_code stores_stream(struct evaluation *evaluation, const struct step_range *steps,
                              struct store *stores, size_t store_count, struct stream **stream_out,
                              struct error *error)
{
    struct stored_stream *stored = arena_array(evaluation->arena, 1, sizeof *stored);
    size_t *first_index = arena_array(evaluation->arena, store_count, sizeof *first_index);
    size_t count = 0;
    enum error_code code = ERROR_NONE;
    if (stored == NULL || first_index == NULL)
        code = evaluation_out_of_memory(evaluation, error);
    for (size_t i = 0; i < store_count && code == ERROR_NONE; i++) {
        first_index[i] = count;
        count += stores[i].count;
    }
    if (code == ERROR_NONE)
        code = vector_stream_init(&stored->stream, evaluation, &STORED_OPERATIONS, steps, count,
                                  error);
    if (code != ERROR_NONE) {
        for (size_t i = 0; i < store_count; i++)
            store_clear(&stores[i]);
        return code;
    }
    stored->stream.is_stored = true;
    stored->stores = stores;
    stored->store_count = store_count;
    stored->first_index = first_index;
    *stream_out = &stored->stream;
    return ERROR_NONE;
}

enum error_code store_stream(struct store *store, struct stream **stream_out, struct error *error)
{
    struct evaluation *evaluation = store->evaluation;
    enum error_code code = store_hold(store, error);
    struct store *owned = arena_allocate(evaluation->arena, sizeof *owned);
    if (code == ERROR_NONE && owned == NULL)
        code = evaluation_out_of_memory(evaluation, error);
    if (code != ERROR_NONE) {
        store_clear(store);
        return code;
    }
    *owned = *store;
    *store = (struct store){0};
    return stores_stream(evaluation, &owned->steps, owned, 1, stream_out, error);
}

/* --- Reading a stream in parallel ------------------------------------------------------------ */

struct store_run {
    struct stream *input;
    struct partition partition;
    struct store *stores; /* [partition.count] */
};

struct store_part {
    struct store_run *run;
    struct store *store;
};

static enum error_code store_visit(void *context, struct lane *lane, size_t index,
                                   const struct step_vector *vector, struct error *error)
{
    struct store_part *part = context;
    if (!steps_any(vector->present, part->store->steps.count))
        return ERROR_NONE;
    struct series_identity identity =
        vector_stream_identity(part->run->input, lane, index, lane->scratch);
    return store_add_copy(part->store, identity, vector, error);
}

static enum error_code store_part_run(void *context, struct lane *lane, size_t part,
                                      struct error *error)
{
    struct store_run *run = context;
    struct store_part state = {run, &run->stores[part]};
    enum error_code code =
        store_init(state.store, run->input->evaluation, &run->input->steps, error);
    if (code == ERROR_NONE)
        code = vector_stream_visit_part(run->input, lane, run->partition, part, store_visit, &state,
                                        error);
    if (code == ERROR_NONE)
        code = store_hold(state.store, error);
    return code;
}

enum error_code vector_stream_store(struct stream *input, struct stream **stream_out,
                                    struct error *error)
{
    if (input->is_stored) {
        *stream_out = input;
        return ERROR_NONE;
    }
    struct evaluation *evaluation = input->evaluation;
    struct store_run run = {.input = input, .partition = vector_stream_partition(input)};
    run.stores = arena_array(evaluation->arena, run.partition.count, sizeof *run.stores);
    if (run.stores == NULL)
        return evaluation_out_of_memory(evaluation, error);
    enum error_code code =
        evaluation_run_parts(evaluation, run.partition, store_part_run, &run, error);
    if (code != ERROR_NONE) {
        for (size_t i = 0; i < run.partition.count; i++)
            store_clear(&run.stores[i]);
        return code;
    }
    struct step_range steps = input->steps;
    bool is_unique = input->is_unique_without_name;
    vector_stream_close(input);
    code = stores_stream(evaluation, &steps, run.stores, run.partition.count, stream_out, error);
    if (code == ERROR_NONE)
        (*stream_out)->is_unique_without_name = is_unique;
    return code;
}

void stored_series_get(struct stream *stream, size_t index, struct series_identity *identity_out,
                       struct step_vector *vector_out)
{
    assert(stream->is_stored);
    const struct stored_series *series = stored_series_at(stream, index);
    *identity_out = series->identity;
    *vector_out = series->vector;
}
