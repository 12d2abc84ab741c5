#include "s3_keys.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "base/log.h"
#include "s3_key_source.h"
#include "stores.h"

enum {
    RENEW_BEFORE_MS = 5 * 60 * 1000,
    RENEW_AGAIN_MS = 30 * 1000, /* after a failure, while the old keys still serve */
    REREAD_MS = 1000,
    FAILURE_MS = 1000,
    LOOK_MS = 20,
};

struct s3_keys {
    struct s3_key_settings settings;
    struct exchanges *exchanges;
    struct clock *clock;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* of is_searching */
    struct s3_credentials *current;
    bool is_reread;
    bool is_rejected;
    bool is_searching;
    uint64_t search_next_ms;  /* monotonic: not before, unless they must be had */
    uint64_t failed_until_ms; /* until then everybody hears what the last search met */
    struct error failure;
};

/* --- Credentials --------------------------------------------------------------------------- */

static void free_secret(char *secret)
{
    if (secret != NULL)
        OPENSSL_cleanse(secret, strlen(secret));
    free(secret);
}

void s3_credentials_unref(struct s3_credentials *credentials)
{
    if (credentials == NULL || atomic_fetch_sub(&credentials->references, 1) != 1)
        return;
    free(credentials->access_key);
    free_secret(credentials->secret_key);
    free_secret(credentials->session_token);
    free(credentials);
}

static struct s3_credentials *credentials_ref(struct s3_credentials *credentials)
{
    atomic_fetch_add(&credentials->references, 1);
    return credentials;
}

static struct s3_credentials *credentials_create(const struct s3_temporary_keys *keys,
                                                 const char *source)
{
    struct s3_credentials *credentials = calloc(1, sizeof *credentials);
    if (credentials == NULL)
        return NULL;
    atomic_init(&credentials->references, 1);
    credentials->access_key = strdup(keys->access_key);
    credentials->secret_key = strdup(keys->secret_key);
    credentials->session_token = strdup(keys->session_token);
    credentials->expires_ms = keys->expires_ms;
    snprintf(credentials->source, sizeof credentials->source, "%s", source);
    if (credentials->access_key != NULL && credentials->secret_key != NULL &&
        credentials->session_token != NULL)
        return credentials;
    s3_credentials_unref(credentials);
    return NULL;
}

/* --- Search -------------------------------------------------------------------------------- */

static enum error_code search(struct s3_keys *keys, const struct object_call *call,
                              struct s3_credentials **credentials_out, bool *is_reread_out,
                              struct error *error)
{
    struct s3_temporary_keys *found = calloc(1, sizeof *found);
    if (found == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "keys of the object store");
    struct s3_key_search looking = {.settings = &keys->settings,
                                    .exchanges = keys->exchanges,
                                    .clock = keys->clock,
                                    .call = call,
                                    .found = found};
    enum error_code code = s3_key_search_run(&looking, error);
    if (code == ERROR_NONE) {
        *credentials_out = credentials_create(found, looking.source);
        *is_reread_out = looking.is_reread;
        if (*credentials_out == NULL)
            code = error_set(error, ERROR_OUT_OF_MEMORY, "keys of the object store");
    }
    OPENSSL_cleanse(found, sizeof *found);
    free(found);
    return code;
}

/* With the lock. Whether the keys serve for a request of now. */
static bool is_usable(const struct s3_keys *keys)
{
    return keys->current != NULL && !keys->is_rejected &&
           clock_now_ms(keys->clock) < keys->current->expires_ms;
}

/* With the lock. Whether somebody shall look for others. */
static bool is_search_due(const struct s3_keys *keys)
{
    if (!is_usable(keys))
        return true;
    if (clock_monotonic_ms(keys->clock) < keys->search_next_ms)
        return false;
    bool expires_soon = keys->current->expires_ms != INT64_MAX &&
                        clock_now_ms(keys->clock) >= keys->current->expires_ms - RENEW_BEFORE_MS;
    return keys->is_reread || expires_soon;
}

/* With the lock, which is released while others are asked. */
static enum error_code renew(struct s3_keys *keys, const struct object_call *call,
                             struct error *error)
{
    struct s3_credentials *found = NULL;
    bool is_reread = false;
    keys->is_searching = true;
    pthread_mutex_unlock(&keys->lock);
    enum error_code code = search(keys, call, &found, &is_reread, error);
    pthread_mutex_lock(&keys->lock);
    keys->is_searching = false;
    pthread_cond_broadcast(&keys->changed);
    uint64_t now_ms = clock_monotonic_ms(keys->clock);
    if (code == ERROR_NONE) {
        s3_credentials_unref(keys->current);
        keys->current = found;
        keys->is_reread = is_reread;
        keys->is_rejected = false;
        keys->search_next_ms = now_ms + REREAD_MS;
        return ERROR_NONE;
    }
    if (!is_usable(keys)) {
        if (code == ERROR_DENIED || code == ERROR_UNAVAILABLE) {
            keys->failure = *error;
            keys->failed_until_ms = now_ms + FAILURE_MS;
        }
        return code;
    }
    char reason[512];
    keys->search_next_ms = now_ms + RENEW_AGAIN_MS;
    log_event(LOG_WARNING, "object", "keys of the object store were not renewed", "reason=%s",
              log_quote(reason, sizeof reason, text_of(error->message)));
    return ERROR_NONE;
}

