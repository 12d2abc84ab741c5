/*
 * Files: in one request when they are small, else in parts.
 *
 *   head -> there already, with these bytes: done
 *   list of open uploads of this key -> the youngest of them, and its parts; or a new one
 *   each part: read, hashed; sent, unless it is there with this MD5
 *   complete -> head: length and ETag are those of the file
 *
 * Nothing of this is remembered here: whoever puts the file next, in this process or another,
 * finds the same upload. Two who do so at the same time send the same parts; who completes second
 * hears that there is no upload, and finds the object.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "s3_judge.h"
#include "s3_upload_list.h"

enum {
    COMPLETE_PATIENCE = 12, /* a server may have to copy all the parts */
    BUFFER_BYTES_MAX = 256 * 1024 * 1024,
    ATTEMPTS = 2, /* at an upload that somebody else ends meanwhile */
};

static const uint64_t PART_BYTES_MAX = 5ULL << 30; /* of S3 */

/* --- Types --------------------------------------------------------------------------------- */

struct part {
    uint64_t there_bytes; /* as the store lists it; 0: it does not */
    char etag[S3_ETAG_BYTES_MAX];
    uint8_t md5[S3_MD5_BYTES]; /* of the file's bytes */
    bool is_hashed;
};

struct upload {
    struct s3_store *store;
    const struct object_call *call;
    const struct object_file *file;
    struct text key; /* full */
    char id[S3_UPLOAD_ID_BYTES_MAX];
    uint64_t part_bytes;
    uint32_t part_count;
    struct part *parts; /* [part_count] */
    bool has_strangers; /* the open upload has parts behind the last of the file */
};

/* A part on its way. */
struct slot {
    struct s3_request request;
    struct upload *upload;
    struct byte_buffer query;
    uint8_t *bytes;
    uint32_t part;
    bool is_busy;
};

/* --- Parts --------------------------------------------------------------------------------- */

static uint64_t part_size(const struct upload *upload, uint32_t part)
{
    uint64_t begin = part * upload->part_bytes;
    uint64_t left = upload->file->size_bytes - begin;
    return left < upload->part_bytes ? left : upload->part_bytes;
}

/* Into `bytes`, with its hash. */
static enum error_code read_part(struct upload *upload, uint32_t part, uint8_t *bytes,
                                 struct error *error)
{
    const struct object_file *file = upload->file;
    size_t size = (size_t)part_size(upload, part);
    enum error_code code = object_call_check(upload->call, upload->store->sender.clock, error);
    if (code == ERROR_NONE)
        code = disk_read_at(file->disk, file->file, part * upload->part_bytes, bytes, size, error);
    if (code == ERROR_NONE) {
        s3_md5(bytes, size, upload->parts[part].md5);
        upload->parts[part].is_hashed = true;
    }
    return code;
}

static bool part_is_there(const struct upload *upload, uint32_t part)
{
    char md5[S3_MD5_HEX_BYTES];
    const struct part *there = &upload->parts[part];
    s3_hex(there->md5, sizeof there->md5, md5);
    return upload->store->etag == S3_ETAG_MD5 && there->there_bytes == part_size(upload, part) &&
           strcmp(there->etag, md5) == 0;
}

/* The ETag that S3 gives an object of these parts. */
static void expected_etag(const struct upload *upload, char target[S3_ETAG_BYTES_MAX])
{
    uint8_t digest[S3_MD5_BYTES];
    char md5[S3_MD5_HEX_BYTES];
    struct byte_buffer digests = {0};
    for (uint32_t part = 0; part < upload->part_count; part++)
        byte_buffer_append(&digests, upload->parts[part].md5, S3_MD5_BYTES);
    s3_md5(digests.bytes, digests.size, digest);
    s3_hex(digest, sizeof digest, md5);
    snprintf(target, S3_ETAG_BYTES_MAX, "%s-%u", md5, upload->part_count);
    if (digests.failed)
        target[0] = '\0';
    byte_buffer_clear(&digests);
}

static enum error_code hash_all(struct upload *upload, struct error *error)
{
    uint8_t *bytes = malloc(upload->part_bytes);
    enum error_code code =
        bytes == NULL ? error_set(error, ERROR_OUT_OF_MEMORY, "upload of a file") : ERROR_NONE;
    for (uint32_t part = 0; part < upload->part_count && code == ERROR_NONE; part++)
        if (!upload->parts[part].is_hashed)
            code = read_part(upload, part, bytes, error);
    free(bytes);
    return code;
}

