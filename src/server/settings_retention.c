#include "settings_retention.h"

#include <stdlib.h>
#include <string.h>

#include "model/tenant.h"
#include "promql/parser.h"
#include "shard/retention_policy.h"

/* --- Reading --------------------------------------------------------------------------------- */

static void rule_clear(struct settings_retention_rule *rule)
{
    free(rule->tenant);
    free(rule->matchers);
    free(rule->retention);
}

void settings_retention_clear(struct settings *settings)
{
    for (size_t i = 0; i < settings->retention_rule_count; i++)
        rule_clear(&settings->retention_rules[i]);
    free(settings->retention_rules);
    retention_policy_unref(settings->retention_policy);
    settings->retention_rules = NULL;
    settings->retention_rule_count = 0;
    settings->retention_policy = NULL;
}

static char **field_of(struct settings_retention_rule *rule, const char *name)
{
    if (strcmp(name, "tenant") == 0)
        return &rule->tenant;
    if (strcmp(name, "matchers") == 0)
        return &rule->matchers;
    return strcmp(name, "retention") == 0 ? &rule->retention : NULL;
}

static enum error_code read_pair(struct settings_retention_rule *rule, const yaml_node_t *name,
                                 const yaml_node_t *value, struct error *error)
{
    if (name->type != YAML_SCALAR_NODE || value->type != YAML_SCALAR_NODE ||
        value->data.scalar.length == 0)
        return error_set(error, ERROR_INVALID,
                         "line %zu: a rule of 'storage.retention_rules' has names and texts",
                         name->start_mark.line + 1);
    char **field = field_of(rule, (const char *)name->data.scalar.value);
    if (field == NULL || *field != NULL)
        return error_set(error, ERROR_INVALID,
                         "line %zu: 'storage.retention_rules' has no '%s' there, or it is there "
                         "twice",
                         name->start_mark.line + 1, (const char *)name->data.scalar.value);
    *field = strdup((const char *)value->data.scalar.value);
    return *field == NULL ? error_set(error, ERROR_OUT_OF_MEMORY, "settings") : ERROR_NONE;
}

static enum error_code read_rule(struct settings_retention_rule *rule, yaml_document_t *document,
                                 const yaml_node_t *node, struct error *error)
{
    enum error_code code = ERROR_NONE;
    if (node->type != YAML_MAPPING_NODE)
        return error_set(error, ERROR_INVALID,
                         "line %zu: a rule of 'storage.retention_rules' has names and texts",
                         node->start_mark.line + 1);
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         code == ERROR_NONE && pair < node->data.mapping.pairs.top; pair++)
        code = read_pair(rule, yaml_document_get_node(document, pair->key),
                         yaml_document_get_node(document, pair->value), error);
    if (code == ERROR_NONE &&
        (rule->retention == NULL || (rule->tenant == NULL && rule->matchers == NULL)))
        code = error_set(error, ERROR_INVALID,
                         "line %zu: a rule of 'storage.retention_rules' needs a retention, and a "
                         "tenant or matchers",
                         node->start_mark.line + 1);
    return code;
}

enum error_code settings_retention_read(struct settings *settings, yaml_document_t *document,
                                        yaml_node_t *list, struct error *error)
{
    size_t count = (size_t)(list->data.sequence.items.top - list->data.sequence.items.start);
    enum error_code code = ERROR_NONE;
    if (count > RETENTION_RULES_MAX)
        return error_set(error, ERROR_INVALID, "'storage.retention_rules' has more than %d rules",
                         RETENTION_RULES_MAX);
    settings_retention_clear(settings);
    settings->retention_rules = calloc(count + 1, sizeof *settings->retention_rules);
    if (settings->retention_rules == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "settings");
    while (code == ERROR_NONE && settings->retention_rule_count < count) {
        size_t i = settings->retention_rule_count++;
        code =
            read_rule(&settings->retention_rules[i], document,
                      yaml_document_get_node(document, list->data.sequence.items.start[i]), error);
    }
    return code;
}

/* --- The policy ------------------------------------------------------------------------------ */

