#include "loop_figures.h"

enum { COPY_MS = 1000 };

static void copy_now(struct loop_figures *figures)
{
    struct figures copy = {0};
    journal_get_statistics(figures->journal, &copy.journal);
    if (*figures->host != NULL)
        group_host_statistics(*figures->host, &copy.groups);
    ingest_read_statistics(figures->ingest, &copy.ingest);
    pthread_mutex_lock(&figures->lock);
    figures->copy = copy;
    pthread_mutex_unlock(&figures->lock);
}

static void copy_again(struct timer *timer)
{
    struct loop_figures *figures =
        (struct loop_figures *)((char *)timer - offsetof(struct loop_figures, timer));
    copy_now(figures);
    scheduler_timer_start(figures->scheduler, timer, COPY_MS);
}

void loop_figures_start(struct loop_figures *figures, struct scheduler *scheduler,
                        const struct journal *journal, struct group_host *const *host,
                        const struct ingest *ingest)
{
    *figures = (struct loop_figures){
        .scheduler = scheduler,
        .journal = journal,
        .host = host,
        .ingest = ingest,
        .timer = {.fire = copy_again, .heap_index = TIMER_IDLE},
    };
    pthread_mutex_init(&figures->lock, NULL);
    copy_now(figures);
    scheduler_timer_start(scheduler, &figures->timer, COPY_MS);
}

void loop_figures_stop(struct loop_figures *figures)
{
    scheduler_timer_stop(figures->scheduler, &figures->timer);
}

void loop_figures_read(struct loop_figures *figures, struct figures *figures_out)
{
    pthread_mutex_lock(&figures->lock);
    *figures_out = figures->copy;
    pthread_mutex_unlock(&figures->lock);
}
