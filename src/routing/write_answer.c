/* Small questions, and all answers. */
#include <string.h>

#include "model/tenant.h"

#include "write_codec.h"

enum { VERSION = 1 };

/* --- Small questions ------------------------------------------------------------------------- */

enum { SMALL_HEAD_BYTES = 8 };

static void store_small_head(uint8_t *at, uint8_t detail, uint16_t splits, uint32_t shard_id)
{
    at[0] = VERSION;
    at[1] = detail;
    store_u16(at + 2, splits);
    store_u32(at + 4, shard_id);
}

static enum error_code load_small_head(const uint8_t *bytes, size_t size, uint8_t detail_max,
                                       uint16_t *splits_out, uint32_t *shard_id_out,
                                       struct error *error)
{
    if (size < SMALL_HEAD_BYTES)
        return error_set(error, ERROR_CORRUPT, "question: cut head");
    if (bytes[0] != VERSION || bytes[1] > detail_max)
        return error_set(error, ERROR_UNSUPPORTED, "question: version %u detail %u are not known",
                         bytes[0], bytes[1]);
    *splits_out = load_u16(bytes + 2);
    *shard_id_out = load_u32(bytes + 4);
    return ERROR_NONE;
}

struct shared_bytes *propose_question_encode(uint32_t shard_id, uint32_t splits,
                                             const struct byte_buffer *entry)
{
    struct shared_bytes *bytes = shared_bytes_create(SMALL_HEAD_BYTES + entry->size);
    if (bytes == NULL)
        return NULL;
    store_small_head(bytes->bytes, 0, (uint16_t)splits, shard_id);
    if (entry->size > 0)
        memcpy(bytes->bytes + SMALL_HEAD_BYTES, entry->bytes, entry->size);
    return bytes;
}

struct shared_bytes *flush_question_encode(uint32_t shard_id, enum flush_reach reach)
{
    struct shared_bytes *bytes = shared_bytes_create(SMALL_HEAD_BYTES);
    if (bytes != NULL)
        store_small_head(bytes->bytes, (uint8_t)reach, 0, shard_id);
    return bytes;
}

enum error_code propose_question_decode(const uint8_t *bytes, size_t size, uint32_t *shard_id_out,
                                        uint32_t *splits_out, struct text *entry_out,
                                        struct error *error)
{
    uint16_t splits = 0;
    enum error_code code = load_small_head(bytes, size, 0, &splits, shard_id_out, error);
    *splits_out = splits;
    if (code == ERROR_NONE)
        *entry_out = (struct text){(const char *)bytes + SMALL_HEAD_BYTES, size - SMALL_HEAD_BYTES};
    return code;
}

enum error_code flush_question_decode(const uint8_t *bytes, size_t size, uint32_t *shard_id_out,
                                      enum flush_reach *reach_out, struct error *error)
{
    if (size > SMALL_HEAD_BYTES)
        return error_set(error, ERROR_CORRUPT, "flush: stray bytes");
    uint16_t splits = 0;
    enum error_code code =
        load_small_head(bytes, size, FLUSH_DELETED, &splits, shard_id_out, error);
    if (code == ERROR_NONE && splits != 0)
        code = error_set(error, ERROR_CORRUPT, "question: head");
    if (code == ERROR_NONE)
        *reach_out = (enum flush_reach)bytes[1];
    return code;
}

struct shared_bytes *tenant_question_encode(uint32_t shard_id, struct text tenant)
{
    struct shared_bytes *bytes = shared_bytes_create(SMALL_HEAD_BYTES + tenant.size);
    if (bytes == NULL)
        return NULL;
    store_small_head(bytes->bytes, 0, 0, shard_id);
    if (tenant.size > 0)
        memcpy(bytes->bytes + SMALL_HEAD_BYTES, tenant.data, tenant.size);
    return bytes;
}

enum error_code tenant_question_decode(const uint8_t *bytes, size_t size, uint32_t *shard_id_out,
                                       struct text *tenant_out, struct error *error)
{
    uint16_t splits = 0;
    enum error_code code = load_small_head(bytes, size, 0, &splits, shard_id_out, error);
    if (code != ERROR_NONE)
        return code;
    struct text tenant = {(const char *)bytes + SMALL_HEAD_BYTES, size - SMALL_HEAD_BYTES};
    if (splits != 0)
        return error_set(error, ERROR_CORRUPT, "question: head");
    if (!tenant_id_is_valid(tenant))
        return error_set(error, ERROR_INVALID, "question: no name of a tenant");
    *tenant_out = tenant;
    return ERROR_NONE;
}

