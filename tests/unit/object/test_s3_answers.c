/* What a server answers, and what is made of it. */
#include "s3_fixture.h"

#include "platform/disk_uring.h"
#include "scratch_directory.h"

/* --- Refusals ------------------------------------------------------------------------------ */

static void expect_denied(struct fixture *fixture, const char *first, const char *second)
{
    char target[10];
    struct object_read read = read_some(fixture, NULL, target, sizeof target);
    expect_error(read.error.code, ERROR_DENIED, &read.error, first);
    expect_error(read.error.code, ERROR_DENIED, &read.error, second);
    assert_null(strstr(read.error.message, "SECRET"));
}

static void a_refusal_says_what_to_mend(void **state)
{
    struct fixture *fixture = *state;
    PLAY(fixture, {.status = "400 Bad Request",
                   .body = REFUSAL("AuthorizationHeaderMalformed", "<Region>eu-1</Region>")});
    expect_denied(fixture, "'eu-1'", "object_store.s3.region");
    assert_int_equal(scripted_server_request_count(fixture->server), 1);
    PLAY(fixture, {.status = "301 Moved Permanently",
                   .headers = "x-amz-bucket-region: eu-2\r\n",
                   .body = REFUSAL("PermanentRedirect", "<Endpoint>e</Endpoint>")});
    expect_denied(fixture, "'eu-2'", "object_store.s3.region");
    PLAY(fixture, {.status = "307 Temporary Redirect",
                   .headers = "Location: http://127.0.0.1:1/\r\n",
                   .body = REFUSAL("TemporaryRedirect", "<Endpoint>else.where</Endpoint>")});
    expect_denied(fixture, "else.where", "object_store.s3.endpoint");
    PLAY(fixture, {.status = "403 Forbidden",
                   .body = REFUSAL("RequestTimeTooSkewed",
                                   "<ServerTime>2001-02-03T04:05:06Z</ServerTime>")});
    expect_denied(fixture, "2001-02-03T04:05:06Z", "clock");
    PLAY(fixture, {.status = "403 Forbidden",
                   .headers = "Date: Fri, 24 May 2013 00:00:00 GMT\r\n",
                   .body = REFUSAL("RequestTimeTooSkewed", "")});
    expect_denied(fixture, "2013-05-24T00:00:00Z", "clock");
    PLAY(fixture, {.status = "403 Forbidden", .body = REFUSAL("AccessDenied", "")});
    expect_denied(fixture, "'ACCESS' (from settings) may not read objects", "policy");
    PLAY(fixture, {.status = "404 Not Found", .body = REFUSAL("NoSuchBucket", "")});
    expect_denied(fixture, "no bucket 'blocks'", "object_store.s3.bucket");
    PLAY(fixture, {.status = "403 Forbidden"});
    expect_denied(fixture, "403", "policy");
    PLAY(fixture, {.status = "501 Not Implemented", .body = REFUSAL("NotImplemented", "")});
    expect_denied(fixture, "501 NotImplemented", "so it is");
}

static void a_head_that_is_refused_is_explained(void **state)
{
    struct fixture *fixture = *state;
    struct object_info info;
    struct error error;
    PLAY(fixture, {.status = "403 Forbidden"},
         {.status = "403 Forbidden", .body = REFUSAL("InvalidAccessKeyId", "")});
    expect_error(object_store_head(fixture_store(fixture), NULL, TEXT("some/key"), &info, &error),
                 ERROR_DENIED, &error, "access key 'ACCESS'");
}

/* --- Requests ------------------------------------------------------------------------------ */

