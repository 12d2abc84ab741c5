#include "bodies.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <snappy-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- File ----------------------------------------------------------------------------------- */

/*
 * header | entry for each tick, connection and request, in this order | bodies
 *
 * The file is made and read by the same program on the same machine.
 */
static const uint64_t MAGIC = UINT64_C(0x3165696466696c66);

struct header {
    uint64_t magic;
    uint64_t host_count;
    uint64_t first_host;
    int64_t start_ms;
    uint64_t tick_count;
    uint64_t connection_count;
    uint64_t protocol;
    uint64_t total_bytes;
};

struct entry {
    uint64_t offset_bytes; /* in the file */
    uint32_t size_bytes;
    uint32_t series_count;
};

static struct header header_of(const struct bodies_options *options)
{
    return (struct header){.magic = MAGIC,
                           .host_count = options->fleet.host_count,
                           .first_host = options->fleet.first_host,
                           .start_ms = options->fleet.start_ms,
                           .tick_count = options->tick_count,
                           .connection_count = options->connection_count,
                           .protocol = options->protocol};
}

/* The first series of a connection; that of connection_count is the end. */
static uint64_t first_series(const struct bodies_options *options, uint32_t connection)
{
    return fleet_series_count(&options->fleet) * connection / options->connection_count;
}

static uint64_t requests_per_turn(const struct bodies_options *options)
{
    uint64_t most = 0;
    for (uint32_t i = 0; i < options->connection_count; i++) {
        uint64_t count = first_series(options, i + 1) - first_series(options, i);
        if (count > most)
            most = count;
    }
    return (most + BODIES_SERIES_MAX - 1) / BODIES_SERIES_MAX;
}

static size_t entry_position(const struct bodies_options *options, uint64_t per_turn, uint64_t tick,
                             uint32_t connection, uint64_t request)
{
    return (tick * options->connection_count + connection) * per_turn + request;
}

/* --- What is the same in each tick ----------------------------------------------------------- */

/* A request without its samples. */
struct template
{
    uint64_t first; /* series */
    uint64_t count;
    struct byte_buffer symbols;   /* 2.0: the whole symbol table, as fields */
    struct byte_buffer labels;    /* of all series, as fields */
    uint32_t *label_sizes;        /* [count] */
    int64_t *timestamps_ms;       /* [count], of tick 0 */
    struct fleet_cursor *cursors; /* [count] */
};

static void template_clear(struct template *template)
{
    byte_buffer_clear(&template->symbols);
    byte_buffer_clear(&template->labels);
    free(template->label_sizes);
    free(template->timestamps_ms);
    free(template->cursors);
}

static void append_field(struct byte_buffer *buffer, uint32_t number, struct text value)
{
    byte_buffer_varint(buffer, number << 3 | 2);
    byte_buffer_text(buffer, value);
}

/* 1.0: TimeSeries.labels = 1, Label.name = 1, Label.value = 2. */
static void append_labels(struct byte_buffer *buffer, const struct fleet_labels *labels)
{
    for (size_t i = 0; i < labels->count; i++) {
        struct text name = labels->labels[i].name, value = labels->labels[i].value;
        byte_buffer_varint(buffer, 1 << 3 | 2);
        byte_buffer_varint(buffer, 2 + varint_size(name.size) + name.size +
                                       varint_size(value.size) + value.size);
        append_field(buffer, 1, name);
        append_field(buffer, 2, value);
    }
}

/* 2.0: strings of a request by number; 0 is the empty one. */
enum { SYMBOL_SLOTS = 1 << 16 };
struct symbol_table {
    struct hash128 hashes[SYMBOL_SLOTS];
    uint32_t numbers[SYMBOL_SLOTS]; /* 0: free */
    uint32_t count;
};

static uint32_t symbol_number(struct symbol_table *table, struct byte_buffer *symbols,
                              struct text symbol)
{
    struct hash128 hash = hash128(symbol.data, symbol.size, HASH_SEED_STORED);
    size_t slot = hash.low % SYMBOL_SLOTS;
    while (table->numbers[slot] != 0) {
        if (hash128_equal(table->hashes[slot], hash))
            return table->numbers[slot];
        slot = (slot + 1) % SYMBOL_SLOTS;
    }
    assert(table->count < SYMBOL_SLOTS / 2);
    table->hashes[slot] = hash;
    table->numbers[slot] = ++table->count;
    append_field(symbols, 4, symbol); /* Request.symbols = 4 */
    return table->numbers[slot];
}

