/*
 * Documents of a store, by the first byte which: what is given out of a list is in order and what
 * it says, of parts in bounds, of keys fit for headers.
 */
#include <stdlib.h>
#include <string.h>

#include "s3_document.h"
#include "s3_key_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static bool is_token(const char *text)
{
    for (; *text != '\0'; text++)
        if (*text <= 0x20 || *text >= 0x7f)
            return false;
    return true;
}

struct listing {
    struct byte_buffer last;
    size_t count;
};

static bool take_entry(void *context, const struct s3_list_entry *entry)
{
    struct listing *listing = context;
    struct text last = {(const char *)listing->last.bytes, listing->last.size};
    require(listing->count == 0 || text_compare(last, entry->key) < 0);
    byte_buffer_reset(&listing->last);
    byte_buffer_append(&listing->last, entry->key.data, entry->key.size);
    return ++listing->count < 100;
}

static void list(struct text document, struct error *error)
{
    struct s3_list_page page = {0};
    struct listing listing = {0};
    if (s3_list_parse(document, TEXT(""), take_entry, &listing, &page, error) == ERROR_NONE) {
        require(page.is_stopped || page.entry_count == listing.count);
        require(!page.has_more || page.entry_count > 0);
    }
    byte_buffer_clear(&page.last_key);
    byte_buffer_clear(&listing.last);
}

static enum error_code take_upload(void *context, const struct s3_upload_entry *entry,
                                   struct error *error)
{
    (void)context, (void)error;
    require(entry->key.size > 0 && entry->id.size > 0 && entry->id.size < S3_UPLOAD_ID_BYTES_MAX);
    return ERROR_NONE;
}

static void uploads(struct text document, struct error *error)
{
    struct s3_uploads_page page = {0};
    if (s3_uploads_parse(document, take_upload, NULL, &page, error) == ERROR_NONE)
        require(!page.has_more || page.key_marker.size > 0);
    byte_buffer_clear(&page.key_marker);
    byte_buffer_clear(&page.id_marker);
}

static void take_part(void *context, const struct s3_part_entry *entry)
{
    (void)context;
    require(entry->number >= 1 && entry->number <= S3_PARTS_MAX);
    require(entry->etag.size < S3_ETAG_BYTES_MAX);
}

static void check_keys(enum error_code code, const struct s3_temporary_keys *keys)
{
    if (code != ERROR_NONE)
        return;
    require(keys->access_key[0] != '\0' && keys->secret_key[0] != '\0');
    require(is_token(keys->access_key) && is_token(keys->secret_key) &&
            is_token(keys->session_token));
}

static void refusals(struct text document, struct error *error)
{
    struct s3_refusal refusal;
    bool has_failed;
    s3_refusal_parse(document, &refusal);
    require(memchr(refusal.message, '\0', sizeof refusal.message) != NULL);
    s3_delete_parse(document, &has_failed, &refusal, error);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static struct s3_temporary_keys keys;
    struct error error;
    char id[S3_UPLOAD_ID_BYTES_MAX];
    uint32_t next = 0;
    if (size == 0)
        return 0;
    struct text document = {(const char *)bytes + 1, size - 1};
    switch (bytes[0] % 8) {
    case 0:
        list(document, &error);
        break;
    case 1:
        uploads(document, &error);
        break;
    case 2:
        if (s3_parts_parse(document, take_part, NULL, &next, &error) == ERROR_NONE)
            require(next <= S3_PARTS_MAX);
        break;
    case 3:
        if (s3_upload_id_parse(document, id, &error) == ERROR_NONE)
            require(id[0] != '\0' && is_token(id));
        break;
    case 4:
        refusals(document, &error);
        break;
    case 5:
        check_keys(s3_role_parse(document, &keys, &error), &keys);
        break;
    case 6:
        check_keys(s3_metadata_parse(document, &keys, &error), &keys);
        break;
    default:
        check_keys(s3_profile_parse(document, TEXT("default"), &keys, &error), &keys);
    }
    return 0;
}
