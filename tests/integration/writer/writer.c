/*
 * integration_writer - sends a workload and remembers what was acknowledged; compares it later.
 *
 *     integration_writer send --url=URL --state=FILE --start-ms=T [--threads=4] [--first-thread=0]
 *         [--series=50] [--samples=5] [--interval-ms=1000] [--requests=0] [--seconds=60]
 * [--pause-ms=0]
 *         [--seed=1] [--order=ascending|shuffled] [--protocol=1|2|both]
 *     integration_writer check --url=URL --state=FILE
 *
 * `send` ends after --requests of each thread or --seconds, or on SIGTERM, and writes the state.
 * `check` exits with 1 when a sample that was acknowledged is lost, doubled or altered, or when
 * there is one that was never sent.
 */
#include "writer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- Arguments ------------------------------------------------------------------------------ */

struct arguments {
    struct workload workload;
    struct send_options send;
    const char *state;
};

struct number_argument {
    const char *name;
    uint64_t *target;
};

static bool word_argument(struct arguments *arguments, const char *name, const char *value)
{
    static const char *const ORDERS[] = {"ascending", "shuffled"};
    static const char *const PROTOCOLS[] = {"1", "2", "both"};
    if (strcmp(name, "url") == 0)
        arguments->send.url = value;
    else if (strcmp(name, "state") == 0)
        arguments->state = value;
    else if (strcmp(name, "order") == 0 && strcmp(value, ORDERS[1]) == 0)
        arguments->workload.order = ORDER_SHUFFLED;
    else if (strcmp(name, "order") == 0 && strcmp(value, ORDERS[0]) == 0)
        arguments->workload.order = ORDER_ASCENDING;
    else if (strcmp(name, "protocol") == 0) {
        for (int i = 0; i < 3; i++)
            if (strcmp(value, PROTOCOLS[i]) == 0) {
                arguments->workload.protocol = (enum workload_protocol)i;
                return true;
            }
        return false;
    } else
        return false;
    return true;
}

static bool read_argument(struct arguments *arguments, const char *argument)
{
    struct workload *workload = &arguments->workload;
    const struct number_argument NUMBERS[] = {
        {"first-thread", &workload->first_thread},
        {"threads", &workload->thread_count},
        {"series", &workload->series_count},
        {"samples", &workload->samples_per_request},
        {"start-ms", (uint64_t *)&workload->start_ms},
        {"interval-ms", (uint64_t *)&workload->interval_ms},
        {"requests", &arguments->send.requests_max},
        {"seconds", &arguments->send.seconds_max},
        {"pause-ms", &arguments->send.pause_ms},
        {"seed", &workload->seed},
    };
    struct text name, value;
    if (strncmp(argument, "--", 2) != 0 || !text_split(text_of(argument + 2), '=', &name, &value))
        return false;
    for (size_t i = 0; i < sizeof NUMBERS / sizeof NUMBERS[0]; i++)
        if (text_equal(name, text_of(NUMBERS[i].name)))
            return text_to_uint64(value, NUMBERS[i].target) &&
                   *NUMBERS[i].target <= INT64_MAX / 1000;
    char word[32];
    snprintf(word, sizeof word, "%.*s", TEXT_ARGUMENTS(name));
    return word_argument(arguments, word, value.data);
}

/* --- State ---------------------------------------------------------------------------------- */

static enum error_code state_write(const struct arguments *arguments,
                                   const struct progress *progress, struct error *error)
{
    const struct workload *workload = &arguments->workload;
    FILE *file = fopen(arguments->state, "w");
    if (file == NULL)
        return error_set(error, ERROR_IO, "cannot write '%s'", arguments->state);
    fprintf(file,
            "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRId64 " %" PRId64
            " %d %d\n",
            workload->seed, workload->first_thread, workload->thread_count, workload->series_count,
            workload->samples_per_request, workload->start_ms, workload->interval_ms,
            (int)workload->order, (int)workload->protocol);
    for (uint64_t i = 0; i < workload->thread_count; i++)
        fprintf(file, "%" PRIu64 " %" PRIu64 "\n", progress[i].acknowledged, progress[i].sent);
    if (fclose(file) != 0)
        return error_set(error, ERROR_IO, "cannot write '%s'", arguments->state);
    return ERROR_NONE;
}

