#include "access/web_config.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "model/tenant.h"
#include "password.h"

/* --- Types ------------------------------------------------------------------------------- */

enum { ARENA_BYTES_MAX = 8 * 1024 * 1024, TOKEN_FILE_BYTES_MAX = 2 * 1024 };

struct reading {
    yaml_document_t *document;
    struct web_config *config;
    const char *folder;
    struct error *error;
};

/* `name` of a pair below `section`; `target` is the caller's. */
typedef enum error_code take_pair(struct reading *reading, void *target, const yaml_node_t *name,
                                  const yaml_node_t *value);

/* --- Files ------------------------------------------------------------------------------- */

/* In `arena`. An error names the file. */
static enum error_code read_file(const char *path, size_t bytes_max, struct arena *arena,
                                 struct text *text_out, struct error *error)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return error_set_errno(error, errno, "open '%s'", path);
    char *bytes = arena_allocate(arena, bytes_max + 1);
    enum error_code code = ERROR_NONE;
    size_t size = 0;
    if (bytes == NULL)
        code = error_set(error, ERROR_OUT_OF_MEMORY, "read '%s'", path);
    else
        size = fread(bytes, 1, bytes_max + 1, file);
    if (code == ERROR_NONE && ferror(file))
        code = error_set_errno(error, errno, "read '%s'", path);
    if (code == ERROR_NONE && size > bytes_max)
        code = error_set(error, ERROR_LIMIT, "'%s' has more than %zu bytes", path, bytes_max);
    fclose(file);
    *text_out = (struct text){bytes, size};
    return code;
}

static enum error_code out_of_memory(struct reading *reading)
{
    return error_set(reading->error, ERROR_OUT_OF_MEMORY, "not enough memory");
}

/* As C has it, in the config's arena. NULL: out of memory. */
static const char *copy_string(struct reading *reading, struct text text)
{
    return arena_copy_text(reading->config->arena, text).data;
}

/* A path as the file means it. NULL: out of memory. */
static const char *path_of(struct reading *reading, struct text path)
{
    if (path.data[0] == '/' || reading->folder[0] == '\0')
        return copy_string(reading, path);
    return arena_format(reading->config->arena, "%s/%.*s", reading->folder, TEXT_ARGUMENTS(path))
        .data;
}

/* --- YAML --------------------------------------------------------------------------------- */

static size_t line_of(const yaml_node_t *node)
{
    return node->start_mark.line + 1;
}

static struct text scalar_of(const yaml_node_t *node)
{
    return (struct text){(const char *)node->data.scalar.value, node->data.scalar.length};
}

static bool is_named(const yaml_node_t *name, const char *wanted)
{
    return text_equal(scalar_of(name), text_of(wanted));
}

/* `name:` with nothing behind it. */
static bool is_empty(const yaml_node_t *node)
{
    return node->type == YAML_SCALAR_NODE && node->data.scalar.length == 0;
}

static enum error_code unknown_key(struct reading *reading, const char *section,
                                   const yaml_node_t *name)
{
    return error_set(reading->error, ERROR_INVALID, "line %zu: unknown key '%s%.*s'", line_of(name),
                     section, TEXT_ARGUMENTS(scalar_of(name)));
}

/* What Prometheus has and this program does not do must not be passed over in silence. */
static enum error_code unsupported_key(struct reading *reading, const char *section,
                                       const yaml_node_t *name)
{
    return error_set(reading->error, ERROR_INVALID, "line %zu: '%s%.*s' is not supported",
                     line_of(name), section, TEXT_ARGUMENTS(scalar_of(name)));
}

static bool is_one_of(const yaml_node_t *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (is_named(name, names[i]))
            return true;
    return false;
}