/* --- The object ---------------------------------------------------------------------------- */

enum match { MATCH_NONE, MATCH_LENGTH, MATCH_BYTES };

/* How much of the file is in the object that is there. */
static enum error_code compare(struct upload *upload, enum match *match_out, struct error *error)
{
    struct s3_facts facts;
    char expected[S3_ETAG_BYTES_MAX], suffix[16];
    *match_out = MATCH_NONE;
    enum error_code code = s3_read_facts(upload->store, upload->call, upload->key, &facts, error);
    if (code == ERROR_NOT_FOUND)
        return ERROR_NONE;
    if (code != ERROR_NONE || facts.size_bytes != upload->file->size_bytes)
        return code;
    const char *dash = strchr(facts.etag, '-');
    if (dash == NULL) {
        *match_out = MATCH_LENGTH;
        return ERROR_NONE;
    }
    snprintf(suffix, sizeof suffix, "-%u", upload->part_count);
    if (strcmp(dash, suffix) != 0)
        return ERROR_NONE;
    code = hash_all(upload, error);
    if (code != ERROR_NONE)
        return code;
    expected_etag(upload, expected);
    *match_out = strcmp(facts.etag, expected) == 0 ? MATCH_BYTES : MATCH_NONE;
    return ERROR_NONE;
}

/* --- The upload ---------------------------------------------------------------------------- */

static enum error_code accept_create(struct s3_request *request, struct error *error)
{
    struct upload *upload = request->context;
    return s3_upload_id_parse(s3_text_in(&request->exchange.answer), upload->id, error);
}

static enum error_code create(struct upload *upload, struct error *error)
{
    struct s3_request request = {.operation = OBJECT_OPERATION_UPLOAD_CREATE,
                                 .method = "POST",
                                 .key = upload->key,
                                 .query = TEXT("uploads="),
                                 .accept = accept_create,
                                 .context = upload};
    s3_request_header(&request, "content-type", "application/octet-stream");
    s3_encrypt_new(upload->store, &request);
    enum error_code code = s3_request_run(&upload->store->sender, upload->call, &request);
    if (code != ERROR_NONE)
        *error = request.error;
    s3_request_clear(&request);
    return code;
}

/* The youngest upload of this key. Errors: NOT_FOUND. */
static enum error_code find(struct upload *upload, struct error *error)
{
    struct s3_open_uploads uploads = {0};
    const struct s3_open_upload *found = NULL;
    enum error_code code =
        s3_open_uploads_read(upload->store, upload->call, upload->key, &uploads, error);
    for (size_t i = 0; i < uploads.count && code == ERROR_NONE; i++)
        if (text_equal(text_of(uploads.uploads[i].key), upload->key) &&
            (found == NULL || uploads.uploads[i].begun_ms > found->begun_ms))
            found = &uploads.uploads[i];
    if (code == ERROR_NONE && found == NULL)
        code = error_set(error, ERROR_NOT_FOUND, "there is no open upload");
    if (code == ERROR_NONE)
        snprintf(upload->id, sizeof upload->id, "%s", found->id);
    s3_open_uploads_clear(&uploads);
    return code;
}

static void take_part(void *context, const struct s3_part_entry *entry)
{
    struct upload *upload = context;
    if (entry->number > upload->part_count) {
        upload->has_strangers = true;
        return;
    }
    struct part *part = &upload->parts[entry->number - 1];
    part->there_bytes = entry->size_bytes;
    snprintf(part->etag, sizeof part->etag, "%.*s", TEXT_ARGUMENTS(entry->etag));
}

struct part_page {
    struct upload *upload;
    uint32_t next;
};

static enum error_code accept_parts(struct s3_request *request, struct error *error)
{
    struct part_page *page = request->context;
    return s3_parts_parse(s3_text_in(&request->exchange.answer), take_part, page->upload,
                          &page->next, error);
}

