#include "merge_plan.h"

#include <assert.h>
#include <stdlib.h>

#include "base/limits.h"
#include "block/block_writer.h"

#include "damage.h"
#include "local_files.h"

enum {
    MINUTE_MS = 60 * 1000,
    HOUR_MS = 60 * MINUTE_MS,
    /* After the end of a window, before it is merged: its last samples are still being frozen. */
    MERGE_DELAY_MS = 20 * MINUTE_MS,
    /* Late parts wait for company, so many or so long. */
    LATE_PARTS_DUE = 4,
    LATE_PART_WAIT_MS = HOUR_MS,
    /* Overlays enter their block at a tenth of it, at so many, or after so long. */
    OVERLAY_SHARE = 10,
    OVERLAYS_DUE = 4,
    OVERLAY_WAIT_MS = 24 * HOUR_MS,
    /* More late parts, or overlays in one window: the merges are behind. */
    LATE_PARTS_MAX = 32,
    OVERLAYS_MAX = 8,
    /* A window is quiet when no block in it is younger. */
    QUIET_MS = HOUR_MS / 2,
    /* A block is no longer than this part of the retention. */
    RETENTION_SHARE = 8,
    /* What a block's writer holds until its end (block/README.md): windows that may need more than
     * the limit stay in shorter blocks. */
    WRITER_BYTES_A_SERIES = 128,
    WRITER_BYTES_A_CHUNK = 8,
    WRITER_BYTES_MAX = 1 << 30,
    /* Of one level that parts without blocks are merged into, the newest. */
    LEVEL_WINDOWS_MAX = 512,
    /* Samples of windows that one merge takes besides the first, so that it ends in minutes. */
    MERGE_SAMPLES_MAX = 1 << 30,
};

static const int64_t LEVELS_MS[] = {12 * HOUR_MS, 48 * HOUR_MS};

int64_t merge_window_start(int64_t timestamp_ms)
{
    int64_t window = timestamp_ms / BLOCK_CHUNK_WINDOW_MS * BLOCK_CHUNK_WINDOW_MS;
    return window > timestamp_ms ? window - BLOCK_CHUNK_WINDOW_MS : window;
}

int64_t merge_late_before(int64_t now_ms)
{
    return merge_window_start(now_ms - MERGE_DELAY_MS);
}

static enum error_code out_of_memory(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "merge plan");
}

/* --- Parts -------------------------------------------------------------------------------- */

static bool is_late(const struct shard_part *part)
{
    return part->described.number == 1;
}

/* The first time of a part that is not merged yet. */
static int64_t part_from(const struct manifest_part *part)
{
    return part->summary.min_time_ms > part->merged_until_ms ? part->summary.min_time_ms
                                                             : part->merged_until_ms;
}

static bool has_samples_before(const struct manifest_part *part, int64_t cutoff_ms)
{
    int64_t from_ms = part_from(part);
    return from_ms < cutoff_ms && part->summary.max_time_ms >= from_ms;
}

static bool late_parts_are_due(const struct shard *shard, int64_t now_ms)
{
    size_t count = 0;
    for (size_t i = 0; i < shard->part_count; i++) {
        if (!is_late(&shard->parts[i]) || shard->parts[i].damaged)
            continue;
        if (shard->parts[i].described.stamp_ms < now_ms - LATE_PART_WAIT_MS)
            return true;
        count++;
    }
    return count >= LATE_PARTS_DUE;
}

static void take_parts(const struct shard *shard, enum merge_wish wish, int64_t now_ms,
                       struct merge_plan *plan)
{
    bool late_too = wish != MERGE_DUE || late_parts_are_due(shard, now_ms);
    if (damage_blocks_parts(shard))
        return;
    for (size_t i = 0; i < shard->part_count; i++) {
        const struct shard_part *part = &shard->parts[i];
        plan->parts[i] = !part->damaged && has_samples_before(&part->described, plan->cutoff_ms) &&
                         (late_too || !is_late(part));
        plan->part_count += plan->parts[i];
    }
}

