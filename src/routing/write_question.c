/* A write on its way to the leader: columns, so that neither side thinks about each sample. */
#include <assert.h>
#include <string.h>

#include "base/limits.h"
#include "transport/transport.h"

#include "write_codec.h"

/* --- Layout ---------------------------------------------------------------------------------- */

enum {
    VERSION = 1,
    HEAD_BYTES = 40,
    FLAG_STARTS = 1,     /* a column of start timestamps */
    FLAG_NARROW_IDS = 2, /* ids of 4 bytes */
    FLAG_OTHERS = 4,     /* histograms, exemplars, metadata */
    FLAG_TIMES_SHIFT = 3,
    FLAGS_KNOWN = 31,
    RUN_BYTES = 12,
    /* Together less than a message; portions of requests are far smaller. */
    FLOATS_MAX = TRANSPORT_MESSAGE_BYTES_MAX / 64,
    OTHERS_BYTES_MAX = TRANSPORT_MESSAGE_BYTES_MAX / 4,
};

enum time_form { TIMES_PLAIN, TIMES_IN_RUNS, TIMES_AS_OFFSETS };

#define NARROW_NEW (UINT32_C(1) << 31)

struct head {
    uint8_t flags;
    uint32_t shard_id;
    uint32_t float_count;
    uint32_t new_series_count;
    uint32_t run_count; /* of timestamps, TIMES_IN_RUNS */
    uint32_t series_bytes;
    uint32_t others_bytes;
    int64_t first_time_ms; /* TIMES_AS_OFFSETS: what they are offsets to */
};

static uint8_t *store_head(uint8_t *at, const struct head *head)
{
    memset(at, 0, HEAD_BYTES);
    at[0] = VERSION;
    at[1] = head->flags;
    store_u32(at + 4, head->shard_id);
    store_u32(at + 8, head->float_count);
    store_u32(at + 12, head->new_series_count);
    store_u32(at + 16, head->run_count);
    store_u32(at + 20, head->series_bytes);
    store_u32(at + 24, head->others_bytes);
    store_u64(at + 32, (uint64_t)head->first_time_ms);
    return at + HEAD_BYTES;
}

static enum time_form times_of(const struct head *head)
{
    return (enum time_form)(head->flags >> FLAG_TIMES_SHIFT & 3);
}

static size_t times_bytes(const struct head *head)
{
    switch (times_of(head)) {
    case TIMES_PLAIN:
        break;
    case TIMES_IN_RUNS:
        return (size_t)head->run_count * RUN_BYTES;
    case TIMES_AS_OFFSETS:
        return (size_t)head->float_count * sizeof(uint32_t);
    }
    return (size_t)head->float_count * sizeof(int64_t);
}

static size_t ids_bytes(const struct head *head)
{
    return (size_t)head->float_count *
           (head->flags & FLAG_NARROW_IDS ? sizeof(uint32_t) : sizeof(uint64_t));
}

/* --- Encoding -------------------------------------------------------------------------------- */

/* Whether all ids, without the mark of new series, are below 2^31. */
static bool ids_are_narrow(const uint64_t *ids, size_t count)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < count; i++)
        bits |= ids[i];
    return (bits & ~SHARD_SERIES_NEW) < NARROW_NEW;
}

/* Samples of a scrape share their time, so there are few runs; of a backfill there are many, but
 * rarely more than seven weeks. */
static void choose_times(const int64_t *times, size_t count, struct head *head)
{
    size_t runs = count > 0;
    int64_t oldest = count > 0 ? times[0] : 0, newest = oldest;
    for (size_t i = 1; i < count; i++) {
        runs += times[i] != times[i - 1];
        oldest = times[i] < oldest ? times[i] : oldest;
        newest = times[i] > newest ? times[i] : newest;
    }
    enum time_form form = TIMES_PLAIN;
    if (runs * RUN_BYTES <= count * sizeof(uint32_t)) {
        form = TIMES_IN_RUNS;
        head->run_count = (uint32_t)runs;
    } else if ((uint64_t)newest - (uint64_t)oldest <= UINT32_MAX) {
        form = TIMES_AS_OFFSETS;
        head->first_time_ms = oldest;
    }
    head->flags |= (uint8_t)((unsigned)form << FLAG_TIMES_SHIFT);
}

