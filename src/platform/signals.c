#include "platform/signals.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>

#include "loop_uv.h"

enum { WATCHED = 3 };

struct signals {
    signal_callback *callback;
    void *context;
    uv_signal_t handles[WATCHED];
    int handles_open;
};

static const struct {
    int number;
    enum signal_event event;
} EVENTS[WATCHED] = {
    {SIGTERM, SIGNAL_TERMINATE},
    {SIGINT, SIGNAL_TERMINATE},
    {SIGHUP, SIGNAL_RELOAD},
};

static void on_signal(uv_signal_t *handle, int number)
{
    struct signals *signals = handle->data;
    for (int i = 0; i < WATCHED; i++)
        if (EVENTS[i].number == number)
            signals->callback(signals->context, EVENTS[i].event);
}

static void on_closed(uv_handle_t *handle)
{
    struct signals *signals = handle->data;
    if (--signals->handles_open == 0)
        free(signals);
}

enum error_code signals_open(struct loop *loop, signal_callback *callback, void *context,
                             struct signals **signals_out, struct error *error)
{
    assert(scheduler_on_loop(loop_scheduler(loop)));
    struct signals *signals = calloc(1, sizeof *signals);
    if (signals == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "signals: out of memory");
    signals->callback = callback;
    signals->context = context;
    for (int i = 0; i < WATCHED; i++) {
        int status = uv_signal_init(loop_uv(loop), &signals->handles[i]);
        if (status == 0) {
            signals->handles[i].data = signals;
            signals->handles_open++;
            status = uv_signal_start(&signals->handles[i], on_signal, EVENTS[i].number);
        }
        if (status < 0) {
            if (signals->handles_open == 0)
                free(signals);
            else
                signals_close(signals);
            return error_set_uv(error, status, "signals");
        }
    }
    *signals_out = signals;
    return ERROR_NONE;
}

void signals_close(struct signals *signals)
{
    if (signals == NULL)
        return;
    int open = signals->handles_open; /* the last callback frees */
    for (int i = 0; i < open; i++)
        uv_close((uv_handle_t *)&signals->handles[i], on_closed);
}
