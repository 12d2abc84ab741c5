#include "s3_upload_list.h"

#include <stdlib.h>
#include <string.h>

/* --- Reading ------------------------------------------------------------------------------- */

struct page_reading {
    struct s3_open_uploads *uploads;
    size_t count_before; /* an attempt that failed adds none */
    struct s3_uploads_page page;
};

static void drop_behind(struct s3_open_uploads *uploads, size_t count)
{
    while (uploads->count > count) {
        struct s3_open_upload *last = &uploads->uploads[--uploads->count];
        free(last->key);
        free(last->id);
    }
}

static enum error_code add_upload(void *context, const struct s3_upload_entry *entry,
                                  struct error *error)
{
    struct s3_open_uploads *uploads = context;
    if (uploads->count == uploads->capacity) {
        size_t capacity = uploads->capacity == 0 ? 16 : uploads->capacity * 2;
        struct s3_open_upload *grown = reallocarray(uploads->uploads, capacity, sizeof *grown);
        if (grown == NULL)
            return error_set(error, ERROR_OUT_OF_MEMORY, "list of uploads");
        uploads->uploads = grown;
        uploads->capacity = capacity;
    }
    struct s3_open_upload *added = &uploads->uploads[uploads->count++];
    *added = (struct s3_open_upload){.key = strndup(entry->key.data, entry->key.size),
                                     .id = strndup(entry->id.data, entry->id.size),
                                     .begun_ms = entry->begun_ms};
    return added->key != NULL && added->id != NULL
               ? ERROR_NONE
               : error_set(error, ERROR_OUT_OF_MEMORY, "list of uploads");
}

static enum error_code accept_page(struct s3_request *request, struct error *error)
{
    struct page_reading *reading = request->context;
    drop_behind(reading->uploads, reading->count_before);
    return s3_uploads_parse(s3_text_in(&request->exchange.answer), add_upload, reading->uploads,
                            &reading->page, error);
}

static enum error_code read_page(struct s3_store *store, const struct object_call *call,
                                 struct text prefix, const struct byte_buffer *key_marker,
                                 const struct byte_buffer *id_marker, struct page_reading *reading,
                                 struct error *error)
{
    struct byte_buffer query = {0};
    struct s3_request request = {.operation = OBJECT_OPERATION_UPLOAD_LIST,
                                 .method = "GET",
                                 .accept = accept_page,
                                 .context = reading};
    s3_query_add(&query, "encoding-type", TEXT("url"));
    if (key_marker->size > 0)
        s3_query_add(&query, "key-marker", s3_text_in(key_marker));
    s3_query_add_number(&query, "max-uploads", store->page_entries);
    s3_query_add(&query, "prefix", prefix);
    if (key_marker->size > 0 && id_marker->size > 0)
        s3_query_add(&query, "upload-id-marker", s3_text_in(id_marker));
    s3_query_add(&query, "uploads", TEXT(""));
    request.query = s3_text_in(&query);
    enum error_code code = query.failed ? error_set(error, ERROR_OUT_OF_MEMORY, "list of uploads")
                                        : s3_request_run(&store->sender, call, &request);
    if (code != ERROR_NONE && !query.failed)
        *error = request.error;
    s3_request_clear(&request);
    byte_buffer_clear(&query);
    return code;
}

static bool is_same(const struct byte_buffer *left, const struct byte_buffer *right)
{
    return text_equal(s3_text_in(left), s3_text_in(right));
}

