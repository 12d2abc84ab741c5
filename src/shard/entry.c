#include "shard/entry.h"

#include <assert.h>

#include "base/limits.h"

#include "entry_series.h"

/* --- Header --------------------------------------------------------------------------------- */

void entry_encode_header(struct byte_buffer *buffer, enum entry_kind kind, int64_t stamp_ms)
{
    byte_buffer_u8(buffer, (uint8_t)kind);
    byte_buffer_u8(buffer, ENTRY_VERSION);
    byte_buffer_zigzag(buffer, stamp_ms);
}

enum error_code entry_decode_header(struct byte_reader *reader, struct entry_header *header_out,
                                    struct error *error)
{
    uint8_t kind = byte_reader_u8(reader);
    uint8_t version = byte_reader_u8(reader);
    int64_t stamp_ms = byte_reader_zigzag(reader);
    if (reader->failed)
        return error_set(error, ERROR_CORRUPT, "entry: cut header");
    if (kind < ENTRY_WRITE || kind > ENTRY_RETENTION_POLICY || version != ENTRY_VERSION)
        return error_set(error, ERROR_UNSUPPORTED,
                         "entry: kind %u version %u is not known to this program: run a release "
                         "that knows it",
                         kind, version);
    *header_out = (struct entry_header){(enum entry_kind)kind, version, stamp_ms};
    return ERROR_NONE;
}

/* Any two times have a difference; it wraps around, and so does its way back. */
static int64_t time_delta(int64_t time, int64_t before)
{
    return (int64_t)((uint64_t)time - (uint64_t)before);
}

/* --- Float values --------------------------------------------------------------------------- */

enum value_form { FORM_BITS, FORM_INTEGER, FORM_HUNDREDTHS, FORM_THOUSANDTHS };

enum {
    CONTROL_SIZE_MASK = 0x0f,
    CONTROL_FORM_SHIFT = 4,
    CONTROL_NEXT_ID = 0x40,
    CONTROL_SAME_TIME = 0x80,
    SIZE_WITH_START = 15,
    /* Beyond, k / 100 need not give back the value that made k. */
    INTEGER_BITS_MAX = 53,
};

struct packed_value {
    enum value_form form;
    unsigned size; /* bytes */
    uint64_t payload;
};

static unsigned bytes_needed(uint64_t value)
{
    return value == 0 ? 0 : (unsigned)(64 - __builtin_clzll(value) + 7) / 8;
}

