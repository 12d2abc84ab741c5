/* What is short: introductions, questions, joining, outcomes, commands, transfers. */
#include "message.h"

enum { PROTOCOL_VERSION = 1, NAMES_BYTES_MAX = META_PEERS_MAX * (CLUSTER_NAME_BYTES_MAX + 1) };

/* --- Parts --------------------------------------------------------------------------------- */

static struct bytes read_bytes(struct byte_reader *reader)
{
    struct text text = byte_reader_text(reader);
    return (struct bytes){(const uint8_t *)text.data, text.size};
}

static void write_bytes(struct byte_buffer *buffer, struct bytes bytes)
{
    byte_buffer_varint(buffer, bytes.size);
    byte_buffer_append(buffer, bytes.data, bytes.size);
}

static void read_id(struct byte_reader *reader, uint8_t id_out[CLUSTER_ID_BYTES])
{
    const uint8_t *bytes = byte_reader_take(reader, CLUSTER_ID_BYTES);
    if (bytes != NULL)
        memcpy(id_out, bytes, CLUSTER_ID_BYTES);
}

static uint32_t read_number(struct byte_reader *reader, uint32_t max)
{
    uint64_t value = byte_reader_varint(reader);
    if (value > max)
        reader->failed = true;
    return value > max ? 0 : (uint32_t)value;
}

static enum error_code finish(const struct byte_reader *reader, const char *what,
                              struct error *error)
{
    if (reader->failed || byte_reader_left(reader) > 0)
        return error_set(error, ERROR_CORRUPT, "%s: cut, or out of range", what);
    return ERROR_NONE;
}

static bool version_is_known(struct byte_reader *reader, const char *what, enum error_code *code,
                             struct error *error)
{
    uint8_t version = byte_reader_u8(reader);
    *code = ERROR_NONE;
    if (reader->failed)
        *code = error_set(error, ERROR_CORRUPT, "%s: empty", what);
    else if (version != PROTOCOL_VERSION)
        *code = error_set(error, ERROR_UNSUPPORTED, "%s: version %u", what, version);
    return *code == ERROR_NONE;
}

/* Identity and traits travel as the entry that adds such a node: one form, one set of checks. */
static void write_self(struct byte_buffer *buffer, const struct cluster_add_node *self)
{
    struct cluster_entry entry = {.kind = CLUSTER_ADD_NODE, .add_node = *self};
    struct byte_buffer bytes = {0};
    struct error error;
    if (cluster_entry_encode(&entry, &bytes, &error) != ERROR_NONE)
        buffer->failed = true;
    else
        write_bytes(buffer, (struct bytes){bytes.bytes, bytes.size});
    byte_buffer_clear(&bytes);
}

static void read_self(struct byte_reader *reader, struct cluster_add_node *self_out)
{
    struct bytes bytes = read_bytes(reader);
    struct cluster_entry entry;
    struct error error;
    /* This kind has no arrays, so no arena. */
    if (!reader->failed && bytes.size > 0 && bytes.data[0] == CLUSTER_ADD_NODE &&
        cluster_entry_decode(bytes.data, bytes.size, NULL, &entry, &error) == ERROR_NONE)
        *self_out = entry.add_node;
    else
        reader->failed = true;
}

/* --- Introductions ------------------------------------------------------------------------- */

void acquaintance_encode(struct text name, struct text address, struct byte_buffer *buffer)
{
    byte_buffer_text(buffer, name);
    byte_buffer_text(buffer, address);
}

bool acquaintance_next(struct bytes *left, struct acquaintance *acquaintance_out)
{
    struct byte_reader reader = byte_reader_over(left->data, left->size);
    struct acquaintance next = {{0}, {0}};
    struct text name = byte_reader_text(&reader);
    struct text address = byte_reader_text(&reader);
    if (reader.failed || name.size == 0 || name.size >= sizeof next.name || address.size == 0 ||
        address.size >= sizeof next.address || memchr(name.data, 0, name.size) != NULL ||
        memchr(address.data, 0, address.size) != NULL)
        return false;
    memcpy(next.name, name.data, name.size);
    memcpy(next.address, address.data, address.size);
    *left = (struct bytes){reader.position, byte_reader_left(&reader)};
    *acquaintance_out = next;
    return true;
}

static bool acquaintances_fit(struct bytes bytes)
{
    struct acquaintance acquaintance;
    while (bytes.size > 0)
        if (!acquaintance_next(&bytes, &acquaintance))
            return false;
    return true;
}

