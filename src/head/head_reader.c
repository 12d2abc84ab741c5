#include "head/head.h"

#include <stdlib.h>

#include "histogram_pack.h"
#include "series_samples.h"

struct head_reader {
    struct head *head;
    struct series_samples samples;
    /* The answer of head_reader_read_latest. */
    int64_t latest_ms;
    double latest_value;
    int64_t latest_start_ms;
    const struct histogram *latest_histogram;
};

enum error_code head_reader_open(struct head *head, struct head_reader **reader_out,
                                 struct error *error)
{
    struct head_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "head: reader");
    reader->head = head_ref(head);
    enum error_code code = series_samples_init(&reader->samples, error);
    if (code != ERROR_NONE) {
        head_reader_close(reader);
        return code;
    }
    *reader_out = reader;
    return ERROR_NONE;
}

void head_reader_close(struct head_reader *reader)
{
    if (reader == NULL)
        return;
    series_samples_clear(&reader->samples);
    head_unref(reader->head);
    free(reader);
}

enum error_code head_reader_read(struct head_reader *reader, uint64_t series_id, int64_t start_ms,
                                 int64_t end_ms, struct sample_columns *columns_out,
                                 struct error *error)
{
    struct series_snapshot snapshot;
    if (start_ms > end_ms ||
        !series_snapshot_take(reader->head, series_id, SNAPSHOT_ALL, &snapshot)) {
        *columns_out = (struct sample_columns){0};
        return ERROR_NONE;
    }
    enum error_code code =
        series_samples_read(&reader->samples, &snapshot, start_ms, end_ms, error);
    if (code == ERROR_NONE)
        code = series_samples_merged(&reader->samples, columns_out, error);
    return code;
}

/* The newest sample of the series is never a late one, and its value is in the record. */
static enum error_code newest_columns(struct head_reader *reader,
                                      const struct series_snapshot *snapshot,
                                      struct sample_columns *columns_out, struct error *error)
{
    const struct series_state *state = &snapshot->state;
    struct pair_cursor starts = snapshot->starts;
    struct pair start;
    reader->latest_ms = state->newest_ms;
    reader->latest_value = double_from_bits(state->newest_bits);
    reader->latest_start_ms = pair_list_back(&starts, &start) ? (int64_t)start.payload : 0;
    reader->latest_histogram = NULL;
    if ((state->flags & SERIES_HISTOGRAMS) != 0) {
        const uint8_t *packed;
        memcpy(&packed, snapshot->bytes + state->used - sizeof packed, sizeof packed);
        arena_reset(reader->samples.arena);
        reader->latest_histogram = histogram_unpack(packed, reader->samples.arena);
        if (reader->latest_histogram == NULL)
            return error_set(error, ERROR_OUT_OF_MEMORY, "head: histogram");
    }
    *columns_out = (struct sample_columns){
        .count = 1,
        .timestamps_ms = &reader->latest_ms,
        .values = &reader->latest_value,
        .histograms = reader->latest_histogram == NULL ? NULL : &reader->latest_histogram,
        .start_timestamps_ms = reader->latest_start_ms == 0 ? NULL : &reader->latest_start_ms,
        .timestamps_id = (uint64_t)state->column->number << 32 |
                         (uint64_t)(state->first + state->count - 1u) << 16 | 1,
    };
    return ERROR_NONE;
}

enum error_code head_reader_read_latest(struct head_reader *reader, uint64_t series_id,
                                        int64_t start_ms, int64_t end_ms,
                                        struct sample_columns *columns_out, struct error *error)
{
    struct series_snapshot snapshot;
    if (start_ms > end_ms ||
        !series_snapshot_take(reader->head, series_id, SNAPSHOT_NEWEST, &snapshot) ||
        snapshot.state.newest_ms < start_ms) {
        *columns_out = (struct sample_columns){0};
        return ERROR_NONE;
    }
    if (snapshot.state.newest_ms <= end_ms)
        return newest_columns(reader, &snapshot, columns_out, error);

    struct sample_columns columns;
    enum error_code code = head_reader_read(reader, series_id, start_ms, end_ms, &columns, error);
    if (code != ERROR_NONE)
        return code;
    size_t skipped = columns.count > 1 ? columns.count - 1 : 0;
    columns.count -= skipped;
    columns.timestamps_ms += skipped;
    columns.values += skipped;
    if (columns.histograms != NULL)
        columns.histograms += skipped;
    if (columns.start_timestamps_ms != NULL)
        columns.start_timestamps_ms += skipped;
    if (columns.timestamps_id != 0) /* first and count are its two lower halves */
        columns.timestamps_id = ((columns.timestamps_id >> 16) + skipped) << 16 | 1;
    *columns_out = columns;
    return ERROR_NONE;
}

void head_reader_prefetch(const struct head_reader *reader, uint64_t series_id)
{
    __builtin_prefetch(paged_table_find(&reader->head->series, series_id));
}

enum error_code head_reader_has_samples(struct head_reader *reader, uint64_t series_id,
                                        int64_t start_ms, int64_t end_ms, bool *has_out,
                                        struct error *error)
{
    struct sample_columns columns;
    enum error_code code =
        head_reader_read_latest(reader, series_id, start_ms, end_ms, &columns, error);
    if (code == ERROR_NONE)
        *has_out = columns.count > 0;
    return code;
}
