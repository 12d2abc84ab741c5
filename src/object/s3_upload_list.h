/*
 * s3_upload_list - uploads in parts that did not end.
 */
#ifndef OBJECT_S3_UPLOAD_LIST_H
#define OBJECT_S3_UPLOAD_LIST_H

#include "s3_document.h"
#include "s3_store.h"

struct s3_open_upload {
    char *key; /* full */
    char *id;
    int64_t begun_ms;
};

struct s3_open_uploads {
    struct s3_open_upload *uploads; /* [count] */
    size_t count;
    size_t capacity;
};

/* All whose full key begins with `prefix`. */
enum error_code s3_open_uploads_read(struct s3_store *store, const struct object_call *call,
                                     struct text prefix, struct s3_open_uploads *uploads,
                                     struct error *error);
void s3_open_uploads_clear(struct s3_open_uploads *uploads);

/* One that is not there is success. */
enum error_code s3_upload_abort(struct s3_store *store, const struct object_call *call,
                                struct text full, const char *id, struct error *error);

#endif
