/*
 * bodies - the remote-write requests of a fleet, made beforehand and kept in a file.
 *
 * Series are dealt to connections in runs of equal length; a request holds one sample of at most
 * BODIES_SERIES_MAX series of one tick, compressed with snappy. So the sender does nothing but
 * send.
 */
#ifndef BENCHMARK_BODIES_H
#define BENCHMARK_BODIES_H

#include "base/error.h"
#include "fleet.h"

enum { BODIES_SERIES_MAX = 2000, BODIES_CONNECTIONS_MAX = 64 };

enum bodies_protocol { BODIES_PROTOCOL_1 = 1, BODIES_PROTOCOL_2 = 2 };

struct bodies_options {
    struct fleet fleet;
    uint64_t tick_count;
    uint32_t connection_count; /* 1 .. BODIES_CONNECTIONS_MAX */
    enum bodies_protocol protocol;
};

struct body {
    const uint8_t *bytes; /* [size], of the mapped file */
    size_t size;
    uint64_t series_count;
};

struct bodies {
    struct bodies_options options;
    uint64_t requests_per_turn; /* of one connection in one tick */
    uint64_t total_bytes;       /* of all bodies as sent */
    const uint8_t *mapped;      /* [mapped_size] */
    size_t mapped_size;
};

struct bodies_figures {
    uint64_t raw_bytes;   /* of all bodies before snappy */
    uint64_t label_count; /* of all series */
};

/* Write the file, replacing what is there. Errors: IO, OUT_OF_MEMORY. */
enum error_code bodies_prepare(const char *path, const struct bodies_options *options,
                               struct bodies_figures *figures_out, struct error *error);

/* Map a file that bodies_prepare wrote. Errors: IO, CORRUPT. */
enum error_code bodies_open(const char *path, struct bodies *bodies_out, struct error *error);
void bodies_close(struct bodies *bodies);

/* `request` is below requests_per_turn. */
struct body bodies_at(const struct bodies *bodies, uint64_t tick, uint32_t connection,
                      uint64_t request);

#endif
