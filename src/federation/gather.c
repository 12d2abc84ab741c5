#include "gather.h"

#include "platform/no_wait.h"
#include "promql/labelled_source.h"

static enum error_code ask(struct gather *gather, size_t cluster, struct selection selection,
                           struct error *error)
{
    struct federation *federation = gather->read->federation;
    struct byte_buffer body = {0};
    selection.external_labels = federation->remotes[cluster].labels;
    selection.timeout_ms = federation_timeout_ms(federation, gather->deadline_ns);
    selection_encode(&selection, &body);
    return federation_ask(gather->read, cluster, REMOTE_SELECT, &body, gather->deadline_ns,
                          &gather->transfers[cluster], error);
}

enum error_code gather_begin(struct gather *gather, struct federation_read *read,
                             const struct selection *selection, uint64_t deadline_ns,
                             struct error *error)
{
    struct federation *federation = read->federation;
    *gather = (struct gather){.read = read, .deadline_ns = deadline_ns};
    for (size_t i = 0; i < federation->options.cluster_count; i++) {
        struct remote *remote = &federation->remotes[i];
        if (!labelled_source_may_match(remote->labels, selection->matchers,
                                       selection->matcher_count)) {
            atomic_fetch_add_explicit(&remote->pruned, 1, memory_order_relaxed);
            continue;
        }
        enum error_code code = no_wait_applies()
                                   ? error_set(error, ERROR_WOULD_WAIT, "asks another cluster")
                                   : ask(gather, i, *selection, error);
        if (code != ERROR_NONE) {
            gather_end(gather);
            return code;
        }
    }
    return ERROR_NONE;
}

enum error_code gather_next(struct gather *gather, size_t *cluster_out, struct text *body_out,
                            struct error *error)
{
    size_t count = gather->read->federation->options.cluster_count;
    for (; gather->next < count; gather->next++) {
        struct transfer *transfer = gather->transfers[gather->next];
        if (transfer == NULL)
            continue;
        enum error_code code =
            transfer_wait(transfer, gather->read->canceled, gather->deadline_ns, body_out, error);
        if (code == ERROR_NONE) {
            *cluster_out = gather->next++;
            return ERROR_NONE;
        }
        code = gather_refuse(gather, gather->next, error);
        if (code != ERROR_NONE)
            return code;
    }
    *cluster_out = SIZE_MAX;
    return ERROR_NONE;
}

enum error_code gather_refuse(struct gather *gather, size_t cluster, struct error *error)
{
    char warning[512];
    enum error_code code = federation_judge(gather->read, cluster, warning, sizeof warning, error);
    if (code == ERROR_NONE)
        federation_note(gather->read, cluster, warning);
    return code;
}

void gather_end(struct gather *gather)
{
    for (size_t i = 0; i < FEDERATION_CLUSTERS_MAX; i++) {
        transfer_end(gather->transfers[i]);
        gather->transfers[i] = NULL;
    }
}
