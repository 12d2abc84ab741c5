#include "s3_key_source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 64 * 1024 };

/* --- Tools --------------------------------------------------------------------------------- */

const char *s3_key_variable(const char *name)
{
    const char *value = getenv(name);
    return value == NULL || value[0] == '\0' ? NULL : value;
}

static bool is_set(const char *setting)
{
    return setting != NULL && setting[0] != '\0';
}

enum error_code s3_key_file_read(const char *path, char *target, size_t target_bytes,
                                 struct error *error)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return error_set(error, ERROR_DENIED, "file '%s' with keys: %s", path, strerror(errno));
    size_t size = 0;
    ssize_t count = 1;
    while (count > 0 && size < target_bytes) {
        count = read(descriptor, target + size, target_bytes - size);
        if (count < 0 && errno == EINTR)
            count = 1;
        else if (count > 0)
            size += (size_t)count;
    }
    int reason = errno;
    close(descriptor);
    if (count < 0)
        return error_set(error, ERROR_DENIED, "file '%s' with keys: %s", path, strerror(reason));
    if (size == target_bytes)
        return error_set(error, ERROR_DENIED, "file '%s' with keys: larger than %zu bytes", path,
                         target_bytes - 1);
    struct text trimmed = text_trim((struct text){target, size});
    if (trimmed.size == 0)
        return error_set(error, ERROR_DENIED, "file '%s' with keys is empty", path);
    memmove(target, trimmed.data, trimmed.size);
    target[trimmed.size] = '\0';
    return ERROR_NONE;
}

/* False when it does not fit, or is nothing that a header takes. */
static bool copy_key(const char *value, size_t size, char *target, size_t target_bytes)
{
    if (size >= target_bytes)
        return false;
    for (size_t i = 0; i < size; i++)
        if (value[i] <= 0x20 || value[i] >= 0x7f)
            return false;
    memcpy(target, value, size);
    target[size] = '\0';
    return true;
}

static enum error_code take_keys(struct s3_key_search *search, const char *access_key,
                                 const char *secret_key, const char *session_token,
                                 const char *source, struct error *error)
{
    struct s3_temporary_keys *found = search->found;
    if (session_token == NULL)
        session_token = "";
    if (!copy_key(access_key, strlen(access_key), found->access_key, sizeof found->access_key) ||
        !copy_key(secret_key, strlen(secret_key), found->secret_key, sizeof found->secret_key) ||
        !copy_key(session_token, strlen(session_token), found->session_token,
                  sizeof found->session_token))
        return error_set(error, ERROR_DENIED, "a key of %s is too long, or has other characters",
                         source);
    found->expires_ms = INT64_MAX;
    snprintf(search->source, sizeof search->source, "%s", source);
    return ERROR_NONE;
}

/* --- Settings and environment -------------------------------------------------------------- */

static enum error_code one_of(const char *value, const char *file, char *target,
                              size_t target_bytes, struct error *error)
{
    if (!is_set(file)) {
        snprintf(target, target_bytes, "%s", is_set(value) ? value : "");
        return ERROR_NONE;
    }
    return s3_key_file_read(file, target, target_bytes, error);
}

static enum error_code from_settings(struct s3_key_search *search, struct error *error)
{
    const struct s3_key_settings *settings = search->settings;
    char access_key[512], secret_key[512];
    if (!is_set(settings->access_key) && !is_set(settings->access_key_file))
        return ERROR_NOT_FOUND;
    enum error_code code = one_of(settings->access_key, settings->access_key_file, access_key,
                                  sizeof access_key, error);
    if (code == ERROR_NONE)
        code = one_of(settings->secret_key, settings->secret_key_file, secret_key,
                      sizeof secret_key, error);
    if (code == ERROR_NONE)
        code =
            take_keys(search, access_key, secret_key, settings->session_token, "settings", error);
    search->is_reread = is_set(settings->access_key_file) || is_set(settings->secret_key_file);
    return code;
}

static enum error_code from_environment(struct s3_key_search *search, struct error *error)
{
    const char *access_key = s3_key_variable("AWS_ACCESS_KEY_ID");
    const char *secret_key = s3_key_variable("AWS_SECRET_ACCESS_KEY");
    if (access_key == NULL || secret_key == NULL)
        return ERROR_NOT_FOUND;
    return take_keys(search, access_key, secret_key, s3_key_variable("AWS_SESSION_TOKEN"),
                     "the environment", error);
}

/* --- Files of profiles --------------------------------------------------------------------- */

struct profile_field {
    const char *name;
    char *target;
    size_t target_bytes;
};

