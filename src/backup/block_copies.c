#include "block_copies.h"

#include <stdlib.h>

/* --- Which -------------------------------------------------------------------------------------
 */

enum error_code block_copies_add(struct block_copies *copies, const struct bucket_list *list,
                                 struct error *error)
{
    size_t room = copies->count + list->block_count + 1;
    struct block_copy *blocks = realloc(copies->blocks, room * sizeof *blocks);
    if (blocks == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "blocks of a backup");
    copies->blocks = blocks;
    for (size_t i = 0; i < list->block_count; i++)
        blocks[copies->count++] = (struct block_copy){
            .key = list->blocks[i].key,
            .size_bytes = list->blocks[i].size_bytes,
        };
    return ERROR_NONE;
}

void block_copies_clear(struct block_copies *copies)
{
    free(copies->blocks);
    *copies = (struct block_copies){0};
}

static int compare_numbers(uint64_t left, uint64_t right)
{
    return left < right ? -1 : left > right;
}

static int compare_keys(const struct bucket_block_key *left, const struct bucket_block_key *right)
{
    int order = compare_numbers(left->shard_id, right->shard_id);
    if (order == 0)
        order = compare_numbers(left->index, right->index);
    if (order == 0)
        order = compare_numbers(left->number, right->number);
    if (order == 0)
        order = compare_numbers(left->hash.high, right->hash.high);
    return order != 0 ? order : compare_numbers(left->hash.low, right->hash.low);
}

static int compare_copies(const void *left, const void *right)
{
    return compare_keys(&((const struct block_copy *)left)->key,
                        &((const struct block_copy *)right)->key);
}

/* Shards that were split name blocks of each other. */
static void remove_doubles(struct block_copies *copies)
{
    size_t kept = 0;
    for (size_t i = 0; i < copies->count; i++)
        if (kept == 0 || compare_copies(&copies->blocks[kept - 1], &copies->blocks[i]) != 0)
            copies->blocks[kept++] = copies->blocks[i];
    copies->count = kept;
}

static struct block_copy *find(const struct block_copies *copies,
                               const struct bucket_block_key *key)
{
    struct block_copy wanted = {.key = *key};
    return copies->count == 0 ? NULL
                              : bsearch(&wanted, copies->blocks, copies->count,
                                        sizeof *copies->blocks, compare_copies);
}

bool block_copies_have(const struct block_copies *copies, const struct bucket_block_key *key)
{
    return find(copies, key) != NULL;
}

/* One of another size was put by nobody that wrote it to its end. */
static bool note_object(void *context, const struct object_info *object)
{
    struct bucket_block_key key;
    if (!bucket_block_key_parse(object->key, &key))
        return true;
    struct block_copy *copy = find(context, &key);
    if (copy != NULL)
        copy->is_there = copy->size_bytes == object->size_bytes;
    return true;
}

enum error_code block_copies_look(struct block_copies *copies, struct object_store *target,
                                  struct error *error)
{
    if (copies->count > 0)
        qsort(copies->blocks, copies->count, sizeof *copies->blocks, compare_copies);
    remove_doubles(copies);
    struct object_range range = {.prefix = TEXT("shards/")};
    return object_store_list(target, NULL, &range, note_object, copies, error);
}
