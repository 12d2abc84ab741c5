/*
 * s3_document - the documents that S3 answers with.
 *
 * All of them are bytes from outside: each value is checked before it is given out, and one that
 * is missing makes the document CORRUPT where nothing can be done without.
 */
#ifndef OBJECT_S3_DOCUMENT_H
#define OBJECT_S3_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/text.h"
#include "s3_headers.h"

enum { S3_UPLOAD_ID_BYTES_MAX = 1024, S3_PARTS_MAX = 10000 };

/* An <Error>, texts cut to fit; "" for what it does not say. */
struct s3_refusal {
    char code[80];
    char message[400];
    char region[S3_REGION_BYTES_MAX];
    char endpoint[256];
    char request_time[48];
    char server_time[48];
};

/* False: the document is something else, and *refusal_out is empty. */
bool s3_refusal_parse(struct text document, struct s3_refusal *refusal_out);

struct s3_list_entry {
    struct text key;
    uint64_t size_bytes;
    int64_t modified_ms;
};

/* Return false to stop. */
typedef bool s3_list_visit(void *context, const struct s3_list_entry *entry);

/* A page of ListObjectsV2. Entries come in byte order of keys behind `after`, else CORRUPT. */
struct s3_list_page {
    bool has_more;
    bool is_stopped; /* by the visit */
    size_t entry_count;
    struct byte_buffer last_key; /* the last entry's; the caller's to clear */
};

enum error_code s3_list_parse(struct text document, struct text after, s3_list_visit *visit,
                              void *context, struct s3_list_page *page, struct error *error);

/* The id that CreateMultipartUpload answers. */
enum error_code s3_upload_id_parse(struct text document, char target[S3_UPLOAD_ID_BYTES_MAX],
                                   struct error *error);

struct s3_upload_entry {
    struct text key;
    struct text id;
    int64_t begun_ms;
};

typedef enum error_code s3_uploads_visit(void *context, const struct s3_upload_entry *entry,
                                         struct error *error);

/* A page of ListMultipartUploads. The markers are where the next begins. */
struct s3_uploads_page {
    bool has_more;
    struct byte_buffer key_marker; /* the caller's to clear */
    struct byte_buffer id_marker;
};

enum error_code s3_uploads_parse(struct text document, s3_uploads_visit *visit, void *context,
                                 struct s3_uploads_page *page, struct error *error);

struct s3_part_entry {
    uint32_t number; /* 1 to S3_PARTS_MAX */
    uint64_t size_bytes;
    struct text etag; /* without quotes */
};

typedef void s3_parts_visit(void *context, const struct s3_part_entry *entry);

/* A page of ListParts; *next_out is its last number when there are more, else 0. */
enum error_code s3_parts_parse(struct text document, s3_parts_visit *visit, void *context,
                               uint32_t *next_out, struct error *error);

/* The first of the <Error>s of a DeleteObjects answer that says that an object may be there still.
 * False: there is none. Errors: CORRUPT. */
enum error_code s3_delete_parse(struct text document, bool *has_failed_out,
                                struct s3_refusal *refusal_out, struct error *error);

/* Temporary keys, of AssumeRoleWithWebIdentity. */
struct s3_temporary_keys {
    char access_key[256];
    char secret_key[256];
    char session_token[8193];
    int64_t expires_ms;
};

enum error_code s3_role_parse(struct text document, struct s3_temporary_keys *keys_out,
                              struct error *error);

#endif
