/*
 * What another node asks or answers about its replicas. What decodes must encode to bytes that
 * decode to the same. The first byte chooses: question, sight, verdict.
 */
#include <stdlib.h>
#include <string.h>

#include "message.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void try_question(const uint8_t *bytes, size_t size)
{
    struct rescue_question question;
    struct byte_buffer buffer = {0};
    struct error error;
    if (rescue_question_decode(bytes, size, &question, &error) != ERROR_NONE)
        return;
    rescue_question_encode(&question, &buffer);
    require(!buffer.failed && buffer.size == size && memcmp(buffer.bytes, bytes, size) == 0);
    byte_buffer_clear(&buffer);
}

static void try_sight(const uint8_t *bytes, size_t size)
{
    struct rescue_sight sight, again;
    struct byte_buffer buffer = {0};
    struct error error;
    if (rescue_sight_decode(bytes, size, &sight, &error) != ERROR_NONE)
        return;
    rescue_sight_encode(&sight, &buffer);
    require(!buffer.failed && buffer.size == size);
    require(rescue_sight_decode(buffer.bytes, buffer.size, &again, &error) == ERROR_NONE);
    require(again.term == sight.term && again.last_index == sight.last_index &&
            again.member_count == sight.member_count && again.leader == sight.leader);
    byte_buffer_clear(&buffer);
}

static void try_verdict(const uint8_t *bytes, size_t size)
{
    struct rescue_verdict verdict;
    struct rescue_file *files;
    struct byte_buffer buffer = {0};
    struct error error;
    if (rescue_verdict_decode(bytes, size, &verdict, &files, &error) != ERROR_NONE)
        return;
    rescue_verdict_head_encode(&verdict, &buffer);
    for (size_t i = 0; i < verdict.file_count; i++)
        rescue_file_encode(&verdict.files[i], &buffer);
    require(!buffer.failed && buffer.size == size);
    byte_buffer_clear(&buffer);
    free(files);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size == 0)
        return 0;
    switch (bytes[0] % 3) {
    case 0:
        try_question(bytes + 1, size - 1);
        break;
    case 1:
        try_sight(bytes + 1, size - 1);
        break;
    default:
        try_verdict(bytes + 1, size - 1);
    }
    return 0;
}
