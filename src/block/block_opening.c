#include "block_opening.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "platform/no_wait.h"

/* --- Life ------------------------------------------------------------------------------------- */

enum error_code block_opening_create(struct page_cache *cache, struct block_opener *opener,
                                     const struct file_summary *summary,
                                     struct block_opening **opening_out, struct error *error)
{
    struct block_opening *opening = calloc(1, sizeof *opening);
    if (opening == NULL) {
        opener->close(opener);
        return error_set(error, ERROR_OUT_OF_MEMORY, "block");
    }
    opening->cache = cache;
    opening->opener = opener;
    opening->summary = *summary;
    pthread_mutex_init(&opening->lock, NULL);
    pthread_cond_init(&opening->ended, NULL);
    *opening_out = opening;
    return ERROR_NONE;
}

void block_opening_destroy(struct block_opening *opening)
{
    if (opening == NULL)
        return;
    assert(!opening->is_running);
    block_unref(atomic_load(&opening->opened));
    opening->opener->close(opening->opener);
    pthread_cond_destroy(&opening->ended);
    pthread_mutex_destroy(&opening->lock);
    free(opening);
}

/* --- Opening ---------------------------------------------------------------------------------- */

/* What bears the name may still be another block than the one that is spoken of. */
static enum error_code open_and_check(struct block_opening *opening, struct block **block_out,
                                      struct error *error)
{
    struct page_source *source;
    struct block *block;
    char name[DISK_PATH_MAX + 1];
    enum error_code code = opening->opener->open_source(opening->opener, &source, error);
    if (code != ERROR_NONE)
        return code;
    snprintf(name, sizeof name, "%s", source->name);
    code = block_open(opening->cache, source, &block, error);
    if (code != ERROR_NONE)
        return code;
    struct file_summary found = block_summary(block);
    if (found.series_count != opening->summary.series_count ||
        !hash128_equal(found.content_checksum, opening->summary.content_checksum)) {
        block_unref(block);
        return error_set(error, ERROR_CORRUPT, "'%s' has not the content that it was written with",
                         name);
    }
    *block_out = block;
    return ERROR_NONE;
}

/* Of the one thread that found nobody at it. Unlocked meanwhile. */
static void attempt(struct block_opening *opening)
{
    struct block *block = NULL;
    struct error error;
    opening->is_running = true;
    pthread_mutex_unlock(&opening->lock);
    error_clear(&error);
    (void)open_and_check(opening, &block, &error); /* how it went is in the error */
    pthread_mutex_lock(&opening->lock);
    opening->is_running = false;
    opening->attempts++;
    opening->last_error = error;
    atomic_store_explicit(&opening->opened, block, memory_order_release);
    pthread_cond_broadcast(&opening->ended);
}

enum error_code block_opening_wait(struct block_opening *opening, struct block **block_out,
                                   struct error *error)
{
    enum error_code code = ERROR_NONE;
    struct block *block = block_opening_peek(opening);
    if (block != NULL) {
        *block_out = block;
        return ERROR_NONE;
    }
    if (no_wait_applies())
        return error_set(error, ERROR_WOULD_WAIT, "a block is to be opened");
    pthread_mutex_lock(&opening->lock);
    uint64_t attempts = opening->attempts;
    if (opening->is_running) {
        while (opening->attempts == attempts)
            pthread_cond_wait(&opening->ended, &opening->lock);
    } else if (block_opening_peek(opening) == NULL) {
        attempt(opening);
    }
    block = block_opening_peek(opening);
    if (block == NULL) {
        *error = opening->last_error;
        code = error->code;
    }
    pthread_mutex_unlock(&opening->lock);
    if (code == ERROR_NONE)
        *block_out = block;
    return code;
}

/* --- Its index -------------------------------------------------------------------------------- */

static enum error_code index_inside(struct index_source *self, struct index_source **inside_out,
                                    struct error *error)
{
    struct block *block;
    enum error_code code = block_opening_wait(block_opening_of_index(self), &block, error);
    if (code == ERROR_NONE)
        *inside_out = block_index(block);
    return code;
}

