/*
 * s3_judge - what an answer of S3, or its lack, means: what the caller is told, and whether another
 * attempt may help.
 */
#ifndef OBJECT_S3_JUDGE_H
#define OBJECT_S3_JUDGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "exchange.h"
#include "object_metrics.h"
#include "s3_document.h"

enum s3_remedy {
    S3_REMEDY_NONE,  /* the caller hears of it */
    S3_REMEDY_RETRY, /* the same again, later */
    S3_REMEDY_KEYS,  /* the same again, with keys that were fetched anew */
};

/* Where the request went, for the message. Texts are NUL-terminated. */
struct s3_place {
    const char *endpoint; /* "https://host" */
    const char *bucket;
    const char *region;
    const char *access_key; /* not the secret */
    const char *key_source; /* "settings", ... */
    const char *action;     /* "read objects" */
    int64_t now_ms;         /* our clock */
};

struct s3_verdict {
    enum s3_remedy remedy;
    enum object_result result;
};

/*
 * The exchange is done and was not stopped by its asker. Fills `error` unless the status is one of
 * success (200 to 299), in which case NONE is returned.
 */
enum error_code s3_judge(struct exchange *exchange, const struct s3_place *place,
                         struct s3_verdict *verdict_out, struct error *error);

/* Likewise an <Error> inside an answer of success. `head` may be NULL. */
enum error_code s3_judge_refusal(const struct s3_refusal *refusal, long status,
                                 const struct s3_headers *head, const struct s3_place *place,
                                 struct s3_verdict *verdict_out, struct error *error);

#endif