static void wait_changed(struct s3_keys *keys)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_nsec += LOOK_MS * 1000000L;
    if (at.tv_nsec >= 1000000000L) {
        at.tv_nsec -= 1000000000L;
        at.tv_sec++;
    }
    pthread_cond_timedwait(&keys->changed, &keys->lock, &at);
}

enum error_code s3_keys_get(struct s3_keys *keys, const struct object_call *call,
                            struct s3_credentials **credentials_out, struct error *error)
{
    enum error_code code = ERROR_NONE;
    pthread_mutex_lock(&keys->lock);
    while (keys->is_searching && !is_usable(keys) && code == ERROR_NONE) {
        wait_changed(keys);
        code = object_call_check(call, keys->clock, error);
    }
    if (code == ERROR_NONE && !is_usable(keys) &&
        clock_monotonic_ms(keys->clock) < keys->failed_until_ms) {
        *error = keys->failure;
        code = error->code;
    }
    if (code == ERROR_NONE && !keys->is_searching && is_search_due(keys))
        code = renew(keys, call, error);
    if (code == ERROR_NONE)
        *credentials_out = credentials_ref(keys->current);
    pthread_mutex_unlock(&keys->lock);
    return code;
}

void s3_keys_reject(struct s3_keys *keys, const struct s3_credentials *credentials)
{
    pthread_mutex_lock(&keys->lock);
    if (keys->current == credentials)
        keys->is_rejected = true;
    pthread_mutex_unlock(&keys->lock);
}

/* --- Life ---------------------------------------------------------------------------------- */

static char *copy_of(const char *text)
{
    return strdup(text == NULL ? "" : text);
}

static bool copy_settings(struct s3_key_settings *settings, const struct s3_options *options,
                          const char *region)
{
    *settings = (struct s3_key_settings){
        .access_key = copy_of(options->access_key),
        .secret_key = copy_of(options->secret_key),
        .session_token = copy_of(options->session_token),
        .access_key_file = copy_of(options->access_key_file),
        .secret_key_file = copy_of(options->secret_key_file),
        .credentials_file = copy_of(options->credentials_file),
        .profile = copy_of(options->profile),
        .region = copy_of(region),
    };
    return settings->access_key != NULL && settings->secret_key != NULL &&
           settings->session_token != NULL && settings->access_key_file != NULL &&
           settings->secret_key_file != NULL && settings->credentials_file != NULL &&
           settings->profile != NULL && settings->region != NULL;
}

static bool is_set(const char *text)
{
    return text != NULL && text[0] != '\0';
}

enum error_code s3_keys_create(const struct s3_options *options, const char *region,
                               struct exchanges *exchanges, struct clock *clock,
                               struct s3_keys **keys_out, struct error *error)
{
    bool has_access = is_set(options->access_key) || is_set(options->access_key_file);
    bool has_secret = is_set(options->secret_key) || is_set(options->secret_key_file);
    if (has_access != has_secret)
        return error_set(
            error, ERROR_INVALID, "object_store.s3.%s is set without object_store.s3.%s",
            has_access ? "access_key" : "secret_key", has_access ? "secret_key" : "access_key");
    struct s3_keys *keys = calloc(1, sizeof *keys);
    if (keys == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "object store");
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&keys->lock, NULL);
    pthread_cond_init(&keys->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    keys->exchanges = exchanges;
    keys->clock = clock;
    if (!copy_settings(&keys->settings, options, region)) {
        s3_keys_destroy(keys);
        return error_set(error, ERROR_OUT_OF_MEMORY, "object store");
    }
    *keys_out = keys;
    return ERROR_NONE;
}

void s3_keys_destroy(struct s3_keys *keys)
{
    if (keys == NULL)
        return;
    assert(!keys->is_searching);
    s3_credentials_unref(keys->current);
    free(keys->settings.access_key);
    free_secret(keys->settings.secret_key);
    free_secret(keys->settings.session_token);
    free(keys->settings.access_key_file);
    free(keys->settings.secret_key_file);
    free(keys->settings.credentials_file);
    free(keys->settings.profile);
    free(keys->settings.region);
    pthread_mutex_destroy(&keys->lock);
    pthread_cond_destroy(&keys->changed);
    free(keys);
}
