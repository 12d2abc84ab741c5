#include "retention.h"

#include "base/log.h"
#include "base/state_version.h"

#include "shard_private.h"

enum {
    SECOND_MS = 1000,
    /* Ages are counted anew when this part of the shortest retention has passed, */
    STEPS_A_RETENTION = 16,
    /* but not more often, and not more seldom. */
    STEP_MS_MIN = SECOND_MS,
    STEP_MS_MAX = 2 * 3600 * SECOND_MS,
};

/* --- Bytes ---------------------------------------------------------------------------------- */

static bool has_policy(enum retention_step step)
{
    return step == RETENTION_IN_FORCE || step == RETENTION_ANNOUNCED;
}

void retention_news_encode(const struct retention_news *news, struct byte_buffer *buffer)
{
    byte_buffer_u8(buffer, (uint8_t)news->step);
    if (has_policy(news->step))
        retention_policy_encode(news->policy, buffer);
    if (news->step == RETENTION_AT)
        byte_buffer_zigzag(buffer, news->at_ms);
}

enum error_code retention_news_decode(struct byte_reader *body, struct retention_news *news_out,
                                      struct error *error)
{
    uint8_t step = byte_reader_u8(body);
    if (body->failed || step > RETENTION_AT)
        return error_set(error, ERROR_CORRUPT, "retention: its step");
    struct retention_news news = {.step = (enum retention_step)step, .at_ms = INT64_MIN};
    if (has_policy(news.step)) {
        enum error_code code = retention_policy_decode(body, &news.policy, error);
        if (code != ERROR_NONE)
            return code;
    }
    if (news.step == RETENTION_AT)
        news.at_ms = byte_reader_zigzag(body);
    if (body->failed || byte_reader_left(body) > 0) {
        retention_policy_unref(news.policy);
        return error_set(error, ERROR_CORRUPT, "retention: cut, or stray bytes");
    }
    *news_out = news;
    return ERROR_NONE;
}

/* --- Applying ------------------------------------------------------------------------------- */

/* Windows out of which samples go when ages are counted from a later time. */
static enum error_code touch_passed(struct shard *shard, int64_t from_ms, int64_t until_ms,
                                    struct error *error)
{
    const struct retention_policy *policy = shard->retention.policy;
    size_t count = retention_policy_rule_count(policy);
    enum error_code code = ERROR_NONE;
    if (from_ms == INT64_MIN) {
        windows_touch_all(&shard->windows);
        return ERROR_NONE;
    }
    for (size_t i = 0; code == ERROR_NONE && i <= count; i++) {
        int64_t keep_ms = i == count ? retention_policy_default_ms(policy)
                                     : retention_policy_rule(policy, i)->keep_ms;
        if (keep_ms != RETENTION_FOR_EVER)
            code = windows_touch_range(&shard->windows, retention_before(from_ms, keep_ms),
                                       retention_before(until_ms, keep_ms), error);
    }
    return code;
}

static void take_policy(struct shard *shard, struct retention_policy *policy)
{
    struct retention_cut *cut = &shard->retention;
    if (retention_policy_equal(policy, cut->policy) && cut->announced == NULL)
        return;
    struct retention_policy *taken = retention_policy_ref(policy); /* it may be the announced one */
    retention_policy_unref(cut->policy);
    retention_policy_unref(cut->announced);
    cut->policy = taken;
    cut->announced = NULL;
    cut->announced_ms = 0;
    shard->retention_generation++;
    windows_touch_all(&shard->windows);
}

/* What was announced before and is again keeps its time. */
static void announce(struct shard *shard, struct retention_policy *policy)
{
    struct retention_cut *cut = &shard->retention;
    if (cut->policy == NULL || retention_policy_equal(policy, cut->announced))
        return;
    retention_policy_unref(cut->announced);
    cut->announced = retention_policy_ref(policy);
    cut->announced_ms = shard->stamp_ms;
    shard->retention_is_told = false;
    windows_touch_all(&shard->windows); /* what kept shorter than the new one is seen again */
}