static uint8_t *store_ids(uint8_t *at, const struct head *head, const uint64_t *ids)
{
    size_t count = head->float_count;
    if (head->flags & FLAG_NARROW_IDS)
        for (size_t i = 0; i < count; i++)
            store_u32(at + 4 * i, (uint32_t)ids[i] | (uint32_t)(ids[i] >> 32));
    else if (count > 0)
        memcpy(at, ids, count * sizeof *ids);
    return at + ids_bytes(head);
}

static uint8_t *store_times(uint8_t *at, const struct head *head, const int64_t *times)
{
    size_t count = head->float_count;
    switch (times_of(head)) {
    case TIMES_PLAIN:
        if (count > 0)
            memcpy(at, times, count * sizeof *times);
        break;
    case TIMES_IN_RUNS:
        for (size_t first = 0, end = 0; first < count; first = end) {
            while (end < count && times[end] == times[first])
                end++;
            store_u32(at, (uint32_t)(end - first));
            store_u64(at + 4, (uint64_t)times[first]);
            at += RUN_BYTES;
        }
        return at;
    case TIMES_AS_OFFSETS:
        for (size_t i = 0; i < count; i++)
            store_u32(at + 4 * i, (uint32_t)((uint64_t)times[i] - (uint64_t)head->first_time_ms));
        break;
    }
    return at + times_bytes(head);
}

static uint8_t *store_text(uint8_t *at, struct text text)
{
    at = varint_store(at, text.size);
    if (text.size > 0)
        memcpy(at, text.data, text.size);
    return at + text.size;
}

static size_t text_bytes(struct text text)
{
    return varint_size(text.size) + text.size;
}

static struct text labels_text(struct labels labels)
{
    return (struct text){(const char *)labels.bytes, labels.size};
}

static size_t series_bytes(const struct shard_write *write)
{
    size_t size = 0;
    for (size_t i = 0; i < write->new_series_count; i++)
        size += sizeof(uint16_t) + text_bytes(labels_text(write->new_series[i].labels));
    return size;
}

static uint8_t *store_series(uint8_t *at, const struct shard_write *write)
{
    for (size_t i = 0; i < write->new_series_count; i++) {
        store_u16(at, write->new_series[i].slot);
        at = store_text(at + sizeof(uint16_t), labels_text(write->new_series[i].labels));
    }
    return at;
}

/* What is rare goes as in the log. */
static void encode_others(const struct shard_write *write, struct byte_buffer *buffer)
{
    const struct entry_part part = {
        .histograms = write->histograms,
        .histogram_count = write->histogram_count,
        .exemplars = write->exemplars,
        .exemplar_count = write->exemplar_count,
        .metadata = write->metadata,
        .metadata_count = write->metadata_count,
    };
    if (part.histogram_count + part.exemplar_count + part.metadata_count > 0)
        entry_encode_part(buffer, &part);
}

static size_t question_bytes(const struct head *head, const struct shard_write *write)
{
    size_t floats = head->float_count;
    size_t starts = head->flags & FLAG_STARTS ? floats * sizeof(int64_t) : 0;
    return HEAD_BYTES + floats * sizeof(double) + ids_bytes(head) + times_bytes(head) + starts +
           text_bytes(write->tenant) + text_bytes(write->source) + head->series_bytes +
           head->others_bytes;
}

