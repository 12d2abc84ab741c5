#include "list_set.h"

#include <assert.h>
#include <stdlib.h>

#include "promql/series_format.h"

struct list_set {
    struct series_set base; /* first */
    struct series_list list;
    struct transfer *transfer; /* NULL: none */
};

struct list_reader {
    struct series_reader base; /* first */
    struct answer_decoder *decoder;
};

static enum error_code set_labels(struct series_set *self, size_t first, size_t count,
                                  struct arena *arena, struct labels *labels_out,
                                  struct error *error)
{
    const struct list_set *set = (const struct list_set *)self;
    (void)arena, (void)error;
    assert(first <= self->count && count <= self->count - first);
    for (size_t i = 0; i < count; i++)
        labels_out[i] = set->list.entries[first + i].labels;
    return ERROR_NONE;
}

static bool set_may_have(struct series_set *self, struct text name)
{
    const struct list_set *set = (const struct list_set *)self;
    for (size_t i = 0; i < self->count; i++)
        if (labels_get(set->list.entries[i].labels, name).size > 0)
            return true;
    return false;
}

static enum error_code set_reader_open(struct series_set *self, struct series_reader **reader_out,
                                       struct error *error)
{
    struct list_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "reader of series");
    enum error_code code = answer_decoder_create(&reader->decoder, error);
    if (code != ERROR_NONE) {
        free(reader);
        return code;
    }
    reader->base.set = self;
    *reader_out = &reader->base;
    return ERROR_NONE;
}

static enum error_code set_read(struct series_reader *self, size_t index,
                                struct sample_columns *columns_out, struct error *error)
{
    struct list_reader *reader = (struct list_reader *)self;
    const struct list_set *set = (const struct list_set *)self->set;
    return answer_decoder_read(reader->decoder, &set->list, index, columns_out, error);
}

static void set_reader_close(struct series_reader *self)
{
    answer_decoder_destroy(((struct list_reader *)self)->decoder);
    free(self);
}

static void set_close(struct series_set *self)
{
    transfer_end(((struct list_set *)self)->transfer);
}

static const struct series_set_operations SET_OPERATIONS = {
    .labels = set_labels,
    .may_have = set_may_have,
    .reader_open = set_reader_open,
    .read = set_read,
    .reader_close = set_reader_close,
    .close = set_close,
};

struct series_set *list_set_empty(struct arena *arena)
{
    struct list_set *set = arena_array(arena, 1, sizeof *set);
    if (set == NULL)
        return NULL;
    set->base.operations = &SET_OPERATIONS;
    return &set->base;
}

enum error_code list_set_create(const struct series_request *request, struct transfer *transfer,
                                struct text body, struct series_set **set_out, struct error *error)
{
    struct list_set *set = arena_array(request->arena, 1, sizeof *set);
    if (set == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "the query needs too much memory");
    set->base.operations = &SET_OPERATIONS;
    set->list = (struct series_list){
        .arena = request->arena,
        .need = request->need,
        .start_ms = request->start_ms,
        .end_ms = request->end_ms,
    };
    struct selection_answer answer;
    enum error_code code =
        selection_answer_open((const uint8_t *)body.data, body.size, &answer, error);
    const uint8_t *payload;
    size_t size;
    while (code == ERROR_NONE && selection_answer_next(&answer, &payload, &size))
        code = series_list_add(&set->list, payload, size, error);
    if (code != ERROR_NONE)
        return code;
    set->base.count = set->list.count;
    set->base.truncated = answer.is_truncated;
    set->transfer = transfer;
    *set_out = &set->base;
    return ERROR_NONE;
}