static enum error_code deferred_all(struct index_source *self, struct text tenant,
                                    struct arena *arena, struct positions *positions_out,
                                    struct error *error)
{
    struct index_source *inside;
    enum error_code code = index_inside(self, &inside, error);
    return code == ERROR_NONE ? inside->operations->all(inside, tenant, arena, positions_out, error)
                              : code;
}

static enum error_code deferred_names(struct index_source *self, struct text tenant,
                                      index_name_visit *visit, void *context, struct error *error)
{
    struct index_source *inside;
    enum error_code code = index_inside(self, &inside, error);
    return code == ERROR_NONE ? inside->operations->names(inside, tenant, visit, context, error)
                              : code;
}

static enum error_code deferred_values(struct index_source *self, struct text tenant,
                                       struct text name, struct text prefix,
                                       index_value_visit *visit, void *context, struct error *error)
{
    struct index_source *inside;
    enum error_code code = index_inside(self, &inside, error);
    return code == ERROR_NONE
               ? inside->operations->values(inside, tenant, name, prefix, visit, context, error)
               : code;
}

static enum error_code deferred_find(struct index_source *self, struct text tenant,
                                     struct text name, struct text value,
                                     struct index_postings *postings_out, struct error *error)
{
    struct index_source *inside;
    enum error_code code = index_inside(self, &inside, error);
    return code == ERROR_NONE
               ? inside->operations->find(inside, tenant, name, value, postings_out, error)
               : code;
}

static enum error_code deferred_read(struct index_source *self, struct text tenant,
                                     struct index_postings postings, struct arena *arena,
                                     struct positions *positions_out, struct error *error)
{
    struct index_source *inside;
    enum error_code code = index_inside(self, &inside, error);
    return code == ERROR_NONE
               ? inside->operations->read(inside, tenant, postings, arena, positions_out, error)
               : code;
}

static enum error_code deferred_walk(struct index_source *self, struct text tenant,
                                     struct index_postings postings, index_positions_visit *visit,
                                     void *context, struct error *error)
{
    struct index_source *inside;
    enum error_code code = index_inside(self, &inside, error);
    return code == ERROR_NONE
               ? inside->operations->walk(inside, tenant, postings, visit, context, error)
               : code;
}

/* Checked when it is opened. */
static uint32_t deferred_position_end(struct index_source *self)
{
    return (uint32_t)block_opening_of_index(self)->summary.series_count;
}

static enum error_code deferred_labels(struct index_source *self, struct positions positions,
                                       struct arena *arena, struct labels *labels_out,
                                       struct error *error)
{
    struct index_source *inside;
    enum error_code code = index_inside(self, &inside, error);
    return code == ERROR_NONE
               ? inside->operations->labels(inside, positions, arena, labels_out, error)
               : code;
}

static enum error_code deferred_identities(struct index_source *self, struct positions positions,
                                           struct hash128 *identities_out, struct error *error)
{
    struct index_source *inside;
    enum error_code code = index_inside(self, &inside, error);
    return code == ERROR_NONE
               ? inside->operations->identities(inside, positions, identities_out, error)
               : code;
}

static enum error_code deferred_slots(struct index_source *self, struct positions positions,
                                      uint16_t *slots_out, struct error *error)
{
    struct index_source *inside;
    enum error_code code = index_inside(self, &inside, error);
    return code == ERROR_NONE ? inside->operations->slots(inside, positions, slots_out, error)
                              : code;
}

static uint64_t deferred_digest(struct index_source *self, struct text tenant, struct text name)
{
    struct block *block = block_opening_peek(block_opening_of_index(self));
    return block == NULL ? 0 : index_source_digest(block_index(block), tenant, name);
}

const struct index_source_operations DEFERRED_INDEX_OPERATIONS = {
    .digest = deferred_digest,
    .all = deferred_all,
    .names = deferred_names,
    .values = deferred_values,
    .find = deferred_find,
    .read = deferred_read,
    .walk = deferred_walk,
    .position_end = deferred_position_end,
    .labels = deferred_labels,
    .identities = deferred_identities,
    .slots = deferred_slots,
};
