/* What this node answers of its own replicas: each question goes to the loop of the replica. */
#include <stdlib.h>

#include "base/log.h"
#include "shard/entry.h"

#include "rescue_private.h"

enum { HEARD_MS = 3000 };

static struct rescue_service *service_of(struct task *task)
{
    return (struct rescue_service *)((char *)task - offsetof(struct rescue_service, task));
}

/* --- The end, on loop 0 ---------------------------------------------------------------------- */

static void tell(struct task *task)
{
    struct rescue_service *service = service_of(task);
    struct rescue *rescue = service->rescue;
    *service->link = service->next;
    if (service->next != NULL)
        service->next->link = service->link;
    if (service->error.code == ERROR_NONE && service->answer.failed)
        error_set(&service->error, ERROR_OUT_OF_MEMORY, "answer");
    service->done(service->context, &service->answer, &service->error);
    byte_buffer_clear(&service->answer);
    free(service);
    rescue_check_closed(rescue);
}

/* From any thread; the service is loop 0's again. */
static void finish(struct rescue_service *service)
{
    service->task.run = tell;
    scheduler_post(rescue_scheduler(service->rescue), &service->task);
}

/* --- Looking --------------------------------------------------------------------------------- */

static void see_group(const struct rescue *rescue, struct group *group, struct rescue_sight *sight)
{
    struct group_status status;
    struct consensus_member members[CONSENSUS_MEMBERS_MAX];
    group_status(group, &status);
    bool leads = status.state == GROUP_STATE_LEADER;
    bool hears = !leads && status.leader_id != 0 &&
                 rescue_now_ms(rescue) - status.leader_heard_ms < HEARD_MS;
    *sight = (struct rescue_sight){
        .is_present = true,
        .is_forcible = status.state != GROUP_STATE_UNAVAILABLE && !status.replaying &&
                       !status.installing && status.last_index > 0,
        .leader = leads   ? RESCUE_LEADER_SELF
                  : hears ? RESCUE_LEADER_HEARD
                          : RESCUE_LEADER_NONE,
        .term = status.term,
        .last_index = status.last_index,
        .last_term = status.last_term,
        .commit_index = status.commit_index,
        .told_index = status.told_index,
        .applied_index = status.delivered_index,
        .last_stamp_ms = INT64_MIN,
        .newest_ms = INT64_MIN,
        .member_count = group_members(group, members),
    };
    for (size_t i = 0; i < sight->member_count; i++)
        sight->members[i] = (struct rescue_member){members[i].node_id, members[i].role};
}

/* When the newest entry of a shard was made. */
static int64_t newest_stamp_ms(struct group *group)
{
    struct group_entry entry;
    struct entry_header header;
    struct error error;
    if (!group_newest_command(group, &entry))
        return INT64_MIN;
    struct byte_reader reader = byte_reader_over(entry.payload, entry.size_bytes);
    return entry_decode_header(&reader, &header, &error) == ERROR_NONE ? header.stamp_ms
                                                                       : INT64_MIN;
}

static void look(struct rescue_service *service)
{
    struct rescue_sight sight;
    struct shard_statistics statistics;
    see_group(service->rescue, replica_group(service->replica), &sight);
    shard_read_statistics(replica_shard(service->replica), &statistics);
    sight.applied_index = replica_applied_index(service->replica);
    sight.last_stamp_ms = newest_stamp_ms(replica_group(service->replica));
    sight.newest_ms = statistics.newest_ms;
    rescue_sight_encode(&sight, &service->answer);
}

/* --- Verifying ------------------------------------------------------------------------------- */

static void file_read(struct shard_scrub *scrub, const struct shard_scrub_file *file)
{
    struct rescue_service *service =
        (struct rescue_service *)((char *)scrub - offsetof(struct rescue_service, scrub));
    const struct rescue_file told = {
        .kind = (uint8_t)file->kind,
        .is_damaged = file->error->code != ERROR_NONE,
        .index = file->index,
        .number = file->number,
        .content_checksum = file->content_checksum,
    };
    rescue_file_encode(&told, &service->answer);
}

static void all_read(struct shard_scrub *scrub, const struct error *error)
{
    struct rescue_service *service =
        (struct rescue_service *)((char *)scrub - offsetof(struct rescue_service, scrub));
    service->error = *error;
    finish(service);
}

/* The head says what the state was at the beginning, the bytes are known at the end. */
static void verify(struct rescue_service *service)
{
    struct shard *shard = replica_shard(service->replica);
    struct rescue_verdict verdict = {.applied_index = replica_applied_index(service->replica)};
    if (shard_is_scrubbed(shard)) {
        error_set(&service->error, ERROR_CONFLICT, "its files are being read already");
        finish(service);
        return;
    }
    if (shard_frozen_state(shard, &verdict.frozen_index, &verdict.frozen_checksum,
                           &service->error) != ERROR_NONE) {
        finish(service);
        return;
    }
    struct shard_statistics statistics;
    shard_read_statistics(shard, &statistics);
    verdict.bytes = statistics.part_bytes + statistics.block_bytes + statistics.segment_bytes;
    rescue_verdict_head_encode(&verdict, &service->answer);
    service->scrub.done = all_read;
    service->scrub.file = file_read;
    service->scrub.bytes_per_second = service->rescue->options.bytes_per_second;
    shard_scrub(shard, &service->scrub);
}

