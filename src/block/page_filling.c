#include "page_filling.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

/* --- Decompressors ---------------------------------------------------------------------------- */

void decompressor_pool_init(struct decompressor_pool *pool)
{
    *pool = (struct decompressor_pool){0};
    pthread_mutex_init(&pool->lock, NULL);
}

void decompressor_pool_clear(struct decompressor_pool *pool)
{
    for (size_t i = 0; i < pool->count; i++)
        ZSTD_freeDCtx(pool->kept[i]);
    pthread_mutex_destroy(&pool->lock);
}

static ZSTD_DCtx *decompressor_take(struct decompressor_pool *pool)
{
    ZSTD_DCtx *decompressor = NULL;
    pthread_mutex_lock(&pool->lock);
    if (pool->count > 0)
        decompressor = pool->kept[--pool->count];
    pthread_mutex_unlock(&pool->lock);
    return decompressor != NULL ? decompressor : ZSTD_createDCtx();
}

static void decompressor_give(struct decompressor_pool *pool, ZSTD_DCtx *decompressor)
{
    pthread_mutex_lock(&pool->lock);
    if (pool->count < DECOMPRESSORS_KEPT) {
        pool->kept[pool->count++] = decompressor;
        decompressor = NULL;
    }
    pthread_mutex_unlock(&pool->lock);
    ZSTD_freeDCtx(decompressor);
}

/* --- Reading -----------------------------------------------------------------------------------
 */

static enum error_code decompress(struct decompressor_pool *pool, const struct page_head *head,
                                  const uint8_t *stored, uint8_t **memory_out, struct error *error)
{
    /* Before the size in the head is believed: the frame itself says how much is in it. */
    if (ZSTD_getFrameContentSize(stored, head->stored_bytes) != head->raw_bytes)
        return error_set(error, ERROR_CORRUPT, "page: sizes of page and zstd frame differ");
    uint8_t *memory = malloc((size_t)head->raw_bytes + PAGE_SLACK_BYTES);
    ZSTD_DCtx *decompressor = decompressor_take(pool);
    if (memory == NULL || decompressor == NULL) {
        free(memory);
        ZSTD_freeDCtx(decompressor);
        return error_set(error, ERROR_OUT_OF_MEMORY, "page of %u bytes", head->raw_bytes);
    }
    size_t result =
        ZSTD_decompressDCtx(decompressor, memory, head->raw_bytes, stored, head->stored_bytes);
    decompressor_give(pool, decompressor);
    if (ZSTD_isError(result) || result != head->raw_bytes) {
        free(memory);
        return error_set(error, ERROR_CORRUPT, "page: broken zstd frame");
    }
    memset(memory + head->raw_bytes, 0, PAGE_SLACK_BYTES);
    *memory_out = memory;
    return ERROR_NONE;
}

static enum error_code read_page(const struct file_page *page, struct page_made *made_out,
                                 struct error *error)
{
    struct page_reference reference = page->reference;
    size_t allocated = (size_t)reference.size_bytes + PAGE_SLACK_BYTES;
    uint8_t *memory = malloc(allocated);
    if (memory == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "page of %u bytes", reference.size_bytes);
    struct page_head head;
    enum error_code code =
        page_source_read(page->source, reference.offset_bytes, memory, reference.size_bytes, error);
    if (code == ERROR_NONE)
        code = page_head_decode(memory, reference.size_bytes, &head, error);
    if (code != ERROR_NONE) {
        free(memory);
        return code;
    }
    const uint8_t *bytes = memory + PAGE_HEAD_BYTES;
    memset(memory + reference.size_bytes, 0, PAGE_SLACK_BYTES);
    if (head.compression == PAGE_ZSTD) {
        uint8_t *raw = NULL;
        code = decompress(page->pool, &head, bytes, &raw, error);
        free(memory);
        if (code != ERROR_NONE)
            return code;
        memory = raw;
        bytes = raw;
        allocated = (size_t)head.raw_bytes + PAGE_SLACK_BYTES;
    }
    *made_out = (struct page_made){
        .memory = memory,
        .bytes = bytes,
        .size = head.raw_bytes,
        .allocated_bytes = allocated,
        .read_bytes = reference.size_bytes,
        .kind = head.kind,
    };
    return ERROR_NONE;
}

/* Replace what was read by what is kept. */
static enum error_code prepare(const struct page_preparation *preparation, struct page_made *made,
                               struct error *error)
{
    uint8_t *memory;
    size_t size;
    enum error_code code = preparation->prepare(made->bytes, made->size, &memory, &size, error);
    free(made->memory);
    if (code != ERROR_NONE)
        return code;
    made->memory = memory;
    made->bytes = memory;
    made->size = made->allocated_bytes = size;
    made->kind = preparation->kept;
    return ERROR_NONE;
}

enum error_code file_page_make(struct page_maker *maker, struct page_made *made_out,
                               struct error *error)
{
    const struct file_page *page = (const struct file_page *)maker;
    enum error_code code = read_page(page, made_out, error);
    if (code == ERROR_NONE && page->preparation != NULL &&
        page->preparation->read == made_out->kind)
        code = prepare(page->preparation, made_out, error);
    return code;
}
