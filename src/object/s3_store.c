#include "s3_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "s3_key_source.h"

enum {
    PREFIX_BYTES_MAX = 100,
    DEFAULT_CONNECTIONS = 64,
    CONNECTIONS_MAX = 1024,
    DEFAULT_CONNECT_TIMEOUT_MS = 3000,
    DEFAULT_STALL_TIMEOUT_MS = 10 * 1000,
    TIMEOUT_MS_MAX = 3600 * 1000,
    DEFAULT_ATTEMPTS = 6,
    ATTEMPTS_MAX = 20,
    DEFAULT_BACKOFF_MS = 100,
    DEFAULT_BACKOFF_MS_MAX = 5000,
    DEFAULT_PARTS_AT_ONCE = 4,
    PARTS_AT_ONCE_MAX = 32,
    PAGE_ENTRIES_MAX = 1000, /* S3 answers no more */
    CUSTOMER_KEY_BYTES = 32,
};

static const uint64_t MEBIBYTE = 1024 * 1024;

/* --- Tools of all parts -------------------------------------------------------------------- */

enum error_code s3_full_key(const struct s3_store *store, struct text key,
                            char target[S3_KEY_BYTES_MAX], struct text *full_out,
                            struct error *error)
{
    enum error_code code = object_key_check(key, error);
    if (code != ERROR_NONE)
        return code;
    memcpy(target, store->prefix, store->prefix_size);
    memcpy(target + store->prefix_size, key.data, key.size);
    *full_out = (struct text){target, store->prefix_size + key.size};
    return ERROR_NONE;
}

void s3_query_add(struct byte_buffer *query, const char *name, struct text value)
{
    if (query->size > 0)
        byte_buffer_append(query, "&", 1);
    byte_buffer_append(query, name, strlen(name));
    byte_buffer_append(query, "=", 1);
    s3_escape(query, value, S3_ESCAPE_VALUE);
}

void s3_query_add_number(struct byte_buffer *query, const char *name, uint32_t value)
{
    char text[16];
    snprintf(text, sizeof text, "%u", value);
    s3_query_add(query, name, text_of(text));
}

void s3_encrypt_part(const struct s3_store *store, struct s3_request *request)
{
    if (store->encryption != S3_ENCRYPTION_CUSTOMER)
        return;
    s3_request_header(request, "x-amz-server-side-encryption-customer-algorithm", "AES256");
    s3_request_header(request, "x-amz-server-side-encryption-customer-key", "%s",
                      store->encryption_key);
    s3_request_header(request, "x-amz-server-side-encryption-customer-key-md5", "%s",
                      store->encryption_key_md5);
}

void s3_encrypt_new(const struct s3_store *store, struct s3_request *request)
{
    s3_encrypt_part(store, request);
    if (store->encryption == S3_ENCRYPTION_AES256)
        s3_request_header(request, "x-amz-server-side-encryption", "AES256");
    if (store->encryption != S3_ENCRYPTION_KMS)
        return;
    s3_request_header(request, "x-amz-server-side-encryption", "aws:kms");
    if (store->encryption_key[0] != '\0')
        s3_request_header(request, "x-amz-server-side-encryption-aws-kms-key-id", "%s",
                          store->encryption_key);
}

bool s3_etag_is_md5(const struct s3_store *store, const struct s3_headers *headers)
{
    if (store->etag == S3_ETAG_OPAQUE || headers->has_opaque_etag ||
        store->encryption == S3_ENCRYPTION_KMS || store->encryption == S3_ENCRYPTION_CUSTOMER)
        return false;
    size_t digits = strspn(headers->etag, "0123456789abcdef");
    return digits == S3_MD5_HEX_BYTES - 1 &&
           (headers->etag[digits] == '\0' || headers->etag[digits] == '-');
}

/* --- Settings ------------------------------------------------------------------------------ */

static bool is_set(const char *text)
{
    return text != NULL && text[0] != '\0';
}

static enum error_code check_number(const char *name, uint64_t value, uint64_t least, uint64_t most,
                                    struct error *error)
{
    if (value == 0 || (value >= least && value <= most))
        return ERROR_NONE;
    return error_set(error, ERROR_INVALID, "object_store.s3.%s: %llu is not from %llu to %llu",
                     name, (unsigned long long)value, (unsigned long long)least,
                     (unsigned long long)most);
}