/* --- Tenants --------------------------------------------------------------------------------- */

static void store_answer_head(uint8_t *at, const struct answer_head *head);

enum { CAN_BE_DELETED = 1, IS_BEING_DELETED = 2 };

struct shared_bytes *tenant_answer_encode(const struct shard_tenant_state *state)
{
    struct shared_bytes *bytes = shared_bytes_create(TENANT_ANSWER_BYTES);
    if (bytes == NULL)
        return NULL;
    const uint64_t numbers[] = {(state->can_be_deleted ? CAN_BE_DELETED : 0) |
                                    (state->is_being_deleted ? IS_BEING_DELETED : 0),
                                state->files_left,
                                state->bytes_left,
                                state->objects_left,
                                state->object_bytes_left,
                                state->blocks};
    _Static_assert(sizeof numbers == TENANT_ANSWER_BYTES - ANSWER_HEAD_BYTES, "all of them");
    store_answer_head(bytes->bytes, &(struct answer_head){.kind = ANSWER_DONE});
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        store_u64(bytes->bytes + ANSWER_HEAD_BYTES + 8 * i, numbers[i]);
    return bytes;
}

enum error_code tenant_answer_decode(const uint8_t *bytes, size_t size,
                                     struct shard_tenant_state *state_out, struct error *error)
{
    if (size != TENANT_ANSWER_BYTES)
        return error_set(error, ERROR_CORRUPT, "answer: %zu bytes about a tenant", size);
    const uint8_t *at = bytes + ANSWER_HEAD_BYTES;
    uint64_t flags = load_u64(at);
    if (flags > (CAN_BE_DELETED | IS_BEING_DELETED))
        return error_set(error, ERROR_CORRUPT, "answer: flags of a tenant");
    *state_out = (struct shard_tenant_state){
        .can_be_deleted = (flags & CAN_BE_DELETED) != 0,
        .is_being_deleted = (flags & IS_BEING_DELETED) != 0,
        .files_left = load_u64(at + 8),
        .bytes_left = load_u64(at + 16),
        .objects_left = load_u64(at + 24),
        .object_bytes_left = load_u64(at + 32),
        .blocks = load_u64(at + 40),
    };
    return ERROR_NONE;
}

/* --- Heads of answers ------------------------------------------------------------------------ */

static void store_answer_head(uint8_t *at, const struct answer_head *head)
{
    memset(at, 0, ANSWER_HEAD_BYTES);
    at[0] = VERSION;
    at[1] = (uint8_t)head->kind;
    store_u64(at + 8, head->kind == ANSWER_DONE    ? head->index
                      : head->kind == ANSWER_MOVED ? head->splits
                                                   : head->leader_id);
}

struct shared_bytes *answer_encode(const struct answer_head *head)
{
    struct shared_bytes *bytes = shared_bytes_create(ANSWER_HEAD_BYTES);
    if (bytes != NULL)
        store_answer_head(bytes->bytes, head);
    return bytes;
}

enum error_code answer_head_decode(const uint8_t *bytes, size_t size, struct answer_head *head_out,
                                   struct error *error)
{
    if (size < ANSWER_HEAD_BYTES)
        return error_set(error, ERROR_CORRUPT, "answer: cut head");
    if (bytes[0] != VERSION || bytes[1] < ANSWER_DONE || bytes[1] > ANSWER_MOVED)
        return error_set(error, ERROR_UNSUPPORTED, "answer: version %u kind %u are not known",
                         bytes[0], bytes[1]);
    if (load_u16(bytes + 2) != 0 || load_u32(bytes + 4) != 0 ||
        (bytes[1] != ANSWER_DONE && size > ANSWER_HEAD_BYTES))
        return error_set(error, ERROR_CORRUPT, "answer: head");
    uint64_t number = load_u64(bytes + 8);
    if (bytes[1] == ANSWER_MOVED && (number == 0 || number >= SLOT_COUNT))
        return error_set(error, ERROR_CORRUPT, "answer: a shard that was split %llu times",
                         (unsigned long long)number);
    *head_out = (struct answer_head){.kind = (enum answer_kind)bytes[1]};
    if (head_out->kind == ANSWER_DONE)
        head_out->index = number;
    else if (head_out->kind == ANSWER_MOVED)
        head_out->splits = number;
    else
        head_out->leader_id = number;
    return ERROR_NONE;
}

