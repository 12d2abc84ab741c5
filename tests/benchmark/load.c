/*
 * load - makes, sends and shows the samples of a fleet; every command prints one JSON object or,
 * for `values`, one a line.
 *
 *     load prepare FILE HOSTS TICKS START_MS CONNECTIONS PROTOCOL [FIRST_HOST]
 *     load send FILE URL PROCESS [FIRST_TICK END_TICK]
 *     load values FILE SERIES...
 *     load floor FILE
 *
 * `send` works against any remote-write receiver. Tick 0, where all series are new, is sent and
 * timed apart from the rest. PROCESS is the id of the server, whose processor time and writes to
 * disk are counted with its children's.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bodies.h"
#include "floor.h"
#include "process.h"
#include "sender.h"

enum { SECONDS_MAX = 1800 };

static int fail(const struct error *error)
{
    fprintf(stderr, "load: %s\n", error->message);
    return 1;
}

static int usage(void)
{
    fprintf(stderr, "load prepare FILE HOSTS TICKS START_MS CONNECTIONS PROTOCOL [FIRST_HOST]\n"
                    "load send FILE URL PROCESS [FIRST_TICK END_TICK]\n"
                    "load values FILE SERIES...\n"
                    "load floor FILE\n");
    return 2;
}

static bool read_number(const char *argument, uint64_t minimum, uint64_t maximum,
                        uint64_t *number_out)
{
    uint64_t number;
    if (!text_to_uint64(text_of(argument), &number) || number < minimum || number > maximum) {
        fprintf(stderr, "load: '%s' is not a number from %" PRIu64 " to %" PRIu64 "\n", argument,
                minimum, maximum);
        return false;
    }
    *number_out = number;
    return true;
}

/* --- Prepare -------------------------------------------------------------------------------- */

static int prepare(int count, char **arguments)
{
    uint64_t hosts, ticks, start_ms, connections, protocol, first_host = 0;
    if (count < 6 || count > 7 || !read_number(arguments[1], 1, 1000000, &hosts) ||
        !read_number(arguments[2], 1, 1000000, &ticks) ||
        !read_number(arguments[3], 0, INT64_MAX / 2, &start_ms) ||
        !read_number(arguments[4], 1, BODIES_CONNECTIONS_MAX, &connections) ||
        !read_number(arguments[5], BODIES_PROTOCOL_1, BODIES_PROTOCOL_2, &protocol) ||
        (count == 7 && !read_number(arguments[6], 0, 1000000, &first_host)))
        return usage();
    struct bodies_options options = {
        .fleet = {.host_count = hosts, .first_host = first_host, .start_ms = (int64_t)start_ms},
        .tick_count = ticks,
        .connection_count = (uint32_t)connections,
        .protocol = (enum bodies_protocol)protocol};
    struct bodies_figures figures;
    struct error error;
    struct bodies bodies;
    if (bodies_prepare(arguments[0], &options, &figures, &error) != ERROR_NONE ||
        bodies_open(arguments[0], &bodies, &error) != ERROR_NONE)
        return fail(&error);
    double series = (double)fleet_series_count(&options.fleet);
    double samples = series * (double)ticks;
    printf("{\"series\": %.0f, \"samples\": %.0f, \"requests\": %" PRIu64
           ", \"wire_bytes_per_sample\": %.2f, \"raw_bytes_per_sample\": %.2f, "
           "\"labels_per_series\": %.2f}\n",
           series, samples, bodies.requests_per_turn * connections * ticks,
           (double)bodies.total_bytes / samples, (double)figures.raw_bytes / samples,
           (double)figures.label_count / series);
    bodies_close(&bodies);
    return 0;
}

/* --- Send ----------------------------------------------------------------------------------- */

static enum error_code send_phase(const char *name, const struct bodies *bodies,
                                  const struct sender_options *options, int process,
                                  struct error *error)
{
    struct process_usage before, after;
    struct sender_outcome outcome;
    enum error_code code = process_tree_usage(process, &before, error);
    if (code == ERROR_NONE)
        code = sender_run(bodies, options, &outcome, error);
    if (code == ERROR_NONE)
        code = process_tree_usage(process, &after, error);
    if (code != ERROR_NONE)
        return code;
    printf("\"%s\": {\"samples\": %" PRIu64 ", \"requests\": %" PRIu64 ", \"retries\": %" PRIu64
           ", \"seconds\": %.6f, \"cpu_seconds\": %.6f, \"written_bytes\": %" PRIu64
           ", \"latency_p50_ms\": %.3f, \"latency_p99_ms\": %.3f, \"latency_ms_max\": %.3f}",
           name, outcome.sample_count, outcome.request_count, outcome.retry_count, outcome.seconds,
           after.cpu_seconds - before.cpu_seconds, after.written_bytes - before.written_bytes,
           outcome.latency_p50_ms, outcome.latency_p99_ms, outcome.latency_ms_max);
    return ERROR_NONE;
}