/* A text without control characters, which no value here needs. */
static enum error_code take_text(struct reading *reading, const char *section,
                                 const yaml_node_t *name, const yaml_node_t *value,
                                 struct text *text_out)
{
    if (value->type != YAML_SCALAR_NODE)
        return error_set(reading->error, ERROR_INVALID, "line %zu: '%s%.*s' must be a text",
                         line_of(value), section, TEXT_ARGUMENTS(scalar_of(name)));
    struct text text = scalar_of(value);
    for (size_t i = 0; i < text.size; i++)
        if ((unsigned char)text.data[i] < 0x20 || text.data[i] == 0x7f)
            return error_set(reading->error, ERROR_INVALID,
                             "line %zu: '%s%.*s' has a control character", line_of(value), section,
                             TEXT_ARGUMENTS(scalar_of(name)));
    *text_out = text;
    return ERROR_NONE;
}

/* Whether a pair before `end` has this name. Of two values one would be lost without a word. */
static bool is_repeated(yaml_document_t *document, const yaml_node_pair_t *first,
                        const yaml_node_pair_t *end, const yaml_node_t *name)
{
    for (const yaml_node_pair_t *pair = first; pair < end; pair++) {
        const yaml_node_t *other = yaml_document_get_node(document, pair->key);
        if (text_equal(scalar_of(other), scalar_of(name)))
            return true;
    }
    return false;
}

/* Every pair of a mapping, named once each. `what` is how errors call it. */
static enum error_code each_pair(struct reading *reading, const char *what, const yaml_node_t *node,
                                 take_pair *take, void *target)
{
    if (is_empty(node))
        return ERROR_NONE;
    if (node->type != YAML_MAPPING_NODE)
        return error_set(reading->error, ERROR_INVALID, "line %zu: %s must be names and values",
                         line_of(node), what);
    const yaml_node_pair_t *first = node->data.mapping.pairs.start;
    for (const yaml_node_pair_t *pair = first; pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *name = yaml_document_get_node(reading->document, pair->key);
        const yaml_node_t *value = yaml_document_get_node(reading->document, pair->value);
        if (name == NULL || value == NULL || name->type != YAML_SCALAR_NODE)
            return error_set(reading->error, ERROR_INVALID, "line %zu: a name that is no text",
                             line_of(name == NULL ? node : name));
        if (is_repeated(reading->document, first, pair, name))
            return error_set(reading->error, ERROR_INVALID, "line %zu: '%.*s' is there twice",
                             line_of(name), TEXT_ARGUMENTS(scalar_of(name)));
        enum error_code code = take(reading, target, name, value);
        if (code != ERROR_NONE)
            return code;
    }
    return ERROR_NONE;
}

/* --- TLS ----------------------------------------------------------------------------------- */

struct tls_section {
    struct text client_auth;
    size_t line;
};

static enum error_code take_path(struct reading *reading, const yaml_node_t *name,
                                 const yaml_node_t *value, const char **path_out)
{
    struct text path;
    enum error_code code = take_text(reading, "tls_server_config.", name, value, &path);
    if (code != ERROR_NONE || path.size == 0)
        return code;
    *path_out = path_of(reading, path);
    return *path_out == NULL ? out_of_memory(reading) : ERROR_NONE;
}

static enum error_code take_tls(struct reading *reading, void *target, const yaml_node_t *name,
                                const yaml_node_t *value)
{
    static const char *const UNSUPPORTED[] = {"cert",
                                              "key",
                                              "client_ca",
                                              "min_version",
                                              "max_version",
                                              "client_allowed_sans",
                                              "cipher_suites",
                                              "prefer_server_cipher_suites",
                                              "curve_preferences"};
    struct tls_section *section = target;
    struct web_config *config = reading->config;
    section->line = line_of(name);
    if (is_named(name, "cert_file"))
        return take_path(reading, name, value, &config->certificate_path);
    if (is_named(name, "key_file"))
        return take_path(reading, name, value, &config->key_path);
    if (is_named(name, "client_ca_file"))
        return take_path(reading, name, value, &config->client_ca_path);
    if (is_named(name, "client_auth_type"))
        return take_text(reading, "tls_server_config.", name, value, &section->client_auth);
    if (is_one_of(name, UNSUPPORTED, sizeof UNSUPPORTED / sizeof UNSUPPORTED[0]))
        return unsupported_key(reading, "tls_server_config.", name);
    return unknown_key(reading, "tls_server_config.", name);
}