/* What of the upload is there. Errors: NOT_FOUND. */
static enum error_code list_parts(struct upload *upload, struct error *error)
{
    enum error_code code = ERROR_NONE;
    struct part_page page = {.upload = upload};
    uint32_t before;
    do {
        struct byte_buffer query = {0};
        struct s3_request request = {.operation = OBJECT_OPERATION_UPLOAD_LIST,
                                     .method = "GET",
                                     .key = upload->key,
                                     .accept = accept_parts,
                                     .context = &page};
        before = page.next;
        s3_query_add_number(&query, "max-parts", upload->store->page_entries);
        if (before > 0)
            s3_query_add_number(&query, "part-number-marker", before);
        s3_query_add(&query, "uploadId", text_of(upload->id));
        request.query = s3_text_in(&query);
        code = s3_request_run(&upload->store->sender, upload->call, &request);
        if (code != ERROR_NONE)
            *error = request.error;
        s3_request_clear(&request);
        byte_buffer_clear(&query);
    } while (code == ERROR_NONE && page.next > before);
    return code;
}

/* An upload to go on with, or a new one. */
static enum error_code begin(struct upload *upload, struct error *error)
{
    for (uint32_t part = 0; part < upload->part_count; part++)
        upload->parts[part].there_bytes = 0;
    upload->has_strangers = false;
    enum error_code code = find(upload, error);
    if (code == ERROR_NONE)
        code = list_parts(upload, error);
    if (code == ERROR_NONE && upload->has_strangers) {
        /* Of a longer file, or of shorter parts; some servers want all parts to be completed. */
        for (uint32_t part = 0; part < upload->part_count; part++)
            upload->parts[part].there_bytes = 0;
        code = s3_upload_abort(upload->store, upload->call, upload->key, upload->id, error);
        if (code == ERROR_NONE)
            code = ERROR_NOT_FOUND;
    }
    return code == ERROR_NOT_FOUND ? create(upload, error) : code;
}

/* --- Sending parts ------------------------------------------------------------------------- */

static enum error_code accept_part(struct s3_request *request, struct error *error)
{
    const struct slot *slot = request->context;
    const struct upload *upload = slot->upload;
    struct part *part = &upload->parts[slot->part];
    const struct s3_headers *head = &request->exchange.head;
    char md5[S3_MD5_HEX_BYTES];
    s3_hex(part->md5, sizeof part->md5, md5);
    if (head->etag[0] == '\0')
        return error_set(error, ERROR_CORRUPT, "the object store's answer: a part without ETag");
    if (s3_etag_is_md5(upload->store, head) && strcmp(head->etag, md5) != 0)
        return error_set(error, ERROR_CORRUPT,
                         "the object store's ETag '%s' is not the MD5 of the part (%s); if it has "
                         "other ETags on purpose, set object_store.s3.etag to opaque",
                         head->etag, md5);
    memcpy(part->etag, head->etag, sizeof part->etag);
    return ERROR_NONE;
}

static enum error_code send_part(struct slot *slot, struct s3_batch *batch, struct error *error)
{
    struct upload *upload = slot->upload;
    struct s3_request *request = &slot->request;
    char digest_text[S3_MD5_BASE64_BYTES];
    *request = (struct s3_request){.operation = OBJECT_OPERATION_UPLOAD_PART,
                                   .method = "PUT",
                                   .key = upload->key,
                                   .accept = accept_part,
                                   .context = slot};
    byte_buffer_reset(&slot->query);
    s3_query_add_number(&slot->query, "partNumber", slot->part + 1);
    s3_query_add(&slot->query, "uploadId", text_of(upload->id));
    if (slot->query.failed)
        return error_set(error, ERROR_OUT_OF_MEMORY, "upload of a file");
    request->query = s3_text_in(&slot->query);
    s3_base64(upload->parts[slot->part].md5, S3_MD5_BYTES, digest_text);
    s3_request_header(request, "content-md5", "%s", digest_text);
    s3_encrypt_part(upload->store, request);
    s3_request_set_body(
        request, (struct text){(const char *)slot->bytes, (size_t)part_size(upload, slot->part)});
    slot->is_busy = true;
    s3_batch_add(batch, request);
    return ERROR_NONE;
}

/* Fill free slots with parts from *next on. */
static enum error_code fill(struct upload *upload, struct slot *slots, size_t slot_count,
                            struct s3_batch *batch, uint32_t *next, struct error *error)
{
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; i < slot_count && code == ERROR_NONE; i++) {
        while (!slots[i].is_busy && *next < upload->part_count && code == ERROR_NONE) {
            uint32_t part = (*next)++;
            code = read_part(upload, part, slots[i].bytes, error);
            if (code != ERROR_NONE || part_is_there(upload, part))
                continue;
            slots[i].part = part;
            code = send_part(&slots[i], batch, error);
        }
    }
    return code;
}