static bool overlaps(const struct manifest_part *part, const struct manifest_block *block)
{
    return part->summary.max_time_ms >= block->window_start_ms &&
           part_from(part) < block->window_end_ms;
}

static bool is_wide(const struct manifest_block *block)
{
    return block->window_end_ms - block->window_start_ms > BLOCK_CHUNK_WINDOW_MS;
}

static int compare_windows(const void *left, const void *right)
{
    const struct merge_window *a = left, *b = right;
    return a->start_ms < b->start_ms ? -1 : a->start_ms > b->start_ms;
}

static enum error_code add_wide(struct merge_plan *plan, int64_t start_ms, int64_t end_ms,
                                struct error *error)
{
    for (size_t i = 0; i < plan->wide_count; i++)
        if (plan->wide[i].start_ms < end_ms && start_ms < plan->wide[i].end_ms)
            return ERROR_NONE; /* windows are the same or apart */
    struct merge_window *wide = realloc(plan->wide, (plan->wide_count + 1) * sizeof *wide);
    if (wide == NULL)
        return out_of_memory(error);
    wide[plan->wide_count++] = (struct merge_window){start_ms, end_ms};
    plan->wide = wide;
    qsort(wide, plan->wide_count, sizeof *wide, compare_windows);
    return ERROR_NONE;
}

/* Parts that bring less than a tenth of a block that was uploaded lie beside it: it would be
 * uploaded anew with each flush. */
static bool stays_uploaded(const struct shard *shard, const struct merge_plan *plan,
                           const struct manifest_block *block)
{
    uint64_t samples = 0;
    if (bucket_find_block(&shard->bucket, block_name_of(block)) == NULL)
        return false;
    for (size_t i = 0; i < shard->part_count; i++)
        if (plan->parts[i] && overlaps(&shard->parts[i].described, block))
            samples += shard->parts[i].described.summary.sample_count;
    return samples * OVERLAY_SHARE < block->summary.sample_count;
}

/*
 * Blocks of two hours that a current part continues (a flush made them before the window was over)
 * are merged with it. Late parts leave the blocks alone and take their windows.
 */
static enum error_code meet_blocks(const struct shard *shard, struct merge_plan *plan,
                                   struct error *error)
{
    enum error_code code = ERROR_NONE;
    for (size_t b = 0; code == ERROR_NONE && b < shard->block_count; b++) {
        const struct manifest_block *block = &shard->blocks[b].described;
        bool touched = false, continued = false;
        for (size_t i = 0; i < shard->part_count; i++)
            if (plan->parts[i] && overlaps(&shard->parts[i].described, block)) {
                touched = true;
                continued |= !is_late(&shard->parts[i]);
            }
        if (!touched || block->window_end_ms > plan->cutoff_ms)
            continue;
        if (is_wide(block))
            code = add_wide(plan, block->window_start_ms, block->window_end_ms, error);
        else if (continued && local_may_merge(shard, &shard->blocks[b]) &&
                 !stays_uploaded(shard, plan, block)) {
            plan->blocks[b] = true;
            plan->block_count++;
        }
    }
    return code;
}

/* --- Groups of blocks --------------------------------------------------------------------- */

/* The sound blocks of one window: those that lie in the window of the longest. */
struct group {
    int64_t start_ms;
    int64_t end_ms;
    size_t first; /* of the sorted positions */
    size_t count;
    uint64_t samples;
    uint64_t samples_of_largest;
    uint64_t series;
    int64_t oldest_stamp_ms;
    int64_t newest_stamp_ms;
};

struct groups {
    size_t *positions; /* of the shard's blocks, by window */
    struct group *items;
    size_t count;
};

struct sorted_block {
    const struct manifest_block *block;
    size_t position;
};

