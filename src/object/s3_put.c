#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "s3_store.h"

struct putting {
    struct s3_store *store;
    char md5[S3_MD5_HEX_BYTES];
};

/* What arrived is what was sent: the server checked the signed hash, and says the same. */
static enum error_code accept_put(struct s3_request *request, struct error *error)
{
    const struct putting *putting = request->context;
    const struct s3_headers *head = &request->exchange.head;
    if (!s3_etag_is_md5(putting->store, head) || strcmp(head->etag, putting->md5) == 0)
        return ERROR_NONE;
    return error_set(error, ERROR_CORRUPT,
                     "the object store's ETag '%s' is not the MD5 of what was sent (%s); if it has "
                     "other ETags on purpose, set object_store.s3.etag to opaque",
                     head->etag, putting->md5);
}

enum error_code s3_put_bytes(struct s3_store *store, const struct object_call *call,
                             struct text full, struct text bytes, struct error *error)
{
    struct putting putting = {.store = store};
    struct s3_request request = {.operation = OBJECT_OPERATION_PUT,
                                 .method = "PUT",
                                 .key = full,
                                 .accept = accept_put,
                                 .context = &putting};
    uint8_t digest[S3_MD5_BYTES];
    char digest_text[S3_MD5_BASE64_BYTES];
    s3_md5(bytes.data, bytes.size, digest);
    s3_hex(digest, sizeof digest, putting.md5);
    s3_base64(digest, sizeof digest, digest_text);
    s3_request_header(&request, "content-md5", "%s", digest_text);
    s3_request_header(&request, "content-type", "application/octet-stream");
    s3_request_header(&request, S3_CHECKSUM_HEADER, "%08x", crc32c(0, bytes.data, bytes.size));
    s3_encrypt_new(store, &request);
    s3_request_set_body(&request, bytes);
    enum error_code code = s3_request_run(&store->sender, call, &request);
    if (code != ERROR_NONE)
        *error = request.error;
    s3_request_clear(&request);
    return code;
}

enum error_code s3_store_put(struct object_store *self, const struct object_call *call,
                             struct text key, const void *bytes, size_t size, struct error *error)
{
    struct s3_store *store = s3_store_of(self);
    char target[S3_KEY_BYTES_MAX];
    struct text full;
    enum error_code code = s3_full_key(store, key, target, &full, error);
    if (code != ERROR_NONE)
        return code;
    return s3_put_bytes(store, call, full, (struct text){bytes, size}, error);
}