void introduction_encode(const struct introduction *introduction, struct byte_buffer *buffer)
{
    byte_buffer_u8(buffer, PROTOCOL_VERSION);
    byte_buffer_u8(buffer, (uint8_t)introduction->state);
    byte_buffer_append(buffer, introduction->cluster_id, CLUSTER_ID_BYTES);
    byte_buffer_varint(buffer, introduction->node_id);
    byte_buffer_append(buffer, introduction->candidate, CLUSTER_ID_BYTES);
    write_self(buffer, &introduction->self);
    byte_buffer_text(buffer, introduction->cluster_name);
    byte_buffer_varint(buffer, introduction->shard_count);
    byte_buffer_varint(buffer, introduction->replication);
    byte_buffer_varint(buffer, introduction->spread);
    byte_buffer_varint(buffer, introduction->version);
    byte_buffer_varint(buffer, introduction->first_group);
    byte_buffer_text(buffer, introduction->peers);
    write_bytes(buffer, introduction->founding);
    write_bytes(buffer, introduction->acquaintances);
}

enum error_code introduction_decode(const uint8_t *bytes, size_t size_bytes,
                                    struct introduction *introduction_out, struct error *error)
{
    struct byte_reader reader = byte_reader_over(bytes, size_bytes);
    struct introduction introduction = {0};
    enum error_code code;
    if (!version_is_known(&reader, "introduction", &code, error))
        return code;
    uint8_t state = byte_reader_u8(&reader);
    read_id(&reader, introduction.cluster_id);
    introduction.node_id = byte_reader_varint(&reader);
    read_id(&reader, introduction.candidate);
    read_self(&reader, &introduction.self);
    introduction.cluster_name = byte_reader_text(&reader);
    introduction.shard_count = read_number(&reader, UINT32_MAX);
    introduction.replication = read_number(&reader, UINT32_MAX);
    introduction.spread = read_number(&reader, UINT32_MAX);
    introduction.version = read_number(&reader, UINT32_MAX);
    introduction.first_group = byte_reader_varint(&reader);
    introduction.peers = byte_reader_text(&reader);
    introduction.founding = read_bytes(&reader);
    introduction.acquaintances = read_bytes(&reader);
    if (state < INTRODUCTION_EMPTY || state > INTRODUCTION_MEMBER ||
        (state == INTRODUCTION_MEMBER) != (introduction.node_id != 0) ||
        introduction.cluster_name.size > CLUSTER_NAME_BYTES_MAX ||
        !text_is_utf8(introduction.cluster_name) || introduction.peers.size > NAMES_BYTES_MAX ||
        !text_is_utf8(introduction.peers) || !acquaintances_fit(introduction.acquaintances))
        reader.failed = true;
    introduction.state = (enum introduction_state)state;
    code = finish(&reader, "introduction", error);
    if (code == ERROR_NONE)
        *introduction_out = introduction;
    return code;
}

/* --- Questions ----------------------------------------------------------------------------- */

void meta_question_encode(const struct question *question, struct byte_buffer *buffer)
{
    byte_buffer_u8(buffer, PROTOCOL_VERSION);
    byte_buffer_u8(buffer, (uint8_t)question->operation);
    byte_buffer_u8(buffer, question->hops);
    byte_buffer_append(buffer, question->body.data, question->body.size);
}

enum error_code meta_question_decode(const uint8_t *bytes, size_t size_bytes,
                                     struct question *question_out, struct error *error)
{
    struct byte_reader reader = byte_reader_over(bytes, size_bytes);
    enum error_code code;
    if (!version_is_known(&reader, "question", &code, error))
        return code;
    uint8_t operation = byte_reader_u8(&reader);
    uint8_t hops = byte_reader_u8(&reader);
    if (reader.failed)
        return error_set(error, ERROR_CORRUPT, "question: cut");
    if (operation < OPERATION_JOIN || operation >= OPERATIONS)
        return error_set(error, ERROR_UNSUPPORTED, "question: operation %u", operation);
    *question_out = (struct question){
        .operation = (enum operation)operation,
        .hops = hops,
        .body = {reader.position, byte_reader_left(&reader)},
    };
    return ERROR_NONE;
}

/* --- Joining ------------------------------------------------------------------------------- */

void join_encode(const struct join *join, struct byte_buffer *buffer)
{
    byte_buffer_varint(buffer, join->node_id);
    byte_buffer_append(buffer, join->cluster_id, CLUSTER_ID_BYTES);
    write_self(buffer, &join->self);
}

enum error_code join_decode(struct bytes body, struct join *join_out, struct error *error)
{
    struct byte_reader reader = byte_reader_over(body.data, body.size);
    struct join join = {.node_id = byte_reader_varint(&reader)};
    read_id(&reader, join.cluster_id);
    read_self(&reader, &join.self);
    enum error_code code = finish(&reader, "request to join", error);
    if (code == ERROR_NONE)
        *join_out = join;
    return code;
}

void welcome_encode(const struct welcome *welcome, struct byte_buffer *buffer)
{
    byte_buffer_append(buffer, welcome->cluster_id, CLUSTER_ID_BYTES);
    byte_buffer_varint(buffer, welcome->node_id);
    write_bytes(buffer, welcome->state);
}