struct shared_bytes *write_question_encode(uint32_t shard_id, const struct shard_write *write)
{
    struct byte_buffer others = {0};
    size_t floats = write->float_count, label_bytes = series_bytes(write);
    encode_others(write, &others);
    if (others.failed || floats > FLOATS_MAX || label_bytes + others.size > OTHERS_BYTES_MAX) {
        byte_buffer_clear(&others);
        return NULL;
    }
    struct head head = {
        .shard_id = shard_id,
        .float_count = (uint32_t)floats,
        .new_series_count = (uint32_t)write->new_series_count,
        .series_bytes = (uint32_t)label_bytes,
        .others_bytes = (uint32_t)others.size,
    };
    head.flags = (uint8_t)((write->start_timestamps_ms != NULL ? FLAG_STARTS : 0) |
                           (ids_are_narrow(write->ids, floats) ? FLAG_NARROW_IDS : 0) |
                           (others.size > 0 ? FLAG_OTHERS : 0));
    choose_times(write->timestamps_ms, floats, &head);
    struct shared_bytes *bytes = shared_bytes_create(question_bytes(&head, write));
    if (bytes != NULL) {
        uint8_t *at = store_head(bytes->bytes, &head);
        if (floats > 0)
            memcpy(at, write->values, floats * sizeof(double));
        at = store_ids(at + floats * sizeof(double), &head, write->ids);
        at = store_times(at, &head, write->timestamps_ms);
        if (head.flags & FLAG_STARTS && floats > 0)
            memcpy(at, write->start_timestamps_ms, floats * sizeof(int64_t));
        at += head.flags & FLAG_STARTS ? floats * sizeof(int64_t) : 0;
        at = store_text(at, write->tenant);
        at = store_text(at, write->source);
        at = store_series(at, write);
        if (others.size > 0)
            memcpy(at, others.bytes, others.size);
        assert(at + others.size == bytes->bytes + bytes->size);
    }
    byte_buffer_clear(&others);
    return bytes;
}

/* --- Decoding -------------------------------------------------------------------------------- */

static enum error_code decode_head(struct byte_reader *reader, struct head *head,
                                   struct error *error)
{
    const uint8_t *at = byte_reader_take(reader, HEAD_BYTES);
    if (at == NULL)
        return error_set(error, ERROR_CORRUPT, "write: cut head");
    *head = (struct head){
        .flags = at[1],
        .shard_id = load_u32(at + 4),
        .float_count = load_u32(at + 8),
        .new_series_count = load_u32(at + 12),
        .run_count = load_u32(at + 16),
        .series_bytes = load_u32(at + 20),
        .others_bytes = load_u32(at + 24),
        .first_time_ms = (int64_t)load_u64(at + 32),
    };
    if (at[0] != VERSION || head->flags > FLAGS_KNOWN)
        return error_set(error, ERROR_UNSUPPORTED, "write: version %u flags %u are not known",
                         at[0], head->flags);
    if (times_of(head) > TIMES_AS_OFFSETS || load_u16(at + 2) != 0 || load_u32(at + 28) != 0)
        return error_set(error, ERROR_CORRUPT, "write: head");
    return ERROR_NONE;
}

/* The columns are there, and their arrays; nothing else is known of them. */
static enum error_code reserve_columns(const struct head *head, const struct byte_reader *reader,
                                       struct arena *arena, struct shard_write *write,
                                       struct error *error)
{
    size_t count = head->float_count;
    size_t starts = head->flags & FLAG_STARTS ? count * sizeof(int64_t) : 0;
    if (count * sizeof(double) + ids_bytes(head) + times_bytes(head) + starts >
        byte_reader_left(reader))
        return error_set(error, ERROR_CORRUPT, "write: %zu samples cannot be in it", count);
    write->values = arena_allocate(arena, count * sizeof *write->values);
    write->ids = arena_allocate(arena, count * sizeof *write->ids);
    write->timestamps_ms = arena_allocate(arena, count * sizeof *write->timestamps_ms);
    write->origins = arena_allocate(arena, count * sizeof *write->origins);
    write->start_timestamps_ms = starts > 0 ? arena_allocate(arena, starts) : NULL;
    if (write->values == NULL || write->ids == NULL || write->timestamps_ms == NULL ||
        write->origins == NULL || (starts > 0 && write->start_timestamps_ms == NULL))
        return error_set(error, ERROR_OUT_OF_MEMORY, "write: %zu samples", count);
    write->float_count = count;
    return ERROR_NONE;
}

static enum error_code decode_times(struct byte_reader *reader, const struct head *head,
                                    int64_t *times, struct error *error)
{
    size_t count = head->float_count;
    const uint8_t *at = byte_reader_take(reader, times_bytes(head));
    if (times_of(head) == TIMES_PLAIN && count > 0) {
        memcpy(times, at, count * sizeof *times);
    } else if (times_of(head) == TIMES_AS_OFFSETS) {
        for (size_t i = 0; i < count; i++)
            times[i] = (int64_t)((uint64_t)head->first_time_ms + load_u32(at + 4 * i));
    } else if (times_of(head) == TIMES_IN_RUNS) {
        size_t filled = 0;
        for (uint32_t run = 0; run < head->run_count; run++, at += RUN_BYTES) {
            uint32_t length = load_u32(at);
            int64_t time = (int64_t)load_u64(at + 4);
            if (length == 0 || length > count - filled)
                return error_set(error, ERROR_CORRUPT, "write: runs of timestamps");
            for (uint32_t i = 0; i < length; i++)
                times[filled + i] = time;
            filled += length;
        }
        if (filled != count)
            return error_set(error, ERROR_CORRUPT, "write: timestamps of %zu in %zu samples",
                             filled, count);
    }
    return ERROR_NONE;
}

