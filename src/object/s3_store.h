/*
 * s3_store - the parts of the store on S3: what they share, and what each does.
 */
#ifndef OBJECT_S3_STORE_H
#define OBJECT_S3_STORE_H

#include "object/object_store.h"
#include "object/object_store_options.h"
#include "object_metrics.h"
#include "s3_request.h"
#include "stores.h"

/* Parts of one upload that we make: some servers take no more by default (S3 takes 10000). */
enum { S3_UPLOAD_PARTS_MAX = 1000 };

struct s3_store {
    struct object_store base;
    struct s3_sender sender;
    struct object_metrics metrics;
    char *prefix; /* "" or ends with "/" */
    size_t prefix_size;
    enum s3_encryption encryption;
    char *encryption_key;
    char encryption_key_md5[S3_MD5_BASE64_BYTES]; /* S3_ENCRYPTION_CUSTOMER */
    enum s3_etag etag;
    uint64_t part_bytes;
    uint32_t parts_at_once;
    uint32_t page_entries;
};

static inline struct s3_store *s3_store_of(struct object_store *self)
{
    return (struct s3_store *)self;
}

enum { S3_KEY_BYTES_MAX = OBJECT_KEY_MAX + 124 }; /* with the prefix: what S3 takes */

/* A key as the bucket has it. Errors: INVALID. */
enum error_code s3_full_key(const struct s3_store *store, struct text key,
                            char target[S3_KEY_BYTES_MAX], struct text *full_out,
                            struct error *error);

/* Append "name=value", the value escaped, after a "&" when it is not the first. Names come sorted,
 * as the signature wants. */
void s3_query_add(struct byte_buffer *query, const char *name, struct text value);

void s3_query_add_number(struct byte_buffer *query, const char *name, uint32_t value);

static inline struct text s3_text_in(const struct byte_buffer *buffer)
{
    return (struct text){(const char *)buffer->bytes, buffer->size};
}

/* Headers of encryption, for what makes an object, and for what reads one or adds a part. */
void s3_encrypt_new(const struct s3_store *store, struct s3_request *request);
void s3_encrypt_part(const struct s3_store *store, struct s3_request *request);

/* Whether an ETag that came with these headers is an MD5 of bytes. */
bool s3_etag_is_md5(const struct s3_store *store, const struct s3_headers *headers);

/* What the head of an object says. `etag` is "" when it says nothing of the bytes. */
struct s3_facts {
    uint64_t size_bytes;
    int64_t modified_ms;
    char etag[S3_ETAG_BYTES_MAX];
};

/* `full` is a full key. */
enum error_code s3_read_facts(struct s3_store *store, const struct object_call *call,
                              struct text full, struct s3_facts *facts_out, struct error *error);

/* Put bytes in one request. */
enum error_code s3_put_bytes(struct s3_store *store, const struct object_call *call,
                             struct text full, struct text bytes, struct error *error);

/* The functions of the table. */
void s3_store_read(struct object_store *self, const struct object_call *call,
                   struct object_read *reads, size_t count);
enum error_code s3_store_head(struct object_store *self, const struct object_call *call,
                              struct text key, struct object_info *info_out, struct error *error);
enum error_code s3_store_put(struct object_store *self, const struct object_call *call,
                             struct text key, const void *bytes, size_t size, struct error *error);
enum error_code s3_store_put_file(struct object_store *self, const struct object_call *call,
                                  struct text key, const struct object_file *file,
                                  struct error *error);
enum error_code s3_store_abandon_put(struct object_store *self, const struct object_call *call,
                                     struct text key, struct error *error);
enum error_code s3_store_sweep_puts(struct object_store *self, const struct object_call *call,
                                    struct text prefix, int64_t begun_before_ms, size_t *count_out,
                                    struct error *error);
enum error_code s3_store_list(struct object_store *self, const struct object_call *call,
                              const struct object_range *range, object_visit *visit, void *context,
                              struct error *error);
enum error_code s3_store_remove(struct object_store *self, const struct object_call *call,
                                const struct text *keys, size_t count, struct error *error);

#endif
