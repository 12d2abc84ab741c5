#include "portion.h"

/* --- Weights ---------------------------------------------------------------------------------- */

/* An eighth of the largest entry (GROUP_PAYLOAD_BYTES_MAX), in bytes that no encoding passes.
 * Labels are not weighed: most series are known and send none. */
enum {
    PORTION_BYTES_MAX = 1024 * 1024,
    SERIES_BYTES = 32,
    SAMPLE_BYTES = 32,
    HISTOGRAM_BYTES = 128,
    NUMBER_BYTES = 12, /* a bucket, a span, a bound */
    EXEMPLAR_BYTES = 256,
    METADATA_BYTES = 32,
    METADATA_TEXT_BYTES_MAX = 4096, /* longer ones are cut */
};

static size_t histogram_weight(const struct write_histogram *sent)
{
    const struct histogram *histogram = &sent->histogram;
    size_t numbers = (size_t)histogram->positive_span_count + histogram->negative_span_count +
                     histogram->positive_bucket_count + histogram->negative_bucket_count +
                     histogram->custom_bound_count;
    return HISTOGRAM_BYTES + numbers * NUMBER_BYTES;
}

static size_t series_weight(const struct write_request *request, const struct write_series *series)
{
    size_t weight = SERIES_BYTES + (size_t)series->sample_count * SAMPLE_BYTES +
                    (size_t)series->exemplar_count * EXEMPLAR_BYTES;
    for (uint32_t i = 0; i < series->histogram_count; i++)
        weight += histogram_weight(&request->histograms[series->histogram_first + i]);
    return weight;
}

static size_t text_weight(struct text text)
{
    return text.size < METADATA_TEXT_BYTES_MAX ? text.size : METADATA_TEXT_BYTES_MAX;
}

static size_t metadata_weight(const struct write_metadata *metadata)
{
    return METADATA_BYTES + text_weight(metadata->metric_family) + text_weight(metadata->help) +
           text_weight(metadata->unit);
}

/* The usual request is looked at as a whole. */
static bool is_one_portion(const struct write_request *request)
{
    return request->histogram_count + request->metadata_count == 0 &&
           request->series_count * SERIES_BYTES + request->sample_count * SAMPLE_BYTES +
                   request->exemplar_count * EXEMPLAR_BYTES <=
               PORTION_BYTES_MAX;
}

/* --- Splitting -------------------------------------------------------------------------------- */

/* How many of its samples, then histograms, make a piece. */
static struct write_series first_piece(const struct write_request *request,
                                       const struct write_series *series)
{
    enum { PIECE_BYTES = PORTION_BYTES_MAX / 2 };
    struct write_series piece = *series;
    if (piece.sample_count > PIECE_BYTES / SAMPLE_BYTES)
        piece.sample_count = PIECE_BYTES / SAMPLE_BYTES;
    size_t weight = (size_t)piece.sample_count * SAMPLE_BYTES;
    piece.histogram_count = 0;
    while (piece.histogram_count < series->histogram_count) {
        weight +=
            histogram_weight(&request->histograms[series->histogram_first + piece.histogram_count]);
        if (weight > PIECE_BYTES && piece.histogram_count + piece.sample_count > 0)
            break;
        piece.histogram_count++;
    }
    return piece;
}

static bool add_series(struct write_request *request, struct arena *arena,
                       struct write_series series)
{
    struct write_series *grown = arena_grow(arena, request->series, request->series_count,
                                            request->series_count + 1, sizeof *grown);
    if (grown == NULL)
        return false;
    grown[request->series_count++] = series;
    request->series = grown;
    return true;
}

/* The series at `index` keeps the last piece, with the exemplars: a head takes those of series that
 * it has samples of. */
static bool split_one(struct write_request *request, size_t index, struct arena *arena)
{
    struct write_series rest = request->series[index];
    if (rest.exemplar_count > PORTION_EXEMPLARS_MAX) {
        rest.exemplar_first += rest.exemplar_count - PORTION_EXEMPLARS_MAX;
        rest.exemplar_count = PORTION_EXEMPLARS_MAX;
    }
    for (;;) {
        struct write_series piece = first_piece(request, &rest);
        if (piece.sample_count == rest.sample_count &&
            piece.histogram_count == rest.histogram_count)
            break;
        piece.exemplar_count = 0;
        rest.sample_first += piece.sample_count;
        rest.sample_count -= piece.sample_count;
        rest.histogram_first += piece.histogram_count;
        rest.histogram_count -= piece.histogram_count;
        if (!add_series(request, arena, piece))
            return false;
    }
    request->series[index] = rest;
    return true;
}

/* --- Public ----------------------------------------------------------------------------------- */

enum error_code portion_split_series(struct write_request *request, struct arena *arena,
                                     struct error *error)
{
    size_t count = is_one_portion(request) ? 0 : request->series_count;
    for (size_t i = 0; i < count; i++) {
        const struct write_series *series = &request->series[i];
        bool is_small = series->sample_count < 1024 && series->histogram_count == 0 &&
                        series->exemplar_count <= PORTION_EXEMPLARS_MAX;
        if (!is_small && !split_one(request, i, arena))
            return error_set(error, ERROR_OUT_OF_MEMORY, "the request needs too much memory");
    }
    return ERROR_NONE;
}

bool portion_ends_at(struct portion *portion, size_t series, size_t new_label_bytes)
{
    if (new_label_bytes <= PORTION_BYTES_MAX)
        return false;
    portion->series_end = series + 1;
    portion->metadata_end = portion->metadata_first;
    return true;
}

bool portion_next(struct portion *portion, const struct write_request *request)
{
    size_t weight = 0;
    portion->series_first = portion->series_end;
    portion->metadata_first = portion->metadata_end;
    if (is_one_portion(request))
        portion->series_end = request->series_count;
    while (portion->series_end < request->series_count) {
        weight += series_weight(request, &request->series[portion->series_end]);
        if (weight > PORTION_BYTES_MAX && portion->series_end > portion->series_first)
            return true;
        portion->series_end++;
    }
    while (portion->metadata_end < request->metadata_count) {
        weight += metadata_weight(&request->metadata[portion->metadata_end]);
        if (weight > PORTION_BYTES_MAX && portion->metadata_end > portion->metadata_first)
            return true;
        portion->metadata_end++;
    }
    return portion->series_end > portion->series_first ||
           portion->metadata_end > portion->metadata_first;
}
