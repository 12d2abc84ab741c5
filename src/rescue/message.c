#include "message.h"

#include <stdlib.h>

#include "block/file_summary.h"

/* --- Questions ------------------------------------------------------------------------------- */

void rescue_question_encode(const struct rescue_question *question, struct byte_buffer *buffer)
{
    byte_buffer_u8(buffer, (uint8_t)question->kind);
    byte_buffer_u32(buffer, question->shard_id);
    byte_buffer_u64(buffer, question->force.seen_term);
    byte_buffer_u64(buffer, question->force.last_index);
    byte_buffer_u64(buffer, question->force.last_term);
}

enum error_code rescue_question_decode(const uint8_t *bytes, size_t size,
                                       struct rescue_question *out, struct error *error)
{
    struct byte_reader reader = byte_reader_over(bytes, size);
    uint8_t kind = byte_reader_u8(&reader);
    struct rescue_question question = {.kind = (enum rescue_question_kind)kind};
    question.shard_id = byte_reader_u32(&reader);
    question.force.seen_term = byte_reader_u64(&reader);
    question.force.last_index = byte_reader_u64(&reader);
    question.force.last_term = byte_reader_u64(&reader);
    /* A term of the last era would leave no other behind it. */
    bool in_range =
        kind >= RESCUE_LOOK && kind <= RESCUE_VERIFY && question.force.seen_term <= UINT64_MAX >> 1;
    if (reader.failed || byte_reader_left(&reader) > 0 || !in_range)
        return error_set(error, ERROR_CORRUPT, "question of a rescue");
    *out = question;
    return ERROR_NONE;
}

/* --- What a replica looks like --------------------------------------------------------------- */

void rescue_sight_encode(const struct rescue_sight *sight, struct byte_buffer *buffer)
{
    byte_buffer_u8(buffer, sight->is_present);
    byte_buffer_u8(buffer, sight->is_forcible);
    byte_buffer_u8(buffer, (uint8_t)sight->leader);
    byte_buffer_u64(buffer, sight->term);
    byte_buffer_u64(buffer, sight->last_index);
    byte_buffer_u64(buffer, sight->last_term);
    byte_buffer_u64(buffer, sight->commit_index);
    byte_buffer_u64(buffer, sight->told_index);
    byte_buffer_u64(buffer, sight->applied_index);
    byte_buffer_u64(buffer, (uint64_t)sight->last_stamp_ms);
    byte_buffer_u64(buffer, (uint64_t)sight->newest_ms);
    byte_buffer_u8(buffer, (uint8_t)sight->member_count);
    for (size_t i = 0; i < sight->member_count; i++) {
        byte_buffer_u64(buffer, sight->members[i].node_id);
        byte_buffer_u8(buffer, (uint8_t)sight->members[i].role);
    }
}

enum error_code rescue_sight_decode(const uint8_t *bytes, size_t size, struct rescue_sight *out,
                                    struct error *error)
{
    struct byte_reader reader = byte_reader_over(bytes, size);
    struct rescue_sight sight = {0};
    sight.is_present = byte_reader_u8(&reader) != 0;
    sight.is_forcible = byte_reader_u8(&reader) != 0;
    uint8_t leader = byte_reader_u8(&reader);
    sight.term = byte_reader_u64(&reader);
    sight.last_index = byte_reader_u64(&reader);
    sight.last_term = byte_reader_u64(&reader);
    sight.commit_index = byte_reader_u64(&reader);
    sight.told_index = byte_reader_u64(&reader);
    sight.applied_index = byte_reader_u64(&reader);
    sight.last_stamp_ms = (int64_t)byte_reader_u64(&reader);
    sight.newest_ms = (int64_t)byte_reader_u64(&reader);
    sight.member_count = byte_reader_u8(&reader);
    if (reader.failed || leader > RESCUE_LEADER_SELF ||
        sight.member_count > CONSENSUS_MEMBERS_MAX || sight.term > UINT64_MAX >> 1)
        return error_set(error, ERROR_CORRUPT, "answer about a replica");
    sight.leader = (enum rescue_leader)leader;
    for (size_t i = 0; i < sight.member_count; i++) {
        sight.members[i].node_id = byte_reader_u64(&reader);
        uint8_t role = byte_reader_u8(&reader);
        if (role > CONSENSUS_ROLE_SPARE)
            return error_set(error, ERROR_CORRUPT, "answer about a replica: role %u", role);
        sight.members[i].role = (enum consensus_role)role;
    }
    if (reader.failed || byte_reader_left(&reader) > 0)
        return error_set(error, ERROR_CORRUPT, "answer about a replica: members");
    *out = sight;
    return ERROR_NONE;
}

/* --- What was read --------------------------------------------------------------------------- */

void rescue_verdict_head_encode(const struct rescue_verdict *verdict, struct byte_buffer *buffer)
{
    byte_buffer_u64(buffer, verdict->applied_index);
    byte_buffer_u64(buffer, verdict->frozen_index);
    byte_buffer_u64(buffer, verdict->frozen_checksum);
    byte_buffer_u64(buffer, verdict->bytes);
}

void rescue_file_encode(const struct rescue_file *file, struct byte_buffer *buffer)
{
    byte_buffer_u8(buffer, file->kind);
    byte_buffer_u8(buffer, file->is_damaged);
    byte_buffer_u64(buffer, file->index);
    byte_buffer_u32(buffer, file->number);
    byte_buffer_u64(buffer, file->content_checksum.low);
    byte_buffer_u64(buffer, file->content_checksum.high);
}

enum error_code rescue_verdict_decode(const uint8_t *bytes, size_t size, struct rescue_verdict *out,
                                      struct rescue_file **files_out, struct error *error)
{
    struct byte_reader reader = byte_reader_over(bytes, size);
    struct rescue_verdict verdict = {.applied_index = byte_reader_u64(&reader)};
    verdict.frozen_index = byte_reader_u64(&reader);
    verdict.frozen_checksum = byte_reader_u64(&reader);
    verdict.bytes = byte_reader_u64(&reader);
    size_t left = byte_reader_left(&reader);
    if (reader.failed || left % RESCUE_FILE_BYTES != 0 ||
        left / RESCUE_FILE_BYTES > RESCUE_FILES_MAX)
        return error_set(error, ERROR_CORRUPT, "answer about files");
    verdict.file_count = left / RESCUE_FILE_BYTES;
    struct rescue_file *files = calloc(verdict.file_count + 1, sizeof *files);
    if (files == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "answer about files");
    for (size_t i = 0; i < verdict.file_count; i++) {
        files[i].kind = byte_reader_u8(&reader);
        files[i].is_damaged = byte_reader_u8(&reader) != 0;
        files[i].index = byte_reader_u64(&reader);
        files[i].number = byte_reader_u32(&reader);
        files[i].content_checksum.low = byte_reader_u64(&reader);
        files[i].content_checksum.high = byte_reader_u64(&reader);
        if (files[i].kind < FILE_KIND_PART || files[i].kind > FILE_KIND_BLOCK) {
            free(files);
            return error_set(error, ERROR_CORRUPT, "answer about files: kind");
        }
    }
    verdict.files = files;
    *files_out = files;
    *out = verdict;
    return ERROR_NONE;
}
