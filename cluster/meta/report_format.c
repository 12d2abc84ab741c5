/* What is long: reports, their answers, observations. */
#include "message.h"

enum {
    SHARD_REPORT_BYTES_MIN = 5,
    OBSERVED_NODE_BYTES_MIN = 7,
    OBSERVED_SHARD_BYTES_MIN = 5,
    /* What is told of a node's clock or of the past is within this, so that sums stay in range. */
    TIME_MS_MAX = INT32_MAX,
};

#define CLOCK_MS_MAX (INT64_C(1) << 53)

/* --- Parts --------------------------------------------------------------------------------- */

static uint32_t read_number(struct byte_reader *reader, uint32_t max)
{
    uint64_t value = byte_reader_varint(reader);
    if (value > max)
        reader->failed = true;
    return value > max ? 0 : (uint32_t)value;
}

static int64_t read_clock(struct byte_reader *reader)
{
    int64_t value = byte_reader_zigzag(reader);
    if (value > CLOCK_MS_MAX || value < -CLOCK_MS_MAX) {
        reader->failed = true;
        return 0;
    }
    return value;
}

/* An array of as many things as a count says, of so many bytes at least; NULL: no memory, or the
 * reader failed. */
static void *read_array(struct byte_reader *reader, struct arena *arena, size_t max,
                        size_t wire_bytes, size_t element_bytes, size_t *count_out, bool *memory)
{
    uint64_t count = byte_reader_varint(reader);
    *count_out = 0;
    if (count > max || count > byte_reader_left(reader) / wire_bytes)
        reader->failed = true;
    if (reader->failed)
        return NULL;
    void *elements = arena_array(arena, (size_t)count, element_bytes);
    if (elements == NULL)
        *memory = false;
    else
        *count_out = (size_t)count;
    return elements;
}

static enum error_code finish(const struct byte_reader *reader, bool memory, const char *what,
                              struct error *error)
{
    if (!memory)
        return error_set(error, ERROR_OUT_OF_MEMORY, "%s", what);
    if (reader->failed || byte_reader_left(reader) > 0)
        return error_set(error, ERROR_CORRUPT, "%s: cut, or out of range", what);
    return ERROR_NONE;
}

static void write_members(struct byte_buffer *buffer, const struct placement_member *members,
                          size_t count)
{
    byte_buffer_varint(buffer, count);
    for (size_t i = 0; i < count; i++) {
        byte_buffer_varint(buffer, members[i].node_id);
        byte_buffer_u8(buffer, (uint8_t)members[i].role);
        byte_buffer_varint(buffer, members[i].bytes_behind);
    }
}

static size_t read_members(struct byte_reader *reader,
                           struct placement_member members[PLACEMENT_MEMBERS_MAX])
{
    uint32_t count = read_number(reader, PLACEMENT_MEMBERS_MAX);
    for (uint32_t i = 0; i < count && !reader->failed; i++) {
        members[i].node_id = byte_reader_varint(reader);
        uint8_t role = byte_reader_u8(reader);
        members[i].bytes_behind = byte_reader_varint(reader);
        if (role > PLACEMENT_SPARE || members[i].node_id == 0)
            reader->failed = true;
        else
            members[i].role = (enum placement_role)role;
    }
    return count;
}

/* --- Reports ------------------------------------------------------------------------------- */

enum { REPORT_SLOW_DISK = 1, REPORT_STOPPING = 2, REPORT_FLAGS = 3 };

void report_encode(const struct report *report, struct byte_buffer *buffer)
{
    const struct meta_report *contents = &report->contents;
    byte_buffer_varint(buffer, report->node_id);
    byte_buffer_append(buffer, report->directory_id, CLUSTER_DIRECTORY_ID_BYTES);
    byte_buffer_zigzag(buffer, report->clock_ms);
    byte_buffer_varint(buffer, report->state_index);
    byte_buffer_u8(buffer, (uint8_t)((contents->slow_disk ? REPORT_SLOW_DISK : 0) |
                                     (contents->stopping ? REPORT_STOPPING : 0)));
    byte_buffer_varint(buffer, contents->shard_count);
    for (size_t i = 0; i < contents->shard_count; i++) {
        const struct meta_shard_report *shard = &contents->shards[i];
        uint64_t leading_ms = shard->leading_ms > TIME_MS_MAX ? TIME_MS_MAX : shard->leading_ms;
        byte_buffer_varint(buffer, shard->shard_id);
        byte_buffer_varint(buffer, leading_ms);
        byte_buffer_u8(buffer, shard->transferring);
        byte_buffer_varint(buffer, shard->size_bytes);
        write_members(buffer, shard->members, shard->member_count);
    }
}

static void read_shard_report(struct byte_reader *reader, struct meta_shard_report *shard)
{
    shard->shard_id = read_number(reader, CLUSTER_SHARDS_MAX - 1);
    shard->leading_ms = read_number(reader, TIME_MS_MAX);
    uint8_t transferring = byte_reader_u8(reader);
    shard->transferring = transferring == 1;
    shard->size_bytes = byte_reader_varint(reader);
    shard->member_count = read_members(reader, shard->members);
    if (transferring > 1)
        reader->failed = true;
}