/* --- Outcomes of writes ---------------------------------------------------------------------- */

enum {
    OUTCOME_FLOATS = ANSWER_HEAD_BYTES,
    OUTCOME_HISTOGRAMS = OUTCOME_FLOATS + 4,
    OUTCOME_EXEMPLARS = OUTCOME_HISTOGRAMS + 4,
    OUTCOME_REFUSED = OUTCOME_EXEMPLARS + 4,
    OUTCOME_REFUSALS = OUTCOME_REFUSED + 4 * SHARD_REFUSAL_REASONS,
    OUTCOME_STALE = OUTCOME_REFUSALS + 4,
    OUTCOME_SERIES = OUTCOME_STALE + 4,
    OUTCOME_BYTES = OUTCOME_SERIES + 4,
    REFUSAL_BYTES = 16,
};

_Static_assert(SHARD_REFUSAL_REASONS == 4, "docs/protocols/write.md");

/* Ids are below; all bits: the series has none. */
#define SERIES_CREATED (UINT64_C(1) << 63)

struct shared_bytes *write_answer_encode(uint64_t index, const struct shard_write *write)
{
    size_t size = OUTCOME_BYTES + write->refusal_count * REFUSAL_BYTES +
                  write->stale_count * sizeof(uint32_t) +
                  write->new_series_count * sizeof(uint64_t);
    struct shared_bytes *bytes = shared_bytes_create(size);
    if (bytes == NULL)
        return NULL;
    uint8_t *head = bytes->bytes, *at = head + OUTCOME_BYTES;
    store_answer_head(head, &(struct answer_head){.kind = ANSWER_DONE, .index = index});
    store_u32(head + OUTCOME_FLOATS, (uint32_t)write->floats_written);
    store_u32(head + OUTCOME_HISTOGRAMS, (uint32_t)write->histograms_written);
    store_u32(head + OUTCOME_EXEMPLARS, (uint32_t)write->exemplars_written);
    for (size_t i = 0; i < SHARD_REFUSAL_REASONS; i++)
        store_u32(head + OUTCOME_REFUSED + 4 * i, (uint32_t)write->refused_counts[i]);
    store_u32(head + OUTCOME_REFUSALS, (uint32_t)write->refusal_count);
    store_u32(head + OUTCOME_STALE, (uint32_t)write->stale_count);
    store_u32(head + OUTCOME_SERIES, (uint32_t)write->new_series_count);
    for (size_t i = 0; i < write->refusal_count; i++, at += REFUSAL_BYTES) {
        store_u32(at, write->refusals[i].reason);
        store_u32(at + 4, write->refusals[i].origin);
        store_u64(at + 8, (uint64_t)write->refusals[i].timestamp_ms);
    }
    for (size_t i = 0; i < write->stale_count; i++, at += sizeof(uint32_t))
        store_u32(at, write->stale_origins[i]);
    for (size_t i = 0; i < write->new_series_count; i++, at += sizeof(uint64_t)) {
        const struct shard_new_series *series = &write->new_series[i];
        store_u64(at, series->id | (series->created ? SERIES_CREATED : 0));
    }
    return bytes;
}

size_t write_answer_bytes_max(const struct shard_write *write)
{
    return OUTCOME_BYTES + (size_t)SHARD_REFUSALS_KEPT * REFUSAL_BYTES +
           (write->float_count + write->histogram_count) * sizeof(uint32_t) +
           write->new_series_count * sizeof(uint64_t);
}

/* The receiver's number of the series of a sample, by the sample's position. */
static uint32_t origin_of(const struct shard_write *write, uint32_t position)
{
    return position < write->float_count ? write->origins[position]
                                         : write->histogram_origins[position - write->float_count];
}