static void a_request_says_host_range_and_signature(void **state)
{
    struct fixture *fixture = *state;
    char target[10], host[80];
    PLAY(fixture, {.status = "404 Not Found", .body = REFUSAL("NoSuchKey", "")});
    fixture->options.s3.prefix = "pre fix";
    read_some(fixture, NULL, target, sizeof target);
    const char *head = scripted_server_request(fixture->server, 0)->head;
    assert_ptr_equal(strstr(head, "GET /blocks/pre%20fix/some/key HTTP/1.1\r\n"), head);
    snprintf(host, sizeof host, "\r\nHost: %s\r\n", fixture->options.s3.endpoint + 7);
    assert_non_null(strstr(head, host));
    assert_non_null(strstr(head, "\r\nrange: bytes=0-9\r\n"));
    assert_non_null(strstr(head, "Credential=ACCESS/"));
    assert_non_null(strstr(head, "/eu-west-9/s3/aws4_request,SignedHeaders=host;range;"
                                 "x-amz-content-sha256;x-amz-date,Signature="));
    assert_null(strstr(head, "SECRET"));
}

static void a_bucket_may_be_named_by_the_host(void **state)
{
    struct fixture *fixture = *state;
    char target[10], endpoint[80], host[120];
    snprintf(endpoint, sizeof endpoint, "http://localhost%s",
             strrchr(fixture->options.s3.endpoint, ':'));
    fixture->options.s3.endpoint = endpoint;
    fixture->options.s3.addressing = S3_ADDRESSING_BY_HOST;
    PLAY(fixture, {.status = "404 Not Found"});
    struct object_read read = read_some(fixture, NULL, target, sizeof target);
    expect_error(read.error.code, ERROR_NOT_FOUND, &read.error, "");
    const char *head = scripted_server_request(fixture->server, 0)->head;
    assert_ptr_equal(strstr(head, "GET /some/key HTTP/1.1\r\n"), head);
    snprintf(host, sizeof host, "\r\nHost: blocks.localhost%s\r\n", strrchr(endpoint, ':'));
    assert_non_null(strstr(head, host));
}

static void puts_ask_for_encryption(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    struct object_info info;
    PLAY(fixture, {.status = "200 OK"});
    fixture->options.s3.encryption = S3_ENCRYPTION_KMS;
    fixture->options.s3.encryption_key = "key-7";
    assert_int_equal(object_store_put(fixture_store(fixture), NULL, TEXT("k"), "x", 1, &error),
                     ERROR_NONE);
    const char *head = scripted_server_request(fixture->server, 0)->head;
    assert_non_null(strstr(head, "\r\nx-amz-server-side-encryption: aws:kms\r\n"));
    assert_non_null(strstr(head, "\r\nx-amz-server-side-encryption-aws-kms-key-id: key-7\r\n"));
    object_store_destroy(fixture->store);
    fixture->store = NULL;
    fixture->options.s3.encryption = S3_ENCRYPTION_CUSTOMER;
    fixture->options.s3.encryption_key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    PLAY(fixture, {.status = "200 OK"});
    assert_int_equal(object_store_head(fixture_store(fixture), NULL, TEXT("k"), &info, &error),
                     ERROR_NONE);
    head = scripted_server_request(fixture->server, 0)->head;
    assert_non_null(strstr(head, "\r\nx-amz-server-side-encryption-customer-key: MDEy"));
    assert_non_null(strstr(head, "\r\nx-amz-server-side-encryption-customer-key-md5: "
                                 "KYvwGXoFFJ42a2u2GDWhwQ==\r\n"));
}

static void the_key_of_encryption_may_be_in_a_file(void **state)
{
    struct fixture *fixture = *state;
    struct scratch_directory scratch;
    struct error error;
    char path[600];
    scratch_directory_make(&scratch);
    snprintf(path, sizeof path, "%s/key", scratch.path);
    fixture->options.s3.encryption = S3_ENCRYPTION_KMS;
    fixture->options.s3.encryption_key_file = path;
    assert_int_equal(object_store_create(&fixture->options, &fixture->store, &error), ERROR_DENIED);
    assert_non_null(strstr(error.message, path));
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs("key-8\n", file);
    assert_int_equal(fclose(file), 0);
    PLAY(fixture, {.status = "200 OK"});
    assert_int_equal(object_store_put(fixture_store(fixture), NULL, TEXT("k"), "x", 1, &error),
                     ERROR_NONE);
    assert_non_null(strstr(scripted_server_request(fixture->server, 0)->head,
                           "\r\nx-amz-server-side-encryption-aws-kms-key-id: key-8\r\n"));
    scratch_directory_remove(&scratch);
}