enum error_code s3_open_uploads_read(struct s3_store *store, const struct object_call *call,
                                     struct text prefix, struct s3_open_uploads *uploads,
                                     struct error *error)
{
    struct page_reading reading = {.uploads = uploads};
    struct byte_buffer key_marker = {0}, id_marker = {0};
    enum error_code code;
    do {
        reading.count_before = uploads->count;
        code = read_page(store, call, prefix, &key_marker, &id_marker, &reading, error);
        struct s3_uploads_page *page = &reading.page;
        if (code == ERROR_NONE && page->has_more && is_same(&key_marker, &page->key_marker) &&
            is_same(&id_marker, &page->id_marker))
            code = error_set(error, ERROR_CORRUPT, "the store's list of uploads does not go on");
        struct byte_buffer key = key_marker, id = id_marker;
        key_marker = page->key_marker;
        id_marker = page->id_marker;
        page->key_marker = key;
        page->id_marker = id;
    } while (code == ERROR_NONE && reading.page.has_more);
    byte_buffer_clear(&key_marker);
    byte_buffer_clear(&id_marker);
    byte_buffer_clear(&reading.page.key_marker);
    byte_buffer_clear(&reading.page.id_marker);
    return code;
}

void s3_open_uploads_clear(struct s3_open_uploads *uploads)
{
    drop_behind(uploads, 0);
    free(uploads->uploads);
    *uploads = (struct s3_open_uploads){0};
}

/* --- Aborting ------------------------------------------------------------------------------ */

enum error_code s3_upload_abort(struct s3_store *store, const struct object_call *call,
                                struct text full, const char *id, struct error *error)
{
    struct byte_buffer query = {0};
    struct s3_request request = {
        .operation = OBJECT_OPERATION_UPLOAD_ABORT, .method = "DELETE", .key = full};
    s3_query_add(&query, "uploadId", text_of(id));
    request.query = s3_text_in(&query);
    enum error_code code = query.failed
                               ? error_set(error, ERROR_OUT_OF_MEMORY, "abort of an upload")
                               : s3_request_run(&store->sender, call, &request);
    if (code == ERROR_NOT_FOUND)
        code = ERROR_NONE;
    else if (code != ERROR_NONE && !query.failed)
        *error = request.error;
    s3_request_clear(&request);
    byte_buffer_clear(&query);
    return code;
}

static enum error_code abort_some(struct s3_store *store, const struct object_call *call,
                                  struct text prefix, const struct text *only,
                                  int64_t begun_before_ms, size_t *count_out, struct error *error)
{
    struct s3_open_uploads uploads = {0};
    enum error_code code = s3_open_uploads_read(store, call, prefix, &uploads, error);
    for (size_t i = 0; i < uploads.count && code == ERROR_NONE; i++) {
        struct text key = text_of(uploads.uploads[i].key);
        if ((only != NULL && !text_equal(key, *only)) ||
            uploads.uploads[i].begun_ms >= begun_before_ms)
            continue;
        code = s3_upload_abort(store, call, key, uploads.uploads[i].id, error);
        *count_out += code == ERROR_NONE;
    }
    s3_open_uploads_clear(&uploads);
    return code;
}

enum error_code s3_store_abandon_put(struct object_store *self, const struct object_call *call,
                                     struct text key, struct error *error)
{
    char target[S3_KEY_BYTES_MAX];
    struct text full;
    size_t count = 0;
    enum error_code code = s3_full_key(s3_store_of(self), key, target, &full, error);
    if (code != ERROR_NONE)
        return code;
    return abort_some(s3_store_of(self), call, full, &full, INT64_MAX, &count, error);
}

enum error_code s3_store_sweep_puts(struct object_store *self, const struct object_call *call,
                                    struct text prefix, int64_t begun_before_ms, size_t *count_out,
                                    struct error *error)
{
    struct s3_store *store = s3_store_of(self);
    struct byte_buffer full = {0};
    byte_buffer_append(&full, store->prefix, store->prefix_size);
    byte_buffer_append(&full, prefix.data, prefix.size);
    *count_out = 0;
    enum error_code code = full.failed ? error_set(error, ERROR_OUT_OF_MEMORY, "sweep of uploads")
                                       : abort_some(store, call, s3_text_in(&full), NULL,
                                                    begun_before_ms, count_out, error);
    byte_buffer_clear(&full);
    return code;
}
