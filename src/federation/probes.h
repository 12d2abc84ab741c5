/*
 * probes - tell a cluster that works on a long answer from one that does not answer at all: it is
 * asked for /-/healthy beside what it was asked for.
 *
 *            nothing came for a second             it answers
 *   HEARD ────────────────────────────▶ ASKED ────────────────▶ HEARD
 *                                         │ it does not
 *                                         ▼
 *                                      SILENT: not asked for anything else, and again every second
 *
 * All on the thread that runs the transfers.
 */
#ifndef FEDERATION_PROBES_H
#define FEDERATION_PROBES_H

#include <stddef.h>

#include "target.h"

struct probe;

struct probes {
    CURLM *multi;
    struct probe *first;
};

enum {
    PROBES_PATIENCE_MS = 1000, /* a question may be without a sign for so long */
    PROBES_TIMEOUT_MS = 2000,
    PROBES_PAUSE_MS = 1000,
};

/* Nothing came from it; unless it is being asked already. */
void probes_suspect(struct probes *probes, struct target *target, uint64_t now_ms);

/* Whether the request that ended was a probe; then *target_out is silent now, or NULL. */
bool probes_take(struct probes *probes, CURL *curl, CURLcode outcome, uint64_t now_ms,
                 struct target **target_out);

/* Ask the silent ones again when it is time. */
void probes_look(struct probes *probes, uint64_t now_ms);

bool probes_are_needed(const struct probes *probes);

/* Those under way end. */
void probes_clear(struct probes *probes);

#endif