enum error_code report_decode(struct bytes body, struct arena *arena, struct report *report_out,
                              struct error *error)
{
    struct byte_reader reader = byte_reader_over(body.data, body.size);
    struct report report = {.node_id = byte_reader_varint(&reader)};
    bool memory = true;
    const uint8_t *directory_id = byte_reader_take(&reader, CLUSTER_DIRECTORY_ID_BYTES);
    if (directory_id != NULL)
        memcpy(report.directory_id, directory_id, CLUSTER_DIRECTORY_ID_BYTES);
    report.clock_ms = read_clock(&reader);
    report.state_index = byte_reader_varint(&reader);
    uint8_t flags = byte_reader_u8(&reader);
    report.contents.slow_disk = (flags & REPORT_SLOW_DISK) != 0;
    report.contents.stopping = (flags & REPORT_STOPPING) != 0;
    if (report.node_id == 0 || flags > REPORT_FLAGS)
        reader.failed = true;
    struct meta_shard_report *shards =
        read_array(&reader, arena, CLUSTER_SHARDS_MAX, SHARD_REPORT_BYTES_MIN, sizeof *shards,
                   &report.contents.shard_count, &memory);
    for (size_t i = 0; i < report.contents.shard_count && !reader.failed; i++)
        read_shard_report(&reader, &shards[i]);
    report.contents.shards = shards;
    enum error_code code = finish(&reader, memory, "report", error);
    if (code == ERROR_NONE)
        *report_out = report;
    return code;
}

/* --- Answers to reports -------------------------------------------------------------------- */

static void write_ids(struct byte_buffer *buffer, const uint64_t *ids, size_t count)
{
    byte_buffer_varint(buffer, count);
    for (size_t i = 0; i < count; i++)
        byte_buffer_varint(buffer, ids[i]);
}

static uint64_t *read_ids(struct byte_reader *reader, struct arena *arena, size_t max,
                          size_t *count_out, bool *memory)
{
    uint64_t *ids = read_array(reader, arena, max, 1, sizeof *ids, count_out, memory);
    for (size_t i = 0; i < *count_out; i++)
        ids[i] = byte_reader_varint(reader);
    return ids;
}

void report_answer_encode(const struct report_answer *answer, struct byte_buffer *buffer)
{
    byte_buffer_u8(buffer, answer->is_dismissed);
    byte_buffer_varint(buffer, answer->state_index);
    byte_buffer_varint(buffer, answer->view.leader);
    byte_buffer_zigzag(buffer, answer->view.agreed_ms);
    write_ids(buffer, answer->view.shard_leaders, answer->view.shard_count);
    write_ids(buffer, answer->view.alive, answer->view.alive_count);
}

enum error_code report_answer_decode(struct bytes body, struct arena *arena,
                                     struct report_answer *answer_out, struct error *error)
{
    struct byte_reader reader = byte_reader_over(body.data, body.size);
    struct report_answer answer = {0};
    struct meta_view *view = &answer.view;
    bool memory = true;
    uint8_t is_dismissed = byte_reader_u8(&reader);
    answer.is_dismissed = is_dismissed == 1;
    answer.state_index = byte_reader_varint(&reader);
    view->leader = byte_reader_varint(&reader);
    view->agreed_ms = read_clock(&reader);
    view->shard_leaders = read_ids(&reader, arena, CLUSTER_SHARDS_MAX, &view->shard_count, &memory);
    view->alive = read_ids(&reader, arena, CLUSTER_NODES_MAX, &view->alive_count, &memory);
    for (size_t i = 1; i < view->alive_count; i++)
        if (view->alive[i] <= view->alive[i - 1])
            reader.failed = true;
    if (is_dismissed > 1)
        reader.failed = true;
    enum error_code code = finish(&reader, memory, "answer to a report", error);
    if (code == ERROR_NONE)
        *answer_out = answer;
    return code;
}

/* --- Observation --------------------------------------------------------------------------- */

enum { NODE_ALIVE = 1, NODE_SLOW_DISK = 2, NODE_STOPPING = 4, NODE_MEMBER = 8, NODE_FLAGS = 15 };

static void write_node(struct byte_buffer *buffer, const struct placement_node_view *view,
                       const struct meta_observed_node *node)
{
    uint64_t heard_ms_ago = node->heard_ms_ago > TIME_MS_MAX ? 0 : node->heard_ms_ago + 1;
    byte_buffer_varint(buffer, view->node_id);
    byte_buffer_u8(
        buffer,
        (uint8_t)((view->alive ? NODE_ALIVE : 0) | (view->slow_disk ? NODE_SLOW_DISK : 0) |
                  (node->stopping ? NODE_STOPPING : 0) | (node->is_member ? NODE_MEMBER : 0)));
    byte_buffer_u8(buffer, (uint8_t)node->role);
    byte_buffer_zigzag(buffer, view->dead_since_ms);
    byte_buffer_varint(buffer, heard_ms_ago); /* 0: never */
    byte_buffer_zigzag(buffer, node->clock_ahead_ms);
    byte_buffer_varint(buffer, node->state_index);
}