static bool ids_are_valid(const uint64_t *ids, size_t count, uint64_t new_series_count)
{
    uint64_t wrong = 0;
    for (size_t i = 0; i < count; i++)
        wrong |=
            (ids[i] & SHARD_SERIES_NEW) != 0 && (ids[i] & ~SHARD_SERIES_NEW) >= new_series_count;
    return wrong == 0;
}

static void decode_ids(struct byte_reader *reader, const struct head *head, uint64_t *ids)
{
    size_t count = head->float_count;
    const uint8_t *at = byte_reader_take(reader, ids_bytes(head));
    if (head->flags & FLAG_NARROW_IDS) {
        for (size_t i = 0; i < count; i++) {
            uint32_t id = load_u32(at + 4 * i);
            ids[i] = (uint64_t)(id & NARROW_NEW) << 32 | (id & ~NARROW_NEW);
        }
    } else if (count > 0)
        memcpy(ids, at, count * sizeof *ids);
}

static enum error_code decode_floats(struct byte_reader *reader, const struct head *head,
                                     struct shard_write *write, struct error *error)
{
    size_t count = head->float_count;
    const uint8_t *values = byte_reader_take(reader, count * sizeof(double));
    if (count > 0)
        memcpy(write->values, values, count * sizeof(double));
    decode_ids(reader, head, write->ids);
    if (!ids_are_valid(write->ids, count, head->new_series_count))
        return error_set(error, ERROR_CORRUPT, "write: a sample of no series");
    enum error_code code = decode_times(reader, head, write->timestamps_ms, error);
    if (code != ERROR_NONE)
        return code;
    if (write->start_timestamps_ms != NULL)
        memcpy(write->start_timestamps_ms, byte_reader_take(reader, count * sizeof(int64_t)),
               count * sizeof(int64_t));
    for (size_t i = 0; i < count; i++)
        write->origins[i] = (uint32_t)i;
    return ERROR_NONE;
}

static enum error_code decode_series(struct byte_reader *reader, const struct head *head,
                                     struct arena *arena, struct shard_write *write,
                                     struct error *error)
{
    enum { SERIES_BYTES_LEAST = 3 };
    const uint8_t *bytes = byte_reader_take(reader, head->series_bytes);
    size_t count = head->new_series_count;
    if (bytes == NULL || count > head->series_bytes / SERIES_BYTES_LEAST)
        return error_set(error, ERROR_CORRUPT, "write: %zu series cannot be in it", count);
    struct byte_reader series = byte_reader_over(bytes, head->series_bytes);
    write->new_series = arena_array(arena, count, sizeof *write->new_series);
    if (write->new_series == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "write: %zu series", count);
    for (size_t i = 0; i < count; i++) {
        struct shard_new_series *one = &write->new_series[i];
        uint16_t slot = byte_reader_u16(&series);
        struct text labels = byte_reader_text(&series);
        if (series.failed || slot >= SLOT_COUNT)
            return error_set(error, ERROR_CORRUPT, "write: series %zu", i);
        *one = (struct shard_new_series){.slot = slot, .id = SHARD_ID_UNKNOWN};
        enum error_code code =
            labels_decode((const uint8_t *)labels.data, labels.size, &one->labels, error);
        if (code != ERROR_NONE)
            return error_wrap(error, "write: series %zu", i);
    }
    write->new_series_count = count;
    if (byte_reader_left(&series) > 0)
        return error_set(error, ERROR_CORRUPT, "write: bytes behind the series");
    return ERROR_NONE;
}

