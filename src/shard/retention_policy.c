#include "shard/retention_policy.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

struct retention_policy {
    atomic_size_t references;
    int64_t keep_ms;
    struct retention_rule *rules; /* [count], owned */
    size_t count;
};

/* --- Life ----------------------------------------------------------------------------------- */

static void rule_clear(struct retention_rule *rule)
{
    for (size_t i = 0; i < rule->matcher_count; i++)
        matcher_destroy(rule->matchers[i]);
    free(rule->matchers);
    free((char *)rule->tenant.data);
    *rule = (struct retention_rule){0};
}

void retention_rules_destroy(struct retention_rule *rules, size_t count)
{
    for (size_t i = 0; rules != NULL && i < count; i++)
        rule_clear(&rules[i]);
    free(rules);
}

enum error_code retention_policy_create(int64_t keep_ms, struct retention_rule *rules,
                                        size_t rule_count, struct retention_policy **policy_out,
                                        struct error *error)
{
    if (rule_count > RETENTION_RULES_MAX)
        return error_set(error, ERROR_LIMIT, "more than %d rules of retention",
                         RETENTION_RULES_MAX);
    if (keep_ms <= 0)
        return error_set(error, ERROR_INVALID, "a retention must be longer than nothing");
    for (size_t i = 0; i < rule_count; i++)
        if (rules[i].keep_ms <= 0 || rules[i].matcher_count > RETENTION_MATCHERS_MAX ||
            rules[i].tenant.size > TENANT_ID_BYTES_MAX)
            return error_set(error, ERROR_INVALID, "rule %zu of retention", i + 1);
    struct retention_policy *policy = malloc(sizeof *policy);
    if (policy == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "retention");
    *policy = (struct retention_policy){.keep_ms = keep_ms, .rules = rules, .count = rule_count};
    atomic_init(&policy->references, 1);
    *policy_out = policy;
    return ERROR_NONE;
}

struct retention_policy *retention_policy_ref(struct retention_policy *policy)
{
    if (policy != NULL)
        atomic_fetch_add_explicit(&policy->references, 1, memory_order_relaxed);
    return policy;
}

void retention_policy_unref(struct retention_policy *policy)
{
    if (policy == NULL ||
        atomic_fetch_sub_explicit(&policy->references, 1, memory_order_acq_rel) > 1)
        return;
    retention_rules_destroy(policy->rules, policy->count);
    free(policy);
}

/* --- Questions ------------------------------------------------------------------------------ */

int64_t retention_policy_default_ms(const struct retention_policy *policy)
{
    return policy->keep_ms;
}

size_t retention_policy_rule_count(const struct retention_policy *policy)
{
    return policy->count;
}

const struct retention_rule *retention_policy_rule(const struct retention_policy *policy,
                                                   size_t position)
{
    return &policy->rules[position];
}

int64_t retention_policy_longest_ms(const struct retention_policy *policy)
{
    int64_t longest_ms = policy->keep_ms;
    for (size_t i = 0; i < policy->count; i++)
        if (policy->rules[i].keep_ms > longest_ms)
            longest_ms = policy->rules[i].keep_ms;
    return longest_ms;
}

int64_t retention_policy_shortest_ms(const struct retention_policy *policy)
{
    int64_t shortest_ms = policy->keep_ms;
    for (size_t i = 0; i < policy->count; i++)
        if (policy->rules[i].keep_ms < shortest_ms)
            shortest_ms = policy->rules[i].keep_ms;
    return shortest_ms;
}

bool retention_rule_is_for(const struct retention_rule *rule, struct text tenant)
{
    return rule->tenant.size == 0 || text_equal(rule->tenant, tenant);
}

bool retention_rule_matches(const struct retention_rule *rule, struct text tenant,
                            struct labels labels)
{
    if (!retention_rule_is_for(rule, tenant))
        return false;
    for (size_t i = 0; i < rule->matcher_count; i++)
        if (!matcher_matches(rule->matchers[i], labels_get(labels, rule->matchers[i]->name)))
            return false;
    return true;
}

int64_t retention_policy_keep_ms(const struct retention_policy *policy, struct text tenant,
                                 struct labels labels)
{
    int64_t shortest_ms = 0; /* none matched */
    for (size_t i = 0; i < policy->count; i++) {
        const struct retention_rule *rule = &policy->rules[i];
        if ((shortest_ms == 0 || rule->keep_ms < shortest_ms) &&
            retention_rule_matches(rule, tenant, labels))
            shortest_ms = rule->keep_ms;
    }
    return shortest_ms == 0 ? policy->keep_ms : shortest_ms;
}

/* --- Comparing ------------------------------------------------------------------------------ */

/* Whether the rules are for the same series by their words. */
static bool selects_the_same(const struct retention_rule *left, const struct retention_rule *right)
{
    if (!text_equal(left->tenant, right->tenant) || left->matcher_count != right->matcher_count)
        return false;
    for (size_t i = 0; i < left->matcher_count; i++)
        if (left->matchers[i]->type != right->matchers[i]->type ||
            !text_equal(left->matchers[i]->name, right->matchers[i]->name) ||
            !text_equal(left->matchers[i]->value, right->matchers[i]->value))
            return false;
    return true;
}

bool retention_policy_equal(const struct retention_policy *left,
                            const struct retention_policy *right)
{
    if (left == NULL || right == NULL)
        return left == right;
    if (left->keep_ms != right->keep_ms || left->count != right->count)
        return false;
    for (size_t i = 0; i < left->count; i++)
        if (left->rules[i].keep_ms != right->rules[i].keep_ms ||
            !selects_the_same(&left->rules[i], &right->rules[i]))
            return false;
    return true;
}

