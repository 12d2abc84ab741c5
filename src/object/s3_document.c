#include "s3_document.h"

#include <string.h>

#include "s3_text.h"
#include "s3_xml.h"

/* --- Values -------------------------------------------------------------------------------- */

static bool is_path(struct text path, const char *wanted)
{
    return text_equal(path, text_of(wanted));
}

/* What is behind the root's name, "Contents/Key"; the root itself is "". */
static struct text below_root(struct text path)
{
    struct text root, rest;
    return text_split(path, '/', &root, &rest) ? rest : (struct text){0};
}

/* Printable, cut to fit. */
static void copy_cut(struct text value, char *target, size_t target_bytes)
{
    size_t size = value.size < target_bytes - 1 ? value.size : target_bytes - 1;
    for (size_t i = 0; i < size; i++)
        target[i] = (unsigned char)value.data[i] < 0x20 ? ' ' : value.data[i];
    target[size] = '\0';
}

/* The whole value, of visible ASCII; false when it does not fit. */
static bool copy_token(struct text value, char *target, size_t target_bytes)
{
    if (value.size == 0 || value.size >= target_bytes)
        return false;
    for (size_t i = 0; i < value.size; i++)
        if (value.data[i] <= 0x20 || value.data[i] >= 0x7f)
            return false;
    memcpy(target, value.data, value.size);
    target[value.size] = '\0';
    return true;
}

static struct text without_quotes(struct text value)
{
    if (value.size >= 2 && value.data[0] == '"' && value.data[value.size - 1] == '"')
        return (struct text){value.data + 1, value.size - 2};
    return value;
}

static enum error_code set_corrupt(struct error *error, const char *what)
{
    return error_set(error, ERROR_CORRUPT, "the store's answer: %s", what);
}

/* A value as it is, or unescaped where the document says that its values are escaped. */
static bool take_value(struct byte_buffer *buffer, struct text value, bool is_escaped)
{
    byte_buffer_reset(buffer);
    if (is_escaped)
        return s3_unescape(buffer, value);
    byte_buffer_append(buffer, value.data, value.size);
    return true;
}

static struct text text_in(const struct byte_buffer *buffer)
{
    return (struct text){(const char *)buffer->bytes, buffer->size};
}

/* What must be known of a page before its entries are read, wherever it stands. */
struct page_facts {
    const char *root;
    bool has_root;
    bool is_escaped;
    bool has_more;
};

static enum error_code facts_visit(void *context, struct text path, struct text value,
                                   struct error *error)
{
    struct page_facts *facts = context;
    (void)error;
    struct text name = below_root(path);
    if (is_path(name, "EncodingType"))
        facts->is_escaped = text_equal(text_trim(value), TEXT("url"));
    else if (is_path(name, "IsTruncated"))
        facts->has_more = text_equal(text_trim(value), TEXT("true"));
    else if (is_path(path, facts->root))
        facts->has_root = true;
    return ERROR_NONE;
}

static enum error_code read_facts(struct text document, const char *root, struct page_facts *facts,
                                  struct error *error)
{
    *facts = (struct page_facts){.root = root};
    enum error_code code = s3_xml_parse(document, facts_visit, facts, error);
    if (code != ERROR_NONE || facts->has_root)
        return code;
    return error_set(error, ERROR_CORRUPT, "the store's answer is no %s", root);
}

/* --- Refusals ------------------------------------------------------------------------------ */

static void refusal_take(struct s3_refusal *refusal, struct text name, struct text value)
{
    value = text_trim(value);
    if (is_path(name, "Code"))
        copy_cut(value, refusal->code, sizeof refusal->code);
    else if (is_path(name, "Message"))
        copy_cut(value, refusal->message, sizeof refusal->message);
    else if (is_path(name, "Region"))
        copy_cut(value, refusal->region, sizeof refusal->region);
    else if (is_path(name, "Endpoint"))
        copy_cut(value, refusal->endpoint, sizeof refusal->endpoint);
    else if (is_path(name, "RequestTime"))
        copy_cut(value, refusal->request_time, sizeof refusal->request_time);
    else if (is_path(name, "ServerTime"))
        copy_cut(value, refusal->server_time, sizeof refusal->server_time);
}