/* Copies what the shard may change. */
static enum error_code take_others(const struct entry_part *part, struct arena *arena,
                                   struct shard_write *write, struct error *error)
{
    uint64_t new_count = write->new_series_count;
    write->histograms = arena_array(arena, part->histogram_count, sizeof *write->histograms);
    write->histogram_origins =
        arena_array(arena, part->histogram_count, sizeof *write->histogram_origins);
    write->exemplars = arena_array(arena, part->exemplar_count, sizeof *write->exemplars);
    write->metadata = arena_array(arena, part->metadata_count, sizeof *write->metadata);
    if (write->histograms == NULL || write->histogram_origins == NULL || write->exemplars == NULL ||
        write->metadata == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "write: histograms, exemplars or metadata");
    for (size_t i = 0; i < part->histogram_count; i++) {
        write->histograms[i] = part->histograms[i];
        write->histogram_origins[i] = (uint32_t)(write->float_count + i);
        if (!ids_are_valid(&part->histograms[i].id, 1, new_count))
            return error_set(error, ERROR_CORRUPT, "write: a histogram of no series");
        if (histogram_validate(&part->histograms[i].histogram, error) != ERROR_NONE)
            return error_wrap(error, "write: histogram %zu", i);
    }
    for (size_t i = 0; i < part->exemplar_count; i++) {
        write->exemplars[i] = part->exemplars[i];
        if (!ids_are_valid(&part->exemplars[i].id, 1, new_count))
            return error_set(error, ERROR_CORRUPT, "write: an exemplar of no series");
    }
    for (size_t i = 0; i < part->metadata_count; i++)
        write->metadata[i] = part->metadata[i];
    write->histogram_count = part->histogram_count;
    write->exemplar_count = part->exemplar_count;
    write->metadata_count = part->metadata_count;
    return ERROR_NONE;
}

static enum error_code decode_others(struct byte_reader *reader, const struct head *head,
                                     struct arena *arena, struct shard_write *write,
                                     struct error *error)
{
    const uint8_t *bytes = byte_reader_take(reader, head->others_bytes);
    if (bytes == NULL || byte_reader_left(reader) > 0 ||
        (head->others_bytes > 0) != ((head->flags & FLAG_OTHERS) != 0))
        return error_set(error, ERROR_CORRUPT, "write: its size");
    if (head->others_bytes == 0)
        return ERROR_NONE;
    struct byte_reader others = byte_reader_over(bytes, head->others_bytes);
    struct entry_part part;
    bool more = false;
    enum error_code code = entry_decode_part(&others, arena, &part, &more, error);
    if (code != ERROR_NONE)
        return error_wrap(error, "write");
    if (!more || byte_reader_left(&others) > 0 || part.tenant.size + part.source.size > 0 ||
        part.series_count + part.float_count > 0)
        return error_set(error, ERROR_CORRUPT, "write: histograms, exemplars, metadata");
    return take_others(&part, arena, write, error);
}

enum error_code write_question_decode(const uint8_t *bytes, size_t size, struct arena *arena,
                                      uint32_t *shard_id_out, struct shard_write *write_out,
                                      struct error *error)
{
    struct byte_reader reader = byte_reader_over(bytes, size);
    struct shard_write write = {0};
    struct head head;
    enum error_code code = decode_head(&reader, &head, error);
    if (code == ERROR_NONE)
        code = reserve_columns(&head, &reader, arena, &write, error);
    if (code == ERROR_NONE)
        code = decode_floats(&reader, &head, &write, error);
    if (code != ERROR_NONE)
        return code;
    write.tenant = byte_reader_text(&reader);
    write.source = byte_reader_text(&reader);
    if (reader.failed || write.tenant.size > TENANT_ID_BYTES_MAX ||
        write.source.size > LABEL_SET_BYTES_MAX)
        return error_set(error, ERROR_CORRUPT, "write: tenant or source");
    code = decode_series(&reader, &head, arena, &write, error);
    if (code == ERROR_NONE)
        code = decode_others(&reader, &head, arena, &write, error);
    if (code != ERROR_NONE)
        return code;
    write.stale_origins = arena_allocate(arena, (write.float_count + write.histogram_count) *
                                                    sizeof *write.stale_origins);
    if (write.stale_origins == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "write: outcome");
    *shard_id_out = head.shard_id;
    *write_out = write;
    return ERROR_NONE;
}
