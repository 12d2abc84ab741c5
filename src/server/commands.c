#include "commands.h"

#include <libgen.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access/web_config.h"
#include "block/block_inspect.h"
#include "platform/disk_uring.h"
#include "platform/tls.h"
#include "shard/metadata_file.h"

/* A file at a path of the machine, as a disk that holds its folder sees it. */
struct place {
    struct disk *disk;
    char folder[4096];
    char path[4096];
    const char *name; /* in `path` */
};

static enum error_code place_open(const char *path, struct place *place, struct error *error)
{
    *place = (struct place){0};
    if (strlen(path) >= sizeof place->path)
        return error_set(error, ERROR_INVALID, "the path is too long");
    snprintf(place->folder, sizeof place->folder, "%s", path);
    snprintf(place->path, sizeof place->path, "%s", path);
    place->name = basename(place->path);
    return disk_uring_create(dirname(place->folder), NULL, DISK_ENGINE_BEST, &place->disk, error);
}

/* Files of metadata have no footer; their name tells them. */
static bool is_metadata(const struct place *place)
{
    const char *dot = strrchr(place->name, '.');
    return dot != NULL && strcmp(dot, ".metadata") == 0;
}

/* Prints what was found; `verb` is what is said of it. */
static enum error_code read_metadata(const struct place *place, const char *path, const char *verb,
                                     struct error *error)
{
    size_t count;
    enum error_code code = metadata_file_verify(place->disk, place->name, &count, error);
    if (code == ERROR_NONE)
        printf("%s: %s, metadata of %zu metrics\n", path, verb, count);
    return code;
}

static enum error_code inspect(const struct place *place, const char *path, struct error *error)
{
    struct page_source *source;
    if (is_metadata(place))
        return read_metadata(place, path, "kind: metadata", error);
    enum error_code code = page_source_open_file(place->disk, place->name, &source, error);
    return code == ERROR_NONE ? block_inspect(source, stdout, error) : code;
}

static enum error_code verify(const struct place *place, const char *path, struct error *error)
{
    struct page_source *source;
    struct file_summary summary;
    if (is_metadata(place))
        return read_metadata(place, path, "sound", error);
    enum error_code code = page_source_open_file(place->disk, place->name, &source, error);
    if (code == ERROR_NONE)
        code = block_verify(source, &summary, error);
    if (code == ERROR_NONE)
        printf("%s: sound, %llu series, %llu samples, %llu bytes\n", path,
               (unsigned long long)summary.series_count, (unsigned long long)summary.sample_count,
               (unsigned long long)summary.size_bytes);
    return code;
}

static int with_file(const char *path,
                     enum error_code (*work)(const struct place *place, const char *path,
                                             struct error *error))
{
    struct place place;
    struct error error;
    enum error_code code = place_open(path, &place, &error);
    if (code == ERROR_NONE)
        code = work(&place, path, &error);
    disk_uring_destroy(place.disk);
    if (code == ERROR_NONE)
        return 0;
    fprintf(stderr, "gnomon: %s: %s\n", path, error.message);
    return 1;
}

int command_block_inspect(const char *path)
{
    return with_file(path, inspect);
}

int command_block_verify(const char *path)
{
    return with_file(path, verify);
}

/* The certificates it names are read too. */
static enum error_code check_certificates(const struct web_config *config, struct error *error)
{
    struct tls_context *tls = NULL;
    if (config->certificate_path == NULL)
        return ERROR_NONE;
    struct tls_options options = {config->certificate_path, config->key_path,
                                  config->client_ca_path};
    enum error_code code = tls_context_create(&options, &tls, error);
    tls_context_destroy(tls);
    return code;
}

int command_check_web_config(const char *path)
{
    struct web_config *config = NULL;
    struct error error;
    enum error_code code = web_config_load(path, &config, &error);
    if (code == ERROR_NONE)
        code = check_certificates(config, &error);
    if (code == ERROR_NONE)
        printf("%s: sound, %zu users, %zu tokens, %zu headers, %s\n", path, config->user_count,
               config->token_count, config->header_count,
               config->certificate_path == NULL ? "no TLS"
               : config->client_ca_path == NULL ? "TLS"
                                                : "TLS with certificates of clients");
    else
        fprintf(stderr, "gnomon: %s\n", error.message);
    web_config_destroy(config);
    return code == ERROR_NONE ? 0 : 1;
}