/* --- Lists --------------------------------------------------------------------------------- */

struct names {
    char text[256];
};

static bool note(void *context, const struct object_info *object)
{
    struct names *names = context;
    size_t size = strlen(names->text);
    snprintf(names->text + size, sizeof names->text - size, "%.*s=%llu ",
             TEXT_ARGUMENTS(object->key), (unsigned long long)object->size_bytes);
    return true;
}

static enum error_code list(struct fixture *fixture, struct names *names, struct error *error)
{
    struct object_range range = {.prefix = TEXT("")};
    *names = (struct names){0};
    return object_store_list(fixture_store(fixture), NULL, &range, note, names, error);
}

#define LIST(more, entries)                                                                        \
    "<?xml version=\"1.0\"?><ListBucketResult "                                                    \
    "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">" entries "<IsTruncated>" more              \
    "</IsTruncated><EncodingType>url</EncodingType>"                                               \
    "</ListBucketResult>"
#define ENTRY(key, size)                                                                           \
    "<Contents><Key>" key "</Key><LastModified>2013-05-24T00:00:00.000Z</LastModified><Size>" size \
    "</Size><Owner><ID>1</ID></Owner></Contents>"

static void pages_follow_each_other(void **state)
{
    struct fixture *fixture = *state;
    struct names names;
    struct error error;
    PLAY(fixture, {.status = "200 OK", .body = LIST("true", ENTRY("a", "1") ENTRY("b%2Bc", "2"))},
         {.status = "200 OK", .body = LIST("false", ENTRY("d", "3"))});
    assert_int_equal(list(fixture, &names, &error), ERROR_NONE);
    assert_string_equal(names.text, "a=1 b+c=2 d=3 ");
    assert_non_null(strstr(scripted_server_request(fixture->server, 1)->head,
                           "&prefix=&start-after=b%2Bc HTTP/1.1\r\n"));
}

static void keys_that_no_store_holds_are_passed_over(void **state)
{
    struct fixture *fixture = *state;
    struct names names;
    struct error error;
    PLAY(fixture, {.status = "200 OK",
                   .body = LIST("false", ENTRY("a", "1") ENTRY("a%2F", "0") ENTRY("a%2F%2Fb", "1")
                                             ENTRY("c", "2"))});
    assert_int_equal(list(fixture, &names, &error), ERROR_NONE);
    assert_string_equal(names.text, "a=1 c=2 ");
}

static void nothing_of_a_damaged_page_is_seen(void **state)
{
    struct fixture *fixture = *state;
    struct names names;
    struct error error;
    PLAY(fixture,
         {.status = "200 OK",
          .body = "<ListBucketResult>" ENTRY("a", "1") "<IsTruncated>false</IsTrun"},
         {.status = "200 OK", .body = LIST("false", ENTRY("a", "1") ENTRY("b", "minus one"))},
         {.status = "200 OK", .body = LIST("false", ENTRY("b", "1") ENTRY("a", "1"))},
         {.status = "200 OK", .body = LIST("false", ENTRY("a", "1") ENTRY("b", "1"))});
    assert_int_equal(list(fixture, &names, &error), ERROR_NONE);
    assert_string_equal(names.text, "a=1 b=1 ");
}