static enum error_code refusal_visit(void *context, struct text path, struct text value,
                                     struct error *error)
{
    struct text prefixes[] = {TEXT("Error/"), TEXT("ErrorResponse/Error/")};
    (void)error;
    for (size_t i = 0; i < 2; i++)
        if (text_starts_with(path, prefixes[i]))
            refusal_take(context,
                         (struct text){path.data + prefixes[i].size, path.size - prefixes[i].size},
                         value);
    return ERROR_NONE;
}

bool s3_refusal_parse(struct text document, struct s3_refusal *refusal_out)
{
    struct error ignored;
    *refusal_out = (struct s3_refusal){0};
    /* Of one that is cut, what came is told. */
    (void)s3_xml_parse(document, refusal_visit, refusal_out, &ignored);
    return refusal_out->code[0] != '\0';
}

/* --- Lists --------------------------------------------------------------------------------- */

struct list_reading {
    struct page_facts facts;
    struct text after;
    s3_list_visit *visit;
    void *context;
    struct s3_list_page *page;
    struct byte_buffer key;
    bool has_key, has_size;
    struct s3_list_entry entry;
};

static enum error_code end_list_entry(struct list_reading *reading, struct error *error)
{
    struct s3_list_page *page = reading->page;
    if (!reading->has_key || !reading->has_size)
        return set_corrupt(error, "an object without key or size");
    struct text key = text_in(&reading->key);
    struct text before = page->entry_count > 0 ? text_in(&page->last_key) : reading->after;
    if ((page->entry_count > 0 || before.size > 0) && text_compare(key, before) <= 0)
        return set_corrupt(error, "objects are not listed in the order of their keys");
    byte_buffer_reset(&page->last_key);
    byte_buffer_append(&page->last_key, key.data, key.size);
    if (page->last_key.failed || reading->key.failed)
        return error_set(error, ERROR_OUT_OF_MEMORY, "list of objects");
    page->entry_count++;
    reading->entry.key = key;
    if (!page->is_stopped)
        page->is_stopped = !reading->visit(reading->context, &reading->entry);
    reading->entry = (struct s3_list_entry){0};
    reading->has_key = reading->has_size = false;
    return ERROR_NONE;
}

static enum error_code list_visit(void *context, struct text path, struct text value,
                                  struct error *error)
{
    struct list_reading *reading = context;
    struct text name = below_root(path);
    if (is_path(name, "Contents"))
        return end_list_entry(reading, error);
    if (is_path(name, "Contents/Key")) {
        reading->has_key = take_value(&reading->key, value, reading->facts.is_escaped);
    } else if (is_path(name, "Contents/Size")) {
        reading->has_size = text_to_uint64(text_trim(value), &reading->entry.size_bytes);
    } else if (is_path(name, "Contents/LastModified")) {
        if (!s3_time_parse(text_trim(value), &reading->entry.modified_ms))
            return set_corrupt(error, "an object's time");
    }
    return ERROR_NONE;
}

enum error_code s3_list_parse(struct text document, struct text after, s3_list_visit *visit,
                              void *context, struct s3_list_page *page, struct error *error)
{
    struct list_reading reading = {
        .after = after, .visit = visit, .context = context, .page = page};
    page->is_stopped = false;
    page->entry_count = 0;
    enum error_code code = read_facts(document, "ListBucketResult", &reading.facts, error);
    if (code == ERROR_NONE)
        code = s3_xml_parse(document, list_visit, &reading, error);
    byte_buffer_clear(&reading.key);
    page->has_more = reading.facts.has_more;
    if (code == ERROR_NONE && page->has_more && page->entry_count == 0)
        return set_corrupt(error, "a list that goes on has no objects");
    return code;
}

/* --- Uploads in parts ---------------------------------------------------------------------- */

static enum error_code upload_id_visit(void *context, struct text path, struct text value,
                                       struct error *error)
{
    (void)error;
    if (is_path(path, "InitiateMultipartUploadResult/UploadId"))
        copy_token(text_trim(value), context, S3_UPLOAD_ID_BYTES_MAX);
    return ERROR_NONE;
}

