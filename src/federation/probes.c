#include "probes.h"

#include <stdlib.h>

/* Of a target that is asked, or silent. */
struct probe {
    struct probe *next;
    struct target *target;
    CURL *curl; /* NULL: it is not asked now */
    uint64_t since_ms;
    uint64_t again_ms;
};

static size_t drop(char *bytes, size_t size, size_t count, void *context)
{
    (void)bytes, (void)context;
    return size * count;
}

/* Without memory it is asked a little later. */
static void ask(struct probes *probes, struct probe *probe, uint64_t now_ms)
{
    CURL *curl = curl_easy_init();
    probe->again_ms = now_ms + PROBES_PAUSE_MS;
    if (curl != NULL && target_prepare(probe->target, curl, "/-/healthy", PROBES_TIMEOUT_MS) &&
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, drop) == CURLE_OK &&
        curl_multi_add_handle(probes->multi, curl) == CURLM_OK)
        probe->curl = curl;
    else
        curl_easy_cleanup(curl);
}

void probes_suspect(struct probes *probes, struct target *target, uint64_t now_ms)
{
    for (const struct probe *probe = probes->first; probe != NULL; probe = probe->next)
        if (probe->target == target)
            return;
    struct probe *probe = calloc(1, sizeof *probe);
    if (probe == NULL)
        return; /* what was asked has its own time limit */
    *probe = (struct probe){.next = probes->first, .target = target, .since_ms = now_ms};
    probes->first = probe;
    ask(probes, probe, now_ms);
}

static void forget(struct probes *probes, struct probe *probe)
{
    struct probe **link = &probes->first;
    while (*link != probe)
        link = &(*link)->next;
    *link = probe->next;
    free(probe);
}

bool probes_take(struct probes *probes, CURL *curl, CURLcode outcome, uint64_t now_ms,
                 struct target **target_out)
{
    struct probe *probe = probes->first;
    *target_out = NULL;
    while (probe != NULL && probe->curl != curl)
        probe = probe->next;
    if (probe == NULL)
        return false;
    curl_multi_remove_handle(probes->multi, curl);
    curl_easy_cleanup(curl);
    probe->curl = NULL;
    probe->again_ms = now_ms + PROBES_PAUSE_MS;
    if (outcome == CURLE_OK) { /* whatever it says */
        target_heard(probe->target, now_ms);
        forget(probes, probe);
        return true;
    }
    atomic_store_explicit(&probe->target->silent_since_ms, probe->since_ms, memory_order_relaxed);
    *target_out = probe->target;
    return true;
}

void probes_look(struct probes *probes, uint64_t now_ms)
{
    for (struct probe *probe = probes->first; probe != NULL; probe = probe->next)
        if (probe->curl == NULL && now_ms >= probe->again_ms)
            ask(probes, probe, now_ms);
}

bool probes_are_needed(const struct probes *probes)
{
    return probes->first != NULL;
}

void probes_clear(struct probes *probes)
{
    while (probes->first != NULL) {
        struct probe *probe = probes->first;
        if (probe->curl != NULL) {
            curl_multi_remove_handle(probes->multi, probe->curl);
            curl_easy_cleanup(probe->curl);
        }
        forget(probes, probe);
    }
}