static void a_list_that_turns_in_circles_is_corrupt(void **state)
{
    struct fixture *fixture = *state;
    struct names names;
    struct error error;
    PLAY(fixture, {.status = "200 OK", .body = LIST("true", ENTRY("a", "1"))});
    expect_error(list(fixture, &names, &error), ERROR_CORRUPT, &error, "order");
    PLAY(fixture, {.status = "200 OK", .body = LIST("true", "")});
    expect_error(list(fixture, &names, &error), ERROR_CORRUPT, &error, "goes on");
    PLAY(fixture, {.status = "200 OK", .body = "<html></html>"});
    expect_error(list(fixture, &names, &error), ERROR_CORRUPT, &error, "ListBucketResult");
    PLAY(fixture, {.status = "200 OK",
                   .body = "<!DOCTYPE a [<!ENTITY b \"c\">]>" LIST("false", ENTRY("a", "1"))});
    expect_error(list(fixture, &names, &error), ERROR_CORRUPT, &error, "document type");
}

static void what_a_stale_list_names_is_not_found(void **state)
{
    struct fixture *fixture = *state;
    struct names names;
    struct error error;
    char target[10];
    PLAY(fixture, {.status = "200 OK", .body = LIST("false", ENTRY("some/key", "1"))},
         {.status = "404 Not Found", .body = REFUSAL("NoSuchKey", "")});
    assert_int_equal(list(fixture, &names, &error), ERROR_NONE);
    assert_string_equal(names.text, "some/key=1 ");
    assert_int_equal(read_some(fixture, NULL, target, sizeof target).error.code, ERROR_NOT_FOUND);
    assert_int_equal(scripted_server_request_count(fixture->server), 2);
}

/* --- Removals ------------------------------------------------------------------------------ */

static enum error_code remove_two(struct fixture *fixture, struct error *error)
{
    const struct text keys[] = {TEXT("a<b"), TEXT("c&d")};
    return object_store_remove_many(fixture_store(fixture), NULL, keys, 2, error);
}

static void a_removal_that_fails_for_one_key_fails(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    PLAY(fixture,
         {.status = "200 OK",
          .body = "<DeleteResult><Error><Key>a</Key><Code>InternalError</Code></Error>"
                  "</DeleteResult>"},
         {.status = "200 OK", .body = "<DeleteResult/>"});
    assert_int_equal(remove_two(fixture, &error), ERROR_NONE);
    assert_int_equal(scripted_server_request_count(fixture->server), 2);
    assert_non_null(strstr(scripted_server_request(fixture->server, 1)->body,
                           "<Key>a&lt;b</Key></Object><Object><Key>c&amp;d</Key>"));
    PLAY(fixture,
         {.status = "200 OK",
          .body = "<DeleteResult><Error><Key>a</Key><Code>NoSuchKey</Code></Error><Error><Key>c"
                  "</Key><Code>AccessDenied</Code></Error></DeleteResult>"});
    expect_error(remove_two(fixture, &error), ERROR_DENIED, &error, "may not delete objects");
    PLAY(fixture, {.status = "200 OK", .body = "<Something/>"});
    assert_int_equal(remove_two(fixture, &error), ERROR_CORRUPT);
}

/* --- Uploads in parts ---------------------------------------------------------------------- */

enum { PART_BYTES = 5 * 1024 * 1024, FILE_BYTES = PART_BYTES + 10 };

struct upload {
    struct scratch_directory scratch;
    struct disk *disk;
    struct object_file file;
};

/* A file of two parts, all zeroes. */
static void upload_open(struct upload *upload)
{
    struct error error;
    scratch_directory_make(&upload->scratch);
    assert_int_equal(
        disk_uring_create(upload->scratch.path, NULL, DISK_ENGINE_THREADS, &upload->disk, &error),
        ERROR_NONE);
    upload->file = (struct object_file){.disk = upload->disk, .size_bytes = FILE_BYTES};
    assert_int_equal(disk_open(upload->disk, "file", DISK_OPEN_CREATE, &upload->file.file, &error),
                     ERROR_NONE);
    assert_int_equal(disk_resize(upload->disk, upload->file.file, FILE_BYTES, &error), ERROR_NONE);
}

static void upload_close(struct upload *upload)
{
    disk_close(upload->disk, upload->file.file);
    disk_uring_destroy(upload->disk);
    scratch_directory_remove(&upload->scratch);
}

