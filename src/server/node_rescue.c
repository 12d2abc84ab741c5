/* Operators' questions about replicas, on their way to loop 0 and back. */
#include <stdlib.h>

#include "node_cluster.h"

struct errand {
    struct task task;
    struct node *node;
    struct api_rescue asked;
    struct scheduler *origin;
    void (*done)(void *argument, struct byte_buffer *json, const struct error *error);
    void *argument;
    struct byte_buffer json;
    struct error error;
};

static void errand_answer(struct task *task)
{
    struct errand *errand = (struct errand *)((char *)task - offsetof(struct errand, task));
    errand->done(errand->argument, &errand->json, &errand->error);
    free(errand);
}

static void errand_end(struct errand *errand)
{
    errand->task.run = errand_answer;
    scheduler_post(errand->origin, &errand->task);
}

static void recovered(void *context, const struct byte_buffer *json, const struct error *error)
{
    struct errand *errand = context;
    errand->error = *error;
    byte_buffer_append(&errand->json, json->bytes, json->size);
    if (errand->json.failed)
        error_set(&errand->error, ERROR_UNAVAILABLE, "not enough memory");
    errand_end(errand);
}

static void run_errand(struct task *task)
{
    struct errand *errand = (struct errand *)((char *)task - offsetof(struct errand, task));
    struct rescue *rescue = errand->node->cluster->rescue;
    const struct api_rescue *asked = &errand->asked;
    if (rescue == NULL) {
        error_set(&errand->error, ERROR_UNAVAILABLE, "shutting down");
        errand_end(errand);
        return;
    }
    if (asked->action == API_RESCUE_LOOK || asked->action == API_RESCUE_RECOVER) {
        rescue_recover(rescue, asked->shard,
                       asked->action == API_RESCUE_RECOVER ? RESCUE_DOES_IT : RESCUE_ONLY_LOOKS,
                       recovered, errand);
        return;
    }
    if (asked->action != API_RESCUE_VERIFY || rescue_verify(rescue, &errand->error) == ERROR_NONE)
        (void)rescue_verify_look(rescue, asked->first, &errand->json, &errand->error);
    errand_end(errand);
}

void node_rescue(struct node *node, const struct api_rescue *asked, struct scheduler *origin,
                 void (*done)(void *argument, struct byte_buffer *json, const struct error *error),
                 void *argument)
{
    struct errand *errand = calloc(1, sizeof *errand);
    if (errand == NULL || node->cluster == NULL) {
        struct error error;
        struct byte_buffer nothing = {0};
        if (errand == NULL)
            error_set(&error, ERROR_UNAVAILABLE, "not enough memory");
        else
            error_set(&error, ERROR_INVALID, "this node is alone: it has no cluster.listen");
        free(errand);
        done(argument, &nothing, &error);
        return;
    }
    *errand = (struct errand){
        .task.run = run_errand,
        .node = node,
        .asked = *asked,
        .origin = origin,
        .done = done,
        .argument = argument,
    };
    error_clear(&errand->error);
    scheduler_post(node->loops[0].environment.scheduler, &errand->task);
}