static enum error_code check_tls(struct reading *reading, const struct tls_section *section)
{
    const struct web_config *config = reading->config;
    struct text client_auth = section->client_auth;
    if ((config->certificate_path == NULL) != (config->key_path == NULL))
        return error_set(reading->error, ERROR_INVALID,
                         "line %zu: tls_server_config: cert_file and key_file go together",
                         section->line);
    bool requires = text_equal(client_auth, TEXT("RequireAndVerifyClientCert"));
    if (!requires && client_auth.size > 0 && !text_equal(client_auth, TEXT("NoClientCert")))
        return error_set(reading->error, ERROR_INVALID,
                         "line %zu: tls_server_config.client_auth_type: NoClientCert and "
                         "RequireAndVerifyClientCert are supported",
                         section->line);
    if (requires != (config->client_ca_path != NULL))
        return error_set(reading->error, ERROR_INVALID,
                         "line %zu: tls_server_config: client_ca_file and client_auth_type "
                         "RequireAndVerifyClientCert go together",
                         section->line);
    if (requires && config->certificate_path == NULL)
        return error_set(reading->error, ERROR_INVALID,
                         "line %zu: tls_server_config: client_ca_file needs cert_file and key_file",
                         section->line);
    return ERROR_NONE;
}

/* --- Headers ------------------------------------------------------------------------------- */

struct header_rule {
    const char *name;
    const char *values[2]; /* NULL: any */
};

static const struct header_rule HEADER_RULES[] = {
    {"Strict-Transport-Security", {NULL, NULL}}, {"X-Content-Type-Options", {"nosniff", NULL}},
    {"X-Frame-Options", {"deny", "sameorigin"}}, {"X-XSS-Protection", {NULL, NULL}},
    {"Content-Security-Policy", {NULL, NULL}},
};
_Static_assert(sizeof HEADER_RULES / sizeof HEADER_RULES[0] == WEB_CONFIG_HEADERS_MAX,
               "room for each");

static bool value_is_allowed(const struct header_rule *rule, struct text value)
{
    return rule->values[0] == NULL || text_equal(value, text_of(rule->values[0])) ||
           (rule->values[1] != NULL && text_equal(value, text_of(rule->values[1])));
}

static enum error_code take_header(struct reading *reading, void *target, const yaml_node_t *name,
                                   const yaml_node_t *value)
{
    struct web_config *config = target;
    const struct header_rule *rule = NULL;
    struct text text;
    for (size_t i = 0; i < WEB_CONFIG_HEADERS_MAX; i++)
        if (is_named(name, HEADER_RULES[i].name))
            rule = &HEADER_RULES[i];
    if (rule == NULL)
        return unknown_key(reading, "http_server_config.headers.", name);
    enum error_code code = take_text(reading, "http_server_config.headers.", name, value, &text);
    if (code != ERROR_NONE || text.size == 0) /* unset if blank */
        return code;
    if (!value_is_allowed(rule, text))
        return error_set(reading->error, ERROR_INVALID,
                         "line %zu: 'http_server_config.headers.%s' may be %s%s%s", line_of(value),
                         rule->name, rule->values[0], rule->values[1] == NULL ? "" : " or ",
                         rule->values[1] == NULL ? "" : rule->values[1]);
    assert(config->header_count < WEB_CONFIG_HEADERS_MAX);
    struct http_header *header = &config->headers[config->header_count++];
    *header = (struct http_header){text_of(rule->name), arena_copy_text(config->arena, text)};
    return header->value.data == NULL ? out_of_memory(reading) : ERROR_NONE;
}

static enum error_code take_http(struct reading *reading, void *target, const yaml_node_t *name,
                                 const yaml_node_t *value)
{
    struct text text;
    if (is_named(name, "headers"))
        return each_pair(reading, "http_server_config.headers", value, take_header, target);
    if (!is_named(name, "http2"))
        return unknown_key(reading, "http_server_config.", name);
    enum error_code code = take_text(reading, "http_server_config.", name, value, &text);
    if (code != ERROR_NONE || text_equal(text, TEXT("false")))
        return code;
    return error_set(reading->error, ERROR_INVALID,
                     "line %zu: 'http_server_config.http2' is not supported but for false",
                     line_of(value));
}

