#include "loop_figures.h"

enum { COPY_MS = 1000 };

static void add_peer(void *context, const struct transport_peer *peer,
                     const struct transport_peer_statistics *statistics)
{
    struct network_figures *sum = context;
    sum->peers++;
    sum->peers_connected += transport_peer_is_connected(peer);
    sum->connects += statistics->connects;
    sum->disconnects += statistics->disconnects;
    sum->refusals += statistics->refusals;
    sum->failures += statistics->failures;
    for (size_t i = 0; i < TRANSPORT_CLASSES; i++) {
        sum->sent_messages[i] += statistics->sent_messages[i];
        sum->sent_bytes[i] += statistics->sent_bytes[i];
        sum->received_messages[i] += statistics->received_messages[i];
        sum->received_bytes[i] += statistics->received_bytes[i];
        sum->queued_bytes[i] += statistics->queued_bytes[i];
    }
    for (size_t i = 0; i < TRANSPORT_DROPS; i++)
        sum->dropped[i] += statistics->dropped_messages[i];
    if (statistics->round_trip_ns > sum->round_trip_ns_max)
        sum->round_trip_ns_max = statistics->round_trip_ns;
}

static void copy_now(struct loop_figures *figures)
{
    const struct loop_figures_sources *sources = &figures->sources;
    struct figures copy = {0};
    journal_get_statistics(sources->journal, &copy.journal);
    if (*sources->host != NULL)
        group_host_statistics(*sources->host, &copy.groups);
    if (*sources->transport != NULL) {
        transport_visit_peers(*sources->transport, add_peer, &copy.network);
        copy.network.strangers_refused = transport_strangers_refused(*sources->transport);
    }
    if (*sources->transfer != NULL)
        transfer_read_statistics(*sources->transfer, &copy.transfer);
    ingest_read_statistics(sources->ingest, &copy.ingest);
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
                        const struct loop_figures_sources *sources)
{
    *figures = (struct loop_figures){
        .scheduler = scheduler,
        .sources = *sources,
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
