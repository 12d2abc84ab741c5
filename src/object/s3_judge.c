#include "s3_judge.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* --- Refusals that have a name ------------------------------------------------------------- */

enum kind {
    KIND_NOT_FOUND,
    KIND_NO_UPLOAD,
    KIND_OTHER_UPLOAD,
    KIND_NO_BUCKET,
    KIND_KEY,
    KIND_SECRET,
    KIND_TOKEN,
    KIND_RIGHTS,
    KIND_CLOCK,
    KIND_REGION,
    KIND_ELSEWHERE,
    KIND_FULL,
    KIND_DAMAGED,
    KIND_SLOWER,
    KIND_LATER,
    KIND_UNKNOWN,
};

static const struct {
    const char *code;
    enum kind kind;
} KINDS[] = {
    {"NoSuchKey", KIND_NOT_FOUND},
    {"NoSuchUpload", KIND_NO_UPLOAD},
    {"InvalidPart", KIND_OTHER_UPLOAD},
    {"InvalidPartOrder", KIND_OTHER_UPLOAD},
    {"EntityTooSmall", KIND_OTHER_UPLOAD},
    {"NoSuchBucket", KIND_NO_BUCKET},
    {"InvalidBucketName", KIND_NO_BUCKET},
    {"InvalidAccessKeyId", KIND_KEY},
    {"SignatureDoesNotMatch", KIND_SECRET},
    {"ExpiredToken", KIND_TOKEN},
    {"ExpiredTokenException", KIND_TOKEN},
    {"InvalidToken", KIND_TOKEN},
    {"TokenRefreshRequired", KIND_TOKEN},
    {"AccessDenied", KIND_RIGHTS},
    {"AccessDeniedException", KIND_RIGHTS},
    {"AccountProblem", KIND_RIGHTS},
    {"AllAccessDisabled", KIND_RIGHTS},
    {"InvalidIdentityToken", KIND_RIGHTS},
    {"RequestTimeTooSkewed", KIND_CLOCK},
    {"RequestExpired", KIND_CLOCK},
    {"AuthorizationHeaderMalformed", KIND_REGION},
    {"IllegalLocationConstraintException", KIND_REGION},
    {"PermanentRedirect", KIND_ELSEWHERE},
    {"TemporaryRedirect", KIND_ELSEWHERE},
    {"Redirect", KIND_ELSEWHERE},
    {"QuotaExceeded", KIND_FULL},
    {"InsufficientStorage", KIND_FULL},
    {"XMinioStorageFull", KIND_FULL},
    {"BadDigest", KIND_DAMAGED},
    {"InvalidDigest", KIND_DAMAGED},
    {"XAmzContentSHA256Mismatch", KIND_DAMAGED},
    {"XAmzContentChecksumMismatch", KIND_DAMAGED},
    {"IncompleteBody", KIND_DAMAGED},
    {"SlowDown", KIND_SLOWER},
    {"TooManyRequests", KIND_SLOWER},
    {"Throttling", KIND_SLOWER},
    {"ThrottlingException", KIND_SLOWER},
    {"RequestLimitExceeded", KIND_SLOWER},
    {"BandwidthLimitExceeded", KIND_SLOWER},
    {"InternalError", KIND_LATER},
    {"ServiceUnavailable", KIND_LATER},
    {"RequestTimeout", KIND_LATER},
    {"OperationAborted", KIND_LATER},
    {"ConditionalRequestConflict", KIND_LATER},
    {"IDPCommunicationError", KIND_LATER},
};

static enum kind kind_of_status(long status)
{
    if (status == 404)
        return KIND_NOT_FOUND;
    if (status == 401 || status == 403)
        return KIND_RIGHTS;
    if (status >= 300 && status <= 399)
        return KIND_ELSEWHERE;
    if (status == 429)
        return KIND_SLOWER;
    if (status == 507)
        return KIND_FULL;
    if (status == 408 || status == 409 || (status >= 500 && status != 501))
        return KIND_LATER;
    return KIND_UNKNOWN;
}

static enum kind kind_of(const struct s3_refusal *refusal, long status)
{
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++)
        if (strcmp(KINDS[i].code, refusal->code) == 0)
            return KINDS[i].kind;
    return kind_of_status(status);
}

/* --- Messages ------------------------------------------------------------------------------ */

static void format_time(int64_t time_ms, char target[32])
{
    time_t seconds = (time_t)(time_ms / 1000);
    struct tm fields;
    if (gmtime_r(&seconds, &fields) == NULL ||
        strftime(target, 32, "%Y-%m-%dT%H:%M:%SZ", &fields) == 0)
        snprintf(target, 32, "unknown");
}