/* The shortest time of the rules for the same series; 0: there is none. */
static int64_t keep_of_same(const struct retention_policy *policy,
                            const struct retention_rule *rule)
{
    int64_t keep_ms = 0;
    for (size_t i = 0; i < policy->count; i++)
        if (selects_the_same(&policy->rules[i], rule) &&
            (keep_ms == 0 || policy->rules[i].keep_ms < keep_ms))
            keep_ms = policy->rules[i].keep_ms;
    return keep_ms;
}

/*
 * A series is kept as long as before when what counted for it before is not longer than what counts
 * now: a rule that is there now had a counterpart that was no longer, or keeps as long as anything
 * did; and whoever loses its last rule comes to a default that is no shorter than that was.
 */
int64_t retention_policy_shortened_ms(const struct retention_policy *policy,
                                      const struct retention_policy *than)
{
    int64_t longest_ms = retention_policy_longest_ms(than);
    int64_t shortest_ms = RETENTION_FOR_EVER;
    if (policy->keep_ms < than->keep_ms)
        shortest_ms = policy->keep_ms;
    for (size_t i = 0; i < policy->count; i++) {
        int64_t keep_ms = policy->rules[i].keep_ms;
        int64_t before_ms = keep_of_same(than, &policy->rules[i]);
        if (keep_ms < longest_ms && (before_ms == 0 || keep_ms < before_ms))
            shortest_ms = keep_ms < shortest_ms ? keep_ms : shortest_ms;
    }
    for (size_t i = 0; i < than->count; i++)
        if (keep_of_same(policy, &than->rules[i]) == 0 && policy->keep_ms < than->rules[i].keep_ms)
            shortest_ms = policy->keep_ms < shortest_ms ? policy->keep_ms : shortest_ms;
    return shortest_ms;
}

/* --- Bytes ---------------------------------------------------------------------------------- */

/* 0: for ever. */
static void encode_keep(struct byte_buffer *buffer, int64_t keep_ms)
{
    byte_buffer_varint(buffer, keep_ms == RETENTION_FOR_EVER ? 0 : (uint64_t)keep_ms);
}

static int64_t decode_keep(struct byte_reader *reader)
{
    uint64_t keep_ms = byte_reader_varint(reader);
    if (keep_ms >= INT64_MAX)
        reader->failed = true;
    return keep_ms == 0 ? RETENTION_FOR_EVER : (int64_t)keep_ms;
}

void retention_policy_encode(const struct retention_policy *policy, struct byte_buffer *buffer)
{
    encode_keep(buffer, policy->keep_ms);
    byte_buffer_varint(buffer, policy->count);
    for (size_t i = 0; i < policy->count; i++) {
        const struct retention_rule *rule = &policy->rules[i];
        byte_buffer_text(buffer, rule->tenant);
        encode_keep(buffer, rule->keep_ms);
        byte_buffer_varint(buffer, rule->matcher_count);
        for (size_t k = 0; k < rule->matcher_count; k++) {
            byte_buffer_u8(buffer, (uint8_t)rule->matchers[k]->type);
            byte_buffer_text(buffer, rule->matchers[k]->name);
            byte_buffer_text(buffer, rule->matchers[k]->value);
        }
    }
}

static enum error_code corrupt(struct error *error)
{
    return error_set(error, ERROR_CORRUPT, "retention: cut, or no policy");
}

static enum error_code no_room(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "retention");
}

/* What was made of it so far is the rule's. */
static enum error_code decode_rule(struct byte_reader *reader, struct retention_rule *rule,
                                   struct error *error)
{
    struct text tenant = byte_reader_text(reader);
    rule->keep_ms = decode_keep(reader);
    uint64_t count = byte_reader_varint(reader);
    if (reader->failed || tenant.size > TENANT_ID_BYTES_MAX || count > RETENTION_MATCHERS_MAX)
        return corrupt(error);
    char *copy = malloc(tenant.size + 1);
    if (copy == NULL)
        return no_room(error);
    if (tenant.size > 0)
        memcpy(copy, tenant.data, tenant.size);
    rule->tenant = (struct text){copy, tenant.size};
    rule->matchers = calloc((size_t)count + 1, sizeof *rule->matchers);
    if (rule->matchers == NULL)
        return no_room(error);
    for (; rule->matcher_count < count; rule->matcher_count++) {
        uint8_t type = byte_reader_u8(reader);
        struct text name = byte_reader_text(reader);
        struct text value = byte_reader_text(reader);
        if (reader->failed || type > MATCHER_NOT_REGEX)
            return corrupt(error);
        enum error_code code = matcher_create((enum matcher_type)type, name, value,
                                              &rule->matchers[rule->matcher_count], error);
        if (code != ERROR_NONE)
            return code;
    }
    return ERROR_NONE;
}

enum error_code retention_policy_decode(struct byte_reader *reader,
                                        struct retention_policy **policy_out, struct error *error)
{
    int64_t keep_ms = decode_keep(reader);
    uint64_t count = byte_reader_varint(reader);
    if (reader->failed || count > RETENTION_RULES_MAX)
        return corrupt(error);
    struct retention_rule *rules = calloc((size_t)count + 1, sizeof *rules);
    if (rules == NULL)
        return no_room(error);
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < count; i++)
        code = decode_rule(reader, &rules[i], error);
    if (code == ERROR_NONE)
        code = retention_policy_create(keep_ms, rules, (size_t)count, policy_out, error);
    if (code != ERROR_NONE)
        retention_rules_destroy(rules, (size_t)count);
    return code;
}
