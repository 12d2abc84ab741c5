/* What is in a bucket: one listing of its names, then the newest of each kind that is whole. */
#include <stdlib.h>
#include <string.h>

#include "revival/revival.h"

enum { SHARDS_MAX = SLOT_COUNT };

/* --- Names ------------------------------------------------------------------------------------ */

struct listed_block {
    struct bucket_block_key key;
    uint64_t size_bytes;
};

/* Everything in byte order, which is that of the numbers in the names. */
struct names {
    struct bucket_meta_key *metas; /* [meta_count] */
    size_t meta_count;
    struct bucket_list_key *lists; /* [list_count] */
    size_t list_count;
    struct bucket_list_key *metadata; /* [metadata_count] */
    size_t metadata_count;
    struct listed_block *blocks; /* [block_count] */
    size_t block_count;
    int64_t newest_ms;
    bool is_restored; /* and nothing was put since */
    bool failed;
};

static void names_clear(struct names *names)
{
    free(names->metas);
    free(names->lists);
    free(names->metadata);
    free(names->blocks);
}

/* Room for one more of an array that doubles. */
static void *grow(void *array, size_t count, size_t element_bytes)
{
    bool is_full = (count & (count - 1)) == 0;
    return is_full ? realloc(array, (count == 0 ? 1 : 2 * count) * element_bytes) : array;
}

static bool add_meta(struct names *names, const struct bucket_meta_key *key)
{
    struct bucket_meta_key *metas = grow(names->metas, names->meta_count, sizeof *metas);
    if (metas == NULL)
        return false;
    names->metas = metas;
    metas[names->meta_count++] = *key;
    return true;
}

static bool add_list(struct bucket_list_key **lists, size_t *count,
                     const struct bucket_list_key *key)
{
    struct bucket_list_key *grown = grow(*lists, *count, sizeof *grown);
    if (grown == NULL)
        return false;
    *lists = grown;
    grown[(*count)++] = *key;
    return true;
}

static bool add_block(struct names *names, const struct listed_block *block)
{
    struct listed_block *blocks = grow(names->blocks, names->block_count, sizeof *blocks);
    if (blocks == NULL)
        return false;
    names->blocks = blocks;
    blocks[names->block_count++] = *block;
    return true;
}

static bool visit_name(void *context, const struct object_info *object)
{
    struct names *names = context;
    struct bucket_meta_key meta;
    struct bucket_list_key list;
    struct listed_block block = {.size_bytes = object->size_bytes};
    bool is_dated = true, added = true;
    if (bucket_meta_key_parse(object->key, &meta))
        added = add_meta(names, &meta);
    else if (bucket_list_key_parse(object->key, &list) && list.shard_id < SHARDS_MAX)
        added = add_list(&names->lists, &names->list_count, &list);
    else
        is_dated = false;
    if (!is_dated && bucket_block_key_parse(object->key, &block.key))
        added = add_block(names, &block);
    else if (!is_dated && bucket_metadata_key_parse(object->key, &list))
        added = add_list(&names->metadata, &names->metadata_count, &list);
    if (is_dated && object->modified_ms > names->newest_ms)
        names->newest_ms = object->modified_ms;
    names->failed = !added;
    return added;
}

static enum error_code look_whether_restored(struct object_store *store, struct names *names,
                                             struct error *error)
{
    struct object_info mark;
    enum error_code code = object_store_head(store, NULL, TEXT(BUCKET_RESTORED_KEY), &mark, error);
    if (code == ERROR_NOT_FOUND) {
        error_clear(error);
        return ERROR_NONE;
    }
    names->is_restored = code == ERROR_NONE && mark.modified_ms >= names->newest_ms;
    return code;
}

static enum error_code read_names(struct object_store *store, struct names *names,
                                  struct error *error)
{
    static const char *const PREFIXES[] = {BUCKET_META_PREFIX, "shards/"};
    enum error_code code = ERROR_NONE;
    names->newest_ms = INT64_MIN;
    for (size_t i = 0; code == ERROR_NONE && i < sizeof PREFIXES / sizeof PREFIXES[0]; i++) {
        struct object_range range = {.prefix = text_of(PREFIXES[i])};
        code = object_store_list(store, NULL, &range, visit_name, names, error);
    }
    if (code == ERROR_NONE && names->failed)
        code = error_set(error, ERROR_OUT_OF_MEMORY, "names of a bucket");
    return code == ERROR_NONE ? look_whether_restored(store, names, error) : code;
}

/* --- Claim and meta object -------------------------------------------------------------------- */

static void note_incarnation(struct revival_survey *survey, uint64_t incarnation)
{
    if (incarnation > survey->incarnation_max)
        survey->incarnation_max = incarnation;
}