/* 2.0: TimeSeries.labels_refs = 1, packed. */
static void append_references(struct byte_buffer *buffer, struct symbol_table *table,
                              struct byte_buffer *symbols, const struct fleet_labels *labels)
{
    uint32_t numbers[2 * FLEET_LABELS_MAX];
    size_t size = 0;
    for (size_t i = 0; i < labels->count; i++) {
        numbers[2 * i] = symbol_number(table, symbols, labels->labels[i].name);
        numbers[2 * i + 1] = symbol_number(table, symbols, labels->labels[i].value);
        size += varint_size(numbers[2 * i]) + varint_size(numbers[2 * i + 1]);
    }
    byte_buffer_varint(buffer, 1 << 3 | 2);
    byte_buffer_varint(buffer, size);
    for (size_t i = 0; i < 2 * labels->count; i++)
        byte_buffer_varint(buffer, numbers[i]);
}

static enum error_code template_init(struct template *template,
                                     const struct bodies_options *options, uint64_t first,
                                     uint64_t count, struct bodies_figures *figures,
                                     struct error *error)
{
    struct symbol_table *table = calloc(1, sizeof *table);
    *template = (struct template){.first = first, .count = count};
    template->label_sizes = calloc(count, sizeof *template->label_sizes);
    template->timestamps_ms = calloc(count, sizeof *template->timestamps_ms);
    template->cursors = calloc(count, sizeof *template->cursors);
    if (table == NULL || template->label_sizes == NULL || template->timestamps_ms == NULL ||
        template->cursors == NULL) {
        free(table);
        return error_set(error, ERROR_OUT_OF_MEMORY, "requests");
    }
    if (options->protocol == BODIES_PROTOCOL_2)
        append_field(&template->symbols, 4, TEXT(""));
    for (uint64_t i = 0; i < count; i++) {
        struct fleet_labels labels;
        size_t before = template->labels.size;
        fleet_describe(&options->fleet, first + i, &labels);
        if (options->protocol == BODIES_PROTOCOL_1)
            append_labels(&template->labels, &labels);
        else
            append_references(&template->labels, table, &template->symbols, &labels);
        template->label_sizes[i] = (uint32_t)(template->labels.size - before);
        template->timestamps_ms[i] = fleet_timestamp_ms(&options->fleet, first + i, 0);
        fleet_cursor_open(&template->cursors[i], &options->fleet, first + i);
        figures->label_count += labels.count;
    }
    free(table);
    if (template->labels.failed || template->symbols.failed)
        return error_set(error, ERROR_OUT_OF_MEMORY, "labels of requests");
    return ERROR_NONE;
}

/* --- Bodies of a tick ----------------------------------------------------------------------- */

/* Sample.value = 1, Sample.timestamp = 2, in both versions. */
static size_t sample_store(uint8_t *target, double value, int64_t timestamp_ms)
{
    uint8_t *end = target;
    *end++ = 1 << 3 | 1;
    store_u64(end, double_to_bits(value));
    end += sizeof(uint64_t);
    *end++ = 2 << 3;
    end = varint_store(end, (uint64_t)timestamp_ms);
    return (size_t)(end - target);
}

static void append_tick(struct byte_buffer *body, struct template *template,
                        const struct bodies_options *options, uint64_t tick)
{
    uint32_t series_number = options->protocol == BODIES_PROTOCOL_1 ? 1 : 5;
    const uint8_t *labels = template->labels.bytes;
    if (template->symbols.size > 0)
        byte_buffer_append(body, template->symbols.bytes, template->symbols.size);
    for (uint64_t i = 0; i < template->count; i++) {
        uint8_t sample[2 + sizeof(uint64_t) + VARINT_MAX_BYTES];
        int64_t timestamp_ms = template->timestamps_ms[i] + (int64_t)tick * FLEET_INTERVAL_MS;
        double value =
            fleet_cursor_next(&template->cursors[i], &options->fleet, template->first + i);
        size_t sample_size = sample_store(sample, value, timestamp_ms);
        size_t label_size = template->label_sizes[i];
        byte_buffer_varint(body, series_number << 3 | 2);
        byte_buffer_varint(body, label_size + 1 + varint_size(sample_size) + sample_size);
        byte_buffer_append(body, labels, label_size);
        append_field(body, 2, (struct text){.data = (const char *)sample, .size = sample_size});
        labels += label_size;
    }
}