enum error_code welcome_decode(struct bytes body, struct welcome *welcome_out, struct error *error)
{
    static const uint8_t NONE[CLUSTER_ID_BYTES];
    struct byte_reader reader = byte_reader_over(body.data, body.size);
    struct welcome welcome = {0};
    read_id(&reader, welcome.cluster_id);
    welcome.node_id = byte_reader_varint(&reader);
    welcome.state = read_bytes(&reader);
    if (welcome.node_id == 0 || memcmp(welcome.cluster_id, NONE, sizeof NONE) == 0)
        reader.failed = true;
    enum error_code code = finish(&reader, "answer to joining", error);
    if (code == ERROR_NONE)
        *welcome_out = welcome;
    return code;
}

/* --- Proposing ----------------------------------------------------------------------------- */

void outcome_encode(const struct cluster_outcome *outcome, struct byte_buffer *buffer)
{
    byte_buffer_u8(buffer, (uint8_t)outcome->refusal);
    byte_buffer_u8(buffer, outcome->changed);
    byte_buffer_varint(buffer, outcome->node_id);
}

enum error_code outcome_decode(struct bytes body, struct cluster_outcome *outcome_out,
                               struct error *error)
{
    struct byte_reader reader = byte_reader_over(body.data, body.size);
    uint8_t refusal = byte_reader_u8(&reader);
    uint8_t changed = byte_reader_u8(&reader);
    uint64_t node_id = byte_reader_varint(&reader);
    if (refusal > CLUSTER_REFUSED_LIMIT || changed > 1)
        reader.failed = true;
    enum error_code code = finish(&reader, "outcome", error);
    if (code == ERROR_NONE)
        *outcome_out = (struct cluster_outcome){
            .refusal = (enum cluster_refusal)refusal,
            .changed = changed == 1,
            .node_id = node_id,
        };
    return code;
}

/* --- Commands ------------------------------------------------------------------------------ */

void command_encode(const struct meta_command *command, struct byte_buffer *buffer)
{
    byte_buffer_u8(buffer, (uint8_t)command->kind);
    byte_buffer_varint(buffer, command->node_id);
    byte_buffer_text(buffer, text_of(command->node_name));
    byte_buffer_u8(buffer, (uint8_t)command->force);
    byte_buffer_varint(buffer, command->kind == META_SPLIT_SHARD ? command->shard_count
                                                                 : command->replication);
    byte_buffer_varint(buffer, command->shard_id);
}

enum error_code command_decode(struct bytes body, struct meta_command *command_out,
                               struct error *error)
{
    struct byte_reader reader = byte_reader_over(body.data, body.size);
    struct meta_command command = {0};
    uint8_t kind = byte_reader_u8(&reader);
    command.node_id = byte_reader_varint(&reader);
    struct text name = byte_reader_text(&reader);
    uint8_t force = byte_reader_u8(&reader);
    uint32_t *number = kind == META_SPLIT_SHARD ? &command.shard_count : &command.replication;
    *number = read_number(&reader, UINT32_MAX);
    command.shard_id = read_number(&reader, UINT32_MAX);
    if (kind < META_DRAIN_NODE || kind > META_RAISE_VERSION || force > META_FORCED ||
        name.size > CLUSTER_NAME_BYTES_MAX || !text_is_utf8(name) ||
        (name.size > 0 && memchr(name.data, 0, name.size) != NULL))
        reader.failed = true;
    enum error_code code = finish(&reader, "command", error);
    if (code != ERROR_NONE)
        return code;
    command.kind = (enum meta_command_kind)kind;
    command.force = (enum meta_force)force;
    if (name.size > 0)
        memcpy(command.node_name, name.data, name.size);
    *command_out = command;
    return ERROR_NONE;
}

/* --- Transfers ----------------------------------------------------------------------------- */

void transfer_encode(const struct transfer *transfer, uint8_t bytes[TRANSFER_BYTES])
{
    bytes[0] = PROTOCOL_VERSION;
    store_u32(bytes + 1, transfer->shard_id);
    store_u64(bytes + 5, transfer->to_node);
}

enum error_code transfer_decode(const uint8_t *bytes, size_t size_bytes,
                                struct transfer *transfer_out, struct error *error)
{
    if (size_bytes == 0)
        return error_set(error, ERROR_CORRUPT, "transfer: empty");
    if (bytes[0] != PROTOCOL_VERSION)
        return error_set(error, ERROR_UNSUPPORTED, "transfer: version %u", bytes[0]);
    if (size_bytes != TRANSFER_BYTES || load_u32(bytes + 1) >= CLUSTER_SHARDS_MAX ||
        load_u64(bytes + 5) == 0)
        return error_set(error, ERROR_CORRUPT, "transfer: cut, or out of range");
    *transfer_out = (struct transfer){load_u32(bytes + 1), load_u64(bytes + 5)};
    return ERROR_NONE;
}
