#include "partial_rows.h"

#include "base/limits.h"

enum row_flags {
    ROW_DROPS_NAME = 1,
    ROW_HAS_HISTOGRAMS = 2,
    ROW_FLAGS_KNOWN = 3,
};

/* --- Encoding -------------------------------------------------------------------------------- */

void rows_encoder_init(struct rows_encoder *encoder, size_t step_count,
                       struct codec_scratch *packing)
{
    *encoder = (struct rows_encoder){.step_count = step_count, .packer.scratch = packing};
}

void rows_encoder_clear(struct rows_encoder *encoder)
{
    byte_buffer_clear(&encoder->rows);
    byte_buffer_clear(&encoder->previous);
}

void rows_encoder_reset(struct rows_encoder *encoder)
{
    byte_buffer_reset(&encoder->rows);
    byte_buffer_reset(&encoder->previous);
}

static void encode_labels(struct rows_encoder *encoder, struct labels labels)
{
    struct byte_buffer *previous = &encoder->previous;
    size_t shorter = previous->size < labels.size ? previous->size : labels.size;
    size_t prefix = 0;
    while (prefix < shorter && previous->bytes[prefix] == labels.bytes[prefix])
        prefix++;
    size_t suffix = 0;
    while (suffix < shorter - prefix &&
           previous->bytes[previous->size - 1 - suffix] == labels.bytes[labels.size - 1 - suffix])
        suffix++;
    size_t middle = labels.size - prefix - suffix;
    byte_buffer_varint(&encoder->rows, prefix);
    byte_buffer_varint(&encoder->rows, suffix);
    byte_buffer_varint(&encoder->rows, middle);
    if (middle > 0)
        byte_buffer_append(&encoder->rows, labels.bytes + prefix, middle);
    byte_buffer_reset(previous);
    if (labels.size > 0)
        byte_buffer_append(previous, labels.bytes, labels.size);
}

static void encode_head(struct rows_encoder *encoder, bool drops_name, bool has_histograms,
                        struct labels labels, const uint64_t *present)
{
    byte_buffer_u8(&encoder->rows, (uint8_t)((drops_name ? ROW_DROPS_NAME : 0) |
                                             (has_histograms ? ROW_HAS_HISTOGRAMS : 0)));
    encode_labels(encoder, labels);
    steps_encode(&encoder->rows, present, encoder->step_count);
    encoder->row_count++;
}

static bool encode_is_done(const struct rows_encoder *encoder)
{
    return !encoder->rows.failed && !encoder->previous.failed;
}

/* Which steps have histograms, those, and at all others floats. */
static bool encode_mixed(struct rows_encoder *encoder, const struct step_vector *vector,
                         struct arena *scratch)
{
    size_t count = encoder->step_count;
    size_t words = step_words(count);
    uint64_t *floats = arena_array(scratch, words, sizeof *floats);
    uint64_t *histograms = arena_array(scratch, words, sizeof *histograms);
    if (floats == NULL || histograms == NULL)
        return false;
    for (size_t step = step_next(vector->present, count, 0); step < count;
         step = step_next(vector->present, count, step + 1))
        step_set_present(vector->histograms[step] == NULL ? floats : histograms, step);
    steps_encode(&encoder->rows, histograms, count);
    for (size_t step = step_next(histograms, count, 0); step < count;
         step = step_next(histograms, count, step + 1))
        histogram_encode(&encoder->rows, vector->histograms[step]);
    return column_encode(&encoder->rows, vector->values, floats, count, &encoder->packer, scratch);
}

bool rows_encode_series(struct rows_encoder *encoder, struct series_identity identity,
                        const struct step_vector *vector, struct arena *scratch)
{
    if (!steps_any(vector->present, encoder->step_count))
        return true;
    bool has_histograms = vector->histograms != NULL;
    encode_head(encoder, identity.drops_name, has_histograms, identity.labels, vector->present);
    bool is_done = has_histograms ? encode_mixed(encoder, vector, scratch)
                                  : column_encode(&encoder->rows, vector->values, vector->present,
                                                  encoder->step_count, &encoder->packer, scratch);
    return is_done && encode_is_done(encoder);
}

static bool encode_sums(struct rows_encoder *encoder, const struct aggregation_group *group,
                        struct arena *scratch)
{
    const struct histogram_sums *sums = group->histograms;
    size_t count = encoder->step_count;
    uint64_t *present = arena_array(scratch, step_words(count), sizeof *present);
    if (present == NULL)
        return false;
    for (size_t step = 0; step < count; step++)
        if (sums->sums[step] != NULL)
            step_set_present(present, step);
    struct byte_buffer *rows = &encoder->rows;
    byte_buffer_text(rows, group->metric_name);
    steps_encode(rows, sums->has_float, count);
    steps_encode(rows, sums->incompatible, count);
    steps_encode(rows, sums->seen_reset, count);
    steps_encode(rows, sums->seen_no_reset, count);
    steps_encode(rows, present, count);
    if (!column_encode(rows, sums->counts, present, count, &encoder->packer, scratch))
        return false;
    for (size_t step = step_next(present, count, 0); step < count;
         step = step_next(present, count, step + 1))
        histogram_encode(rows, sums->sums[step]);
    return true;
}

