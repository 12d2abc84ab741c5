#include <string.h>

#include "s3_document.h"
#include "s3_judge.h"
#include "s3_store.h"

/* S3 takes 1000. Some servers remove them one by one, hundreds a second, before they answer. */
enum { REMOVALS_MAX = 250, REMOVAL_PATIENCE = 6 };

/* --- Listing ------------------------------------------------------------------------------- */

struct listing {
    struct s3_store *store;
    object_visit *visit;
    void *context;
    struct byte_buffer after; /* a full key */
    struct s3_list_page page;
};

static bool visit_nothing(void *context, const struct s3_list_entry *entry)
{
    (void)context, (void)entry;
    return true;
}

/* Nothing of a page is visited before all of it is known to be right: it may come again. */
static enum error_code accept_page(struct s3_request *request, struct error *error)
{
    struct listing *listing = request->context;
    return s3_list_parse(s3_text_in(&request->exchange.answer), s3_text_in(&listing->after),
                         visit_nothing, NULL, &listing->page, error);
}

static bool visit_entry(void *context, const struct s3_list_entry *entry)
{
    const struct listing *listing = context;
    const struct s3_store *store = listing->store;
    struct text prefix = {store->prefix, store->prefix_size};
    if (!text_starts_with(entry->key, prefix))
        return true;
    struct object_info info = {
        .key = {entry->key.data + prefix.size, entry->key.size - prefix.size},
        .size_bytes = entry->size_bytes,
        .modified_ms = entry->modified_ms,
    };
    return !object_key_is_valid(info.key) || listing->visit(listing->context, &info);
}

static enum error_code list_page(struct listing *listing, const struct object_call *call,
                                 struct text prefix, struct error *error)
{
    struct byte_buffer query = {0};
    struct s3_request request = {.operation = OBJECT_OPERATION_LIST,
                                 .method = "GET",
                                 .accept = accept_page,
                                 .context = listing};
    s3_query_add(&query, "encoding-type", TEXT("url"));
    s3_query_add(&query, "list-type", TEXT("2"));
    s3_query_add_number(&query, "max-keys", listing->store->page_entries);
    s3_query_add(&query, "prefix", prefix);
    if (listing->after.size > 0)
        s3_query_add(&query, "start-after", s3_text_in(&listing->after));
    if (query.failed || listing->after.failed) {
        byte_buffer_clear(&query);
        return error_set(error, ERROR_OUT_OF_MEMORY, "list of objects");
    }
    request.query = s3_text_in(&query);
    enum error_code code = s3_request_run(&listing->store->sender, call, &request);
    if (code == ERROR_NONE)
        code = s3_list_parse(s3_text_in(&request.exchange.answer), s3_text_in(&listing->after),
                             visit_entry, listing, &listing->page, &request.error);
    if (code != ERROR_NONE)
        *error = request.error;
    s3_request_clear(&request);
    byte_buffer_clear(&query);
    return code;
}

enum error_code s3_store_list(struct object_store *self, const struct object_call *call,
                              const struct object_range *range, object_visit *visit, void *context,
                              struct error *error)
{
    struct s3_store *store = s3_store_of(self);
    struct listing listing = {.store = store, .visit = visit, .context = context};
    struct byte_buffer prefix = {0};
    byte_buffer_append(&prefix, store->prefix, store->prefix_size);
    byte_buffer_append(&prefix, range->prefix.data, range->prefix.size);
    if (range->start_after.size > 0) {
        byte_buffer_append(&listing.after, store->prefix, store->prefix_size);
        byte_buffer_append(&listing.after, range->start_after.data, range->start_after.size);
    }
    enum error_code code = prefix.failed || listing.after.failed
                               ? error_set(error, ERROR_OUT_OF_MEMORY, "list of objects")
                               : ERROR_NONE;
    bool goes_on = code == ERROR_NONE;
    while (goes_on) {
        code = list_page(&listing, call, s3_text_in(&prefix), error);
        goes_on = code == ERROR_NONE && listing.page.has_more && !listing.page.is_stopped;
        if (goes_on) {
            byte_buffer_reset(&listing.after);
            byte_buffer_append(&listing.after, listing.page.last_key.bytes,
                               listing.page.last_key.size);
        }
    }
    byte_buffer_clear(&listing.page.last_key);
    byte_buffer_clear(&listing.after);
    byte_buffer_clear(&prefix);
    return code;
}