/* --- Users ----------------------------------------------------------------------------------- */

static enum error_code take_user(struct reading *reading, void *target, const yaml_node_t *name,
                                 const yaml_node_t *value)
{
    struct web_config *config = target;
    struct text user = scalar_of(name);
    if (user.size == 0 || user.size > WEB_USER_BYTES_MAX || memchr(user.data, ':', user.size) ||
        memchr(user.data, '\0', user.size))
        return error_set(reading->error, ERROR_INVALID,
                         "line %zu: basic_auth_users: a name has 1 to %d bytes and no colon",
                         line_of(name), WEB_USER_BYTES_MAX);
    if (value->type != YAML_SCALAR_NODE || !password_hash_is_valid(scalar_of(value)))
        return error_set(reading->error, ERROR_INVALID,
                         "line %zu: basic_auth_users: what '%.*s' has is no hash of bcrypt with a "
                         "cost of %d to %d (make one by `htpasswd -nBC 10 USER`)",
                         line_of(value), TEXT_ARGUMENTS(user), PASSWORD_COST_MIN,
                         PASSWORD_COST_MAX);
    struct web_user *entry = &config->users[config->user_count++];
    entry->name = arena_copy_text(config->arena, user);
    entry->hash = copy_string(reading, scalar_of(value));
    return entry->name.data == NULL || entry->hash == NULL ? out_of_memory(reading) : ERROR_NONE;
}

static enum error_code take_users(struct reading *reading, const yaml_node_t *node)
{
    struct web_config *config = reading->config;
    size_t count = 0;
    if (node->type == YAML_MAPPING_NODE)
        count = (size_t)(node->data.mapping.pairs.top - node->data.mapping.pairs.start);
    if (count > WEB_CONFIG_USERS_MAX)
        return error_set(reading->error, ERROR_LIMIT, "line %zu: basic_auth_users: more than %d",
                         line_of(node), WEB_CONFIG_USERS_MAX);
    config->users = arena_array(config->arena, count, sizeof *config->users);
    if (config->users == NULL && count > 0)
        return out_of_memory(reading);
    return each_pair(reading, "basic_auth_users", node, take_user, config);
}

/* --- Tokens ---------------------------------------------------------------------------------- */

struct token_section {
    struct web_token token;
    const char *path; /* of its file; NULL: none */
};

static enum error_code take_token_pair(struct reading *reading, void *target,
                                       const yaml_node_t *name, const yaml_node_t *value)
{
    struct token_section *section = target;
    struct text text;
    enum error_code code = take_text(reading, "bearer_tokens.", name, value, &text);
    if (code != ERROR_NONE)
        return code;
    if (is_named(name, "name")) {
        section->token.name = text;
    } else if (is_named(name, "token")) {
        section->token.secret = text;
    } else if (is_named(name, "tenant")) {
        section->token.tenant = text;
        if (!tenant_id_is_valid(text))
            return error_set(reading->error, ERROR_INVALID,
                             "line %zu: bearer_tokens.tenant: too long, or characters other than "
                             "letters, digits and !-_.*'()",
                             line_of(value));
    } else if (is_named(name, "token_file") && text.size > 0) {
        section->path = path_of(reading, text);
        return section->path == NULL ? out_of_memory(reading) : ERROR_NONE;
    } else {
        return unknown_key(reading, "bearer_tokens.", name);
    }
    return ERROR_NONE;
}

/* As a header can carry it (RFC 6750 2.1 allows less; some issuers make more). */
static bool secret_is_valid(struct text secret)
{
    if (secret.size < WEB_TOKEN_BYTES_MIN || secret.size > WEB_TOKEN_BYTES_MAX)
        return false;
    for (size_t i = 0; i < secret.size; i++)
        if (secret.data[i] <= ' ' || secret.data[i] > '~')
            return false;
    return true;
}

