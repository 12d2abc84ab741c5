/* All files of all replicas, shard after shard; its progress is looked at from outside. */
#include <stdlib.h>
#include <string.h>

#include "wire/json_writer.h"

#include "rescue_private.h"

enum { VERIFY_MS = 12 * 60 * 60 * 1000, SHOWN_SHARDS_MAX = 256 };

struct run_call {
    struct rescue_call call; /* first */
    struct rescue_run *run;
};

struct rescue_run {
    struct rescue *rescue;
    struct cluster_view *view; /* of the beginning: these are the replicas that are read */
    size_t shard_count;
    size_t shard; /* being read */
    size_t call_count, outstanding;
    struct run_call calls[CLUSTER_REPLICAS_MAX];
    bool is_over;
    bool is_cancelled;
    uint64_t looked_ms;
    uint64_t files, bytes;
    size_t unsound;
    struct timer patience;
    struct byte_buffer found[]; /* [shard_count], JSON of each shard that was read */
};

static const struct cluster_shard *shard_of(const struct rescue_run *run)
{
    return cluster_state_find_shard(cluster_view_state(run->view), (uint32_t)run->shard);
}

/* --- Reading --------------------------------------------------------------------------------- */

static void begin_shard(struct rescue_run *run);

static void finish(struct rescue_run *run)
{
    run->is_over = true;
    scheduler_timer_stop(rescue_scheduler(run->rescue), &run->patience);
    rescue_check_closed(run->rescue);
}

/* What all of its nodes said. */
static void take_findings(struct rescue_run *run)
{
    struct rescue_finding findings[CLUSTER_REPLICAS_MAX];
    struct rescue_file *files[CLUSTER_REPLICAS_MAX] = {0};
    for (size_t i = 0; i < run->call_count; i++) {
        struct rescue_call *call = &run->calls[i].call;
        findings[i] = (struct rescue_finding){.node_id = call->node_id, .error = call->error};
        if (call->error.code == ERROR_NONE)
            (void)rescue_verdict_decode(call->answer.bytes, call->answer.size, &findings[i].verdict,
                                        &files[i], &findings[i].error);
        byte_buffer_clear(&call->answer);
        if (findings[i].error.code != ERROR_NONE)
            continue;
        run->files += findings[i].verdict.file_count;
        run->bytes += findings[i].verdict.bytes;
    }
    if (!run->is_cancelled &&
        rescue_found_encode(cluster_view_state(run->view), (uint32_t)run->shard, findings,
                            run->call_count, &run->found[run->shard]) == RESCUE_UNSOUND)
        run->unsound++;
    for (size_t i = 0; i < run->call_count; i++)
        free(files[i]);
}

static void replica_read(struct rescue_call *call)
{
    struct rescue_run *run = ((struct run_call *)call)->run;
    if (--run->outstanding > 0)
        return;
    take_findings(run);
    if (run->is_cancelled) {
        finish(run);
        return;
    }
    run->shard++;
    begin_shard(run);
}

static void begin_shard(struct rescue_run *run)
{
    const struct cluster_shard *shard = shard_of(run);
    if (run->shard >= run->shard_count || shard == NULL || shard->replicas.count == 0) {
        finish(run);
        return;
    }
    run->call_count = run->outstanding = shard->replicas.count;
    for (size_t i = 0; i < run->call_count; i++) {
        run->calls[i] = (struct run_call){
            .call =
                {
                    .node_id = shard->replicas.node_ids[i],
                    .question = {.kind = RESCUE_VERIFY, .shard_id = shard->shard_id},
                    .timeout_ms = VERIFY_MS,
                    .done = replica_read,
                },
            .run = run,
        };
        rescue_ask(run->rescue, &run->calls[i].call);
    }
}

/* --- Whoever looks --------------------------------------------------------------------------- */

void rescue_run_cancel(struct rescue_run *run)
{
    if (run->is_over || run->is_cancelled)
        return;
    run->is_cancelled = true;
    scheduler_timer_stop(rescue_scheduler(run->rescue), &run->patience);
    for (size_t i = 0; i < run->call_count; i++)
        rescue_call_cancel(&run->calls[i].call); /* nothing to those that ended */
}

static void look_for_lookers(struct timer *timer)
{
    struct rescue_run *run =
        (struct rescue_run *)((char *)timer - offsetof(struct rescue_run, patience));
    if (rescue_now_ms(run->rescue) - run->looked_ms >= RESCUE_PATIENCE_MS)
        rescue_run_cancel(run);
    else
        scheduler_timer_start(rescue_scheduler(run->rescue), timer, 1000);
}

bool rescue_run_is_over(const struct rescue_run *run)
{
    return run->is_over;
}

void rescue_run_destroy(struct rescue_run *run)
{
    if (run == NULL)
        return;
    for (size_t i = 0; i < run->shard_count; i++)
        byte_buffer_clear(&run->found[i]);
    cluster_view_unref(run->view);
    free(run);
}

enum error_code rescue_verify(struct rescue *rescue, struct error *error)
{
    if (rescue->run != NULL && !rescue->run->is_over)
        return error_set(error, ERROR_CONFLICT, "this node is verifying already");
    struct cluster_view *view = cluster_board_view(rescue->options.board);
    if (view == NULL || rescue->closing || rescue->node_id == 0) {
        cluster_view_unref(view);
        return error_set(error, ERROR_UNAVAILABLE, "this node does not know its cluster");
    }
    size_t count;
    (void)cluster_state_shards(cluster_view_state(view), &count);
    struct rescue_run *run = calloc(1, sizeof *run + count * sizeof run->found[0]);
    if (run == NULL) {
        cluster_view_unref(view);
        return error_set(error, ERROR_OUT_OF_MEMORY, "verifying");
    }
    run->rescue = rescue;
    run->view = view;
    run->shard_count = count;
    run->looked_ms = rescue_now_ms(rescue);
    run->patience = (struct timer){.fire = look_for_lookers, .heap_index = TIMER_IDLE};
    rescue_run_destroy(rescue->run);
    rescue->run = run;
    scheduler_timer_start(rescue_scheduler(rescue), &run->patience, 1000);
    begin_shard(run);
    return ERROR_NONE;
}

enum error_code rescue_verify_look(struct rescue *rescue, uint32_t first, struct byte_buffer *json,
                                   struct error *error)
{
    struct rescue_run *run = rescue->run;
    if (run == NULL)
        return error_set(error, ERROR_NOT_FOUND, "nothing was verified by this node yet");
    run->looked_ms = rescue_now_ms(rescue);
    json_raw(json, TEXT("{"));
    rescue_json_text(json, "state",
                     !run->is_over       ? "running"
                     : run->is_cancelled ? "cancelled"
                                         : "done");
    rescue_json_number(json, "shards", run->shard_count);
    rescue_json_number(json, "shardsDone", run->shard);
    rescue_json_number(json, "files", run->files);
    rescue_json_number(json, "bytes", run->bytes);
    rescue_json_number(json, "unsound", run->unsound);
    rescue_json_name(json, "found");
    json_raw(json, TEXT("["));
    for (size_t i = first; i < run->shard && i < (size_t)first + SHOWN_SHARDS_MAX; i++) {
        if (i > first)
            json_raw(json, TEXT(","));
        byte_buffer_append(json, run->found[i].bytes, run->found[i].size);
    }
    json_raw(json, TEXT("]}"));
    return json->failed ? error_set(error, ERROR_OUT_OF_MEMORY, "answer") : ERROR_NONE;
}
