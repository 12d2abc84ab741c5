/*
 * write_codec - what nodes ask and answer about writes, deletions and flushes, as bytes. Private to
 * routing; pure. Layout: docs/protocols/write.md.
 */
#ifndef ROUTING_WRITE_CODEC_H
#define ROUTING_WRITE_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/shared_bytes.h"
#include "shard/shard.h"

/* Of requests between nodes (transport.h). */
enum question_kind {
    QUESTION_WRITE = 10,
    QUESTION_PROPOSE = 11,
    QUESTION_FLUSH = 12,
    QUESTION_TENANT = 13,
};

/* --- Questions ------------------------------------------------------------------------------- */

/* NULL when memory is out, or when it is more than a message can be. */
struct shared_bytes *write_question_encode(uint32_t shard_id, const struct shard_write *write);

/*
 * Arrays in `arena`; texts and labels are views into `bytes`. Origins are positions: of floats,
 * then of histograms behind them. Everything is checked that does not need the shard.
 * Errors: CORRUPT, LIMIT, INVALID, UNSUPPORTED, OUT_OF_MEMORY.
 */
enum error_code write_question_decode(const uint8_t *bytes, size_t size, struct arena *arena,
                                      uint32_t *shard_id_out, struct shard_write *write_out,
                                      struct error *error);

/* NULL when memory is out. */
struct shared_bytes *propose_question_encode(uint32_t shard_id, uint32_t splits,
                                             const struct byte_buffer *entry);
struct shared_bytes *flush_question_encode(uint32_t shard_id, enum flush_reach reach);

/* `entry_out` is a view, checked by nobody yet. Errors: CORRUPT, UNSUPPORTED. */
enum error_code propose_question_decode(const uint8_t *bytes, size_t size, uint32_t *shard_id_out,
                                        uint32_t *splits_out, struct text *entry_out,
                                        struct error *error);
enum error_code flush_question_decode(const uint8_t *bytes, size_t size, uint32_t *shard_id_out,
                                      enum flush_reach *reach_out, struct error *error);

struct shared_bytes *tenant_question_encode(uint32_t shard_id, struct text tenant);

/* `tenant_out` is a view. Errors: CORRUPT, INVALID (no name of a tenant), UNSUPPORTED. */
enum error_code tenant_question_decode(const uint8_t *bytes, size_t size, uint32_t *shard_id_out,
                                       struct text *tenant_out, struct error *error);

/* --- Answers --------------------------------------------------------------------------------- */

enum answer_kind {
    ANSWER_DONE = 1,
    ANSWER_NOT_LEADER = 2,
    ANSWER_MOVED = 3, /* of a write, or deletion, for slots that are another shard's */
};

struct answer_head {
    enum answer_kind kind;
    uint64_t index;     /* DONE: of the log */
    uint64_t leader_id; /* NOT_LEADER: 0 when it is not known there */
    uint64_t splits;    /* MOVED: how often the shard was split */
};

enum { ANSWER_HEAD_BYTES = 16 };

/* NULL when memory is out. */
struct shared_bytes *answer_encode(const struct answer_head *head);
struct shared_bytes *write_answer_encode(uint64_t index, const struct shard_write *write);

/* Errors: CORRUPT, UNSUPPORTED. */
enum error_code answer_head_decode(const uint8_t *bytes, size_t size, struct answer_head *head_out,
                                   struct error *error);

/* To a question about a tenant: the head, then the state. Errors: CORRUPT. */
enum { TENANT_ANSWER_BYTES = ANSWER_HEAD_BYTES + 48 };
struct shared_bytes *tenant_answer_encode(const struct shard_tenant_state *state);
enum error_code tenant_answer_decode(const uint8_t *bytes, size_t size,
                                     struct shard_tenant_state *state_out, struct error *error);

/* The largest answer that there can be to a write. */
size_t write_answer_bytes_max(const struct shard_write *write);

/* The outcome in `write`, which is as it was asked; untouched on error. After answer_head_decode
 * found DONE. Errors: CORRUPT. */
enum error_code write_answer_decode(const uint8_t *bytes, size_t size, struct shard_write *write,
                                    struct error *error);

#endif