/* The integer that gives back `value` when divided by `divisor`; false when there is none. */
static bool scaled_integer(double value, double divisor, int64_t *integer_out)
{
    double scaled = value * divisor;
    if (!(scaled > -9007199254740992.0 && scaled < 9007199254740992.0))
        return false;
    int64_t integer = (int64_t)(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
    if (double_to_bits((double)integer / divisor) != double_to_bits(value))
        return false;
    *integer_out = integer;
    return true;
}

static struct packed_value pack_value(double value)
{
    static const double DIVISORS[] = {
        [FORM_INTEGER] = 1, [FORM_HUNDREDTHS] = 100, [FORM_THOUSANDTHS] = 1000};
    uint64_t bits = double_to_bits(value);
    unsigned zero_bytes = bits == 0 ? 8 : (unsigned)__builtin_ctzll(bits) / 8;
    struct packed_value best = {FORM_BITS, 8 - zero_bytes,
                                zero_bytes == 8 ? 0 : bits >> (8 * zero_bytes)};
    for (int form = FORM_INTEGER; form <= FORM_THOUSANDTHS && best.size > 2; form++) {
        int64_t integer;
        if (!scaled_integer(value, DIVISORS[form], &integer))
            continue;
        uint64_t payload = zigzag_encode(integer);
        if (bytes_needed(payload) < best.size)
            best = (struct packed_value){(enum value_form)form, bytes_needed(payload), payload};
        break; /* a larger divisor only makes the integer larger */
    }
    return best;
}

static double unpack_value(enum value_form form, unsigned size, uint64_t payload)
{
    switch (form) {
    case FORM_BITS:
        return double_from_bits(size == 0 ? 0 : payload << (64 - 8 * size));
    case FORM_INTEGER:
        return (double)zigzag_decode(payload);
    case FORM_HUNDREDTHS:
        return (double)zigzag_decode(payload) / 100;
    case FORM_THOUSANDTHS:
        return (double)zigzag_decode(payload) / 1000;
    }
    return 0;
}

/* --- Floats --------------------------------------------------------------------------------- */

enum { SAMPLE_BYTES_MAX = 2 + 4 * VARINT_MAX_BYTES };

static void encode_floats(struct byte_buffer *buffer, const struct entry_part *part)
{
    uint64_t previous_id = 0;
    int64_t previous_time = 0;
    byte_buffer_varint(buffer, part->float_count);
    if (!byte_buffer_reserve(buffer, part->float_count * SAMPLE_BYTES_MAX))
        return;
    uint8_t *at = buffer->bytes + buffer->size;
    for (size_t i = 0; i < part->float_count; i++) {
        uint64_t id = part->ids[i];
        int64_t time = part->timestamps_ms[i];
        int64_t start = part->start_timestamps_ms == NULL ? 0 : part->start_timestamps_ms[i];
        struct packed_value packed = pack_value(part->values[i]);
        unsigned control = packed.size | (unsigned)packed.form << CONTROL_FORM_SHIFT;
        if (id == previous_id + 1)
            control |= CONTROL_NEXT_ID;
        if (time == previous_time)
            control |= CONTROL_SAME_TIME;
        if (start != 0)
            *at++ = SIZE_WITH_START;
        *at++ = (uint8_t)control;
        if (!(control & CONTROL_NEXT_ID))
            at = varint_store(at, zigzag_encode((int64_t)(id - previous_id)));
        if (!(control & CONTROL_SAME_TIME))
            at = varint_store(at, zigzag_encode(time_delta(time, previous_time)));
        store_u64(at, packed.payload);
        at += packed.size;
        if (start != 0)
            at = varint_store(at, zigzag_encode(time_delta(start, time)));
        previous_id = id;
        previous_time = time;
    }
    buffer->size = (size_t)(at - buffer->bytes);
}

/* Arrays of one part while its floats are read. */
struct float_arrays {
    uint64_t *ids;
    int64_t *timestamps_ms;
    double *values;
    int64_t *starts; /* NULL until a sample has one */
    struct arena *arena;
    size_t count;
};

/* `size` <= 8 bytes as a number; one load where eight bytes can be read. */
static uint64_t take_payload(struct byte_reader *reader, unsigned size)
{
    uint64_t payload = 0;
    if (byte_reader_left(reader) >= 8) {
        payload = size == 0 ? 0 : load_u64(reader->position) & (UINT64_MAX >> (64 - 8 * size));
        reader->position += size;
        return payload;
    }
    const uint8_t *bytes = byte_reader_take(reader, size);
    if (bytes != NULL)
        memcpy(&payload, bytes, size);
    return payload;
}

static bool decode_float(struct byte_reader *reader, struct float_arrays *arrays, size_t i,
                         uint64_t *id, int64_t *time)
{
    uint8_t control = byte_reader_u8(reader);
    bool has_start = (control & CONTROL_SIZE_MASK) == SIZE_WITH_START;
    if (has_start)
        control = byte_reader_u8(reader);
    unsigned size = control & CONTROL_SIZE_MASK;
    if (size > 8)
        return false;
    *id += control & CONTROL_NEXT_ID ? 1 : (uint64_t)byte_reader_zigzag(reader);
    if (!(control & CONTROL_SAME_TIME))
        *time = (int64_t)((uint64_t)*time + (uint64_t)byte_reader_zigzag(reader));
    uint64_t payload = take_payload(reader, size);
    if (reader->failed)
        return false;
    arrays->ids[i] = *id;
    arrays->timestamps_ms[i] = *time;
    arrays->values[i] =
        unpack_value((enum value_form)(control >> CONTROL_FORM_SHIFT & 3), size, payload);
    if (has_start) {
        /* Rare: the array is made when the first one comes. */
        if (arrays->starts == NULL)
            arrays->starts = arena_array(arrays->arena, arrays->count, sizeof(int64_t));
        if (arrays->starts == NULL)
            return false;
        arrays->starts[i] = (int64_t)((uint64_t)*time + (uint64_t)byte_reader_zigzag(reader));
    }
    return !reader->failed;
}

static enum error_code decode_floats(struct byte_reader *reader, struct arena *arena,
                                     struct entry_part *part, struct error *error)
{
    uint64_t count = byte_reader_varint(reader);
    if (reader->failed || count > byte_reader_left(reader))
        return error_set(error, ERROR_CORRUPT, "entry: %llu samples cannot be in it",
                         (unsigned long long)count);
    struct float_arrays arrays = {
        .ids = arena_allocate(arena, count * sizeof(uint64_t)),
        .timestamps_ms = arena_allocate(arena, count * sizeof(int64_t)),
        .values = arena_allocate(arena, count * sizeof(double)),
        .arena = arena,
        .count = count,
    };
    if (arrays.ids == NULL || arrays.timestamps_ms == NULL || arrays.values == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "entry: %llu samples",
                         (unsigned long long)count);
    uint64_t id = 0;
    int64_t time = 0;
    for (size_t i = 0; i < count; i++)
        if (!decode_float(reader, &arrays, i, &id, &time))
            return error_set(error, ERROR_CORRUPT, "entry: sample %zu", i);
    part->ids = arrays.ids;
    part->timestamps_ms = arrays.timestamps_ms;
    part->values = arrays.values;
    part->start_timestamps_ms = arrays.starts;
    part->float_count = count;
    return ERROR_NONE;
}

/* --- Histograms ----------------------------------------------------------------------------- */

static void encode_histograms(struct byte_buffer *buffer, const struct entry_part *part)
{
    uint64_t previous_id = 0;
    int64_t previous_time = 0;
    byte_buffer_varint(buffer, part->histogram_count);
    for (size_t i = 0; i < part->histogram_count; i++) {
        const struct entry_histogram *histogram = &part->histograms[i];
        int64_t start = histogram->start_timestamp_ms;
        byte_buffer_zigzag(buffer, (int64_t)(histogram->id - previous_id));
        byte_buffer_zigzag(buffer, time_delta(histogram->timestamp_ms, previous_time));
        byte_buffer_zigzag(buffer, start == 0 ? 0 : time_delta(start, histogram->timestamp_ms));
        histogram_encode_value(buffer, &histogram->histogram);
        previous_id = histogram->id;
        previous_time = histogram->timestamp_ms;
    }
}

static enum error_code decode_histograms(struct byte_reader *reader, struct arena *arena,
                                         struct entry_part *part, struct error *error)
{
    uint64_t count = byte_reader_varint(reader);
    if (reader->failed || count > byte_reader_left(reader))
        return error_set(error, ERROR_CORRUPT, "entry: histogram count");
    struct entry_histogram *histograms = arena_array(arena, count, sizeof *histograms);
    if (histograms == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "entry: histograms");
    uint64_t id = 0, time = 0;
    for (size_t i = 0; i < count; i++) {
        struct entry_histogram *histogram = &histograms[i];
        id += (uint64_t)byte_reader_zigzag(reader);
        time += (uint64_t)byte_reader_zigzag(reader);
        uint64_t start_delta = (uint64_t)byte_reader_zigzag(reader);
        histogram->id = id;
        histogram->timestamp_ms = (int64_t)time;
        histogram->start_timestamp_ms = start_delta == 0 ? 0 : (int64_t)(time + start_delta);
        enum error_code code = histogram_decode_value(reader, arena, &histogram->histogram, error);
        if (code != ERROR_NONE)
            return error_wrap(error, "entry: histogram %zu", i);
    }
    part->histograms = histograms;
    part->histogram_count = count;
    return ERROR_NONE;
}

/* --- Exemplars and metadata ----------------------------------------------------------------- */

static void encode_exemplars(struct byte_buffer *buffer, const struct entry_part *part)
{
    uint64_t previous_id = 0;
    int64_t previous_time = 0;
    byte_buffer_varint(buffer, part->exemplar_count);
    for (size_t i = 0; i < part->exemplar_count; i++) {
        const struct entry_exemplar *exemplar = &part->exemplars[i];
        const struct labels labels = exemplar->exemplar.labels;
        byte_buffer_zigzag(buffer, (int64_t)(exemplar->id - previous_id));
        byte_buffer_zigzag(buffer, time_delta(exemplar->exemplar.timestamp_ms, previous_time));
        byte_buffer_u64(buffer, double_to_bits(exemplar->exemplar.value));
        byte_buffer_text(buffer, (struct text){(const char *)labels.bytes, labels.size});
        previous_id = exemplar->id;
        previous_time = exemplar->exemplar.timestamp_ms;
    }
}

static enum error_code decode_exemplars(struct byte_reader *reader, struct arena *arena,
                                        struct entry_part *part, struct error *error)
{
    uint64_t count = byte_reader_varint(reader);
    if (reader->failed || count > byte_reader_left(reader))
        return error_set(error, ERROR_CORRUPT, "entry: exemplar count");
    struct entry_exemplar *exemplars = arena_array(arena, count, sizeof *exemplars);
    if (exemplars == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "entry: exemplars");
    uint64_t id = 0, time = 0;
    for (size_t i = 0; i < count; i++) {
        id += (uint64_t)byte_reader_zigzag(reader);
        time += (uint64_t)byte_reader_zigzag(reader);
        exemplars[i].id = id;
        exemplars[i].exemplar.timestamp_ms = (int64_t)time;
        exemplars[i].exemplar.value = double_from_bits(byte_reader_u64(reader));
        struct text bytes = byte_reader_text(reader);
        if (reader->failed)
            return error_set(error, ERROR_CORRUPT, "entry: exemplar %zu", i);
        enum error_code code = labels_decode((const uint8_t *)bytes.data, bytes.size,
                                             &exemplars[i].exemplar.labels, error);
        if (code != ERROR_NONE)
            return error_wrap(error, "entry: exemplar %zu", i);
    }
    part->exemplars = exemplars;
    part->exemplar_count = count;
    return ERROR_NONE;
}

static void encode_metadata(struct byte_buffer *buffer, const struct entry_part *part)
{
    byte_buffer_varint(buffer, part->metadata_count);
    for (size_t i = 0; i < part->metadata_count; i++) {
        const struct entry_metadata *metadata = &part->metadata[i];
        byte_buffer_text(buffer, metadata->metric_name);
        byte_buffer_varint(buffer, metadata->metadata.type);
        byte_buffer_text(buffer, metadata->metadata.help);
        byte_buffer_text(buffer, metadata->metadata.unit);
    }
}

static enum error_code decode_metadata(struct byte_reader *reader, struct arena *arena,
                                       struct entry_part *part, struct error *error)
{
    uint64_t count = byte_reader_varint(reader);
    if (reader->failed || count > byte_reader_left(reader))
        return error_set(error, ERROR_CORRUPT, "entry: metadata count");
    struct entry_metadata *metadata = arena_array(arena, count, sizeof *metadata);
    if (metadata == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "entry: metadata");
    for (size_t i = 0; i < count; i++) {
        metadata[i].metric_name = byte_reader_text(reader);
        uint64_t type = byte_reader_varint(reader);
        metadata[i].metadata.type =
            type < METRIC_TYPES ? (enum metric_type)type : METRIC_UNSPECIFIED;
        metadata[i].metadata.help = byte_reader_text(reader);
        metadata[i].metadata.unit = byte_reader_text(reader);
    }
    if (reader->failed)
        return error_set(error, ERROR_CORRUPT, "entry: metadata");
    part->metadata = metadata;
    part->metadata_count = count;
    return ERROR_NONE;
}

/* --- Write ---------------------------------------------------------------------------------- */

void entry_encode_write(struct byte_buffer *buffer, int64_t stamp_ms, uint64_t next_id)
{
    entry_encode_header(buffer, ENTRY_WRITE, stamp_ms);
    byte_buffer_varint(buffer, next_id);
}

void entry_encode_part(struct byte_buffer *buffer, const struct entry_part *part)
{
    /* The size comes first: its place is kept open with room for any size and closed up later. */
    size_t start = buffer->size;
    uint8_t size_bytes[VARINT_MAX_BYTES] = {0};
    byte_buffer_append(buffer, size_bytes, sizeof size_bytes);
    size_t content = buffer->size;
    byte_buffer_text(buffer, part->tenant);
    byte_buffer_text(buffer, part->source);
    entry_encode_series(buffer, part);
    encode_floats(buffer, part);
    encode_histograms(buffer, part);
    encode_exemplars(buffer, part);
    encode_metadata(buffer, part);
    if (buffer->failed)
        return;
    size_t size = buffer->size - content;
    size_t prefix = (size_t)(varint_store(size_bytes, size) - size_bytes);
    memcpy(buffer->bytes + start, size_bytes, prefix);
    memmove(buffer->bytes + start + prefix, buffer->bytes + content, size);
    buffer->size = start + prefix + size;
}

enum error_code entry_decode_next_id(struct byte_reader *reader, uint64_t *next_id_out,
                                     struct error *error)
{
    *next_id_out = byte_reader_varint(reader);
    return reader->failed ? error_set(error, ERROR_CORRUPT, "entry: cut after the header")
                          : ERROR_NONE;
}

enum error_code entry_decode_part(struct byte_reader *reader, struct arena *arena,
                                  struct entry_part *part_out, bool *more_out, struct error *error)
{
    *more_out = byte_reader_left(reader) > 0;
    if (!*more_out)
        return ERROR_NONE;
    struct text bytes = byte_reader_text(reader);
    if (reader->failed)
        return error_set(error, ERROR_CORRUPT, "entry: cut part");
    struct byte_reader content = byte_reader_over((const uint8_t *)bytes.data, bytes.size);
    struct entry_part part = {0};
    part.tenant = byte_reader_text(&content);
    part.source = byte_reader_text(&content);
    if (content.failed || part.tenant.size > TENANT_ID_BYTES_MAX)
        return error_set(error, ERROR_CORRUPT, "entry: tenant of a part");
    enum error_code code = entry_decode_series(&content, arena, &part, error);
    if (code == ERROR_NONE)
        code = decode_floats(&content, arena, &part, error);
    if (code == ERROR_NONE)
        code = decode_histograms(&content, arena, &part, error);
    if (code == ERROR_NONE)
        code = decode_exemplars(&content, arena, &part, error);
    if (code == ERROR_NONE)
        code = decode_metadata(&content, arena, &part, error);
    if (code == ERROR_NONE && byte_reader_left(&content) > 0)
        code = error_set(error, ERROR_CORRUPT, "entry: stray bytes in a part");
    if (code == ERROR_NONE)
        *part_out = part;
    return code;
}