static void read_node(struct byte_reader *reader, struct placement_node_view *view,
                      struct meta_observed_node *node)
{
    view->node_id = byte_reader_varint(reader);
    uint8_t flags = byte_reader_u8(reader);
    uint8_t role = byte_reader_u8(reader);
    view->alive = (flags & NODE_ALIVE) != 0;
    view->slow_disk = (flags & NODE_SLOW_DISK) != 0;
    node->stopping = (flags & NODE_STOPPING) != 0;
    node->is_member = (flags & NODE_MEMBER) != 0;
    if (flags > NODE_FLAGS || role > PLACEMENT_SPARE)
        reader->failed = true;
    else
        node->role = (enum placement_role)role;
    view->dead_since_ms = read_clock(reader);
    uint64_t heard_ms_ago = byte_reader_varint(reader);
    node->heard_ms_ago = heard_ms_ago == 0 ? UINT64_MAX : heard_ms_ago - 1;
    node->clock_ahead_ms = read_clock(reader);
    node->state_index = byte_reader_varint(reader);
}

static void write_shard(struct byte_buffer *buffer, const struct placement_shard_view *shard)
{
    byte_buffer_varint(buffer, shard->leader);
    byte_buffer_zigzag(buffer, shard->leader_since_ms);
    byte_buffer_u8(buffer, shard->transferring);
    byte_buffer_varint(buffer, shard->size_bytes);
    write_members(buffer, shard->members, shard->member_count);
}

static void read_shard(struct byte_reader *reader, struct placement_shard_view *shard)
{
    shard->leader = byte_reader_varint(reader);
    shard->leader_since_ms = read_clock(reader);
    uint8_t transferring = byte_reader_u8(reader);
    shard->transferring = transferring == 1;
    shard->size_bytes = byte_reader_varint(reader);
    shard->member_count = read_members(reader, shard->members);
    if (transferring > 1)
        reader->failed = true;
}

void observation_encode(const struct meta_observation *observation, struct bytes state,
                        struct byte_buffer *buffer)
{
    const struct placement_observation *placement = &observation->placement;
    byte_buffer_varint(buffer, observation->leader);
    byte_buffer_zigzag(buffer, observation->agreed_ms);
    byte_buffer_zigzag(buffer, placement->now_ms);
    byte_buffer_varint(buffer, placement->node_count);
    for (size_t i = 0; i < placement->node_count; i++)
        write_node(buffer, &placement->nodes[i], &observation->nodes[i]);
    byte_buffer_varint(buffer, placement->shard_count);
    for (size_t i = 0; i < placement->shard_count; i++)
        write_shard(buffer, &placement->shards[i]);
    byte_buffer_varint(buffer, state.size);
    byte_buffer_append(buffer, state.data, state.size);
}

enum error_code observation_decode(struct bytes body, struct arena *arena,
                                   struct meta_observation *observation_out,
                                   struct bytes *state_out, struct error *error)
{
    struct byte_reader reader = byte_reader_over(body.data, body.size);
    struct meta_observation observation = {0};
    struct placement_observation *placement = &observation.placement;
    bool memory = true;
    observation.leader = byte_reader_varint(&reader);
    observation.agreed_ms = read_clock(&reader);
    placement->now_ms = read_clock(&reader);
    struct placement_node_view *views =
        read_array(&reader, arena, CLUSTER_NODES_MAX, OBSERVED_NODE_BYTES_MIN, sizeof *views,
                   &placement->node_count, &memory);
    struct meta_observed_node *nodes = arena_array(arena, placement->node_count, sizeof *nodes);
    if (nodes == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "observation");
    for (size_t i = 0; i < placement->node_count && !reader.failed; i++) {
        read_node(&reader, &views[i], &nodes[i]);
        if (i > 0 && views[i].node_id <= views[i - 1].node_id)
            reader.failed = true;
    }
    struct placement_shard_view *shards =
        read_array(&reader, arena, CLUSTER_SHARDS_MAX, OBSERVED_SHARD_BYTES_MIN, sizeof *shards,
                   &placement->shard_count, &memory);
    for (size_t i = 0; i < placement->shard_count && !reader.failed; i++)
        read_shard(&reader, &shards[i]);
    struct text state = byte_reader_text(&reader);
    enum error_code code = finish(&reader, memory, "observation", error);
    if (code != ERROR_NONE)
        return code;
    placement->nodes = views;
    placement->shards = shards;
    observation.nodes = nodes;
    *observation_out = observation;
    *state_out = (struct bytes){(const uint8_t *)state.data, state.size};
    return ERROR_NONE;
}