#define MISSING                                                                                    \
    {                                                                                              \
        .status = "404 Not Found"                                                                  \
    }
#define NO_UPLOADS                                                                                 \
    {                                                                                              \
        .status = "200 OK", .body = "<ListMultipartUploadsResult></ListMultipartUploadsResult>"    \
    }
#define CREATED                                                                                    \
    {                                                                                              \
        .status = "200 OK", .body = "<InitiateMultipartUploadResult><UploadId>up1</UploadId>"      \
                                    "</InitiateMultipartUploadResult>"                             \
    }
#define PART                                                                                       \
    {                                                                                              \
        .status = "200 OK", .headers = "ETag: \"part\"\r\n"                                        \
    }
#define COMPLETED                                                                                  \
    {                                                                                              \
        .status = "200 OK",                                                                        \
        .body = "<CompleteMultipartUploadResult></CompleteMultipartUploadResult>"                  \
    }
#define THERE(size)                                                                                \
    {                                                                                              \
        .status = "200 OK", .headers = "Content-Length: " size "\r\n"                              \
    }

static enum error_code put_two_parts(struct fixture *fixture, struct error *error)
{
    struct upload upload;
    fixture->options.s3.parts_at_once = 1; /* in the order of the script */
    upload_open(&upload);
    enum error_code code =
        object_store_put_file(fixture_store(fixture), NULL, TEXT("some/key"), &upload.file, error);
    upload_close(&upload);
    return code;
}

static void an_upload_is_listed_created_sent_completed_and_verified(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    PLAY(fixture, MISSING, NO_UPLOADS, CREATED, PART, PART, COMPLETED, THERE("5242890"));
    assert_int_equal(put_two_parts(fixture, &error), ERROR_NONE);
    assert_int_equal(scripted_server_request_count(fixture->server), 7);
    assert_non_null(strstr(scripted_server_request(fixture->server, 4)->head,
                           "PUT /blocks/some/key?partNumber=2&uploadId=up1 HTTP/1.1\r\n"));
    assert_int_equal(scripted_server_request(fixture->server, 4)->body_bytes, 10);
    assert_non_null(strstr(scripted_server_request(fixture->server, 5)->body,
                           "<Part><PartNumber>2</PartNumber><ETag>&quot;part&quot;</ETag></Part>"));
}

static void a_part_that_fails_is_sent_again_alone(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    PLAY(fixture, MISSING, NO_UPLOADS, CREATED, PART,
         {.status = "503 Slow Down", .body = REFUSAL("SlowDown", "")}, {.end = SCRIPTED_RESET},
         PART, COMPLETED, THERE("5242890"));
    assert_int_equal(put_two_parts(fixture, &error), ERROR_NONE);
    assert_int_equal(scripted_server_request_count(fixture->server), 9);
}

static void an_error_in_an_answer_of_success_is_seen(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    PLAY(fixture, MISSING, NO_UPLOADS, CREATED, PART, PART,
         {.status = "200 OK", .body = "\n\n  \n" REFUSAL("InternalError", "")},
         {.status = "200 OK", .body = REFUSAL("InternalError", "")}, COMPLETED, THERE("5242890"));
    assert_int_equal(put_two_parts(fixture, &error), ERROR_NONE);
    assert_int_equal(scripted_server_request_count(fixture->server), 9);
}

static void an_object_of_another_length_is_corrupt(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    PLAY(fixture, MISSING, NO_UPLOADS, CREATED, PART, PART, COMPLETED, THERE("5242889"));
    expect_error(put_two_parts(fixture, &error), ERROR_CORRUPT, &error, "length");
}

#define NO_UPLOAD                                                                                  \
    {                                                                                              \
        .status = "404 Not Found", .body = REFUSAL("NoSuchUpload", "")                             \
    }
/* Of two parts of zeroes. */
#define SAME                                                                                       \
    {                                                                                              \
        .status = "200 OK",                                                                        \
        .headers = "Content-Length: 5242890\r\nETag: \"fe1f8220e3dd212ef18d6ffcd08b6367-2\"\r\n"   \
    }

