#include "node_bucket_meta.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"

#include "node_cluster.h"

_Static_assert((int)BUCKET_META_NO_PARENT == (int)CLUSTER_SHARD_NONE, "shards without a parent");

enum { PUT_AGAIN_MS = 2 * 60 * 1000, RETRY_MS = 30 * 1000, KEYS_MAX = 256 };

/* --- What there is to say: on loop 0 ---------------------------------------------------------- */

static const struct cluster_state *state_of(const struct node *node)
{
    return node->cluster == NULL ? NULL : meta_state(node->cluster->meta);
}

/* A node alone divides its slots once. */
static uint64_t index_now(const struct node *node)
{
    const struct cluster_state *state = state_of(node);
    return state == NULL ? 0 : cluster_state_facts(state)->index;
}

bool node_bucket_meta_is_due(const struct node *node, const struct node_bucket_meta *meta)
{
    uint64_t now_ms = clock_monotonic_ms(clock_system());
    return now_ms >= meta->retry_ms && (!meta->was_put || meta->put_index != index_now(node) ||
                                        now_ms - meta->put_ms >= PUT_AGAIN_MS);
}

static bool describe_cluster(const struct cluster_state *state, struct bucket_meta *described)
{
    const struct cluster_facts *facts = cluster_state_facts(state);
    size_t shard_count, count;
    const struct cluster_shard *shards = cluster_state_shards(state, &shard_count);
    const struct cluster_setting *settings = cluster_state_settings(state, &count);
    if (!facts->founded)
        return false;
    described->replication = facts->replication;
    described->spread = facts->spread;
    described->slots.shard_count = (uint32_t)shard_count;
    memcpy(described->slots.shards, cluster_state_slots(state), sizeof described->slots.shards);
    for (size_t i = 0; i < shard_count; i++)
        described->parents[i] = (uint16_t)shards[i].parent;
    described->settings = calloc(count + 1, sizeof *described->settings);
    if (described->settings == NULL)
        return false;
    for (; described->setting_count < count; described->setting_count++)
        described->settings[described->setting_count] = (struct bucket_meta_setting){
            settings[described->setting_count].tenant, settings[described->setting_count].key,
            settings[described->setting_count].value};
    return true;
}

void node_bucket_meta_prepare(const struct node *node, uint64_t incarnation,
                              struct node_bucket_meta *meta)
{
    struct bucket_meta described = {.key = {incarnation, index_now(node)}};
    const struct cluster_state *state = state_of(node);
    bool is_known = true;
    byte_buffer_reset(&meta->bytes);
    if (state != NULL) {
        is_known = describe_cluster(state, &described);
    } else {
        described.replication = 1;
        described.spread = node->topology.spread;
        described.slots = node->topology.slots;
        for (uint32_t i = 0; i < described.slots.shard_count; i++)
            described.parents[i] = BUCKET_META_NO_PARENT;
    }
    if (is_known)
        bucket_meta_encode(&described, &meta->bytes);
    if (meta->bytes.failed)
        byte_buffer_clear(&meta->bytes); /* with the next look */
    meta->key = described.key;
    bucket_meta_clear(&described);
}

/* --- On a worker ------------------------------------------------------------------------------ */

/* Keys of meta objects, in their order. */
struct meta_names {
    char texts[KEYS_MAX][BUCKET_KEY_MAX];
    int64_t modified_ms[KEYS_MAX];
    size_t count;
};

static bool visit_meta(void *context, const struct object_info *object)
{
    struct meta_names *names = context;
    struct bucket_meta_key key;
    if (!bucket_meta_key_parse(object->key, &key))
        return true;
    names->modified_ms[names->count] = object->modified_ms;
    snprintf(names->texts[names->count++], BUCKET_KEY_MAX, "%.*s", TEXT_ARGUMENTS(object->key));
    return names->count < KEYS_MAX;
}

/* Whoever read one may read it for the grace after the next was put. */
static void remove_old(struct object_store *store, const struct object_call *call,
                       uint64_t delete_grace_ms, struct text newest, struct error *error)
{
    struct meta_names *names = calloc(1, sizeof *names);
    struct text keys[KEYS_MAX];
    size_t count = 0;
    int64_t now_ms = clock_now_ms(clock_system());
    struct object_range range = {.prefix = TEXT(BUCKET_META_PREFIX)};
    if (names == NULL) {
        error_set(error, ERROR_OUT_OF_MEMORY, "meta objects of the bucket");
        return;
    }
    enum error_code code = object_store_list(store, call, &range, visit_meta, names, error);
    for (size_t i = 0; code == ERROR_NONE && i + 1 < names->count; i++)
        if (text_compare(text_of(names->texts[i]), newest) < 0 &&
            now_ms - names->modified_ms[i + 1] >= (int64_t)delete_grace_ms)
            keys[count++] = text_of(names->texts[i]);
    if (code == ERROR_NONE && count > 0)
        (void)object_store_remove_many(store, call, keys, count,
                                       error); /* its outcome is in the error */
    free(names);
}

void node_bucket_meta_put(struct node_bucket_meta *meta, struct object_store *store,
                          const struct object_call *call, uint64_t delete_grace_ms)
{
    char text[BUCKET_KEY_MAX];
    struct object_info info;
    struct text key = bucket_meta_key_format(&meta->key, text);
    error_clear(&meta->error);
    enum error_code code =
        object_store_put(store, call, key, meta->bytes.bytes, meta->bytes.size, &meta->error);
    if (code == ERROR_NONE)
        code = object_store_head(store, call, key, &info, &meta->error);
    if (code == ERROR_NONE && info.size_bytes != meta->bytes.size)
        code = error_set(&meta->error, ERROR_CORRUPT, "%zu bytes were put, %llu are there",
                         meta->bytes.size, (unsigned long long)info.size_bytes);
    if (code == ERROR_NONE)
        remove_old(store, call, delete_grace_ms, key, &meta->error);
    else
        error_wrap(&meta->error, "put '%.*s'", TEXT_ARGUMENTS(key));
}

void node_bucket_meta_done(struct node_bucket_meta *meta)
{
    bool was_tried = meta->bytes.size > 0;
    byte_buffer_reset(&meta->bytes);
    if (!was_tried)
        return;
    if (meta->error.code != ERROR_NONE) {
        log_event(LOG_ERROR, "server",
                  "the meta object of the bucket was not put, it is tried again", "error=\"%s\"",
                  meta->error.message);
        meta->retry_ms = clock_monotonic_ms(clock_system()) + RETRY_MS;
        return;
    }
    meta->was_put = true;
    meta->put_index = meta->key.index;
    meta->put_ms = clock_monotonic_ms(clock_system());
}