static enum error_code check_token(struct reading *reading, const yaml_node_t *node,
                                   struct token_section *section)
{
    struct web_config *config = reading->config;
    struct web_token *token = &section->token;
    int name_size = (int)token->name.size;
    if (token->name.size == 0 || token->name.size > WEB_USER_BYTES_MAX)
        return error_set(reading->error, ERROR_INVALID,
                         "line %zu: bearer_tokens: each has a name of 1 to %d bytes", line_of(node),
                         WEB_USER_BYTES_MAX);
    if ((token->secret.size == 0) == (section->path == NULL))
        return error_set(reading->error, ERROR_INVALID,
                         "line %zu: bearer_tokens: '%.*s' needs one of token and token_file",
                         line_of(node), name_size, token->name.data);
    if (section->path != NULL) {
        enum error_code code = read_file(section->path, TOKEN_FILE_BYTES_MAX, config->arena,
                                         &token->secret, reading->error);
        if (code != ERROR_NONE)
            return error_wrap(reading->error, "bearer_tokens: '%.*s'", name_size, token->name.data);
        token->secret = text_trim(token->secret);
    }
    if (!secret_is_valid(token->secret))
        return error_set(reading->error, ERROR_INVALID,
                         "line %zu: bearer_tokens: the token of '%.*s' must have %d to %d "
                         "characters of ASCII without spaces",
                         line_of(node), name_size, token->name.data, WEB_TOKEN_BYTES_MIN,
                         WEB_TOKEN_BYTES_MAX);
    for (size_t i = 0; i < config->token_count; i++) {
        const struct web_token *other = &config->tokens[i];
        if (text_equal(other->name, token->name) || text_equal(other->secret, token->secret))
            return error_set(reading->error, ERROR_INVALID,
                             "line %zu: bearer_tokens: '%.*s' is there twice", line_of(node),
                             name_size, token->name.data);
    }
    return ERROR_NONE;
}

static enum error_code take_token(struct reading *reading, const yaml_node_t *node)
{
    struct web_config *config = reading->config;
    struct token_section section = {0};
    enum error_code code =
        each_pair(reading, "an entry of bearer_tokens", node, take_token_pair, &section);
    if (code == ERROR_NONE)
        code = check_token(reading, node, &section);
    if (code != ERROR_NONE)
        return code;
    struct web_token *token = &config->tokens[config->token_count++];
    token->name = arena_copy_text(config->arena, section.token.name);
    token->secret = arena_copy_text(config->arena, section.token.secret);
    token->tenant = arena_copy_text(config->arena, section.token.tenant);
    bool complete = token->name.data != NULL && token->secret.data != NULL &&
                    token->tenant.size == section.token.tenant.size;
    return complete ? ERROR_NONE : out_of_memory(reading);
}

static enum error_code take_tokens(struct reading *reading, const yaml_node_t *node)
{
    struct web_config *config = reading->config;
    if (is_empty(node))
        return ERROR_NONE;
    if (node->type != YAML_SEQUENCE_NODE)
        return error_set(reading->error, ERROR_INVALID, "line %zu: bearer_tokens must be a list",
                         line_of(node));
    const yaml_node_item_t *first = node->data.sequence.items.start;
    size_t count = (size_t)(node->data.sequence.items.top - first);
    if (count > WEB_CONFIG_TOKENS_MAX)
        return error_set(reading->error, ERROR_LIMIT, "line %zu: bearer_tokens: more than %d",
                         line_of(node), WEB_CONFIG_TOKENS_MAX);
    config->tokens = arena_array(config->arena, count, sizeof *config->tokens);
    if (config->tokens == NULL && count > 0)
        return out_of_memory(reading);
    for (size_t i = 0; i < count; i++) {
        const yaml_node_t *item = yaml_document_get_node(reading->document, first[i]);
        enum error_code code = item == NULL ? ERROR_NONE : take_token(reading, item);
        if (code != ERROR_NONE)
            return code;
    }
    return ERROR_NONE;
}

/* --- The whole ------------------------------------------------------------------------------- */