static void an_upload_that_another_one_completed_is_success(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    PLAY(fixture, MISSING, NO_UPLOADS, CREATED, PART, PART, NO_UPLOAD, SAME);
    assert_int_equal(put_two_parts(fixture, &error), ERROR_NONE);
}

static void an_upload_that_another_one_aborted_is_begun_anew(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    PLAY(fixture, MISSING, NO_UPLOADS, CREATED, PART, NO_UPLOAD, MISSING, NO_UPLOADS, CREATED, PART,
         PART, COMPLETED, SAME);
    assert_int_equal(put_two_parts(fixture, &error), ERROR_NONE);
    PLAY(fixture, MISSING, NO_UPLOADS, CREATED, NO_UPLOAD, MISSING, NO_UPLOADS, CREATED, NO_UPLOAD,
         MISSING);
    assert_int_equal(put_two_parts(fixture, &error), ERROR_UNAVAILABLE);
}

#define ABORTED                                                                                    \
    {                                                                                              \
        .status = "204 No Content"                                                                 \
    }

static void an_upload_with_parts_behind_the_file_is_dropped(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    PLAY(fixture, MISSING,
         {.status = "200 OK",
          .body = "<ListMultipartUploadsResult><Upload><Key>some/key</Key><UploadId>up0</UploadId>"
                  "<Initiated>2013-05-24T00:00:00Z</Initiated></Upload>"
                  "</ListMultipartUploadsResult>"},
         {.status = "200 OK",
          .body = "<ListPartsResult><Part><PartNumber>3</PartNumber><ETag>a</ETag><Size>7</Size>"
                  "</Part></ListPartsResult>"},
         ABORTED, CREATED, PART, PART, COMPLETED, SAME);
    assert_int_equal(put_two_parts(fixture, &error), ERROR_NONE);
    assert_int_equal(scripted_server_request_count(fixture->server), 9);
    assert_non_null(strstr(scripted_server_request(fixture->server, 3)->head,
                           "DELETE /blocks/some/key?uploadId=up0 HTTP/1.1\r\n"));
}

static void an_upload_that_cannot_be_completed_is_begun_anew(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    PLAY(fixture, MISSING, NO_UPLOADS, CREATED, PART, PART,
         {.status = "400 Bad Request", .body = REFUSAL("InvalidPart", "")}, ABORTED, NO_UPLOADS,
         CREATED, PART, PART, COMPLETED, SAME);
    assert_int_equal(put_two_parts(fixture, &error), ERROR_NONE);
    assert_int_equal(scripted_server_request_count(fixture->server), 13);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_open, fixture_close)
    const struct CMUnitTest tests[] = {
        CASE(a_refusal_says_what_to_mend),
        CASE(a_head_that_is_refused_is_explained),
        CASE(a_request_says_host_range_and_signature),
        CASE(a_bucket_may_be_named_by_the_host),
        CASE(puts_ask_for_encryption),
        CASE(the_key_of_encryption_may_be_in_a_file),
        CASE(pages_follow_each_other),
        CASE(keys_that_no_store_holds_are_passed_over),
        CASE(nothing_of_a_damaged_page_is_seen),
        CASE(a_list_that_turns_in_circles_is_corrupt),
        CASE(what_a_stale_list_names_is_not_found),
        CASE(a_removal_that_fails_for_one_key_fails),
        CASE(an_upload_is_listed_created_sent_completed_and_verified),
        CASE(a_part_that_fails_is_sent_again_alone),
        CASE(an_error_in_an_answer_of_success_is_seen),
        CASE(an_object_of_another_length_is_corrupt),
        CASE(an_upload_that_another_one_completed_is_success),
        CASE(an_upload_that_another_one_aborted_is_begun_anew),
        CASE(an_upload_with_parts_behind_the_file_is_dropped),
        CASE(an_upload_that_cannot_be_completed_is_begun_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
