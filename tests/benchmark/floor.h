/*
 * floor - what it costs at least to take in prepared requests: decompress, walk the fields, hash
 * the labels of each series, and store nothing. Figures of servers are read as multiples of it,
 * which also takes out how fast and how busy the machine is.
 */
#ifndef BENCHMARK_FLOOR_H
#define BENCHMARK_FLOOR_H

#include "bodies.h"

/* Seconds of one processor for a million samples, each with what comes before it. */
struct floor_figures {
    double decompress_seconds;
    double walk_seconds;
    double hash_seconds;
};

/* The best of three passes over the first requests. Errors: CORRUPT, OUT_OF_MEMORY. */
enum error_code floor_measure(const struct bodies *bodies, struct floor_figures *figures_out,
                              struct error *error);

#endif