static enum error_code check_numbers(const struct s3_options *options, struct error *error)
{
    enum error_code code =
        check_number("part_size", options->part_bytes, 5 * MEBIBYTE, 512 * MEBIBYTE, error);
    if (code == ERROR_NONE)
        code = check_number("parts_at_once", options->parts_at_once, 1, PARTS_AT_ONCE_MAX, error);
    if (code == ERROR_NONE)
        code = check_number("connections", options->connections, 1, CONNECTIONS_MAX, error);
    if (code == ERROR_NONE)
        code =
            check_number("connect_timeout", options->connect_timeout_ms, 1, TIMEOUT_MS_MAX, error);
    if (code == ERROR_NONE)
        code = check_number("stall_timeout", options->stall_timeout_ms, 1, TIMEOUT_MS_MAX, error);
    if (code == ERROR_NONE)
        code = check_number("attempts", options->attempts, 1, ATTEMPTS_MAX, error);
    if (code == ERROR_NONE)
        code = check_number("page_entries", options->page_entries, 1, PAGE_ENTRIES_MAX, error);
    if (code == ERROR_NONE)
        code = check_number("backoff", options->backoff_ms, 1, TIMEOUT_MS_MAX, error);
    if (code == ERROR_NONE)
        code = check_number("backoff_max", options->backoff_ms_max, 1, TIMEOUT_MS_MAX, error);
    return code;
}

/* What stands in a URL and in headers as it is. */
static bool is_plain(const char *text)
{
    for (const char *at = text; *at != '\0'; at++)
        if (*at <= 0x20 || *at >= 0x7f || strchr("/?#@%\"<>\\", *at) != NULL)
            return false;
    return true;
}

static enum error_code check_texts(const struct s3_options *options, struct error *error)
{
    if (!is_set(options->bucket) || !is_plain(options->bucket) || strlen(options->bucket) > 255)
        return error_set(error, ERROR_INVALID, "object_store.s3.bucket is not set, or no name");
    if (is_set(options->region) &&
        (!is_plain(options->region) || strlen(options->region) >= S3_REGION_BYTES_MAX))
        return error_set(error, ERROR_INVALID, "object_store.s3.region '%s' is none",
                         options->region);
    if (is_set(options->encryption_key) && strlen(options->encryption_key) >= S3_VALUE_BYTES_MAX)
        return error_set(error, ERROR_INVALID, "object_store.s3.encryption_key is too long");
    return ERROR_NONE;
}

static char *format_text(const char *first, const char *second, const char *third)
{
    char *text = NULL;
    return asprintf(&text, "%s%s%s", first, second, third) < 0 ? NULL : text;
}

static const char *region_of(const struct s3_options *options)
{
    const char *named[] = {options->region, s3_key_variable("AWS_REGION"),
                           s3_key_variable("AWS_DEFAULT_REGION")};
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        if (is_set(named[i]) && is_plain(named[i]) && strlen(named[i]) < S3_REGION_BYTES_MAX)
            return named[i];
    return "us-east-1";
}

/* The scheme with "://", and the host with its port unless that is the scheme's own. */
static enum error_code split_endpoint(const char *endpoint, const char **scheme_out, char host[300],
                                      struct error *error)
{
    struct text rest = text_of(endpoint);
    bool is_open = text_starts_with(rest, TEXT("http://"));
    *scheme_out = is_open ? "http://" : "https://";
    bool has_scheme = is_open || text_starts_with(rest, TEXT("https://"));
    size_t scheme_size = strlen(*scheme_out);
    if (has_scheme)
        rest = (struct text){rest.data + scheme_size, rest.size - scheme_size};
    if (text_ends_with(rest, TEXT("/")))
        rest.size--;
    const char *own_port = is_open ? ":80" : ":443";
    if (text_ends_with(rest, text_of(own_port)))
        rest.size -= strlen(own_port);
    if (!has_scheme || rest.size == 0 || rest.size >= 300)
        return error_set(error, ERROR_INVALID,
                         "object_store.s3.endpoint '%s' is not http[s]://host[:port]", endpoint);
    snprintf(host, 300, "%.*s", TEXT_ARGUMENTS(rest));
    return is_plain(host)
               ? ERROR_NONE
               : error_set(error, ERROR_INVALID,
                           "object_store.s3.endpoint '%s' is not http[s]://host[:port]", endpoint);
}