static enum error_code send_in_slots(struct upload *upload, struct slot *slots, size_t slot_count,
                                     struct error *error)
{
    struct s3_batch batch;
    struct s3_request *request;
    uint32_t next = 0;
    s3_batch_init(&batch, &upload->store->sender, upload->call);
    enum error_code code = fill(upload, slots, slot_count, &batch, &next, error);
    while ((request = s3_batch_next(&batch)) != NULL) {
        struct slot *slot = request->context;
        if (request->error.code != ERROR_NONE && code == ERROR_NONE) {
            *error = request->error;
            code = error->code;
        }
        s3_request_clear(request);
        slot->is_busy = false;
        if (code == ERROR_NONE)
            code = fill(upload, slots, slot_count, &batch, &next, error);
    }
    s3_batch_clear(&batch);
    return code;
}

/* Errors: also NOT_FOUND, when the upload is no more. */
static enum error_code send_parts(struct upload *upload, struct error *error)
{
    size_t slot_count = upload->store->parts_at_once;
    if (slot_count > upload->part_count)
        slot_count = upload->part_count;
    while (slot_count > 1 && slot_count * upload->part_bytes > BUFFER_BYTES_MAX)
        slot_count--;
    struct slot *slots = calloc(slot_count, sizeof *slots);
    if (slots == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "upload of a file");
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; i < slot_count && code == ERROR_NONE; i++) {
        slots[i].upload = upload;
        slots[i].bytes = malloc(upload->part_bytes);
        if (slots[i].bytes == NULL)
            code = error_set(error, ERROR_OUT_OF_MEMORY, "upload of a file");
    }
    if (code == ERROR_NONE)
        code = send_in_slots(upload, slots, slot_count, error);
    for (size_t i = 0; i < slot_count; i++) {
        free(slots[i].bytes);
        byte_buffer_clear(&slots[i].query);
    }
    free(slots);
    return code;
}

/* --- Completing ---------------------------------------------------------------------------- */

/* The answer begins before the work is done, so that it may be one of success and yet an error. */
static enum error_code accept_complete(struct s3_request *request, struct error *error)
{
    const struct upload *upload = request->context;
    const struct s3_sender *sender = &upload->store->sender;
    struct s3_refusal refusal;
    struct s3_verdict verdict;
    if (!s3_refusal_parse(text_trim(s3_text_in(&request->exchange.answer)), &refusal))
        return ERROR_NONE;
    struct s3_place place = {
        .endpoint = sender->endpoint,
        .bucket = sender->bucket,
        .region = sender->region,
        .access_key = request->credentials->access_key,
        .key_source = request->credentials->source,
        .action = "write objects",
        .now_ms = clock_now_ms(sender->clock),
    };
    return s3_judge_refusal(&refusal, 500, &request->exchange.head, &place, &verdict, error);
}