struct writing {
    FILE *file;
    struct byte_buffer raw;
    struct byte_buffer compressed;
    uint64_t offset_bytes;
};

static enum error_code write_body(struct writing *writing, struct entry *entry, struct error *error)
{
    size_t size = snappy_max_compressed_length(writing->raw.size);
    byte_buffer_reset(&writing->compressed);
    if (writing->raw.failed || !byte_buffer_reserve(&writing->compressed, size))
        return error_set(error, ERROR_OUT_OF_MEMORY, "a request");
    if (snappy_compress((const char *)writing->raw.bytes, writing->raw.size,
                        (char *)writing->compressed.bytes, &size) != SNAPPY_OK)
        return error_set(error, ERROR_IO, "snappy");
    if (fwrite(writing->compressed.bytes, 1, size, writing->file) != size)
        return error_set(error, ERROR_IO, "write: %s", strerror(errno));
    entry->offset_bytes = writing->offset_bytes;
    entry->size_bytes = (uint32_t)size;
    writing->offset_bytes += size;
    return ERROR_NONE;
}

static enum error_code write_bodies(struct writing *writing, const struct bodies_options *options,
                                    struct template *templates, uint64_t template_count,
                                    struct entry *entries, struct bodies_figures *figures,
                                    struct error *error)
{
    for (uint64_t tick = 0; tick < options->tick_count; tick++) {
        for (uint64_t i = 0; i < template_count; i++) {
            struct entry *entry = &entries[tick * template_count + i];
            entry->series_count = (uint32_t)templates[i].count;
            if (templates[i].count == 0)
                continue;
            byte_buffer_reset(&writing->raw);
            append_tick(&writing->raw, &templates[i], options, tick);
            figures->raw_bytes += writing->raw.size;
            enum error_code code = write_body(writing, entry, error);
            if (code != ERROR_NONE)
                return code;
        }
    }
    return ERROR_NONE;
}

static enum error_code init_templates(const struct bodies_options *options,
                                      struct template *templates, uint64_t per_turn,
                                      struct bodies_figures *figures, struct error *error)
{
    for (uint32_t connection = 0; connection < options->connection_count; connection++) {
        uint64_t end = first_series(options, connection + 1);
        for (uint64_t i = 0; i < per_turn; i++) {
            uint64_t first = first_series(options, connection) + i * BODIES_SERIES_MAX;
            if (first > end)
                first = end;
            uint64_t count = end - first < BODIES_SERIES_MAX ? end - first : BODIES_SERIES_MAX;
            enum error_code code = template_init(&templates[connection * per_turn + i], options,
                                                 first, count, figures, error);
            if (code != ERROR_NONE)
                return code;
        }
    }
    return ERROR_NONE;
}

static enum error_code write_table(struct writing *writing, struct header *header,
                                   const struct entry *entries, size_t entry_count,
                                   struct error *error)
{
    rewind(writing->file);
    if (fwrite(header, sizeof *header, 1, writing->file) != 1 ||
        fwrite(entries, sizeof *entries, entry_count, writing->file) != entry_count)
        return error_set(error, ERROR_IO, "write: %s", strerror(errno));
    return ERROR_NONE;
}

