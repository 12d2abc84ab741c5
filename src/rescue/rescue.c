#include "rescue_private.h"

#include <stdlib.h>

enum error_code rescue_create(const struct rescue_options *options, struct rescue **rescue_out,
                              struct error *error)
{
    struct rescue *rescue = calloc(1, sizeof *rescue);
    if (rescue == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "rescue");
    rescue->options = *options;
    transport_on_request(options->transport, RESCUE_REQUEST_KIND, rescue_service_receive, rescue);
    *rescue_out = rescue;
    return ERROR_NONE;
}

void rescue_identified(struct rescue *rescue, uint64_t node_id, struct meta *meta)
{
    rescue->node_id = node_id;
    rescue->meta = meta;
}

/* --- The end --------------------------------------------------------------------------------- */

static void tell_closed(struct task *task)
{
    struct rescue *rescue = (struct rescue *)((char *)task - offsetof(struct rescue, closed_task));
    void (*closed)(void *) = rescue->closed;
    void *context = rescue->closed_context;
    rescue_run_destroy(rescue->run);
    free(rescue);
    closed(context);
}

void rescue_check_closed(struct rescue *rescue)
{
    if (!rescue->closing || rescue->closed_task.run != NULL || rescue->services != NULL ||
        rescue->calls != NULL || rescue->recoveries > 0 ||
        (rescue->run != NULL && !rescue_run_is_over(rescue->run)))
        return;
    rescue->closed_task.run = tell_closed;
    scheduler_defer(rescue_scheduler(rescue), &rescue->closed_task);
}

void rescue_close(struct rescue *rescue, void (*closed)(void *context), void *context)
{
    rescue->closing = true;
    rescue->closed = closed;
    rescue->closed_context = context;
    transport_on_request(rescue->options.transport, RESCUE_REQUEST_KIND, NULL, NULL);
    if (rescue->run != NULL)
        rescue_run_cancel(rescue->run);
    for (struct rescue_call *call = rescue->calls; call != NULL; call = call->next)
        rescue_call_cancel(call);
    for (struct rescue_service *service = rescue->services; service != NULL;
         service = service->next)
        rescue_service_cancel(service);
    rescue_check_closed(rescue);
}