/* --- Removing ------------------------------------------------------------------------------ */

static enum error_code remove_one(struct s3_store *store, const struct object_call *call,
                                  struct text key, struct error *error)
{
    char target[S3_KEY_BYTES_MAX];
    struct s3_request request = {.operation = OBJECT_OPERATION_DELETE, .method = "DELETE"};
    enum error_code code = s3_full_key(store, key, target, &request.key, error);
    if (code != ERROR_NONE)
        return code;
    code = s3_request_run(&store->sender, call, &request);
    /* Also when it was an attempt before that removed it. */
    if (code == ERROR_NOT_FOUND)
        code = ERROR_NONE;
    else if (code != ERROR_NONE)
        *error = request.error;
    s3_request_clear(&request);
    return code;
}

static enum error_code accept_removal(struct s3_request *request, struct error *error)
{
    const struct s3_store *store = request->context;
    const struct exchange *exchange = &request->exchange;
    struct s3_refusal refusal;
    struct s3_verdict verdict;
    bool has_failed;
    enum error_code code =
        s3_delete_parse(s3_text_in(&exchange->answer), &has_failed, &refusal, error);
    if (code != ERROR_NONE || !has_failed)
        return code;
    struct s3_place place = {
        .endpoint = store->sender.endpoint,
        .bucket = store->sender.bucket,
        .region = store->sender.region,
        .access_key = request->credentials->access_key,
        .key_source = request->credentials->source,
        .action = "delete objects",
        .now_ms = clock_now_ms(store->sender.clock),
    };
    return s3_judge_refusal(&refusal, exchange->status, &exchange->head, &place, &verdict, error);
}

/* The body of DeleteObjects. */
static enum error_code write_removal(const struct s3_store *store, const struct text *keys,
                                     size_t count, struct byte_buffer *body, struct error *error)
{
    struct text begin = TEXT("<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
                             "<Quiet>true</Quiet>");
    byte_buffer_append(body, begin.data, begin.size);
    for (size_t i = 0; i < count; i++) {
        char target[S3_KEY_BYTES_MAX];
        struct text full;
        enum error_code code = s3_full_key(store, keys[i], target, &full, error);
        if (code != ERROR_NONE)
            return code;
        byte_buffer_append(body, "<Object><Key>", strlen("<Object><Key>"));
        s3_escape_xml(body, full);
        byte_buffer_append(body, "</Key></Object>", strlen("</Key></Object>"));
    }
    byte_buffer_append(body, "</Delete>", strlen("</Delete>"));
    return body->failed ? error_set(error, ERROR_OUT_OF_MEMORY, "removal of objects") : ERROR_NONE;
}

static enum error_code remove_page(struct s3_store *store, const struct object_call *call,
                                   const struct text *keys, size_t count, struct error *error)
{
    struct byte_buffer body = {0};
    uint8_t digest[S3_MD5_BYTES];
    char digest_text[S3_MD5_BASE64_BYTES];
    struct s3_request request = {.operation = OBJECT_OPERATION_DELETE,
                                 .method = "POST",
                                 .query = TEXT("delete="),
                                 .patience = REMOVAL_PATIENCE,
                                 .accept = accept_removal,
                                 .context = store};
    enum error_code code = write_removal(store, keys, count, &body, error);
    if (code == ERROR_NONE) {
        s3_md5(body.bytes, body.size, digest);
        s3_base64(digest, sizeof digest, digest_text);
        s3_request_header(&request, "content-md5", "%s", digest_text);
        s3_request_header(&request, "content-type", "application/xml");
        s3_request_set_body(&request, s3_text_in(&body));
        code = s3_request_run(&store->sender, call, &request);
        if (code != ERROR_NONE)
            *error = request.error;
    }
    s3_request_clear(&request);
    byte_buffer_clear(&body);
    return code;
}

enum error_code s3_store_remove(struct object_store *self, const struct object_call *call,
                                const struct text *keys, size_t count, struct error *error)
{
    struct s3_store *store = s3_store_of(self);
    enum error_code code = ERROR_NONE;
    for (size_t done = 0; done < count && code == ERROR_NONE;) {
        size_t page = store->page_entries < REMOVALS_MAX ? store->page_entries : REMOVALS_MAX;
        size_t step = count - done > page ? page : count - done;
        code = step == 1 ? remove_one(store, call, keys[done], error)
                         : remove_page(store, call, keys + done, step, error);
        done += step;
    }
    return code;
}