static int compare_blocks(const void *left, const void *right)
{
    const struct sorted_block *a = left, *b = right;
    if (a->block->window_start_ms != b->block->window_start_ms)
        return a->block->window_start_ms < b->block->window_start_ms ? -1 : 1;
    if (a->block->window_end_ms != b->block->window_end_ms)
        return a->block->window_end_ms > b->block->window_end_ms ? -1 : 1;
    return a->position < b->position ? -1 : a->position > b->position;
}

static void group_add(struct group *group, const struct manifest_block *block)
{
    uint64_t samples = block->summary.sample_count;
    group->count++;
    group->samples += samples;
    group->series += block->summary.series_count;
    if (samples > group->samples_of_largest)
        group->samples_of_largest = samples;
    if (block->stamp_ms < group->oldest_stamp_ms)
        group->oldest_stamp_ms = block->stamp_ms;
    if (block->stamp_ms > group->newest_stamp_ms)
        group->newest_stamp_ms = block->stamp_ms;
}

static void groups_clear(struct groups *groups)
{
    free(groups->positions);
    free(groups->items);
}

static enum error_code groups_make(const struct shard *shard, struct groups *groups_out,
                                   struct error *error)
{
    size_t count = 0;
    struct groups groups = {
        .positions = malloc((shard->block_count + 1) * sizeof *groups.positions),
        .items = malloc((shard->block_count + 1) * sizeof *groups.items),
    };
    struct sorted_block *sorted = malloc((shard->block_count + 1) * sizeof *sorted);
    if (groups.positions == NULL || groups.items == NULL || sorted == NULL) {
        groups_clear(&groups);
        free(sorted);
        return out_of_memory(error);
    }
    for (size_t i = 0; i < shard->block_count; i++)
        if (local_may_merge(shard, &shard->blocks[i]))
            sorted[count++] = (struct sorted_block){&shard->blocks[i].described, i};
    qsort(sorted, count, sizeof *sorted, compare_blocks);
    for (size_t i = 0; i < count; i++) {
        const struct manifest_block *block = sorted[i].block;
        struct group *group = groups.count == 0 ? NULL : &groups.items[groups.count - 1];
        groups.positions[i] = sorted[i].position;
        if (group == NULL || block->window_start_ms >= group->end_ms) {
            group = &groups.items[groups.count++];
            *group = (struct group){.start_ms = block->window_start_ms,
                                    .end_ms = block->window_end_ms,
                                    .first = i,
                                    .oldest_stamp_ms = INT64_MAX,
                                    .newest_stamp_ms = INT64_MIN};
        }
        group_add(group, block);
    }
    free(sorted);
    *groups_out = groups;
    return ERROR_NONE;
}

static enum error_code take_group(const struct groups *groups, const struct group *group,
                                  struct merge_plan *plan, struct error *error)
{
    for (size_t i = 0; i < group->count; i++)
        plan->blocks[groups->positions[group->first + i]] = true;
    plan->block_count += group->count;
    if (group->end_ms - group->start_ms > BLOCK_CHUNK_WINDOW_MS)
        return add_wide(plan, group->start_ms, group->end_ms, error);
    return ERROR_NONE;
}

/* What groups are looked at for. */
struct search {
    const struct shard *shard;
    const struct groups *groups;
    enum merge_wish wish;
    int64_t now_ms;
};

typedef bool group_test(const struct search *search, const struct group *group);

/* All groups that pass the test: each becomes a block of its own. */
static enum error_code take_groups(const struct search *search, group_test *is_due,
                                   struct merge_plan *plan, struct error *error)
{
    enum error_code code = ERROR_NONE;
    uint64_t samples = 0;
    for (size_t i = 0; code == ERROR_NONE && i < search->groups->count; i++) {
        const struct group *group = &search->groups->items[i];
        if (!is_due(search, group))
            continue;
        samples += group->samples;
        if (plan->block_count > 0 && samples > MERGE_SAMPLES_MAX)
            break;
        code = take_group(search->groups, group, plan, error);
    }
    return code;
}

