/*
 * A question from another node. What decodes must encode to bytes that decode to the same. The
 * first byte chooses the kind.
 */
#include <stdlib.h>
#include <string.h>

#include "question.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void compare(const struct question *one, const struct question *other)
{
    require(one->read == other->read && one->shard_count == other->shard_count);
    for (size_t i = 0; i < one->shard_count; i++) {
        require(one->shards[i].shard_id == other->shards[i].shard_id);
        require(one->shards[i].least_index == other->shards[i].least_index);
        require(i == 0 || one->shards[i - 1].shard_id < one->shards[i].shard_id);
    }
    require(text_equal(one->partial, other->partial));
    require(text_equal(one->tenant, other->tenant) && text_equal(one->name, other->name));
    require(one->start_ms == other->start_ms && one->end_ms == other->end_ms);
    require(one->need == other->need && one->series_limit == other->series_limit);
    require(one->matcher_count == other->matcher_count);
    for (size_t i = 0; i < one->matcher_count; i++) {
        require(one->matchers[i]->type == other->matchers[i]->type);
        require(text_equal(one->matchers[i]->name, other->matchers[i]->name));
        require(text_equal(one->matchers[i]->value, other->matchers[i]->value));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size < 1)
        return 0;
    enum question_kind kind =
        QUESTION_KIND_FIRST + bytes[0] % (QUESTION_KIND_LAST - QUESTION_KIND_FIRST + 1);
    struct arena *arena = arena_create(64 * 1024 * 1024);
    struct question question, again;
    struct error error;
    if (fanout_question_decode(bytes + 1, size - 1, kind, arena, &question, &error) == ERROR_NONE) {
        struct byte_buffer buffer = {0};
        fanout_question_encode(&question, &buffer);
        require(!buffer.failed);
        require(fanout_question_decode(buffer.bytes, buffer.size, kind, arena, &again, &error) ==
                ERROR_NONE);
        compare(&question, &again);
        fanout_question_clear(&again);
        fanout_question_clear(&question);
        byte_buffer_clear(&buffer);
    }
    arena_destroy(arena);
    return 0;
}
