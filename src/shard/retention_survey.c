#include "retention_survey.h"

#include <stdlib.h>

#include "base/log.h"
#include "block/deferred_block.h"

#include "shard_private.h"

enum {
    /* A block is written anew when this part of its series is past its retention, */
    EXPIRED_SHARE = 10,
    /* or any of it for so long. */
    LAZY_MS = 7 * 24 * 3600 * 1000,
    RETRY_MS = 60 * 1000,
    ARENA_BYTES_MAX = 64 * 1024 * 1024,
};

struct survey {
    struct job job;
    struct shard *shard;
    struct shard_block block; /* a reference */
    struct retention_cut cut; /* references */
    uint64_t key;
    bool is_due; /* the outcome */
    struct error error;
};

/* --- What is due ---------------------------------------------------------------------------- */

static bool has_passed(const struct retention_cut *cut, int64_t keep_ms, int64_t end_ms)
{
    return keep_ms != RETENTION_FOR_EVER && end_ms <= retention_before(cut->at_ms, keep_ms);
}

static uint64_t mix(uint64_t key, uint64_t number)
{
    return (key ^ number) * UINT64_C(0x9e3779b97f4a7c15) + 1;
}

/* Names which retentions of a policy the window has passed; 0: none. */
static uint64_t survey_key(const struct shard *shard, int64_t end_ms)
{
    const struct retention_cut *cut = &shard->retention;
    size_t count = retention_policy_rule_count(cut->policy);
    uint64_t key = shard->retention_generation, passed = 0;
    for (size_t i = 0; i <= count; i++) {
        int64_t keep_ms = i == count ? retention_policy_default_ms(cut->policy)
                                     : retention_policy_rule(cut->policy, i)->keep_ms;
        if (!has_passed(cut, keep_ms, end_ms))
            continue;
        passed++;
        key = mix(key, 2 * i + has_passed(cut, keep_ms, end_ms + LAZY_MS));
    }
    return passed == 0 ? 0 : key | 1;
}

/* --- Looking -------------------------------------------------------------------------------- */

struct tally {
    uint64_t series;
    uint64_t expired;
    uint64_t long_expired;
};

/* The series of the tenant that a rule is for. */
static enum error_code select_rule(struct index_source *index, const struct retention_rule *rule,
                                   struct text tenant, struct arena *arena,
                                   struct positions *found_out, struct error *error)
{
    const struct index_query query = {
        .tenant = tenant,
        .matchers = (const struct matcher *const *)rule->matchers,
        .matcher_count = rule->matcher_count,
        .arena = arena,
    };
    return index_select(index, &query, found_out, error);
}

static bool join(struct arena *arena, struct positions *into, struct positions more)
{
    const struct positions lists[] = {*into, more};
    return positions_union(arena, lists, 2, into);
}

static enum error_code survey_tenant(struct survey *survey, struct text tenant, struct arena *arena,
                                     struct tally *tally, struct error *error)
{
    const struct retention_cut *cut = &survey->cut;
    struct index_source *index = block_index(survey->block.block);
    int64_t end_ms = survey->block.described.window_end_ms;
    struct positions all = {0}, ruled = {0}, expired = {0}, found;
    enum error_code code = index->operations->all(index, tenant, arena, &all, error);
    bool has_room = true;
    for (size_t i = 0;
         code == ERROR_NONE && has_room && i < retention_policy_rule_count(cut->policy); i++) {
        const struct retention_rule *rule = retention_policy_rule(cut->policy, i);
        if (!retention_rule_is_for(rule, tenant))
            continue;
        code = select_rule(index, rule, tenant, arena, &found, error);
        if (code != ERROR_NONE)
            break;
        has_room = join(arena, &ruled, found);
        if (!has_passed(cut, rule->keep_ms, end_ms))
            continue;
        has_room = has_room && join(arena, &expired, found);
        tally->long_expired += has_passed(cut, rule->keep_ms, end_ms + LAZY_MS) ? found.count : 0;
    }
    int64_t default_ms = retention_policy_default_ms(cut->policy);
    if (code == ERROR_NONE && has_room && has_passed(cut, default_ms, end_ms)) {
        has_room = positions_subtract(arena, all, ruled, &found) && join(arena, &expired, found);
        tally->long_expired += has_passed(cut, default_ms, end_ms + LAZY_MS) ? found.count : 0;
    }
    if (code == ERROR_NONE && !has_room)
        code = error_set(error, ERROR_OUT_OF_MEMORY, "retention of a block");
    tally->series += all.count;
    tally->expired += expired.count;
    return code;
}