static bool overlays_are_due(const struct search *search, const struct group *group)
{
    if (group->count < 2)
        return false;
    if ((group->samples - group->samples_of_largest) * OVERLAY_SHARE >= group->samples_of_largest)
        return true;
    return search->wish == MERGE_DUE && (group->count > OVERLAYS_DUE ||
                                         group->newest_stamp_ms < search->now_ms - OVERLAY_WAIT_MS);
}

/* Files that a deletion covers are from before it. */
static bool is_covered(const struct tombstone *tombstone, uint64_t index,
                       const struct file_summary *summary)
{
    return index < tombstone->index && summary->min_time_ms <= tombstone->end_ms &&
           summary->max_time_ms >= tombstone->start_ms;
}

/* Which tenants a block has is known, but for one in the bucket that nobody has read yet. */
bool merge_block_may_have(const struct shard_block *block, const struct tombstone *tombstone)
{
    if (!is_covered(tombstone, block->described.index, &block->described.summary))
        return false;
    if (block->damaged || block->is_stand_in)
        return true;
    return block_has_tenant(block->block, tombstone->tenant);
}

static const struct shard_block *block_of(const struct search *search, const struct group *group,
                                          size_t i)
{
    return &search->shard->blocks[search->groups->positions[group->first + i]];
}

static bool is_deleted_from(const struct search *search, const struct group *group)
{
    const struct tombstones *tombstones = search->shard->tombstones;
    for (size_t i = 0; i < group->count; i++)
        for (size_t k = 0; k < tombstones_count(tombstones); k++)
            if (merge_block_may_have(block_of(search, group, i), tombstones_at(tombstones, k)))
                return true;
    return false;
}

/* Whether a tenant of it was deleted: that does not wait until somebody asks. */
static bool has_deleted_tenant(const struct search *search, const struct group *group)
{
    const struct tombstones *tombstones = search->shard->tombstones;
    for (size_t k = 0; k < tombstones_count(tombstones); k++)
        for (size_t i = 0; tombstone_is_of_tenant(tombstones_at(tombstones, k)) && i < group->count;
             i++)
            if (merge_block_may_have(block_of(search, group, i), tombstones_at(tombstones, k)))
                return true;
    return false;
}

/* Whether enough of it is past its retention. */
static bool is_expired(const struct search *search, const struct group *group)
{
    for (size_t i = 0; i < group->count; i++)
        if (block_of(search, group, i)->is_expired)
            return true;
    return false;
}

/* Whether it has series of slots that are another shard's: they take room for nothing. */
static bool has_foreign(const struct search *search, const struct group *group)
{
    const struct shard *shard = search->shard;
    for (size_t i = 0; i < group->count; i++) {
        const struct shard_block *block =
            &shard->blocks[search->groups->positions[group->first + i]];
        /* The room that they take in the bucket is not worth to be fetched. */
        if (!block->is_absent && local_is_unsplit(shard, block))
            return true;
    }
    return false;
}

/* --- Levels ------------------------------------------------------------------------------- */

static bool level_is_allowed(const struct shard *shard, int64_t length_ms)
{
    return length_ms <= retention_longest_ms(shard) / RETENTION_SHARE;
}

/* The groups from `first` on that lie in one window of the level; how many. */
static size_t groups_in(const struct groups *groups, size_t first, int64_t end_ms)
{
    size_t count = 0;
    while (first + count < groups->count && groups->items[first + count].end_ms <= end_ms)
        count++;
    return count;
}

static bool are_quiet(const struct groups *groups, size_t first, size_t count, int64_t now_ms)
{
    for (size_t i = first; i < first + count; i++)
        if (groups->items[i].newest_stamp_ms > now_ms - QUIET_MS)
            return false;
    return true;
}