static enum error_code no_room(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "settings");
}

static enum error_code copy_matchers(const struct selector_node *selector,
                                     struct retention_rule *rule, struct error *error)
{
    enum error_code code = ERROR_NONE;
    rule->matchers = calloc(selector->matcher_count + 1, sizeof *rule->matchers);
    if (rule->matchers == NULL)
        return no_room(error);
    while (code == ERROR_NONE && rule->matcher_count < selector->matcher_count) {
        const struct matcher *matcher = selector->matchers[rule->matcher_count];
        code = matcher_create(matcher->type, matcher->name, matcher->value,
                              &rule->matchers[rule->matcher_count], error);
        rule->matcher_count += code == ERROR_NONE;
    }
    return code;
}

static enum error_code make_matchers(const char *text, struct retention_rule *rule,
                                     struct error *error)
{
    struct promql_query query = {0};
    struct arena *arena = arena_create(0);
    if (arena == NULL)
        return no_room(error);
    enum error_code code = promql_parse_selector(text_of(text), arena, &query, error);
    if (code == ERROR_NONE)
        code = copy_matchers(&query.root->selector, rule, error);
    promql_query_clear(&query);
    arena_destroy(arena);
    return code;
}

static enum error_code make_rule(const struct settings_retention_rule *source,
                                 struct retention_rule *rule, struct error *error)
{
    enum error_code code = text_to_duration_ms(text_of(source->retention), &rule->keep_ms, error);
    if (code == ERROR_NONE && rule->keep_ms < 0)
        code = error_set(error, ERROR_INVALID, "a retention below nothing");
    if (rule->keep_ms == 0)
        rule->keep_ms = RETENTION_FOR_EVER;
    if (code == ERROR_NONE && source->tenant != NULL &&
        !tenant_id_is_valid(text_of(source->tenant)))
        code = error_set(error, ERROR_INVALID, "'%s' is no name of a tenant", source->tenant);
    if (code != ERROR_NONE)
        return code;
    rule->tenant = text_of(strdup(source->tenant == NULL ? "" : source->tenant));
    if (rule->tenant.data == NULL)
        return no_room(error);
    return source->matchers == NULL ? ERROR_NONE : make_matchers(source->matchers, rule, error);
}

enum error_code settings_retention_make(struct settings *settings, struct error *error)
{
    size_t count = settings->retention_rule_count;
    struct retention_rule *rules = calloc(count + 1, sizeof *rules);
    enum error_code code = rules == NULL ? no_room(error) : ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < count; i++) {
        code = make_rule(&settings->retention_rules[i], &rules[i], error);
        if (code != ERROR_NONE)
            error_wrap(error, "rule %zu of 'storage.retention_rules'", i + 1);
    }
    if (code == ERROR_NONE)
        code = retention_policy_create(settings->storage_retention_ms == 0
                                           ? RETENTION_FOR_EVER
                                           : settings->storage_retention_ms,
                                       rules, count, &settings->retention_policy, error);
    if (code != ERROR_NONE)
        retention_rules_destroy(rules, count);
    return code;
}

/* --- Showing --------------------------------------------------------------------------------- */

static void append_text(struct byte_buffer *buffer, const char *text)
{
    byte_buffer_append(buffer, text, strlen(text));
}

void settings_retention_print(const struct settings *settings, struct byte_buffer *buffer)
{
    if (settings->retention_rule_count > 0)
        append_text(buffer, "  retention_rules:\n");
    for (size_t i = 0; i < settings->retention_rule_count; i++) {
        const struct settings_retention_rule *rule = &settings->retention_rules[i];
        const char *const names[] = {"retention", "tenant", "matchers"};
        const char *const values[] = {rule->retention, rule->tenant, rule->matchers};
        for (size_t k = 0; k < sizeof names / sizeof names[0]; k++) {
            if (values[k] == NULL)
                continue;
            append_text(buffer, k == 0 ? "    - " : "      ");
            append_text(buffer, names[k]);
            append_text(buffer, ": ");
            settings_append_quoted(buffer, values[k]);
            append_text(buffer, "\n");
        }
    }
}
