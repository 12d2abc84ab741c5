/* What is asked of other nodes for queries, and answered to them. */
#include "metric_emit.h"
#include "node_private.h"

struct figure {
    const char *name;
    const char *help;
    enum metric_kind kind;
    double value;
};

static void collect_fanout(void *context, metric_visit *visit, void *visit_context)
{
    const struct node *node = context;
    struct metric_emitter emitter = {visit, visit_context};
    struct fanout_statistics statistics;
    fanout_statistics(node->fanout, &statistics);
    const struct figure figures[] = {
        {"gnomon_fanout_asked_total", "Questions to other nodes.", METRIC_KIND_COUNTER,
         (double)statistics.asked},
        {"gnomon_fanout_hedged_total",
         "Shards that another node was asked for as well, since one was silent.",
         METRIC_KIND_COUNTER, (double)statistics.hedged},
        {"gnomon_fanout_retried_total",
         "Shards that another node was asked for, since one failed or could not answer.",
         METRIC_KIND_COUNTER, (double)statistics.retried},
        {"gnomon_fanout_redirected_total", "Answers for a shard that only said who leads it.",
         METRIC_KIND_COUNTER, (double)statistics.redirected},
        {"gnomon_fanout_failed_total", "Questions that ended with an error.", METRIC_KIND_COUNTER,
         (double)statistics.failed},
        {"gnomon_fanout_received_bytes_total", "Answers of other nodes.", METRIC_KIND_COUNTER,
         (double)statistics.received_bytes},
        {"gnomon_fanout_unavailable_total",
         "Reads that failed since a shard had no readable replica.", METRIC_KIND_COUNTER,
         (double)statistics.unavailable},
        {"gnomon_fanout_served_total", "Questions of other nodes that were worked on.",
         METRIC_KIND_COUNTER, (double)statistics.served},
        {"gnomon_fanout_refused_total", "Questions of other nodes when there were too many.",
         METRIC_KIND_COUNTER, (double)statistics.refused},
        {"gnomon_fanout_serving", "Questions of other nodes under way.", METRIC_KIND_GAUGE,
         (double)statistics.serving},
        {"gnomon_fanout_sent_bytes_total", "Answers to other nodes.", METRIC_KIND_COUNTER,
         (double)statistics.sent_bytes},
        {"gnomon_fanout_first_byte_p95_seconds",
         "What answers of other nodes took to begin lately, but for one in twenty.",
         METRIC_KIND_GAUGE, (double)statistics.first_byte_ns_p95 / 1e9},
    };
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++)
        metric_emit(&emitter, figures[i].name, figures[i].help, figures[i].kind, NULL, 0,
                    figures[i].value);
}

bool node_add_fanout_metrics(struct node *node)
{
    return metrics_add_collector(node->metrics, collect_fanout, node);
}