/* At most: series may be in several of the groups, and chunks be longer. */
static uint64_t writer_bytes(const struct groups *groups, size_t first, size_t count)
{
    uint64_t bytes = 0;
    for (size_t i = first; i < first + count; i++) {
        const struct group *group = &groups->items[i];
        uint64_t windows = (uint64_t)(group->end_ms - group->start_ms) / BLOCK_CHUNK_WINDOW_MS;
        uint64_t chunks = group->series * windows + group->samples / CHUNK_SAMPLES_MAX;
        bytes += group->series * WRITER_BYTES_A_SERIES + chunks * WRITER_BYTES_A_CHUNK;
    }
    return bytes;
}

static enum error_code take_level(const struct groups *groups, int64_t length_ms, int64_t now_ms,
                                  struct merge_plan *plan, struct error *error)
{
    for (size_t first = 0; first < groups->count;) {
        int64_t start_ms = groups->items[first].start_ms / length_ms * length_ms;
        size_t count = groups_in(groups, first, start_ms + length_ms);
        if (count < 2 || start_ms + length_ms > merge_late_before(now_ms) ||
            !are_quiet(groups, first, count, now_ms) ||
            writer_bytes(groups, first, count) > WRITER_BYTES_MAX) {
            first += count > 0 ? count : 1;
            continue;
        }
        enum error_code code = add_wide(plan, start_ms, start_ms + length_ms, error);
        for (size_t i = 0; code == ERROR_NONE && i < count; i++)
            code = take_group(groups, &groups->items[first + i], plan, error);
        return code; /* one window at a time */
    }
    return ERROR_NONE;
}

/* --- Parts of long ago ---------------------------------------------------------------------- */

/* What the parts of a plan have. */
struct taken {
    int64_t first_ms;
    int64_t last_ms;
    uint64_t series; /* at most */
    uint64_t samples;
};

static struct taken taken_of(const struct shard *shard, const struct merge_plan *plan)
{
    struct taken taken = {.first_ms = INT64_MAX, .last_ms = INT64_MIN};
    for (size_t i = 0; i < shard->part_count; i++) {
        const struct manifest_part *part = &shard->parts[i].described;
        if (!plan->parts[i])
            continue;
        if (part_from(part) < taken.first_ms)
            taken.first_ms = part_from(part);
        if (part->summary.max_time_ms > taken.last_ms)
            taken.last_ms = part->summary.max_time_ms;
        taken.series += part->summary.series_count;
        taken.samples += part->summary.sample_count;
    }
    uint64_t alive = shard_series_count(shard);
    if (taken.series > alive)
        taken.series = alive;
    return taken;
}

static bool level_fits(const struct taken *taken, int64_t length_ms)
{
    uint64_t windows = (uint64_t)(length_ms / BLOCK_CHUNK_WINDOW_MS);
    uint64_t chunks = taken->series * windows + taken->samples / CHUNK_SAMPLES_MAX;
    return taken->series * WRITER_BYTES_A_SERIES + chunks * WRITER_BYTES_A_CHUNK <=
           WRITER_BYTES_MAX;
}

static int64_t later_of(int64_t left, int64_t right)
{
    return left > right ? left : right;
}

static int64_t earlier_of(int64_t left, int64_t right)
{
    return left < right ? left : right;
}

/* Whether parts of the plan reach over half of the window, and blocks that stay have nothing in it.
 * One that gets its samples bit by bit stays in short blocks until it is quiet: a long one would be
 * written anew with each tenth that comes. */
static bool is_of_parts_alone(const struct shard *shard, const struct merge_plan *plan,
                              const struct merge_window *window)
{
    for (size_t i = 0; i < shard->block_count; i++) {
        const struct manifest_block *block = &shard->blocks[i].described;
        if (!plan->blocks[i] && block->window_start_ms < window->end_ms &&
            window->start_ms < block->window_end_ms)
            return false;
    }
    int64_t first_ms = window->end_ms, last_ms = window->start_ms;
    for (size_t i = 0; i < shard->part_count; i++) {
        const struct manifest_part *part = &shard->parts[i].described;
        if (!plan->parts[i] || part_from(part) >= window->end_ms ||
            part->summary.max_time_ms < window->start_ms)
            continue;
        first_ms = earlier_of(first_ms, later_of(part_from(part), window->start_ms));
        last_ms = later_of(last_ms, earlier_of(part->summary.max_time_ms, window->end_ms));
    }
    return last_ms - first_ms >= (window->end_ms - window->start_ms) / 2;
}