static enum error_code set_clock(const struct s3_refusal *refusal, const struct s3_headers *head,
                                 const struct s3_place *place, struct error *error)
{
    char ours[32], theirs[64] = "unknown";
    format_time(place->now_ms, ours);
    if (refusal->server_time[0] != '\0')
        snprintf(theirs, sizeof theirs, "%s", refusal->server_time);
    else if (head != NULL && head->has_date)
        format_time(head->date_ms, theirs);
    return error_set(
        error, ERROR_DENIED,
        "the clocks of this machine (%s) and of the object store (%s) differ too much: "
        "set this machine's clock",
        ours, theirs);
}

static enum error_code set_region(const struct s3_refusal *refusal, const struct s3_headers *head,
                                  const struct s3_place *place, struct error *error)
{
    const char *theirs = refusal->region;
    if (theirs[0] == '\0' && head != NULL)
        theirs = head->region;
    if (theirs[0] != '\0' && strcmp(theirs, place->region) != 0)
        return error_set(error, ERROR_DENIED,
                         "object_store.s3.region is '%s', but the bucket '%s' is in '%s': set "
                         "object_store.s3.region to that",
                         place->region, place->bucket, theirs);
    return error_set(error, ERROR_DENIED, "object_store.s3.region '%s' is refused by %s: %s: %s",
                     place->region, place->endpoint, refusal->code, refusal->message);
}

static enum error_code set_elsewhere(const struct s3_refusal *refusal,
                                     const struct s3_headers *head, const struct s3_place *place,
                                     struct error *error)
{
    if (head != NULL && head->region[0] != '\0' && strcmp(head->region, place->region) != 0)
        return set_region(refusal, head, place, error);
    if (refusal->endpoint[0] != '\0')
        return error_set(error, ERROR_DENIED,
                         "the bucket '%s' is not at %s but at %s: set object_store.s3.region or "
                         "object_store.s3.endpoint",
                         place->bucket, place->endpoint, refusal->endpoint);
    return error_set(error, ERROR_DENIED,
                     "%s sends requests for bucket '%s' elsewhere: set object_store.s3.region (now "
                     "'%s'), .endpoint or .path_style",
                     place->endpoint, place->bucket, place->region);
}

static enum error_code set_denied(enum kind kind, const struct s3_refusal *refusal,
                                  const struct s3_place *place, struct error *error)
{
    switch (kind) {
    case KIND_NO_BUCKET:
        return error_set(error, ERROR_DENIED,
                         "there is no bucket '%s' at %s (%s): make it, or set "
                         "object_store.s3.bucket",
                         place->bucket, place->endpoint, refusal->code);
    case KIND_KEY:
        return error_set(error, ERROR_DENIED,
                         "the access key '%s' (from %s) is not known at %s: set "
                         "object_store.s3.access_key",
                         place->access_key, place->key_source, place->endpoint);
    case KIND_SECRET:
        return error_set(error, ERROR_DENIED,
                         "the secret key does not fit the access key '%s' (from %s) at %s, or that "
                         "is not known there: set object_store.s3.access_key and .secret_key",
                         place->access_key, place->key_source, place->endpoint);
    case KIND_TOKEN:
        return error_set(error, ERROR_DENIED,
                         "the session token of access key '%s' (from %s) is refused (%s): it has "
                         "to be renewed where the keys come from",
                         place->access_key, place->key_source, refusal->code);
    default:
        return error_set(error, ERROR_DENIED,
                         "access key '%s' (from %s) may not %s in bucket '%s' (%s%s%s): give it "
                         "that right in the bucket's policy",
                         place->access_key, place->key_source, place->action, place->bucket,
                         refusal->code[0] != '\0' ? refusal->code : "403",
                         refusal->message[0] != '\0' ? ": " : "", refusal->message);
    }
}

static enum error_code set_other(enum error_code code, const struct s3_refusal *refusal,
                                 long status, const struct s3_headers *head, struct error *error)
{
    bool has_id = head != NULL && head->request_id[0] != '\0';
    return error_set(error, code, "the object store answers %ld %s%s%s%s%s", status, refusal->code,
                     refusal->message[0] != '\0' ? ": " : "", refusal->message,
                     has_id ? ", request " : "", has_id ? head->request_id : "");
}

/* --- Verdicts ------------------------------------------------------------------------------ */