/* Whether counts fit to what was asked. */
static enum error_code check_counts(const struct shard_write *outcome,
                                    const struct shard_write *write, size_t size,
                                    size_t series_count, struct error *error)
{
    size_t samples = write->float_count + write->histogram_count;
    size_t refused = 0;
    for (size_t i = 0; i < SHARD_REFUSAL_REASONS; i++)
        refused += outcome->refused_counts[i];
    if (outcome->floats_written > write->float_count ||
        outcome->histograms_written > write->histogram_count ||
        outcome->exemplars_written > write->exemplar_count ||
        refused + outcome->stale_count + outcome->floats_written + outcome->histograms_written >
            samples ||
        outcome->refusal_count > SHARD_REFUSALS_KEPT || outcome->refusal_count > refused ||
        series_count != write->new_series_count ||
        size != OUTCOME_BYTES + outcome->refusal_count * REFUSAL_BYTES +
                    outcome->stale_count * sizeof(uint32_t) + series_count * sizeof(uint64_t))
        return error_set(error, ERROR_CORRUPT, "answer: counts do not fit the write");
    return ERROR_NONE;
}

static enum error_code decode_refusals(const uint8_t *at, const struct shard_write *write,
                                       struct shard_write *outcome, struct error *error)
{
    size_t samples = write->float_count + write->histogram_count;
    for (size_t i = 0; i < outcome->refusal_count; i++, at += REFUSAL_BYTES) {
        uint32_t reason = load_u32(at), position = load_u32(at + 4);
        if (reason >= SHARD_REFUSAL_REASONS || position >= samples)
            return error_set(error, ERROR_CORRUPT, "answer: refusal %zu", i);
        outcome->refusals[i] =
            (struct shard_refusal){(enum shard_refusal_reason)reason, origin_of(write, position),
                                   (int64_t)load_u64(at + 8)};
    }
    for (size_t i = 0; i < outcome->stale_count; i++, at += sizeof(uint32_t))
        if (load_u32(at) >= samples)
            return error_set(error, ERROR_CORRUPT, "answer: stale sample %zu", i);
    return ERROR_NONE;
}

static void take_series(const uint8_t *at, struct shard_write *write)
{
    for (size_t i = 0; i < write->new_series_count; i++, at += sizeof(uint64_t)) {
        uint64_t id = load_u64(at);
        bool is_known = id != SHARD_ID_UNKNOWN;
        write->new_series[i].created = is_known && (id & SERIES_CREATED) != 0;
        write->new_series[i].id = is_known ? id & ~SERIES_CREATED : SHARD_ID_UNKNOWN;
    }
}

enum error_code write_answer_decode(const uint8_t *bytes, size_t size, struct shard_write *write,
                                    struct error *error)
{
    struct shard_write outcome = *write;
    if (size < OUTCOME_BYTES)
        return error_set(error, ERROR_CORRUPT, "answer: cut outcome");
    outcome.floats_written = load_u32(bytes + OUTCOME_FLOATS);
    outcome.histograms_written = load_u32(bytes + OUTCOME_HISTOGRAMS);
    outcome.exemplars_written = load_u32(bytes + OUTCOME_EXEMPLARS);
    for (size_t i = 0; i < SHARD_REFUSAL_REASONS; i++)
        outcome.refused_counts[i] = load_u32(bytes + OUTCOME_REFUSED + 4 * i);
    outcome.refusal_count = load_u32(bytes + OUTCOME_REFUSALS);
    outcome.stale_count = load_u32(bytes + OUTCOME_STALE);
    size_t series_count = load_u32(bytes + OUTCOME_SERIES);
    enum error_code code = check_counts(&outcome, write, size, series_count, error);
    if (code == ERROR_NONE)
        code = decode_refusals(bytes + OUTCOME_BYTES, write, &outcome, error);
    if (code != ERROR_NONE)
        return code;
    const uint8_t *stale = bytes + OUTCOME_BYTES + outcome.refusal_count * REFUSAL_BYTES;
    for (size_t i = 0; i < outcome.stale_count; i++)
        outcome.stale_origins[i] = origin_of(write, load_u32(stale + i * sizeof(uint32_t)));
    *write = outcome;
    take_series(stale + outcome.stale_count * sizeof(uint32_t), write);
    return ERROR_NONE;
}
