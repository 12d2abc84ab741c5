/* Names of objects in the bucket: hexadecimal with leading zeros, so that listings are in order. */
#include <inttypes.h>
#include <stdio.h>

#include "shard/bucket_list.h"
#include "shard/bucket_meta.h"

/* --- Writing --------------------------------------------------------------------------------- */

static struct text formatted(char text[BUCKET_KEY_MAX], int size)
{
    return (struct text){text, (size_t)size};
}

struct text bucket_shard_prefix(uint32_t shard_id, char text[BUCKET_KEY_MAX])
{
    return formatted(text, snprintf(text, BUCKET_KEY_MAX, "shards/%08" PRIx32 "/", shard_id));
}

struct text bucket_lists_prefix(uint32_t shard_id, char text[BUCKET_KEY_MAX])
{
    return formatted(text,
                     snprintf(text, BUCKET_KEY_MAX, "shards/%08" PRIx32 "/manifests/", shard_id));
}

struct text bucket_block_key_format(const struct bucket_block_key *key, char text[BUCKET_KEY_MAX])
{
    return formatted(text, snprintf(text, BUCKET_KEY_MAX,
                                    "shards/%08" PRIx32 "/blocks/%016" PRIx64 "-%08" PRIx32
                                    "-%016" PRIx64 "%016" PRIx64,
                                    key->shard_id, key->index, key->number, key->hash.high,
                                    key->hash.low));
}

static struct text named_by_list(const char *kind, const struct bucket_list_key *list,
                                 char text[BUCKET_KEY_MAX])
{
    return formatted(text, snprintf(text, BUCKET_KEY_MAX,
                                    "shards/%08" PRIx32 "/%s/%016" PRIx64 "-%016" PRIx64,
                                    list->shard_id, kind, list->incarnation, list->index));
}

struct text bucket_list_key_format(const struct bucket_list_key *key, char text[BUCKET_KEY_MAX])
{
    return named_by_list("manifests", key, text);
}

struct text bucket_metadata_prefix(uint32_t shard_id, char text[BUCKET_KEY_MAX])
{
    return formatted(text,
                     snprintf(text, BUCKET_KEY_MAX, "shards/%08" PRIx32 "/metadata/", shard_id));
}

struct text bucket_metadata_key_format(const struct bucket_list_key *list,
                                       char text[BUCKET_KEY_MAX])
{
    return named_by_list("metadata", list, text);
}

struct text bucket_meta_key_format(const struct bucket_meta_key *key, char text[BUCKET_KEY_MAX])
{
    return formatted(text,
                     snprintf(text, BUCKET_KEY_MAX, BUCKET_META_PREFIX "%016" PRIx64 "-%016" PRIx64,
                              key->incarnation, key->index));
}

/* --- Reading --------------------------------------------------------------------------------- */

static bool take_word(struct text *text, struct text word)
{
    if (!text_starts_with(*text, word))
        return false;
    *text = (struct text){text->data + word.size, text->size - word.size};
    return true;
}

/* So many digits, lower case only: no object has two names. */
static bool take_number(struct text *text, size_t digits, uint64_t *number_out)
{
    uint64_t number = 0;
    if (text->size < digits)
        return false;
    for (size_t i = 0; i < digits; i++) {
        char digit = text->data[i];
        if (digit >= '0' && digit <= '9')
            number = number << 4 | (uint64_t)(digit - '0');
        else if (digit >= 'a' && digit <= 'f')
            number = number << 4 | (uint64_t)(digit - 'a' + 10);
        else
            return false;
    }
    *text = (struct text){text->data + digits, text->size - digits};
    *number_out = number;
    return true;
}

bool bucket_block_key_parse(struct text text, struct bucket_block_key *key_out)
{
    struct bucket_block_key key;
    uint64_t shard_id, number;
    if (!take_word(&text, TEXT("shards/")) || !take_number(&text, 8, &shard_id) ||
        !take_word(&text, TEXT("/blocks/")) || !take_number(&text, 16, &key.index) ||
        !take_word(&text, TEXT("-")) || !take_number(&text, 8, &number) ||
        !take_word(&text, TEXT("-")) || !take_number(&text, 16, &key.hash.high) ||
        !take_number(&text, 16, &key.hash.low) || text.size > 0)
        return false;
    key.shard_id = (uint32_t)shard_id;
    key.number = (uint32_t)number;
    *key_out = key;
    return true;
}

static bool parse_named_by_list(struct text text, struct text kind, struct bucket_list_key *key_out)
{
    struct bucket_list_key key;
    uint64_t shard_id;
    if (!take_word(&text, TEXT("shards/")) || !take_number(&text, 8, &shard_id) ||
        !take_word(&text, kind) || !take_number(&text, 16, &key.incarnation) ||
        !take_word(&text, TEXT("-")) || !take_number(&text, 16, &key.index) || text.size > 0)
        return false;
    key.shard_id = (uint32_t)shard_id;
    *key_out = key;
    return true;
}

bool bucket_list_key_parse(struct text text, struct bucket_list_key *key_out)
{
    return parse_named_by_list(text, TEXT("/manifests/"), key_out);
}

bool bucket_metadata_key_parse(struct text text, struct bucket_list_key *list_out)
{
    return parse_named_by_list(text, TEXT("/metadata/"), list_out);
}

bool bucket_meta_key_parse(struct text text, struct bucket_meta_key *key_out)
{
    struct bucket_meta_key key;
    if (!take_word(&text, TEXT(BUCKET_META_PREFIX)) || !take_number(&text, 16, &key.incarnation) ||
        !take_word(&text, TEXT("-")) || !take_number(&text, 16, &key.index) || text.size > 0)
        return false;
    *key_out = key;
    return true;
}