enum error_code bodies_prepare(const char *path, const struct bodies_options *options,
                               struct bodies_figures *figures_out, struct error *error)
{
    assert(options->connection_count > 0 && options->connection_count <= BODIES_CONNECTIONS_MAX);
    uint64_t per_turn = requests_per_turn(options);
    uint64_t template_count = per_turn * options->connection_count;
    size_t entry_count = template_count * options->tick_count;
    struct header header = header_of(options);
    struct writing writing = {.offset_bytes = sizeof header + entry_count * sizeof(struct entry)};
    struct bodies_figures figures = {0};
    enum error_code code = ERROR_NONE;
    struct template *templates = calloc(template_count, sizeof *templates);
    struct entry *entries = calloc(entry_count, sizeof *entries);
    if (templates == NULL || entries == NULL) {
        code = error_set(error, ERROR_OUT_OF_MEMORY, "table of requests");
        goto out;
    }
    writing.file = fopen(path, "w");
    if (writing.file == NULL || fseeko(writing.file, (off_t)writing.offset_bytes, SEEK_SET) != 0) {
        code = error_set(error, ERROR_IO, "%s: %s", path, strerror(errno));
        goto out;
    }
    code = init_templates(options, templates, per_turn, &figures, error);
    if (code == ERROR_NONE)
        code = write_bodies(&writing, options, templates, template_count, entries, &figures, error);
    header.total_bytes = writing.offset_bytes - sizeof header - entry_count * sizeof *entries;
    if (code == ERROR_NONE)
        code = write_table(&writing, &header, entries, entry_count, error);
out:
    if (writing.file != NULL && fclose(writing.file) != 0 && code == ERROR_NONE)
        code = error_set(error, ERROR_IO, "%s: %s", path, strerror(errno));
    byte_buffer_clear(&writing.raw);
    byte_buffer_clear(&writing.compressed);
    for (uint64_t i = 0; templates != NULL && i < template_count; i++)
        template_clear(&templates[i]);
    free(templates);
    free(entries);
    if (code == ERROR_NONE)
        *figures_out = figures;
    return code;
}

/* --- Reading -------------------------------------------------------------------------------- */

static enum error_code read_header(struct bodies *bodies, const char *path, struct error *error)
{
    struct header header;
    if (bodies->mapped_size < sizeof header)
        return error_set(error, ERROR_CORRUPT, "%s: too short", path);
    memcpy(&header, bodies->mapped, sizeof header);
    if (header.magic != MAGIC || header.connection_count == 0 ||
        header.connection_count > BODIES_CONNECTIONS_MAX)
        return error_set(error, ERROR_CORRUPT, "%s: not a file of requests", path);
    bodies->options = (struct bodies_options){.fleet = {.host_count = header.host_count,
                                                        .first_host = header.first_host,
                                                        .start_ms = header.start_ms},
                                              .tick_count = header.tick_count,
                                              .connection_count = (uint32_t)header.connection_count,
                                              .protocol = (enum bodies_protocol)header.protocol};
    bodies->requests_per_turn = requests_per_turn(&bodies->options);
    bodies->total_bytes = header.total_bytes;
    uint64_t entry_count = bodies->requests_per_turn * header.connection_count * header.tick_count;
    if (bodies->mapped_size !=
        sizeof header + entry_count * sizeof(struct entry) + header.total_bytes)
        return error_set(error, ERROR_CORRUPT, "%s: not as long as its header says", path);
    return ERROR_NONE;
}

enum error_code bodies_open(const char *path, struct bodies *bodies_out, struct error *error)
{
    struct bodies bodies = {0};
    struct stat status;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &status) != 0 || status.st_size == 0) {
        if (file >= 0)
            close(file);
        return error_set(error, ERROR_IO, "%s: %s", path, strerror(errno));
    }
    bodies.mapped_size = (size_t)status.st_size;
    void *mapped = mmap(NULL, bodies.mapped_size, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (mapped == MAP_FAILED)
        return error_set(error, ERROR_IO, "%s: %s", path, strerror(errno));
    bodies.mapped = mapped;
    enum error_code code = read_header(&bodies, path, error);
    if (code != ERROR_NONE) {
        bodies_close(&bodies);
        return code;
    }
    *bodies_out = bodies;
    return ERROR_NONE;
}

void bodies_close(struct bodies *bodies)
{
    if (bodies->mapped != NULL)
        munmap((void *)(uintptr_t)bodies->mapped, bodies->mapped_size);
    *bodies = (struct bodies){0};
}

struct body bodies_at(const struct bodies *bodies, uint64_t tick, uint32_t connection,
                      uint64_t request)
{
    assert(tick < bodies->options.tick_count);
    assert(connection < bodies->options.connection_count);
    assert(request < bodies->requests_per_turn);
    struct entry entry;
    size_t position =
        entry_position(&bodies->options, bodies->requests_per_turn, tick, connection, request);
    memcpy(&entry, bodies->mapped + sizeof(struct header) + position * sizeof entry, sizeof entry);
    return (struct body){.bytes = bodies->mapped + entry.offset_bytes,
                         .size = entry.size_bytes,
                         .series_count = entry.series_count};
}