bool rows_encode_group(struct rows_encoder *encoder, struct labels labels,
                       const struct aggregation_group *group, struct arena *scratch)
{
    size_t count = encoder->step_count;
    if (!steps_any(group->present, count))
        return true;
    encode_head(encoder, group->drops_name, group->histograms != NULL, labels, group->present);
    const double *const columns[] = {group->values, group->compensation, group->counts,
                                     group->means};
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++)
        if (columns[i] != NULL && !column_encode(&encoder->rows, columns[i], group->present, count,
                                                 &encoder->packer, scratch))
            return false;
    if (group->incremental != NULL)
        steps_encode(&encoder->rows, group->incremental, count);
    if (group->histograms != NULL && !encode_sums(encoder, group, scratch))
        return false;
    return encode_is_done(encoder);
}

/* --- Decoding -------------------------------------------------------------------------------- */

enum error_code rows_decoder_init(struct rows_decoder *decoder, struct evaluation *evaluation,
                                  size_t step_count, struct arena *arena, struct error *error)
{
    *decoder = (struct rows_decoder){.evaluation = evaluation, .step_count = step_count};
    decoder->unpacking = arena_allocate(arena, sizeof *decoder->unpacking);
    if (decoder->unpacking == NULL)
        return evaluation_out_of_memory(evaluation, error);
    for (size_t i = 0; i < 2; i++) {
        decoder->labels[i] = arena_allocate(arena, LABEL_SET_BYTES_MAX);
        if (decoder->labels[i] == NULL)
            return evaluation_out_of_memory(evaluation, error);
    }
    return ERROR_NONE;
}

void rows_decoder_begin(struct rows_decoder *decoder, struct byte_reader payload)
{
    decoder->reader = payload;
    decoder->previous = (struct labels){0};
}

static enum error_code row_corrupt(struct error *error)
{
    return error_set(error, ERROR_CORRUPT, "sub-query: a row of the answer makes no sense");
}

/* Decoding stopped: for which of the two reasons. */
static enum error_code row_failed(struct rows_decoder *decoder, struct error *error)
{
    return decoder->reader.failed ? row_corrupt(error)
                                  : evaluation_out_of_memory(decoder->evaluation, error);
}

static enum error_code decode_labels(struct rows_decoder *decoder, struct labels *labels_out,
                                     struct error *error)
{
    struct byte_reader *reader = &decoder->reader;
    struct labels previous = decoder->previous;
    uint64_t prefix = byte_reader_varint(reader);
    uint64_t suffix = byte_reader_varint(reader);
    uint64_t middle = byte_reader_varint(reader);
    if (reader->failed || prefix > previous.size || suffix > previous.size - prefix ||
        middle > byte_reader_left(reader))
        return row_corrupt(error);
    if (prefix + suffix + middle > LABEL_SET_BYTES_MAX)
        return error_set(error, ERROR_LIMIT, "labels of a result are too long");
    uint8_t *bytes = decoder->labels[decoder->turn];
    decoder->turn = 1 - decoder->turn;
    const uint8_t *own = byte_reader_take(reader, (size_t)middle);
    if (prefix > 0)
        memcpy(bytes, previous.bytes, (size_t)prefix);
    if (middle > 0)
        memcpy(bytes + prefix, own, (size_t)middle);
    if (suffix > 0)
        memcpy(bytes + prefix + middle, previous.bytes + previous.size - suffix, (size_t)suffix);
    enum error_code code =
        labels_decode(bytes, (size_t)(prefix + middle + suffix), &decoder->previous, error);
    *labels_out = decoder->previous;
    return code;
}

struct row_head {
    uint8_t flags;
    struct labels labels;
};

static enum error_code decode_head(struct rows_decoder *decoder, struct row_head *head,
                                   struct error *error)
{
    head->flags = byte_reader_u8(&decoder->reader);
    if (decoder->reader.failed || (head->flags & ~ROW_FLAGS_KNOWN) != 0)
        return row_corrupt(error);
    return decode_labels(decoder, &head->labels, error);
}

