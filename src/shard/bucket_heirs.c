#include "bucket_heirs.h"

#include <stdlib.h>

/* --- What is found --------------------------------------------------------------------------- */

static int compare_keys(const void *left, const void *right)
{
    const struct bucket_block_key *a = left, *b = right;
    if (a->index != b->index)
        return a->index < b->index ? -1 : 1;
    if (a->number != b->number)
        return a->number < b->number ? -1 : 1;
    if (a->hash.high != b->hash.high)
        return a->hash.high < b->hash.high ? -1 : 1;
    return a->hash.low < b->hash.low ? -1 : a->hash.low > b->hash.low;
}

static enum error_code no_room(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "lists of shards that were split off");
}

static enum error_code add_heir(struct heir_search *search, uint32_t heir, struct error *error)
{
    for (size_t i = 0; i < search->heir_count; i++)
        if (search->heirs[i] == heir)
            return ERROR_NONE;
    uint32_t *heirs = realloc(search->heirs, (search->heir_count + 1) * sizeof *heirs);
    if (heirs == NULL)
        return no_room(error);
    search->heirs = heirs;
    heirs[search->heir_count++] = heir;
    return ERROR_NONE;
}

static enum error_code add_list(struct heir_search *search, const struct bucket_list *list,
                                struct error *error)
{
    size_t room = search->key_count + list->block_count + 1;
    struct bucket_block_key *keys = realloc(search->keys, room * sizeof *keys);
    enum error_code code = ERROR_NONE;
    if (keys == NULL)
        return no_room(error);
    search->keys = keys;
    for (size_t i = 0; i < list->block_count; i++)
        if (list->blocks[i].key.shard_id == search->shard_id)
            keys[search->key_count++] = list->blocks[i].key;
    for (size_t i = 0; code == ERROR_NONE && i < list->heir_count; i++)
        code = add_heir(search, list->heirs[i], error);
    return code;
}

/* --- Reading --------------------------------------------------------------------------------- */

struct list_names {
    struct bucket_list_key *keys; /* [count], owned */
    size_t count;
    bool failed;
};

static bool visit_list(void *context, const struct object_info *object)
{
    struct list_names *names = context;
    struct bucket_list_key key;
    if (!bucket_list_key_parse(object->key, &key))
        return true;
    struct bucket_list_key *keys = realloc(names->keys, (names->count + 1) * sizeof *keys);
    names->failed = keys == NULL;
    if (keys == NULL)
        return false;
    names->keys = keys;
    keys[names->count++] = key;
    return true;
}

/* A list that is gone since, or was cut, names nothing. */
static enum error_code read_list(struct heir_search *search, const struct bucket_list_key *key,
                                 bool *is_whole_out, struct error *error)
{
    char text[BUCKET_KEY_MAX];
    struct byte_buffer bytes = {0};
    struct bucket_list list;
    enum error_code code =
        object_store_read_whole(search->store, search->call, bucket_list_key_format(key, text),
                                BUCKET_LIST_BYTES_MAX, &bytes, error);
    bool is_gone = code == ERROR_NOT_FOUND;
    if (code == ERROR_NONE)
        code = bucket_list_decode(bytes.bytes, bytes.size, &list, error);
    byte_buffer_clear(&bytes);
    if (is_gone || code == ERROR_CORRUPT)
        return ERROR_NONE;
    if (code != ERROR_NONE)
        return code;
    *is_whole_out = true;
    code = add_list(search, &list, error);
    bucket_list_clear(&list);
    return code;
}

static enum error_code visit_heir(struct heir_search *search, uint32_t heir, struct error *error)
{
    char text[BUCKET_KEY_MAX];
    struct list_names names = {0};
    struct object_range range = {.prefix = bucket_lists_prefix(heir, text)};
    enum error_code code =
        object_store_list(search->store, search->call, &range, visit_list, &names, error);
    if (code == ERROR_NONE && names.failed)
        code = no_room(error);
    bool has_list = false;
    for (size_t i = 0; code == ERROR_NONE && i < names.count; i++)
        code = read_list(search, &names.keys[i], &has_list, error);
    free(names.keys);
    search->lacks_list |= !has_list;
    return code;
}

enum error_code heir_search_run(struct heir_search *search, const uint32_t *heirs,
                                size_t heir_count, struct error *error)
{
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < heir_count; i++)
        code = add_heir(search, heirs[i], error);
    while (code == ERROR_NONE && !search->lacks_list && search->visited < search->heir_count)
        code = visit_heir(search, search->heirs[search->visited++], error);
    if (code == ERROR_NONE && search->key_count > 0)
        qsort(search->keys, search->key_count, sizeof *search->keys, compare_keys);
    return code;
}

bool heir_search_names(const struct heir_search *search, const struct bucket_block_key *key)
{
    return search->key_count > 0 && bsearch(key, search->keys, search->key_count,
                                            sizeof *search->keys, compare_keys) != NULL;
}

void heir_search_clear(struct heir_search *search)
{
    free(search->keys);
    free(search->heirs);
    search->keys = NULL;
    search->heirs = NULL;
}