static enum error_code place_set(struct s3_sender *sender, const struct s3_options *options,
                                 struct error *error)
{
    const char *scheme = "https://";
    const char *region = region_of(options);
    char host[300], service[S3_REGION_BYTES_MAX + 64];
    snprintf(service, sizeof service, "https://s3.%s.amazonaws.com%s", region,
             strncmp(region, "cn-", 3) == 0 ? ".cn" : "");
    enum error_code code = split_endpoint(is_set(options->endpoint) ? options->endpoint : service,
                                          &scheme, host, error);
    if (code != ERROR_NONE)
        return code;
    sender->is_by_path = options->addressing == S3_ADDRESSING_BY_PATH ||
                         (options->addressing == S3_ADDRESSING_BEST && is_set(options->endpoint));
    sender->region = strdup(region);
    sender->bucket = strdup(options->bucket);
    sender->endpoint = format_text(scheme, host, "");
    sender->host = sender->is_by_path ? strdup(host) : format_text(options->bucket, ".", host);
    sender->base = sender->host == NULL ? NULL : format_text(scheme, sender->host, "");
    return sender->region != NULL && sender->bucket != NULL && sender->endpoint != NULL &&
                   sender->base != NULL
               ? ERROR_NONE
               : error_set(error, ERROR_OUT_OF_MEMORY, "object store");
}

static enum error_code prefix_set(struct s3_store *store, const char *prefix, struct error *error)
{
    struct text text = text_of(is_set(prefix) ? prefix : "");
    while (text_ends_with(text, TEXT("/")))
        text.size--;
    while (text_starts_with(text, TEXT("/")))
        text = (struct text){text.data + 1, text.size - 1};
    if (text.size > PREFIX_BYTES_MAX || (text.size > 0 && !object_key_is_valid(text)))
        return error_set(error, ERROR_INVALID,
                         "object_store.s3.prefix '%s' is longer than %d bytes, or no key", prefix,
                         PREFIX_BYTES_MAX);
    if (asprintf(&store->prefix, "%.*s%s", (int)text.size, text.size == 0 ? "" : text.data,
                 text.size == 0 ? "" : "/") < 0) {
        store->prefix = NULL;
        return error_set(error, ERROR_OUT_OF_MEMORY, "object store");
    }
    store->prefix_size = strlen(store->prefix);
    return ERROR_NONE;
}

static enum error_code encryption_set(struct s3_store *store, const struct s3_options *options,
                                      struct error *error)
{
    char value[S3_VALUE_BYTES_MAX] = "";
    enum error_code code = ERROR_NONE;
    if (is_set(options->encryption_key))
        snprintf(value, sizeof value, "%s", options->encryption_key);
    else if (is_set(options->encryption_key_file))
        code = s3_key_file_read(options->encryption_key_file, value, sizeof value, error);
    if (code != ERROR_NONE)
        return code;
    store->encryption = options->encryption;
    store->encryption_key = strdup(value);
    OPENSSL_cleanse(value, sizeof value);
    if (store->encryption_key == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "object store");
    if (store->encryption != S3_ENCRYPTION_CUSTOMER)
        return ERROR_NONE;
    /* 32 bytes are 44 characters, the last of them "="; which decode to 33. */
    uint8_t key[CUSTOMER_KEY_BYTES + 1], digest[S3_MD5_BYTES];
    if (strlen(store->encryption_key) != 44 ||
        EVP_DecodeBlock(key, (const unsigned char *)store->encryption_key, 44) != sizeof key)
        return error_set(error, ERROR_INVALID,
                         "object_store.s3.encryption_key is not the base64 of 32 bytes");
    s3_md5(key, CUSTOMER_KEY_BYTES, digest);
    s3_base64(digest, sizeof digest, store->encryption_key_md5);
    OPENSSL_cleanse(key, sizeof key);
    return ERROR_NONE;
}

/* --- Life ---------------------------------------------------------------------------------- */

static uint64_t or_default(uint64_t value, uint64_t otherwise)
{
    return value == 0 ? otherwise : value;
}

