#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "s3_store.h"

/* --- Ranges -------------------------------------------------------------------------------- */

struct reading {
    struct s3_request request;
    struct object_read *read;
    bool lacks_size; /* it is not known how large the object is */
    char key[S3_KEY_BYTES_MAX];
};

static enum error_code set_corrupt(struct error *error, const char *what)
{
    return error_set(error, ERROR_CORRUPT, "the object store's answer: %s", what);
}

/* [*first_out, *last_out] of an object of this size; false: nothing. */
static bool range_of(const struct object_read *read, uint64_t object_bytes, uint64_t *first_out,
                     uint64_t *last_out)
{
    uint64_t first = read->offset_bytes;
    if (read->place == OBJECT_READ_TAIL)
        first = object_bytes > read->size_bytes ? object_bytes - read->size_bytes : 0;
    if (first >= object_bytes)
        return false;
    *first_out = first;
    *last_out =
        (object_bytes - first > read->size_bytes ? first + read->size_bytes : object_bytes) - 1;
    return true;
}

/* The range begins behind the end. */
static enum error_code accept_nothing(struct reading *reading, const struct s3_headers *head,
                                      struct error *error)
{
    struct object_read *read = reading->read;
    uint64_t first, last;
    reading->lacks_size = !head->has_total;
    if (head->has_total && range_of(read, head->total_bytes, &first, &last))
        return set_corrupt(error, "it refuses a range that is in the object");
    read->read_bytes = 0;
    read->object_bytes = head->total_bytes;
    return ERROR_NONE;
}

static enum error_code accept_bytes(struct reading *reading, uint64_t object_bytes, uint64_t first,
                                    uint64_t last, struct error *error)
{
    struct object_read *read = reading->read;
    const struct exchange *exchange = &reading->request.exchange;
    uint64_t wanted_first, wanted_last;
    if (!range_of(read, object_bytes, &wanted_first, &wanted_last) || first != wanted_first ||
        last != wanted_last)
        return set_corrupt(error, "another range than was asked for");
    if (exchange->target_filled != last - first + 1)
        return set_corrupt(error, "the range was cut");
    if (exchange->head.has_checksum && exchange->target_filled == object_bytes &&
        crc32c(0, read->target, exchange->target_filled) != exchange->head.checksum)
        return set_corrupt(error, "the bytes do not have the checksum that they were put with");
    read->read_bytes = exchange->target_filled;
    read->object_bytes = object_bytes;
    return ERROR_NONE;
}

static enum error_code accept_range(struct s3_request *request, struct error *error)
{
    struct reading *reading = request->context;
    const struct exchange *exchange = &request->exchange;
    const struct s3_headers *head = &exchange->head;
    if (exchange->status == 416)
        return accept_nothing(reading, head, error);
    if (exchange->status == 206)
        return head->has_range && head->has_total
                   ? accept_bytes(reading, head->total_bytes, head->range_first, head->range_last,
                                  error)
                   : set_corrupt(error, "it does not say which range");
    if (exchange->status != 200)
        return set_corrupt(error, "a strange status");
    /* Some send all of an object as if no range was asked for. */
    uint64_t size_bytes = exchange->target_filled;
    if (size_bytes == 0)
        return accept_nothing(reading, &(struct s3_headers){.has_total = true}, error);
    return accept_bytes(reading, size_bytes, 0, size_bytes - 1, error);
}

/* Whether it is to be sent. */
static bool prepare(struct s3_store *store, struct reading *reading, struct object_read *read)
{
    struct s3_request *request = &reading->request;
    assert(read->size_bytes > 0);
    reading->read = read;
    error_clear(&read->error);
    if (s3_full_key(store, read->key, reading->key, &request->key, &read->error) != ERROR_NONE)
        return false;
    request->operation = OBJECT_OPERATION_GET;
    request->method = "GET";
    request->target = read->target;
    request->target_bytes = read->size_bytes;
    request->takes_416 = true;
    request->accept = accept_range;
    request->context = reading;
    if (read->place == OBJECT_READ_TAIL) {
        s3_request_header(request, "range", "bytes=-%zu", read->size_bytes);
    } else {
        uint64_t room = UINT64_MAX - read->offset_bytes;
        uint64_t last =
            read->offset_bytes + (read->size_bytes - 1 < room ? read->size_bytes - 1 : room);
        s3_request_header(request, "range", "bytes=%llu-%llu",
                          (unsigned long long)read->offset_bytes, (unsigned long long)last);
    }
    s3_encrypt_part(store, request);
    return true;
}