static enum error_code take_news(struct shard *shard, const struct retention_news *news,
                                 struct error *error)
{
    struct retention_cut *cut = &shard->retention;
    int64_t before_ms = cut->at_ms;
    switch (news->step) {
    case RETENTION_IN_FORCE:
        take_policy(shard, news->policy);
        return ERROR_NONE;
    case RETENTION_ANNOUNCED:
        announce(shard, news->policy);
        return ERROR_NONE;
    case RETENTION_TAKEN:
        if (cut->announced != NULL)
            take_policy(shard, cut->announced);
        return ERROR_NONE;
    case RETENTION_AT:
        if (cut->policy == NULL || news->at_ms <= cut->at_ms)
            return ERROR_NONE;
        cut->at_ms = news->at_ms;
        return touch_passed(shard, before_ms, news->at_ms, error);
    }
    return ERROR_NONE;
}

enum error_code shard_apply_retention_policy(struct shard *shard, uint64_t index,
                                             struct byte_reader *body, struct error *error)
{
    struct retention_news news;
    shard->retention_proposed = false;
    enum error_code code = retention_news_decode(body, &news, error);
    if (code != ERROR_NONE)
        return code;
    code = take_news(shard, &news, error);
    retention_policy_unref(news.policy);
    if (code != ERROR_NONE)
        return code;
    shard->changed_index = index;
    if (shard->bucket.object_count > 0)
        bucket_change(&shard->bucket, index); /* lists say what is past its retention */
    return shard_publish(shard, error);
}

/* --- What is there -------------------------------------------------------------------------- */

/* Time of the oldest sample, wherever it is; INT64_MAX: there is none. */
static int64_t oldest_stored_ms(const struct shard *shard)
{
    struct head_statistics head;
    int64_t oldest_ms = INT64_MAX;
    for (size_t i = 0; i < shard->part_count; i++)
        if (shard->parts[i].described.summary.min_time_ms < oldest_ms)
            oldest_ms = shard->parts[i].described.summary.min_time_ms;
    for (size_t i = 0; i < shard->block_count; i++)
        if (shard->blocks[i].described.summary.min_time_ms < oldest_ms)
            oldest_ms = shard->blocks[i].described.summary.min_time_ms;
    for (size_t i = 0; i <= shard->frozen_count; i++) {
        head_read_statistics(i == shard->frozen_count ? shard->head : shard->frozen[i]->head,
                             &head);
        if (head.series_count > 0 && head.start_ms < oldest_ms)
            oldest_ms = head.start_ms;
    }
    return oldest_ms;
}

int64_t retention_longest_ms(const struct shard *shard)
{
    if (shard->retention.policy != NULL)
        return retention_cut_longest_ms(&shard->retention);
    return shard->retention_wanted == NULL ? RETENTION_FOR_EVER
                                           : retention_policy_longest_ms(shard->retention_wanted);
}

void retention_count_pending(const struct view *view, struct shard_statistics *statistics)
{
    const struct retention_cut *cut = &view->retention;
    if (cut->announced == NULL)
        return;
    int64_t before_ms = retention_before(
        statistics->newest_ms, retention_policy_shortened_ms(cut->announced, cut->policy));
    statistics->retention_announced_ms = cut->announced_ms;
    statistics->retention_pending_before_ms = before_ms;
    for (size_t i = 0; i < view->part_count; i++)
        if (view->parts[i].start_ms < before_ms) {
            statistics->retention_pending_files++;
            statistics->retention_pending_bytes += view->parts[i].size_bytes;
        }
    for (size_t i = 0; i < view->block_count; i++)
        if (view->blocks[i].start_ms < before_ms) {
            statistics->retention_pending_files++;
            statistics->retention_pending_bytes += view->blocks[i].size_bytes;
        }
}

/* --- Deciding (leader) ---------------------------------------------------------------------- */

static void propose(struct shard *shard, const struct retention_news *news)
{
    struct byte_buffer entry = {0};
    entry_encode_header(&entry, ENTRY_RETENTION_POLICY,
                        clock_now_ms(shard->options.environment->clock));
    retention_news_encode(news, &entry);
    shard->retention_proposed = shard_propose(shard, &entry);
}

static int64_t now_ms(struct shard *shard)
{
    return steady_clock_now_ms(&shard->steady, shard->options.environment->clock);
}