static void survey_run(struct job *job)
{
    struct survey *survey = (struct survey *)job;
    struct arena *arena = arena_create(ARENA_BYTES_MAX);
    struct tally tally = {0};
    enum error_code code = ERROR_NONE;
    error_clear(&survey->error);
    if (arena == NULL)
        code = error_set(&survey->error, ERROR_OUT_OF_MEMORY, "retention of a block");
    struct block *block = NULL;
    if (code == ERROR_NONE)
        code = block_need_open(survey->block.block, &block, &survey->error);
    for (size_t i = 0; code == ERROR_NONE && i < block_tenant_count(block); i++) {
        arena_reset(arena);
        code = survey_tenant(survey, block_tenant(block, i), arena, &tally, &survey->error);
    }
    arena_destroy(arena);
    survey->is_due = tally.long_expired > 0 ||
                     (tally.expired > 0 && tally.expired * EXPIRED_SHARE >= tally.series);
}

static void survey_destroy(struct survey *survey)
{
    block_unref(survey->block.block);
    retention_cut_clear(&survey->cut);
    free(survey);
}

static void note(struct shard *shard, const struct survey *survey)
{
    for (size_t i = 0; i < shard->block_count; i++)
        if (is_same_block(&shard->blocks[i], &survey->block)) {
            shard->blocks[i].surveyed_key = survey->key;
            shard->blocks[i].is_expired = survey->is_due;
        }
}

static void survey_done(struct job *job)
{
    struct survey *survey = (struct survey *)job;
    struct shard *shard = survey->shard;
    shard->survey = NULL;
    if (survey->error.code == ERROR_NONE) {
        note(shard, survey);
    } else {
        shard->counters.job_failures++;
        shard->survey_due_ms = clock_monotonic_ms(shard->options.environment->clock) + RETRY_MS;
        log_event(LOG_ERROR, "shard", "what of a block is past its retention could not be found",
                  "shard=%u error=\"%s\"", shard->options.shard_id, survey->error.message);
    }
    survey_destroy(survey);
    if (shard->closed == NULL)
        retention_survey_tend(shard);
    shard_job_ended(shard);
}

static void begin(struct shard *shard, const struct shard_block *block, uint64_t key)
{
    struct survey *survey = calloc(1, sizeof *survey);
    if (survey == NULL)
        return; /* tried again */
    survey->job = (struct job){.run = survey_run, .done = survey_done, .class = JOB_BACKGROUND};
    survey->shard = shard;
    survey->block = *block;
    block_ref(block->block);
    survey->cut = shard->retention;
    retention_cut_ref(&survey->cut);
    survey->key = key;
    shard->survey = survey;
    shard_job_started(shard);
    scheduler_submit(shard->options.environment->scheduler, &survey->job);
}

void retention_survey_tend(struct shard *shard)
{
    const struct retention_cut *cut = &shard->retention;
    /* What is announced may keep longer: nothing is written anew for what may come back. */
    if (shard->survey != NULL || cut->policy == NULL || cut->announced != NULL ||
        cut->at_ms == INT64_MIN || retention_policy_rule_count(cut->policy) == 0 ||
        clock_monotonic_ms(shard->options.environment->clock) < shard->survey_due_ms)
        return;
    for (size_t i = 0; i < shard->block_count; i++) {
        struct shard_block *block = &shard->blocks[i];
        uint64_t key = survey_key(shard, block->described.window_end_ms);
        if (key == block->surveyed_key || block->damaged || block->is_stand_in)
            continue;
        if (key == 0) {
            block->surveyed_key = 0;
            block->is_expired = false;
            continue;
        }
        begin(shard, block, key);
        return;
    }
}