static enum error_code read_claim(struct revival_survey *survey, struct error *error)
{
    struct byte_buffer bytes = {0};
    enum error_code code = object_store_read_whole(survey->store, NULL, TEXT(BUCKET_CLUSTER_KEY),
                                                   BUCKET_CLAIM_BYTES_MAX, &bytes, error);
    survey->has_claim = code == ERROR_NONE;
    if (code == ERROR_NONE)
        code = bucket_claim_decode(bytes.bytes, bytes.size, &survey->claim, error);
    byte_buffer_clear(&bytes);
    if (survey->has_claim)
        note_incarnation(survey, survey->claim.incarnation);
    return code == ERROR_NOT_FOUND ? ERROR_NONE : code;
}

/* What is cut, damaged, or gone since it was listed: the one before it counts. */
static bool is_passed_over(enum error_code code)
{
    return code == ERROR_CORRUPT || code == ERROR_NOT_FOUND || code == ERROR_LIMIT;
}

static enum error_code try_meta(struct revival_survey *survey, const struct bucket_meta_key *key,
                                struct error *error)
{
    char text[BUCKET_KEY_MAX];
    byte_buffer_reset(&survey->meta_bytes);
    enum error_code code =
        object_store_read_whole(survey->store, NULL, bucket_meta_key_format(key, text),
                                BUCKET_META_BYTES_MAX, &survey->meta_bytes, error);
    if (code == ERROR_NONE)
        code = bucket_meta_decode(survey->meta_bytes.bytes, survey->meta_bytes.size, &survey->meta,
                                  error);
    if (code != ERROR_NONE)
        return code;
    survey->has_meta =
        survey->meta.key.incarnation == key->incarnation && survey->meta.key.index == key->index;
    if (survey->has_meta)
        return ERROR_NONE;
    bucket_meta_clear(&survey->meta);
    return error_set(error, ERROR_CORRUPT, "'%s' is another one than its name says", text);
}

static enum error_code read_meta(struct revival_survey *survey, const struct names *names,
                                 struct error *error)
{
    enum error_code code = ERROR_NONE;
    for (size_t i = names->meta_count; i > 0 && !survey->has_meta; i--) {
        note_incarnation(survey, names->metas[i - 1].incarnation);
        code = try_meta(survey, &names->metas[i - 1], error);
        if (code != ERROR_NONE && !is_passed_over(code))
            return code;
        survey->broken_metas += code != ERROR_NONE;
    }
    return ERROR_NONE;
}

/* --- Lists ------------------------------------------------------------------------------------ */

static enum error_code read_list(struct revival_survey *survey, struct revival_shard *shard,
                                 const struct bucket_list_key *key, struct error *error)
{
    char text[BUCKET_KEY_MAX];
    struct byte_buffer bytes = {0};
    struct bucket_list list;
    enum error_code code =
        object_store_read_whole(survey->store, NULL, bucket_list_key_format(key, text),
                                BUCKET_LIST_BYTES_MAX, &bytes, error);
    if (code == ERROR_NONE)
        code = bucket_list_decode(bytes.bytes, bytes.size, &list, error);
    byte_buffer_clear(&bytes);
    if (code != ERROR_NONE)
        return code;
    shard->has_list = list.key.shard_id == key->shard_id &&
                      list.key.incarnation == key->incarnation && list.key.index == key->index;
    if (shard->has_list) {
        shard->list = list;
        return ERROR_NONE;
    }
    bucket_list_clear(&list);
    return error_set(error, ERROR_CORRUPT, "'%s' is another one than its name says", text);
}

/* From the last name to the first: the newest ones come first. */
static enum error_code read_lists(struct revival_survey *survey, const struct names *names,
                                  struct error *error)
{
    if (names->list_count == 0)
        return ERROR_NONE;
    size_t shard_count = names->lists[names->list_count - 1].shard_id + 1;
    survey->shards = calloc(shard_count, sizeof *survey->shards);
    if (survey->shards == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "shards of a bucket");
    survey->shard_count = shard_count;
    for (size_t i = names->list_count; i > 0; i--) {
        const struct bucket_list_key *key = &names->lists[i - 1];
        struct revival_shard *shard = &survey->shards[key->shard_id];
        note_incarnation(survey, key->incarnation);
        if (shard->has_list)
            continue;
        enum error_code code = read_list(survey, shard, key, error);
        if (code != ERROR_NONE && !is_passed_over(code))
            return code;
        shard->broken_lists += code != ERROR_NONE;
    }
    return ERROR_NONE;
}

static void note_metadata(struct revival_survey *survey, const struct names *names)
{
    for (size_t i = 0; i < names->metadata_count; i++) {
        const struct bucket_list_key *key = &names->metadata[i];
        if (key->shard_id >= survey->shard_count)
            continue;
        survey->shards[key->shard_id].has_metadata = true;
        survey->shards[key->shard_id].metadata = *key;
    }
}