static void tell_pending(struct shard *shard)
{
    struct shard_statistics pending;
    shard_read_statistics(shard, &pending);
    shard->retention_is_told = true;
    log_event(
        LOG_WARNING, "shard",
        "the retention is shorter than it was: samples will be deleted after the grace time",
        "shard=%u in_seconds=%lld before_ms=%lld oldest_ms=%lld files=%llu bytes=%llu",
        shard->options.shard_id,
        (long long)((shard->retention.announced_ms + shard->retention_grace_ms - now_ms(shard)) /
                    SECOND_MS),
        (long long)pending.retention_pending_before_ms, (long long)pending.oldest_ms,
        (unsigned long long)pending.retention_pending_files,
        (unsigned long long)pending.retention_pending_bytes);
}

/* Whether the policy may come into force at once: it keeps all as long, or nothing is old enough,
 * or it is the first that the shard hears of. */
static bool comes_at_once(struct shard *shard, const struct retention_policy *policy)
{
    const struct retention_policy *before = shard->retention.policy;
    if (before == NULL || shard->retention_grace_ms == 0)
        return true;
    int64_t shortened_ms = retention_policy_shortened_ms(policy, before);
    return shortened_ms == RETENTION_FOR_EVER ||
           oldest_stored_ms(shard) >= retention_before(now_ms(shard), shortened_ms);
}

/* True: something is proposed, or to be waited for. */
static bool decide_policy(struct shard *shard)
{
    const struct retention_cut *cut = &shard->retention;
    struct retention_policy *wanted = shard->retention_wanted;
    struct retention_news news = {.step = RETENTION_IN_FORCE, .policy = wanted};
    if (retention_policy_equal(wanted, cut->policy) && cut->announced == NULL)
        return false;
    if (retention_policy_equal(wanted, cut->announced)) {
        if (!shard->retention_is_told)
            tell_pending(shard);
        if (now_ms(shard) < cut->announced_ms + shard->retention_grace_ms)
            return false;
        news.step = RETENTION_TAKEN;
    } else if (!comes_at_once(shard, wanted)) {
        news.step = RETENTION_ANNOUNCED;
    } else if (cut->announced != NULL) {
        log_event(LOG_INFO, "shard", "the retention is not shortened any more", "shard=%u",
                  shard->options.shard_id);
    }
    propose(shard, &news);
    return true;
}

/* Ages are counted from a later time when enough has passed for what is kept shortest, and
 * something is old enough. */
static void decide_time(struct shard *shard, int64_t agreed_ms)
{
    const struct retention_cut *cut = &shard->retention;
    int64_t shortest_ms = retention_cut_shortest_ms(cut);
    if (cut->policy == NULL || retention_policy_rule_count(cut->policy) == 0 ||
        shortest_ms == RETENTION_FOR_EVER)
        return;
    int64_t step_ms = shortest_ms / STEPS_A_RETENTION;
    step_ms = step_ms < STEP_MS_MIN ? STEP_MS_MIN : step_ms > STEP_MS_MAX ? STEP_MS_MAX : step_ms;
    bool is_due = cut->at_ms == INT64_MIN || agreed_ms - cut->at_ms >= step_ms;
    if (is_due && oldest_stored_ms(shard) < retention_before(agreed_ms, shortest_ms))
        propose(shard, &(struct retention_news){.step = RETENTION_AT, .at_ms = agreed_ms});
}

void retention_maintain(struct shard *shard, int64_t newest_ms)
{
    /* A clock that jumped ahead deletes nothing, nor do samples that were taken for its sake. */
    int64_t agreed_ms = now_ms(shard);
    if (newest_ms < agreed_ms)
        agreed_ms = newest_ms;
    if (shard->state_version >= STATE_VERSION_BUCKET && shard->retention_wanted != NULL &&
        !shard->retention_proposed && !decide_policy(shard) && newest_ms != INT64_MIN)
        decide_time(shard, agreed_ms);
    if (shard->state_version >= STATE_VERSION_BUCKET && shard->retention.policy == NULL)
        return;
    int64_t longest_ms = retention_longest_ms(shard);
    if (newest_ms != INT64_MIN && longest_ms != RETENTION_FOR_EVER)
        shard_retain_from(shard, retention_before(agreed_ms, longest_ms));
}

void retention_lead(struct shard *shard)
{
    shard->retention_proposed = false;
    shard->retention_is_told = false;
}

void shard_want_retention(struct shard *shard, struct retention_policy *policy, int64_t grace_ms)
{
    shard->retention_grace_ms = grace_ms;
    if (policy == shard->retention_wanted)
        return;
    retention_policy_unref(shard->retention_wanted);
    shard->retention_wanted = retention_policy_ref(policy);
}
