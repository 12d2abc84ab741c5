/*
 * retention_policy - how long samples are kept, by tenant and labels (docs/decisions/0072).
 *
 * A duration for everything, and rules for what they match. Of several rules that match a series
 * the shortest counts; the duration for everything counts where none matches, so that a rule may
 * keep longer than that, too.
 *
 * Immutable and reference counted; any thread.
 */
#ifndef SHARD_RETENTION_POLICY_H
#define SHARD_RETENTION_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/text.h"
#include "model/labels.h"
#include "model/matcher.h"

#define RETENTION_FOR_EVER INT64_MAX

enum { RETENTION_RULES_MAX = 1024, RETENTION_MATCHERS_MAX = 256 };

struct retention_rule {
    struct text tenant;        /* empty: of every tenant */
    struct matcher **matchers; /* [matcher_count], all must match; none: every series */
    size_t matcher_count;
    int64_t keep_ms; /* > 0, or RETENTION_FOR_EVER */
};

struct retention_policy;

/* Takes over texts, matchers and arrays of the rules, all from the heap, on success; the array of
 * the rules too. `rules` may be NULL for none. Errors: INVALID, LIMIT, OUT_OF_MEMORY. */
enum error_code retention_policy_create(int64_t keep_ms, struct retention_rule *rules,
                                        size_t rule_count, struct retention_policy **policy_out,
                                        struct error *error);
struct retention_policy *retention_policy_ref(struct retention_policy *policy); /* NULL is fine */
void retention_policy_unref(struct retention_policy *policy);                   /* NULL is fine */

/* What rules that no policy took over hold, and the array. NULL is fine. */
void retention_rules_destroy(struct retention_rule *rules, size_t count);

/* Where no rule matches. */
int64_t retention_policy_default_ms(const struct retention_policy *policy);
size_t retention_policy_rule_count(const struct retention_policy *policy);
const struct retention_rule *retention_policy_rule(const struct retention_policy *policy,
                                                   size_t position);

/* Of everything that there is. */
int64_t retention_policy_longest_ms(const struct retention_policy *policy);
int64_t retention_policy_shortest_ms(const struct retention_policy *policy);

/* Of one series. */
int64_t retention_policy_keep_ms(const struct retention_policy *policy, struct text tenant,
                                 struct labels labels);

/* Whether a series that the rule is for may have this tenant, or has it and these labels. */
bool retention_rule_is_for(const struct retention_rule *rule, struct text tenant);
bool retention_rule_matches(const struct retention_rule *rule, struct text tenant,
                            struct labels labels);

/* NULL is no policy. Rules in another order are other policies. */
bool retention_policy_equal(const struct retention_policy *left,
                            const struct retention_policy *right);

/* The shortest time of what may keep some series shorter than `than` does; RETENTION_FOR_EVER:
 * nothing does. What matchers have in common is not looked into: it may name something that keeps
 * all as long. */
int64_t retention_policy_shortened_ms(const struct retention_policy *policy,
                                      const struct retention_policy *than);

/* Bytes of an entry, manifest or list (docs/formats/entry.md). Decoding errors: CORRUPT, INVALID,
 * LIMIT, OUT_OF_MEMORY. */
void retention_policy_encode(const struct retention_policy *policy, struct byte_buffer *buffer);
enum error_code retention_policy_decode(struct byte_reader *reader,
                                        struct retention_policy **policy_out, struct error *error);

#endif