/* --- Blocks ----------------------------------------------------------------------------------- */

static int compare_blocks(const void *left, const void *right)
{
    const struct bucket_block_key *a = left;
    const struct bucket_block_key *b = &((const struct listed_block *)right)->key;
    if (a->shard_id != b->shard_id)
        return a->shard_id < b->shard_id ? -1 : 1;
    if (a->index != b->index)
        return a->index < b->index ? -1 : 1;
    if (a->number != b->number)
        return a->number < b->number ? -1 : 1;
    if (a->hash.high != b->hash.high)
        return a->hash.high < b->hash.high ? -1 : 1;
    return a->hash.low < b->hash.low ? -1 : a->hash.low > b->hash.low;
}

/* A listing may lag behind: what it lacks is asked for. */
static enum error_code find_block(const struct revival_survey *survey, const struct names *names,
                                  const struct bucket_listed *block, bool *is_missing_out,
                                  struct error *error)
{
    char text[BUCKET_KEY_MAX];
    struct object_info info;
    const struct listed_block *found = names->block_count == 0
                                           ? NULL
                                           : bsearch(&block->key, names->blocks, names->block_count,
                                                     sizeof *names->blocks, compare_blocks);
    if (found != NULL) {
        *is_missing_out = found->size_bytes != block->size_bytes;
        return ERROR_NONE;
    }
    enum error_code code = object_store_head(
        survey->store, NULL, bucket_block_key_format(&block->key, text), &info, error);
    if (code != ERROR_NONE && code != ERROR_NOT_FOUND)
        return code;
    *is_missing_out = code == ERROR_NOT_FOUND || info.size_bytes != block->size_bytes;
    return ERROR_NONE;
}

static enum error_code find_blocks(const struct revival_survey *survey, const struct names *names,
                                   struct revival_shard *shard, struct error *error)
{
    enum error_code code = ERROR_NONE;
    shard->is_missing = calloc(shard->list.block_count + 1, sizeof *shard->is_missing);
    if (shard->is_missing == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "blocks of a bucket");
    for (size_t i = 0; code == ERROR_NONE && i < shard->list.block_count; i++) {
        code = find_block(survey, names, &shard->list.blocks[i], &shard->is_missing[i], error);
        shard->missing_count += code == ERROR_NONE && shard->is_missing[i];
    }
    return code;
}

/* --- Public ----------------------------------------------------------------------------------- */

enum error_code revival_look(struct object_store *store, struct revival_survey *survey_out,
                             struct error *error)
{
    struct revival_survey *survey = survey_out;
    struct names names = {0};
    *survey = (struct revival_survey){.store = store};
    enum error_code code = read_names(store, &names, error);
    survey->newest_ms = names.is_restored ? INT64_MIN : names.newest_ms;
    if (code == ERROR_NONE)
        code = read_claim(survey, error);
    if (code == ERROR_NONE)
        code = read_meta(survey, &names, error);
    if (code == ERROR_NONE)
        code = read_lists(survey, &names, error);
    if (code == ERROR_NONE)
        note_metadata(survey, &names);
    for (size_t i = 0; code == ERROR_NONE && i < survey->shard_count; i++)
        if (survey->shards[i].has_list)
            code = find_blocks(survey, &names, &survey->shards[i], error);
    names_clear(&names);
    if (code != ERROR_NONE)
        revival_clear(survey);
    return code;
}

void revival_clear(struct revival_survey *survey)
{
    for (size_t i = 0; i < survey->shard_count; i++) {
        if (survey->shards[i].has_list)
            bucket_list_clear(&survey->shards[i].list);
        free(survey->shards[i].is_missing);
        free(survey->shards[i].heirs);
    }
    free(survey->shards);
    bucket_meta_clear(&survey->meta);
    byte_buffer_clear(&survey->meta_bytes);
    *survey = (struct revival_survey){0};
}

struct revival_totals revival_count(const struct revival_survey *survey)
{
    struct revival_totals totals = {.newest_sample_ms = INT64_MIN};
    for (size_t i = 0; i < survey->shard_count; i++) {
        const struct revival_shard *shard = &survey->shards[i];
        totals.broken_lists += shard->broken_lists;
        for (size_t k = 0; shard->has_list && k < shard->list.block_count; k++) {
            const struct bucket_listed *block = &shard->list.blocks[k];
            if (shard->is_missing[k]) {
                totals.missing_blocks++;
                totals.missing_samples += block->summary.sample_count;
                continue;
            }
            totals.blocks++;
            totals.bytes += block->size_bytes;
            totals.samples += block->summary.sample_count;
            if (block->summary.max_time_ms > totals.newest_sample_ms)
                totals.newest_sample_ms = block->summary.max_time_ms;
        }
    }
    return totals;
}