/* --- On the replica's loop ------------------------------------------------------------------- */

static void look_at_replica(struct task *task)
{
    struct rescue_service *service = service_of(task);
    struct replica_table *table = service->rescue->options.table;
    uint32_t shard_id = service->question.shard_id;
    bool is_over = true;
    switch (service->question.kind) {
    case RESCUE_LOOK:
        look(service);
        break;
    case RESCUE_FORCE:
        (void)group_force_membership(replica_group(service->replica), &service->question.force,
                                     &service->error); /* its code is kept */
        break;
    case RESCUE_VERIFY:
        is_over = false;
        verify(service);
        break;
    }
    /* A scrub under way ends by itself when the shard closes. */
    replica_table_release(table, shard_id);
    if (is_over)
        finish(service);
}

/* --- The meta group, on loop 0 --------------------------------------------------------------- */

static void serve_meta(struct rescue_service *service)
{
    struct meta *meta = service->rescue->meta;
    struct group *group = meta == NULL ? NULL : meta_group(meta);
    struct rescue_sight sight = {.last_stamp_ms = INT64_MIN, .newest_ms = INT64_MIN};
    if (service->question.kind == RESCUE_VERIFY) {
        error_set(&service->error, ERROR_INVALID, "the meta group has no files");
    } else if (service->question.kind == RESCUE_FORCE) {
        if (group == NULL)
            error_set(&service->error, ERROR_NOT_FOUND, "no meta group here");
        else
            (void)group_force_membership(group, &service->question.force, &service->error);
    } else {
        if (group != NULL)
            see_group(service->rescue, group, &sight);
        rescue_sight_encode(&sight, &service->answer);
    }
    finish(service);
}

/* --- Serving --------------------------------------------------------------------------------- */

static void serve_shard(struct rescue_service *service)
{
    service->replica =
        replica_table_hold(service->rescue->options.table, service->question.shard_id);
    if (service->replica != NULL) {
        service->task.run = look_at_replica;
        scheduler_post(replica_scheduler(service->replica), &service->task);
        return;
    }
    const struct rescue_sight nothing = {.last_stamp_ms = INT64_MIN, .newest_ms = INT64_MIN};
    if (service->question.kind == RESCUE_LOOK)
        rescue_sight_encode(&nothing, &service->answer);
    else
        error_set(&service->error, ERROR_NOT_FOUND, "no replica of shard %u here",
                  service->question.shard_id);
    finish(service);
}

struct rescue_service *rescue_serve(struct rescue *rescue, const struct rescue_question *question,
                                    void (*done)(void *context, const struct byte_buffer *answer,
                                                 const struct error *error),
                                    void *context)
{
    struct rescue_service *service = calloc(1, sizeof *service);
    if (service == NULL)
        return NULL;
    *service = (struct rescue_service){
        .rescue = rescue,
        .question = *question,
        .done = done,
        .context = context,
        .next = rescue->services,
        .link = &rescue->services,
    };
    if (service->next != NULL)
        service->next->link = &service->next;
    rescue->services = service;
    error_clear(&service->error);
    if (rescue->node_id == 0 || rescue->closing) {
        error_set(&service->error, ERROR_UNAVAILABLE, "the node is not in its cluster");
        finish(service);
    } else if (question->shard_id == RESCUE_META) {
        serve_meta(service);
    } else {
        serve_shard(service);
    }
    return service;
}

void rescue_service_cancel(struct rescue_service *service)
{
    atomic_store(&service->scrub.is_cancelled, true);
}

/* --- Questions of other nodes ---------------------------------------------------------------- */

static void answer_ready(void *context, const struct byte_buffer *answer, const struct error *error)
{
    struct transport_answer *waiting = context;
    struct error outcome = *error;
    struct shared_bytes *bytes = error->code == ERROR_NONE && answer->size > 0
                                     ? shared_bytes_copy(answer->bytes, answer->size)
                                     : NULL;
    if (bytes != NULL)
        transport_answer_write(waiting, bytes);
    else if (error->code == ERROR_NONE && answer->size > 0)
        error_set(&outcome, ERROR_OUT_OF_MEMORY, "answer");
    shared_bytes_unref(bytes);
    transport_answer_end(waiting, &outcome);
}

static void asker_left(void *context, struct transport_answer *answer)
{
    struct rescue *rescue = context;
    for (struct rescue_service *service = rescue->services; service != NULL;
         service = service->next)
        if (service->done == answer_ready && service->context == answer)
            rescue_service_cancel(service);
}

static const struct transport_answer_events ANSWER_EVENTS = {.cancelled = asker_left};

void rescue_service_receive(void *context, struct transport_answer *answer,
                            const struct transport_question *asked)
{
    struct rescue *rescue = context;
    struct rescue_question question;
    struct error error;
    if (rescue_question_decode(asked->body, asked->size, &question, &error) != ERROR_NONE) {
        transport_answer_end(answer, &error);
        return;
    }
    transport_answer_begin(answer, &ANSWER_EVENTS, rescue);
    if (rescue_serve(rescue, &question, answer_ready, answer) == NULL) {
        error_set(&error, ERROR_OUT_OF_MEMORY, "question");
        transport_answer_end(answer, &error);
    }
}