enum error_code s3_upload_id_parse(struct text document, char target[S3_UPLOAD_ID_BYTES_MAX],
                                   struct error *error)
{
    target[0] = '\0';
    enum error_code code = s3_xml_parse(document, upload_id_visit, target, error);
    return code == ERROR_NONE && target[0] == '\0' ? set_corrupt(error, "no id of the upload")
                                                   : code;
}

struct uploads_reading {
    struct page_facts facts;
    s3_uploads_visit *visit;
    void *context;
    struct s3_uploads_page *page;
    struct byte_buffer key;
    struct byte_buffer id;
    int64_t begun_ms;
    bool has_begun;
};

static enum error_code uploads_visit(void *context, struct text path, struct text value,
                                     struct error *error)
{
    struct uploads_reading *reading = context;
    bool is_escaped = reading->facts.is_escaped, is_right = true;
    struct text name = below_root(path);
    if (is_path(name, "Upload")) {
        struct s3_upload_entry entry = {text_in(&reading->key), text_in(&reading->id),
                                        reading->begun_ms};
        is_right = entry.key.size > 0 && entry.id.size > 0 && reading->has_begun &&
                   entry.id.size < S3_UPLOAD_ID_BYTES_MAX;
        enum error_code code =
            is_right ? reading->visit(reading->context, &entry, error) : ERROR_NONE;
        byte_buffer_reset(&reading->key);
        byte_buffer_reset(&reading->id);
        reading->has_begun = false;
        if (code != ERROR_NONE)
            return code;
    } else if (is_path(name, "Upload/Key")) {
        is_right = take_value(&reading->key, value, is_escaped);
    } else if (is_path(name, "Upload/UploadId")) {
        is_right = take_value(&reading->id, text_trim(value), false);
    } else if (is_path(name, "Upload/Initiated")) {
        is_right = reading->has_begun = s3_time_parse(text_trim(value), &reading->begun_ms);
    } else if (is_path(name, "NextKeyMarker")) {
        is_right = take_value(&reading->page->key_marker, value, is_escaped);
    } else if (is_path(name, "NextUploadIdMarker")) {
        is_right = take_value(&reading->page->id_marker, text_trim(value), false);
    }
    return is_right ? ERROR_NONE : set_corrupt(error, "an upload without key, id or time");
}

enum error_code s3_uploads_parse(struct text document, s3_uploads_visit *visit, void *context,
                                 struct s3_uploads_page *page, struct error *error)
{
    struct uploads_reading reading = {.visit = visit, .context = context, .page = page};
    enum error_code code =
        read_facts(document, "ListMultipartUploadsResult", &reading.facts, error);
    byte_buffer_reset(&page->key_marker);
    byte_buffer_reset(&page->id_marker);
    if (code == ERROR_NONE)
        code = s3_xml_parse(document, uploads_visit, &reading, error);
    if (code == ERROR_NONE && (reading.key.failed || reading.id.failed || page->key_marker.failed ||
                               page->id_marker.failed))
        code = error_set(error, ERROR_OUT_OF_MEMORY, "list of uploads");
    byte_buffer_clear(&reading.key);
    byte_buffer_clear(&reading.id);
    page->has_more = reading.facts.has_more && page->key_marker.size > 0;
    return code;
}

struct parts_reading {
    s3_parts_visit *visit;
    void *context;
    struct s3_part_entry entry;
    uint64_t number;
    uint64_t next;
    bool has_size;
    char etag[S3_ETAG_BYTES_MAX];
};

static enum error_code parts_visit(void *context, struct text path, struct text value,
                                   struct error *error)
{
    struct parts_reading *reading = context;
    struct text name = below_root(path);
    bool is_right = true;
    value = text_trim(value);
    if (is_path(name, "Part")) {
        is_right = reading->has_size && reading->number >= 1 && reading->number <= S3_PARTS_MAX;
        reading->entry.number = (uint32_t)reading->number;
        reading->entry.etag = text_of(reading->etag);
        if (is_right)
            reading->visit(reading->context, &reading->entry);
        reading->number = 0;
        reading->has_size = false;
        reading->etag[0] = '\0';
    } else if (is_path(name, "Part/PartNumber")) {
        is_right = text_to_uint64(value, &reading->number);
    } else if (is_path(name, "Part/Size")) {
        is_right = reading->has_size = text_to_uint64(value, &reading->entry.size_bytes);
    } else if (is_path(name, "Part/ETag")) {
        copy_token(without_quotes(value), reading->etag, sizeof reading->etag);
    } else if (is_path(name, "NextPartNumberMarker")) {
        is_right = value.size == 0 || text_to_uint64(value, &reading->next);
    }
    return is_right ? ERROR_NONE : set_corrupt(error, "a part without number or size");
}