static bool take_field(struct s3_temporary_keys *keys, struct text name, struct text value)
{
    const struct profile_field fields[] = {
        {"aws_access_key_id", keys->access_key, sizeof keys->access_key},
        {"aws_secret_access_key", keys->secret_key, sizeof keys->secret_key},
        {"aws_session_token", keys->session_token, sizeof keys->session_token},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (text_equal_ignoring_case(name, text_of(fields[i].name)))
            return copy_key(value.data, value.size, fields[i].target, fields[i].target_bytes);
    return true;
}

enum error_code s3_profile_parse(struct text document, struct text profile,
                                 struct s3_temporary_keys *keys_out, struct error *error)
{
    bool is_inside = false, more = true, is_found = false;
    *keys_out = (struct s3_temporary_keys){.expires_ms = INT64_MAX};
    while (more) {
        struct text line, name, value;
        more = text_split(document, '\n', &line, &document);
        line = text_trim(line);
        if (line.size == 0 || line.data[0] == '#' || line.data[0] == ';')
            continue;
        if (line.data[0] == '[') {
            struct text section = {line.data + 1, line.size - 1};
            text_split(section, ']', &section, &value);
            is_inside = text_equal(text_trim(section), profile);
            is_found |= is_inside;
        } else if (is_inside && text_split(line, '=', &name, &value) &&
                   !take_field(keys_out, text_trim(name), text_trim(value))) {
            return error_set(error, ERROR_DENIED,
                             "a key of profile '%.*s' is too long, or has other characters",
                             TEXT_ARGUMENTS(profile));
        }
    }
    if (!is_found)
        return error_set(error, ERROR_NOT_FOUND, "there is no profile '%.*s'",
                         TEXT_ARGUMENTS(profile));
    if (keys_out->access_key[0] == '\0' || keys_out->secret_key[0] == '\0')
        return error_set(error, ERROR_DENIED,
                         "profile '%.*s' lacks aws_access_key_id or aws_secret_access_key",
                         TEXT_ARGUMENTS(profile));
    return ERROR_NONE;
}

static enum error_code from_profile(struct s3_key_search *search, const char *path,
                                    struct error *error)
{
    const char *profile = search->settings->profile;
    if (!is_set(profile))
        profile = s3_key_variable("AWS_PROFILE");
    char *document = malloc(FILE_BYTES_MAX);
    if (document == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "file '%s' with keys", path);
    enum error_code code = s3_key_file_read(path, document, FILE_BYTES_MAX, error);
    if (code == ERROR_NONE)
        code = s3_profile_parse(text_of(document), text_of(profile == NULL ? "default" : profile),
                                search->found, error);
    free(document);
    if (code != ERROR_NONE)
        return error_wrap(error, "file '%s'", path);
    snprintf(search->source, sizeof search->source, "file '%.50s'", path);
    search->is_reread = true;
    return ERROR_NONE;
}

static enum error_code from_credentials_file(struct s3_key_search *search, struct error *error)
{
    if (!is_set(search->settings->credentials_file))
        return ERROR_NOT_FOUND;
    enum error_code code = from_profile(search, search->settings->credentials_file, error);
    if (code == ERROR_NOT_FOUND) /* it was named: nobody shall look elsewhere */
        error->code = code = ERROR_DENIED;
    return code;
}

static enum error_code from_shared_file(struct s3_key_search *search, struct error *error)
{
    char path[4096];
    const char *named = s3_key_variable("AWS_SHARED_CREDENTIALS_FILE");
    const char *home = s3_key_variable("HOME");
    if (named == NULL && home == NULL)
        return ERROR_NOT_FOUND;
    if (named != NULL)
        snprintf(path, sizeof path, "%s", named);
    else
        snprintf(path, sizeof path, "%s/.aws/credentials", home);
    if (access(path, F_OK) != 0)
        return ERROR_NOT_FOUND;
    return from_profile(search, path, error);
}

/* --- The search ---------------------------------------------------------------------------- */

enum error_code s3_key_search_run(struct s3_key_search *search, struct error *error)
{
    enum error_code (*const sources[])(struct s3_key_search *, struct error *) = {
        from_settings,         from_credentials_file,
        from_environment,      s3_key_source_web_identity,
        from_shared_file,      s3_key_source_container,
        s3_key_source_machine,
    };
    enum error_code code = ERROR_NOT_FOUND;
    for (size_t i = 0; i < sizeof sources / sizeof *sources && code == ERROR_NOT_FOUND; i++) {
        *search->found = (struct s3_temporary_keys){0};
        search->is_reread = false;
        error_clear(error);
        code = sources[i](search, error);
    }
    if (code != ERROR_NOT_FOUND)
        return code;
    return error_set(error, ERROR_DENIED,
                     "there are no keys for the object store: set object_store.s3.access_key and "
                     ".secret_key, object_store.s3.credentials_file, or one of the sources of "
                     "AWS (environment, web identity, shared file, container, metadata service)");
}
