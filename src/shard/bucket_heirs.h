/*
 * bucket_heirs - what the lists of shards that were split off name below the keys of their parent.
 * Private to shard.
 *
 * All lists of an heir count that are there, and those of its heirs: as long as a list may be read,
 * so may what it names. A list that an old listing does not show is newer, and names no more.
 */
#ifndef SHARD_BUCKET_HEIRS_H
#define SHARD_BUCKET_HEIRS_H

#include "object/object_store.h"
#include "shard/bucket_list.h"

struct heir_search {
    struct object_store *store;
    const struct object_call *call;
    uint32_t shard_id; /* the parent */

    /* Found; owned. */
    struct bucket_block_key
        *keys; /* [key_count], below the parent's keys, sorted when it is done */
    size_t key_count;
    uint32_t *heirs; /* [heir_count], each once; those before `visited` were looked at */
    size_t heir_count;
    size_t visited;
    bool lacks_list; /* an heir has none that is whole */
};

/* Errors: of the store, OUT_OF_MEMORY. */
enum error_code heir_search_run(struct heir_search *search, const uint32_t *heirs,
                                size_t heir_count, struct error *error);
bool heir_search_names(const struct heir_search *search, const struct bucket_block_key *key);
void heir_search_clear(struct heir_search *search);

#endif