static enum error_code take_section(struct reading *reading, void *target, const yaml_node_t *name,
                                    const yaml_node_t *value)
{
    if (is_named(name, "tls_server_config")) {
        struct tls_section section = {.line = line_of(name)};
        enum error_code code = each_pair(reading, "tls_server_config", value, take_tls, &section);
        return code == ERROR_NONE ? check_tls(reading, &section) : code;
    }
    if (is_named(name, "http_server_config"))
        return each_pair(reading, "http_server_config", value, take_http, target);
    if (is_named(name, "basic_auth_users"))
        return take_users(reading, value);
    if (is_named(name, "bearer_tokens"))
        return take_tokens(reading, value);
    if (is_named(name, "rate_limit"))
        return unsupported_key(reading, "", name);
    return unknown_key(reading, "", name);
}

static enum error_code not_yaml(struct reading *reading, const yaml_parser_t *parser)
{
    return error_set(reading->error, ERROR_INVALID, "line %zu: %s", parser->problem_mark.line + 1,
                     parser->problem == NULL ? "not YAML" : parser->problem);
}

/* What stands behind the first document would be passed over. */
static enum error_code check_end(struct reading *reading, yaml_parser_t *parser)
{
    yaml_document_t document;
    if (!yaml_parser_load(parser, &document))
        return not_yaml(reading, parser);
    yaml_node_t *root = yaml_document_get_root_node(&document);
    enum error_code code = ERROR_NONE;
    if (root != NULL)
        code = error_set(reading->error, ERROR_INVALID, "line %zu: more than one document",
                         line_of(root));
    yaml_document_delete(&document);
    return code;
}

static enum error_code parse_into(struct text yaml, struct reading *reading)
{
    yaml_parser_t parser;
    yaml_document_t document;
    if (!yaml_parser_initialize(&parser))
        return out_of_memory(reading);
    yaml_parser_set_input_string(&parser, (const unsigned char *)yaml.data, yaml.size);
    enum error_code code = ERROR_NONE;
    if (!yaml_parser_load(&parser, &document)) {
        code = not_yaml(reading, &parser);
    } else {
        reading->document = &document;
        yaml_node_t *root = yaml_document_get_root_node(&document);
        if (root != NULL) {
            code = each_pair(reading, "the file", root, take_section, reading->config);
            if (code == ERROR_NONE)
                code = check_end(reading, &parser);
        }
        yaml_document_delete(&document);
    }
    yaml_parser_delete(&parser);
    return code;
}

enum error_code web_config_parse(struct text yaml, const char *folder,
                                 struct web_config **config_out, struct error *error)
{
    struct web_config *config = calloc(1, sizeof *config);
    if (config == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "not enough memory");
    config->arena = arena_create(ARENA_BYTES_MAX);
    struct reading reading = {.config = config, .folder = folder, .error = error};
    enum error_code code =
        config->arena == NULL ? out_of_memory(&reading) : parse_into(yaml, &reading);
    if (code != ERROR_NONE) {
        web_config_destroy(config);
        return code;
    }
    *config_out = config;
    return ERROR_NONE;
}

enum error_code web_config_load(const char *path, struct web_config **config_out,
                                struct error *error)
{
    struct text yaml;
    const char *slash = strrchr(path, '/');
    struct arena *arena = arena_create(ARENA_BYTES_MAX);
    if (arena == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "%s: not enough memory", path);
    enum error_code code = read_file(path, WEB_CONFIG_BYTES_MAX, arena, &yaml, error);
    struct text folder = slash == NULL ? TEXT("") : (struct text){path, (size_t)(slash - path)};
    if (slash == path)
        folder = TEXT("/");
    const char *folder_string = arena_copy_text(arena, folder).data;
    if (code == ERROR_NONE && folder_string == NULL)
        code = error_set(error, ERROR_OUT_OF_MEMORY, "not enough memory");
    if (code == ERROR_NONE) {
        code = web_config_parse(yaml, folder_string, config_out, error);
        if (code != ERROR_NONE)
            error_wrap(error, "%s", path);
        explicit_bzero((char *)yaml.data, yaml.size);
    }
    arena_destroy(arena);
    return code;
}

void web_config_destroy(struct web_config *config)
{
    if (config == NULL)
        return;
    for (size_t i = 0; i < config->token_count; i++)
        if (config->tokens[i].secret.data != NULL)
            explicit_bzero((char *)config->tokens[i].secret.data, config->tokens[i].secret.size);
    arena_destroy(config->arena);
    free(config);
}
