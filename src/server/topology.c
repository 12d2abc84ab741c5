#include "topology.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/checksum.h"

#include "stored_file.h"

enum { PATH_BYTES_MAX = 4096, LINE_BYTES_MAX = 64, SHARDS_MAX = 4096 };

void topology_init(struct topology *topology, uint32_t shard_count, uint32_t spread)
{
    topology->spread = spread;
    topology->is_new = false;
    slot_map_init(&topology->slots, shard_count);
}

/* --- Content ---------------------------------------------------------------------------------- */

static bool is_even(const struct slot_map *slots)
{
    struct slot_map even;
    slot_map_init(&even, slots->shard_count);
    return memcmp(even.shards, slots->shards, sizeof even.shards) == 0;
}

static void append_slots(const struct slot_map *slots, struct byte_buffer *content)
{
    char line[LINE_BYTES_MAX];
    for (uint32_t first = 0, behind; first < SLOT_COUNT; first = behind) {
        behind = first + 1;
        while (behind < SLOT_COUNT && slots->shards[behind] == slots->shards[first])
            behind++;
        int size =
            snprintf(line, sizeof line, "slots %u %u\n", behind - first, slots->shards[first]);
        byte_buffer_append(content, line, (size_t)size);
    }
}

/* The whole file; its last line is the checksum of those before. */
static void format_content(const struct topology *topology, struct byte_buffer *content)
{
    char line[LINE_BYTES_MAX];
    int size = snprintf(line, sizeof line, "shards %u\nspread %u\n", topology->slots.shard_count,
                        topology->spread);
    byte_buffer_append(content, line, (size_t)size);
    if (!is_even(&topology->slots))
        append_slots(&topology->slots, content);
    size = snprintf(line, sizeof line, "checksum %08x\n", crc32c(0, content->bytes, content->size));
    byte_buffer_append(content, line, (size_t)size);
}

/* The lines of slots, of which there are none or all; false: not as they are written. */
static bool parse_slots(const char *lines, struct slot_map *slots)
{
    uint32_t covered = 0, count, shard;
    int size;
    while (sscanf(lines, "slots %u %u\n%n", &count, &shard, &size) == 2) {
        if (count == 0 || count > SLOT_COUNT - covered || shard >= slots->shard_count)
            return false;
        for (uint32_t i = 0; i < count; i++)
            slots->shards[covered++] = (uint16_t)shard;
        lines += size;
    }
    return covered == 0 || covered == SLOT_COUNT;
}

static bool parse_lines(const char *content, struct topology *topology)
{
    uint32_t shards, spread;
    int size;
    if (sscanf(content, "shards %u\nspread %u\n%n", &shards, &spread, &size) != 2 || shards == 0 ||
        shards > SHARDS_MAX || spread == 0)
        return false;
    topology_init(topology, shards, spread);
    return parse_slots(content + size, &topology->slots);
}

/* Only what would be written is taken. `content` ends with a NUL. */
static enum error_code parse_content(const char *path, const struct byte_buffer *content,
                                     struct topology *topology_out, struct error *error)
{
    struct topology topology;
    struct byte_buffer expected = {0};
    bool is_sound = parse_lines((const char *)content->bytes, &topology);
    if (is_sound) {
        format_content(&topology, &expected);
        byte_buffer_u8(&expected, 0);
        is_sound = !expected.failed && expected.size == content->size &&
                   memcmp(expected.bytes, content->bytes, content->size) == 0;
    }
    bool failed = expected.failed;
    byte_buffer_clear(&expected);
    if (failed)
        return error_set(error, ERROR_OUT_OF_MEMORY, "'%s'", path);
    if (is_sound) {
        *topology_out = topology;
        return ERROR_NONE;
    }
    return error_set(error, ERROR_CORRUPT,
                     "'%s' is not as it was written: restore it from a copy of the data directory",
                     path);
}

/* --- Files ------------------------------------------------------------------------------------ */

/* Whether anything was stored: the file was there then, and what it said is not known. */
static bool holds_data(const char *directory)
{
    char path[PATH_BYTES_MAX];
    snprintf(path, sizeof path, "%s/journal", directory);
    return access(path, F_OK) == 0;
}

/* --- Public ----------------------------------------------------------------------------------- */

enum error_code topology_open(const char *directory, const struct topology *wanted,
                              struct topology *topology_out, struct error *error)
{
    char path[PATH_BYTES_MAX];
    if ((size_t)snprintf(path, sizeof path, "%s/topology", directory) >= sizeof path)
        return error_set(error, ERROR_INVALID, "the path of the data directory is too long");
    struct byte_buffer content = {0};
    enum error_code code = stored_file_read(directory, "topology", &content, error);
    byte_buffer_u8(&content, 0); /* for sscanf */
    if (code == ERROR_NONE && content.failed)
        code = error_set(error, ERROR_OUT_OF_MEMORY, "'%s'", path);
    if (code == ERROR_NONE)
        code = parse_content(path, &content, topology_out, error);
    byte_buffer_clear(&content);
    if (code != ERROR_NOT_FOUND)
        return code;
    error_clear(error); /* some look at it, whatever is returned */
    if (holds_data(directory))
        return error_set(error, ERROR_CORRUPT,
                         "'%s' is missing, which says how the data is divided: restore it from a "
                         "copy of the data directory",
                         path);
    struct byte_buffer first = {0};
    format_content(wanted, &first);
    code = first.failed ? error_set(error, ERROR_OUT_OF_MEMORY, "'%s'", path)
                        : stored_file_write(directory, "topology", first.bytes, first.size, error);
    byte_buffer_clear(&first);
    if (code != ERROR_NONE)
        return code;
    if (topology_out != wanted)
        *topology_out = *wanted;
    topology_out->is_new = true;
    return ERROR_NONE;
}