static void write_completion(const struct upload *upload, struct byte_buffer *body)
{
    struct text begin =
        TEXT("<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    byte_buffer_append(body, begin.data, begin.size);
    for (uint32_t part = 0; part < upload->part_count; part++) {
        char line[64];
        int size =
            snprintf(line, sizeof line, "<Part><PartNumber>%u</PartNumber><ETag>&quot;", part + 1);
        byte_buffer_append(body, line, (size_t)size);
        s3_escape_xml(body, text_of(upload->parts[part].etag));
        byte_buffer_append(body, "&quot;</ETag></Part>", strlen("&quot;</ETag></Part>"));
    }
    byte_buffer_append(body, "</CompleteMultipartUpload>", strlen("</CompleteMultipartUpload>"));
}

static enum error_code complete(struct upload *upload, struct error *error)
{
    struct byte_buffer query = {0}, body = {0};
    struct s3_request request = {.operation = OBJECT_OPERATION_UPLOAD_COMPLETE,
                                 .method = "POST",
                                 .key = upload->key,
                                 .patience = COMPLETE_PATIENCE,
                                 .accept = accept_complete,
                                 .context = upload};
    s3_query_add(&query, "uploadId", text_of(upload->id));
    write_completion(upload, &body);
    enum error_code code = ERROR_NONE;
    if (query.failed || body.failed) {
        code = error_set(error, ERROR_OUT_OF_MEMORY, "upload of a file");
    } else {
        request.query = s3_text_in(&query);
        s3_request_header(&request, "content-type", "application/xml");
        s3_request_set_body(&request, s3_text_in(&body));
        code = s3_request_run(&upload->store->sender, upload->call, &request);
        if (code != ERROR_NONE)
            *error = request.error;
    }
    s3_request_clear(&request);
    byte_buffer_clear(&query);
    byte_buffer_clear(&body);
    return code;
}

/* --- Files --------------------------------------------------------------------------------- */

static enum error_code verify(struct upload *upload, struct error *error)
{
    enum match match;
    enum error_code code = compare(upload, &match, error);
    if (code == ERROR_NONE && match == MATCH_NONE)
        code = error_set(error, ERROR_CORRUPT,
                         "the object that was put has another length or ETag than the file");
    return code;
}

static enum error_code run(struct upload *upload, struct error *error)
{
    enum match match;
    enum error_code code = compare(upload, &match, error);
    if (code != ERROR_NONE || match == MATCH_BYTES)
        return code;
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        code = begin(upload, error);
        if (code == ERROR_NONE)
            code = send_parts(upload, error);
        if (code == ERROR_NONE)
            code = complete(upload, error);
        if (code == ERROR_NONE)
            return verify(upload, error);
        if (code != ERROR_CONFLICT && code != ERROR_NOT_FOUND)
            return code;
        /* What the store has of it is of no use to us, or somebody ended it: well, or not. */
        struct error ignored;
        if (code == ERROR_CONFLICT)
            (void)s3_upload_abort(upload->store, upload->call, upload->key, upload->id, &ignored);
        else if (compare(upload, &match, &ignored) == ERROR_NONE && match == MATCH_BYTES)
            return ERROR_NONE;
    }
    error->code = ERROR_UNAVAILABLE;
    return error_wrap(error, "uploads of this object are ended or changed by somebody else");
}

static enum error_code put_in_parts(struct upload *upload, struct error *error)
{
    const uint64_t mebibyte = 1024 * 1024;
    uint64_t size = upload->file->size_bytes;
    uint64_t least = (size + S3_UPLOAD_PARTS_MAX - 1) / S3_UPLOAD_PARTS_MAX;
    upload->part_bytes = upload->store->part_bytes;
    if (least > upload->part_bytes)
        upload->part_bytes = (least + mebibyte - 1) / mebibyte * mebibyte;
    if (upload->part_bytes > PART_BYTES_MAX)
        return error_set(error, ERROR_INVALID, "a file of %llu bytes is too large for an object",
                         (unsigned long long)size);
    upload->part_count = (uint32_t)((size + upload->part_bytes - 1) / upload->part_bytes);
    upload->parts = calloc(upload->part_count, sizeof *upload->parts);
    if (upload->parts == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "upload of a file");
    enum error_code code = run(upload, error);
    free(upload->parts);
    return code;
}

static enum error_code put_at_once(struct upload *upload, struct error *error)
{
    const struct object_file *file = upload->file;
    size_t size = (size_t)file->size_bytes;
    uint8_t *bytes = malloc(size == 0 ? 1 : size);
    if (bytes == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "upload of a file");
    enum error_code code = ERROR_NONE;
    if (size > 0)
        code = disk_read_at(file->disk, file->file, 0, bytes, size, error);
    if (code == ERROR_NONE)
        code = s3_put_bytes(upload->store, upload->call, upload->key,
                            (struct text){(const char *)bytes, size}, error);
    free(bytes);
    return code;
}

enum error_code s3_store_put_file(struct object_store *self, const struct object_call *call,
                                  struct text key, const struct object_file *file,
                                  struct error *error)
{
    struct upload upload = {.store = s3_store_of(self), .call = call, .file = file};
    char target[S3_KEY_BYTES_MAX];
    enum error_code code = s3_full_key(upload.store, key, target, &upload.key, error);
    if (code != ERROR_NONE)
        return code;
    return file->size_bytes <= upload.store->part_bytes ? put_at_once(&upload, error)
                                                        : put_in_parts(&upload, error);
}