/* Long windows that are over, and have nothing but what is in parts (it was sent later), become one
 * block at once: many of two hours would be merged again, and cost queries more until then. */
static enum error_code widen(const struct shard *shard, int64_t now_ms, struct merge_plan *plan,
                             struct error *error)
{
    struct taken taken = taken_of(shard, plan);
    enum error_code code = ERROR_NONE;
    for (size_t i = sizeof LEVELS_MS / sizeof LEVELS_MS[0]; i-- > 0;) {
        int64_t length_ms = LEVELS_MS[i];
        if (!level_is_allowed(shard, length_ms) || !level_fits(&taken, length_ms))
            continue;
        int64_t last_ms = merge_late_before(now_ms);
        if (last_ms > plan->cutoff_ms)
            last_ms = plan->cutoff_ms;
        if (last_ms > taken.last_ms + length_ms)
            last_ms = taken.last_ms + length_ms;
        int64_t end_ms = last_ms / length_ms * length_ms;
        for (size_t count = 0; code == ERROR_NONE && count < LEVEL_WINDOWS_MAX &&
                               end_ms > taken.first_ms && end_ms >= length_ms;
             count++, end_ms -= length_ms) {
            struct merge_window window = {end_ms - length_ms, end_ms};
            if (is_of_parts_alone(shard, plan, &window))
                code = add_wide(plan, window.start_ms, window.end_ms, error);
        }
    }
    return code;
}

/* --- Plan --------------------------------------------------------------------------------- */

static enum error_code plan_blocks(const struct shard *shard, enum merge_wish wish, int64_t now_ms,
                                   struct merge_plan *plan, struct error *error)
{
    struct groups groups = {0};
    enum error_code code = groups_make(shard, &groups, error);
    if (code != ERROR_NONE)
        return code;
    struct search search = {shard, &groups, wish, now_ms};
    plan->cutoff_ms = INT64_MAX; /* of whole blocks */
    code = take_groups(&search, overlays_are_due, plan, error);
    if (code == ERROR_NONE && plan->block_count == 0 && wish == MERGE_DELETED)
        code = take_groups(&search, is_deleted_from, plan, error);
    if (code == ERROR_NONE && plan->block_count == 0 && wish != MERGE_EVERYTHING)
        code = take_groups(&search, has_deleted_tenant, plan, error);
    if (code == ERROR_NONE && plan->block_count == 0 && wish != MERGE_EVERYTHING)
        code = take_groups(&search, is_expired, plan, error);
    for (size_t i = 0; code == ERROR_NONE && wish == MERGE_DUE && plan->block_count == 0 &&
                       i < sizeof LEVELS_MS / sizeof LEVELS_MS[0];
         i++)
        if (level_is_allowed(shard, LEVELS_MS[i]))
            code = take_level(&groups, LEVELS_MS[i], now_ms, plan, error);
    if (code == ERROR_NONE && plan->block_count == 0 && wish != MERGE_EVERYTHING)
        code = take_groups(&search, has_foreign, plan, error);
    groups_clear(&groups);
    return code;
}

static enum error_code plan_parts(const struct shard *shard, int64_t now_ms,
                                  struct merge_plan *plan, struct error *error)
{
    enum error_code code = meet_blocks(shard, plan, error);
    if (code == ERROR_NONE)
        code = widen(shard, now_ms, plan, error);
    return code;
}