static void s3_store_destroy(struct object_store *self)
{
    struct s3_store *store = s3_store_of(self);
    struct s3_sender *sender = &store->sender;
    s3_keys_destroy(sender->keys);
    exchanges_destroy(sender->exchanges);
    s3_signing_key_clear(&sender->signing_key);
    object_metrics_clear(&store->metrics);
    free(sender->endpoint);
    free(sender->host);
    free(sender->base);
    free(sender->bucket);
    free(sender->region);
    free(store->prefix);
    if (store->encryption_key != NULL)
        OPENSSL_cleanse(store->encryption_key, strlen(store->encryption_key));
    free(store->encryption_key);
    free(store);
}

static const struct object_store_operations OPERATIONS = {
    .read = s3_store_read,
    .head = s3_store_head,
    .put = s3_store_put,
    .put_file = s3_store_put_file,
    .abandon_put = s3_store_abandon_put,
    .sweep_puts = s3_store_sweep_puts,
    .list = s3_store_list,
    .remove = s3_store_remove,
    .destroy = s3_store_destroy,
};

static void numbers_set(struct s3_store *store, const struct s3_options *options)
{
    struct s3_sender *sender = &store->sender;
    sender->connections = (uint32_t)or_default(options->connections, DEFAULT_CONNECTIONS);
    sender->stall_ns =
        or_default(options->stall_timeout_ms, DEFAULT_STALL_TIMEOUT_MS) * 1000 * 1000;
    sender->attempts_max = (uint32_t)or_default(options->attempts, DEFAULT_ATTEMPTS);
    sender->backoff_ms = or_default(options->backoff_ms, DEFAULT_BACKOFF_MS);
    sender->backoff_ms_max = or_default(options->backoff_ms_max, DEFAULT_BACKOFF_MS_MAX);
    atomic_init(&sender->retry_budget, S3_RETRY_BUDGET_MAX);
    store->part_bytes = or_default(options->part_bytes, 16 * MEBIBYTE);
    store->parts_at_once = (uint32_t)or_default(options->parts_at_once, DEFAULT_PARTS_AT_ONCE);
    store->page_entries = (uint32_t)or_default(options->page_entries, PAGE_ENTRIES_MAX);
    store->etag = options->etag;
}

static enum error_code start(struct s3_store *store, const struct object_store_options *options,
                             struct error *error)
{
    struct s3_sender *sender = &store->sender;
    struct exchanges_options exchanges = {
        .clock = options->clock,
        .ca_file = options->s3.ca_file,
        .connections = sender->connections,
        .connect_timeout_ms =
            or_default(options->s3.connect_timeout_ms, DEFAULT_CONNECT_TIMEOUT_MS),
        .received_bytes = store->metrics.received_bytes,
        .sent_bytes = store->metrics.sent_bytes,
        .in_flight = store->metrics.in_flight,
    };
    enum error_code code = exchanges_create(&exchanges, &sender->exchanges, error);
    if (code == ERROR_NONE)
        code = s3_keys_create(&options->s3, sender->region, sender->exchanges, options->clock,
                              &sender->keys, error);
    return code;
}

enum error_code s3_store_create(const struct object_store_options *options,
                                struct object_store **store_out, struct error *error)
{
    struct s3_store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "object store");
    store->base.operations = &OPERATIONS;
    store->sender.clock = options->clock;
    store->sender.random = options->random;
    store->sender.metrics = &store->metrics;
    s3_signing_key_init(&store->sender.signing_key);
    numbers_set(store, &options->s3);
    enum error_code code = check_numbers(&options->s3, error);
    if (code == ERROR_NONE)
        code = check_texts(&options->s3, error);
    if (code == ERROR_NONE)
        code = prefix_set(store, options->s3.prefix, error);
    if (code == ERROR_NONE)
        code = encryption_set(store, &options->s3, error);
    if (code == ERROR_NONE)
        code = place_set(&store->sender, &options->s3, error);
    if (code == ERROR_NONE)
        code = object_metrics_init(&store->metrics, options->metrics, error);
    if (code == ERROR_NONE)
        code = start(store, options, error);
    if (code != ERROR_NONE) {
        s3_store_destroy(&store->base);
        return code;
    }
    *store_out = &store->base;
    return ERROR_NONE;
}