enum error_code s3_parts_parse(struct text document, s3_parts_visit *visit, void *context,
                               uint32_t *next_out, struct error *error)
{
    struct parts_reading reading = {.visit = visit, .context = context};
    struct page_facts facts;
    enum error_code code = read_facts(document, "ListPartsResult", &facts, error);
    if (code == ERROR_NONE)
        code = s3_xml_parse(document, parts_visit, &reading, error);
    bool goes_on = facts.has_more && reading.next >= 1 && reading.next <= S3_PARTS_MAX;
    if (code == ERROR_NONE)
        *next_out = goes_on ? (uint32_t)reading.next : 0;
    return code;
}

/* --- Removals ------------------------------------------------------------------------------ */

struct delete_reading {
    bool has_root;
    bool has_failed;
    struct s3_refusal current;
    struct s3_refusal *first;
};

static enum error_code delete_visit(void *context, struct text path, struct text value,
                                    struct error *error)
{
    struct delete_reading *reading = context;
    struct text prefix = TEXT("DeleteResult/Error/");
    (void)error;
    if (text_starts_with(path, prefix)) {
        refusal_take(&reading->current,
                     (struct text){path.data + prefix.size, path.size - prefix.size}, value);
    } else if (is_path(path, "DeleteResult/Error")) {
        if (!reading->has_failed && strcmp(reading->current.code, "NoSuchKey") != 0) {
            *reading->first = reading->current;
            reading->has_failed = true;
        }
        reading->current = (struct s3_refusal){0};
    } else if (is_path(path, "DeleteResult")) {
        reading->has_root = true;
    }
    return ERROR_NONE;
}

enum error_code s3_delete_parse(struct text document, bool *has_failed_out,
                                struct s3_refusal *refusal_out, struct error *error)
{
    struct delete_reading reading = {.first = refusal_out};
    enum error_code code = s3_xml_parse(document, delete_visit, &reading, error);
    if (code == ERROR_NONE && !reading.has_root)
        code = set_corrupt(error, "no result of a removal");
    *has_failed_out = reading.has_failed;
    return code;
}

/* --- Temporary keys ------------------------------------------------------------------------ */

static enum error_code role_visit(void *context, struct text path, struct text value,
                                  struct error *error)
{
    struct s3_temporary_keys *keys = context;
    (void)error;
    value = text_trim(value);
    if (text_ends_with(path, TEXT("/Credentials/AccessKeyId")))
        copy_token(value, keys->access_key, sizeof keys->access_key);
    else if (text_ends_with(path, TEXT("/Credentials/SecretAccessKey")))
        copy_token(value, keys->secret_key, sizeof keys->secret_key);
    else if (text_ends_with(path, TEXT("/Credentials/SessionToken")))
        copy_token(value, keys->session_token, sizeof keys->session_token);
    else if (text_ends_with(path, TEXT("/Credentials/Expiration")))
        (void)s3_time_parse(value, &keys->expires_ms);
    return ERROR_NONE;
}

enum error_code s3_role_parse(struct text document, struct s3_temporary_keys *keys_out,
                              struct error *error)
{
    *keys_out = (struct s3_temporary_keys){0};
    enum error_code code = s3_xml_parse(document, role_visit, keys_out, error);
    if (code == ERROR_NONE && (keys_out->access_key[0] == '\0' || keys_out->secret_key[0] == '\0' ||
                               keys_out->session_token[0] == '\0' || keys_out->expires_ms == 0))
        code = set_corrupt(error, "no keys of the role");
    return code;
}
