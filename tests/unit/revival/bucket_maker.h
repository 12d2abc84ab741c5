/*
 * bucket_maker - objects of a bucket, byte by byte as docs/formats/bucket.md has them, in a
 * simulated store.
 */
#ifndef TESTS_REVIVAL_BUCKET_MAKER_H
#define TESTS_REVIVAL_BUCKET_MAKER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/checksum.h"
#include "revival/revival.h"
#include "simulated_environment.h"
#include "simulated_store.h"

#define MAKER __attribute__((unused)) static

struct fixture {
    struct simulated_environment *environment;
    struct simulated_store store;
    struct revival_survey survey;
};

MAKER struct fixture *fixture_create(void)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    fixture->environment = simulated_environment_create(1);
    simulated_store_init(&fixture->store, fixture->environment->base.clock, 1);
    return fixture;
}

MAKER void fixture_destroy(struct fixture *fixture)
{
    revival_clear(&fixture->survey);
    simulated_store_clear(&fixture->store);
    simulated_environment_destroy(fixture->environment);
    free(fixture);
}

MAKER void put(struct fixture *fixture, const char *key, const struct byte_buffer *bytes)
{
    struct error error;
    assert_false(bytes->failed);
    assert_int_equal(object_store_put(&fixture->store.base, NULL, text_of(key), bytes->bytes,
                                      bytes->size, &error),
                     ERROR_NONE);
}

/* What a block's object is, so far as nobody reads it. */
MAKER struct byte_buffer block_bytes(uint64_t index, size_t size)
{
    struct byte_buffer bytes = {0};
    for (size_t i = 0; i < size; i++)
        byte_buffer_u8(&bytes, (uint8_t)(index + i));
    return bytes;
}

enum { BLOCK_BYTES = 3000 };

MAKER struct bucket_block_key block_key(uint32_t shard, uint64_t index)
{
    struct byte_buffer bytes = block_bytes(index, BLOCK_BYTES);
    struct bucket_block_key key = {shard, index, 0,
                                   hash128(bytes.bytes, bytes.size, HASH_SEED_STORED)};
    byte_buffer_clear(&bytes);
    return key;
}

/* As docs/formats/bucket.md has it. */
MAKER void encode_block(struct byte_buffer *body, const struct bucket_block_key *key,
                        uint64_t size_bytes)
{
    byte_buffer_varint(body, key->shard_id);
    byte_buffer_varint(body, key->index);
    byte_buffer_varint(body, key->number);
    byte_buffer_zigzag(body, 0); /* window */
    byte_buffer_zigzag(body, 7200000);
    byte_buffer_zigzag(body, 7300000); /* stamp */
    byte_buffer_varint(body, size_bytes);
    byte_buffer_varint(body, 2);   /* series */
    byte_buffer_varint(body, 100); /* samples */
    byte_buffer_zigzag(body, 0);
    byte_buffer_zigzag(body, 7100000);
    byte_buffer_u64(body, 1);
    byte_buffer_u64(body, 2);
    byte_buffer_varint(body, size_bytes);
    byte_buffer_u64(body, key->hash.low);
    byte_buffer_u64(body, key->hash.high);
}

struct listing {
    struct bucket_list_key key;
    uint32_t first_slot, slot_count;
    uint32_t heir;        /* 0: none */
    uint64_t block_index; /* 0: none */
};

MAKER void put_list(struct fixture *fixture, const struct listing *listing)
{
    struct byte_buffer body = {0}, bytes = {0};
    struct slot_set slots = {0};
    char key[BUCKET_KEY_MAX];
    slot_set_add(&slots, listing->first_slot, listing->slot_count);
    byte_buffer_varint(&body, listing->key.shard_id);
    byte_buffer_varint(&body, listing->key.incarnation);
    byte_buffer_varint(&body, listing->key.index);
    byte_buffer_zigzag(&body, INT64_MIN);
    byte_buffer_u8(&body, 0); /* no policy of retention */
    slot_set_encode(&slots, &body);
    byte_buffer_varint(&body, listing->heir != 0);
    if (listing->heir != 0)
        byte_buffer_varint(&body, listing->heir);
    byte_buffer_varint(&body, 0); /* deletions */
    byte_buffer_varint(&body, listing->block_index != 0);
    if (listing->block_index != 0) {
        struct bucket_block_key block = block_key(listing->key.shard_id, listing->block_index);
        encode_block(&body, &block, BLOCK_BYTES);
    }
    struct hash128 hash = hash128(body.bytes, body.size, HASH_SEED_STORED);
    byte_buffer_append(&bytes, "GBKT\1", 5);
    byte_buffer_u64(&bytes, hash.low);
    byte_buffer_u64(&bytes, hash.high);
    byte_buffer_append(&bytes, body.bytes, body.size);
    bucket_list_key_format(&listing->key, key);
    put(fixture, key, &bytes);
    byte_buffer_clear(&bytes);
    byte_buffer_clear(&body);
}

MAKER void put_block(struct fixture *fixture, uint32_t shard, uint64_t index, size_t size)
{
    struct byte_buffer bytes = block_bytes(index, size);
    struct bucket_block_key block = block_key(shard, index);
    char key[BUCKET_KEY_MAX];
    bucket_block_key_format(&block, key);
    put(fixture, key, &bytes);
    byte_buffer_clear(&bytes);
}

/* Shards with equal ranges; of the last, half is a child's when it has a parent. */
MAKER void put_meta(struct fixture *fixture, uint64_t index, uint32_t shards, uint16_t last_parent)
{
    struct bucket_meta meta = {.key = {1, index}, .replication = 3, .spread = 4};
    struct byte_buffer bytes = {0};
    char key[BUCKET_KEY_MAX];
    uint32_t founding = last_parent == BUCKET_META_NO_PARENT ? shards : shards - 1;
    slot_map_init(&meta.slots, founding);
    meta.slots.shard_count = shards;
    for (uint32_t i = 0; i < shards; i++)
        meta.parents[i] = BUCKET_META_NO_PARENT;
    meta.parents[shards - 1] = last_parent;
    for (size_t slot = 0, taken = 0; founding < shards && taken < 100; slot++)
        if (meta.slots.shards[slot] == last_parent) {
            meta.slots.shards[slot] = (uint16_t)(shards - 1);
            taken++;
        }
    bucket_meta_encode(&meta, &bytes);
    bucket_meta_key_format(&meta.key, key);
    put(fixture, key, &bytes);
    byte_buffer_clear(&bytes);
}

MAKER void damage(struct fixture *fixture, const char *key)
{
    struct byte_buffer bytes = {0};
    const struct simulated_object *object = simulated_store_find(&fixture->store, key);
    assert_non_null(object);
    byte_buffer_append(&bytes, object->bytes, object->size_bytes);
    bytes.bytes[bytes.size / 2] ^= 1;
    put(fixture, key, &bytes);
    byte_buffer_clear(&bytes);
}

MAKER void look(struct fixture *fixture)
{
    struct error error;
    revival_clear(&fixture->survey);
    if (revival_look(&fixture->store.base, &fixture->survey, &error) != ERROR_NONE)
        fail_msg("%s", error.message);
}

MAKER enum error_code divide(struct fixture *fixture, uint32_t founding_shards)
{
    struct error error;
    return revival_divide(&fixture->survey, founding_shards, &error);
}

#endif