static int send_bodies(int count, char **arguments)
{
    struct bodies bodies;
    struct error error;
    uint64_t process, first = 0, end = 0;
    if (count != 3 && count != 5)
        return usage();
    if (bodies_open(arguments[0], &bodies, &error) != ERROR_NONE)
        return fail(&error);
    end = bodies.options.tick_count;
    struct sender_options options = {.seconds_max = SECONDS_MAX};
    if (sender_parse_url(arguments[1], &options, &error) != ERROR_NONE)
        return fail(&error);
    if (!read_number(arguments[2], 1, INT32_MAX, &process) ||
        (count == 5 && (!read_number(arguments[3], 0, end, &first) ||
                        !read_number(arguments[4], first, end, &end))))
        return usage();
    enum error_code code = ERROR_NONE;
    const char *separator = "";
    printf("{");
    if (first == 0 && end > 0) {
        options.end_tick = 1;
        code = send_phase("new", &bodies, &options, (int)process, &error);
        separator = ", ";
        first = 1;
    }
    if (code == ERROR_NONE && first < end) {
        options.first_tick = first;
        options.end_tick = end;
        printf("%s", separator);
        code = send_phase("steady", &bodies, &options, (int)process, &error);
    }
    printf("}\n");
    bodies_close(&bodies);
    return code == ERROR_NONE ? 0 : fail(&error);
}

/* --- Values --------------------------------------------------------------------------------- */

static void print_series(const struct bodies_options *options, uint64_t series)
{
    struct fleet_labels labels;
    struct fleet_cursor cursor;
    fleet_describe(&options->fleet, series, &labels);
    fleet_cursor_open(&cursor, &options->fleet, series);
    printf("{\"labels\": {");
    for (size_t i = 0; i < labels.count; i++)
        printf("%s\"%.*s\": \"%.*s\"", i == 0 ? "" : ", ", TEXT_ARGUMENTS(labels.labels[i].name),
               TEXT_ARGUMENTS(labels.labels[i].value));
    printf("}, \"first_ms\": %" PRId64 ", \"interval_ms\": %d, \"values\": [",
           fleet_timestamp_ms(&options->fleet, series, 0), FLEET_INTERVAL_MS);
    for (uint64_t tick = 0; tick < options->tick_count; tick++)
        printf("%s%.17g", tick == 0 ? "" : ", ",
               fleet_cursor_next(&cursor, &options->fleet, series));
    printf("]}\n");
}

static int print_values(int count, char **arguments)
{
    struct bodies bodies;
    struct error error;
    if (count < 2)
        return usage();
    if (bodies_open(arguments[0], &bodies, &error) != ERROR_NONE)
        return fail(&error);
    int result = 0;
    for (int i = 1; i < count && result == 0; i++) {
        uint64_t series;
        if (read_number(arguments[i], 0, fleet_series_count(&bodies.options.fleet) - 1, &series))
            print_series(&bodies.options, series);
        else
            result = usage();
    }
    bodies_close(&bodies);
    return result;
}

/* --- Floor ---------------------------------------------------------------------------------- */

static int print_floor(int count, char **arguments)
{
    struct bodies bodies;
    struct floor_figures figures;
    struct error error;
    if (count != 1)
        return usage();
    if (bodies_open(arguments[0], &bodies, &error) != ERROR_NONE)
        return fail(&error);
    enum error_code code = floor_measure(&bodies, &figures, &error);
    bodies_close(&bodies);
    if (code != ERROR_NONE)
        return fail(&error);
    printf("{\"decompress\": %.4f, \"walk\": %.4f, \"hash\": %.4f}\n", figures.decompress_seconds,
           figures.walk_seconds, figures.hash_seconds);
    return 0;
}

/* --- Commands ------------------------------------------------------------------------------- */

int main(int count, char **arguments)
{
    if (count >= 2 && strcmp(arguments[1], "prepare") == 0)
        return prepare(count - 2, arguments + 2);
    if (count >= 2 && strcmp(arguments[1], "send") == 0)
        return send_bodies(count - 2, arguments + 2);
    if (count >= 2 && strcmp(arguments[1], "values") == 0)
        return print_values(count - 2, arguments + 2);
    if (count >= 2 && strcmp(arguments[1], "floor") == 0)
        return print_floor(count - 2, arguments + 2);
    return usage();
}