/* *progress_out is the caller's to free. */
static enum error_code state_read(struct arguments *arguments, struct progress **progress_out,
                                  struct error *error)
{
    struct workload *workload = &arguments->workload;
    struct progress *progress = NULL;
    enum error_code code = ERROR_NONE;
    int order, protocol;
    FILE *file = fopen(arguments->state, "r");
    if (file == NULL)
        return error_set(error, ERROR_IO, "cannot read '%s'", arguments->state);
    if (fscanf(file,
               "%" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNd64 " %" SCNd64
               " %d %d",
               &workload->seed, &workload->first_thread, &workload->thread_count,
               &workload->series_count, &workload->samples_per_request, &workload->start_ms,
               &workload->interval_ms, &order, &protocol) != 9 ||
        workload->thread_count > 1024) {
        code = error_set(error, ERROR_INVALID, "'%s' is not a state", arguments->state);
        goto out;
    }
    workload->order = (enum workload_order)order;
    workload->protocol = (enum workload_protocol)protocol;
    progress = calloc(workload->thread_count, sizeof *progress);
    if (progress == NULL) {
        code = error_set(error, ERROR_OUT_OF_MEMORY, "progress");
        goto out;
    }
    for (uint64_t i = 0; i < workload->thread_count; i++)
        if (fscanf(file, "%" SCNu64 " %" SCNu64, &progress[i].acknowledged, &progress[i].sent) !=
            2) {
            code = error_set(error, ERROR_INVALID, "'%s' is cut short", arguments->state);
            goto out;
        }
    *progress_out = progress;
    progress = NULL;
out:
    free(progress);
    fclose(file);
    return code;
}

/* --- Commands ------------------------------------------------------------------------------- */

static enum error_code command_send(struct arguments *arguments, struct error *error)
{
    uint64_t acknowledged = 0;
    struct progress *progress = calloc(arguments->workload.thread_count, sizeof *progress);
    if (progress == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "progress");
    enum error_code code = writer_send(&arguments->workload, &arguments->send, progress, error);
    if (code == ERROR_NONE)
        code = state_write(arguments, progress, error);
    for (uint64_t i = 0; i < arguments->workload.thread_count; i++)
        acknowledged += progress[i].acknowledged;
    printf("%" PRIu64 " requests acknowledged, %" PRIu64 " samples\n", acknowledged,
           acknowledged * arguments->workload.series_count *
               arguments->workload.samples_per_request);
    free(progress);
    return code;
}

static enum error_code command_check(struct arguments *arguments, struct error *error)
{
    struct check_outcome outcome = {0};
    struct progress *progress = NULL;
    enum error_code code = state_read(arguments, &progress, error);
    if (code != ERROR_NONE)
        return code;
    code = writer_check(&arguments->workload, arguments->send.url, progress, &outcome, error);
    free(progress);
    if (code != ERROR_NONE)
        return code;
    printf("%" PRIu64 " samples read: %" PRIu64 " lost, %" PRIu64 " doubled, %" PRIu64
           " altered, %" PRIu64 " never sent\n",
           outcome.checked, outcome.lost, outcome.doubled, outcome.altered, outcome.invented);
    if (outcome.lost + outcome.doubled + outcome.altered + outcome.invented > 0)
        return error_set(error, ERROR_CORRUPT, "the node does not hold what it acknowledged");
    return ERROR_NONE;
}

int main(int count, char **values)
{
    struct arguments arguments = {
        .workload = {.seed = 1,
                     .thread_count = 4,
                     .series_count = 50,
                     .samples_per_request = 5,
                     .interval_ms = 1000},
        .send = {.seconds_max = 60},
    };
    struct error error;
    bool valid = count >= 2;
    for (int i = 2; valid && i < count; i++)
        if (!read_argument(&arguments, values[i])) {
            fprintf(stderr, "integration_writer: wrong argument '%s'\n", values[i]);
            valid = false;
        }
    if (!valid || arguments.send.url == NULL || arguments.state == NULL ||
        arguments.workload.interval_ms == 0 || arguments.workload.samples_per_request == 0) {
        fprintf(stderr, "usage: integration_writer send|check --url=URL --state=FILE ...\n");
        return 2;
    }
    enum error_code code;
    if (strcmp(values[1], "send") == 0)
        code = command_send(&arguments, &error);
    else if (strcmp(values[1], "check") == 0)
        code = command_check(&arguments, &error);
    else
        code = error_set(&error, ERROR_INVALID, "unknown command '%s'", values[1]);
    if (code == ERROR_NONE)
        return 0;
    fprintf(stderr, "integration_writer: %s\n", error.message);
    return 1;
}