enum error_code merge_plan_make(const struct shard *shard, enum merge_wish wish, int64_t now_ms,
                                struct merge_plan *plan_out, struct error *error)
{
    struct merge_plan plan = {
        .cutoff_ms = wish == MERGE_DUE ? merge_late_before(now_ms) : INT64_MAX,
        .parts = calloc(shard->part_count + 1, sizeof *plan.parts),
        .blocks = calloc(shard->block_count + 1, sizeof *plan.blocks),
    };
    enum error_code code = ERROR_NONE;
    if (plan.parts == NULL || plan.blocks == NULL)
        code = out_of_memory(error);
    if (code == ERROR_NONE)
        take_parts(shard, wish, now_ms, &plan);
    if (code == ERROR_NONE)
        code = plan.part_count > 0 ? plan_parts(shard, now_ms, &plan, error)
                                   : plan_blocks(shard, wish, now_ms, &plan, error);
    if (code != ERROR_NONE) {
        merge_plan_clear(&plan);
        return code;
    }
    *plan_out = plan;
    return ERROR_NONE;
}

void merge_plan_clear(struct merge_plan *plan)
{
    free(plan->parts);
    free(plan->blocks);
    free(plan->wide);
    *plan = (struct merge_plan){0};
}

/* --- Questions ---------------------------------------------------------------------------- */

bool merge_late_is_full(const struct shard *shard)
{
    struct groups groups = {0};
    struct error error;
    size_t late_parts = 0;
    for (size_t i = 0; i < shard->part_count; i++)
        late_parts += is_late(&shard->parts[i]) && !shard->parts[i].damaged;
    if (late_parts > LATE_PARTS_MAX && !damage_blocks_parts(shard))
        return true;
    if (groups_make(shard, &groups, &error) != ERROR_NONE)
        return false;
    bool full = false;
    for (size_t i = 0; i < groups.count; i++)
        full |= groups.items[i].count > OVERLAYS_MAX + 1;
    groups_clear(&groups);
    return full;
}

static const struct shard_block *find_block(const struct shard *shard, struct block_name name)
{
    for (size_t i = 0; i < shard->block_count; i++)
        if (block_name_equal(block_name_of(&shard->blocks[i].described), name))
            return &shard->blocks[i];
    return NULL;
}

/* Who reads the bucket needs it as long as the block of before stands for the one without. The
 * deletion of a tenant is over when what it took out of lists is gone. */
bool merge_object_needs(const struct shard *shard, const struct tombstone *tombstone,
                        const struct bucket_object *object)
{
    const struct manifest_block *described = &object->described;
    if (object->state != OBJECT_LISTED)
        return tombstone_is_of_tenant(tombstone) && object->condemned_index > tombstone->index &&
               described->index < tombstone->index;
    if (!is_covered(tombstone, described->index, &described->summary))
        return false;
    const struct shard_block *own = find_block(shard, block_name_of(described));
    return own == NULL || merge_block_may_have(own, tombstone);
}

bool merge_tombstone_is_needed(const struct shard *shard, const struct tombstone *tombstone)
{
    if (shard->merge != NULL && shard->merge->index < tombstone->index)
        return true;
    for (size_t i = 0; i < shard->frozen_count; i++)
        if (shard->frozen[i]->index < tombstone->index)
            return true;
    for (size_t i = 0; i < shard->part_count; i++)
        if (is_covered(tombstone, shard->parts[i].described.index,
                       &shard->parts[i].described.summary))
            return true;
    for (size_t i = 0; i < shard->block_count; i++)
        if (merge_block_may_have(&shard->blocks[i], tombstone))
            return true;
    for (size_t i = 0; i < shard->bucket.object_count; i++)
        if (merge_object_needs(shard, tombstone, &shard->bucket.objects[i]))
            return true;
    return false;
}

bool merge_tenant_waits(const struct shard *shard)
{
    for (size_t k = 0; k < tombstones_count(shard->tombstones); k++) {
        const struct tombstone *tombstone = tombstones_at(shard->tombstones, k);
        for (size_t i = 0; tombstone_is_of_tenant(tombstone) && i < shard->part_count; i++)
            if (shard->parts[i].described.index < tombstone->index && !shard->parts[i].damaged)
                return true;
    }
    return false;
}