static void finish(struct s3_store *store, const struct object_call *call, struct reading *reading)
{
    struct object_read *read = reading->read;
    read->error = reading->request.error;
    if (read->error.code != ERROR_NONE || !reading->lacks_size)
        return;
    struct s3_facts facts;
    if (s3_read_facts(store, call, reading->request.key, &facts, &read->error) == ERROR_NONE)
        read->object_bytes = facts.size_bytes;
}

void s3_store_read(struct object_store *self, const struct object_call *call,
                   struct object_read *reads, size_t count)
{
    struct s3_store *store = s3_store_of(self);
    struct s3_batch batch;
    struct reading *readings = calloc(count == 0 ? 1 : count, sizeof *readings);
    if (readings == NULL) {
        for (size_t i = 0; i < count; i++)
            error_set(&reads[i].error, ERROR_OUT_OF_MEMORY, "read of an object");
        return;
    }
    s3_batch_init(&batch, &store->sender, call);
    for (size_t i = 0; i < count; i++)
        if (prepare(store, &readings[i], &reads[i]))
            s3_batch_add(&batch, &readings[i].request);
    struct s3_request *request;
    while ((request = s3_batch_next(&batch)) != NULL) {
        finish(store, call, request->context);
        s3_request_clear(request);
    }
    s3_batch_clear(&batch);
    free(readings);
}

/* --- Facts --------------------------------------------------------------------------------- */

static enum error_code accept_head(struct s3_request *request, struct error *error)
{
    return request->exchange.head.has_size
               ? ERROR_NONE
               : set_corrupt(error, "it does not say how large the object is");
}

/* The answer to HEAD has no body, which would tell why it is refused. The same for reading does;
 * `error` stays as it is when that is not refused. */
static void explain(struct s3_store *store, const struct object_call *call, struct text full,
                    struct error *error)
{
    struct s3_request request = {
        .operation = OBJECT_OPERATION_GET, .method = "GET", .key = full, .takes_416 = true};
    s3_request_header(&request, "range", "bytes=0-0");
    s3_encrypt_part(store, &request);
    if (s3_request_run(&store->sender, call, &request) == ERROR_DENIED)
        *error = request.error;
    s3_request_clear(&request);
}

enum error_code s3_read_facts(struct s3_store *store, const struct object_call *call,
                              struct text full, struct s3_facts *facts_out, struct error *error)
{
    struct s3_request request = {
        .operation = OBJECT_OPERATION_HEAD, .method = "HEAD", .key = full, .accept = accept_head};
    s3_encrypt_part(store, &request);
    enum error_code code = s3_request_run(&store->sender, call, &request);
    if (code == ERROR_NONE) {
        const struct s3_headers *head = &request.exchange.head;
        *facts_out =
            (struct s3_facts){.size_bytes = head->size_bytes, .modified_ms = head->modified_ms};
        if (s3_etag_is_md5(store, head))
            memcpy(facts_out->etag, head->etag, sizeof head->etag);
    } else {
        *error = request.error;
        if (code == ERROR_DENIED)
            explain(store, call, full, error);
    }
    s3_request_clear(&request);
    return code;
}

enum error_code s3_store_head(struct object_store *self, const struct object_call *call,
                              struct text key, struct object_info *info_out, struct error *error)
{
    struct s3_store *store = s3_store_of(self);
    char target[S3_KEY_BYTES_MAX];
    struct text full;
    struct s3_facts facts;
    enum error_code code = s3_full_key(store, key, target, &full, error);
    if (code == ERROR_NONE)
        code = s3_read_facts(store, call, full, &facts, error);
    if (code == ERROR_NONE)
        *info_out =
            (struct object_info){.size_bytes = facts.size_bytes, .modified_ms = facts.modified_ms};
    return code;
}