/* `histograms` is [steps], NULLs. */
static enum error_code decode_mixed(struct rows_decoder *decoder, struct step_vector *vector,
                                    struct arena *arena, struct error *error)
{
    size_t count = decoder->step_count;
    size_t words = step_words(count);
    struct byte_reader *reader = &decoder->reader;
    uint64_t *floats = arena_array(arena, words, sizeof *floats);
    uint64_t *steps = arena_array(arena, words, sizeof *steps);
    vector->histograms = arena_array(arena, count, sizeof *vector->histograms);
    if (floats == NULL || steps == NULL || vector->histograms == NULL)
        return evaluation_out_of_memory(decoder->evaluation, error);
    steps_decode(reader, steps, count);
    for (size_t word = 0; word < words; word++) {
        if ((steps[word] & ~vector->present[word]) != 0)
            return row_corrupt(error);
        floats[word] = vector->present[word] & ~steps[word];
    }
    for (size_t step = step_next(steps, count, 0); step < count;
         step = step_next(steps, count, step + 1)) {
        vector->histograms[step] = histogram_decode(reader, arena);
        if (vector->histograms[step] == NULL)
            return row_failed(decoder, error);
    }
    column_decode(reader, vector->values, floats, count, decoder->unpacking);
    for (size_t step = step_next(steps, count, 0); step < count;
         step = step_next(steps, count, step + 1))
        vector->values[step] = 0;
    return reader->failed ? row_corrupt(error) : ERROR_NONE;
}

enum error_code rows_decode_series(struct rows_decoder *decoder, struct store *store,
                                   struct error *error)
{
    struct row_head head;
    enum error_code code = decode_head(decoder, &head, error);
    struct step_vector *vector = NULL;
    if (code == ERROR_NONE)
        code = store_add(store,
                         (struct series_identity){head.labels, (head.flags & ROW_DROPS_NAME) != 0},
                         &vector, error);
    if (code != ERROR_NONE)
        return code;
    steps_decode(&decoder->reader, vector->present, decoder->step_count);
    if (decoder->reader.failed)
        return row_corrupt(error);
    if (head.flags & ROW_HAS_HISTOGRAMS)
        return decode_mixed(decoder, vector, store->arena, error);
    column_decode(&decoder->reader, vector->values, vector->present, decoder->step_count,
                  decoder->unpacking);
    return decoder->reader.failed ? row_corrupt(error) : ERROR_NONE;
}

static enum error_code decode_sums(struct rows_decoder *decoder, struct arena *arena,
                                   struct aggregation_group *group, struct error *error)
{
    size_t count = decoder->step_count;
    struct byte_reader *reader = &decoder->reader;
    struct histogram_sums *sums = aggregation_sums_create(arena, count);
    uint64_t *present = arena_array(arena, step_words(count), sizeof *present);
    if (sums == NULL || present == NULL)
        return evaluation_out_of_memory(decoder->evaluation, error);
    group->metric_name = byte_reader_text(reader);
    steps_decode(reader, sums->has_float, count);
    steps_decode(reader, sums->incompatible, count);
    steps_decode(reader, sums->seen_reset, count);
    steps_decode(reader, sums->seen_no_reset, count);
    steps_decode(reader, present, count);
    column_decode(reader, sums->counts, present, count, decoder->unpacking);
    if (reader->failed)
        return row_corrupt(error);
    for (size_t step = step_next(present, count, 0); step < count;
         step = step_next(present, count, step + 1)) {
        sums->sums[step] = histogram_decode(reader, arena);
        if (sums->sums[step] == NULL)
            return row_failed(decoder, error);
    }
    group->histograms = sums;
    return ERROR_NONE;
}

enum error_code rows_decode_group(struct rows_decoder *decoder, const struct aggregation_plan *plan,
                                  struct arena *arena, struct labels *labels_out,
                                  struct aggregation_group *group_out, struct error *error)
{
    size_t count = decoder->step_count;
    struct byte_reader *reader = &decoder->reader;
    struct row_head head;
    enum error_code code = decode_head(decoder, &head, error);
    if (code != ERROR_NONE)
        return code;
    struct aggregation_group group = {
        .present = arena_array(arena, step_words(count), sizeof *group.present),
    };
    if (group.present == NULL ||
        !aggregation_operations_of(plan->node->operation)->init(plan, &group, arena))
        return evaluation_out_of_memory(decoder->evaluation, error);
    steps_decode(reader, group.present, count);
    double *const columns[] = {group.values, group.compensation, group.counts, group.means};
    for (size_t i = 0; i < sizeof columns / sizeof columns[0] && !reader->failed; i++)
        if (columns[i] != NULL)
            column_decode(reader, columns[i], group.present, count, decoder->unpacking);
    if (group.incremental != NULL)
        steps_decode(reader, group.incremental, count);
    if (reader->failed)
        return row_corrupt(error);
    group.drops_name = (head.flags & ROW_DROPS_NAME) != 0;
    if (head.flags & ROW_HAS_HISTOGRAMS) {
        bool takes_histograms =
            plan->node->operation == AGGREGATE_SUM || plan->node->operation == AGGREGATE_AVG;
        if (!takes_histograms)
            return row_corrupt(error);
        code = decode_sums(decoder, arena, &group, error);
    }
    *labels_out = head.labels;
    *group_out = group;
    return code;
}