enum error_code s3_judge_refusal(const struct s3_refusal *refusal, long status,
                                 const struct s3_headers *head, const struct s3_place *place,
                                 struct s3_verdict *verdict_out, struct error *error)
{
    enum kind kind = kind_of(refusal, status);
    *verdict_out = (struct s3_verdict){S3_REMEDY_NONE, OBJECT_RESULT_DENIED};
    switch (kind) {
    case KIND_NOT_FOUND:
    case KIND_NO_UPLOAD:
        verdict_out->result = OBJECT_RESULT_NOT_FOUND;
        return error_set(error, ERROR_NOT_FOUND, "there is no such %s",
                         kind == KIND_NO_UPLOAD ? "upload" : "object");
    case KIND_OTHER_UPLOAD:
        verdict_out->result = OBJECT_RESULT_OTHER;
        return set_other(ERROR_CONFLICT, refusal, status, head, error);
    case KIND_CLOCK:
        return set_clock(refusal, head, place, error);
    case KIND_REGION:
        return set_region(refusal, head, place, error);
    case KIND_ELSEWHERE:
        return set_elsewhere(refusal, head, place, error);
    case KIND_TOKEN:
    case KIND_KEY:
    case KIND_SECRET: /* a file with keys may just have been replaced */
        verdict_out->remedy = S3_REMEDY_KEYS;
        return set_denied(kind, refusal, place, error);
    case KIND_NO_BUCKET:
    case KIND_RIGHTS:
        return set_denied(kind, refusal, place, error);
    case KIND_FULL:
        verdict_out->result = OBJECT_RESULT_OTHER;
        return set_other(ERROR_NO_SPACE, refusal, status, head, error);
    case KIND_DAMAGED:
        *verdict_out = (struct s3_verdict){S3_REMEDY_RETRY, OBJECT_RESULT_CORRUPT};
        return set_other(ERROR_CORRUPT, refusal, status, head, error);
    case KIND_SLOWER:
        *verdict_out = (struct s3_verdict){S3_REMEDY_RETRY, OBJECT_RESULT_THROTTLED};
        return set_other(ERROR_UNAVAILABLE, refusal, status, head, error);
    case KIND_LATER:
        *verdict_out = (struct s3_verdict){S3_REMEDY_RETRY, OBJECT_RESULT_UNAVAILABLE};
        return set_other(ERROR_UNAVAILABLE, refusal, status, head, error);
    case KIND_UNKNOWN:
        break;
    }
    return set_other(ERROR_DENIED, refusal, status, head, error);
}

static enum error_code judge_outcome(const struct exchange *exchange, const struct s3_place *place,
                                     struct s3_verdict *verdict_out, struct error *error)
{
    const char *reason =
        exchange->reason[0] != '\0' ? exchange->reason : curl_easy_strerror(exchange->outcome);
    *verdict_out = (struct s3_verdict){S3_REMEDY_RETRY, OBJECT_RESULT_UNAVAILABLE};
    if (exchange->is_too_large)
        return error_set(error, ERROR_CORRUPT, "the object store sent more than was asked for");
    switch (exchange->outcome) {
    case CURLE_OUT_OF_MEMORY:
        *verdict_out = (struct s3_verdict){S3_REMEDY_NONE, OBJECT_RESULT_OTHER};
        return error_set(error, ERROR_OUT_OF_MEMORY, "a request to the object store");
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
        *verdict_out = (struct s3_verdict){S3_REMEDY_NONE, OBJECT_RESULT_DENIED};
        return error_set(
            error, ERROR_DENIED,
            "the certificate of %s is not trusted (%s): set object_store.s3.ca_file to "
            "the certificates that are",
            place->endpoint, reason);
    case CURLE_PARTIAL_FILE:
        verdict_out->result = OBJECT_RESULT_CORRUPT;
        return error_set(error, ERROR_CORRUPT, "the answer of %s was cut: %s", place->endpoint,
                         reason);
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        *verdict_out = (struct s3_verdict){S3_REMEDY_NONE, OBJECT_RESULT_DENIED};
        return error_set(error, ERROR_DENIED, "object_store.s3.endpoint '%s': %s", place->endpoint,
                         reason);
    default:
        return error_set(error, ERROR_UNAVAILABLE, "%s: %s", place->endpoint, reason);
    }
}

enum error_code s3_judge(struct exchange *exchange, const struct s3_place *place,
                         struct s3_verdict *verdict_out, struct error *error)
{
    struct s3_refusal refusal = {0};
    if (exchange->outcome != CURLE_OK)
        return judge_outcome(exchange, place, verdict_out, error);
    *verdict_out = (struct s3_verdict){S3_REMEDY_NONE, OBJECT_RESULT_OK};
    if (exchange->status >= 200 && exchange->status <= 299)
        return ERROR_NONE;
    s3_refusal_parse((struct text){(const char *)exchange->answer.bytes, exchange->answer.size},
                     &refusal);
    return s3_judge_refusal(&refusal, exchange->status, &exchange->head, place, verdict_out, error);
}
